//! What goes out, as finished frames: a room's publications, encoded once for each version of the
//! engine. Without bytes in it an event is one text frame, the same in both.
//!
//! What goes through rooms is in one of three forms (`message`): a message that is kept, an object,
//! or a list where bytes belong to it; an event, a list that begins with its name; and, in a list
//! that begins with `null`, the room's settings for the nodes, of which clients are told nothing.
//! Messages are inserts, also where the room keeps none, so they have an index; all else has none.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::{
    chat::Answer,
    error::Error,
    history,
    message::{self, Logged},
    names,
    notice::Notice,
    value::quote,
};
use crate::{
    domain::{
        broker::{Event, Publication},
        ids::{RoomId, Uid},
        subscriber::{Burst, Codec},
    },
    lock::lock,
    net::websocket::frame,
};

/// What a binary frame of engine.io 3 begins with; one of engine.io 4 is the bytes alone.
const BINARY_3: &[u8] = &[4];

/// What the nodes know of a room, so that they can tell its members what concerns them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Known {
    /// Of the record that this is from: it grows with each change.
    pub revision: u64,
    /// Members are told of comings and goings.
    pub userlist_updates: bool,
    /// Messages that are kept.
    pub history_max_size: u64,
    /// It is being deleted: nobody sends there any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
}

impl Known {
    /// As it goes through the room.
    pub fn body(&self) -> Bytes {
        // Numbers and truth values are always JSON.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("[null,{json}]").into()
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (_, known): ((), Known) = serde_json::from_slice(body).ok()?;
        Some(known)
    }
}

/// The rooms that sockets of this node are in, or are about to enter.
#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<HashMap<RoomId, Held>>);

/// What is known of a room, for as long as somebody needs it.
#[derive(Debug)]
struct Held {
    known: Known,
    by: usize,
}

impl Rooms {
    /// One more socket needs what is known of a room, which is this, unless something newer is.
    pub fn hold(&self, room: &RoomId, known: Known) {
        let mut rooms = lock(&self.0);
        let held = rooms.entry(room.clone()).or_insert(Held { known, by: 0 });
        held.by += 1;
        if known.revision > held.known.revision {
            held.known = known;
        }
    }

    /// This is known of a room, unless something newer is, or nobody needs it.
    pub fn learn(&self, room: &RoomId, known: Known) {
        if let Some(held) = lock(&self.0).get_mut(room)
            && known.revision > held.known.revision
        {
            held.known = known;
        }
    }

    /// What is known of it.
    pub fn get(&self, room: &RoomId) -> Option<Known> {
        lock(&self.0).get(room).map(|held| held.known)
    }

    /// A socket that has held it does so no more.
    pub fn release(&self, room: &RoomId) {
        let mut rooms = lock(&self.0);
        if let Some(held) = rooms.get_mut(room) {
            held.by -= 1;
            if held.by == 0 {
                rooms.remove(room);
            }
        }
    }
}

/// The codec of clients of one version of the engine, 3 or 4. All of a node share what they know of
/// rooms; it changes in each room's order, as what changes it goes through the room too.
pub(super) struct Frames<const VERSION: u8> {
    /// With the comma behind it, as it stands before an event's data.
    namespace: Box<str>,
    rooms: Arc<Rooms>,
}

