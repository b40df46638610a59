//! Users, with their contacts: records by phone.
//!
//! A change is a decision over what was read, and a write that counts only if that is still so;
//! else it is decided again. Two who become contacts are two records, one written behind the other:
//! that of whoever is added first. If the server dies between the two, whoever asked has no answer and
//! does not see the other, asks again, and then its own record is written. Meanwhile both may write
//! to each other already, as one of the two records is enough for that ([`Users::are_acquainted`]).
//!
//! A user is found by any part of its phone that has three characters or more. All of these are in
//! the record, and are indexed: a search is one look-up, whatever is looked for.
use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{error::Failure, group::group, password::Hash, registration::Registration};
use crate::{
    domain::{
        clock::{NoRandomness, Rng},
        records::{Collection, Draft, Expect, MAX_KEYS, Put, Record, Records},
    },
    hex,
    throttle::throttled,
};

pub(super) mod admin;
pub(super) mod contacts;
#[cfg(test)]
pub(super) mod tests;

/// Users by phone.
const USERS: Collection = Collection::new("wechat-users", &["grams", "nick"]);
/// The index of the parts of phones, and that of nicks.
const GRAMS: &str = "grams";
const NICK: &str = "nick";
/// Characters of such a part.
const SHORTEST: usize = 3;
const LONGEST: usize = 20;
/// Users that a search finds at most.
const FOUND: usize = 100;
/// Contacts that a user may have.
const CONTACTS: usize = 2000;
/// Bytes of the pictures that are told with what a search finds: what is beyond is left out.
const FOUND_PICTURES: usize = 2 << 20;
/// Records that are read at a time for one user.
const AT_ONCE: usize = 32;
/// How often a change is decided anew while others come in between. Of so many who change the same
/// at the same time one is done each time, so that nobody should need nearly as many.
const TRIES: usize = 100;
/// Bytes of an id, as MongoDB's have.
const ID: usize = 12;

/// A user, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct User {
    /// 24 hexadecimal digits, as the original has it.
    #[serde(rename = "_id")]
    pub id: String,
    pub nick: String,
    pub user_name: String,
    pub password: Hash,
    pub email: String,
    pub phone: String,
    pub thumb: Option<String>,
    pub region: Option<String>,
    pub group: String,
    /// Phones, in the order in which they came. Some may be nobody's.
    pub contacts: Vec<String>,
    /// What it is found by.
    grams: Vec<String>,
    /// Tokens that were issued before this time count no more, in seconds since 1970; 0: all count.
    #[serde(default, skip_serializing_if = "is_zero")]
    tokens_from: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a user has besides what it registered with.
pub(super) struct Rest {
    pub id: String,
    pub password: Hash,
    pub contacts: Vec<String>,
}

impl User {
    /// One who has registered, here or with the original.
    pub fn new(registration: Registration, rest: Rest) -> Self {
        let Registration { nick, user_name, password: _, email, phone, thumb, region } =
            registration;
        let Rest { id, password, contacts } = rest;
        let (group, grams) = (group(&nick), grams(&phone));
        User {
            id,
            nick,
            user_name,
            password,
            email,
            phone,
            thumb,
            region,
            group,
            contacts,
            grams,
            tokens_from: 0,
        }
    }

    /// Whether a record can be like this: a user of the original may have more than ours can.
    pub fn can_be_kept(&self) -> bool {
        Draft::new(&USERS, &self.phone, self.body()).is_ok()
    }

    /// As it is kept.
    fn body(&self) -> Bytes {
        // Texts, and lists of such: always JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    fn has(&self, contact: &str) -> bool {
        self.contacts.iter().any(|other| other == contact)
    }
}

/// An id for a new user.
///
/// # Errors
/// There is no randomness.
pub(super) fn new_id(rng: &dyn Rng) -> Result<String, NoRandomness> {
    let mut id = [0; ID];
    rng.fill(&mut id)?;
    Ok(hex::encode(&id))
}

/// The parts of a phone by which it is found, the short ones first. A phone of the original may be
/// longer than ours can be, and is not found by all of its long parts then.
fn grams(phone: &str) -> Vec<String> {
    let characters: Vec<char> = phone.chars().collect();
    let mut seen = BTreeSet::new();
    (SHORTEST..=LONGEST.min(characters.len()))
        .flat_map(|length| characters.windows(length).map(|part| part.iter().collect::<String>()))
        .filter(|part| seen.insert(part.clone()))
        .take(MAX_KEYS - 1) // the nick is one, too
        .collect()
}

/// What was read, with the version that it has.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub user: User,
    version: u64,
}

/// What became of a change of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Now,
    /// It was like that before.
    Before,
    /// There is no such user any more, or it may not be.
    Never,
}

/// Bytes that pictures may have yet.
struct Pictures(usize);

impl Pictures {
    /// Takes a user's picture away if there is no place for it.
    fn fit(&mut self, user: &mut User) {
        user.thumb = user.thumb.take().filter(|thumb| thumb.len() <= self.0);
        self.0 -= user.thumb.as_ref().map_or(0, String::len);
    }
}

/// Where users are kept.
pub(super) struct Users {
    records: Arc<dyn Records>,
}

impl Users {
    /// Users among these records.
    pub fn new(records: Arc<dyn Records>) -> Self {
        Users { records }
    }

