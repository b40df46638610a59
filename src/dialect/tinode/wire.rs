//! What a topic's room tells its sessions: finished frames, and what says whom they concern.
//!
//! A room's publications are encoded once for all sessions that speak the same format. What each
//! of them is told depends on the user's modes, and the topic's name on the [`View`]. So nothing of
//! this is for the wire as it is: an attachment takes it apart ([`parts`]) and sends what concerns
//! its session, without encoding anything.
//!
//! ```text
//! part    [kind u8][length of the rest u32][rest]            numbers are little-endian
//! data    [seq u64][from u64][frame]…
//! noted   [user u64][read u64][recv u64][since u64][has a mark u8][told u8][frame]…
//! on      [user u64][on u8]
//! event   a RoomEvent, JSON
//! frame   [view u8][length u32][bytes]                       two at most
//! ```
use std::ops::Range;

use bytes::Bytes;

use super::{
    grpc::convert,
    ids::{Key, UserId, View},
    json,
    message::{Info, Message, Noted, Ts},
    stored::{self, Mark, RoomEvent, Stored},
};
use crate::domain::{
    broker::{Event, Publication},
    ids::RoomId,
    message::Kind,
    subscriber::{Burst, Codec},
};

const DATA: u8 = 1;
const NOTED: u8 = 2;
const ON: u8 = 3;
const EVENT: u8 = 4;

/// Marks the place of a frame that is not there.
const NO_VIEW: u8 = u8::MAX;
/// Bytes of a part besides its frames, and of a frame besides what a message holds, about.
const PART: usize = 160;

/// Frames of WebSocket and long polling.
pub(super) struct JsonFrames;

/// Frames of gRPC.
pub(super) struct PbxFrames;

impl Codec for JsonFrames {
    fn encode(&self, room: &RoomId, publications: &[Publication]) -> Burst {
        encode(room, publications, json::frame)
    }
}

impl Codec for PbxFrames {
    fn encode(&self, room: &RoomId, publications: &[Publication]) -> Burst {
        encode(room, publications, convert::message)
    }
}

