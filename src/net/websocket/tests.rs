//! Frames, by the byte, and whose turn it is.
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Config;
use crate::net::{
    admission::Admission,
    connection::{Bounds, Closing},
    socket::Socket,
};
use crate::reason::Reason;

const KEY: [u8; 4] = [7, 250, 0, 99];

fn frames(most: usize) -> Frames {
    Frames { bytes: BytesMut::new(), parts: None, most }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..65_536 => {
            frame.push(0xFE);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0xFF);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

fn text(text: &str) -> Frame {
    Frame::Message(Message::Text(text.to_owned().into()))
}

#[test]
fn messages_of_every_length_are_read_in_one_piece_or_byte_by_byte() {
    for length in [0, 1, 7, 8, 9, 125, 126, 127, 65_535, 65_536, 70_001] {
        let payload = "é".repeat(length / 2) + if length % 2 == 1 { "x" } else { "" };
        let bytes = frame(0x81, payload.as_bytes());
        let mut whole = frames(100_000);
        whole.add(&bytes);
        whole.add(&frame(0x82, &[1, 2]));
        assert_eq!(whole.next(), Ok(Some(text(&payload))), "{length}");
        assert_eq!(
            whole.next(),
            Ok(Some(Frame::Message(Message::Binary(Bytes::from_static(&[1, 2])))))
        );
        assert_eq!((whole.next(), whole.bytes.capacity()), (Ok(None), 0), "nothing is kept");
        let mut pieces = frames(100_000);
        for byte in &bytes[..bytes.len() - 1] {
            pieces.add(&[*byte]);
            assert_eq!(pieces.next(), Ok(None));
        }
        pieces.add(&bytes[bytes.len() - 1..]);
        assert_eq!(pieces.next(), Ok(Some(text(&payload))));
    }
}

#[test]
fn a_message_in_frames_is_whole_with_the_last_and_control_frames_pass_it() {
    let mut read = frames(100);
    for bytes in [
        frame(0x01, b"a\xc3"),
        frame(0x89, b"?"),
        frame(0x00, b""),
        frame(0x8A, b""),
        frame(0x80, b"\xa9b"),
    ] {
        read.add(&bytes);
    }
    let mut seen = Vec::new();
    while let Ok(Some(frame)) = read.next() {
        seen.push(frame);
    }
    assert_eq!(
        seen,
        [
            Frame::Part,
            Frame::Ping(Bytes::from_static(b"?")),
            Frame::Part,
            Frame::Pong(None),
            text("aéb")
        ]
    );
}

#[test]
fn what_breaks_the_protocol_is_known_as_soon_as_it_is_there() {
    let broken: Vec<(&str, Broken, Vec<u8>)> = vec![
        ("a reserved bit", Broken::Frame, vec![0xC1, 0x80]),
        ("not masked", Broken::Frame, vec![0x81, 0x01]),
        ("a control frame that goes on", Broken::Frame, vec![0x09, 0x80]),
        ("a long control frame", Broken::Frame, vec![0x89, 0xFE]),
        ("a reserved opcode", Broken::Frame, frame(0x83, b"")),
        ("a reserved control opcode", Broken::Frame, frame(0x8B, b"")),
        ("too long", Broken::TooLarge, vec![0x81, 0xFE, 0, 101]),
        ("much too long", Broken::TooLarge, vec![0x82, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0]),
        ("a continuation of nothing", Broken::Frame, frame(0x80, b"")),
        (
            "a message within a message",
            Broken::Frame,
            [frame(0x01, b""), frame(0x81, b"")].concat(),
        ),
        (
            "too long together",
            Broken::TooLarge,
            [frame(0x01, &[b' '; 60]), frame(0x80, &[b' '; 41])].concat(),
        ),
        ("no text", Broken::Text, frame(0x81, b"\xff")),
        ("no text together", Broken::Text, [frame(0x01, b"\xc3"), frame(0x80, b"x")].concat()),
        ("half a code", Broken::Frame, frame(0x88, b"\x03")),
        ("no code", Broken::Frame, frame(0x88, &999u16.to_be_bytes())),
        ("a code for nobody to send", Broken::Frame, frame(0x88, &1006u16.to_be_bytes())),
        ("a reason that is no text", Broken::Text, frame(0x88, b"\x03\xe8\xff")),
    ];
    for (what, kind, bytes) in broken {
        let mut read = frames(100);
        read.add(&bytes);
        let mut end = read.next();
        while end == Ok(Some(Frame::Part)) {
            end = read.next();
        }
        assert_eq!(end, Err(kind), "{what}");
    }
    for (payload, code) in [
        (&b""[..], None),
        (b"\x03\xe8", Some(1000)),
        (b"\x03\xe9bye", Some(1001)),
        (b"\x0f\xa0", Some(4000)),
    ] {
        let mut read = frames(100);
        read.add(&frame(0x88, payload));
        assert_eq!(read.next(), Ok(Some(Frame::Close(code))));
    }
}

/// A WebSocket that has read these bytes already, and its client.
async fn opened(bytes: Vec<u8>) -> (WebSocket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let bounds = Bounds {
        stall: Duration::from_secs(10),
        backlog: 1 << 20,
        admission: Admission::new(&Config::defaults().unwrap().limits, Arc::default()),
        metrics: Arc::default(),
        connections: tokio_util::task::TaskTracker::new(),
        writes: tokio_util::task::TaskTracker::new(),
        ending: Arc::default(),
    };
    let mut stream = Stream::new(Connection::new(Socket::new(stream, None), peer, bounds, None));
    stream.unread(bytes.into());
    (WebSocket::new(stream, 100), client)
}

/// It has the Close frame and the end of the stream, and does nothing.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_is_waited_for_but_hardly_when_the_server_ends() {
    for (ends, wait) in [(false, Duration::from_secs(2)), (true, Duration::from_millis(500))] {
        let (socket, _client) = opened(Vec::new()).await;
        let (connection, begin) = (socket.connection().clone(), tokio::time::Instant::now());
        connection.close(Closing::Graceful, Reason::Drain);
        drop(socket);
        if ends {
            connection.bounds.ending.cancel();
        }
        connection.bounds.writes.close();
        connection.bounds.writes.wait().await;
        let waited = begin.elapsed();
        assert!(wait <= waited && waited < wait + Duration::from_millis(100), "{waited:?}");
    }
}

