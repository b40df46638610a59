//! Ways to stop: in order, too late, and at once.
use std::{
    io::{PipeReader, PipeWriter},
    net::SocketAddr,
    process::Stdio,
    time::Duration,
};

use futures_util::future::select_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    sync::watch,
};

use super::diagnostics;
use support::{
    client::{Client, Packet},
    http, ports,
    server::{Server, Setup},
    soon,
    stored::Stored,
};

const DEADLINE: i32 = 6;
const INTERRUPTED: i32 = 130;

/// A server whose clients leave one by one, over minutes: a test can look on, however slow the
/// machine. No test waits for that end.
fn slow() -> Setup {
    let setup = Setup::new().env("AO_AUTH__TIMEOUT", "1h");
    setup
        .env("AO_SHUTDOWN__BATCH", "1")
        .env("AO_SHUTDOWN__JITTER", "10m")
        .env("AO_SHUTDOWN__DEADLINE", "20m")
}

async fn guests(server: &Server, count: usize) -> Vec<Client> {
    let mut guests = Vec::new();
    for _ in 0..count {
        guests.push(server.guest().await);
    }
    guests
}

/// Sends until the connection ends; gives what was acknowledged, in order, and what else came.
async fn flood(mut client: Client, acks: watch::Sender<u64>) -> (Vec<Value>, Vec<Packet>) {
    let (mut acknowledged, mut under_way, mut number) =
        (Vec::new(), std::collections::VecDeque::new(), 0);
    loop {
        while under_way.len() < 32 {
            number += 1;
            under_way.push_back((
                json!(number),
                client.sender().request("msg", &json!({ "s": 0, "1": number })),
            ));
        }
        let (number, ack) = under_way.pop_front().unwrap();
        let Ok(ack) = ack.await else { break };
        assert_eq!(ack["status"], 0, "{ack}");
        acknowledged.push(number);
        acks.send_modify(|n| *n += 1);
    }
    for (number, ack) in under_way {
        if ack.await.is_ok() {
            acknowledged.push(number);
        }
    }
    (acknowledged, client.rest().await)
}

#[tokio::test]
async fn an_orderly_end_keeps_what_was_acknowledged_and_lets_clients_come_back() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start().await;
        let acks = watch::Sender::new(0);
        let mut senders = Vec::new();
        for uid in ["anna", "bert", "carl"] {
            let client = server.member(uid, "attic").await;
            senders.push((uid, tokio::spawn(flood(client, acks.clone()))));
        }
        soon("acknowledgements", acks.subscribe().wait_for(|n| *n >= 300)).await.unwrap();
        server.signal(signal);
        assert_eq!(server.end().await.code(), Some(0), "after SIG{signal}");

        server.restart().await;
        let stored = Stored::walk(&mut server.member("dora", "attic").await, false).await.inserts;
        for (uid, sender) in senders {
            let (acknowledged, packets) = soon("a sender's end", sender).await.unwrap();
            let sent: Vec<&Value> =
                stored.iter().filter(|m| m["2"] == uid).map(|m| &m["1"]).collect();
            assert!(
                acknowledged.len() <= sent.len(),
                "{uid}: {} acknowledged, {} stored",
                acknowledged.len(),
                sent.len()
            );
            for (number, stored) in (1..).zip(&sent) {
                assert_eq!(**stored, json!(number), "{uid}: in order, once, without a hole");
            }
            // DISCONNECT would make clients stay away.
            let others: Vec<_> =
                packets.iter().filter(|p| !matches!(p, Packet::Event(..))).collect();
            assert_eq!(others, [&Packet::Closed], "{uid}");
        }
    }
}

/// Reads one answer of a connection that stays open; nothing where the connection ended.
async fn ready(connection: &mut TcpStream) -> Option<String> {
    connection.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut bytes = [0; 1024];
        let count = connection.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
        answer.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    Some(answer)
}

#[tokio::test]
async fn while_it_ends_nobody_is_sent_there() {
    let mut server = slow().start().await;
    let mut guests = guests(&server, 10).await;
    let mut connections = Vec::new();
    for listener in ["websocket", "api", "demo"] {
        let mut connection = TcpStream::connect(server.address(listener)).await.unwrap();
        let answer = soon("readiness", ready(&mut connection)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        connections.push(connection);
    }
    server.signal("TERM");
    server.logs("ending").await;
    let (packet, gone, _) = select_all(guests.iter_mut().map(|guest| Box::pin(guest.next()))).await;
    assert_eq!(packet, Packet::Closed, "one is dropped at once");
    guests.remove(gone);
    // Load balancers that keep their connections, and those that make new ones.
    for connection in &mut connections {
        if let Some(answer) = soon("readiness", ready(connection)).await {
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("draining"), "{answer}");
        }
    }
    for listener in ["websocket", "api", "demo"] {
        assert!(
            http::raw(server.address(listener), b"GET /readyz HTTP/1.0\r\nhost: x\r\n\r\n")
                .await
                .is_err(),
            "{listener}"
        );
    }
    assert!(Client::try_connect(server.websocket()).await.is_err());
    assert!(
        guests.iter_mut().any(|guest| guest.arrived().is_none()),
        "all are gone already: this was not seen while it ended"
    );
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for [first, second] in [["TERM", "TERM"], ["INT", "INT"], ["TERM", "INT"]] {
        let mut server = slow().start().await;
        let anna = server.member("anna", "attic").await;
        anna.send(&json!({ "1": "kept" })).await;
        let mut guests = guests(&server, 100).await;
        server.signal(first);
        server.logs("ending").await;
        server.signal(second);
        assert_eq!(server.end().await.code(), Some(INTERRUPTED), "SIG{first}, SIG{second}");
        for guest in &mut guests {
            assert_eq!(guest.rest().await, [Packet::Closed]);
        }
        server.restart().await;
        let stored = Stored::walk(&mut server.member("bert", "attic").await, false).await;
        assert_eq!(stored.inserts, [json!({ "s": 0, "1": "kept", "2": "anna" })]);
    }
}

