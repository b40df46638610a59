//! On a real Redis: `REDIS_URL` names it, and each test has a prefix of its own.
use super::*;
use crate::{
    config::{Backend, backend::MESSAGES},
    domain::{
        broker::Stored,
        clock::{SystemClock, SystemRng, alphanumeric},
    },
    store::embedded::Volume,
    transfer::{Progress, messages},
};
use std::sync::Arc;

mod moved;

struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
    fn warn(&self, _: &str) {}
}

/// A part of the server that is this test's alone. What is in it goes when the test ends well.
struct Part {
    archive: RedisArchive,
    prefix: String,
}

impl Part {
    async fn new() -> Part {
        let url = std::env::var("REDIS_URL").expect("REDIS_URL names a Redis: this test needs one");
        let Ok(Backend::Url(url)) = (MESSAGES.parse)(&url) else {
            panic!("{url} is no URL of a Redis")
        };
        let prefix = format!("test-*?[\\{}:", alphanumeric(&SystemRng, 12).unwrap());
        let archive = RedisArchive::connect(&url, &prefix, Duration::from_secs(10)).await.unwrap();
        Part { archive, prefix }
    }

    async fn run<T: FromRedisValue>(&self, name: &str, key: &str, arguments: &[&str]) -> T {
        self.archive
            .call(cmd(name).arg(format!("{}{key}", self.prefix)).arg(arguments))
            .await
            .unwrap()
    }

    async fn end(self) {
        let pattern = self.archive.keys.pattern().replace("msg_*", "*");
        let keys: Vec<Vec<u8>> = self.archive.call(cmd("KEYS").arg(pattern)).await.unwrap();
        self.archive.call::<()>(cmd("DEL").arg(keys)).await.unwrap();
    }
}

fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

fn stored(body: &str, unix: u64) -> Stored {
    Stored { body: Some(body.to_owned().into()), at_ms: unix * 1000, recalled: false, n: None }
}

