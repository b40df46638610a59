//! What is said to clients, as JSON: by WebSocket and long polling.
//!
//! What is empty, zero or false is left out: clients take what is missing as that. Only `content`
//! of a message is always there.
use std::{fmt::Display, io::Write as _};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    ids::UserId,
    message::{
        CredShown, Ctrl, Data, Desc, Info, Message, Meta, Part, Pres, Range, Raw, Row, Seen,
        ShownAcs, Ts,
    },
    mode::{Acs, Dacs, Defacs},
};
use crate::net::websocket::frame::{self, HEAD, Opcode};

/// Bytes of a message but for what its sender and the server wrote freely, about.
const FIXED: usize = 192;
/// Bytes of a description or of a row but for that.
const ROW: usize = 512;
/// Bytes of a range, at most: two numbers of ten digits, and the names.
const RANGE: usize = 40;

/// Appends a message, JSON. `now`: when it is said, which answers tell.
pub(super) fn write(message: &Message<'_>, now: Ts, into: &mut Vec<u8>) {
    object(into, |o| match message {
        Message::Ctrl(ctrl) => o.object("ctrl", |o| write_ctrl(o, ctrl, now)),
        Message::Meta(meta) => o.object("meta", |o| write_meta(o, meta, now)),
        Message::Data(data) => o.object("data", |o| write_data(o, data)),
        Message::Pres(pres) => o.object("pres", |o| write_pres(o, pres)),
        Message::Info(info) => o.object("info", |o| write_info(o, info)),
    });
}

/// A message as a WebSocket text frame.
pub(super) fn frame(message: &Message<'_>, now: Ts) -> Bytes {
    let mut frame = Vec::with_capacity(HEAD + size(message));
    // How long the header is follows from the message, and it stands right before that.
    frame.resize(HEAD, 0);
    write(message, now, &mut frame);
    let mut head = [0; HEAD];
    let mut rest = &mut head[..];
    frame::head(&mut rest, Opcode::Text, frame.len() - HEAD);
    let unused = rest.len();
    frame[unused..HEAD].copy_from_slice(&head[..HEAD - unused]);
    Bytes::from(frame).slice(unused..)
}

/// About how large a message is, and mostly not less.
fn size(message: &Message<'_>) -> usize {
    let raw = |raw: Option<&RawValue>| raw.map_or(0, |raw| raw.get().len());
    let three = |of: [&Option<Raw>; 3]| of.map(|of| raw(of.as_deref())).iter().sum::<usize>();
    let free: usize = match message {
        Message::Ctrl(Ctrl { params, .. }) => {
            params.iter().map(|(name, json)| name.len() + json.len() + 4).sum()
        }
        Message::Data(data) => raw(data.head) + data.content.get().len(),
        Message::Pres(pres) => pres.ua.len() + RANGE * pres.ranges.len(),
        Message::Info(_) => 0,
        Message::Meta(Meta { part, .. }) => match part {
            Part::Desc(desc) => ROW + three([&desc.public, &desc.private, &desc.trusted]),
            Part::Sub(rows) => {
                let row = |row: &Row| ROW + three([&row.public, &row.private, &row.trusted]);
                rows.iter().map(row).sum()
            }
            Part::Tags(tags) => tags.iter().map(|tag| tag.len() + 3).sum(),
            Part::Cred(creds) => ROW * creds.len(),
            Part::Aux(aux) => aux.iter().map(|(key, raw)| key.len() + raw.get().len() + 4).sum(),
            Part::Del { ranges, .. } => RANGE * ranges.len(),
        },
    };
    FIXED + free
}

fn write_ctrl(o: &mut Object<'_>, ctrl: &Ctrl<'_>, now: Ts) {
    o.text("id", ctrl.id);
    o.text("topic", ctrl.topic);
    if !ctrl.params.is_empty() {
        o.object("params", |o| {
            for (name, json) in ctrl.params.iter() {
                o.json(name, json);
            }
        });
    }
    o.number("code", ctrl.code.number().into());
    o.text("text", ctrl.code.text());
    o.time("ts", Some(now));
}

