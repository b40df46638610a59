//! What lasts: messages that the server has read, through its end; those that it has relayed and
//! that nobody is known to have got, through kill -9. And what is erased with its sender.
use std::time::Duration;

use serde_json::{Value, json};

use super::people::{Pair, Person, STAY_AWAY, setup, unharmed};
use support::{http, server::Server, soon, wire::socket::Socket};

/// Between two looks at something that nobody announces.
const STEP: Duration = Duration::from_millis(20);

/// Somebody who has been told everything that is told first, and reads when asked to: of what comes
/// then a ping is answered only when it reads on behind it.
async fn slow_reader(server: &Server, person: &Person) -> Socket {
    let mut socket = person.upgrade(server, &[]).await.unwrap();
    while !socket.receive().await.expect("its contacts").contains("wechat/save\"") {}
    socket
}

/// Waits until somebody is known to have got all that waited.
async fn nothing_waits(server: &Server, person: &Person) {
    soon("that nothing waits", async {
        loop {
            let there = person.comes(server).await;
            if there.waited.is_empty() {
                return;
            }
            // It answers pings meanwhile.
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
}

/// What was read is stored, also what is in flight when the server is told to end. And nobody is
/// told to stay away.
#[tokio::test]
async fn an_orderly_end_loses_nothing_and_everybody_comes_back() {
    const READ: usize = 300;
    let numbers = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    let mut server = setup().start().await;
    let [ann, ben, cleo] =
        [Person::new(&server).await, Person::new(&server).await, Person::new(&server).await];
    for other in [&ben, &cleo] {
        ann.befriend(&server, other).await;
    }
    let mut from_ann = ann.comes(&server).await;
    let mut from_cleo = cleo.comes(&server).await;
    from_ann.send_all(numbers(READ).iter().map(|content| ann.message(&ben, content))).await;
    // A connection is read in its order: with this all of the others were read.
    let word = ann.message(&cleo, "all of it was read");
    from_ann.send(&word).await;
    from_cleo.expect(&word).await;
    server.signal("TERM");
    // Of what comes now some may be read.
    let late = (READ..2 * READ).map(|number| ann.message(&ben, &number.to_string()));
    from_ann.send_all(late).await;
    assert_eq!(from_cleo.end().await, Some(1001));
    // Who sends on while the other side has closed may miss its last word.
    let code = from_ann.end().await;
    assert!(matches!(code, Some(1001) | None), "{code:?}");
    assert_eq!(server.end().await.code(), Some(0), "{}", server.stderr());

    server.restart().await;
    let mut from_ben = ben.comes(&server).await;
    assert!(from_ben.waited.len() >= READ, "{} of {READ}", from_ben.waited.len());
    assert_eq!(from_ben.waited, numbers(from_ben.waited.len()), "in order, once, without a hole");
    let mut from_ann = ann.comes(&server).await;
    let word = ann.message(&ben, "once more");
    from_ann.send(&word).await;
    from_ben.expect(&word).await;
    unharmed(&server).await;
}

/// It was relayed, so it was stored. Whether it has arrived nobody knows.
#[tokio::test]
async fn what_was_relayed_and_not_answered_for_survives_kill_9() {
    let mut server = setup().start().await;
    let (ann, ben) = tokio::join!(Person::new(&server), Person::new(&server));
    ann.befriend(&server, &ben).await;
    for round in 1..=4 {
        let mut from_ann = ann.comes(&server).await;
        let mut deaf = slow_reader(&server, &ben).await;
        let mut sent = Vec::new();
        for number in 0..round {
            sent.push(format!("{round}, {number}"));
            let word = ann.message(&ben, &sent[number]);
            from_ann.send(&word).await;
            // With the last of them it reads no more.
            assert_eq!(deaf.receive().await, Some(word));
        }
        server.kill_9().await;
        let code = from_ann.end().await;
        assert_ne!(code, Some(STAY_AWAY));
        drop(deaf);
        server.restart().await;
        let from_ben = ben.comes(&server).await;
        let (waited, last) = (&from_ben.waited, &sent[round - 1]);
        assert!(sent.ends_with(waited) && waited.contains(last), "{waited:?} of {sent:?}");
        nothing_waits(&server, &ben).await;
    }
    unharmed(&server).await;
}

/// The job that administrators give for a user: what it wrote is gone wherever it waits, in the
/// files too, and what others wrote is not.
#[tokio::test]
async fn messages_that_wait_are_erased_with_their_sender() {
    const MARK: &str = "quo-usque-tandem";
    let mut server = setup().start().await;
    let mut pair = Pair::come(&server).await;
    let away = [Person::new(&server).await, Person::new(&server).await];
    let numbers: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    for other in &away {
        pair.ann.befriend(&server, other).await;
        pair.ben.befriend(&server, other).await;
        for number in &numbers {
            pair.from_ann.send(&pair.ann.message(other, &format!("{MARK} {number}"))).await;
            pair.from_ben.send(&pair.ben.message(other, number)).await;
        }
    }
    // By now all of it was read, and the end waits until it is stored.
    pair.are_well().await;
    assert_eq!(server.terminate().await, 0);
    assert!(folder_has(&server, MARK));
    server.restart().await;
    give_job(&server, "erase-ann", &pair.ann);
    soon("the end of the job", async {
        while job(&server, "erase-ann").await["state"] != "done" {
            tokio::time::sleep(STEP).await;
        }
    })
    .await;
    assert!(!folder_has(&server, MARK));
    for other in &away {
        assert_eq!(other.comes(&server).await.waited, numbers, "those of Ben");
    }
    unharmed(&server).await;
}

/// Gives the job of erasing this user's messages, as other servers and commands do.
fn give_job(server: &Server, id: &str, of: &Person) {
    let file = server.setup().data().join("always-online.sqlite3");
    let database = rusqlite::Connection::open(file).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let job = json!({
        "id": id, "uid": format!("wechat\u{80}{}", of.phone), "state": "running", "at_ms": 1,
        "erased": { "rooms": 0, "inserts": 0, "updates": 0, "copies": 0 },
    });
    let insert = "INSERT INTO jobs (id, body, done, unix) VALUES (?1, ?2, 0, unixepoch())";
    database.execute(insert, (id, job.to_string())).unwrap();
}

/// How far a job is.
async fn job(server: &Server, id: &str) -> Value {
    let (uid, token) = server.admin();
    let credentials = format!("Bearer {uid}:{token}");
    let headers = [("authorization", &*credentials)];
    http::request(server.api(), "GET", &format!("/v1/jobs/{id}"), &headers, "").await.json()
}

fn folder_has(server: &Server, text: &str) -> bool {
    std::fs::read_dir(server.setup().data()).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}
