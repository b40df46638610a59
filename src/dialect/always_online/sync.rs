//! `sync`: catching up by pages, plain or gzipped.
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;

use super::{
    join::Member,
    pages::{self, Kept},
    session::Session,
    wire,
};
use crate::domain::throttle::throttled;
use crate::domain::{
    broker::Entry,
    history::{self, History},
    json::{self, Object},
    reason::Reason,
};

/// Compressed off the runtime's threads above this many bytes.
const LARGE: usize = 64 << 10;

/// What a client asks for.
#[derive(Default)]
struct Request {
    offset: u64,
    /// It asks for the log from its beginning, in so many words: the others are told.
    from_start: bool,
    gzip: bool,
    /// It wants to know where to resume.
    resume: bool,
}

impl Request {
    fn parse(argument: Option<&RawValue>) -> Self {
        let Some(object) = argument.and_then(|a| Object::parse(a.get())) else { return Request::default() };
        let offset = object.get("offset");
        Request {
            offset: offset.map_or(0, json::offset),
            from_start: offset.is_some_and(|o| json::number(o) == Some(0.0) || o.get() == "\"0\""),
            gzip: object.get("encoding").is_some_and(|e| e.get() == "\"gzip\""),
            resume: object.get("resume").is_some_and(|r| r.get() == "true"),
        }
    }
}

impl Session {
    /// One page. Returns when the client has it: one is in flight per connection.
    pub(super) async fn sync(self: &Arc<Self>, member: &Member, argument: Option<&RawValue>, ack: Option<i64>) {
        self.inbox.quiet().await;
        if !self.is_open() {
            return; // nobody is there to read it
        }
        let request = Request::parse(argument);
        let Some(page) = self.page(member, &request).await else {
            // An answer without the messages would look like an empty room.
            return self.drop_connection(Reason::StoreUnavailable);
        };
        if request.from_start && !member.dummy {
            let told = Entry::Synced { by: self.id, uid: member.uid.clone() };
            self.dialect.hub.announce(&member.room.id, told);
        }
        self.dialect.hub.metrics.pages.inc();
        self.send_page(wire::with_ack(page, ack)).await;
    }

    /// The finished frame of a page: from the cache, or from the store, then into the cache.
    async fn page(&self, member: &Member, request: &Request) -> Option<Bytes> {
        let key = pages::Key::new(member.room.generation(), request.offset, request.gzip, request.resume);
        if let Some(page) = self.kept(member, key).await {
            return Some(page);
        }
        let _permit = self.dialect.building.acquire().await;
        // Of many who waited for the same page only the first few build it.
        if let Some(page) = self.kept(member, key).await {
            return Some(page);
        }
        let page = match history::read(&*self.dialect.hub.broker, &member.room.id, request.offset).await {
            Ok(page) => page,
            Err(error) => {
                throttled!(warn, room = %member.room.id, %error, "a sync failed");
                return None;
            }
        };
        let (offset, next, log) = (page.offset, page.next, request.resume.then_some(page.log));
        let data = if request.gzip { self.compressed(array(&page)).await } else { array(&page) };
        let mut frame = BytesMut::new();
        wire::event(&mut frame, "sync", &answer(&data, offset, next, request.gzip, log));
        let frame = frame.freeze();
        if let Some(key) = key.filter(|_| next) {
            self.dialect.pages.put(key, Kept { edition: page.edition, page: frame.clone() });
        }
        Some(frame)
    }

    /// A page that was kept, and is still what the log says. Where that can't be learnt it is none, and reading it will fail as well.
    async fn kept(&self, member: &Member, key: Option<pages::Key>) -> Option<Bytes> {
        let kept = self.dialect.pages.get(&key?)?;
        let now = self.dialect.hub.broker.edition(&member.room.id).await.ok()?;
        (now == kept.edition).then_some(kept.page)
    }

    async fn compressed(&self, json: String) -> String {
        if json.len() < LARGE {
            return self.dialect.gzip.string(&json);
        }
        let dialect = self.dialect.clone();
        let compressed = tokio::task::spawn_blocking(move || dialect.gzip.string(&json));
        compressed.await.unwrap_or_else(|_| self.dialect.gzip.string("[]"))
    }

    /// Not in a room: nothing to catch up with.
    pub(super) fn sync_nowhere(&self, argument: Option<&RawValue>, ack: Option<i64>) {
        let request = Request::parse(argument);
        let data = if request.gzip { self.dialect.gzip.string("[]") } else { "[]".to_owned() };
        self.answer("sync", ack, &answer(&data, 0, false, request.gzip, request.resume.then_some(0)));
    }
}

/// The answer; `data` is JSON.
fn answer(data: &str, offset: u64, next: bool, gzip: bool, log: Option<u64>) -> String {
    let log = log.map_or_else(String::new, |log| format!(r#","log":{log}"#));
    let encoding = if gzip { r#","encoding":"gzip""# } else { "" };
    format!(r#"{{"data":{data},"offset":{offset},"next":{}{encoding}{log}}}"#, u8::from(next))
}

/// The page's messages as a JSON array.
pub(super) fn array(page: &History) -> String {
    let bodies: Vec<&str> = page.entries.iter().filter_map(|e| e.body.as_deref()).filter_map(|b| std::str::from_utf8(b).ok()).collect();
    format!("[{}]", bodies.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(json: &str) -> Request {
        Request::parse(Some(serde_json::from_str(json).unwrap()))
    }

    #[test]
    fn the_log_is_read_from_the_start_only_when_asked_in_so_many_words() {
        for json in [r#"{"offset":0}"#, r#"{"offset":"0"}"#, r#"{"offset":-0.0}"#] {
            assert!(request(json).from_start, "{json}");
        }
        for json in ["{}", r#"{"offset":"abc"}"#, r#"{"offset":-1}"#, r#"{"offset":null}"#, "null", "[]"] {
            let r = request(json);
            assert_eq!((r.offset, r.from_start), (0, false), "{json}");
        }
        assert_eq!(request(r#"{"offset":"200"}"#).offset, 200);
    }

    #[test]
    fn answers_have_only_the_fields_that_were_asked_for() {
        assert_eq!(answer("[1]", 1, false, false, None), r#"{"data":[1],"offset":1,"next":0}"#);
        assert_eq!(answer("\"x\"", 200, true, true, Some(7)), r#"{"data":"x","offset":200,"next":1,"encoding":"gzip","log":7}"#);
    }
}
