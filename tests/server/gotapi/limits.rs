//! Clients that send too much, read too little, or break the protocol: each loses its own
//! connection, and the others feel nothing.
use std::time::Duration;

use tokio::{io::AsyncReadExt, net::TcpSocket};

use super::client::{Client, Got, ack, high, place, post, setup, unharmed, uuid};
use support::{
    soon,
    wire::socket::{BINARY, CONTINUATION, FINAL, PING, PONG, Socket, TEXT, frame, head},
    within,
};

#[tokio::test]
async fn a_message_has_32_kib_at_most_however_it_comes() {
    let server = setup().start().await;
    let address = place(&server);
    let mut ben = Client::join(address, "/sizes").await;
    let largest = "x".repeat(32_768);
    let half = "x".repeat(16_384);
    // In one frame, and in several.
    let mut ann = Socket::upgrade(address, "/sizes", &[]).await.unwrap();
    ann.write(&frame(FINAL | TEXT, largest.as_bytes())).await;
    ann.write(&frame(TEXT, half.as_bytes())).await;
    ann.write(&frame(FINAL | PING, b"between")).await;
    ann.write(&frame(FINAL | CONTINUATION, half.as_bytes())).await;
    ben.expect(&largest).await;
    ben.expect(&largest).await;
    let whole = [frame(FINAL | TEXT, format!("{largest}x").as_bytes())].concat();
    let head_alone = head(FINAL | BINARY, 1 << 40, true);
    let parts = [
        frame(TEXT, half.as_bytes()),
        frame(CONTINUATION, half.as_bytes()),
        frame(FINAL | CONTINUATION, b"x"),
    ]
    .concat();
    for bytes in [whole, head_alone, parts] {
        let mut mallory = Socket::upgrade(address, "/sizes", &[]).await.unwrap();
        mallory.write(&bytes).await;
        assert_eq!(mallory.close_code().await, Some(1009));
    }
    let word = high(&uuid(), "x");
    ben.store(&word).await;
    unharmed(&server).await;
}

#[tokio::test]
async fn the_size_can_be_set() {
    let server = setup().env("AO_GOTAPI__MAX_MESSAGE", "100 KiB").start().await;
    let mut ann = Client::join(place(&server), "/set").await;
    let mut ben = Client::join(place(&server), "/set").await;
    let large = high("large", &"x".repeat(100_000));
    ann.store(&large).await;
    ben.expect(&large).await;
    ann.send(&"x".repeat(102_401)).await;
    assert_eq!(ann.next().await, Got::End(Some(1009)));
}

#[tokio::test]
async fn text_that_is_no_utf8_ends_its_sender_and_nobody_hears_it() {
    let server = setup().start().await;
    let mut ben = Client::join(place(&server), "/utf8").await;
    for bytes in [
        frame(FINAL | TEXT, b"\xff\xfe"),
        frame(FINAL | TEXT, b"{\"type\":2,\"uuid\":\"\xc3\"}"),
        [frame(TEXT, b"\xe2\x82"), frame(FINAL | CONTINUATION, b"x")].concat(),
    ] {
        let mut mallory = Socket::upgrade(place(&server), "/utf8", &[]).await.unwrap();
        mallory.write(&bytes).await;
        assert_eq!(mallory.close_code().await, Some(1007));
    }
    // A character may be split between frames.
    let mut ann = Socket::upgrade(place(&server), "/utf8", &[]).await.unwrap();
    ann.write(&frame(TEXT, b"\xe2\x82")).await;
    ann.write(&frame(FINAL | CONTINUATION, b"\xac")).await;
    ben.expect("€").await;
    unharmed(&server).await;
}

#[tokio::test]
async fn what_is_no_frame_ends_its_sender() {
    let server = setup().start().await;
    let mut ben = Client::join(place(&server), "/broken").await;
    let mut unmasked = head(FINAL | TEXT, 1, false);
    unmasked.push(b'x');
    for bytes in [
        unmasked,
        frame(FINAL | CONTINUATION, b"of nothing"),
        frame(FINAL | 0x40 | TEXT, b"compressed"),
        frame(FINAL | 3, b"reserved"),
        frame(PING, b"in parts"),
        frame(FINAL | PING, &[0; 126]),
        [frame(TEXT, b"one"), frame(FINAL | TEXT, b"two")].concat(),
    ] {
        let mut mallory = Socket::upgrade(place(&server), "/broken", &[]).await.unwrap();
        mallory.write(&bytes).await;
        assert_eq!(mallory.close_code().await, Some(1002), "{bytes:?}");
    }
    ben.has_heard_nothing().await;
    unharmed(&server).await;
}

/// A frame of a few bytes at a time, with nothing else in between: a message all the same.
#[tokio::test]
async fn a_message_may_come_byte_by_byte() {
    let server = setup().start().await;
    let mut ben = Client::join(place(&server), "/slowly").await;
    let mut ann = Socket::upgrade(place(&server), "/slowly", &[]).await.unwrap();
    for byte in frame(FINAL | TEXT, b"bit by bit") {
        ann.write(&[byte]).await;
    }
    let parts: Vec<u8> = (0..1000).flat_map(|_| frame(CONTINUATION, b"")).collect();
    ann.write(&[frame(TEXT, b"hel"), parts, frame(FINAL | CONTINUATION, b"lo")].concat()).await;
    ben.expect("bit by bit").await;
    ben.expect("hello").await;
}