impl<const VERSION: u8> Frames<VERSION> {
    /// Of this namespace. It lives as long as the process: a codec has no owner.
    pub fn leak(namespace: &str, rooms: Arc<Rooms>) -> &'static Self {
        let namespace = format!("{namespace},").into();
        Box::leak(Box::new(Frames { namespace, rooms }))
    }

    /// Appends an event: its name and arguments, JSON, and what stands for placeholders.
    fn event(&self, frames: &mut BytesMut, elements: &str, files: &[Bytes]) {
        if files.is_empty() {
            frame::text(frames, &[b"42", self.namespace.as_bytes(), elements.as_bytes()]);
            return;
        }
        let head = format!("45{}-{}", files.len(), self.namespace);
        frame::text(frames, &[head.as_bytes(), elements.as_bytes()]);
        for file in files {
            let prefix = if VERSION == 3 { BINARY_3 } else { &[] };
            frame::binary(frames, &[prefix, file]);
        }
    }

    fn notice(&self, frames: &mut BytesMut, notice: &Notice<'_>) {
        let body = notice.body();
        if let Some((elements, files)) = message::read_event(&body) {
            self.event(frames, elements, &files);
        }
    }

    /// A message of the room's log.
    fn message(&self, frames: &mut BytesMut, room: &str, index: u64, body: &[u8]) {
        let Some(logged) = Logged::read(body) else { return };
        let (message, files) = logged.numbered(history::id(index));
        let mut elements = String::with_capacity(message.len() + room.len() + 20);
        elements.push_str("[\"roomMessage\",");
        quote(&mut elements, room);
        elements.push(',');
        elements.push_str(&message);
        elements.push(']');
        self.event(frames, &elements, files);
    }

    /// Somebody has come to the room, or gone, with all sockets.
    fn presence(&self, frames: &mut BytesMut, id: &RoomId, uid: &Uid, joined: bool) {
        let is_told = self.rooms.get(id).is_some_and(|known| known.userlist_updates);
        let Some(room) = names::shown(id).filter(|_| is_told) else { return };
        let user = uid.as_str();
        let notice = match joined {
            true => Notice::RoomUserJoined { room, user },
            false => Notice::RoomUserLeft { room, user },
        };
        self.notice(frames, &notice);
    }

    fn one(&self, frames: &mut BytesMut, id: &RoomId, publication: &Publication) {
        match &publication.event {
            Event::Message { body, .. } if body.starts_with(b"[null,") => {
                if let Some(known) = Known::read(body) {
                    self.rooms.learn(id, known);
                }
            }
            Event::Message { body, .. } => match (publication.index, names::shown(id)) {
                (Some(index), Some(room)) => self.message(frames, room, index, body),
                (_, _) => {
                    if let Some((elements, files)) = message::read_event(body) {
                        self.event(frames, elements, &files);
                    }
                }
            },
            Event::Joined { uid, connections: 1 } => self.presence(frames, id, uid, true),
            Event::Left { uid, connections: 0 } | Event::Gone { uid, connections: 0 } => {
                self.presence(frames, id, uid, false);
            }
            Event::Removed { uid, seen: true } => self.presence(frames, id, uid, false),
            // A user's further sockets are the user's affair: it is told by echoes.
            Event::Joined { .. }
            | Event::Left { .. }
            | Event::Gone { .. }
            | Event::Removed { .. }
            | Event::Synced(_)
            | Event::System(_)
            | Event::Cleared
            | Event::Trimmed { .. }
            | Event::Recalled { .. } => {}
        }
    }
}

impl<const VERSION: u8> Codec for Frames<VERSION> {
    fn encode(&self, room: &RoomId, publications: &[Publication]) -> Burst {
        let mut frames = BytesMut::new();
        let mut ends = Vec::with_capacity(publications.len());
        for publication in publications {
            self.one(&mut frames, room, publication);
            ends.push(frames.len());
        }
        Burst::new(frames.freeze(), ends)
    }
}

/// The arguments of an acknowledgement: an error, as clients get it, and nothing; or nothing and
/// the results, of which there is one at least.
pub(super) fn ack(outcome: Result<&[String], String>) -> Vec<String> {
    match outcome {
        Err(error) => vec![error, "null".to_owned()],
        Ok([]) => vec!["null".to_owned(), "null".to_owned()],
        Ok(results) => std::iter::once("null".to_owned()).chain(results.iter().cloned()).collect(),
    }
}

/// What a command is answered, as arguments of its acknowledgement, and what stands for
/// placeholders in them. `raw`: errors are objects.
pub(super) fn answer(outcome: Result<Vec<Answer>, Error>, raw: bool) -> (Vec<String>, Vec<Bytes>) {
    let answers = match outcome {
        Ok(answers) => answers,
        Err(error) => return (ack(Err(error.json(raw))), Vec::new()),
    };
    let mut files = Vec::new();
    // One answer, nearly always, is sent as it is; of several the attachments are counted anew.
    let results: Vec<String> = match <[Answer; 1]>::try_from(answers) {
        Ok([one]) => {
            files = one.files;
            vec![one.json]
        }
        Err(several) => {
            let values = several.iter().filter_map(Answer::read);
            values.map(|value| value.packed(&mut files)).collect()
        }
    };
    (ack(Ok(&results)), files)
}

