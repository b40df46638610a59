//! What is written into the outbox.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::{
    super::column,
    queues::{Tally, cost, find_or_make, pos},
    shed::{Budget, shed},
};
use crate::{
    domain::{
        broker::{Entry, Placed},
        ids::RoomId,
        message::{
            self,
            form::{self, Forms},
        },
        outbox::{self, Endpoint, Interest, Kind, Place},
    },
    throttle::throttled,
};

/// Bytes of events that end a row.
const ROW: usize = 64 << 10;
/// For how long what is known of the first turn is relied on: the command line, which is another
/// process, may have a batch sent again.
const LOOK: Duration = Duration::from_secs(1);

/// Gives back the queues that somebody holds.
pub(super) const RELEASE: &str =
    "UPDATE hook_queues SET due = ?2, held = NULL WHERE endpoint = ?1 AND due > ?2 AND held = 1";

/// Something to be told.
pub(in super::super) struct Event {
    pub(in super::super) kind: Kind,
    /// JSON, without the braces.
    pub(in super::super) fields: String,
}

/// Something to be told, as it is written.
enum Told<'a> {
    Event(&'a Event),
    Message { kind: Kind, place: Place<'a>, body: &'a [u8], told: form::Told<'a> },
}

impl<'a> Told<'a> {
    /// What is told of an entry that was published in this room.
    fn of(forms: Forms, room: &RoomId, (entry, placed): (&'a Entry, &'a Placed)) -> Option<Self> {
        let (Entry::Message { message, .. }, Placed::At(position)) = (entry, placed) else {
            return None;
        };
        let (kind, place) = match &message.kind {
            message::Kind::Insert => {
                (Kind::Inserted, position.index.map_or(Place::None, Place::Index))
            }
            message::Kind::Update { id } => (Kind::Updated, Place::Id(id)),
            message::Kind::Ignore => return None,
        };
        let body = &message.body;
        Some(Told::Message { kind, place, body, told: forms.read(room, body)? })
    }

    /// Bytes that it takes, about.
    fn size(&self) -> usize {
        160 + match self {
            Told::Event(event) => event.fields.len(),
            Told::Message { body, told, .. } => {
                told.instead.as_ref().map_or(body.len(), String::len)
            }
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Told::Event(event) => event.kind,
            Told::Message { kind, .. } => *kind,
        }
    }

    fn write(&self, out: &mut String, at: &str, n: u64) {
        match self {
            Told::Event(Event { kind, fields }) => outbox::event(out, kind.name(), at, n, fields),
            Told::Message { kind, place, body, told } => {
                outbox::message(out, *kind, at, n, *place, (body, told));
            }
        }
    }
}

/// An endpoint, as this process knows it.
pub(super) struct Live {
    /// Its row.
    pub(super) id: i64,
    /// The last number that an event was given. What was given in a transaction that failed is not
    /// given again.
    n: AtomicU64,
    /// When the first queue has its turn, in milliseconds since 1970, or earlier.
    due: AtomicU64,
    /// When it was last looked at in the table.
    looked: AtomicU64,
}

impl Live {
    /// A queue has its turn then.
    pub(super) fn awaits(&self, due: u64) {
        self.due.fetch_min(due, Relaxed);
    }

    /// The first turn of all is then. For the writer's thread alone: nobody else knows of queues that
    /// are being made.
    pub(super) fn set_due(&self, due: Option<u64>, now_ms: u64) {
        self.due.store(due.unwrap_or(u64::MAX), Relaxed);
        self.looked.store(now_ms, Relaxed);
    }

    /// When the first turn is, where that is known well enough.
    pub(super) fn due(&self, now_ms: u64) -> Option<u64> {
        let is_fresh = self.looked.load(Relaxed).abs_diff(now_ms) < super::millis(LOOK);
        let due = self.due.load(Relaxed);
        (is_fresh || due <= now_ms).then_some(due)
    }

    /// When the first turn is, as far as is known; nothing: nothing waits.
    pub(super) fn first(&self) -> Option<u64> {
        let due = self.due.load(Relaxed);
        (due != u64::MAX).then_some(due)
    }

    /// The table was looked at: the first turn is then, or earlier, as far as this process knows.
    pub(super) fn looked(&self, due: Option<u64>, now_ms: u64) {
        self.awaits(due.unwrap_or(u64::MAX));
        self.looked.store(now_ms, Relaxed);
    }

    /// What is known of the first turn may be of a transaction that failed: the table is looked at.
    pub(super) fn doubt(&self) {
        self.looked.store(0, Relaxed);
    }

    fn next_number(&self) -> u64 {
        self.n.fetch_add(2, Relaxed) + 2
    }
}

/// The writing end of the outbox.
pub(in super::super) struct Hooks {
    pub(in super::super) interest: Interest,
    /// How messages are written.
    forms: Forms,
    /// The endpoints, in their order.
    live: Vec<Live>,
    /// One start of the server.
    epoch: String,
    written: watch::Sender<u64>,
    /// What may be dropped by the transaction that is under way.
    pub(super) budget: Budget,
    /// Who was told to be there may not be who is there: something could not be written.
    pub(super) stale: AtomicBool,
}

impl Hooks {
    /// `now_ms`: the time of the start, in milliseconds since 1970.
    pub(in super::super) fn open(
        db: &Connection,
        interest: Interest,
        forms: Forms,
        now_ms: u64,
    ) -> rusqlite::Result<Arc<Self>> {
        let mut live = Vec::new();
        for endpoint in &interest.endpoints {
            db.execute(
                "INSERT OR IGNORE INTO hook_endpoints (name) VALUES (?1)",
                [&endpoint.name],
            )?;
            let select = "SELECT id, n FROM hook_endpoints WHERE name = ?1";
            let (id, n) = db.query_row(select, [&endpoint.name], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
            })?;
            // Whoever held them has died with the process before this one.
            db.execute(RELEASE, params![id, column(now_ms)])?;
            let never = AtomicU64::new(0);
            live.push(Live { id, n: n.into(), due: AtomicU64::new(u64::MAX), looked: never });
        }
        Ok(Arc::new(Hooks {
            interest,
            forms,
            live,
            epoch: now_ms.to_string(),
            written: watch::Sender::new(0),
            budget: Budget::new(),
            stale: AtomicBool::new(false),
        }))
    }

    pub(super) fn written(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Something was committed where nothing waited.
    pub(in super::super) fn wake(&self) {
        self.written.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Batches of this endpoint are to be sent again.
    pub(super) fn replayed(&self, endpoint: &str, now_ms: u64) {
        if let Some(live) = self.live(endpoint) {
            live.awaits(now_ms);
            self.wake();
        }
    }

    pub(super) fn is_stale(&self) -> bool {
        self.stale.load(Relaxed)
    }

    /// The endpoint of this name, if it is one of those that are told.
    pub(super) fn live(&self, endpoint: &str) -> Option<&Live> {
        let at = self.interest.endpoints.iter().position(|known| *known.name == *endpoint)?;
        self.live.get(at)
    }

    /// Writes what endpoints want of these events, which happened in this order. True: whoever sends
    /// them has to be told ([`Hooks::wake`]), once it is committed.
    pub(in super::super) fn tell(
        &self,
        db: &Connection,
        room: &RoomId,
        at_ms: u64,
        events: &[Event],
    ) -> rusqlite::Result<bool> {
        let told: Vec<Told<'_>> = events.iter().map(Told::Event).collect();
        self.write(db, room, at_ms, &told)
    }

    /// Writes what endpoints want of a batch of messages, in a room of which any is told of messages.
    pub(in super::super) fn tell_messages(
        &self,
        db: &Connection,
        room: &RoomId,
        at_ms: u64,
        entries: &[Entry],
        placed: &[Placed],
    ) -> rusqlite::Result<bool> {
        let told = |both| Told::of(self.forms, room, both);
        let told: Vec<Told<'_>> = entries.iter().zip(placed).filter_map(told).collect();
        self.write(db, room, at_ms, &told)
    }

    fn write(
        &self,
        db: &Connection,
        room: &RoomId,
        at_ms: u64,
        told: &[Told<'_>],
    ) -> rusqlite::Result<bool> {
        let (mut at, mut is_news) = (None, false);
        for (endpoint, live) in self.interest.endpoints.iter().zip(&self.live) {
            let kinds = endpoint.kinds_in(room);
            let mut wanted = told.iter().filter(|told| kinds.has(told.kind())).peekable();
            if wanted.peek().is_none() {
                continue;
            }
            let at = at.get_or_insert_with(|| outbox::timestamp(at_ms));
            let (queue, is_new) = find_or_make(db, live.id, room.as_str(), at_ms)?;
            let size = told.iter().map(Told::size).sum::<usize>().min(2 * ROW);
            let text = String::with_capacity(size);
            let epoch = &self.epoch;
            let mut rows = Rows { queue, epoch, at_ms, first: 0, count: 0, text, written: 0 };
            let mut tally = Tally::default();
            for told in wanted {
                if rows.count >= endpoint.batch as u64 || rows.text.len() >= ROW {
                    rows.end(db, live, &mut tally)?;
                }
                rows.add(told, at, live.next_number());
            }
            rows.end(db, live, &mut tally)?;
            tally.n = live.n.load(Relaxed);
            let total = tally.write(db, live.id)?;
            let mut is_due = is_new;
            if total > endpoint.pending {
                let Endpoint { name, pending, .. } = endpoint;
                throttled!(
                    warn,
                    endpoint = %name,
                    "too much waits for webhooks: the oldest events are dropped"
                );
                self.budget.add(rows.written);
                is_due |= shed(db, live.id, *pending, total, at_ms, &self.budget)?;
            }
            if is_due {
                live.awaits(at_ms);
                is_news = true;
            }
        }
        Ok(is_news)
    }
}

/// Events of a queue as they become rows.
struct Rows<'a> {
    queue: i64,
    epoch: &'a str,
    at_ms: u64,
    /// Number of the first event of the row.
    first: u64,
    count: u64,
    text: String,
    /// Rows so far.
    written: i64,
}

impl Rows<'_> {
    fn add(&mut self, told: &Told<'_>, at: &str, n: u64) {
        if self.count == 0 {
            self.first = n;
        } else {
            self.text.push(',');
        }
        told.write(&mut self.text, at, n);
        self.count += 1;
    }

    /// Writes the row, if anything is in it.
    fn end(&mut self, db: &Connection, live: &Live, tally: &mut Tally) -> rusqlite::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        db.prepare_cached(
            "INSERT INTO hook_events (pos, queue, count, epoch, ms, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            pos(live.id, self.first),
            self.queue,
            column(self.count),
            self.epoch,
            column(self.at_ms),
            self.text
        ])?;
        tally.more(cost(self.text.len() as u64));
        self.text.clear();
        self.count = 0;
        self.written += 1;
        Ok(())
    }
}
