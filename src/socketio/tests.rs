//! The layer whole, with namespaces that only these tests register: what the protocols say, as
//! their official suites check it. <https://github.com/socketio/engine.io-protocol>,
//! <https://github.com/socketio/socket.io-protocol>
#![allow(
    clippy::disallowed_methods,
    reason = "a test has no task tracker: what it spawns ends with it"
)]
mod namespaces;
mod stage;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout},
};

use self::stage::{
    By, Item, Peer, WAYS, Wire, begun, http, limited, options, server, text, websocket,
};
use super::*;
use crate::{metrics::Carriage, reason::Reason};

#[tokio::test]
async fn handshakes_that_say_nonsense_are_refused() {
    let server = server(options());
    for (method, query) in [
        ("GET", "EIO=abc&transport=polling"),
        ("GET", "EIO=5&transport=polling"),
        ("GET", "EIO=4&transport=abc"),
        ("GET", "EIO=4"),
        ("POST", "EIO=4&transport=polling"),
        ("PUT", "EIO=4&transport=polling"),
        ("GET", "EIO=4&transport=polling&sid=abc"),
        ("POST", "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs"),
    ] {
        assert_eq!(http(server.address, method, query, b"").await.0, 400, "{method} {query}");
    }
    for query in ["EIO=abc", "EIO=5", "EIO=4&sid=abc"] {
        assert!(websocket(server.address, query).await.is_none(), "{query}");
    }
}

