//! What a client is sent when it comes, in this order: what waits for it, its contacts, and what
//! was said meanwhile. And its contacts once more, whenever they have changed.
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::Client;
use crate::{
    dialect::wechat::{card::Card, inbox::waiting::Waiting, users::contacts::Contacts, wire},
    domain::{
        broker::{Page, PageLimit},
        error::StoreError,
        history::Share,
    },
    lock::lock,
    net::Connection,
    reason::Reason,
    throttle::throttled,
};

/// What is read of the log at once.
const PAGE: PageLimit = PageLimit { entries: 1000, bytes: 1 << 20 };
/// Bytes that a client may have left of something large when what follows is sent.
const NEARLY_TAKEN: usize = 64 << 10;
/// Bytes of messages from which on what waits is large: about as much as clients may be behind.
const LARGE: usize = 4 << 20;
/// Bytes of messages from which on what waits is told in several frames. Clients put them together.
/// While one of them is on its way to somebody slow there is memory for others.
const FRAME: usize = 12 << 20;
/// How often a frame's bytes are there at once: as messages, as JSON, and as the frame.
const TIMES: usize = 3;
/// Bytes of contacts from which on they are large, as of what waits. Few have so many pictures.
const MANY: usize = LARGE;
/// How often the bytes of contacts are there at once: as users, or as the frame, and as JSON.
const CONTACTS_TIMES: usize = 2;
/// Who takes contacts may take so many times as long as others, as these can't be told in pieces.
const SLOWER: usize = 8;
/// How often more can be said than is held, while a client comes, until it has to come once more.
const ROUNDS: usize = 16;
/// Time from one telling of the contacts to the next. Anybody can have them change.
const APART: Duration = Duration::from_secs(1);

/// Where to read on in a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cursor {
    offset: u64,
    /// Of the log in which the offset means that ([`Page::epoch`]). None: nothing was read.
    epoch: Option<u64>,
}

impl Cursor {
    /// Whether this page is of another log, as the one before was cleared.
    fn is_outdated(self, page: &Page) -> bool {
        self.epoch.is_some_and(|epoch| epoch != page.epoch)
    }

    /// Behind a page that was read from here on.
    fn behind(self, page: &Page) -> Self {
        let offset = page.first(self.offset).saturating_add(page.entries.len() as u64);
        Cursor { offset, epoch: Some(page.epoch) }
    }
}

/// A stretch of a log that was read, or sent.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// The index of the log's first message.
    first: u64,
    /// The index behind the stretch.
    end: u64,
    /// The same, to read on.
    next: Cursor,
}

/// What was read of a log.
struct Read {
    waiting: Waiting,
    stretch: Stretch,
    /// There may be more behind it.
    more: bool,
}

impl Client {
    /// Sends all that there is to be sent, and lets through what was held back.
    ///
    /// # Errors
    /// Why that can't be done.
    pub(super) async fn open(&self) -> Result<(), Reason> {
        let mut sent = self.send_what_waits(Cursor::default()).await?;
        let first = sent.first;
        self.send_contacts().await?;
        for _ in 0..ROUNDS {
            if self.let_through(first, sent.end) {
                return Ok(());
            }
            // What could not be held is in the log.
            sent = self.send_what_waits(sent.next).await?;
        }
        Err(Reason::Slow)
    }

    /// Lets through what was held back behind this stretch of the log. False: there was too much
    /// of it.
    fn let_through(&self, first: u64, end: u64) -> bool {
        let mut delivery = lock(&self.delivery);
        let out = delivery.opened(first, end, Instant::now());
        out.map(|out| self.send(out)).is_some()
    }

