//! Opening: one server per folder, and messages that tell what to do.
use std::{fs, path::Path};

use super::*;
use crate::{
    domain::{
        error::{DISPLACED, StoreError},
        token::{
            Creation::Created,
            Realm::{Admin, User},
        },
    },
    store::{
        contract::witness::{EVERYTHING, insert, log, publish, room, token, uid},
        embedded::{Volume, backup, folder::Folder},
    },
};

#[tokio::test]
async fn a_second_server_is_refused_while_the_first_lives() {
    let home = DataFolder::new();
    let first = home.open();
    let text = home.refused().to_string();
    assert!(
        text.contains(&format!("is in use by another always-online (pid {})", std::process::id())),
        "{text}"
    );
    assert!(text.contains("AO_STORE__PATH"), "{text}");
    drop(first);
    drop(home.open());
}

#[tokio::test]
async fn the_folder_is_free_once_the_store_is_closed_whoever_still_holds_it() {
    let home = DataFolder::new();
    let first = home.open();
    publish(&first.broker(), &room("lesson"), [insert("a")]).await;
    first.broker().close().await;
    assert_eq!(fs::read_dir(home.options().path).unwrap().count(), 2, "the lock and one tidy file");
    drop(home.open());
    drop(first);
}

#[tokio::test]
async fn the_command_line_works_beside_a_server() {
    let home = DataFolder::new();
    let server = home.open();
    assert!(server.first_start());
    let accounts = Accounts::open(&home.options().path, home.watch.clone()).unwrap();
    assert_eq!(accounts.create(Admin, &uid("root"), &token("a")).await.unwrap(), Created);
    assert!(
        server.tokens().verify(Admin, &uid("root"), &token("a")).await.unwrap(),
        "the server sees it at once"
    );
    server.tokens().create(User, &uid("ann"), &token("b")).await.unwrap();
    accounts.refresh(User, &uid("ann"), &token("c")).await.unwrap();
    assert!(!server.tokens().verify(User, &uid("ann"), &token("b")).await.unwrap());
    drop(server);
    assert!(!home.open().first_start());
}

#[tokio::test]
async fn tokens_are_not_in_the_file() {
    let home = DataFolder::new();
    let server = home.open();
    server.tokens().create(User, &uid("ann"), &token("ABCDEFGHIJKLMNOPQRSTUVWX")).await.unwrap();
    server.broker().close().await;
    for file in fs::read_dir(home.options().path).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(24).any(|w| w == b"ABCDEFGHIJKLMNOPQRSTUVWX"));
    }
}

#[test]
fn a_file_that_is_no_database_is_damaged() {
    let home = DataFolder::new();
    fs::create_dir(home.options().path).unwrap();
    fs::write(home.database(), "not a database ".repeat(1000)).unwrap();
    let error = home.refused();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("always-online.sqlite3 is damaged"), "{error}");
}

