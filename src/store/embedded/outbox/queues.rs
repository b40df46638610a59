//! Queues in SQL: what each change of the outbox is made of.
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::super::column;
use crate::{
    domain::{
        ids::RoomId,
        outbox::{Gap, OVERHEAD, assembled, gap_cost, timestamp},
    },
    throttle::throttled,
};

/// Numbers of one endpoint's events.
const NUMBERS: i64 = 0xffff_ffff_ffff;

/// Where the row of events is whose first has this number.
pub(super) fn pos(endpoint: i64, n: u64) -> i64 {
    endpoint << 48 | column(n) & NUMBERS
}

/// The number of the first event of the row at this place.
pub(super) fn number(pos: i64) -> u64 {
    (pos & NUMBERS).unsigned_abs()
}

/// The number of the last of so many events.
pub(super) fn last(first: u64, count: u64) -> u64 {
    first + 2 * count.saturating_sub(1)
}

/// Bytes that a row of events, or a batch, takes.
pub(super) fn cost(text: u64) -> u64 {
    text + OVERHEAD
}

/// A text as far as it is one. What somebody else, or the disk, has changed in a row of events must
/// not keep all other rows waiting.
pub(super) fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<String> {
    let bytes = row.get_ref(at)?.as_bytes().unwrap_or_default();
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// How many events a row has, or one, where it does not say.
pub(super) fn count(row: &Row<'_>, at: usize) -> u64 {
    row.get::<_, i64>(at).unwrap_or(1).unsigned_abs()
}

/// A row of events.
pub(super) struct Events {
    pub(super) pos: i64,
    pub(super) count: u64,
    pub(super) epoch: String,
    pub(super) ms: i64,
    /// With commas between them; empty, where what is there is no text.
    pub(super) body: String,
    is_text: bool,
    /// Bytes that it has in the table.
    bytes: u64,
}

impl Events {
    /// From `pos, count, epoch, ms, body`.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let bytes = row.get_ref(4)?.as_bytes().unwrap_or_default();
        let body = std::str::from_utf8(bytes);
        Ok(Events {
            pos: row.get(0)?,
            count: count(row, 1),
            epoch: text(row, 2)?,
            ms: row.get(3).unwrap_or_default(),
            body: body.unwrap_or_default().to_owned(),
            is_text: body.is_ok_and(|text| !text.is_empty()),
            bytes: bytes.len() as u64,
        })
    }

    /// The number of the first.
    pub(super) fn first(&self) -> u64 {
        number(self.pos)
    }

    /// Gives them up if they are no text; whether they were none.
    pub(super) fn mend(&mut self, db: &Connection, tally: &mut Tally) -> rusqlite::Result<bool> {
        if self.is_text {
            return Ok(false);
        }
        let n = self.first();
        throttled!(error, n, "events of webhooks can't be read, and are dropped");
        self.give_up(db, tally)?;
        Ok(true)
    }

    /// Puts a gap in their place: so those behind them are told.
    pub(super) fn give_up(&mut self, db: &Connection, tally: &mut Tally) -> rusqlite::Result<()> {
        tally.dropped(self.count);
        let (mut gap, first) = (String::new(), self.first());
        let at = timestamp(self.ms.unsigned_abs());
        Gap { from: first, to: last(first, self.count) }.event(&mut gap, &at);
        self.rewrite(db, gap, tally)
    }

    /// Writes something else in their place.
    pub(super) fn rewrite(
        &mut self,
        db: &Connection,
        body: String,
        tally: &mut Tally,
    ) -> rusqlite::Result<()> {
        tally.less(cost(self.bytes));
        tally.more(cost(body.len() as u64));
        (self.is_text, self.bytes, self.body) = (true, body.len() as u64, body);
        db.prepare_cached("UPDATE hook_events SET body = ?2 WHERE pos = ?1")?
            .execute(params![self.pos, self.body])?;
        Ok(())
    }
}

/// What a change adds to what an endpoint has, or takes away.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// The last number that was given; 0: none was.
    pub(super) n: u64,
    /// Bytes, those of gaps not counted.
    bytes: i64,
    /// Bytes of gaps.
    gaps: i64,
    /// Events and batches that were given up.
    dropped: u64,
}

