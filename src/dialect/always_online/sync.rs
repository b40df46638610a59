//! `sync`: catching up by pages, plain or gzipped.
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::{
    AlwaysOnline,
    gzip::Gzip,
    pages::{self, Kept, PageAnswer},
    wire::{self, SyncRequest},
};
use crate::domain::{
    broker::Stored,
    history::{Building, History, Patience},
    room::Room,
};
use crate::metrics::Cache;
use crate::throttle::throttled;

/// Pages are put together off the runtime's threads above this many bytes: compressed ones, and
/// plain ones.
const COSTLY: (usize, usize) = (64 << 10, 1 << 20);

/// A page on its way.
pub(super) struct Page {
    /// Finished frames.
    pub(super) frames: Bytes,
    /// A large one has to be taken in time.
    pub(super) patience: Option<Patience>,
}

impl AlwaysOnline {
    /// A page: from the cache, or from the store, then into the cache. `None`: the store does not
    /// answer.
    pub(super) async fn page(
        self: &Arc<Self>,
        room: &Room,
        request: &SyncRequest,
        ack: Option<i64>,
    ) -> Option<Page> {
        let key = pages::Key::new(room.generation(), request.offset, request.gzip, request.resume);
        let kept = async || {
            Some(Page { frames: self.kept(room, key).await?.with_ack(ack), patience: None })
        };
        let looked_up = |hit| self.hub.metrics.messages.looked_up(Cache::Pages, hit);
        if let Some(page) = kept().await {
            looked_up(true);
            return Some(page);
        }
        let failed = |error| {
            throttled!(warn, room = %room.id, %error, "a sync failed");
        };
        let permit = self.hub.begin_page().await.map_err(failed).ok()?;
        // Of many who waited for the same page only the first few build it.
        if let Some(page) = kept().await {
            looked_up(true);
            return Some(page);
        }
        let times = if ack.is_some() { 2 } else { 1 }; // the acknowledgement has the same in it
        let page =
            self.hub.history(permit, &room.id, request.offset, times).await.map_err(failed).ok()?;
        if let Some(key) = key.filter(|_| page.next) {
            looked_up(false);
            let (edition, due_ms) = (page.edition, page.due_ms);
            let (answer, _) = self.put_together(page, request, None).await?;
            self.pages.put(key, Kept { edition, due_ms, answer: answer.clone() });
            return Some(Page { frames: answer.with_ack(ack), patience: None });
        }
        let (answer, patience) = self.put_together(page, request, ack).await?;
        Some(Page { frames: answer.frames, patience })
    }

    /// A page that was kept, and is still what the log says. Where that can't be learnt it is none,
    /// and reading it will fail as well.
    async fn kept(&self, room: &Room, key: Option<pages::Key>) -> Option<PageAnswer> {
        let kept = self.pages.get(&key?)?;
        if kept.due_ms.is_some_and(|due| due <= self.hub.clock.unix_ms()) {
            return None;
        }
        let now = self.hub.edition(&room.id).await.ok()?;
        (now == kept.edition).then_some(kept.answer)
    }

    /// The finished frames of a page that was read; nothing, where a defect of ours is in the way.
    async fn put_together(
        self: &Arc<Self>,
        page: History,
        request: &SyncRequest,
        ack: Option<i64>,
    ) -> Option<(PageAnswer, Option<Patience>)> {
        let History { entries, offset, next, log, start, epoch, building, .. } = page;
        let bodies = readable(entries);
        let place = request.resume.then_some(Place { log, start, epoch });
        let (gzip, tail) = (request.gzip, tail(offset, next, request.gzip, place));
        let length = array_length(&bodies);
        if length < if gzip { COSTLY.0 } else { COSTLY.1 } {
            return Some(frames(bodies, gzip.then_some(&self.gzip), &tail, ack, building));
        }
        let dialect = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            frames(bodies, gzip.then_some(&dialect.gzip), &tail, ack, building)
        });
        work.await
            .inspect_err(|error| tracing::error!(%error, "a page could not be put together"))
            .ok()
    }
}

/// The answer to who is in no room: nothing to catch up with.
pub(super) fn nowhere(request: SyncRequest, ack: Option<i64>) -> Bytes {
    static EMPTY: LazyLock<String> = LazyLock::new(|| Gzip::default().string("[]"));
    let data = if request.gzip { EMPTY.as_str() } else { "[]" };
    let payload = answer(data, 0, false, request.gzip, request.resume.then(Place::default));
    wire::answer("sync", ack, &payload)
}

/// The answer; `data` is JSON.
fn answer(data: &str, offset: u64, next: bool, gzip: bool, place: Option<Place>) -> String {
    format!("{DATA}{data}{}", tail(offset, next, gzip, place))
}

/// What is told to who wants to resume.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// Offset of the next insert.
    log: u64,
    /// Offset of the first insert that is there.
    start: u64,
    /// Names the log that these are of.
    epoch: u64,
}