    /// Sends what waits from here on. It is one frame, unless it is very much.
    async fn send_what_waits(&self, from: Cursor) -> Result<Stretch, Reason> {
        let building = self.wechat.hub.begin_page().await.map_err(out)?;
        let Read { waiting, stretch, more } = self.read_log(from, LARGE).await?;
        if !more {
            let frame = waiting.frame();
            drop((waiting, building));
            if let Some(frame) = frame {
                self.send_large(frame).await;
            }
            return Ok(stretch);
        }
        // Nothing is kept while it waits for its turn.
        drop((waiting, building));
        let (first, mut next) = (stretch.first, from);
        loop {
            let building = self.wechat.hub.begin_large_page(FRAME, TIMES).await.map_err(out)?;
            let Read { waiting, stretch, more } = self.read_log(next, FRAME).await?;
            let frame = waiting.frame();
            drop(waiting);
            let share = building.done();
            if let Some(frame) = frame {
                self.send_in_time(frame, share, 1).await?;
            }
            if !more {
                return Ok(Stretch { first, ..stretch });
            }
            next = stretch.next;
        }
    }

    /// Reads the log from here on, until so many bytes of it were read.
    async fn read_log(&self, mut from: Cursor, most: usize) -> Result<Read, Reason> {
        let (mut waiting, mut first) = (Waiting::default(), None);
        loop {
            let page = self.wechat.hub.page(&self.inbox, from.offset, PAGE).await.map_err(out)?;
            if from.is_outdated(&page) {
                (waiting, from) = (Waiting::default(), Cursor::default());
                continue;
            }
            page.entries.iter().for_each(|stored| waiting.add(stored));
            from = from.behind(&page);
            let first = *first.get_or_insert(page.base);
            let end = page.origin().saturating_add(from.offset);
            let more = page.full && !page.entries.is_empty();
            if !more || waiting.bytes() >= most {
                return Ok(Read { waiting, stretch: Stretch { first, end, next: from }, more });
            }
        }
    }

    /// Has the user's contacts told to its client, in a task of its own: what the client says and
    /// hears goes on meanwhile. False: they are being told, and who asks is nudged when that is
    /// over.
    pub(super) fn tell_contacts(self: &Arc<Self>) -> bool {
        if self.telling.swap(true, Ordering::AcqRel) {
            return false;
        }
        let (telling, next) = (Telling(self.clone()), Instant::now() + APART);
        self.wechat.hub.tasks.spawn(async move {
            let client = &telling.0;
            if let Some(Err(why)) = client.while_it_lasts(client.send_contacts()).await {
                client.drop_because(why);
            }
            client.while_it_lasts(sleep_until(next)).await;
        });
        true
    }

    /// Reads the user's contacts, and tells them.
    async fn send_contacts(&self) -> Result<(), Reason> {
        let building = self.wechat.hub.begin_page().await.map_err(out)?;
        let contacts = self.read_contacts(MANY).await?;
        let bytes = contacts.bytes;
        if bytes <= MANY {
            let frame = told(contacts)?;
            drop(building);
            self.send_large(frame).await;
            return Ok(());
        }
        // Nothing is kept while it waits for its turn.
        drop(building);
        let building =
            self.wechat.hub.begin_large_page(bytes, CONTACTS_TIMES).await.map_err(out)?;
        let frame = told(self.read_contacts(usize::MAX).await?)?;
        self.send_in_time(frame, building.done(), SLOWER).await
    }

    /// Reads the user's contacts; none, where they have more bytes than this.
    async fn read_contacts(&self, most: usize) -> Result<Contacts, Reason> {
        let user = self.user().await?;
        self.wechat.users.contacts(&user, most).await.map_err(|_| Reason::StoreUnavailable)
    }

    /// As [`Client::send_large`], of a frame with a share of the memory for large ones: who takes
    /// long over it while others wait for that is too slow, where `slower` times the usual time is
    /// long. The share is given back with the frame, and what the frame does not need of it before.
    async fn send_in_time(
        &self,
        frame: Bytes,
        share: Option<Share>,
        slower: usize,
    ) -> Result<(), Reason> {
        let Some(share) = share else {
            self.send_large(frame).await;
            return Ok(());
        };
        let mut patience = share.patience(frame.len().saturating_mul(slower));
        let frame = share.keep(frame.into());
        tokio::select! {
            () = self.send_large(frame) => Ok(()),
            () = patience.over() => Err(Reason::Slow),
        }
    }

