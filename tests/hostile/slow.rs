//! Clients that do not read what they are sent. Each is dropped, the others learn that, and get
//! everything in order.
use tokio::net::TcpSocket;

use crate::scene::{ROOM, Scene};
use support::wire::{
    POLLING_4, Version, WEBSOCKET_4,
    bystanders::{Bystanders, about, said},
    patient,
    peer::{Peer, Wire},
    raw::Connection,
    unharmed,
};

const STORED: &str = r#"{"status":0,"data":"msg success"}"#;
/// More of these than kernels keep for both sides together.
const WORDS: usize = 1000;
const WORD: usize = 32 << 10;

/// The room talks, one message at a time, until it hears the goodbye of the one who does not
/// listen.
async fn talk_until(bystanders: &mut Bystanders, goodbye: &str) {
    let text = "x".repeat(WORD);
    let mut gone = (false, false);
    for n in 0..WORDS {
        if gone == (true, true) {
            return;
        }
        let id = bystanders.ann.ask(&format!(r#"["msg",{{"n":{n},"a":"{text}","s":2}}]"#)).await;
        let ack = format!("43{id}[{STORED}]");
        let word = said(&bystanders.ann, &format!(r#""n":{n},"a":"{text}","#), "2");
        for (listener, wanted, gone) in
            [(&mut bystanders.ann, &ack, &mut gone.0), (&mut bystanders.ben, &word, &mut gone.1)]
        {
            loop {
                let packet = listener.next().await.expect("who listens is not dropped");
                if packet == *wanted {
                    break;
                }
                assert!(packet == goodbye && !*gone, "{packet:.100}");
                *gone = true;
            }
        }
    }
    if !gone.0 {
        bystanders.ann.expect(goodbye).await;
    }
    if !gone.1 {
        bystanders.ben.expect(goodbye).await;
    }
}

#[tokio::test]
async fn who_falls_too_far_behind_is_dropped() {
    Scene::begin(patient().env("AO_WEBSOCKET__BACKLOG", "64KiB"))
        .await
        .play(&[WEBSOCKET_4, POLLING_4], async |scene, way| {
            let slow = scene.member(way).await;
            talk_until(&mut scene.bystanders, &about("remote_disconnect", &slow)).await;
            scene.bystanders.are_well().await;
            drop(slow);
        })
        .await;
}

#[tokio::test]
async fn who_reads_nothing_for_too_long_is_dropped() {
    let mut scene = Scene::begin(
        patient().env("AO_WEBSOCKET__BACKLOG", "64MiB").env("AO_WEBSOCKET__WRITE_STALL", "1s"),
    )
    .await;
    let slow = scene.member(WEBSOCKET_4).await;
    talk_until(&mut scene.bystanders, &about("remote_disconnect", &slow)).await;
    scene.bystanders.are_well().await;
    drop(slow);
    scene.end().await;
}

/// It asks for pages without end, and reads none.
#[tokio::test]
async fn who_asks_and_does_not_read_is_dropped() {
    let mut scene = Scene::begin(patient().env("AO_WEBSOCKET__WRITE_STALL", "1s")).await;
    for n in 0..100 {
        let text = "x".repeat(WORD);
        scene.bystanders.ann.acked(&format!(r#"["msg",{{"n":{n},"a":"{text}"}}]"#), STORED).await;
        let word = said(&scene.bystanders.ann, &format!(r#""n":{n},"a":"{text}","#), "0");
        scene.bystanders.ben.expect(&word).await;
    }
    let mut greedy = scene.member(WEBSOCKET_4).await;
    let requests = vec![r#"427["sync",{"offset":"x"}]"#.to_owned(); 1000];
    greedy.send_all(&requests).await;
    scene.bystanders.miss(&greedy).await;
    scene.end().await;
}

/// Whatever a client calls its transport in its request: what it does not read is bounded.
#[tokio::test]
async fn the_bound_holds_whatever_the_request_says() {
    let mut scene = Scene::begin(patient().env("AO_WEBSOCKET__BACKLOG", "64KiB")).await;
    for query in ["EIO=4&transport=websocket&transport=polling", "transport=websocket&EIO=4&EIO=3"]
    {
        let socket = support::wire::socket::Socket::upgrade(
            scene.server.websocket(),
            &format!("/socket.io/?{query}"),
            &[],
        )
        .await;
        let Ok(mut socket) = socket else { continue }; // refused: as good
        let open = socket.receive().await.expect("an open packet");
        assert!(open.starts_with('0'), "{open}");
        let mut peer = Peer::open(&scene.server, WEBSOCKET_4).await;
        peer.wire = Wire::Socket(Box::new(socket));
        peer.send("40").await;
        assert!(peer.next().await.is_some_and(|p| p.starts_with("40")));
        peer.authenticate(&scene.server).await;
        peer.join(ROOM).await;
        scene.bystanders.welcome(&mut peer).await;
        talk_until(&mut scene.bystanders, &about("remote_disconnect", &peer)).await;
        scene.bystanders.are_well().await;
        drop(peer);
    }
    assert_eq!(WEBSOCKET_4.version, Version::Four);
    scene.end().await;
}

/// A large answer to a plain request, which is not read either.
#[tokio::test]
async fn who_does_not_read_an_http_answer_is_cut_off() {
    let mut server =
        patient().env("AO_WEBSOCKET__WRITE_STALL", "1s").env("AO_LOG", "debug").start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let (uid, token) = server.admin();
    for n in 0..100 {
        let text = "x".repeat(WORD);
        bystanders.ann.acked(&format!(r#"["msg",{{"n":{n},"a":"{text}"}}]"#), STORED).await;
        let word = said(&bystanders.ann, &format!(r#""n":{n},"a":"{text}","#), "0");
        bystanders.ben.expect(&word).await;
    }
    // A small window, so that the kernel holds less than an answer.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.websocket()).await.unwrap();
    let mut connection = Connection::from_stream(stream);
    let request = format!(
        "GET /admin/monitor/room_msgs?roomId={ROOM}&uid={uid}&token={token} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    );
    connection.write(request.repeat(50).as_bytes()).await;
    server.logs("error writing a body to connection").await;
    bystanders.are_well().await;
    unharmed(&server).await;
}
