//! Users as administrators look for them, sign them out, and delete them.
//!
//! Tokens have no end, so what takes them back is a time in the user's record: those that were
//! issued before it count no more. Who is deleted leaves such a time behind, by phone, for whoever
//! registers that phone later: else the old tokens would be the newcomer's.
use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{AT_ONCE, GRAMS, LONGEST, NICK, Read, SHORTEST, TRIES, USERS, User, Users, read};
use crate::{
    dialect::wechat::{error::Failure, password::Hash},
    domain::records::{Collection, Expect, MAX_ID, Put, Record, RecordPage},
    throttle::throttled,
};

/// Phones whose users were deleted.
const DELETED: Collection = Collection::new("wechat-deleted", &[]);

/// What is left of a user who was deleted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    /// As in a user's record.
    tokens_from: u64,
}

/// Some users, in the order of their phones.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Page {
    pub users: Vec<User>,
    /// The phone behind which the next page begins; nothing where this is the last.
    pub next: Option<String>,
}

impl Page {
    fn of(records: Vec<Record>, next: Option<String>) -> Result<Self, Failure> {
        let users = records.into_iter().map(|record| read(record).map(|read| read.user));
        Ok(Page { users: users.collect::<Result<_, _>>()?, next })
    }
}

/// A contact of a user.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Contact {
    pub phone: String,
    /// Nothing: nobody has this phone.
    pub known: Option<Known>,
}

/// What is told of a contact who is somebody.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Known {
    pub nick: String,
    /// The contact has the user as a contact, too.
    pub is_mutual: bool,
}

/// What became of a deletion.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) enum Deletion {
    /// This was the user.
    Now(Box<User>),
    /// There is none, as it was deleted before.
    Before,
    /// There is none, and never was one.
    Never,
}

impl User {
    /// Whether a token counts that was issued at this time, in seconds since 1970.
    pub fn takes(&self, issued: u64) -> bool {
        issued >= self.tokens_from
    }

    /// The time of issue of a token that is made now, in seconds since 1970: one that counts.
    pub fn issue(&self, now: u64) -> u64 {
        now.max(self.tokens_from)
    }

    /// From when on tokens count, in seconds since 1970; nothing: all do.
    pub fn tokens_from(&self) -> Option<u64> {
        (self.tokens_from > 0).then_some(self.tokens_from)
    }
}

impl Users {
    /// Adds a user who registers; false: another one has this phone. Tokens of somebody who had it
    /// before, and was deleted, do not count.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn register(&self, mut user: User) -> Result<bool, Failure> {
        user.tokens_from = self.deleted(&user.phone).await?.unwrap_or_default();
        self.add(&user).await
    }

    /// All users behind the phone `after`; `limit` at most.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn page(&self, after: Option<&str>, limit: usize) -> Result<Page, Failure> {
        let page = self.records.list(&USERS, after, limit).await?;
        Page::of(page.records, page.next)
    }

    /// Users behind the phone `after` whose phones have this text in them, which needs three
    /// characters, or whose nick it is; `limit` at most.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn look_for(
        &self,
        text: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, Failure> {
        let (mut by_nick, mut by_phone) = (RecordPage::default(), RecordPage::default());
        if text.len() <= MAX_ID {
            by_nick = self.records.find(&USERS, NICK, text, after, limit).await?;
        }
        if (SHORTEST..=LONGEST).contains(&text.chars().count()) {
            by_phone = self.records.find(&USERS, GRAMS, text, after, limit).await?;
        }
        // Behind the end of the shorter page there may be more of its kind: those come next time.
        let end = [&by_nick.next, &by_phone.next].into_iter().flatten().min().cloned();
        let all = by_nick.records.into_iter().chain(by_phone.records);
        let found: BTreeMap<String, Record> = all
            .filter(|record| end.as_ref().is_none_or(|end| record.id <= *end))
            .map(|record| (record.id.clone(), record))
            .collect();
        let is_more = found.len() > limit;
        let records: Vec<Record> = found.into_values().take(limit).collect();
        let last = records.last().map(|record| record.id.clone());
        Page::of(records, if is_more { last } else { end })
    }

    /// What there is to tell of these contacts of a user.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn acquaintances(
        &self,
        user: &User,
        phones: &[String],
    ) -> Result<Vec<Contact>, Failure> {
        let mut contacts = Vec::with_capacity(phones.len());
        for phones in phones.chunks(AT_ONCE) {
            let reading: Vec<_> = phones.iter().map(|phone| self.get(phone)).collect();
            for (phone, found) in phones.iter().zip(join_all(reading).await) {
                let known = found?.map(|Read { user: other, .. }| Known {
                    is_mutual: other.has(&user.phone),
                    nick: other.nick,
                });
                contacts.push(Contact { phone: phone.clone(), known });
            }
        }
        Ok(contacts)
    }

    /// Takes back all tokens of a user that were issued until now, and replaces its password, if
    /// there is another one. `now` in seconds since 1970. False: there is no such user.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn take_back_tokens(
        &self,
        phone: &str,
        password: Option<Hash>,
        now: u64,
    ) -> Result<bool, Failure> {
        for _ in 0..TRIES {
            let Some(Read { mut user, version }) = self.get(phone).await? else {
                return Ok(false);
            };
            user.tokens_from = behind(now).max(user.tokens_from);
            if let Some(password) = &password {
                user.password = password.clone();
            }
            if self.put(&user, Expect::Version(version)).await? {
                return Ok(true);
            }
        }
        Err(crowded())
    }

    /// Deletes a user. `now` in seconds since 1970.
    ///
    /// # Errors
    /// The store does not answer. It may be asked for again.
    pub async fn delete(&self, phone: &str, now: u64) -> Result<Deletion, Failure> {
        for _ in 0..TRIES {
            let Some(Read { user, version }) = self.get(phone).await? else {
                let before = self.deleted(phone).await?;
                return Ok(before.map_or(Deletion::Never, |_| Deletion::Before));
            };
            // Before the record goes: else somebody could register between the two.
            self.note_deletion(phone, behind(now).max(user.tokens_from)).await?;
            if self.records.delete(&USERS, phone, Some(version)).await? {
                return Ok(Deletion::Now(Box::new(user)));
            }
        }
        Err(crowded())
    }

    /// From when on tokens count for this phone, as its user was deleted.
    async fn deleted(&self, phone: &str) -> Result<Option<u64>, Failure> {
        let Some(record) = self.records.get(&DELETED, phone).await? else { return Ok(None) };
        match serde_json::from_slice::<Deleted>(&record.body) {
            Ok(deleted) => Ok(Some(deleted.tokens_from)),
            Err(error) => {
                let collection = DELETED.name();
                throttled!(error, collection, %error, "a record can't be read");
                Err(Failure::Internal)
            }
        }
    }

    async fn note_deletion(&self, phone: &str, tokens_from: u64) -> Result<(), Failure> {
        // A number: always JSON.
        let body = serde_json::to_vec(&Deleted { tokens_from }).unwrap_or_default();
        match self.records.put(&DELETED, phone, body.into(), Expect::Any, None).await? {
            Put::Done { .. } | Put::Conflict { .. } => Ok(()),
            Put::Invalid(why) => {
                throttled!(error, %why, "that a user was deleted can't be kept");
                Err(Failure::Internal)
            }
        }
    }
}

