//! Users in records that are in memory.
use futures_util::future::join_all;

use super::*;
use crate::domain::records::in_memory::InMemory;

/// A user with this phone, bob by name.
pub(in crate::dialect::wechat) fn user(phone: &str) -> User {
    let registration = Registration {
        nick: "bob".to_owned(),
        user_name: "bobby".to_owned(),
        password: "secret".to_owned(),
        email: "b@x".to_owned(),
        phone: phone.to_owned(),
        thumb: None,
        region: None,
    };
    let rest = Rest {
        id: "0123456789abcdef01234567".to_owned(),
        password: Hash::kept("$argon2id$…"),
        contacts: Vec::new(),
    };
    User::new(registration, rest)
}

/// Nobody yet.
pub(in crate::dialect::wechat) fn nobody() -> Users {
    Users::new(Arc::new(InMemory::default()))
}

/// Users with these phones.
pub(super) async fn users(phones: &[&str]) -> Users {
    let users = nobody();
    for phone in phones {
        assert_eq!(users.add(&user(phone)).await, Ok(true));
    }
    users
}

impl Users {
    async fn contacts_of(&self, phone: &str) -> Vec<String> {
        self.get(phone).await.unwrap().unwrap().user.contacts
    }

    async fn found(&self, keyword: &str, me: &str) -> Vec<String> {
        let found = self.search(keyword, me).await.unwrap();
        found.into_iter().map(|user| user.phone).collect()
    }

    /// Writes the contacts of a user, whatever they are.
    async fn set_contacts(&self, phone: &str, contacts: &[&str]) {
        let Read { user, version } = self.get(phone).await.unwrap().unwrap();
        let contacts = contacts.iter().map(|contact| (*contact).to_owned()).collect();
        let user = User { contacts, ..user };
        assert_eq!(self.put(&user, Expect::Version(version)).await, Ok(true));
    }
}

#[tokio::test]
async fn of_several_who_register_one_phone_one_wins() {
    let users = nobody();
    let bob = user("13800138001");
    let adding: Vec<_> = (0..20).map(|_| users.add(&bob)).collect();
    let added = join_all(adding).await;
    assert_eq!(added.iter().filter(|added| **added == Ok(true)).count(), 1);
    assert_eq!(users.get("13800138001").await.unwrap().unwrap().user, bob);
    assert!(users.get("138").await.unwrap().is_none());
}

#[test]
fn a_user_is_kept_under_the_names_of_the_original() {
    let json: serde_json::Value = serde_json::from_slice(&user("1380").body()).unwrap();
    let names: Vec<&String> = json.as_object().unwrap().keys().collect();
    let expected = [
        "_id", "contacts", "email", "grams", "group", "nick", "password", "phone", "region",
        "thumb", "userName",
    ];
    assert!(expected.iter().all(|name| names.iter().any(|other| other == name)), "{names:?}");
    assert_eq!(names.len(), expected.len());
    assert_eq!(json["grams"], serde_json::json!(["138", "380", "1380"]));
}

#[test]
fn a_phone_is_found_by_all_its_parts_of_three_characters_or_more() {
    assert_eq!(grams("12"), [""; 0]);
    assert_eq!(grams("123"), ["123"]);
    assert_eq!(grams("11111"), ["111", "1111", "11111"], "each once");
    assert_eq!(grams("00112233445566778899").len(), 171);
    assert_eq!(grams(&"0123456789abcdef".repeat(20)).len(), 255, "as many as a record can have");
    assert_eq!(grams("héé!"), ["héé", "éé!", "héé!"]);
}

#[tokio::test]
async fn a_search_is_literal_and_finds_others() {
    let users = users(&["13800138000", "13800138001", "13900000000", "+86_1380"]).await;
    for (keyword, found) in [
        ("138", &["+86_1380", "13800138001"][..]),
        ("8001", &["13800138001"]),
        ("13800138001", &["13800138001"]),
        ("+86", &["+86_1380"]),
        ("139", &["13900000000"]),
        ("13800138000", &[]),
        ("13", &[]),
        ("", &[]),
        ("13.", &[]),
        (".*.", &[]),
        ("[", &[]),
        ("777", &[]),
        ("138001380011380013800", &[]),
    ] {
        assert_eq!(users.found(keyword, "13800138000").await, found, "{keyword}");
    }
}

#[tokio::test]
async fn a_search_finds_a_hundred() {
    let users = nobody();
    for number in 0..150 {
        users.add(&user(&format!("777{number:03}"))).await.unwrap();
    }
    for me in ["777000", "777120", "1"] {
        let found = users.found("777", me).await;
        assert_eq!(found.len(), 100, "{me}");
        assert!(!found.iter().any(|phone| phone == me));
    }
}

