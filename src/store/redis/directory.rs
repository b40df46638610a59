//! Look-ups across rooms and nodes, one script each, and the ends that administrators ask for.
//!
//! These are known for a node as kicks and revocations are: published to it, and kept in a set until
//! it has done it, as the connection that listens may be deaf.
use std::sync::Arc;

use async_trait::async_trait;
use redis::Value;

use super::{
    Redis, answer,
    presence::readable,
    revocations::{DROP, KEPT, REFUSE},
    script::Script,
    wire,
};
use crate::domain::{
    directory::{Counts, Directory, Ending, Members, Names, OnlineUser, Whereabouts},
    error::StoreError,
    ids::{ConnectionId, RoomId, SocketId, Uid},
    presence::Present,
};

#[async_trait]
impl Directory for Redis {
    async fn whereabouts(&self, uid: &Uid) -> Result<Vec<Whereabouts>, StoreError> {
        let answer = self.call(Script::Whereabouts, self.deadline(), |a| a.text(uid.as_str()));
        let mut answer = answer::list(answer.await?)?.into_iter();
        let mut found = Vec::new();
        while let Some(node) = answer.next() {
            let (node, connection) = (answer::text(Some(node))?, answer::number(answer.next())?);
            let socket = Some(answer::text(answer.next())?).filter(|socket| !socket.is_empty());
            found.push(Whereabouts {
                node,
                connection: ConnectionId(connection),
                socket: socket.map(|socket| SocketId(socket.into())),
                rooms: rooms(answer.next())?,
            });
        }
        found.sort_unstable_by(|a, b| (&a.node, a.connection).cmp(&(&b.node, b.connection)));
        Ok(found)
    }

