//! What can be done about a user. Who is sent away has its tokens taken back first, and its
//! connection is ended behind that: whoever comes in between finds that its token does not count,
//! and whoever came in before is found and ended.
use futures_util::{StreamExt, stream};
use serde_json::{Value as Json, json};

use super::{
    super::{
        Wechat,
        error::Failure,
        inbox,
        password::{Hash, Salt},
        socket::uid,
        users::{User, admin::Deletion},
    },
    Error,
};
use crate::{
    domain::{clock::alphanumeric, directory::Ending, ids::RoomId},
    throttle::throttled,
};

/// Characters of a password that is made here: some 95 bits, and few enough to be typed.
const PASSWORD: usize = 16;
/// Contacts of a user who was deleted that are changed at the same time.
const TOGETHER: usize = 16;

impl Wechat {
    pub(super) async fn sign_out(&self, phone: &str) -> Result<Json, Error> {
        let connections = self.take_back(phone, None).await?;
        Ok(json!({ "connections": connections }))
    }

    pub(super) async fn reset_password(&self, phone: &str) -> Result<Json, Error> {
        self.somebody(phone).await?; // before there is work for nobody
        let rng = &*self.hub.rng;
        let password = alphanumeric(rng, PASSWORD).map_err(Failure::from)?;
        let salt = Salt::random(rng).map_err(Failure::from)?;
        let hash = self.passwords.hash(password.clone(), salt).await.map_err(Failure::from)?;
        let connections = self.take_back(phone, Some(hash)).await?;
        Ok(json!({ "password": password, "connections": connections }))
    }

    /// What a user wrote and others have not fetched yet. It need not be there any more.
    pub(super) async fn erase_messages(&self, phone: &str) -> Result<Json, Error> {
        let uid = uid(phone).map_err(|_| Error::NoUser(phone.to_owned()))?;
        let job = self.hub.erase(&uid, None).await.map_err(Failure::from)?;
        Ok(json!({ "job": job }))
    }

    /// Deletes a user. While its record is there, what fails can be asked for again; what is done
    /// behind that fails nothing.
    pub(super) async fn delete_user(&self, phone: &str) -> Result<Json, Error> {
        let nobody = || Error::NoUser(phone.to_owned());
        let room = inbox::room(phone).map_err(|_| nobody())?;
        let clock = &*self.hub.clock;
        let Some(id) = self.users.begin_deletion(phone, clock.unix()).await? else {
            return match self.users.was_deleted(phone).await? {
                true => self.end_deletion(phone, &room).await,
                false => Err(nobody()),
            };
        };
        let left = self.empty(phone, &room, Ending::Refuse).await?;
        match self.users.delete(phone, &id, clock).await? {
            Deletion::Now(user) => self.tidy_up(&user, &room).await,
            Deletion::Before => {} // by somebody else, who tidies up
        }
        Ok(left)
    }

    /// Of a user who was deleted before: whoever did that may not have come to what is behind it.
    /// Whom it had as contacts is not known any more.
    async fn end_deletion(&self, phone: &str, room: &RoomId) -> Result<Json, Error> {
        match self.users.get(phone).await? {
            Some(_) => Ok(json!({ "connections": 0, "removed": 0 })), // somebody else's by now
            None => self.empty(phone, room, Ending::Drop).await,
        }
    }

    /// What is to be done behind a deletion. Somebody else may have registered the phone by now.
    async fn tidy_up(&self, user: &User, room: &RoomId) {
        let phone = &*user.phone;
        // Who logged in while it was deleted comes back, and is refused; somebody else is let in.
        if let Err(error) = self.empty(phone, room, Ending::Drop).await {
            throttled!(warn, %error, "who or what came for a user who was deleted is left");
        }
        let forgetting = stream::iter(user.contacts.clone()).map(|contact| async move {
            if let Err(failure) = self.users.forget_contact(&contact, phone).await {
                throttled!(warn, %failure, "a user who was deleted is still a contact");
            }
            // It learns that it can't write to it any more.
            inbox::contacts_changed(self, &contact).await;
        });
        forgetting.buffer_unordered(TOGETHER).collect::<()>().await;
    }

    pub(super) async fn remove_contact(&self, phone: &str, contact: &str) -> Result<Json, Error> {
        self.somebody(phone).await?;
        let is_removed = self.users.part(phone, contact).await?;
        if is_removed {
            inbox::contacts_changed(self, phone).await;
            inbox::contacts_changed(self, contact).await;
        }
        Ok(json!({ "removed": is_removed }))
    }

    /// Takes a user's tokens back, and its password where there is another one, and ends its
    /// connections. Returns how many there were.
    async fn take_back(&self, phone: &str, password: Option<Hash>) -> Result<u64, Error> {
        let now = self.hub.clock.unix();
        if !self.users.take_back_tokens(phone, password, now).await? {
            return Err(Error::NoUser(phone.to_owned()));
        }
        self.end(phone, Ending::Refuse).await
    }

    /// Ends the connections of this phone's user, and erases what waits for it. Tells how many
    /// there were.
    async fn empty(&self, phone: &str, room: &RoomId, ending: Ending) -> Result<Json, Error> {
        let connections = self.end(phone, ending).await?;
        let removed = self.count_waiting(phone).await?;
        self.hub.clear(room).await.map_err(Failure::from)?;
        Ok(json!({ "connections": connections, "removed": removed }))
    }

    /// Ends the connections of this phone's user. Returns how many there were.
    async fn end(&self, phone: &str, ending: Ending) -> Result<u64, Error> {
        let uid = uid(phone).map_err(|_| Error::NoUser(phone.to_owned()))?;
        Ok(self.hub.disconnect(&uid, ending).await.map_err(Failure::from)?)
    }
}