#[tokio::test]
async fn events_have_all_their_arguments_and_acknowledgements_too() {
    let server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        peer.say(r#"42["message",1,"é😀",{"a":[null]}]"#).await;
        peer.expect(r#"42["message-back",1,"é😀",{"a":[null]}]"#).await;
        peer.say(r#"42["message"]"#).await;
        peer.expect(r#"42["message-back"]"#).await;
        peer.say(r#"42456["message",1,"2",{"3":[false]}]"#).await;
        peer.expect(r#"43456[1,"2",{"3":[false]}]"#).await;
        let several = [r#"421["message",1]"#, r#"422["message",2]"#, r#"423["message"]"#];
        peer.send(&several.map(text)).await;
        for answer in ["431[1]", "432[2]", "433[]"] {
            peer.expect(answer).await;
        }
    }
}

#[tokio::test]
async fn attachments_go_both_ways() {
    let server = server(options());
    let (one, two) = (Item::Binary(vec![1, 2, 255, 0]), Item::Binary(vec![4; 70_000]));
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        let event =
            text(r#"452-["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#);
        peer.send(&[event, one.clone(), two.clone()]).await;
        peer.expect(
            r#"452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        )
        .await;
        assert_eq!(peer.next().await.as_ref(), Some(&one), "{way:?}");
        assert_eq!(peer.next().await.as_ref(), Some(&two), "{way:?}");
        let event = text(r#"451-789["message",{"_placeholder":true,"num":0},"x"]"#);
        peer.send(&[event, one.clone()]).await;
        peer.expect(r#"461-789[{"_placeholder":true,"num":0},"x"]"#).await;
        assert_eq!(peer.next().await.as_ref(), Some(&one), "{way:?}");
        peer.is_well().await;
    }
}

#[tokio::test]
async fn namespaces_share_a_connection_and_are_left_one_by_one() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        let auth = if way.0 == Version::V4 { r#"{"token":"123"}"# } else { "" };
        peer.say(&format!("40/custom?a=b,{auth}")).await;
        if way.0 == Version::V4 {
            peer.expect(r#"42/custom,["auth",{"token":"123"}]"#).await;
            let Some(Item::Text(connected)) = peer.next().await else { panic!("{way:?}") };
            assert!(connected.starts_with(r#"40/custom,{"sid":""#), "{connected}");
        } else {
            peer.expect("40/custom,").await;
        }
        peer.say(r#"42/custom,["message",1]"#).await;
        peer.expect(r#"42/custom,["message-back",1]"#).await;
        peer.say(r#"42/custom,7["message",1]"#).await;
        peer.expect("43/custom,7[1]").await;
        let event = text(r#"451-/custom,8["message",{"_placeholder":true,"num":0}]"#);
        peer.send(&[event, Item::Binary(vec![9])]).await;
        peer.expect(r#"461-/custom,8[{"_placeholder":true,"num":0}]"#).await;
        assert_eq!(peer.next().await, Some(Item::Binary(vec![9])));
        peer.is_well().await;

        peer.say("41").await;
        assert_eq!(server.gone.recv().await.unwrap().0, "/");
        peer.say(r#"42/custom,9["message",2]"#).await;
        peer.expect("43/custom,9[2]").await;
        // What it leaves it may enter again.
        peer.say("40").await;
        let Some(Item::Text(connected)) = peer.next().await else { panic!("{way:?}") };
        assert!(connected.starts_with("40"), "{connected}");
        peer.is_well().await;
        peer.say("1").await;
        let gone = [server.gone.recv().await.unwrap().0, server.gone.recv().await.unwrap().0];
        assert_eq!(gone, ["/custom", "/"]);
        peer.ends().await;
    }
}

#[tokio::test]
async fn who_may_not_connect_is_told_why_as_its_protocol_says() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        let (unknown, banned) = match way.0 {
            Version::V3 => (r#""Invalid namespace""#, r#""you are \"banned\"""#),
            Version::V4 => {
                (r#"{"message":"Invalid namespace"}"#, r#"{"message":"you are \"banned\""}"#)
            }
        };
        peer.say("40/random?token=1,{}").await;
        peer.expect(&format!("44/random,{unknown}")).await;
        peer.say("40/custom?banned,").await;
        peer.expect(&format!("44/custom,{banned}")).await;
        peer.is_well().await;
        // By the query of its handshake.
        let mut other = Peer::open(&server, way, "&banned").await;
        if way.0 == Version::V4 {
            other.say("40").await;
        }
        other.expect(&format!("44{banned}")).await;
        peer.say("1").await;
        assert_eq!(server.gone.recv().await.unwrap().0, "/");
    }
}

#[tokio::test]
async fn malformed_packets_end_the_session() {
    let server = server(options());
    for way in WAYS {
        for packet in ["abc", "4abc", "42abc", "42{}", "42[", "4", "43[]", "49[]"] {
            let mut peer = Peer::connect(&server, way).await;
            peer.say(packet).await;
            peer.ends().await;
        }
        let mut peer = Peer::connect(&server, way).await;
        peer.send(&[Item::Binary(vec![1])]).await; // belongs to no packet
        peer.ends().await;
    }
}

#[tokio::test]
async fn who_is_refused_reads_disconnect_last() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        peer.send(&[text(r#"421["message"]"#), text(r#"42["close"]"#)]).await;
        peer.expect("431[]").await;
        peer.expect("41").await;
        peer.ends().await;
        assert_eq!(server.gone.recv().await.unwrap().0, "/");
    }
}

#[tokio::test]
async fn hearts_beat_and_the_silent_are_given_up() {
    let beating = Options {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(2_000),
        ..options()
    };
    let mut server = server(beating);
    for (by, upgrades) in [(By::WebSocket, false), (By::Text, false), (By::Text, true)] {
        let mut peer = Peer::connect(&server, (Version::V4, by)).await;
        for _ in 0..2 {
            peer.pinged().await;
            peer.say("3").await;
        }
        if upgrades {
            peer.upgrade().await;
            for _ in 0..2 {
                peer.pinged().await;
                peer.say("3").await;
            }
        }
        peer.pinged().await;
        assert_eq!(server.gone.recv().await.unwrap().0, "/");
        let mut old = Peer::connect(&server, (Version::V3, by)).await;
        old.say("2").await;
        old.expect("3").await;
        if upgrades {
            // The pong of this one is still to be fetched.
            old.say("2").await;
            old.upgrade().await;
            old.expect("3").await;
            old.say("2").await;
            old.expect("3").await;
        }
        assert_eq!(server.gone.recv().await.unwrap().0, "/");
    }
}

#[tokio::test]
async fn pings_come_at_their_interval_although_an_answer_may_take_longer() {
    let beating = Options {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_secs(3600),
        ..options()
    };
    let server = server(beating);
    let mut peer = Peer::connect(&server, (Version::V4, By::WebSocket)).await;
    for _ in 0..3 {
        peer.pinged().await;
        peer.say("3").await;
    }
}

#[tokio::test]
async fn an_upgraded_session_is_the_same_and_nothing_of_polling_is_left() {
    let mut server = server(options());
    for way in WAYS.into_iter().filter(|(_, by)| *by != By::WebSocket) {
        let mut peer = Peer::connect(&server, way).await;
        // What waits to be fetched, and half a packet.
        peer.say(r#"421["message","waits"]"#).await;
        peer.send(&[
            text(r#"452-2["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#),
            Item::Binary(vec![1, 2, 3]),
        ])
        .await;
        let carrier = server.io.carrier(peer.sid.parse().unwrap()).unwrap();
        let polling = Arc::downgrade(&carrier.polls().unwrap());
        drop(carrier);
        peer.upgrade().await;
        peer.expect(r#"431["waits"]"#).await;
        // As the Swift client sends what it could not post any more.
        let base64 = format!("{}{}", way.0.base64_prefix(), STANDARD.encode([4, 5]));
        peer.say("6").await;
        peer.say(&base64).await;
        peer.expect(r#"462-2[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#).await;
        assert_eq!(peer.next().await, Some(Item::Binary(vec![1, 2, 3])));
        assert_eq!(peer.next().await, Some(Item::Binary(vec![4, 5])));
        assert_eq!(polling.strong_count(), 0, "nothing of polling is left");
        for (method, body) in [("GET", ""), ("POST", "41")] {
            let (status, answer) =
                http(server.address, method, &peer.target(), body.as_bytes()).await;
            assert_eq!((status, &*answer), (400, &br#"{"code":"3","message":"Bad request"}"#[..]));
        }
        let query = format!("EIO={}&sid={}", peer.version.number(), peer.sid);
        let mut second = websocket(server.address, &query).await.unwrap();
        assert!(!matches!(second.next().await, Some(Ok(m)) if !m.is_close()));
        peer.is_well().await;
        assert!(server.gone.try_recv().is_err(), "the engine's end is not the client's");
        peer.say("1").await;
        assert_eq!(server.gone.recv().await.unwrap(), ("/".into(), Reason::ClosedByClient));
        peer.ends().await;
    }
}

/// Refused between the probe and the `5`: a client that polls no more has to read it all the same.
#[tokio::test]
async fn who_is_refused_while_it_upgrades_reads_disconnect_on_the_websocket() {
    let server = server(options());
    for way in WAYS.into_iter().filter(|(_, by)| *by != By::WebSocket) {
        let mut peer = Peer::connect(&server, way).await;
        let query = format!("EIO={}&sid={}", peer.version.number(), peer.sid);
        let mut socket = websocket(server.address, &query).await.unwrap();
        socket.send("2probe".into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), "3probe".into());
        peer.say(r#"42["close"]"#).await;
        socket.send("5".into()).await.unwrap();
        peer.wire = Wire::Socket(socket);
        peer.expect("41").await;
        peer.ends().await;
    }
}

/// What was posted before the `5` is waited for, but nobody can hold up the end of a session with
/// a POST that never comes whole.
#[tokio::test]
async fn a_session_ends_though_its_last_post_trickles_in_behind_an_upgrade() {
    let mut server = server(options());
    for way in WAYS.into_iter().filter(|(_, by)| *by != By::WebSocket) {
        let mut peer = Peer::connect(&server, way).await;
        peer.say(r#"42["close-later"]"#).await;
        let polling = server.io.carrier(peer.sid.parse().unwrap()).unwrap().polls().unwrap();
        let body = peer.encode(&[text(r#"42["message","never heard"]"#)]);
        let (first, rest) = body.split_at(body.len() / 2);
        let mut post = begun(server.address, "POST", &peer.target(), first, body.len()).await;
        while polling.posts.try_write().is_ok() {
            tokio::task::yield_now().await;
        }
        peer.upgrade().await;
        while server.io.carrier(peer.sid.parse().unwrap()).unwrap().polls().is_some() {
            tokio::task::yield_now().await;
        }
        server.later.notify_one();
        assert_eq!(server.gone.recv().await.unwrap().0, "/");
        assert!(polling.posts.try_write().is_err(), "{way:?}: it waited for the POST");
        peer.expect("41").await;
        peer.ends().await;
        post.send(rest).await;
        assert_eq!(post.answer().await.0, 400, "{way:?}");
        assert!(server.gone.try_recv().is_err(), "{way:?}: gone twice");
    }
    while !lock(&server.io.polled).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_posts_too_fast_is_paused_but_not_until_it_counts_as_gone() {
    let beating = Options {
        ping_interval: Duration::from_millis(1_000),
        ping_timeout: Duration::from_millis(2_000),
        ..options()
    };
    let mut server = limited(beating, &[("AO_LIMITS__MESSAGES", "1 in 1h")]);
    let mut peer = Peer::connect(&server, (Version::V4, By::Text)).await;
    let begin = Instant::now();
    peer.send(&[1, 2, 3].map(|n| text(format!(r#"42["message",{n}]"#)))).await;
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    for n in 1..=3 {
        peer.expect(&format!(r#"42["message-back",{n}]"#)).await;
    }
    peer.pinged().await;
    assert_eq!(http(server.address, "POST", &peer.target(), b"3").await.0, 200, "it lives");
    // It would have to wait for hours.
    let more = http(server.address, "POST", &peer.target(), br#"42["message",4]"#).await;
    assert_eq!(more.0, 429);
    assert_eq!(server.gone.recv().await.unwrap().0, "/");
}

#[tokio::test]
async fn a_post_waits_for_what_the_one_before_owes() {
    let beating = Options { ping_timeout: Duration::from_millis(2_500), ..options() };
    let server = limited(beating, &[("AO_LIMITS__MESSAGES", "1 in 500ms")]);
    let begin = Instant::now();
    let mut peer = Peer::connect(&server, (Version::V4, By::Text)).await;
    // Each is due half a second behind the one before, CONNECT too, and a POST waits for 1.25 s at
    // most: so the first one owes something, and the second one is not refused for it.
    peer.send(&[1, 2, 3].map(|n| text(format!(r#"42["message",{n}]"#)))).await;
    peer.say(r#"42["message",4]"#).await;
    assert!(begin.elapsed() >= Duration::from_millis(1_800), "{:?}", begin.elapsed());
    for n in 1..=4 {
        peer.expect(&format!(r#"42["message-back",{n}]"#)).await;
    }
}

/// Clients are cut off at any byte of what they say, with as many there as there may be.
#[tokio::test]
async fn whoever_is_cut_off_leaves_its_places() {
    let hasty = Options {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(500), // until then the engine keeps who has gone
        ..options()
    };
    let limits = [("AO_LIMITS__CONNECTIONS", "60"), ("AO_LIMITS__CONNECTIONS_PER_ADDRESS", "40")];
    let server = limited(hasty, &limits);
    let begin = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n";
    let post = "POST /socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAHs HTTP/1.1\r\n\
                host: x\r\ncontent-length: 100\r\n\r\n4";
    let handshake = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\n\
                     upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                     sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // CONNECT, and the beginning of an event.
    let frames = [0x81, 0x82, 0, 0, 0, 0, b'4', b'0', 0x81, 0xfe, 1, 0, 0, 0, 0, 0, b'4', b'2'];
    let scripts = [
        [begin, begin, begin, post].concat().into_bytes(),
        [handshake.as_bytes(), &frames].concat(),
        [begin, handshake].concat().into_bytes(),
    ];
    let (mut there, mut seed) = (std::collections::VecDeque::new(), 1_usize);
    for n in 0..500 {
        let script = &scripts[n % scripts.len()];
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // A third of them say all.
        let said = ((seed >> 33) % (script.len() * 3 / 2)).min(script.len());
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let _ = stream.write_all(&script[..said]).await; // it may have been refused by now
        there.push_back(stream);
        if there.len() > 50 {
            let gone = there.pop_front().unwrap();
            if n % 2 == 0 {
                socket2::SockRef::from(&gone).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
    let page = server.io.metrics.text();
    let never = "always_online_refused_newcomers_total{reason=\"address\"} 0\n";
    assert!(page.contains("always_online_refused_newcomers") && !page.contains(never), "{page}");
    drop(there);
    let carried = |carriage| server.io.metrics.connections.carried(carriage).get();
    let left = || {
        let sessions = carried(Carriage::Polling4) + carried(Carriage::WebSocket4);
        (server.admission.inside(), server.admission.addresses(), sessions)
    };
    let all_gone = async {
        while left() != (0, 0, 0) {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(Duration::from_secs(20), all_gone).await.is_ok(), "{:?} are left", left());
}

#[tokio::test]
async fn ended_sessions_leave_nothing_behind() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        peer.say("1").await;
        assert_eq!(server.gone.recv().await.unwrap().0, "/");
        peer.ends().await;
        let mut never = Peer::open(&server, way, "").await;
        never.say("1").await;
        while never.next().await.is_some() {}
        if way.0 == Version::V3 {
            assert_eq!(server.gone.recv().await.unwrap().0, "/");
        }
    }
    // Each is forgotten where it is dropped, at the latest with the engine's task for its end.
    while !lock(&server.io.polled).is_empty() {
        tokio::task::yield_now().await;
    }
}