    async fn members_page(
        &self,
        room: &RoomId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Members, StoreError> {
        // As Redis reads a score. Places are far below what a score can hold.
        let after = after.map(|place| place.to_string()).unwrap_or_default();
        let answer = self.call(Script::MembersPage, self.deadline(), |a| {
            a.text(room.as_str()).text(&after).number(limit as u64)
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let (total, mut members) = (answer::number(answer.next())?, Vec::new());
        while let Some(place) = answer.next() {
            let (place, flag) = (answer::number(Some(place))?, answer::text(answer.next())?);
            let (uid, connections) = (answer::text(answer.next())?, answer::number(answer.next())?);
            let Some(uid) = wire::uid(&uid) else { continue };
            let (hidden, held) = (flag == "d", flag == "h");
            members.push((place, Present { uid, hidden, held, connections }));
        }
        Ok(Members { members, total })
    }

    async fn rooms_page(&self, names: &Names) -> Result<Vec<(RoomId, u64)>, StoreError> {
        let (from, to) = bounds(names, "");
        let answer = self.call(Script::RoomsPage, self.deadline(), |a| {
            a.bytes(&from).bytes(&to).number(names.limit as u64)
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let mut rooms = Vec::new();
        while let Some(room) = answer.next() {
            let members = answer::number(answer.next())?;
            rooms.extend(answer::bytes(room).and_then(readable).map(|room| (room, members)));
        }
        Ok(rooms)
    }

    async fn users_page(&self, names: &Names) -> Result<Vec<OnlineUser>, StoreError> {
        // Behind all connections of the one that was the last.
        let (from, to) = bounds(names, "\n");
        let answer = self.call(Script::UsersPage, self.deadline(), |a| {
            a.bytes(&from).bytes(&to).number(names.limit as u64)
        });
        let mut answer = answer::list(answer.await?)?.into_iter();
        let mut users = Vec::new();
        while let Some(uid) = answer.next() {
            let (uid, known) = (answer::text(Some(uid))?, answer::text(answer.next())?);
            let socket = Some(answer::text(answer.next())?).filter(|socket| !socket.is_empty());
            let socket = socket.map(|socket| SocketId(socket.into()));
            let uid = if known == "j" { wire::uid(&uid) } else { Uid::stored(&uid).ok() };
            let nodes = answer::list(answer.next().unwrap_or_default())?.into_iter();
            let mut nodes =
                nodes.map(|node| answer::text(Some(node))).collect::<Result<Vec<_>, _>>()?;
            nodes.sort_unstable();
            let rooms = rooms(answer.next())?;
            users.extend(uid.map(|uid| OnlineUser { uid, socket, rooms, nodes }));
        }
        Ok(users)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let answer = self.call(Script::Counts, self.deadline(), |a| a).await?;
        let mut answer = answer::list(answer)?.into_iter();
        Ok(Counts { users: answer::number(answer.next())?, rooms: answer::number(answer.next())? })
    }

    async fn disconnect(&self, uid: &Uid, ending: Ending) -> Result<u64, StoreError> {
        let how = word(ending);
        let answer = self.call(Script::Disconnect, self.deadline(), |a| {
            a.text(uid.as_str()).text(how).number(KEPT.as_millis() as u64)
        });
        answer::number(Some(answer.await?))
    }
}

impl Redis {
    /// As [`Redis::end_connection`], in a task.
    pub(super) fn end_soon(self: &Arc<Self>, connection: u64, ending: Ending) {
        let this = self.clone();
        self.spawn(async move { this.end_connection(ConnectionId(connection), ending).await });
    }

    /// Ends a connection for an administrator, and says so. What can't be said now is said at one of
    /// the next looks.
    pub(super) async fn end_connection(&self, connection: ConnectionId, ending: Ending) {
        self.sink().disconnect(connection, ending);
        let Ok(live) = self.client.live() else { return };
        let mut confirm = redis::cmd("SREM");
        confirm.arg(format!("{}ao:ending:{}", self.options.prefix, self.node())).arg(format!(
            "{} {}",
            connection.0,
            word(ending)
        ));
        let _ = self.client.send(&live, &confirm, self.deadline()).await;
    }
}

fn word(ending: Ending) -> &'static str {
    match ending {
        Ending::Drop => DROP,
        Ending::Refuse => REFUSE,
    }
}

/// Sorted, without those whose names can't be read.
fn rooms(answer: Option<Value>) -> Result<Vec<RoomId>, StoreError> {
    let rooms = answer::list(answer.unwrap_or_default())?;
    let mut rooms: Vec<RoomId> =
        rooms.into_iter().filter_map(answer::bytes).filter_map(readable).collect();
    rooms.sort_unstable();
    Ok(rooms)
}

/// The bounds of a stretch of names as ZRANGEBYLEX reads them. Behind each name `behind` follows,
/// and more, in the set that is read. The byte 255 is behind all that UTF-8 can have.
fn bounds(names: &Names, behind: &str) -> (Vec<u8>, Vec<u8>) {
    let from = match names.after.as_deref() {
        Some(after) if after >= names.prefix.as_str() => {
            let end: &[u8] = if behind.is_empty() { b"" } else { b"\xff" };
            [b"(", after.as_bytes(), behind.as_bytes(), end].concat()
        }
        _ => [b"[", names.prefix.as_bytes()].concat(),
    };
    (from, [b"(", names.prefix.as_bytes(), b"\xff"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_names_is_bounded_by_its_prefix_and_by_where_it_continues() {
        let names = |prefix: &str, after: Option<&str>| Names {
            prefix: prefix.into(),
            after: after.map(Into::into),
            limit: 1,
        };
        let shown = |names: &Names, behind| {
            let (from, to) = bounds(names, behind);
            [from, to].map(|bound| bound.escape_ascii().to_string())
        };
        assert_eq!(shown(&names("", None), ""), ["[", r"(\xff"]);
        assert_eq!(shown(&names("a", None), ""), ["[a", r"(a\xff"]);
        assert_eq!(shown(&names("a", Some("ab")), ""), ["(ab", r"(a\xff"]);
        assert_eq!(shown(&names("b", Some("a")), ""), ["[b", r"(b\xff"], "not before the prefix");
        assert_eq!(shown(&names("a", Some("ab")), "\n"), [r"(ab\n\xff", r"(a\xff"]);
    }
}
