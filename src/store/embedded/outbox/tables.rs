//! The tables of the outbox.
//!
//! An endpoint's events lie in the order of their numbers, those of a room that happened at once in
//! one row, as the text that is sent. Freezing a batch copies nothing: the queue notes how far it
//! reaches and what stands before its events. What was put aside leaves the queue for
//! `hook_batches`, with its whole text.
//!
//! Times are milliseconds since 1970.

/// As they were in version 6.
pub(in super::super) const TABLES: &str = "
    CREATE TABLE hook_state (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL);
    INSERT INTO hook_state VALUES (1, 0);
    CREATE TABLE hook_queues (id INTEGER PRIMARY KEY, endpoint TEXT NOT NULL, room TEXT NOT NULL,
        due INTEGER NOT NULL,
        gap_from INTEGER, gap_to INTEGER, gap_epoch TEXT, UNIQUE (endpoint, room));
    CREATE INDEX hook_queues_by_due ON hook_queues (endpoint, due);
    CREATE TABLE hook_events (n INTEGER PRIMARY KEY, queue INTEGER NOT NULL, epoch TEXT NOT NULL,
        ms INTEGER NOT NULL,
        kind TEXT NOT NULL, uid TEXT, fields TEXT NOT NULL);
    CREATE INDEX hook_events_by_queue ON hook_events (queue, n);
    CREATE TABLE hook_batches (serial INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        endpoint TEXT NOT NULL, room TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, epoch TEXT NOT NULL, since INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
        parked INTEGER, why TEXT, body BLOB NOT NULL);
    CREATE INDEX hook_batches_by_room ON hook_batches (endpoint, room, serial) WHERE parked IS NULL;
    CREATE INDEX hook_batches_by_parking ON hook_batches (endpoint, serial)
        WHERE parked IS NOT NULL;
    CREATE TABLE hook_sizes (endpoint TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE hook_told (room TEXT NOT NULL, uid TEXT NOT NULL, json TEXT NOT NULL, due INTEGER,
        why TEXT,
        PRIMARY KEY (room, uid)) WITHOUT ROWID;
    CREATE INDEX hook_told_by_due ON hook_told (due) WHERE due IS NOT NULL;
";

/// As they are since version 7, from those of version 6.
///
/// `hook_endpoints`: `n` is the last number that an event was given, `bytes` what waits, `gaps` the
/// part of it that gaps take, `dropped` how much was given up.
///
/// `hook_queues`: one for each room of which anything waits. `due` is when its turn comes, or, where
/// `held` is 1, when the lease of whoever sends it is over. `gap_…` is what is missing before its
/// events. `batch` to `attempts` are of the batch that is frozen, if one is: its id, the text before
/// its events, the numbers from which and to which it tells, their epoch, the place of its last row
/// of events, nothing if it has none, when it was frozen, and how often it has failed.
///
/// `hook_events`: `pos` is the endpoint, times 2^48, and the first event's number; those behind it
/// have every second number. `body` has the events with commas between.
///
/// `hook_batches`: those that were put aside (`parked` says when), and those of them that are to be
/// sent again.
///
/// `hook_told` has who was told to be in a room, and since when, and why, somebody is marked as
/// leaving it; `json` is the uid as its client wrote it.
pub(in super::super) const SEVENTH: &str = "
    DROP INDEX hook_queues_by_due; DROP INDEX hook_events_by_queue;
        DROP INDEX hook_batches_by_room; DROP INDEX hook_batches_by_parking;
    ALTER TABLE hook_queues RENAME TO old_queues;
    ALTER TABLE hook_events RENAME TO old_events;
    ALTER TABLE hook_batches RENAME TO old_batches;
    CREATE TABLE hook_endpoints (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
        n INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0, gaps INTEGER NOT NULL DEFAULT 0,
            dropped INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE hook_queues (id INTEGER PRIMARY KEY, endpoint INTEGER NOT NULL,
        room TEXT NOT NULL, due INTEGER NOT NULL,
        gap_from INTEGER, gap_to INTEGER, gap_epoch TEXT, batch TEXT, head TEXT, first INTEGER,
            last INTEGER, epoch TEXT,
        upto INTEGER, since INTEGER, attempts INTEGER, held INTEGER, UNIQUE (room, endpoint));
    CREATE INDEX hook_queues_by_due ON hook_queues (endpoint, due);
    CREATE INDEX hook_queues_by_gap ON hook_queues (endpoint, gap_to) WHERE gap_to IS NOT NULL;
    CREATE TABLE hook_events (pos INTEGER PRIMARY KEY, queue INTEGER NOT NULL,
        count INTEGER NOT NULL, epoch TEXT NOT NULL,
        ms INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX hook_events_by_queue ON hook_events (queue);
    CREATE TABLE hook_batches (serial INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        endpoint INTEGER NOT NULL, room TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, epoch TEXT NOT NULL, since INTEGER NOT NULL,
            attempts INTEGER NOT NULL,
        parked INTEGER, why TEXT, body BLOB NOT NULL);
    CREATE INDEX hook_batches_by_room ON hook_batches (room, endpoint, parked, serial);
    CREATE INDEX hook_batches_by_parking ON hook_batches (endpoint, serial)
        WHERE parked IS NOT NULL;
    CREATE INDEX hook_batches_to_send ON hook_batches (endpoint, since) WHERE parked IS NULL;
    INSERT INTO hook_endpoints (name, n)
        SELECT endpoint, (SELECT n FROM hook_state) FROM
            (SELECT endpoint FROM hook_sizes UNION SELECT endpoint FROM old_queues UNION
                SELECT endpoint FROM old_batches);
    INSERT INTO hook_queues (id, endpoint, room, due, gap_from, gap_to, gap_epoch)
        SELECT q.id, e.id, q.room, q.due, q.gap_from, q.gap_to, q.gap_epoch
            FROM old_queues q JOIN hook_endpoints e ON e.name = q.endpoint;
    INSERT INTO hook_events (pos, queue, count, epoch, ms, body)
        SELECT q.endpoint << 48 | o.n, o.queue, 1, o.epoch, o.ms,
            '{\"type\":\"' || o.kind || '\",\"timestamp\":\"' || strftime('%Y-%m-%dT%H:%M:%S', o.ms / 1000, 'unixepoch')
                || printf('.%03dZ', o.ms % 1000) || '\",\"n\":' || o.n || iif(o.fields = '', '', ',' || o.fields) || '}'
        FROM old_events o JOIN hook_queues q ON q.id = o.queue;
    INSERT INTO hook_batches SELECT b.serial, b.id, e.id, b.room, b.first, b.last, b.epoch,
        b.since, b.attempts, b.parked, b.why, b.body
        FROM old_batches b JOIN hook_endpoints e ON e.name = b.endpoint;
    UPDATE hook_endpoints SET gaps =
        (SELECT coalesce(sum(octet_length(room) + 100), 0) FROM hook_queues
            WHERE endpoint = hook_endpoints.id AND gap_to IS NOT NULL);
    UPDATE hook_endpoints SET bytes = gaps
        + (SELECT coalesce(sum(octet_length(e.body) + 100), 0)
            FROM hook_events e JOIN hook_queues q ON q.id = e.queue
            WHERE q.endpoint = hook_endpoints.id)
        + (SELECT coalesce(sum(octet_length(body) + 100), 0) FROM hook_batches
            WHERE endpoint = hook_endpoints.id);
    DROP TABLE old_queues; DROP TABLE old_events; DROP TABLE old_batches; DROP TABLE hook_state;
        DROP TABLE hook_sizes;
";

/// What version 9 adds: frozen batches of gaps alone are found without a look at all queues.
pub(in super::super) const NINTH: &str =
    "CREATE INDEX hook_queues_of_frozen_gaps ON hook_queues (endpoint, due)
     WHERE batch IS NOT NULL AND upto IS NULL";
