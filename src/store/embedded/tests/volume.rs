//! A whole folder, copied to another one; and backups.
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Mutex};

use rusqlite::Connection;

use super::*;
use crate::{
    domain::{
        broker::{PageLimit, Placed, Stored, Trim},
        erase::{Erasure, Job},
        error::StoreError,
        ids::RoomId,
        receipt::KEPT,
        records::{Collection, Expect},
        token::Realm::{Admin, User},
    },
    store::{
        contract::witness::{
            insert, keyed, log, publish, receipt, token, uid, update as set, with_receipt,
        },
        embedded::{BackupError, Volume, backup},
    },
    transfer::{
        Archive, Bounds, Extent, Indexes, Insert, Ledger, Progress, Proof, Record, Rooms, Update,
        Updates, Vault, accounts, messages, receipts, records,
    },
};

/// What was warned of.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Progress for Said {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn warn(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

fn target(home: &DataFolder) -> Volume {
    Volume::target(&home.options().path, home.watch.clone(), Arc::new(SystemRng)).unwrap()
}

fn source(home: &DataFolder) -> Volume {
    Volume::source(&home.options().path, home.watch.clone(), Arc::new(SystemRng)).unwrap()
}

fn stored(body: &str, unix: u64) -> Stored {
    Stored { body: Some(body.to_owned().into()), at_ms: unix * 1000, recalled: false, n: None }
}

fn update(id: &str, body: &str, unix: u64) -> Update {
    Update { id: id.into(), entry: stored(body, unix) }
}

