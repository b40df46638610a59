//! The endpoint of the server's webhooks: answers each request at once, and holds what it is told
//! against what was sent. Of each room nothing may be missing, come twice or out of order.

use crate::Ctx;
use crate::http::{self, Answer};
use crate::message::{self, Template, number};
use crate::report::round;
use crate::sys::now;
use anyhow::Result;
use memchr::memmem;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const ANSWER: Answer = Answer { bytes: b"HTTP/1.1 204 No Content\r\n\r\n", after: Duration::ZERO };

/// What an event begins with. No message of ours has it in itself.
const EVENT: &[u8] = br#"{"type":""#;

/// What was told so far.
pub struct Webhooks {
    /// What messages are made of.
    template: Template,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    requests: u64,
    /// Requests that came again, as they may, and bytes of all.
    repeated: u64,
    bytes: u64,
    events: u64,
    messages: u64,
    /// When the first request came, and the last one.
    first: Option<u64>,
    last: u64,
    ids: HashSet<String>,
    rooms: HashMap<String, Place>,
    /// The next number of each sender: by room, phase and sender.
    senders: HashMap<(u16, u8, u16), u32>,
    missing: u64,
    disordered: u64,
    damaged: u64,
    gaps: u64,
}

/// How far a room was told.
#[derive(Default)]
struct Place {
    /// The last event's number.
    n: u64,
    /// The next message's index.
    index: u64,
}

impl Webhooks {
    /// Listens, where `--webhook` says so.
    pub async fn start(ctx: &Ctx, template: &Template) -> Result<Option<Arc<Webhooks>>> {
        let Some(addr) = &ctx.opt.webhook else { return Ok(None) };
        let webhooks = Arc::new(Webhooks { template: template.clone(), told: Mutex::default() });
        let told = webhooks.clone();
        let hear: http::Hear = Arc::new(move |head, body| told.hear(head, body));
        http::listen(crate::loopback(addr)?, ANSWER, hear).await?;
        Ok(Some(webhooks))
    }