fn write_meta(o: &mut Object<'_>, meta: &Meta<'_>, now: Ts) {
    o.text("id", meta.id);
    o.text("topic", meta.topic);
    o.time("ts", Some(now));
    match meta.part {
        Part::Desc(desc) => o.object("desc", |o| write_desc(o, desc)),
        Part::Sub(rows) => o.list("sub", rows, |into, row| object(into, |o| write_row(o, row))),
        Part::Tags(tags) => o.list("tags", tags, |into, tag| string(into, tag)),
        Part::Cred(creds) => {
            o.list("cred", creds, |into, cred| object(into, |o| write_cred(o, cred)));
        }
        Part::Aux(aux) => o.object("aux", |o| {
            for (key, raw) in aux {
                o.free_key(key);
                o.into.extend_from_slice(raw.get().as_bytes());
            }
        }),
        Part::Del { clear, ranges } => o.object("del", |o| {
            o.number("clear", clear);
            o.ranges("delseq", ranges);
        }),
    }
}

fn write_desc(o: &mut Object<'_>, desc: &Desc) {
    o.time("created", desc.created);
    o.time("updated", desc.updated);
    o.time("touched", desc.touched);
    o.yes("online", desc.online);
    if let Some(Defacs { auth, anon }) = desc.defacs {
        o.object("defacs", |o| {
            o.plain("auth", auth);
            o.plain("anon", anon);
        });
    }
    o.acs(desc.acs);
    o.number("seq", desc.seq);
    o.number("read", desc.read);
    o.number("recv", desc.recv);
    o.number("clear", desc.clear);
    o.number("subcnt", desc.subcnt);
    o.raw("public", desc.public.as_deref());
    o.raw("private", desc.private.as_deref());
    o.raw("trusted", desc.trusted.as_deref());
    o.yes("chan", desc.chan);
    o.seen(desc.seen.as_ref());
}

fn write_row(o: &mut Object<'_>, row: &Row) {
    o.text("topic", row.topic.as_deref().unwrap_or_default());
    o.user("user", row.user);
    o.time("updated", row.updated);
    o.time("touched", row.touched);
    o.yes("online", row.online);
    o.acs(row.acs);
    o.number("seq", row.seq);
    o.number("read", row.read);
    o.number("recv", row.recv);
    o.number("clear", row.clear);
    o.number("subcnt", row.subcnt);
    o.raw("public", row.public.as_deref());
    o.raw("private", row.private.as_deref());
    o.raw("trusted", row.trusted.as_deref());
    o.seen(row.seen.as_ref());
}

fn write_cred(o: &mut Object<'_>, cred: &CredShown) {
    o.text("meth", &cred.method);
    o.text("val", &cred.value);
    o.yes("done", cred.done);
}

fn write_data(o: &mut Object<'_>, data: &Data<'_>) {
    o.text("topic", data.topic);
    o.user("from", data.from);
    o.time("ts", Some(data.ts));
    o.number("seq", data.seq);
    o.raw("head", data.head);
    o.raw("content", Some(data.content));
}

fn write_pres(o: &mut Object<'_>, pres: &Pres<'_>) {
    o.text("topic", pres.topic);
    o.text("src", pres.src);
    o.text("what", pres.what.word());
    o.number("seq", pres.seq);
    o.number("clear", pres.clear);
    o.ranges("delseq", pres.ranges);
    o.text("ua", pres.ua);
    o.user("act", pres.act);
    if let Some(Dacs { want, given }) = pres.dacs {
        o.object("dacs", |o| {
            o.text("want", want.as_deref().unwrap_or_default());
            o.text("given", given.as_deref().unwrap_or_default());
        });
    }
}

