//! What can be done about users and topics. Who is sent away loses its tokens first, and its
//! sessions are ended behind that: whoever signs in in between finds that its token does not count,
//! and whoever came in before is found and ended.
use serde_json::{Value as Json, json};

use super::{
    super::{
        Tinode,
        cabinet::{Read, Step},
        ending,
        ids::{Key, UserId},
        message::Code,
        mode::Mode,
        post::{To, Told, Word},
        record::{TOPICS, TopicRecord, User, UserState},
        refusal::{Done, Refusal},
    },
    Error,
    look::Place,
};
use crate::domain::directory::Ending;

/// Whoever is deleted is nobody to administrators, as to everybody.
fn there(user: &User) -> Done<()> {
    match user.state {
        UserState::Ok | UserState::Suspended => Ok(()),
        UserState::Ending => Err(Code::UserNotFound.into()),
    }
}

/// Tokens that were issued until now count no more.
fn take_back(user: &mut User) {
    user.generation = user.generation.wrapping_add(1);
}

pub(super) async fn sign_out(node: &Tinode, user: UserId) -> Result<Json, Error> {
    let decide = |record: &mut User| {
        there(record)?;
        take_back(record);
        Ok(Step::Write(()))
    };
    change(node, user, decide).await?;
    Ok(json!({ "sessions": end_sessions(node, user).await? }))
}

pub(super) async fn suspend(node: &Tinode, user: UserId) -> Result<Json, Error> {
    let decide = |record: &mut User| {
        there(record)?;
        record.state = UserState::Suspended;
        take_back(record);
        Ok(Step::Write(()))
    };
    change(node, user, decide).await?;
    Ok(json!({ "sessions": end_sessions(node, user).await? }))
}

pub(super) async fn resume(node: &Tinode, user: UserId) -> Result<Json, Error> {
    let decide = |record: &mut User| {
        there(record)?;
        Ok(match record.state {
            UserState::Suspended => {
                record.state = UserState::Ok;
                Step::Write(true)
            }
            UserState::Ok | UserState::Ending => Step::Keep(false),
        })
    };
    Ok(json!({ "resumed": change(node, user, decide).await? }))
}

async fn change<T>(
    node: &Tinode,
    user: UserId,
    decide: impl FnMut(&mut User) -> Done<Step<T>> + Send,
) -> Result<T, Error> {
    match node.cabinet.change_user(user, decide).await {
        Err(why) if why.code == Code::UserNotFound => Err(Error::NoUser(user)),
        done => Ok(done?),
    }
}

/// Ends the user's sessions, on all nodes. Returns how many there were that the store knows.
async fn end_sessions(node: &Tinode, user: UserId) -> Done<usize> {
    let Place { sessions, .. } = Place::of(node, user).await?;
    let told = Told::UserEnds { user };
    let word = Word { to: To::Users(vec![user]), needs: Mode::NONE, unattached: false, told };
    node.post.say(node, vec![word], None);
    // Words may be lost with a node; and a node may be too far behind to hear this one soon.
    node.hub.disconnect(&user.uid()?, Ending::Refuse).await?;
    Ok(sessions)
}

/// What a user wrote. It need not be there any more.
pub(super) async fn erase(node: &Tinode, user: UserId) -> Result<Json, Error> {
    let uid = user.uid().map_err(Refusal::from)?;
    let job = node.hub.erase(&uid, None).await.map_err(Refusal::from)?;
    Ok(json!({ "job": job }))
}

/// Deletes a user. One who is being deleted already is gone on with.
pub(super) async fn delete_user(node: &Tinode, user: UserId) -> Result<Json, Error> {
    if node.cabinet.user(user).await?.is_none() {
        return Err(Error::NoUser(user));
    }
    let Place { sessions, .. } = Place::of(node, user).await?;
    ending::user(node, user).await?;
    Ok(json!({ "sessions": sessions }))
}

/// Deletes a topic. One that is being deleted already is gone on with.
pub(super) async fn delete_topic(node: &Tinode, topic: Key) -> Result<Json, Error> {
    let read: Option<Read<TopicRecord>> = node.cabinet.get(&TOPICS, &topic.id()).await?;
    let Some(read) = read else { return Err(Error::NoTopic(topic)) };
    let members = node.cabinet.members(&topic, usize::MAX).await?.len();
    ending::topic(node, &read.record).await?;
    Ok(json!({ "members": members }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tinode::{message::Ts, mode::Level};

    #[test]
    fn who_is_being_deleted_is_nobody() {
        let mut user = User::new(UserId::of_number(1).unwrap(), Level::Auth, Ts(1));
        for (state, is_there) in
            [(UserState::Ok, true), (UserState::Suspended, true), (UserState::Ending, false)]
        {
            user.state = state;
            assert_eq!(there(&user).is_ok(), is_there, "{state:?}");
        }
    }

    #[test]
    fn tokens_are_taken_back_without_an_end() {
        let mut user = User::new(UserId::of_number(1).unwrap(), Level::Auth, Ts(1));
        user.generation = u16::MAX;
        take_back(&mut user);
        assert_eq!(user.generation, 0);
    }
}