#[tokio::test]
async fn contacts_are_mutual_and_added_once() {
    let users = users(&["111", "222", "333"]).await;
    assert_eq!(users.befriend("111", "222").await, Ok(true));
    assert_eq!(users.befriend("111", "222").await, Ok(false));
    assert_eq!(users.befriend("222", "111").await, Ok(false));
    assert_eq!(users.contacts_of("111").await, ["222"]);
    assert_eq!(users.contacts_of("222").await, ["111"]);
    for nobody in ["111", "444", "", &"4".repeat(5000)] {
        assert_eq!(users.befriend("111", nobody).await, Ok(false), "{nobody}");
    }
    assert_eq!(users.contacts_of("111").await, ["222"]);
}

#[tokio::test]
async fn what_was_half_done_is_done_when_it_is_asked_for_again() {
    let users = users(&["111", "222"]).await;
    users.set_contacts("222", &["111"]).await;
    for (me, peer) in [("111", "222"), ("222", "111")] {
        assert_eq!(users.are_acquainted(me, peer).await, Ok(true), "one of the two is enough");
    }
    assert_eq!(users.befriend("111", "222").await, Ok(true));
    assert_eq!(users.contacts_of("111").await, ["222"]);
    assert_eq!(users.contacts_of("222").await, ["111"]);
}

#[tokio::test]
async fn nobody_is_lost_where_many_add_one() {
    let users = users(&["999"]).await;
    for number in 100..140 {
        users.add(&user(&number.to_string())).await.unwrap();
    }
    let phones: Vec<String> = (100..140).map(|number| number.to_string()).collect();
    let adding: Vec<_> = phones.iter().map(|phone| users.befriend(phone, "999")).collect();
    assert!(join_all(adding).await.into_iter().all(|added| added == Ok(true)));
    let mut contacts = users.contacts_of("999").await;
    contacts.sort();
    assert_eq!(contacts, phones);
}