/// Another program holds the database: the message can't be stored before the deadline. Its sender
/// never hears that it was.
#[tokio::test]
async fn a_deadline_that_passes_has_a_code_of_its_own() {
    let setup = Setup::new().env("AO_SHUTDOWN__DEADLINE", "1s").env("AO_SHUTDOWN__JITTER", "0");
    let mut server = setup.start().await;
    let mut anna = server.member("anna", "attic").await;
    anna.send(&json!({ "1": "stored" })).await;

    let database =
        rusqlite::Connection::open(server.setup().data().join("always-online.sqlite3")).unwrap();
    database.busy_timeout(Duration::from_secs(5)).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ack = anna.sender().request("msg", &json!({ "1": "in vain" }));
    // Events of a connection are handled in order: with this answer the message is on its way to
    // the store.
    let token = server.token("anna").await;
    anna.sign_in("anna", &token).await;
    let code = server.terminate().await;
    database.execute_batch("ROLLBACK").unwrap();
    assert_eq!(code, DEADLINE, "{}", server.stderr());
    assert!(server.stderr().contains("deadline"), "{}", server.stderr());
    assert!(ack.await.is_err());
    assert_eq!(anna.rest().await, [Packet::Closed]);

    server.restart().await;
    let stored = Stored::walk(&mut server.member("bert", "attic").await, false).await.inserts;
    assert_eq!(stored.first().map(|m| &m["1"]), Some(&json!("stored")));
}

/// A terminal that is closed sends it, perhaps twice, by its shell and by itself.
#[tokio::test]
async fn sighup_changes_nothing_for_a_server_that_ends() {
    let mut server = slow().start().await;
    let mut guests = guests(&server, 10).await;
    server.signal("TERM");
    server.logs("ending").await;
    server.signal("HUP");
    server.logs("SIGHUP changes nothing").await;
    assert!(guests.iter_mut().any(|guest| guest.arrived().is_none()), "all are gone at once");
    server.signal("TERM");
    assert_eq!(server.end().await.code(), Some(INTERRUPTED), "{}", server.stderr());
}

/// Whoever starts it with `nohup` wants it to outlive the terminal.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn sighup_stays_ignored_where_it_was() {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let setup =
        Setup::new().without("AO_WEBSOCKET__TLS_CERTIFICATE").without("AO_WEBSOCKET__TLS_KEY");
    let bare = setup.env("AO_WEBSOCKET__LISTEN", address.to_string()).command();
    let mut command = Command::new("nohup");
    command
        .arg(bare.as_std().get_program())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    for (name, value) in bare.as_std().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut server = command.spawn().unwrap();
    let kill = |name: &str| {
        let pid = server.id().expect("it runs");
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &format!("kill -s {name} {pid}")])
                .status()
                .unwrap()
                .success()
        );
    };
    listens(address).await;
    kill("HUP");
    let mut anna = soon("a connection", Client::connect(address)).await;
    kill("HUP");
    anna.emit("authenticate", &json!({ "uid": "anna", "token": "unknown" }));
    assert_eq!(anna.event("authenticate").await["status"], 1, "it serves");
    kill("TERM");
    assert_eq!(soon("the end", server.wait()).await.unwrap().code(), Some(0));
}

async fn listens(address: SocketAddr) {
    let listens = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("somebody who listens", listens).await;
}

#[tokio::test]
async fn that_nobody_reads_the_announcement_is_no_reason_to_end() {
    for nobody in [diagnostics::unread_pipe, diagnostics::full_pipe] {
        serves_without_a_reader(nobody()).await;
    }
}

/// What the server says and logs goes to one pipe, as with `2>&1`.
async fn serves_without_a_reader((writer, _reader): (PipeWriter, Option<PipeReader>)) {
    // The address has to be known without it.
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let setup =
        Setup::new().without("AO_WEBSOCKET__TLS_CERTIFICATE").without("AO_WEBSOCKET__TLS_KEY");
    let setup = setup.env("AO_WEBSOCKET__LISTEN", address.to_string()).env("AO_LOG", "debug");
    let mut server =
        setup.command().stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    listens(address).await;
    let token = setup.clone().args(["token", "create", "anna"]).run().await;
    let mut anna = soon("a connection", Client::connect(address)).await;
    anna.sign_in("anna", token.succeeds().trim()).await;
    anna.join("attic").await;
    anna.send(&json!({ "s": 0, "1": "is anybody there?" })).await;
    assert_eq!(http::get(address, "/readyz").await.status, 200);
    assert_eq!(server.try_wait().unwrap(), None, "it has ended");
    let pid = server.id().expect("it runs");
    assert!(
        std::process::Command::new("sh")
            .args(["-c", &format!("kill -s TERM {pid}")])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(soon("the end", server.wait()).await.unwrap().code(), Some(0));
}