/// The id by which clients know a socket: that of its session, behind the namespace for those of
/// engine.io 3; that of CONNECT for others.
pub(super) fn socket_id(namespace: &str, sid: &str, version: u8) -> String {
    if version == 3 { format!("{namespace}#{sid}") } else { sid.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{broker::Audience, message::Kind};

    fn rooms(userlist_updates: bool) -> (RoomId, Arc<Rooms>) {
        let room = names::room("r", "life").unwrap();
        let rooms = Arc::<Rooms>::default();
        let known = Known { revision: 1, userlist_updates, history_max_size: 5, ending: false };
        rooms.hold(&room, known);
        (room, rooms)
    }

    fn publication(index: Option<u64>, event: Event) -> Publication {
        Publication { n: 9, audience: Audience::All, index, event }
    }

    fn said(index: Option<u64>, kind: Kind, body: &'static str) -> Publication {
        publication(index, Event::Message { kind, body: Bytes::from_static(body.as_bytes()) })
    }

    fn encoded<const VERSION: u8>(updates: bool, publication: Publication) -> Vec<u8> {
        let (room, rooms) = rooms(updates);
        let codec = Frames::<VERSION>::leak("/chat-service", rooms);
        codec.encode(&room, &[publication]).all().to_vec()
    }

    /// A short frame's payload.
    fn text(frame: &[u8]) -> &str {
        let from = if frame[1] < 126 { 2 } else { 4 };
        std::str::from_utf8(&frame[from..]).unwrap()
    }

    #[test]
    fn a_message_has_its_id_from_its_place() {
        let body = r#"{"textMessage":"m1","author":"ann","timestamp":7}"#;
        let frame = encoded::<3>(false, said(Some(0), Kind::Insert, body));
        assert_eq!(frame[0], 0x81);
        assert_eq!(
            text(&frame),
            r#"42/chat-service,["roomMessage","r",{"textMessage":"m1","author":"ann","timestamp":7,"id":1}]"#
        );
        assert_eq!(encoded::<4>(false, said(Some(0), Kind::Insert, body)), frame);
    }

    #[test]
    fn bytes_follow_as_each_version_has_them() {
        let body = r#"[{"d":{"_placeholder":true,"num":0}},"YQ=="]"#;
        let head =
            r#"451-/chat-service,["roomMessage","r",{"d":{"_placeholder":true,"num":0},"id":7}]"#;
        for (frames, file) in [
            (encoded::<3>(false, said(Some(6), Kind::Insert, body)), &b"\x82\x02\x04a"[..]),
            (encoded::<4>(false, said(Some(6), Kind::Insert, body)), &b"\x82\x01a"[..]),
        ] {
            let (text_frame, binary) = frames.split_at(frames.len() - file.len());
            assert_eq!((text(text_frame), binary), (head, file));
        }
    }

    #[test]
    fn who_comes_and_goes_is_told_where_that_is_set() {
        let ann = || Uid::text("ann").unwrap();
        let joined = |connections| Event::Joined { uid: ann(), connections };
        let left = |connections| Event::Left { uid: ann(), connections };
        let gone = |connections| Event::Gone { uid: ann(), connections };
        let removed = |seen| Event::Removed { uid: ann(), seen };
        for (event, told) in [
            (joined(1), Some("roomUserJoined")),
            (joined(2), None),
            (left(0), Some("roomUserLeft")),
            (left(1), None),
            (gone(0), Some("roomUserLeft")),
            (gone(2), None),
            (removed(true), Some("roomUserLeft")),
            (removed(false), None),
            (Event::Cleared, None),
        ] {
            let frame = encoded::<3>(true, publication(None, event.clone()));
            match told {
                Some(name) => {
                    let expected = format!(r#"42/chat-service,["{name}","r","ann"]"#);
                    assert_eq!(text(&frame), expected, "{event:?}");
                }
                None => assert!(frame.is_empty(), "{event:?}"),
            }
            assert!(encoded::<3>(false, publication(None, event)).is_empty());
        }
    }

    #[test]
    fn settings_are_learnt_in_the_order_of_the_room() {
        let (room, rooms) = rooms(false);
        let codec = Frames::<4>::leak("/chat-service", rooms.clone());
        let newer =
            Known { revision: 3, userlist_updates: true, history_max_size: 0, ending: true };
        let older =
            Known { revision: 2, userlist_updates: false, history_max_size: 9, ending: false };
        let set = |known: Known| {
            publication(None, Event::Message { kind: Kind::Ignore, body: known.body() })
        };
        let joined = || {
            let uid = Uid::text("ann").unwrap();
            publication(None, Event::Joined { uid, connections: 1 })
        };
        let burst = codec.encode(&room, &[joined(), set(newer), joined(), set(older), joined()]);
        let told: Vec<bool> = (0..5).map(|at| !burst.select(|i| i == at).0.is_empty()).collect();
        assert_eq!(told, [false, false, true, false, true]);
        assert_eq!(rooms.get(&room), Some(newer));
        rooms.hold(&room, older);
        rooms.release(&room);
        assert_eq!(rooms.get(&room), Some(newer), "somebody else is there");
        rooms.release(&room);
        rooms.learn(&room, newer);
        assert_eq!(rooms.get(&room), None);
    }

    #[test]
    fn acknowledgements_have_an_error_or_results() {
        let results = ["77".to_owned(), "\"extra\"".to_owned()];
        for (outcome, expected) in [
            (Ok(&results[..1]), &["null", "77"][..]),
            (Ok(&results[..]), &["null", "77", "\"extra\""][..]),
            (Ok(&results[..0]), &["null", "null"][..]),
            (Err("\"no\"".to_owned()), &["\"no\"", "null"][..]),
        ] {
            assert_eq!(ack(outcome), expected);
        }
    }

    #[test]
    fn a_socket_has_the_id_that_its_client_knows() {
        assert_eq!(socket_id("/chat-service", "X", 3), "/chat-service#X");
        assert_eq!(socket_id("/chat-service", "X", 4), "X");
    }
}