impl Tally {
    pub(super) fn more(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(column(bytes));
    }

    pub(super) fn less(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(column(bytes));
    }

    pub(super) fn dropped(&mut self, count: u64) {
        self.dropped += count;
    }

    fn gap(&mut self, room: &RoomId, by: i64) {
        self.gaps = self.gaps.saturating_add(by * column(gap_cost(room)));
    }

    /// Bytes of gaps that come by it.
    pub(super) fn gaps(&self) -> i64 {
        self.gaps
    }

    /// Whether it changes nothing.
    pub(super) fn is_empty(&self) -> bool {
        (self.n, self.bytes, self.gaps, self.dropped) == (0, 0, 0, 0)
    }

    /// How the bytes that wait change by it.
    pub(super) fn by(&self) -> i64 {
        self.bytes.saturating_add(self.gaps)
    }

    /// Writes it down; returns the bytes that wait then. It is done with each append, so not by
    /// `RETURNING`, for which SQLite makes a table of its own each time (40 µs of CPU, measured).
    pub(super) fn write(self, db: &Connection, endpoint: i64) -> rusqlite::Result<u64> {
        db.prepare_cached(
            "UPDATE hook_endpoints SET n = max(n, ?2), bytes = max(bytes + ?3, 0),
                gaps = max(gaps + ?4, 0), dropped = dropped + ?5
             WHERE id = ?1",
        )?
        .execute(params![
            endpoint,
            column(self.n),
            self.by(),
            self.gaps,
            column(self.dropped)
        ])?;
        let bytes = "SELECT bytes FROM hook_endpoints WHERE id = ?1";
        let bytes = one(db, bytes, [endpoint], |row| row.get::<_, i64>(0))?;
        // What is damaged may be of no endpoint.
        Ok(bytes.unwrap_or_default().unsigned_abs())
    }
}

/// The queue of a room.
pub(super) const FIND: &str = "SELECT id FROM hook_queues WHERE room = ?1 AND endpoint = ?2";

pub(super) fn find(db: &Connection, endpoint: i64, room: &str) -> rusqlite::Result<Option<i64>> {
    one(db, FIND, params![room, endpoint], |row| row.get(0))
}

/// The queue of a room, made where there is none, with its turn then. True: it was made.
pub(super) fn find_or_make(
    db: &Connection,
    endpoint: i64,
    room: &str,
    due: u64,
) -> rusqlite::Result<(i64, bool)> {
    if let Some(queue) = find(db, endpoint, room)? {
        return Ok((queue, false));
    }
    let mut insert =
        db.prepare_cached("INSERT INTO hook_queues (endpoint, room, due) VALUES (?1, ?2, ?3)")?;
    Ok((insert.insert(params![endpoint, room, column(due)])?, true))
}

pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    given: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    db.prepare_cached(sql)?.query_row(given, read).optional()
}

/// Notes that a queue's events are missing.
pub(super) fn miss(
    db: &Connection,
    queue: i64,
    room: &RoomId,
    gap: Gap,
    epoch: &str,
    tally: &mut Tally,
) -> rusqlite::Result<()> {
    let known = one(
        db,
        "SELECT gap_from, gap_to, gap_epoch FROM hook_queues WHERE id = ?1",
        [queue],
        |row| Ok(read_gap(row)),
    )?;
    // The queue is not there any more, or it is, and has none.
    let Some(known) = known else { return Ok(()) };
    if known.is_none() {
        tally.gap(room, 1);
    }
    // The epoch is that of the last one: the gap's own number is behind it.
    let epoch = known.as_ref().filter(|(known, _)| known.to > gap.to).map_or(epoch, |(_, of)| of);
    let Gap { from, to } = gap.with(known.as_ref().map(|(known, _)| *known));
    db.prepare_cached(
        "UPDATE hook_queues SET gap_from = ?2, gap_to = ?3, gap_epoch = ?4 WHERE id = ?1",
    )?
    .execute(params![queue, column(from), column(to), epoch])?;
    Ok(())
}