#[tokio::test]
async fn a_user_with_as_many_contacts_as_it_may_have_gets_no_more() {
    let users = users(&["111", "222"]).await;
    let many: Vec<String> = (0..CONTACTS).map(|number| format!("9{number:06}")).collect();
    users.set_contacts("222", &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (me, other) in [("111", "222"), ("222", "111")] {
        assert_eq!(users.befriend(me, other).await, Ok(false));
    }
    assert_eq!(users.contacts_of("111").await, [""; 0]);
}

#[tokio::test]
async fn contacts_are_told_by_group_and_strangers_are_none() {
    let users = users(&["111"]).await;
    for (phone, nick) in [("222", "Zoe"), ("333", "张三"), ("444", "ann")] {
        let bob = user(phone);
        users.add(&User { nick: nick.to_owned(), group: group(nick), ..bob }).await.unwrap();
    }
    users.set_contacts("111", &["222", "333", "444", "111", "555", "222"]).await;
    let ann = users.get("111").await.unwrap().unwrap().user;
    let contacts = users.contacts(&ann, usize::MAX).await.unwrap().users;
    let phones: Vec<&str> = contacts.iter().map(|user| &*user.phone).collect();
    assert_eq!(phones, ["444", "222", "333"]);
    for (me, peer, expected) in [
        ("111", "222", true),
        ("222", "111", true),
        ("222", "333", false),
        ("111", "111", false),
        ("111", "555", false),
        ("555", "111", true), // it was one, and 111 has it still
        ("111", "", false),
    ] {
        assert_eq!(users.are_acquainted(me, peer).await, Ok(expected), "{me}, {peer}");
    }
}

#[tokio::test]
async fn who_has_one_as_a_contact_is_known_by_its_own_record_alone() {
    let records = Arc::<InMemory>::default();
    let users = Users::new(records.clone());
    for phone in ["111", "222", "333"] {
        users.add(&user(phone)).await.unwrap();
    }
    users.set_contacts("111", &["222"]).await;
    for (me, peer, is_known, reads) in [
        ("222", "111", true, 1),
        ("111", "222", true, 2),
        ("111", "333", false, 2),
        ("111", "444", false, 1),
        ("111", "111", false, 0),
    ] {
        records.calls();
        let known = users.are_acquainted(me, peer).await;
        assert_eq!((known, records.calls()), (Ok(is_known), (reads, 0)), "{me}, {peer}");
    }
}

#[tokio::test]
async fn contacts_are_parted_on_both_sides() {
    for (anns, bobs, phone, contact, is_changed) in [
        (&["222", "333"][..], &["111"][..], "111", "222", true),
        (&["222", "333"], &["111"], "222", "111", true),
        (&["333"], &["111"], "111", "222", true),
        (&["222", "333"], &[], "111", "222", true),
        (&["333"], &[], "111", "222", false),
        (&["333"], &[], "111", "444", false),
    ] {
        let users = users(&["111", "222"]).await;
        users.set_contacts("111", anns).await;
        users.set_contacts("222", bobs).await;
        assert_eq!(users.part(phone, contact).await, Ok(is_changed), "{anns:?} {bobs:?}");
        assert_eq!(users.contacts_of("111").await, ["333"]);
        assert_eq!(users.contacts_of("222").await, [""; 0]);
    }
}

#[tokio::test]
async fn a_place_that_is_given_up_is_another_s() {
    let users = users(&["111", "222"]).await;
    let many: Vec<String> = (0..CONTACTS).map(|number| format!("9{number:06}")).collect();
    users.set_contacts("222", &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(users.befriend("111", "222").await, Ok(false));
    assert_eq!(users.part("222", "9000500").await, Ok(true), "also of nobody");
    assert_eq!(users.befriend("111", "222").await, Ok(true));
}

#[tokio::test]
async fn a_password_is_replaced_unless_the_user_was_changed_meanwhile() {
    let users = users(&["111", "222"]).await;
    let read = users.get("111").await.unwrap().unwrap();
    assert_eq!(users.replace_password(&read, Hash::kept("new")).await, Ok(true));
    let now = users.get("111").await.unwrap().unwrap();
    assert_eq!(now.user, User { password: Hash::kept("new"), ..read.user.clone() });
    users.befriend("111", "222").await.unwrap();
    assert_eq!(users.replace_password(&now, Hash::kept("newer")).await, Ok(false));
    assert_eq!(users.contacts_of("111").await, ["222"]);
}

#[tokio::test]
async fn a_user_who_is_too_large_is_not_kept() {
    let bob = User { thumb: Some("x".repeat(2 << 20)), ..user("111") };
    assert_eq!(nobody().add(&bob).await, Err(Failure::Internal));
}

#[tokio::test]
async fn a_search_tells_pictures_as_far_as_they_are_not_too_much() {
    let users = nobody();
    for number in 100..120 {
        let thumb = Some("x".repeat(128 << 10));
        users.add(&User { thumb, ..user(&format!("777{number}")) }).await.unwrap();
    }
    let found = users.search("777", "1").await.unwrap();
    let with_pictures = found.iter().filter(|user| user.thumb.is_some()).count();
    assert_eq!((found.len(), with_pictures), (20, 16));
}

#[tokio::test]
async fn pictures_are_told_as_far_as_they_are_not_too_much() {
    let users = users(&["111"]).await;
    let thumb = Some("x".repeat(128 << 10));
    let phones: Vec<String> = (1000..1200).map(|number| number.to_string()).collect();
    for phone in &phones {
        users.add(&User { thumb: thumb.clone(), ..user(phone) }).await.unwrap();
    }
    users.set_contacts("111", &phones.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let ann = users.get("111").await.unwrap().unwrap().user;
    let contacts = users.contacts(&ann, usize::MAX).await.unwrap().users;
    let with_pictures = contacts.iter().filter(|user| user.thumb.is_some()).count();
    assert_eq!((contacts.len(), with_pictures), (200, 128));
}

#[tokio::test]
async fn of_contacts_that_are_too_much_it_is_told_how_much() {
    let users = users(&["111"]).await;
    for phone in ["222", "333"] {
        let thumb = Some("x".repeat(1000));
        users.add(&User { thumb, ..user(phone) }).await.unwrap();
    }
    users.set_contacts("111", &["222", "333"]).await;
    users.set_contacts("222", &["111"]).await;
    let ann = users.get("111").await.unwrap().unwrap().user;
    let all = users.contacts(&ann, usize::MAX).await.unwrap();
    assert_eq!(all.users.len(), 2);
    assert!(all.users.iter().all(|user| user.contacts.is_empty()), "those are not told");
    assert!((2000..3000).contains(&all.bytes), "{}", all.bytes);
    for (most, kept) in [(all.bytes, 2), (all.bytes - 1, 0), (1500, 0), (0, 0)] {
        let some = users.contacts(&ann, most).await.unwrap();
        assert_eq!((some.users.len(), some.bytes), (kept, all.bytes), "{most}");
    }
}