    fn hear(&self, head: &[u8], body: &[u8]) {
        let told = &mut *self.told.lock();
        told.last = now();
        told.first.get_or_insert(told.last);
        told.requests += 1;
        told.bytes += body.len() as u64;
        match http::header(head, "webhook-id") {
            Some(id) if told.ids.contains(id) => {
                told.repeated += 1;
                return;
            }
            Some(id) => {
                told.ids.insert(id.to_owned());
            }
            None => told.damaged += 1,
        }
        // The first is the request's own.
        let mut begins = memmem::find_iter(body, EVENT).skip(1).peekable();
        // Events of users are in no room, and have no order here.
        let room = text(body, br#""roomId":""#).unwrap_or_default().to_owned();
        if begins.peek().is_none() {
            told.damaged += 1;
        }
        while let Some(begin) = begins.next() {
            let end = begins.peek().copied().unwrap_or(body.len());
            self.event(told, &room, &body[begin..end]);
        }
    }

    fn event(&self, told: &mut Told, room: &str, event: &[u8]) {
        told.events += 1;
        let kind = text(event, EVENT).unwrap_or_default();
        told.gaps += u64::from(kind == "webhook.gap");
        if room.is_empty() {
            return;
        }
        let place = told.rooms.entry(room.to_owned()).or_default();
        // Both stand before the message.
        let head = &event[..event.len().min(200)];
        let n = number(head, "\"n\":").unwrap_or_default();
        told.disordered += u64::from(n <= place.n);
        place.n = n;
        if kind != "message.inserted" {
            return;
        }
        told.messages += 1;
        let (Some(index), Some((mark, rest))) = (number(head, "\"index\":"), message::find(event))
        else {
            told.damaged += 1;
            return;
        };
        told.missing += index.saturating_sub(place.index);
        told.disordered += u64::from(index < place.index);
        place.index = index + 1;
        told.damaged += u64::from(self.template.check(&mark, rest).is_none());
        let next = told.senders.entry((mark.room, mark.phase, mark.sender)).or_default();
        told.disordered += u64::from(mark.seq != *next);
        *next = mark.seq + 1;
    }

    /// Waits until so many messages were told; not longer than `patience` without any progress.
    pub async fn complete(&self, messages: u64, patience: Duration) {
        let mut seen = (self.messages(), now());
        while seen.0 < messages && now() - seen.1 < patience.as_nanos() as u64 {
            sleep(Duration::from_millis(2)).await;
            let told = self.messages();
            if told != seen.0 {
                seen = (told, now());
            }
        }
    }

    pub fn messages(&self) -> u64 {
        self.told.lock().messages
    }

    /// Nanoseconds of the first request, and of the last.
    pub fn span(&self) -> Option<(u64, u64)> {
        let told = self.told.lock();
        Some((told.first?, told.last))
    }

    pub fn json(&self) -> Value {
        let t = self.told.lock();
        json!({
            "requests": t.requests, "repeated_requests": t.repeated, "events": t.events,
            "messages": t.messages, "bytes": t.bytes,
            "events_per_request": round(t.events as f64 / t.requests.max(1) as f64),
        })
    }

    /// What must never happen, if so many messages were stored.
    pub fn faults(&self, stored: u64) -> Vec<(u64, &'static str)> {
        let t = self.told.lock();
        vec![
            (stored.abs_diff(t.messages), "messages more or less told by webhooks than stored"),
            (t.missing, "messages left out by webhooks"),
            (t.disordered, "events out of order in webhooks"),
            (t.damaged, "webhooks damaged"),
            (t.gaps, "gaps told by webhooks"),
        ]
    }
}

/// The text behind `key`, up to the next quotation mark.
fn text<'a>(json: &'a [u8], key: &[u8]) -> Option<&'a str> {
    let begin = memmem::find(json, key)? + key.len();
    let end = begin + memchr::memchr(b'"', &json[begin..])?;
    std::str::from_utf8(&json[begin..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Envelope, Mark, Shape};

    fn webhooks() -> Webhooks {
        let template = Template::new(80, Shape::Text, Envelope::Data, 1);
        Webhooks { template, told: Mutex::default() }
    }

    /// A request with messages of one sender: n, index and sequence number of each.
    fn request(webhooks: &Webhooks, id: &str, events: &[(u64, u64, u32)]) {
        let mut template = webhooks.template.clone();
        let mut event = |&(n, index, seq): &(u64, u64, u32)| {
            let mark = Mark { room: 0, sender: 0, seq, phase: 0, ts: 9 };
            let data = String::from_utf8(template.stamp(mark, 0).to_vec()).unwrap();
            format!(
                r#"{{"type":"message.inserted","timestamp":"t","n":{n},"uid":"u","index":{index},"message":{{"data":{data}}}}}"#
            )
        };
        let events: Vec<String> = events.iter().map(&mut event).collect();
        let body = format!(
            r#"{{"type":"room.events","timestamp":"t","data":{{"roomId":"r","epoch":"1","events":[{}]}}}}"#,
            events.join(",")
        );
        webhooks
            .hear(format!("POST / HTTP/1.1\r\nwebhook-id: {id}\r\n").as_bytes(), body.as_bytes());
    }

    fn faults(webhooks: &Webhooks, stored: u64) -> Vec<u64> {
        webhooks.faults(stored).into_iter().map(|(n, _)| n).collect()
    }

    #[test]
    fn what_is_told_in_order_and_once_is_right() {
        let told = webhooks();
        request(&told, "a", &[(4, 0, 0), (6, 1, 1)]);
        request(&told, "b", &[(8, 2, 2)]);
        request(&told, "b", &[(8, 2, 2)]); // as it may
        assert_eq!(faults(&told, 3), [0, 0, 0, 0, 0]);
        assert_eq!(told.json()["repeated_requests"], 1);
        assert_eq!(faults(&told, 5), [2, 0, 0, 0, 0]);
    }

    #[test]
    fn what_is_missing_or_out_of_order_or_damaged_is_seen() {
        let told = webhooks();
        request(&told, "a", &[(4, 0, 0), (8, 2, 2)]);
        assert_eq!(faults(&told, 2), [0, 1, 1, 0, 0]);
        let told = webhooks();
        request(&told, "a", &[(6, 1, 1)]);
        request(&told, "b", &[(4, 0, 0)]);
        // By n, by index and by the sender's own number; and number 1 was not expected first.
        assert_eq!(faults(&told, 2), [0, 1, 4, 0, 0]);
        let told = webhooks();
        told.hear(b"POST / HTTP/1.1\r\n", b"{}");
        assert_eq!(faults(&told, 0)[3], 2);
    }
}
