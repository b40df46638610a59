//! The log, where it can't be written: nothing that the server does depends on that. And conditions
//! that last, which are logged now and then.
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, PipeReader, PipeWriter, Write},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;

use support::{
    client::{Client, Packet},
    http,
    own_redis::OwnRedis,
    server::{Server, Setup},
    soon,
};

/// Between two looks at something that nobody announces.
const STEP: Duration = Duration::from_millis(50);
/// Messages that make the server busy, and its log long.
const MESSAGES: u64 = 200;

/// A pipe whose reader has gone.
pub fn unread_pipe() -> (PipeWriter, Option<PipeReader>) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    (writer, None)
}

/// A pipe that is full, and that nobody reads while the reader is kept.
pub fn full_pipe() -> (PipeWriter, Option<PipeReader>) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    // More than any pipe holds: this thread is stuck until the test ends.
    std::thread::spawn(move || filler.write_all(&vec![b'.'; 4 << 20]).is_err());
    (writer, Some(reader))
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(STEP).await;
        }
    };
    soon(what, wait).await;
}

pub(crate) async fn readiness(server: &Server, status: u16) {
    eventually(&format!("readiness {status}"), async || {
        http::get(server.api(), "/readyz").await.status == status
    })
    .await;
}

/// A member of the room, as soon as it is let in.
async fn come(server: &Server, uid: &str) -> Client {
    let coming = async {
        loop {
            if let Ok(client) = Client::try_connect(server.websocket()).await
                && let Some(client) = enter(client, uid).await
            {
                return client;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    soon(format!("{uid} in the attic"), coming).await
}

async fn enter(mut client: Client, uid: &str) -> Option<Client> {
    for (event, payload) in [
        ("authenticate", json!({ "uid": uid, "token": "any" })),
        ("join", json!({ "roomId": "attic" })),
    ] {
        client.emit(event, &payload);
        match client.next().await {
            Packet::Event(name, answer) if name == event && answer["status"] == 0 => {}
            _ => return None,
        }
    }
    Some(client)
}

/// `anna` writes and `bert` reads.
async fn chat(anna: &Client, bert: &mut Client) {
    for number in 0..MESSAGES {
        anna.send(&json!({ "s": 0, "1": number })).await;
    }
    for number in 0..MESSAGES {
        assert_eq!(bert.until("msg").await["1"], number);
    }
}

fn on(redis: &OwnRedis, filter: &str) -> Setup {
    let setup = Setup::new()
        .env("AO_STORE__MESSAGES", redis.url())
        .env("AO_STORE__LEASE", "2s")
        .env("AO_AUTH__IGNORE", "true");
    setup.env("AO_AUTH__RATE_LIMIT", "1000000 in 60s").env("AO_LOG", filter)
}

/// The server works, loses its Redis and finds it again, and ends in order, whatever becomes of its
/// log.
async fn lives(filter: &str, stderr: impl Into<Stdio>) {
    let mut redis = OwnRedis::durable().await;
    let mut server = on(&redis, filter).start_logging_to(stderr).await;
    let (anna, mut bert) = (come(&server, "anna").await, come(&server, "bert").await);
    chat(&anna, &mut bert).await;

    redis.kill_9().await;
    readiness(&server, 503).await;
    redis.restart().await;
    readiness(&server, 200).await;
    drop((anna, bert));
    let (anna, mut bert) = (come(&server, "anna").await, come(&server, "bert").await);
    chat(&anna, &mut bert).await;

    let page = http::get(server.api(), "/metrics").await.body;
    assert!(page.contains("always_online_panics_total 0\n"), "{page}");
    assert_eq!(server.terminate().await, 0, "at {filter}");
}

#[tokio::test]
async fn a_log_on_a_full_disk_changes_nothing() {
    lives("debug", OpenOptions::new().write(true).open("/dev/full").unwrap()).await;
}

#[tokio::test]
async fn a_log_that_is_closed_changes_nothing() {
    // Open, as a process's standard error is in any case, but not for writing.
    lives("debug", File::open("/dev/null").unwrap()).await;
}

#[tokio::test]
async fn a_log_whose_reader_has_gone_changes_nothing() {
    lives("debug", unread_pipe().0).await;
}

#[tokio::test]
async fn a_log_that_nobody_reads_changes_nothing() {
    let (writer, _reader) = full_pipe();
    lives("trace", writer).await;
}

/// Both ends of a named pipe: the writing one, and how to get a reading one.
fn named_pipe(path: &Path) -> File {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    // Else the next line would wait for a reader.
    let both = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let writer = OpenOptions::new().write(true).open(path).unwrap();
    drop(both);
    writer
}

async fn metric(server: &Server, name: &str) -> u64 {
    let page = http::get(server.api(), "/metrics").await.body;
    page.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .map_or(0, |number| number.parse().unwrap())
}

#[tokio::test]
async fn lines_that_were_lost_are_counted_and_told_once_the_log_can_be_written_again() {
    let setup = Setup::new().env("AO_LOG", "debug").env("AO_LOG__FORMAT", "json");
    let path = setup.scratch().join("log");
    let mut server = setup.start_logging_to(named_pipe(&path)).await;
    drop(server.guest().await);
    eventually("lost lines", async || {
        metric(&server, "always_online_log_lines_lost_total").await > 0
    })
    .await;

    let reader = OpenOptions::new().read(true).open(&path).unwrap();
    let told = std::thread::spawn(move || {
        let lines = BufReader::new(reader).lines().map_while(Result::ok);
        lines
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(&line)
                    .unwrap_or_else(|e| panic!("{e}: {line}"))
            })
            .find(|line| {
                line["fields"]["message"]
                    .as_str()
                    .is_some_and(|message| message.contains("lines of the log were lost"))
            })
    });
    eventually("the news", async || {
        drop(server.guest().await); // something to log
        told.is_finished()
    })
    .await;
    let told = told.join().unwrap().expect("the news");
    assert_eq!(told["level"], "ERROR");
    let lost = told["fields"]["lines"].as_u64().unwrap();
    assert!(
        lost > 0 && lost <= metric(&server, "always_online_log_lines_lost_total").await,
        "{told}"
    );
    assert_eq!(server.terminate().await, 0, "with a log whose reader has gone again");
}

#[tokio::test]
async fn a_command_whose_output_nobody_takes_fails_and_does_not_panic() {
    let setup = Setup::new();
    for arguments in [
        vec!["print-config"],
        vec!["check-config"],
        vec!["token", "create", "anna"],
        vec!["token", "refresh", "anna"],
    ] {
        let run = async |out: Stdio| {
            let mut command = setup.clone().args(arguments.clone()).command();
            let child = command.stdout(out).stderr(Stdio::piped()).spawn().unwrap();
            soon("the end", child.wait_with_output()).await.unwrap()
        };
        let ended = run(unread_pipe().0.into()).await;
        assert_eq!(
            (ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()),
            (Some(1), ""),
            "{arguments:?}"
        );
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ended = run(full.into()).await;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!said.contains("panicked"), "{said}");
        // The account exists by now.
        let code = if arguments == ["token", "create", "anna"] { 5 } else { 1 };
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {said}");
    }
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut wrong = setup
        .env("AO_AUTH__TIMEOUT", "soon")
        .args(["check-config"])
        .command()
        .stderr(full)
        .spawn()
        .unwrap();
    let code = soon("the end", wrong.wait()).await.unwrap().code();
    assert_eq!(code, Some(2), "the complaint can't be written, and changes nothing");
}