/// From when on tokens count that are issued behind this moment: their times are whole seconds.
fn behind(now: u64) -> u64 {
    now.saturating_add(1)
}

fn crowded() -> Failure {
    throttled!(warn, "a user is changed by so many that a change was given up");
    Failure::Unavailable
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{user, users},
        *,
    };

    const NOW: u64 = 1_700_000_000;

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

    #[tokio::test]
    async fn tokens_are_taken_back_until_now_and_the_next_one_counts() {
        let users = users(&["111"]).await;
        let bob = users.get("111").await.unwrap().unwrap().user;
        assert!(bob.takes(0) && bob.tokens_from().is_none());
        assert_eq!(bob.issue(NOW), NOW);
        assert_eq!(users.take_back_tokens("111", None, NOW).await, Ok(true));
        let bob = users.get("111").await.unwrap().unwrap().user;
        assert!(!bob.takes(0) && !bob.takes(NOW) && bob.takes(bob.issue(NOW)));
        assert_eq!(bob.password, user("111").password);
        let hash = Hash::kept("another");
        // A clock that was set back takes nothing away.
        assert_eq!(users.take_back_tokens("111", Some(hash.clone()), NOW - 9).await, Ok(true));
        let bob = users.get("111").await.unwrap().unwrap().user;
        assert_eq!((bob.tokens_from(), bob.password), (Some(NOW + 1), hash));
        assert_eq!(users.take_back_tokens("222", None, NOW).await, Ok(false));
    }

    #[tokio::test]
    async fn who_is_deleted_is_nobody_and_its_tokens_are_not_those_of_the_next() {
        let users = users(&["111", "222"]).await;
        users.befriend("111", "222").await.unwrap();
        let Deletion::Now(ann) = users.delete("111", NOW).await.unwrap() else {
            panic!("it was there");
        };
        assert_eq!(ann.contacts, ["222"]);
        assert!(users.get("111").await.unwrap().is_none());
        assert_eq!(users.delete("111", NOW).await, Ok(Deletion::Before));
        assert_eq!(users.delete("333", NOW).await, Ok(Deletion::Never));
        let bob = users.get("222").await.unwrap().unwrap().user;
        assert_eq!(bob.contacts, ["111"], "nobody's");
        assert_eq!(users.contacts(&bob).await, Ok(vec![]));
        assert_eq!(users.are_acquainted(&bob, "111").await, Ok(false));
        assert_eq!(users.register(user("111")).await, Ok(true));
        let next = users.get("111").await.unwrap().unwrap().user;
        assert!(!next.takes(NOW) && next.takes(next.issue(NOW)));
        assert_eq!(users.register(user("111")).await, Ok(false));
        assert_eq!(users.register(user("444")).await, Ok(true));
        assert!(users.get("444").await.unwrap().unwrap().user.takes(0));
    }
}