async fn all(archive: &dyn Archive, room: &RoomId) -> Vec<Insert> {
    let mut found = Vec::new();
    loop {
        let more = archive
            .read(room, found.len() as u64, PageLimit { entries: 70, bytes: 5000 })
            .await
            .unwrap();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Entries of all kinds: short and long, of one moment and of several, with one that can't be read.
fn entries(count: u64) -> Vec<Insert> {
    let long = |i: u64| usize::try_from(i % 97 * 40).unwrap();
    let entry = |i| {
        stored(
            &format!("{{\"i\":{i},\"x\":\"{}\"}}", "é\\n".repeat(long(i))),
            1_600_000_000 + i / 7,
        )
    };
    (0..count)
        .map(|i| {
            if i == 11 {
                Stored { body: None, at_ms: 5000, recalled: false, n: None }
            } else {
                entry(i)
            }
        })
        .map(Insert::from)
        .collect()
}

#[tokio::test]
async fn a_log_keeps_bodies_times_and_places() {
    let home = DataFolder::new();
    let (volume, lesson) = (target(&home), room("lesson \"*%_' é"));
    let wanted = entries(1200);
    assert!(volume.append(&lesson, 0, &wanted[..700]).await.unwrap());
    assert!(
        !volume.append(&lesson, 699, &wanted[700..]).await.unwrap(),
        "nothing is written at another place"
    );
    assert!(volume.append(&lesson, 700, &wanted[700..]).await.unwrap());
    volume.put_updates(&lesson, &[update("b", "{}", 7), update("a", "1", 8)]).await.unwrap();
    volume.put_updates(&lesson, &[update("b", "2", 9)]).await.unwrap();
    assert_eq!(all(&volume, &lesson).await, wanted);
    assert_eq!(
        volume.updates(&lesson).await.unwrap().updates,
        [update("a", "1", 8), update("b", "2", 9)]
    );
    assert_eq!(
        volume.extents(&[lesson.clone(), room("none")]).await.unwrap(),
        [Extent { inserts: 1200, updates: 2 }, Extent::default()]
    );
    assert_eq!(volume.rooms().await.unwrap().rooms, std::slice::from_ref(&lesson));
    drop(volume);

    // A server goes on behind it.
    let server = home.open();
    publish(&server.broker(), &lesson, [insert("next")]).await;
    assert_eq!(
        server
            .broker()
            .page(&lesson, 1199, PageLimit { entries: 9, bytes: 9999 })
            .await
            .unwrap()
            .log_length,
        1201
    );
}

/// An archive that loses the last entry of each stretch, and says that all went well.
struct Forgetful(Volume);

#[async_trait::async_trait]
impl Indexes for Forgetful {
    async fn bounds(&self, room: &RoomId) -> Result<Bounds, StoreError> {
        self.0.bounds(room).await
    }
    async fn begin(&self, room: &RoomId, bounds: &Bounds) -> Result<bool, StoreError> {
        self.0.begin(room, bounds).await
    }
    async fn finish(&self, room: &RoomId, bounds: &Bounds) -> Result<(), StoreError> {
        self.0.finish(room, bounds).await
    }
    async fn floor(&self) -> Result<u64, StoreError> {
        self.0.floor().await
    }
    async fn raise_floor(&self, floor: u64) -> Result<(), StoreError> {
        self.0.raise_floor(floor).await
    }
}

#[async_trait::async_trait]
impl Archive for Forgetful {
    async fn rooms(&self) -> Result<Rooms, StoreError> {
        self.0.rooms().await
    }
    async fn extents(&self, rooms: &[RoomId]) -> Result<Vec<Extent>, StoreError> {
        self.0.extents(rooms).await
    }
    async fn read(
        &self,
        room: &RoomId,
        from: u64,
        limit: PageLimit,
    ) -> Result<Vec<Insert>, StoreError> {
        self.0.read(room, from, limit).await
    }
    async fn append(&self, room: &RoomId, at: u64, entries: &[Insert]) -> Result<bool, StoreError> {
        self.0.append(room, at, &entries[..entries.len() - 1]).await
    }
    async fn updates(&self, room: &RoomId) -> Result<Updates, StoreError> {
        self.0.updates(room).await
    }
    async fn put_updates(&self, room: &RoomId, updates: &[Update]) -> Result<(), StoreError> {
        self.0.put_updates(room, &updates[1..]).await
    }
}

#[tokio::test]
async fn a_copy_goes_on_where_it_was_and_is_counted() {
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (from, to) = (target(&from), target(&to));
    for (name, count) in [("long", 1700), ("short", 3), ("begun", 600)] {
        from.append(&room(name), 0, &entries(count)).await.unwrap();
    }
    from.put_updates(
        &room("board"),
        &[update("b", "1", 5), update("a", "2", 5), update("c", "3", 5)],
    )
    .await
    .unwrap();
    to.append(&room("begun"), 0, &entries(550)).await.unwrap();
    to.put_updates(
        &room("board"),
        &[update("x", "0", 1), update("b", "1", 5), update("c", "0", 6)],
    )
    .await
    .unwrap();

    let said = Said::default();
    let report = messages::copy(&from, &to, &said).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(
        (report.rooms.to, report.inserts.to, report.updates.to, report.kept),
        (4, 2303, 3, 1)
    );
    assert_eq!(report.unreadable, 2);
    for name in ["long", "short", "begun"] {
        assert_eq!(all(&to, &room(name)).await, all(&from, &room(name)).await, "{name}");
    }
    let board =
        [update("x", "0", 1), update("b", "1", 5), update("c", "0", 6), update("a", "2", 5)];
    assert_eq!(to.updates(&room("board")).await.unwrap().updates, board);
    assert!(messages::copy(&from, &to, &said).await.unwrap().is_complete());
    assert_eq!(to.updates(&room("board")).await.unwrap().updates, board);
    let kept =
        "kept: update \"c\" of room \"board\": the target's is newer, by the servers' clocks";
    assert_eq!(*said.0.lock().unwrap(), [kept, kept], "told by each of the two copies");
}

#[tokio::test]
async fn a_room_with_another_history_is_named_and_left() {
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (from, to) = (target(&from), target(&to));
    let mut other = entries(600);
    other[520].entry.at_ms += 1000;
    for (name, ours, theirs) in [
        ("other", entries(900), other),
        ("longer", entries(5), entries(6)),
        ("fine", entries(9), entries(2)),
    ] {
        from.append(&room(name), 0, &ours).await.unwrap();
        to.append(&room(name), 0, &theirs).await.unwrap();
    }
    from.put_updates(&room("other"), &[update("b", "1", 5)]).await.unwrap();
    let said = Said::default();
    let report = messages::copy(&from, &to, &said).await.unwrap();
    assert_eq!((report.refused, report.is_complete()), (2, false));
    let lengths: Vec<_> = to.extents(&[room("fine"), room("longer"), room("other")]).await.unwrap();
    assert_eq!(
        lengths.iter().map(|e| (e.inserts, e.updates)).collect::<Vec<_>>(),
        [(9, 0), (6, 0), (600, 0)]
    );
    let said = said.0.lock().unwrap().join("\n");
    assert!(
        said.contains("room \"longer\" has another history in the target, from message 5 on"),
        "{said}"
    );
    assert!(
        said.contains("room \"other\" has another history in the target, from message 520 on"),
        "{said}"
    );
}

#[tokio::test]
async fn what_a_target_loses_is_found_by_counting() {
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (from, to) = (target(&from), Forgetful(target(&to)));
    from.append(&room("log"), 0, &entries(9)).await.unwrap();
    from.put_updates(&room("board"), &[update("b", "1", 5), update("a", "2", 5)]).await.unwrap();
    let report = messages::copy(&from, &to, &Said::default()).await.unwrap();
    assert!(!report.is_complete());
    assert_eq!(
        (report.inserts.to, report.updates.to, report.rooms.to, report.rooms.from),
        (8, 1, 0, 2)
    );
}

#[tokio::test]
async fn accounts_keep_times_and_an_existing_one_its_token() {
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (from, to) = (target(&from), target(&to));
    let record = |uid: &str, secret: &str| Record {
        uid: uid.into(),
        created: 5,
        updated: 6,
        proof: Proof::Plain(token(secret)),
    };
    let many: Vec<_> =
        (0..1001).map(|i| record(&format!("user {i}"), &format!("secret {i}"))).collect();
    from.add(User, &many).await.unwrap();
    from.add(Admin, &[record("root", "r")]).await.unwrap();
    to.add(User, &[record("user 7", "another"), record("user 8", "secret 8")]).await.unwrap();
    let report = accounts::copy(&from, &to, User, &Said::default()).await.unwrap();
    assert_eq!(
        (report.accounts.from, report.accounts.to, report.kept, report.is_complete()),
        (1001, 1001, 1, true)
    );
    assert!(accounts::copy(&from, &to, Admin, &Said::default()).await.unwrap().is_complete());
    let found = to.find(User, &["user 7".into(), "user 9".into(), "nobody".into()]).await.unwrap();
    assert_eq!(
        found.iter().map(|r| (r.created, r.updated, r.proof.digest())).collect::<Vec<_>>(),
        [
            (5, 6, Proof::Plain(token("another")).digest()),
            (5, 6, Proof::Plain(token("secret 9")).digest())
        ]
    );
}

#[tokio::test]
async fn a_source_may_be_in_use_and_a_target_may_not() {
    let home = DataFolder::new();
    assert!(
        Volume::source(&home.options().path, home.watch.clone(), Arc::new(SystemRng))
            .err()
            .unwrap()
            .to_string()
            .contains("there is no")
    );
    assert!(!home.options().path.exists(), "nothing was made");
    let server = home.open();
    publish(&server.broker(), &room("lesson"), [insert("a")]).await;
    let refused = Volume::target(&home.options().path, home.watch.clone(), Arc::new(SystemRng))
        .err()
        .unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    let read = source(&home);
    assert_eq!(read.extents(&[room("lesson")]).await.unwrap()[0].inserts, 1);
    assert!(read.append(&room("lesson"), 1, &entries(1)).await.is_err());
    drop((read, server));
    let read = source(&home);
    assert!(matches!(home.refused(), OpenError::InUse { .. }), "no server starts meanwhile");
    assert_eq!(read.extents(&[room("lesson")]).await.unwrap()[0].inserts, 1);
}

/// A second folder, with a backup put in as its database.
fn restored(file: &PathBuf) -> DataFolder {
    let home = DataFolder::new();
    fs::create_dir(home.options().path).unwrap();
    fs::copy(file, home.database()).unwrap();
    home
}

#[tokio::test]
async fn a_backup_beside_a_server_is_a_whole_store() {
    let home = DataFolder::new();
    let server = home.open();
    publish(&server.broker(), &room("lesson"), [insert("a"), insert("b"), insert("c")]).await;
    publish(&server.broker(), &room("board"), [set("a", "{}")]).await;
    server.tokens().create(User, &uid("ann"), &token("b")).await.unwrap();
    let file = home.folder.path().join("kept.sqlite3");
    let made = backup(&home.options().path, &file).unwrap();
    assert_eq!((made.rooms, made.messages, made.accounts), (2, 4, 1));
    assert_eq!(made.bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(backup(&home.options().path, &file), Err(BackupError::Exists(_))));
    assert_eq!(
        fs::read_dir(home.folder.path()).unwrap().count(),
        2,
        "the folder and the backup, nothing half made"
    );

    let restored = restored(&file);
    let other = restored.open();
    assert_eq!(
        log(&other.broker(), &room("lesson")).await,
        log(&server.broker(), &room("lesson")).await
    );
    assert!(other.tokens().verify(User, &uid("ann"), &token("b")).await.unwrap());
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let home = DataFolder::new();
    let file = home.folder.path().join("kept.sqlite3");
    let error = backup(&home.options().path, &file).unwrap_err().to_string();
    assert!(error.contains("there is no"), "{error}");
    drop(home.open());
    let nowhere = home.folder.path().join("nowhere").join("kept.sqlite3");
    assert!(matches!(backup(&home.options().path, &nowhere), Err(BackupError::File { .. })));
    Connection::open(home.database()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(
        backup(&home.options().path, &file),
        Err(BackupError::Store(OpenError::Newer { .. }))
    ));
    assert_eq!(fs::read_dir(home.folder.path()).unwrap().count(), 1);
}

/// What readers are shown.
async fn shown(server: &Arc<Embedded>, room: &RoomId) -> (Vec<Stored>, [u64; 4]) {
    let limit = PageLimit { entries: 999, bytes: 1 << 20 };
    let page = server.broker().page(room, 0, limit).await.unwrap();
    // The places in the order are the store's own.
    let entries = page.entries.into_iter().map(|entry| Stored { n: None, ..entry });
    (entries.collect(), [page.start, page.base, page.log_length, page.epoch])
}

#[tokio::test]
async fn what_belongs_to_a_log_goes_with_it() {
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (server, class, empty) = (from.open(), room("class"), room("empty"));
    let broker = server.broker();
    publish(&broker, &class, (0..5).map(|at| insert(&at.to_string()))).await;
    broker.clear(&class).await.unwrap();
    publish(&broker, &empty, (0..9).map(|at| insert(&at.to_string()))).await;
    broker.clear(&empty).await.unwrap();
    publish(&broker, &class, (0..6).map(|at| keyed(&format!("k{at}"), &at.to_string()))).await;
    server.trim(&class, Trim::Before(7)).await.unwrap();
    server.recall(&class, "k4", 100).await.unwrap().unwrap();
    publish(&broker, &class, [set("u", "1"), insert("6")]).await;
    let hour = Duration::from_secs(3600);
    server.expire(&class, hour).await.unwrap();
    let before = shown(&server, &class).await;
    assert_eq!(before.1[..3], [2, 7, 5]);
    drop((broker, server));

    let (ours, theirs) = (source(&from), target(&to));
    for _ in 0..2 {
        let copied = messages::copy(&ours, &theirs, &Said::default()).await.unwrap();
        assert!(copied.is_complete() && copied.shifted == 0, "{copied:?}");
    }
    assert_eq!(theirs.bounds(&class).await.unwrap(), ours.bounds(&class).await.unwrap());
    drop((ours, theirs));
    let server = to.open();
    let broker = server.broker();
    assert_eq!(shown(&server, &class).await, before);
    let limit = PageLimit { entries: 1, bytes: 99 };
    let first = broker.page(&class, 0, limit).await.unwrap().entries.remove(0);
    assert_eq!(first.n, None, "no place is made up");
    let again = broker.publish(&class, [keyed("k3", "again")].into()).await.unwrap();
    assert_eq!(again, [Placed::Duplicate]);
    assert_eq!(publish(&broker, &class, [insert("7")]).await[0].index, Some(12));
    assert_eq!(server.recall(&class, "k4", 100).await.unwrap().unwrap(), "4");
    assert_eq!(publish(&broker, &room("fresh"), [insert("1")]).await[0].index, Some(9));
    to.watch.advance(hour);
    assert_eq!(log(&broker, &class).await, [""; 0], "it ends when it was to");
}

/// An hour ago it had been forgotten, if only somebody had looked.
#[tokio::test]
async fn a_log_whose_time_is_over_is_not_copied() {
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (server, class) = (from.open(), room("class"));
    publish(&server.broker(), &class, [insert("1"), set("u", "2")]).await;
    server.expire(&class, Duration::from_secs(3600)).await.unwrap();
    drop(server);
    from.watch.advance(Duration::from_secs(7200));
    let (ours, theirs) = (source(&from), target(&to));
    assert!(messages::copy(&ours, &theirs, &Said::default()).await.unwrap().is_complete());
    assert_eq!(theirs.extents(std::slice::from_ref(&class)).await.unwrap(), [Extent::default()]);
    drop(theirs);
    let server = to.open();
    assert_eq!(publish(&server.broker(), &class, [insert("3")]).await[0].index, Some(1));
}

/// The target has served before, and has not swept away yet what is over.
#[tokio::test]
async fn a_receipt_whose_time_is_over_is_in_no_others_way() {
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (before, class) = (to.open(), room("class"));
    let old = with_receipt(receipt("k", 8, "old"), insert("0"));
    publish(&before.broker(), &room("other"), [old]).await;
    drop(before);
    for home in [&from, &to] {
        home.watch.advance(KEPT + Duration::from_secs(2));
    }
    let (server, once) = (from.open(), || with_receipt(receipt("k", 7, "note"), insert("1")));
    let position = publish(&server.broker(), &class, [once()]).await[0];
    drop(server);

    let (ours, theirs) = (source(&from), target(&to));
    assert_eq!(theirs.have(&["k".into()]).await.unwrap(), [false]);
    for _ in 0..2 {
        assert!(messages::copy(&ours, &theirs, &Said::default()).await.unwrap().is_complete());
        let copied = receipts::copy(&ours, &theirs, &Said::default()).await.unwrap();
        assert_eq!((copied.receipts.from, copied.receipts.to), (1, 1));
    }
    assert_eq!(theirs.have(&["k".into()]).await.unwrap(), [true]);
    drop((ours, theirs));
    let server = to.open();
    let again = server.broker().publish(&class, [once()].into()).await.unwrap();
    assert_eq!(again, [Placed::Replayed { position, note: "note".into() }]);
}

#[tokio::test]
async fn records_receipts_and_open_jobs_go_with_the_messages() {
    const PEOPLE: Collection = Collection::new("people", &["city"]);
    let (from, to) = (DataFolder::new(), DataFolder::new());
    let (server, class) = (from.open(), room("class"));
    let end = from.watch.unix() + 60;
    for at in 0..450 {
        let body = format!(r#"{{"city":"c{}"}}"#, at % 2);
        let ends = (at % 3 == 0).then_some(end);
        server.put(&PEOPLE, &format!("{at:03}"), body.into(), Expect::New, ends).await.unwrap();
    }
    let once = || with_receipt(receipt("k", 7, "note"), insert("1"));
    let position = publish(&server.broker(), &class, [once()]).await[0];
    let job = Job { after: Some("x".into()), ..Job::new("j".into(), &uid("ann"), None, 5) };
    server.keep_job(&job).await.unwrap();
    let before = Records::list(&*server, &PEOPLE, None, 1000).await.unwrap();
    drop(server);

    let (ours, theirs) = (source(&from), target(&to));
    for _ in 0..2 {
        assert!(messages::copy(&ours, &theirs, &Said::default()).await.unwrap().is_complete());
        let copied = receipts::copy(&ours, &theirs, &Said::default()).await.unwrap();
        assert_eq!((copied.receipts.from, copied.receipts.to, copied.erasings), (1, 1, 1));
        let copied = records::copy(&ours, &theirs, &Said::default()).await.unwrap();
        assert_eq!((copied.records.from, copied.records.to, copied.kept), (450, 450, 0));
    }
    drop((ours, theirs));
    let server = to.open();
    assert_eq!(Records::list(&*server, &PEOPLE, None, 1000).await.unwrap(), before);
    let found = server.find(&PEOPLE, "city", "c1", None, 1000).await.unwrap();
    assert_eq!(found.records.len(), 225);
    let again = server.broker().publish(&class, [once()].into()).await.unwrap();
    assert_eq!(again, [Placed::Replayed { position, note: "note".into() }]);
    assert_eq!(server.open_jobs().await.unwrap(), [Job { after: None, ..job }]);
    to.watch.advance(Duration::from_secs(60));
    assert_eq!(Records::list(&*server, &PEOPLE, None, 1000).await.unwrap().records.len(), 300);
}