/// Twenty thousand in one go: the room gets all of them in order, and others still talk.
#[tokio::test]
async fn a_flood_reaches_the_room_in_order_and_hurts_nobody() {
    const FLOOD: usize = 20_000;
    let server = setup().start().await;
    let address = place(&server);
    let mut ben = Client::join(address, "/flood").await;
    let mut ann = Client::join(address, "/flood").await;
    let mut cleo = Client::join(address, "/calm").await;
    let texts = (0..FLOOD)
        .map(|n| if n % 4 == 0 { high(&format!("n{n}"), "x") } else { format!("word {n}") });
    let flood: Vec<String> = texts.collect();
    let words = flood.clone();
    let flooding = tokio::spawn(async move {
        ann.send_all(flood).await;
        for n in (0..FLOOD).step_by(4) {
            ann.expect(&ack(&format!("n{n}"))).await;
        }
    });
    for (n, word) in words.iter().enumerate() {
        ben.expect(word).await;
        if n % 1000 == 0 {
            cleo.has_heard_nothing().await;
        }
    }
    within(Duration::from_secs(180), "all acknowledgements", flooding).await.unwrap();
    unharmed(&server).await;
}

/// Its pongs are all that it sends, and it reads nothing.
#[tokio::test]
async fn who_does_not_read_is_disconnected_and_the_others_feel_nothing() {
    let server = setup()
        .env("AO_WEBSOCKET__BACKLOG", "64KiB")
        .env("AO_METRICS__LISTEN", "127.0.0.1:0")
        .start()
        .await;
    let address = place(&server);
    let mut ann = Client::join(address, "/slow").await;
    let mut ben = Client::join(address, "/slow").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(address).await.unwrap();
    let (slow, _) =
        soon("an upgrade", tokio_tungstenite::client_async("ws://x/slow", stream)).await.unwrap();
    let mut slow = slow.into_inner();
    let ponging = async {
        use tokio::io::AsyncWriteExt;
        while slow.write_all(&frame(FINAL | PONG, b"")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        slow
    };
    let talking = async {
        let word = "x".repeat(32_000);
        loop {
            ann.send(&word).await;
            ben.expect(&word).await;
            let page = support::http::get(server.address("metrics"), "/metrics").await.body;
            if page.contains(r#"drops_total{reason="slow"} 1"#)
                || page.contains(r#"drops_total{reason="stalled"} 1"#)
            {
                return;
            }
        }
    };
    let (mut slow, ()) = tokio::join!(ponging, talking);
    let mut rest = Vec::new();
    let _ = soon("its end", slow.read_to_end(&mut rest)).await; // a reset is an end, too
    ann.has_heard_nothing().await;
    unharmed(&server).await;
}

/// A connection that is dead without a word is noticed by its pings.
#[tokio::test]
async fn who_does_not_answer_pings_is_dropped() {
    let server = setup().env("AO_METRICS__LISTEN", "127.0.0.1:0").start().await;
    let mut ann = Client::join(place(&server), "/pings").await;
    let mut mallory = Socket::upgrade(place(&server), "/pings", &[]).await.unwrap().into_stream();
    let mut read = Vec::new();
    soon("the end", mallory.read_to_end(&mut read)).await.unwrap();
    assert!(read.starts_with(b"\x89\x00"), "{read:?}");
    assert!(read.ends_with(&[0x88, 2, 3, 240]), "a Close frame with 1008: {read:?}");
    let page = support::http::get(server.address("metrics"), "/metrics").await.body;
    assert!(page.contains(r#"drops_total{reason="ping timeout"} 1"#), "{page}");
    ann.has_heard_nothing().await;
}

/// The original's clients never say more than their pongs, and those may take their time.
#[tokio::test]
async fn who_answers_pings_late_stays() {
    let server = setup().start().await;
    let mut ann = Client::join(place(&server), "/late").await;
    let late = Socket::upgrade(place(&server), "/late", &[]).await.unwrap().into_stream();
    let (mut from, mut to) = late.into_split();
    let (heard, mut pings) = tokio::sync::mpsc::unbounded_channel();
    let answering = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while let Some(()) = pings.recv().await {
            tokio::time::sleep(Duration::from_millis(600)).await;
            let _ = to.write_all(&frame(FINAL | PONG, b"")).await;
        }
    });
    let mut byte = [0; 2];
    for _ in 0..4 {
        soon("a ping", from.read_exact(&mut byte)).await.unwrap();
        assert_eq!(byte, [0x89, 0]);
        heard.send(()).unwrap();
    }
    post(place(&server), "/late", "still there").await;
    soon("a word", from.read_exact(&mut byte)).await.unwrap();
    assert_eq!(byte, [0x81, 11]);
    ann.expect("still there").await;
    answering.abort();
}

/// Under TLS all of it is the same.
#[tokio::test]
async fn tls_changes_nothing() {
    let server = setup().under_tls("gotapi").start().await;
    let mut ann = Client::join(place(&server), "/tls").await;
    let mut ben = Client::join(place(&server), "/tls").await;
    let word = high("tls", &"x".repeat(30_000));
    ann.store(&word).await;
    ben.expect(&word).await;
    assert_eq!(post(place(&server), "/tls", "by HTTP").await.status, 200);
    ann.expect("by HTTP").await;
    unharmed(&server).await;
}