#[tokio::test]
async fn a_file_with_broken_tables_is_damaged() {
    let home = DataFolder::new();
    let server = home.open();
    publish(&server.broker(), &room("lesson"), [insert("a")]).await;
    server.broker().close().await;
    let mut bytes = fs::read(home.database()).unwrap();
    bytes[4096..].fill(0xff);
    fs::write(home.database(), bytes).unwrap();
    let error = home.refused();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let home = DataFolder::new();
    drop(home.open());
    rusqlite::Connection::open(home.database())
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = home.refused();
    assert!(matches!(error, OpenError::Newer { found: 99, known: 9, .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_brought_up_to_date() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    let store = home.open();
    for text in ["a", "b"] {
        publish(&store.broker(), &room, [insert(text)]).await;
    }
    store.broker().close().await;
    let first = "ALTER TABLE rooms ADD COLUMN inserts INTEGER NOT NULL DEFAULT 0; UPDATE rooms SET inserts = 2, n = 2;
        CREATE TABLE inserts (room INTEGER NOT NULL, idx INTEGER NOT NULL, n INTEGER NOT NULL, unix INTEGER NOT NULL, body BLOB,
            PRIMARY KEY (room, idx)) WITHOUT ROWID;
        INSERT INTO inserts SELECT pos >> 32, pos & 0xffffffff, n, unix, body FROM log; DROP TABLE log; DROP TABLE revocations;
        DROP TABLE floor; DROP TABLE jobs; DROP TABLE records; DROP TABLE record_keys; DROP TABLE receipts; DROP INDEX rooms_by_expiry; ALTER TABLE rooms DROP COLUMN base; ALTER TABLE rooms DROP COLUMN expires;
        DROP INDEX rooms_trimming; ALTER TABLE rooms DROP COLUMN trimming; ALTER TABLE rooms DROP COLUMN start;
        ALTER TABLE updates DROP COLUMN ms; PRAGMA user_version = 1";
    rusqlite::Connection::open(home.database()).unwrap().execute_batch(first).unwrap();
    let hooks = "DROP TABLE hook_endpoints; DROP TABLE hook_queues; DROP TABLE hook_events; DROP TABLE hook_batches;
        DROP TABLE hook_told";
    rusqlite::Connection::open(home.database()).unwrap().execute_batch(hooks).unwrap();
    // The command line, while a server of that version has the folder: it leaves the tables alone.
    let lock = Folder::claim(&home.options().path).unwrap();
    let accounts = Accounts::open(&home.options().path, home.watch.clone()).unwrap();
    assert_eq!(accounts.create(User, &uid("ann"), &token("a")).await.unwrap(), Created);
    assert!(!accounts.revoke(User, &uid("bob")).await.unwrap());
    let expelled = revoke(&home.options().path, &uid("bob"), true, &*home.watch).unwrap();
    assert!(
        matches!(&expelled, Expelled::Unconfirmed { server } if server.contains("earlier version")),
        "{expelled:?}"
    );
    // A copy is refused, and so is a backup, with that server and without it: the same is true and
    // to be done.
    let (folder, file) = (home.options().path, home.database().with_extension("backup"));
    let source = Volume::source(&folder, home.watch.clone(), home.options().rng).err().unwrap();
    let beside = backup(&folder, &file).unwrap_err();
    drop((accounts, lock));
    for error in
        [source.to_string(), beside.to_string(), backup(&folder, &file).unwrap_err().to_string()]
    {
        assert!(
            error.contains("was written by an earlier always-online (format 1, this one knows 9)"),
            "{error}"
        );
        assert!(error.contains("start this one there once"), "{error}");
    }
    assert!(!file.exists());
    let version = rusqlite::Connection::open(home.database()).unwrap().query_row(
        "PRAGMA user_version",
        [],
        |row| row.get::<_, i64>(0),
    );
    assert_eq!(version.unwrap(), 1);
    let store = home.open();
    assert!(store.tokens().verify(User, &uid("ann"), &token("a")).await.unwrap());
    let placed = publish(&store.broker(), &room, [insert("c")]).await;
    assert_eq!(placed[0].index, Some(2));
    assert_eq!(log(&store.broker(), &room).await, ["a", "b", "c"]);
    let page = store.page(&room, 0, EVERYTHING).await.unwrap();
    assert_eq!(
        page.entries.iter().map(|entry| entry.at_ms).collect::<Vec<_>>(),
        [1_700_000_000_000, 1_700_000_000_000, 1_700_000_000_123],
        "earlier ones have the second"
    );
    assert_eq!(backup(&folder, &file).unwrap().messages, 3);
}

#[test]
fn a_file_in_the_folders_place_is_named() {
    let home = DataFolder::new();
    fs::write(home.options().path, "").unwrap();
    assert!(matches!(home.refused(), OpenError::NotAFolder { .. }));
    let below = Options { path: home.options().path.join("below"), ..home.options() };
    let error = Embedded::open(below).err().unwrap();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    assert!(Accounts::open(&home.options().path, home.watch.clone()).is_err());
}

#[cfg(unix)]
#[test]
fn the_folder_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let home = DataFolder::new();
    let _server = home.open();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&home.options().path), mode(&home.database())), (0o700, 0o600));
}

#[tokio::test]
async fn messages_outlive_a_store_that_was_dropped_without_closing() {
    let (home, room) = (DataFolder::new(), room("lesson"));
    publish(&home.open().broker(), &room, [insert("a")]).await;
    assert_eq!(log(&home.open().broker(), &room).await, ["a"]);
}

#[test]
fn a_lock_that_is_a_link_is_refused_and_what_it_leads_to_unharmed() {
    let home = DataFolder::new();
    fs::create_dir(home.options().path).unwrap();
    let (lock, elsewhere) = (home.options().path.join("lock"), home.folder.path().join("diary"));
    for there in [true, false] {
        if there {
            fs::write(&elsewhere, "dear diary").unwrap();
        }
        std::os::unix::fs::symlink(&elsewhere, &lock).unwrap();
        let error = home.refused();
        assert!(matches!(&error, OpenError::Foreign { file } if *file == lock), "{error}");
        assert_eq!(fs::read(&elsewhere).ok().as_deref(), there.then_some(&b"dear diary"[..]));
        fs::remove_file(&lock).unwrap();
        let _ = fs::remove_file(&elsewhere);
    }
    fs::create_dir(&lock).unwrap();
    assert!(matches!(home.refused(), OpenError::Foreign { .. }));
    fs::remove_dir(&lock).unwrap();
    drop(home.open());
    drop(home.open()); // with what the first has left
}

#[test]
fn a_backup_follows_no_link_that_waits_for_it() {
    let home = DataFolder::new();
    drop(home.open());
    let (file, elsewhere) = (home.folder.path().join("kept"), home.folder.path().join("diary"));
    fs::write(&elsewhere, "dear diary").unwrap();
    std::os::unix::fs::symlink(
        &elsewhere,
        file.with_file_name(format!("kept.{}.part", std::process::id())),
    )
    .unwrap();
    backup(&home.options().path, &file).unwrap();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"dear diary");
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
}

#[tokio::test]
async fn a_file_that_was_replaced_is_noticed_until_it_is_back() {
    let home = DataFolder::new();
    let store = home.open();
    let (file, aside) = (home.database(), home.folder.path().join("aside"));
    let checks = async || (store.broker().check().await.err(), store.tokens().check().await.err());
    let displaced = || Some(StoreError::Unavailable(DISPLACED.into()));
    assert_eq!(checks().await, (None, None));
    fs::rename(&file, &aside).unwrap();
    assert_eq!(checks().await, (displaced(), displaced()), "gone");
    fs::copy(&aside, &file).unwrap();
    assert_eq!(checks().await, (displaced(), displaced()), "a copy is another file");
    fs::rename(&aside, &file).unwrap();
    assert_eq!(checks().await, (None, None));
}