/// A message as a frame. What goes through rooms does not say when it is told.
type Encode = fn(&Message<'_>, Ts) -> Bytes;

/// A topic as its publications are encoded.
struct Names {
    is_group: bool,
    /// Each view with the topic's name in it.
    views: Vec<(View, String)>,
    encode: Encode,
}

fn encode(room: &RoomId, publications: &[Publication], encode: Encode) -> Burst {
    let names = Key::of_room(room).map(|(key, channel)| Names {
        is_group: matches!(key, Key::Group(_)),
        views: View::of_room(&key, channel).iter().map(|view| (*view, view.topic(&key))).collect(),
        encode,
    });
    let length = |publication: &Publication| match &publication.event {
        Event::Message { body, .. } => 2 * (PART + body.len()),
        _ => PART,
    };
    let mut packets = Vec::with_capacity(publications.iter().map(length).sum());
    let mut ends = Vec::with_capacity(publications.len());
    for publication in publications {
        if let Some(names) = &names {
            names.publication(publication, &mut packets);
        }
        ends.push(packets.len());
    }
    Burst::new(packets.into(), ends)
}

impl Names {
    fn publication(&self, publication: &Publication, into: &mut Vec<u8>) {
        match &publication.event {
            Event::Message { kind: Kind::Insert, body } => {
                if let (Some(index), Some(stored)) = (publication.index, Stored::read(body)) {
                    self.data(index.saturating_add(1), &stored, into);
                }
            }
            Event::Message { kind: Kind::Update { id }, body } => {
                if let (Some(user), Some((mark, told))) =
                    (UserId::parse(id), stored::read_mark(body))
                {
                    self.noted(user, Some(mark), told, into);
                }
            }
            Event::Message { kind: Kind::Ignore, body } => match RoomEvent::read(body) {
                Some(RoomEvent::Kp { from, what }) => self.noted(from, None, Some(what), into),
                Some(RoomEvent::Acs { .. } | RoomEvent::Del { .. } | RoomEvent::End) => {
                    part(into, EVENT, |into| into.extend_from_slice(body));
                }
                None => {}
            },
            // Pairs, and users with themselves, do not see each other come and go here.
            Event::Joined { uid, connections: 1 } if self.is_group => {
                on(UserId::of_uid(uid), true, into);
            }
            Event::Left { uid, connections: 0 }
            | Event::Gone { uid, connections: 0 }
            | Event::Removed { uid, seen: true }
                if self.is_group =>
            {
                on(UserId::of_uid(uid), false, into);
            }
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

    fn data(&self, seq: u64, stored: &Stored<'_>, into: &mut Vec<u8>) {
        part(into, DATA, |into| {
            number(into, seq);
            number(into, stored.from.number());
            for (view, topic) in &self.views {
                let data = stored.data(topic, seq, *view != View::Reader);
                self.frame(*view, &Message::Data(data), into);
            }
        });
    }

    fn noted(&self, user: UserId, mark: Option<Mark>, told: Option<Noted>, into: &mut Vec<u8>) {
        let Mark { read, recv, since } = mark.unwrap_or_default();
        part(into, NOTED, |into| {
            number(into, user.number());
            number(into, read);
            number(into, recv);
            number(into, since);
            into.push(mark.is_some().into());
            let at = told.and_then(|told| Noted::ALL.iter().position(|noted| *noted == told));
            into.push(at.and_then(|at| u8::try_from(at + 1).ok()).unwrap_or(0));
            let Some(what) = told else { return };
            let seq = match what {
                Noted::Read => read,
                Noted::Recv => recv,
                Noted::Kp | Noted::Kpa | Noted::Kpv => 0,
            };
            // A channel's readers do not learn who else is there.
            for (view, topic) in self.views.iter().filter(|(view, _)| *view != View::Reader) {
                let info = Info { topic, src: "", from: user, what, seq };
                self.frame(*view, &Message::Info(info), into);
            }
        });
    }

    fn frame(&self, view: View, message: &Message<'_>, into: &mut Vec<u8>) {
        let frame = (self.encode)(message, Ts::default());
        into.push(view as u8);
        length(into, frame.len());
        into.extend_from_slice(&frame);
    }
}

fn on(user: Option<UserId>, on: bool, into: &mut Vec<u8>) {
    if let Some(user) = user {
        part(into, ON, |into| {
            number(into, user.number());
            into.push(on.into());
        });
    }
}

fn part(into: &mut Vec<u8>, kind: u8, write: impl FnOnce(&mut Vec<u8>)) {
    into.push(kind);
    length(into, 0);
    let start = into.len();
    write(into);
    let rest = u32::try_from(into.len() - start).unwrap_or(u32::MAX);
    into[start - 4..start].copy_from_slice(&rest.to_le_bytes());
}

fn number(into: &mut Vec<u8>, number: u64) {
    into.extend_from_slice(&number.to_le_bytes());
}

/// A message has a bound far below what this can hold.
fn length(into: &mut Vec<u8>, length: usize) {
    into.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
}

/// Where in the packets the frames of a part are, by view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Views([(u8, u32, u32); 2]);

impl Views {
    /// Where the frame of this view is; nothing: it is told nothing.
    pub fn of(&self, view: View) -> Option<Range<usize>> {
        let (_, start, end) = self.0.iter().find(|(known, ..)| *known == view as u8)?;
        Some(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?)
    }
}

/// A part of what a codec has encoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wired<'p> {
    /// A message.
    Data { seq: u64, from: UserId, frames: Views },
    /// A user's mark has changed, or it types. Frames are `info`, where something is told.
    Noted { user: UserId, mark: Option<Mark>, told: Option<Noted>, frames: Views },
    /// A group's user is there now, or no more.
    On { user: UserId, on: bool },
    /// A [`RoomEvent`], JSON.
    Event(&'p [u8]),
}

/// Takes apart what a codec of this dialect has encoded. What it has not is passed over.
pub(super) fn parts(packets: &[u8]) -> impl Iterator<Item = Wired<'_>> {
    let mut rest = Reader { packets, at: 0, end: packets.len() };
    std::iter::from_fn(move || {
        loop {
            let [kind] = rest.take()?;
            let length = rest.length()?;
            let within = rest.within(length)?;
            if let Some(wired) = within.wired(kind) {
                return Some(wired);
            }
        }
    })
}

/// What of the packets is still to be read.
struct Reader<'p> {
    packets: &'p [u8],
    at: usize,
    end: usize,
}

impl<'p> Reader<'p> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.packets.get(self.at..self.end)?.first_chunk()?;
        self.at += N;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take()?)).ok()
    }

    fn user(&mut self) -> Option<UserId> {
        UserId::of_number(self.number()?)
    }

    /// What the next so many bytes hold.
    fn within(&mut self, length: usize) -> Option<Reader<'p>> {
        let (at, end) = (self.at, self.at.checked_add(length)?);
        (end <= self.end).then_some(())?;
        self.at = end;
        Some(Reader { packets: self.packets, at, end })
    }

    fn wired(mut self, kind: u8) -> Option<Wired<'p>> {
        match kind {
            DATA => {
                let (seq, from) = (self.number()?, self.user()?);
                Some(Wired::Data { seq, from, frames: self.frames()? })
            }
            NOTED => {
                let (user, read, recv) = (self.user()?, self.number()?, self.number()?);
                let since = self.number()?;
                let [has_mark, told] = self.take()?;
                let mark = (has_mark != 0).then_some(Mark { read, recv, since });
                let told = usize::from(told).checked_sub(1).and_then(|at| Noted::ALL.get(at));
                Some(Wired::Noted { user, mark, told: told.copied(), frames: self.frames()? })
            }
            ON => {
                let (user, [on]) = (self.user()?, self.take()?);
                Some(Wired::On { user, on: on != 0 })
            }
            EVENT => self.packets.get(self.at..self.end).map(Wired::Event),
            _ => None,
        }
    }

    fn frames(&mut self) -> Option<Views> {
        let mut views = [(NO_VIEW, 0, 0); 2];
        for place in &mut views {
            if self.at == self.end {
                break;
            }
            let [view] = self.take()?;
            let length = self.length()?;
            let Reader { at, end, .. } = self.within(length)?;
            *place = (view, u32::try_from(at).ok()?, u32::try_from(end).ok()?);
        }
        Some(Views(views))
    }
}

/// A WebSocket ping, which says nothing.
pub(super) fn ping() -> Bytes {
    Bytes::from_static(&[0x89, 0])
}

#[cfg(test)]
mod tests;