/// How many lines may say the same after this time, at one in ten seconds.
fn at_most(begin: Instant) -> usize {
    1 + (begin.elapsed().as_secs() / 10) as usize
}

/// Lines that say so in earnest, and how often it happened altogether.
fn count(server: &Server, what: &str) -> [usize; 2] {
    let log = server.stderr();
    let all = || log.lines().filter(|line| line.contains(what));
    [all().filter(|line| !line.contains("DEBUG")).count(), all().count()]
}

#[tokio::test]
async fn an_outage_is_logged_once_and_then_now_and_then() {
    let mut redis = OwnRedis::durable().await;
    let mut server = on(&redis, "info,always_online=debug").start().await;
    let begin = Instant::now();
    redis.kill_9().await;
    readiness(&server, 503).await;
    for what in ["no sign of life", "Redis can't be used"] {
        let often = async || {
            http::get(server.api(), "/readyz").await;
            count(&server, what)[1] >= 5
        };
        eventually(&format!("five times {what:?}"), often).await;
        let [lines, _] = count(&server, what);
        assert!(
            (1..=at_most(begin)).contains(&lines),
            "{what}: {lines} lines in {:?}: {}",
            begin.elapsed(),
            server.stderr()
        );
    }
    let [lines, _] = count(&server, "not ready");
    assert!(
        (1..=at_most(begin)).contains(&lines),
        "{lines} lines, however often it was asked: {}",
        server.stderr()
    );
    redis.restart().await;
    readiness(&server, 200).await;
    server.logs("connected to Redis again").await;
    server.logs("listening to Redis again").await;
    assert_eq!(server.terminate().await, 0);
}

/// Clients can bring this about.
#[tokio::test]
async fn that_no_connection_can_be_accepted_is_logged_once_and_then_now_and_then() {
    const DESCRIPTORS: usize = 100;
    let (setup, said) =
        (Setup::new().env("AO_LOG", "info,always_online=debug"), "could not be accepted");
    let server = setup.limited_to(DESCRIPTORS).start().await;
    let begin = Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..DESCRIPTORS {
        crowd.push(tokio::net::TcpStream::connect(server.own_address("websocket")).await.unwrap());
    }
    eventually("ten attempts", async || count(&server, said)[1] >= 10).await;
    let [lines, _] = count(&server, said);
    assert!(lines <= at_most(begin), "{lines} lines in {:?}: {}", begin.elapsed(), server.stderr());
    drop(crowd);
    let anna = server.member("anna", "attic").await;
    anna.send(&json!({ "1": "there is room again" })).await;
}
