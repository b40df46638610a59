//! Users as administrators look for them, sign them out, and delete them.
//!
//! Tokens have no end, so what takes them back is a time in the user's record: those that were
//! issued before it count no more. It lies a little in the future, as the clocks of nodes differ,
//! and always behind the one before: so it is also above the time of every token that was issued
//! since, which is never less than that ([`User::issue`]). Who is deleted leaves such a time
//! behind, by phone, for whoever registers that phone later: else the old tokens would be the
//! newcomer's.
use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{
    AT_ONCE, Changed, GRAMS, LONGEST, NICK, Read, SHORTEST, TRIES, USERS, User, Users, crowded,
    read,
};
use crate::{
    dialect::wechat::{error::Failure, password::Hash},
    domain::{
        clock::Clock,
        records::{Collection, Expect, MAX_ID, Put, Record, RecordPage},
    },
    throttle::throttled,
};

/// Phones whose users were deleted.
const DELETED: Collection = Collection::new("wechat-deleted", &[]);
/// Seconds by which the clock of a node may be ahead of another's: tokens that were issued by it
/// are taken back nonetheless.
const SKEW: u64 = 10;

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
    /// It is not there any more, as it was deleted before. Another one may have its phone.
    Before,
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
    /// The store does not answer. The user may be there nonetheless.
    pub async fn register(&self, mut user: User) -> Result<bool, Failure> {
        let before = self.deleted(&user.phone).await?.unwrap_or_default();
        user.tokens_from = before;
        if !self.add(&user).await? {
            return Ok(false);
        }
        // Others may have had it for a while since it was looked.
        let now = self.deleted(&user.phone).await?.unwrap_or_default();
        if now > before {
            let raised = self.change(&user.phone, |user| {
                if user.tokens_from >= now {
                    return Changed::Before;
                }
                user.tokens_from = now;
                Changed::Now
            });
            raised.await?;
        }
        Ok(true)
    }

    /// Whether somebody had this phone who was deleted, whoever has it now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn was_deleted(&self, phone: &str) -> Result<bool, Failure> {
        Ok(self.deleted(phone).await?.is_some())
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
        let changed = self.change(phone, |user| {
            user.tokens_from = behind(now, user.tokens_from);
            if let Some(password) = &password {
                user.password = password.clone();
            }
            Changed::Now
        });
        Ok(changed.await? == Changed::Now)
    }

    /// Begins to delete a user: takes its tokens back. Returns its id; what is left to do is
    /// [`Users::delete`]. Nothing: there is none. `now` in seconds since 1970.
    ///
    /// # Errors
    /// The store does not answer. It may be asked for again.
    pub async fn begin_deletion(&self, phone: &str, now: u64) -> Result<Option<String>, Failure> {
        let Some(Read { user: User { id, .. }, .. }) = self.get(phone).await? else {
            return Ok(None);
        };
        let changed = self.change(phone, |user| {
            if user.id != id {
                return Changed::Never;
            }
            user.tokens_from = behind(now, user.tokens_from);
            Changed::Now
        });
        Ok((changed.await? == Changed::Now).then_some(id))
    }

    /// Deletes the user with this phone and this id, and no other one that has its phone since.
    /// Until it is gone it may log in, so the time is looked at as late as can be.
    ///
    /// # Errors
    /// The store does not answer. It may be asked for again.
    pub async fn delete(
        &self,
        phone: &str,
        id: &str,
        clock: &dyn Clock,
    ) -> Result<Deletion, Failure> {
        for _ in 0..TRIES {
            let read = self.get(phone).await?.filter(|read| read.user.id == id);
            let Some(Read { user, version }) = read else { return Ok(Deletion::Before) };
            // Before the record goes: else somebody could register between the two.
            self.note_deletion(phone, behind(clock.unix(), user.tokens_from)).await?;
            if self.records.delete(&USERS, phone, Some(version)).await? {
                return Ok(Deletion::Now(Box::new(user)));
            }
        }
        Err(crowded())
    }

    /// From when on tokens count for this phone, as its user was deleted.
    async fn deleted(&self, phone: &str) -> Result<Option<u64>, Failure> {
        let record = self.records.get(&DELETED, phone).await?;
        record.map(|record| tokens_from(&record)).transpose()
    }

    /// Keeps for this phone from when on tokens count, or more where it was deleted before.
    async fn note_deletion(&self, phone: &str, least: u64) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let before = self.records.get(&DELETED, phone).await?;
            let (expect, tokens_from) = match &before {
                None => (Expect::New, least),
                Some(record) => {
                    let noted = tokens_from(record)?;
                    (Expect::Version(record.version), least.max(noted.saturating_add(1)))
                }
            };
            // A number: always JSON.
            let body = serde_json::to_vec(&Deleted { tokens_from }).unwrap_or_default();
            match self.records.put(&DELETED, phone, body.into(), expect, None).await? {
                Put::Done { .. } => return Ok(()),
                Put::Conflict { .. } => {}
                Put::Invalid(why) => {
                    throttled!(error, %why, "that a user was deleted can't be kept");
                    return Err(Failure::Internal);
                }
            }
        }
        Err(crowded())
    }
}

/// From when on tokens count, by the record of a deletion.
fn tokens_from(record: &Record) -> Result<u64, Failure> {
    match serde_json::from_slice::<Deleted>(&record.body) {
        Ok(deleted) => Ok(deleted.tokens_from),
        Err(error) => {
            let collection = DELETED.name();
            throttled!(error, collection, %error, "a record can't be read");
            Err(Failure::Internal)
        }
    }
}

/// From when on tokens count if those are taken back that were issued until now. `before`: from
/// when on they counted up to now.
fn behind(now: u64, before: u64) -> u64 {
    now.saturating_add(SKEW).max(before.saturating_add(1))
}

#[cfg(test)]
mod tests;