/// What stands before the data of an answer.
const DATA: &str = r#"{"data":"#;

/// What stands behind it.
fn tail(offset: u64, next: bool, gzip: bool, place: Option<Place>) -> String {
    let place = place.map_or_else(String::new, |Place { log, start, epoch }| {
        format!(r#","log":{log},"start":{start},"epoch":{epoch}"#)
    });
    let encoding = if gzip { r#","encoding":"gzip""# } else { "" };
    format!(r#","offset":{offset},"next":{}{encoding}{place}}}"#, u8::from(next))
}

/// The messages that can be read.
pub(super) fn readable(entries: Vec<Stored>) -> Vec<Bytes> {
    entries
        .into_iter()
        .filter_map(|entry| entry.body)
        .filter(|body| std::str::from_utf8(body).is_ok())
        .collect()
}

/// The length of a JSON array of these.
fn array_length(bodies: &[Bytes]) -> usize {
    bodies.iter().map(Bytes::len).sum::<usize>() + bodies.len().saturating_sub(1) + 2
}

/// Appends a JSON array of these. Each is let go as soon as it is written: of a large page there is
/// one copy, not two.
pub(super) fn write_array(into: &mut Vec<u8>, bodies: Vec<Bytes>) {
    into.reserve(array_length(&bodies));
    into.push(b'[');
    for (i, body) in bodies.into_iter().enumerate() {
        if i > 0 {
            into.push(b',');
        }
        into.extend_from_slice(&body);
    }
    into.push(b']');
}

/// A page's finished frames: the event, and behind it the acknowledgement with the same payload,
/// where one was asked for. What a large page has of the budget goes with the last of its bytes.
fn frames(
    bodies: Vec<Bytes>,
    gzip: Option<&Gzip>,
    tail: &str,
    ack: Option<i64>,
    building: Building,
) -> (PageAnswer, Option<Patience>) {
    let (zipped, bodies) = match gzip {
        Some(gzip) => (Some(gzip.array(bodies)), Vec::new()),
        None => (None, bodies),
    };
    let payload = DATA.len()
        + zipped.as_ref().map_or_else(|| array_length(&bodies), String::len)
        + tail.len();
    let (event, ack) = (r#"42["sync","#, ack.map(|id| format!("43{id}[")));
    let times = 1 + usize::from(ack.is_some());
    let mut frames = Vec::with_capacity(times * (payload + wire::HEAD + 32));
    wire::head(&mut frames, event.len() + payload + 1);
    frames.extend_from_slice(event.as_bytes());
    let start = frames.len();
    frames.extend_from_slice(DATA.as_bytes());
    match zipped {
        Some(zipped) => frames.extend_from_slice(zipped.as_bytes()),
        None => write_array(&mut frames, bodies),
    }
    frames.extend_from_slice(tail.as_bytes());
    let end = frames.len();
    frames.push(b']');
    if let Some(ack) = ack {
        wire::head(&mut frames, ack.len() + payload + 1);
        frames.extend_from_slice(ack.as_bytes());
        frames.extend_from_within(start..end);
        frames.push(b']');
    }
    let (frames, patience) = match building.done() {
        Some(share) => {
            let patience = share.patience(frames.len());
            (share.keep(frames), Some(patience))
        }
        None => (Bytes::from(frames), None),
    };
    (PageAnswer { frames, payload: start..end }, patience)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_only_the_fields_that_were_asked_for() {
        assert_eq!(answer("[1]", 1, false, false, None), r#"{"data":[1],"offset":1,"next":0}"#);
        assert_eq!(
            answer("\"x\"", 200, true, true, Some(Place { log: 7, start: 5, epoch: 9 })),
            r#"{"data":"x","offset":200,"next":1,"encoding":"gzip","log":7,"start":5,"epoch":9}"#
        );
    }

    #[test]
    fn a_page_is_put_together_as_any_other_answer_is() {
        let gzip = Gzip::default();
        for bodies in [vec![], vec!["{}"], vec!["{\"a\":\"é\"}", "{}", "[1]"]] {
            let bytes = || {
                bodies.iter().map(|body| Bytes::from_static(body.as_bytes())).collect::<Vec<_>>()
            };
            let array = format!("[{}]", bodies.join(","));
            for (zip, ack) in [(false, None), (false, Some(12)), (true, None), (true, Some(7))] {
                let data = if zip { gzip.string(&array) } else { array.clone() };
                let tail = tail(5, false, zip, Some(Place { log: 3, start: 0, epoch: 1 }));
                let made =
                    |ack| frames(bytes(), zip.then_some(&gzip), &tail, ack, Building::default()).0;
                let place = Place { log: 3, start: 0, epoch: 1 };
                let payload = answer(&data, 5, false, zip, Some(place));
                let expected = wire::answer("sync", ack, &payload);
                assert_eq!(made(ack).frames, expected);
                // One that was kept without an acknowledgement gets it later.
                assert_eq!(made(None).with_ack(ack), expected);
            }
        }
    }
}