fn write_info(o: &mut Object<'_>, info: &Info<'_>) {
    o.text("topic", info.topic);
    o.text("src", info.src);
    o.user("from", Some(info.from));
    o.text("what", info.what.word());
    o.number("seq", info.seq);
}

/// Appends an object with the fields that `fields` writes.
fn object(into: &mut Vec<u8>, fields: impl FnOnce(&mut Object<'_>)) {
    into.push(b'{');
    fields(&mut Object { into: &mut *into, has_fields: false });
    into.push(b'}');
}

/// Appends a string.
fn string(into: &mut Vec<u8>, text: &str) {
    // Neither a text nor a vector can fail.
    let _ = serde_json::to_writer(into, text);
}

/// An object that is being written. Names of fields need no escapes.
struct Object<'v> {
    into: &'v mut Vec<u8>,
    has_fields: bool,
}

impl Object<'_> {
    fn comma(&mut self) {
        if self.has_fields {
            self.into.push(b',');
        }
        self.has_fields = true;
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.into.push(b'"');
        self.into.extend_from_slice(key.as_bytes());
        self.into.extend_from_slice(b"\":");
    }

    /// A name that a client has given.
    fn free_key(&mut self, key: &str) {
        self.comma();
        string(self.into, key);
        self.into.push(b':');
    }

    /// What needs no escapes, in quotes.
    fn plain(&mut self, key: &str, value: impl Display) {
        self.key(key);
        // A vector cannot fail.
        let _ = write!(self.into, "\"{value}\"");
    }

    fn json(&mut self, key: &str, json: &str) {
        self.key(key);
        self.into.extend_from_slice(json.as_bytes());
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.key(key);
            string(self.into, text);
        }
    }

    fn number(&mut self, key: &str, number: u64) {
        if number != 0 {
            self.key(key);
            let _ = write!(self.into, "{number}");
        }
    }

    fn yes(&mut self, key: &str, yes: bool) {
        if yes {
            self.json(key, "true");
        }
    }

    fn time(&mut self, key: &str, at: Option<Ts>) {
        if let Some(at) = at {
            self.plain(key, at);
        }
    }

    fn user(&mut self, key: &str, user: Option<UserId>) {
        if let Some(user) = user {
            self.plain(key, user.name().as_str());
        }
    }

    fn raw(&mut self, key: &str, raw: Option<&RawValue>) {
        if let Some(raw) = raw {
            self.json(key, raw.get());
        }
    }

    fn object(&mut self, key: &str, fields: impl FnOnce(&mut Object<'_>)) {
        self.key(key);
        object(self.into, fields);
    }

    fn list<T>(&mut self, key: &str, elements: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
        self.key(key);
        self.into.push(b'[');
        for (at, element) in elements.iter().enumerate() {
            if at > 0 {
                self.into.push(b',');
            }
            write(self.into, element);
        }
        self.into.push(b']');
    }

    /// Of a range of one message its end is not told.
    fn ranges(&mut self, key: &str, ranges: &[Range]) {
        if ranges.is_empty() {
            return;
        }
        self.list(key, ranges, |into, Range { low, hi }| {
            object(into, |o| {
                o.number("low", *low);
                o.number("hi", if *hi == low.saturating_add(1) { 0 } else { *hi });
            });
        });
    }

    fn acs(&mut self, acs: Option<ShownAcs>) {
        match acs {
            None => {}
            Some(ShownAcs::Mode(mode)) => self.object("acs", |o| o.plain("mode", mode)),
            Some(ShownAcs::All(acs)) => self.object("acs", |o| {
                let Acs { want, given } = acs;
                o.plain("want", want);
                o.plain("given", given);
                o.plain("mode", acs.mode());
            }),
        }
    }

    fn seen(&mut self, seen: Option<&Seen>) {
        if let Some(Seen { when, ua }) = seen {
            self.object("seen", |o| {
                o.time("when", Some(*when));
                o.text("ua", ua);
            });
        }
    }
}

#[cfg(test)]
mod tests;
