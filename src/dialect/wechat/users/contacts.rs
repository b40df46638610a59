//! What a user is told of its contacts.
use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::{AT_ONCE, Pictures, Read, User, Users};
use crate::dialect::wechat::error::Failure;

/// Bytes of the pictures that are told with all contacts of a user: what is beyond is left out.
/// Anybody becomes a contact of anybody by asking for it, so this is no matter of trust.
const PICTURES: usize = 16 << 20;
/// Bytes of what is told of a user besides its texts, about: names of fields, id, group.
const FIELDS: usize = 150;

/// The contacts of a user, as far as they are kept.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::dialect::wechat) struct Contacts {
    /// Sorted by group, without their own contacts. None, where they are too much.
    pub users: Vec<User>,
    /// Bytes that all of them have, about.
    pub bytes: usize,
}

impl User {
    /// Takes away what others are told nothing of, and may be long.
    pub(super) fn shorten(&mut self) {
        (self.contacts, self.grams) = (Vec::new(), Vec::new());
    }

    /// Bytes of what others are told of it, about.
    fn told(&self) -> usize {
        let texts = [&self.nick, &self.user_name, &self.phone];
        let more = [&self.thumb, &self.region];
        texts.into_iter().chain(more.into_iter().flatten()).map(String::len).sum::<usize>() + FIELDS
    }
}

impl Users {
    /// The contacts of a user, sorted by group; none for those that are nobody's, or its own phone.
    /// Where their pictures are too much together, some have none. Where all have more than `most`
    /// bytes none is kept.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn contacts(&self, user: &User, most: usize) -> Result<Contacts, Failure> {
        let phones: BTreeSet<&str> = user.contacts.iter().map(String::as_str).collect();
        let phones: Vec<&str> = phones.into_iter().filter(|phone| **phone != *user.phone).collect();
        let (mut users, mut bytes, mut pictures) = (Vec::new(), 0, Pictures(PICTURES));
        for phones in phones.chunks(AT_ONCE) {
            let reading: Vec<_> = phones.iter().map(|phone| self.get(phone)).collect();
            for found in join_all(reading).await {
                let Some(Read { mut user, .. }) = found? else { continue };
                pictures.fit(&mut user);
                user.shorten();
                bytes += user.told();
                if bytes <= most {
                    users.push(user);
                } else {
                    users = Vec::new();
                }
            }
        }
        let place = |user: &User| (user.group.clone(), user.nick.clone(), user.phone.clone());
        users.sort_by_cached_key(place);
        Ok(Contacts { users, bytes })
    }
}