/// The gap in a row of its first and last number and its epoch, and that. Of what is damaged there,
/// what is left; nothing, where no number is.
pub(super) fn read_gap(row: &Row<'_>) -> Option<(Gap, String)> {
    let number = |at| row.get::<_, i64>(at).ok().map(i64::unsigned_abs);
    let (from, to) = (number(0), number(1));
    let (from, to) = (from.or(to)?, to.or(from)?);
    Some((Gap { from, to }, text(row, 2).unwrap_or_default()))
}

/// A gap is about to be told.
pub(super) fn told(room: &RoomId, tally: &mut Tally) {
    tally.gap(room, -1);
}

/// A batch of `hook_batches` is not there any more.
pub(super) fn forget_batch(db: &Connection, serial: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM hook_batches WHERE serial = ?1")?.execute([serial])?;
    Ok(())
}

/// A queue's frozen batch.
pub(super) struct InQueue {
    pub(super) head: String,
    /// What it tells, and in which epoch.
    pub(super) gap: Option<(Gap, String)>,
    /// The place of its last row of events.
    upto: i64,
}

const FROZEN: &str = "SELECT first, last, epoch, head, coalesce(upto, 0) FROM hook_queues
    WHERE id = ?1 AND batch IS NOT NULL";

pub(super) fn in_queue(db: &Connection, queue: i64) -> rusqlite::Result<Option<InQueue>> {
    one(db, FROZEN, [queue], |row| {
        Ok(InQueue { gap: read_gap(row), head: text(row, 3)?, upto: row.get(4)? })
    })
}

impl InQueue {
    /// Whether as much waits behind it as a batch may have.
    pub(super) fn is_followed(
        &self,
        db: &Connection,
        queue: i64,
        most: u64,
    ) -> rusqlite::Result<bool> {
        let mut select = db.prepare_cached(BEHIND)?;
        let (mut rows, mut count) = (select.query([queue, self.upto])?, 0);
        while count < most
            && let Some(row) = rows.next()?
        {
            count += self::count(row, 0);
        }
        Ok(count >= most)
    }

    /// Ends it, with its events, and has the queue's next turn at this time. Returns how many events
    /// it had.
    pub(super) fn forget(
        &self,
        db: &Connection,
        queue: i64,
        due: Option<u64>,
        tally: &mut Tally,
    ) -> rusqlite::Result<u64> {
        let mut events = 0;
        let mut sent = db.prepare_cached(
            "SELECT octet_length(body), count FROM hook_events WHERE queue = ?1 AND pos <= ?2",
        )?;
        let mut rows = sent.query([queue, self.upto])?;
        while let Some(row) = rows.next()? {
            tally.less(cost(row.get::<_, i64>(0)?.unsigned_abs()));
            events += count(row, 1);
        }
        db.prepare_cached("DELETE FROM hook_events WHERE queue = ?1 AND pos <= ?2")?
            .execute([queue, self.upto])?;
        tally.less(cost(self.head.len() as u64));
        db.prepare_cached(
            "UPDATE hook_queues SET batch = NULL, head = NULL, first = NULL, last = NULL,
                 epoch = NULL, upto = NULL, since = NULL, attempts = NULL,
                 held = iif(?2 IS NULL, held, NULL), due = coalesce(?2, due)
             WHERE id = ?1",
        )?
        .execute(params![queue, due.map(column)])?;
        Ok(events)
    }

    /// Its text. What of it is none has become a gap.
    pub(super) fn body(
        &self,
        db: &Connection,
        queue: i64,
        tally: &mut Tally,
    ) -> rusqlite::Result<Bytes> {
        let mut select = db.prepare_cached(EVENTS)?;
        let rows = select.query_map([queue, self.upto], Events::read)?;
        let mut events = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        for some in &mut events {
            some.mend(db, tally)?;
        }
        Ok(assembled(self.head.clone(), events.iter().map(|some| &*some.body)))
    }
}

/// How many events are in each row behind a place.
pub(super) const BEHIND: &str =
    "SELECT count FROM hook_events WHERE queue = ?1 AND pos > ?2 ORDER BY pos";

/// Events of a queue up to a place.
pub(super) const EVENTS: &str =
    "SELECT pos, count, epoch, ms, body FROM hook_events WHERE queue = ?1 AND pos <= ?2
     ORDER BY pos";
