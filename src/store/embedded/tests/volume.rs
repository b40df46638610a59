//! A whole folder, copied to another one; and backups.
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Mutex};

use rusqlite::Connection;

use super::*;
use crate::{
    domain::{
        broker::{PageLimit, Stored},
        error::StoreError,
        ids::RoomId,
        token::Realm::{Admin, User},
    },
    store::{
        contract::witness::{insert, log, publish, token, uid, update as set},
        embedded::{BackupError, Volume, backup},
    },
    transfer::{
        Archive, Extent, Progress, Proof, Record, Rooms, Update, Updates, Vault, accounts, messages,
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
    Stored { body: Some(body.to_owned().into()), at_ms: unix * 1000, recalled: false }
}

fn update(id: &str, body: &str, unix: u64) -> Update {
    Update { id: id.into(), entry: stored(body, unix) }
}

async fn all(archive: &dyn Archive, room: &RoomId) -> Vec<Stored> {
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
fn entries(count: u64) -> Vec<Stored> {
    let long = |i: u64| usize::try_from(i % 97 * 40).unwrap();
    let entry = |i| {
        stored(
            &format!("{{\"i\":{i},\"x\":\"{}\"}}", "é\\n".repeat(long(i))),
            1_600_000_000 + i / 7,
        )
    };
    (0..count)
        .map(
            |i| {
                if i == 11 { Stored { body: None, at_ms: 5000, recalled: false } } else { entry(i) }
            },
        )
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
    ) -> Result<Vec<Stored>, StoreError> {
        self.0.read(room, from, limit).await
    }
    async fn append(&self, room: &RoomId, at: u64, entries: &[Stored]) -> Result<bool, StoreError> {
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
    other[520].at_ms += 1000;
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
