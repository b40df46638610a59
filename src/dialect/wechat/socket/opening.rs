//! What a client is sent when it comes, in this order: what waits for it, its contacts, and what
//! was said meanwhile.
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::Client;
use crate::{
    dialect::wechat::{card::Card, inbox::waiting::Waiting, wire},
    domain::{
        broker::{Page, PageLimit},
        error::StoreError,
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
const FRAME: usize = 24 << 20;
/// How often a frame's bytes are there at once: as messages, as JSON, and as the frame.
const TIMES: usize = 3;

/// A stretch of a log, by its indexes.
struct Stretch {
    first: u64,
    /// Behind its last message.
    end: u64,
}

/// What was read of a log.
struct Read {
    waiting: Waiting,
    stretch: Stretch,
    /// The offset where to read on, if there may be more.
    next: Option<u64>,
}

impl Client {
    /// Sends all that there is to be sent, and lets through what was held back.
    ///
    /// # Errors
    /// Why that can't be done.
    pub(super) async fn open(self: &Arc<Self>) -> Result<(), Reason> {
        let read = self.send_what_waits().await?;
        self.send_contacts().await?;
        let mut delivery = lock(&self.delivery);
        let out = delivery.opened(read.first, read.end, Instant::now());
        self.send(out);
        Ok(())
    }

    /// Sends what waits. It is one frame, unless it is very much.
    async fn send_what_waits(&self) -> Result<Stretch, Reason> {
        let building = self.wechat.hub.begin_page().await.map_err(out)?;
        let read = self.read_log(0, LARGE).await?;
        let Read { waiting, mut stretch, mut next } = read;
        if next.is_none() {
            let frame = waiting.frame();
            drop((waiting, building));
            if let Some(frame) = frame {
                self.send_large(frame).await;
            }
            return Ok(stretch);
        }
        // Nothing is kept while it waits for its turn.
        drop((waiting, building));
        next = Some(0);
        while let Some(from) = next
            && !self.connection.is_ended()
        {
            let building = self.wechat.hub.begin_large_page(FRAME, TIMES).await.map_err(out)?;
            let read = self.read_log(from, FRAME).await?;
            (stretch.end, next) = (read.stretch.end, read.next);
            let frame = read.waiting.frame();
            drop(read.waiting);
            let share = building.done();
            if let Some(frame) = frame {
                let mut patience = share.as_ref().map(|share| share.patience(frame.len()));
                let late = async {
                    match &mut patience {
                        Some(patience) => patience.over().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = self.send_large(frame) => {}
                    () = late => return Err(Reason::Slow),
                }
            }
        }
        Ok(stretch)
    }

    /// Reads the log from this offset on, until so many bytes of it wait.
    async fn read_log(&self, mut from: u64, most: usize) -> Result<Read, Reason> {
        let (mut waiting, mut first) = (Waiting::default(), None);
        loop {
            let page = self.wechat.hub.page(&self.inbox, from, PAGE).await.map_err(out)?;
            page.entries.iter().for_each(|stored| waiting.add(stored));
            from = behind(&page, from);
            let first = *first.get_or_insert(page.base);
            let stretch = Stretch { first, end: page.origin().saturating_add(from) };
            let more = page.full && !page.entries.is_empty();
            if !more || waiting.bytes() >= most {
                return Ok(Read { waiting, stretch, next: more.then_some(from) });
            }
        }
    }

    /// Reads the user's contacts, and tells them.
    ///
    /// # Errors
    /// Why that can't be done.
    pub(super) async fn send_contacts(&self) -> Result<(), Reason> {
        let (hub, users) = (&self.wechat.hub, &self.wechat.users);
        let building = hub.begin_page().await.map_err(out)?;
        // What failed is in the log.
        let read = users.get(self.phone()).await.map_err(|_| Reason::StoreUnavailable)?;
        // It was good when the token was looked at. Looked at once more, now that this socket is
        // its user's: who takes tokens back from now on finds it, and ends it.
        let user = read.map(|read| read.user).filter(|user| user.takes(self.issued));
        let user = user.ok_or(Reason::WrongCredentials)?;
        let contacts = users.contacts(&user).await.map_err(|_| Reason::StoreUnavailable)?;
        let cards: Vec<Card<'_>> = contacts.iter().map(Card::of).collect();
        let json = serde_json::to_vec(&cards).map_err(|error| {
            throttled!(error, %error, "contacts can't be written as JSON");
            Reason::Failure
        })?;
        drop(cards);
        drop(contacts);
        let frame = wire::contacts(&json);
        drop((json, building));
        self.send_large(frame).await;
        Ok(())
    }

    /// Sends what may be more than the client may be behind, and returns when it has nearly all of
    /// it, or is gone.
    async fn send_large(&self, frame: Bytes) {
        if let Some(life) = &self.life {
            life.went(1);
        }
        send_large(&self.connection, frame).await;
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

/// Offset of the insert behind a page that was read from this offset on.
fn behind(page: &Page, from: u64) -> u64 {
    page.first(from).saturating_add(page.entries.len() as u64)
}

fn out(error: StoreError) -> Reason {
    throttled!(warn, %error, "an inbox can't be read; its client has to come back");
    Reason::StoreUnavailable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::broker::Stored;

    /// A page of a log whose first insert has this offset and index.
    fn page(start: u64, base: u64, entries: usize) -> Page {
        let stored = Stored { body: None, at_ms: 0, recalled: false, n: None };
        Page { entries: vec![stored; entries], start, base, ..Page::default() }
    }

    #[test]
    fn the_log_is_read_on_behind_each_page() {
        for (from, start, entries, next) in [
            (0, 0, 0, 0),
            (0, 0, 7, 7),
            (0, 5, 0, 5),
            (0, 5, 3, 8),
            (8, 5, 1, 9),
            (8, 20, 2, 22), // some of it was trimmed meanwhile
        ] {
            let page = page(start, start + 100, entries);
            assert_eq!(behind(&page, from), next);
            assert_eq!(page.origin() + next, 100 + next, "its index");
        }
    }
}