    /// Sends what may be more than the client may be behind, and returns when it has nearly all of
    /// it, or is gone.
    async fn send_large(&self, frame: Bytes) {
        if let Some(life) = &self.life {
            life.went(1);
        }
        lock(&self.delivery).has_sent(frame.len());
        send_large(&self.connection, frame).await;
    }
}

/// The contacts are being told to this client, until this is dropped: also by a panic.
struct Telling(Arc<Client>);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.telling.store(false, Ordering::Release);
        self.0.nudge();
    }
}

async fn send_large(connection: &Arc<Connection>, frame: Bytes) {
    connection.allow_if(|| true, frame.len());
    connection.send(&frame);
    drop(frame);
    loop {
        let progress = connection.progress();
        if connection.is_ended() || connection.backlog() <= NEARLY_TAKEN {
            break;
        }
        progress.await;
    }
    connection.allow_if(|| true, 0);
}

/// The frame that tells of these contacts.
fn told(Contacts { users, bytes }: Contacts) -> Result<Bytes, Reason> {
    let cards: Vec<Card<'_>> = users.iter().map(Card::of).collect();
    let mut json = Vec::with_capacity(bytes + bytes / 16); // so that it is not there twice
    serde_json::to_writer(&mut json, &cards).map_err(|error| {
        throttled!(error, %error, "contacts can't be written as JSON");
        Reason::Failure
    })?;
    drop(cards);
    drop(users);
    Ok(wire::contacts(&json))
}

fn out(error: StoreError) -> Reason {
    throttled!(warn, %error, "an inbox can't be read; its client has to come back");
    Reason::StoreUnavailable
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::domain::{broker::Stored, history::Budget};

    /// A page of a log whose first insert has this offset and index.
    fn page(start: u64, base: u64, entries: usize) -> Page {
        let stored = Stored { body: None, at_ms: 0, recalled: false, n: None };
        Page { entries: vec![stored; entries], start, base, epoch: 7, ..Page::default() }
    }

    #[test]
    fn the_log_is_read_on_behind_each_page() {
        for (offset, start, entries, next) in [
            (0, 0, 0, 0),
            (0, 0, 7, 7),
            (0, 5, 0, 5),
            (0, 5, 3, 8),
            (8, 5, 1, 9),
            (8, 20, 2, 22), // some of it was trimmed meanwhile
        ] {
            let page = page(start, start + 100, entries);
            let behind = Cursor { offset, epoch: None }.behind(&page);
            assert_eq!(behind, Cursor { offset: next, epoch: Some(7) });
            assert_eq!(page.origin() + next, 100 + next, "its index");
        }
    }

    #[test]
    fn nobody_waits_for_a_single_one_that_takes_its_frame_slowly() {
        const MIB: usize = 1 << 20;
        // Another page may be in a frame of messages. Contacts: 2,000, with the longest texts.
        let frames = [(FRAME, TIMES, FRAME + 2 * MIB), (23 * MIB, CONTACTS_TIMES, 23 * MIB)];
        for (slow, times, length) in frames {
            for (next, next_times, _) in frames {
                let budget = Budget::default();
                let begin = |bytes, times| budget.begin_large(bytes, times).now_or_never();
                let building = begin(slow, times).expect("it is the first").unwrap();
                let on_its_way = building.done().expect("its share").keep(vec![0; length]);
                assert!(begin(next, next_times).is_some(), "{next} behind {slow}");
                drop(on_its_way);
            }
        }
    }

    #[test]
    fn a_log_that_was_cleared_is_another_one() {
        let page = page(0, 100, 1);
        assert!(!Cursor::default().is_outdated(&page), "nothing was read of it");
        assert!(!Cursor::default().behind(&page).is_outdated(&page));
        assert!(Cursor { offset: 1, epoch: Some(6) }.is_outdated(&page));
    }
}