    /// The user with this phone.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn get(&self, phone: &str) -> Result<Option<Read>, Failure> {
        self.records.get(&USERS, phone).await?.map(read).transpose()
    }

    /// Adds a user. Of several at once with one phone one is added; false: another one was.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn add(&self, user: &User) -> Result<bool, Failure> {
        self.put(user, Expect::New).await
    }

    /// Keeps another hash of a user's password. False: the user was changed meanwhile, and nothing
    /// is done: it can be done the next time.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn replace_password(&self, read: &Read, password: Hash) -> Result<bool, Failure> {
        let user = User { password, ..read.user.clone() };
        self.put(&user, Expect::Version(read.version)).await
    }

    /// Others than `me` whose phones have this text in them, in the order of their phones. Where
    /// their pictures are too much together, some have none.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn search(&self, keyword: &str, me: &str) -> Result<Vec<User>, Failure> {
        let (mut found, mut pictures) = (Vec::new(), Pictures(FOUND_PICTURES));
        if !(SHORTEST..=LONGEST).contains(&keyword.chars().count()) {
            return Ok(found);
        }
        let mut after: Option<String> = None;
        loop {
            // One more than are told: `me` may be among them.
            let limit = (FOUND + 1 - found.len()).min(AT_ONCE);
            let page = self.records.find(&USERS, GRAMS, keyword, after.as_deref(), limit).await?;
            for record in page.records {
                if record.id != me && found.len() < FOUND {
                    let mut user = read(record)?.user;
                    pictures.fit(&mut user);
                    user.shorten();
                    found.push(user);
                }
            }
            after = page.next;
            if after.is_none() || found.len() == FOUND {
                return Ok(found);
            }
        }
    }

    /// Whether one of the two has the other as a contact. `peer` may be nobody, or `me`. Of a
    /// stranger one record is read more than of a contact, and that is one's own.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn are_acquainted(&self, me: &str, peer: &str) -> Result<bool, Failure> {
        if me == peer {
            return Ok(false);
        }
        let Some(Read { user: other, .. }) = self.get(peer).await? else { return Ok(false) };
        if other.has(me) {
            return Ok(true);
        }
        Ok(self.get(me).await?.is_some_and(|mine| mine.user.has(peer)))
    }

    /// Makes contacts of two users. False: nothing is changed, as they were that before, or one of
    /// them is nobody, or has as many contacts as it may, or they are the same.
    ///
    /// # Errors
    /// The store does not answer. The first of the two may be changed nonetheless, and the second
    /// is when it is asked for again.
    pub async fn befriend(&self, me: &str, other: &str) -> Result<bool, Failure> {
        if me == other {
            return Ok(false);
        }
        let (Some(mine), Some(others)) = (self.get(me).await?, self.get(other).await?) else {
            return Ok(false);
        };
        let is_full = |user: &User, contact| !user.has(contact) && user.contacts.len() >= CONTACTS;
        if is_full(&mine.user, other) || is_full(&others.user, me) {
            return Ok(false);
        }
        // In this order: see above.
        let theirs = self.add_contact(other, me).await?;
        if theirs == Changed::Never {
            return Ok(false);
        }
        let own = self.add_contact(me, other).await?;
        Ok(theirs == Changed::Now || own == Changed::Now)
    }

    /// Takes two users out of each other's contacts. False: neither had the other. Each of them may
    /// be nobody.
    ///
    /// # Errors
    /// The store does not answer. The first of the two may be changed nonetheless.
    pub async fn part(&self, phone: &str, contact: &str) -> Result<bool, Failure> {
        let theirs = self.forget_contact(contact, phone).await?;
        let own = self.forget_contact(phone, contact).await?;
        Ok(theirs || own)
    }

    /// Takes a phone out of a user's contacts. False: it was not there.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn forget_contact(&self, phone: &str, contact: &str) -> Result<bool, Failure> {
        let changed = self.change(phone, |user| {
            let before = user.contacts.len();
            user.contacts.retain(|other| other != contact);
            if user.contacts.len() < before { Changed::Now } else { Changed::Before }
        });
        Ok(changed.await? == Changed::Now)
    }

    async fn add_contact(&self, phone: &str, contact: &str) -> Result<Changed, Failure> {
        let changed = self.change(phone, |user| {
            if user.has(contact) {
                return Changed::Before;
            }
            if user.contacts.len() >= CONTACTS {
                return Changed::Never;
            }
            user.contacts.push(contact.to_owned());
            Changed::Now
        });
        changed.await
    }

    /// Changes a user as `how` says of what is there, which is asked again where the user was
    /// changed by others meanwhile.
    async fn change(
        &self,
        phone: &str,
        how: impl Fn(&mut User) -> Changed,
    ) -> Result<Changed, Failure> {
        for _ in 0..TRIES {
            let Some(Read { mut user, version }) = self.get(phone).await? else {
                return Ok(Changed::Never);
            };
            match how(&mut user) {
                Changed::Now => {
                    if self.put(&user, Expect::Version(version)).await? {
                        return Ok(Changed::Now);
                    }
                }
                Changed::Before => return Ok(Changed::Before),
                Changed::Never => return Ok(Changed::Never),
            }
        }
        Err(crowded())
    }

    /// Writes a user; false: something else is there than was expected.
    async fn put(&self, user: &User, expect: Expect) -> Result<bool, Failure> {
        match self.records.put(&USERS, &user.phone, user.body(), expect, None).await? {
            Put::Done { .. } => Ok(true),
            Put::Conflict { .. } => Ok(false),
            Put::Invalid(why) => {
                throttled!(error, %why, "a user can't be kept");
                Err(Failure::Internal)
            }
        }
    }
}

fn crowded() -> Failure {
    throttled!(warn, "a user is changed by so many that a change was given up");
    Failure::Unavailable
}

fn read(record: Record) -> Result<Read, Failure> {
    match serde_json::from_slice(&record.body) {
        Ok(user) => Ok(Read { user, version: record.version }),
        Err(error) => {
            // Something else has written it. The error itself might quote a password.
            let (why, column) = (error.classify(), error.column());
            throttled!(error, collection = USERS.name(), ?why, column, "a record can't be read");
            Err(Failure::Internal)
        }
    }
}