/// It reads nothing, and is sent nothing more either.
#[tokio::test(start_paused = true)]
async fn who_is_behind_has_a_moment_to_catch_up_and_none_where_memory_is_scarce() {
    for (scarce, seconds) in [(false, 4..6), (true, 0..1)] {
        let (socket, _client) = opened(Vec::new()).await;
        let (connection, bounds) =
            (socket.connection().clone(), socket.connection().bounds.clone());
        let queued = || bounds.metrics.connections.queued.get();
        let piece = Bytes::from(vec![0; 256 << 10]);
        while connection.backlog() <= bounds.backlog {
            connection.send(&piece);
        }
        assert!(!connection.is_ended(), "it may be behind for a moment");
        assert_eq!(queued(), i64::try_from(connection.backlog()).unwrap());
        if scarce {
            bounds.admission.weigh(1, 1);
        }
        let begin = tokio::time::Instant::now();
        connection.ended().await;
        let waited = begin.elapsed().as_secs();
        assert!(seconds.contains(&waited), "{scarce}: {waited} s");
        assert_eq!(connection.why(), Some(Reason::Slow));
        drop((socket, connection));
        bounds.writes.close();
        bounds.writes.wait().await;
        assert_eq!(queued(), 0, "nothing is left of it");
    }
}

/// What a line about its end says of a connection.
#[tokio::test]
async fn bytes_are_counted_and_the_first_reason_is_the_one() {
    let (mut socket, mut client) = opened(Vec::new()).await;
    let connection = socket.connection().clone();
    assert_eq!((connection.bytes(), connection.why()), ((0, 0), None));
    connection.send(&Bytes::from_static(b"\x81\x02hi"));
    let message = frame(0x81, b"hello");
    tokio::io::AsyncWriteExt::write_all(&mut client, &message).await.unwrap();
    assert_eq!(socket.next().await, Ok(Message::Text("hello".into())));
    assert_eq!(connection.bytes(), (message.len() as u64, 4));
    connection.close_if(|| false, None, Closing::Graceful, Reason::Kickout);
    assert_eq!(connection.why(), None, "who may not close it has not closed it");
    connection.close(Closing::Graceful, Reason::TooLarge);
    connection.close(Closing::Abrupt, Reason::Drain);
    assert_eq!(connection.why(), Some(Reason::TooLarge));
}

/// However much is there: the loop's end hands over to others, and asks to be called again.
#[tokio::test]
async fn frames_that_are_no_message_yet_are_read_in_many_turns() {
    for idle in [frame(0x89, b"?"), frame(0x8A, b""), frame(0x00, b"")] {
        let bytes = [frame(0x01, b"a"), idle.repeat(10_000), frame(0x80, b"b")].concat();
        let (mut socket, _client) = opened(bytes).await;
        let mut turns = 0;
        let message = poll_fn(|cx| {
            turns += 1;
            socket.poll_next(cx)
        });
        let message = tokio::time::timeout(Duration::from_secs(10), message)
            .await
            .expect("it goes on by itself");
        assert_eq!(message, Ok(Message::Text("ab".into())));
        assert!(turns >= 100, "{turns} turns for 10,000 frames");
    }
}