#[tokio::test]
async fn rooms_are_found_whatever_their_names_and_nothing_else_is() {
    let part = Part::new().await;
    let names = ["plain", "x_update_backup", "a_insert", "päivä \"*?[\\", "only updates", "_"];
    for name in names {
        let (key, command) =
            if name == "only updates" { ("update", "HSET") } else { ("insert", "RPUSH") };
        let arguments: &[&str] = if command == "HSET" {
            &["id", r#"{"data":{},"ts":1}"#]
        } else {
            &[r#"{"data":{},"ts":1}"#]
        };
        part.run::<()>(command, &format!("msg_{name}_{key}"), arguments).await;
    }
    for key in ["msg_plain_update_backup", "msg_plain_ignore", "msg_insert", "other_x_insert"] {
        part.run::<()>("RPUSH", key, &["x"]).await;
    }
    part.run::<()>("SET", "msg_text_insert", &["x"]).await;
    part.run::<()>("HSET", "msg_text_update", &["id", "x"]).await;
    part.run::<()>("RPUSH", "msg_a\nb_insert", &["x"]).await;
    let found = part.archive.rooms().await.unwrap();
    let mut wanted: Vec<_> = names.map(room).into();
    wanted.sort();
    assert_eq!(found.rooms, wanted);
    assert_eq!(found.skipped.len(), 2, "{:?}", found.skipped);
    assert!(
        found.skipped.iter().any(|s| s.contains("msg_text_insert") && s.contains("it is a string")),
        "{:?}",
        found.skipped
    );
    assert!(found.skipped.iter().any(|s| s.contains("control characters")), "{:?}", found.skipped);
    part.end().await;
}

#[tokio::test]
async fn updates_get_numbers_and_the_counter_comes_up_to_them() {
    let part = Part::new().await;
    let (lesson, update) =
        (room("les son"), |id: &str, body: &str| Update { id: id.into(), entry: stored(body, 9) });
    part.run::<()>(
        "HSET",
        "msg_les son_update",
        &["old", r#"{"data":0,"ts":3}"#, "older", r#"{"data":1,"ts":2}"#],
    )
    .await;
    part.archive.put_updates(&lesson, &[update("b", "{}"), update("a", "[]")]).await.unwrap();
    assert_eq!(
        part.run::<String>("HGET", "msg_les son_update", &["b"]).await,
        r#"{"data":{},"ts":9,"n":1}"#
    );
    assert_eq!(part.run::<u64>("HGET", "ao:seq:les son", &["n"]).await, 2);
    part.run::<()>("HSET", "ao:seq:les son", &["n", "7", "epoch", "e", "u", "4 100"]).await;
    part.archive.put_updates(&lesson, &[update("b", "3")]).await.unwrap();
    assert_eq!(part.run::<u64>("HGET", "ao:seq:les son", &["n"]).await, 7, "it never goes back");
    assert_eq!(
        part.run::<u64>("HEXISTS", "ao:seq:les son", &["u"]).await,
        0,
        "what its updates take is counted anew"
    );
    let ids: Vec<_> = part
        .archive
        .updates(&lesson)
        .await
        .unwrap()
        .updates
        .iter()
        .map(|u| u.id.to_string())
        .collect();
    assert_eq!(ids, ["older", "old", "a", "b"]);
    part.end().await;
}

#[tokio::test]
async fn a_list_grows_only_where_it_is_expected_to_end() {
    let part = Part::new().await;
    let (lesson, entries) = (
        room("lesson"),
        (0..150)
            .map(|i| Insert::from(stored(&i.to_string(), 1_600_000_000 + i)))
            .collect::<Vec<_>>(),
    );
    assert!(part.archive.append(&lesson, 0, &entries[..100]).await.unwrap());
    assert!(!part.archive.append(&lesson, 0, &entries[..100]).await.unwrap());
    assert!(part.archive.append(&lesson, 100, &entries[100..]).await.unwrap());
    let read =
        part.archive.read(&lesson, 90, PageLimit { entries: 50, bytes: 1 << 20 }).await.unwrap();
    assert_eq!(read, entries[90..140]);
    assert_eq!(
        part.archive.read(&lesson, 0, PageLimit { entries: 50, bytes: 1 }).await.unwrap().len(),
        1
    );
    assert_eq!(
        part.archive.extents(&[lesson]).await.unwrap(),
        [Extent { inserts: 150, updates: 0 }]
    );
    part.end().await;
}

#[tokio::test]
async fn the_order_of_updates_outlives_clocks_that_were_put_back() {
    let (ours, theirs, board) = (Part::new().await, Part::new().await, room("board"));
    let all = [("b", 1, 100, 1), ("a", 2, 90, 2), ("d", 4, 101, 3), ("c", 5, 20, 4)];
    for (id, body, unix, n) in all {
        ours.run::<()>(
            "HSET",
            "msg_board_update",
            &[id, &format!(r#"{{"data":{body},"ts":{unix},"n":{n}}}"#)],
        )
        .await;
    }
    ours.run::<()>("HSET", "msg_board_update", &["o", r#"{"data":3,"ts":101}"#]).await;
    let order = async |archive: &dyn Archive| -> Vec<String> {
        archive.updates(&board).await.unwrap().updates.iter().map(|u| u.id.to_string()).collect()
    };
    let wanted = ["b", "a", "o", "d", "c"];
    assert_eq!(order(&ours.archive).await, wanted);
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::target(folder.path(), Arc::new(SystemClock), Arc::new(SystemRng)).unwrap();
    assert!(messages::copy(&ours.archive, &volume, &Quiet).await.unwrap().is_complete());
    assert_eq!(order(&volume).await, wanted);
    // Beside what the original wrote there, with the same bodies: it has no numbers, only times.
    theirs
        .run::<()>(
            "HSET",
            "msg_board_update",
            &["b", r#"{"data":1,"ts":100}"#, "a", r#"{"data":2,"ts":90}"#],
        )
        .await;
    assert_eq!(order(&theirs.archive).await, ["a", "b"]);
    assert!(messages::copy(&volume, &theirs.archive, &Quiet).await.unwrap().is_complete());
    assert_eq!(order(&theirs.archive).await, wanted);
    // The first as they should be, the rest to come before it by its time.
    theirs.run::<()>("DEL", "msg_board_update", &[]).await;
    theirs.run::<()>("HSET", "msg_board_update", &["b", r#"{"data":1,"ts":100}"#]).await;
    assert!(messages::copy(&volume, &theirs.archive, &Quiet).await.unwrap().is_complete());
    assert_eq!(order(&theirs.archive).await, wanted);
    ours.end().await;
    theirs.end().await;
}

#[tokio::test]
async fn what_goes_there_comes_back_equal() {
    let (ours, theirs) = (Part::new().await, Part::new().await);
    for i in 0..700 {
        let entry = if i == 300 {
            "no json".into()
        } else {
            format!(r#"{{"data":{{"i": {i},"x":"é\""}},"ts":{}}}"#, 1_500_000_000 + i / 9)
        };
        ours.run::<()>("RPUSH", "msg_le\"ss*on_insert", &[&entry]).await;
    }
    for i in 0..80 {
        ours.run::<()>(
            "HSET",
            "msg_bo[a]rd_update",
            &[
                &format!("id {i}"),
                &format!(r#"{{"data":{i},"ts":{}}}"#, 1_500_000_000 + (i * 7) % 80),
            ],
        )
        .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let volume = Volume::target(folder.path(), Arc::new(SystemClock), Arc::new(SystemRng)).unwrap();
    let there = messages::copy(&ours.archive, &volume, &Quiet).await.unwrap();
    assert!(there.is_complete() && there.unreadable == 1, "{there:?}");
    let back = messages::copy(&volume, &theirs.archive, &Quiet).await.unwrap();
    assert!(back.is_complete() && back.inserts.to == 700 && back.updates.to == 80, "{back:?}");
    assert!(messages::copy(&ours.archive, &theirs.archive, &Quiet).await.unwrap().is_complete());
    let updates = async |part: &Part| part.archive.updates(&room("bo[a]rd")).await.unwrap().updates;
    assert_eq!(updates(&ours).await, updates(&theirs).await);
    let raw = async |part: &Part| {
        part.run::<Vec<String>>("LRANGE", "msg_le\"ss*on_insert", &["0", "-1"]).await
    };
    let (mut before, after) = (raw(&ours).await, raw(&theirs).await);
    before[300] = r#"{"data":null,"ts":0}"#.into();
    assert_eq!(before, after, "byte by byte, but for what can't be read");
    ours.end().await;
    theirs.end().await;
}
