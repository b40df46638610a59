//! Users, as the server API makes them, asks about them and deletes them.
use super::{
    super::{
        cabinet::{TRIES, crowded},
        chat::Chat,
        direct::UserList,
        error::Error,
        list::{List, Writes},
        names,
        record::UserRecord,
        rights::are_listable,
        value::Value,
    },
    fields::State,
};
use crate::throttle::throttled;

/// Where `state` stands among the fields.
const STATE: usize = 1;

impl Chat {
    /// Makes a user who has not signed in yet.
    ///
    /// # Errors
    /// The name or the state can't be, or there is a user of this name.
    pub async fn add_user(&self, user: &str, state: Option<&Value>) -> Result<(), Error> {
        names::uid(user)?;
        let mut given = State::new(state);
        let (white, black) = (given.names("whitelist"), given.names("blacklist"));
        let whitelist_only = given.flag("whitelistOnly").unwrap_or_default();
        if !given.is_good() {
            return Err(super::bad(STATE, state.map(Value::json).unwrap_or_default()));
        }
        are_listable(white.iter().chain(&black))?;
        let mut tags = self.cabinet.tags()?;
        let mut tag = || tags.next();
        let ((whitelist, first), (blacklist, second)) =
            (List::new(white, &mut tag), List::new(black, &mut tag));
        for (list, written) in [(UserList::White, &first), (UserList::Black, &second)] {
            if !written.fit() {
                return Err(Error::ListLimitExceeded(list.name().to_owned()));
            }
        }
        let put = [first.put, second.put].concat();
        let writes = Writes { put, ..Writes::head(true) };
        let record =
            UserRecord { life: self.cabinet.life()?, whitelist_only, whitelist, blacklist };
        if self.cabinet.add_user(user, &record, &writes).await? {
            Ok(())
        } else {
            Err(Error::UserExists(user.to_owned()))
        }
    }

    /// Deletes a user who is offline.
    ///
    /// # Errors
    /// There is no such user, or it is online.
    pub async fn delete_user(&self, user: &str) -> Result<(), Error> {
        for _ in 0..TRIES {
            let (read, _, _) = self.cabinet.user(user, &[]).await?;
            if self.is_online(user).await? {
                return Err(Error::UserOnline(user.to_owned()));
            }
            // Somebody may change it at the same moment: then it is looked at again.
            if !self.cabinet.delete_user(user, &read).await? {
                continue;
            }
            // Or somebody signs in as this user, who found the record: then it comes back.
            if self.is_online(user).await? {
                self.cabinet.add_user(user, &read.record, &Writes::default()).await?;
                return Err(Error::UserOnline(user.to_owned()));
            }
            if let Err(error) = self.cabinet.sweep(&read.record.life).await {
                throttled!(warn, %error, "what is left of a user could not be deleted");
            }
            return Ok(());
        }
        Err(crowded())
    }

    /// Whether a user has any socket.
    async fn is_online(&self, user: &str) -> Result<bool, Error> {
        match names::uid(user) {
            Ok(uid) => Ok(!self.sockets_of(&uid).await?.is_empty()),
            Err(_) => Ok(false), // nobody is called so
        }
    }

    /// Whether there is a user.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn has_user(&self, user: &str) -> Result<bool, Error> {
        there_is(self.cabinet.user(user, &[]).await)
    }

    /// Whether a name is on a list of a user.
    ///
    /// # Errors
    /// There is no such user, or no such list.
    pub async fn user_has_in_list(
        &self,
        user: &str,
        list: &str,
        item: String,
    ) -> Result<bool, Error> {
        let names = [item];
        let (read, white, black) = self.cabinet.user(user, &names).await?;
        let list = UserList::find(list)?;
        let parts = match list {
            UserList::White => &white,
            UserList::Black => &black,
        };
        let [item] = &names;
        Ok(read.record.list(list).has(item, parts))
    }

    /// Whether a user takes direct messages from somebody.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn has_direct_access(&self, recipient: &str, sender: String) -> Result<bool, Error> {
        let of = [sender];
        let (read, white, black) = match self.cabinet.user(recipient, &of).await {
            Err(Error::NoUser(_)) => return Ok(false),
            found => found?,
        };
        let [sender] = &of;
        let found = read.record.recipient(recipient, Some(sender), &white, &black);
        Ok(found.may_be_told(false).is_ok())
    }
}

/// Whether something was found; that it was not is no error.
pub(super) fn there_is<T>(found: Result<T, Error>) -> Result<bool, Error> {
    match found {
        Ok(_) => Ok(true),
        Err(Error::NoUser(_) | Error::NoRoom(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
