use futures_util::future::join;

use super::{
    super::tests::{nobody, user, users},
    *,
};

const NOW: u64 = 1_700_000_000;

/// A clock that stands still, in seconds since 1970.
struct At(u64);

impl Clock for At {
    fn unix_ms(&self) -> u64 {
        self.0 * 1000
    }
}

fn called(phone: &str, nick: &str) -> User {
    User { nick: nick.to_owned(), ..user(phone) }
}

fn phones(page: &Page) -> Vec<&str> {
    page.users.iter().map(|user| &*user.phone).collect()
}

/// Everybody who is found, in pages of this size.
async fn all(users: &Users, text: &str, limit: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = users.look_for(text, after.as_deref(), limit).await.unwrap();
        assert!(page.users.len() <= limit);
        found.extend(page.users.into_iter().map(|user| user.phone));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn users_are_listed_by_phone_page_by_page() {
    let users = users(&["333", "111", "222"]).await;
    let page = users.page(None, 2).await.unwrap();
    assert_eq!((phones(&page), page.next.as_deref()), (vec!["111", "222"], Some("222")));
    let page = users.page(page.next.as_deref(), 2).await.unwrap();
    assert_eq!((phones(&page), page.next.as_deref()), (vec!["333"], None));
}

#[tokio::test]
async fn users_are_found_by_a_part_of_the_phone_or_the_whole_nick() {
    let users = users(&[]).await;
    for (phone, nick) in [
        ("1000", "ann"),
        ("1001", "138"),
        ("1380", "bob"),
        ("1381", "138"),
        ("2138", "ann"),
        ("3000", "138"),
    ] {
        users.add(&called(phone, nick)).await.unwrap();
    }
    let long = "x".repeat(MAX_ID + 1);
    for (text, found) in [
        ("ann", &["1000", "2138"][..]),
        ("Ann", &[]),
        ("an", &[]),
        ("138", &["1001", "1380", "1381", "2138", "3000"]),
        ("000", &["1000", "3000"]),
        ("13", &[]),
        ("*", &[]),
        ("", &[]),
        (&*long, &[]),
    ] {
        for limit in [1, 2, 3, 100] {
            assert_eq!(all(&users, text, limit).await, found, "{text}, {limit} at a time");
        }
    }
}

#[tokio::test]
async fn of_contacts_it_is_told_who_they_are_and_whether_they_know_it() {
    let users = users(&["111", "222", "333"]).await;
    users.befriend("111", "222").await.unwrap();
    let ann = users.get("111").await.unwrap().unwrap().user;
    let phones = ["222", "333", "444"].map(str::to_owned);
    let known = |is_mutual| Some(Known { nick: "bob".to_owned(), is_mutual });
    let contact = |phone: &str, known| Contact { phone: phone.to_owned(), known };
    assert_eq!(
        users.acquaintances(&ann, &phones).await.unwrap(),
        [contact("222", known(true)), contact("333", known(false)), contact("444", None)]
    );
}

/// The user with this phone, who is there.
async fn somebody(users: &Users, phone: &str) -> User {
    users.get(phone).await.unwrap().unwrap().user
}

#[tokio::test]
async fn a_user_is_signed_out_and_its_next_token_counts() {
    let users = users(&["111"]).await;
    let bob = somebody(&users, "111").await;
    assert!(bob.takes(0) && bob.tokens_from().is_none());
    assert_eq!(bob.issue(NOW), NOW);
    let hash = Hash::kept("another");
    for password in [None, Some(hash.clone())] {
        let before = somebody(&users, "111").await.password;
        assert_eq!(users.take_back_tokens("111", password.clone(), NOW).await, Ok(true));
        let bob = somebody(&users, "111").await;
        assert_eq!(bob.password, password.unwrap_or(before));
        assert!(!bob.takes(0) && bob.takes(bob.issue(NOW)));
    }
    assert_eq!(users.take_back_tokens("222", None, NOW).await, Ok(false));
}

#[tokio::test]
async fn each_sign_out_takes_back_whatever_was_issued_before_it_by_whatever_clock() {
    let users = users(&["111"]).await;
    for (issued, taken_back) in [
        (NOW + SKEW - 1, NOW), // by a clock that is ahead
        (NOW, NOW),
        (NOW, NOW),               // within one second
        (NOW, NOW - 1000),        // by a clock that was set back
        (NOW - 1000, NOW - 1000), // both
        (NOW + 1000, NOW + 1000),
    ] {
        let token = somebody(&users, "111").await.issue(issued);
        assert!(somebody(&users, "111").await.takes(token), "{issued}");
        users.take_back_tokens("111", None, taken_back).await.unwrap();
        assert!(!somebody(&users, "111").await.takes(token), "{issued}, {taken_back}");
    }
}

#[tokio::test]
async fn who_is_deleted_is_nobody_and_its_tokens_are_not_those_of_the_next() {
    let users = users(&["111", "222"]).await;
    users.befriend("111", "222").await.unwrap();
    assert_eq!(users.was_deleted("111").await, Ok(false));
    let ann = somebody(&users, "111").await;
    let id = users.begin_deletion("111", NOW).await.unwrap().unwrap();
    assert_eq!(id, ann.id);
    let began = somebody(&users, "111").await;
    assert!(!began.takes(ann.issue(NOW)), "it may come in again, with its password");
    let Deletion::Now(gone) = users.delete("111", &id, &At(NOW)).await.unwrap() else {
        panic!("it was there");
    };
    assert_eq!(gone.contacts, ["222"]);
    assert!(users.get("111").await.unwrap().is_none());
    assert_eq!(users.was_deleted("111").await, Ok(true));
    assert_eq!(users.delete("111", &id, &At(NOW)).await, Ok(Deletion::Before));
    assert_eq!(users.begin_deletion("111", NOW).await, Ok(None));
    let bob = somebody(&users, "222").await;
    assert_eq!(bob.contacts, ["111"], "nobody's");
    assert_eq!(users.contacts(&bob, usize::MAX).await.unwrap().users, vec![]);
    assert_eq!(users.are_acquainted("222", "111").await, Ok(false));
    assert_eq!(users.register(user("111")).await, Ok(true));
    let next = somebody(&users, "111").await;
    for token in [ann.issue(NOW), began.issue(NOW)] {
        assert!(!next.takes(token));
    }
    assert!(next.takes(next.issue(NOW)));
    assert_eq!(users.register(user("111")).await, Ok(false));
    assert_eq!(users.register(user("444")).await, Ok(true));
    assert!(somebody(&users, "444").await.takes(0));
}

#[tokio::test]
async fn each_deletion_takes_back_the_tokens_of_all_who_had_the_phone() {
    let (users, mut tokens) = (users(&["111"]).await, Vec::new());
    for (life, now) in [NOW, NOW, NOW - 1000, NOW + 1000].into_iter().enumerate() {
        let one = somebody(&users, "111").await;
        assert!(!tokens.iter().any(|token| one.takes(*token)), "of life {life}");
        tokens.push(one.issue(now));
        users.delete("111", &one.id, &At(now)).await.unwrap();
        assert_eq!(users.register(user("111")).await, Ok(true));
    }
}

/// What is done between the two may take long.
#[tokio::test]
async fn who_logs_in_while_it_is_deleted_has_no_token_of_the_phone_s_next_user() {
    let users = users(&["111"]).await;
    let id = users.begin_deletion("111", NOW).await.unwrap().unwrap();
    let later = NOW + 10 * SKEW;
    let token = somebody(&users, "111").await.issue(later);
    users.delete("111", &id, &At(later)).await.unwrap();
    assert_eq!(users.register(user("111")).await, Ok(true));
    assert!(!somebody(&users, "111").await.takes(token));
}

#[tokio::test]
async fn who_has_the_phone_since_is_not_deleted() {
    let users = users(&["111"]).await;
    let id = users.begin_deletion("111", NOW).await.unwrap().unwrap();
    users.delete("111", &id, &At(NOW)).await.unwrap();
    let next = User { id: "another".to_owned(), ..user("111") };
    assert_eq!(users.register(next).await, Ok(true));
    assert_eq!(users.delete("111", &id, &At(NOW)).await, Ok(Deletion::Before));
    assert_eq!(somebody(&users, "111").await.id, "another");
}

/// Between the look at deletions and the adding of a user others may have the phone, and lose it.
#[tokio::test]
async fn who_registers_while_the_phone_s_last_user_is_deleted_takes_none_of_its_tokens() {
    let users = nobody();
    // The first of the two goes first each time.
    let (noted, registered) =
        join(users.note_deletion("111", NOW), users.register(user("111"))).await;
    assert_eq!((noted, registered), (Ok(()), Ok(true)));
    let next = somebody(&users, "111").await;
    assert_eq!(next.tokens_from(), Some(NOW));
    assert!(!next.takes(NOW - 1) && next.takes(next.issue(NOW - 1)));
}
