//! What there is to see: users, whether they are connected, what waits for them, and whom they
//! know. Pictures are not told: they are large, and nobody decides by them.
use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value as Json, json};

use super::{
    super::{
        Wechat,
        error::Failure,
        inbox,
        socket::uid,
        users::{Read, User, admin::Contact},
    },
    Error, Stretch,
};
use crate::domain::broker::PageLimit;

/// Users of whom it is looked at the same time where they are.
const TOGETHER: usize = 16;

/// What waits in an inbox.
struct Waiting {
    messages: u64,
    /// When the oldest was stored, in milliseconds since 1970.
    since: Option<u64>,
}

impl Wechat {
    /// The user with this phone.
    pub(super) async fn somebody(&self, phone: &str) -> Result<User, Error> {
        let read = self.users.get(phone).await?;
        let user = read.map(|Read { user, .. }| user);
        user.ok_or_else(|| Error::NoUser(phone.to_owned()))
    }

    pub(super) async fn list_users(
        &self,
        text: Option<&str>,
        Stretch { after, limit }: Stretch,
    ) -> Result<Json, Error> {
        let page = match text {
            None => self.users.page(after.as_deref(), limit).await?,
            Some(text) => self.users.look_for(text, after.as_deref(), limit).await?,
        };
        let mut told = Vec::with_capacity(page.users.len());
        for user in page.users {
            told.push(self.in_short(user));
        }
        let users: Vec<Json> = stream::iter(told).buffered(TOGETHER).try_collect().await?;
        Ok(json!({ "users": users, "next": page.next }))
    }

    async fn in_short(&self, user: User) -> Result<Json, Error> {
        let User { phone, nick, user_name, contacts, .. } = user;
        let (nodes, waiting) = (self.nodes_of(&phone).await?, self.count_waiting(&phone).await?);
        Ok(json!({
            "phone": phone,
            "nick": nick,
            "userName": user_name,
            "contacts": contacts.len(),
            "nodes": nodes,
            "waiting": waiting,
        }))
    }

    pub(super) async fn user_state(&self, phone: &str) -> Result<Json, Error> {
        let user = self.somebody(phone).await?;
        let (nodes, waiting) = (self.nodes_of(phone).await?, self.waiting_for(phone).await?);
        Ok(json!({
            "phone": user.phone,
            "nick": user.nick,
            "userName": user.user_name,
            "email": user.email,
            "region": user.region,
            "contacts": user.contacts.len(),
            "nodes": nodes,
            "waiting": waiting.messages,
            "waitingSince": waiting.since,
            "tokensFrom": user.tokens_from(),
        }))
    }

    pub(super) async fn list_contacts(
        &self,
        phone: &str,
        stretch: &Stretch,
    ) -> Result<Json, Error> {
        let user = self.somebody(phone).await?;
        let (phones, next) = page(&user.contacts, stretch);
        let contacts = self.users.acquaintances(&user, phones).await?;
        let told = contacts.into_iter().map(|Contact { phone, known }| match known {
            Some(known) => {
                json!({ "phone": phone, "nick": known.nick, "mutual": known.is_mutual })
            }
            None => json!({ "phone": phone, "nick": null, "mutual": null }),
        });
        Ok(json!({ "contacts": told.collect::<Vec<Json>>(), "next": next }))
    }

    /// The nodes that the user of this phone is connected to.
    async fn nodes_of(&self, phone: &str) -> Result<BTreeSet<String>, Error> {
        // Nobody can have such a phone, so nobody is anywhere.
        let Ok(uid) = uid(phone) else { return Ok(BTreeSet::new()) };
        let found = self.hub.whereabouts(&uid).await.map_err(Failure::from)?;
        Ok(found.into_iter().map(|place| place.node).collect())
    }

    /// How many messages wait for this phone. None of them is read.
    pub(super) async fn count_waiting(&self, phone: &str) -> Result<u64, Error> {
        Ok(self.waiting_from(phone, u64::MAX).await?.messages)
    }

    async fn waiting_for(&self, phone: &str) -> Result<Waiting, Error> {
        self.waiting_from(phone, 0).await
    }

    async fn waiting_from(&self, phone: &str, offset: u64) -> Result<Waiting, Error> {
        let Ok(room) = inbox::room(phone) else {
            return Ok(Waiting { messages: 0, since: None });
        };
        let one = PageLimit { entries: 1, bytes: 0 };
        let page = self.hub.page(&room, offset, one).await.map_err(Failure::from)?;
        let since = page.entries.first().map(|stored| stored.at_ms);
        Ok(Waiting { messages: page.log_length, since })
    }
}

/// A page of a list, and behind which of it the next one begins, if there is one. Behind what is
/// not in the list there is nothing.
fn page<'a>(
    list: &'a [String],
    Stretch { after, limit }: &Stretch,
) -> (&'a [String], Option<&'a str>) {
    let begin = match after {
        None => 0,
        Some(after) => list.iter().position(|one| one == after).map_or(list.len(), |at| at + 1),
    };
    let rest = list.get(begin..).unwrap_or_default();
    match rest.get(..*limit) {
        Some(page) if rest.len() > *limit => (page, page.last().map(String::as_str)),
        Some(_) | None => (rest, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_page_by_page() {
        let list: Vec<String> = ["3", "1", "2"].map(str::to_owned).into();
        for (after, limit, told, next) in [
            (None, 2, &["3", "1"][..], Some("1")),
            (Some("1"), 2, &["2"], None),
            (None, 3, &["3", "1", "2"], None),
            (None, 9, &["3", "1", "2"], None),
            (Some("2"), 9, &[], None),
            (Some("nobody"), 9, &[], None),
        ] {
            let stretch = Stretch { after: after.map(str::to_owned), limit };
            let (page, found) = page(&list, &stretch);
            let page: Vec<&str> = page.iter().map(String::as_str).collect();
            assert_eq!((&page[..], found), (told, next), "{stretch:?}");
        }
    }
}
