//! Clients of several namespaces on one connection: who waits for its answer, who is taken out of
//! one namespace and stays in the others, and what ends all of them.
use super::{
    stage::{Asking, Server},
    *,
};

/// A client asks to be connected to a namespace where it has to wait.
async fn asks(server: &mut Server, peer: &mut Peer, connect: &str) -> Asking {
    peer.say(connect).await;
    server.asking.recv().await.unwrap()
}

/// It is told that it is connected there, and by which id, if it is told one.
async fn is_told(peer: &mut Peer, namespace: &str) -> Option<String> {
    let Some(Item::Text(connected)) = peer.next().await else { panic!("{:?}", peer.by) };
    let said = connected.strip_prefix(&format!("40{namespace},")).expect(&connected);
    let said: Option<serde_json::Value> =
        (!said.is_empty()).then(|| serde_json::from_str(said).unwrap());
    said.map(|said| said["sid"].as_str().unwrap().to_owned())
}

/// It closes its session, and is gone from these namespaces.
async fn closes<const N: usize>(server: &mut Server, mut peer: Peer, namespaces: [&str; N]) {
    peer.say("1").await;
    peer.ends().await;
    for namespace in namespaces {
        assert_eq!(server.gone.recv().await.unwrap().0, namespace, "{:?}", peer.by);
    }
    assert!(server.gone.try_recv().is_err(), "gone twice");
}

/// One that is in the root, and in `/waiting` too.
async fn in_both(server: &mut Server, way: (Version, By)) -> (Peer, Socket) {
    let mut peer = Peer::connect(server, way).await;
    let socket = asks(server, &mut peer, "40/waiting,").await.socket;
    assert!(socket.admit());
    is_told(&mut peer, "/waiting").await;
    (peer, socket)
}

#[tokio::test]
async fn who_waits_is_told_nothing_until_it_is_admitted() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        let Asking { socket, query, headers } =
            asks(&mut server, &mut peer, "40/waiting?user=u1,").await;
        assert_eq!(query, "user=u1");
        let has = |name: &str| headers.iter().any(|header| header == name);
        assert!(has("host") && has("connection"), "{headers:?}");
        assert_eq!((socket.namespace(), socket.version()), ("/waiting", way.0.number()));
        assert!(!socket.is_alone() && socket.is_open());
        // Nothing of it is heard or answered, and it can't ask twice.
        peer.say(r#"42/waiting,1["message",1]"#).await;
        peer.say("40/waiting,").await;
        peer.is_well().await;
        assert!(server.asking.try_recv().is_err());

        assert!(socket.admit());
        let told = is_told(&mut peer, "/waiting").await;
        assert!(!socket.admit() && !socket.reject(&Refusal::new("too late")));
        match way.0 {
            Version::V3 => assert_eq!((told, socket.id()), (None, peer.sid.clone())),
            Version::V4 => {
                assert_eq!(told, Some(socket.id()));
                assert_ne!(socket.id(), peer.sid, "the session's name is a secret");
            }
        }
        peer.say(r#"42/waiting,2["message",2]"#).await;
        peer.expect("43/waiting,2[2]").await;
        if way.1 != By::WebSocket {
            peer.upgrade().await;
            peer.say(r#"42/waiting,3["message",3]"#).await;
            peer.expect("43/waiting,3[3]").await;
        }
        peer.is_well().await;
        closes(&mut server, peer, ["/", "/waiting"]).await;
    }
}

#[tokio::test]
async fn the_query_of_the_url_counts_where_connect_has_none() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::open(&server, way, "&user=u2").await;
        let query = asks(&mut server, &mut peer, "40/waiting,").await.query;
        assert!(query.split('&').any(|pair| pair == "user=u2"), "{query}");
    }
}

#[tokio::test]
async fn who_leaves_while_it_waits_is_gone() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        let socket = asks(&mut server, &mut peer, "40/waiting,").await.socket;
        peer.say("41/waiting,").await;
        assert_eq!(server.gone.recv().await.unwrap(), ("/waiting".into(), Reason::ClosedByClient));
        assert!(!socket.admit() && !socket.reject(&Refusal::new("no")), "it is not there");
        assert!(!socket.dismiss(Reason::TurnedAway));
        peer.is_well().await;
        // And with its connection.
        let socket = asks(&mut server, &mut peer, "40/waiting,").await.socket;
        closes(&mut server, peer, ["/", "/waiting"]).await;
        assert!(!socket.admit());
    }
}

#[tokio::test]
async fn who_is_rejected_may_ask_again() {
    let mut server = server(options());
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        for (refusal, v3, v4) in [
            ("some error", r#""some error""#, r#"{"message":"some error"}"#),
            ("a \"b\"", r#""a \"b\"""#, r#"{"message":"a \"b\""}"#),
        ] {
            let socket = asks(&mut server, &mut peer, "40/waiting?user=u1,").await.socket;
            assert!(socket.reject(&Refusal::new(refusal)));
            assert!(!socket.reject(&Refusal::new(refusal)) && !socket.admit());
            let said = if way.0 == Version::V3 { v3 } else { v4 };
            peer.expect(&format!("44/waiting,{said}")).await;
            let gone = server.gone.recv().await.unwrap();
            assert_eq!(gone, ("/waiting".into(), Reason::RefusedByHook));
            peer.say(r#"42/waiting,1["message",1]"#).await;
            peer.is_well().await;
        }
        let socket = asks(&mut server, &mut peer, "40/waiting,").await.socket;
        assert!(socket.admit());
        is_told(&mut peer, "/waiting").await;
        peer.say(r#"42/waiting,2["message",2]"#).await;
        peer.expect("43/waiting,2[2]").await;
        closes(&mut server, peer, ["/", "/waiting"]).await;
    }
}

#[tokio::test]
async fn who_is_dismissed_stays_connected_and_may_come_back() {
    let mut server = server(options());
    for way in WAYS {
        let (mut peer, socket) = in_both(&mut server, way).await;
        socket.emit("last", &["1"]);
        assert!(socket.dismiss(Reason::TurnedAway));
        socket.emit("never", &["2"]);
        assert!(!socket.dismiss(Reason::TurnedAway) && !socket.refuse(Reason::TurnedAway));
        assert!(!socket.drop(Reason::Drain), "the connection is others' now");
        assert!(!socket.is_open() && socket.has_left() && !socket.is_alone());
        peer.expect(r#"42/waiting,["last",1]"#).await;
        peer.expect("41/waiting,").await;
        // It need not say anything for that.
        let gone = server.gone.recv().await.unwrap();
        assert_eq!(gone, ("/waiting".into(), Reason::TurnedAway));
        // What was on its way goes nowhere.
        peer.say(r#"42/waiting,1["message",1]"#).await;
        let event = text(r#"451-/waiting,2["message",{"_placeholder":true,"num":0}]"#);
        peer.send(&[event, Item::Binary(vec![1])]).await;
        peer.is_well().await;

        let again = asks(&mut server, &mut peer, "40/waiting,").await.socket;
        assert!(again.admit());
        is_told(&mut peer, "/waiting").await;
        peer.say(r#"42/waiting,3["message",3]"#).await;
        peer.expect("43/waiting,3[3]").await;
        // By what it says itself, in the midst of other things.
        let events = [
            r#"42/waiting,["message",4]"#,
            r#"42/waiting,["dismiss"]"#,
            r#"42/waiting,["message",5]"#,
            r#"421["message",6]"#,
        ];
        peer.send(&events.map(text)).await;
        peer.expect(r#"42/waiting,["message-back",4]"#).await;
        peer.expect("41/waiting,").await;
        peer.expect("431[6]").await;
        let gone = server.gone.recv().await.unwrap();
        assert_eq!(gone, ("/waiting".into(), Reason::TurnedAway));
        closes(&mut server, peer, ["/"]).await;
    }
}

/// One that has left a namespace by itself, or was never in it, has no business to send there.
#[tokio::test]
async fn what_is_for_a_namespace_that_one_is_not_in_is_a_fault_of_new_clients() {
    let mut server = server(options());
    for way in WAYS {
        for leaves in [false, true] {
            let mut peer = if leaves {
                let (mut peer, socket) = in_both(&mut server, way).await;
                peer.say("41/waiting,").await;
                assert_eq!(server.gone.recv().await.unwrap().0, "/waiting");
                assert!(socket.has_left() && !socket.is_alone());
                peer
            } else {
                Peer::connect(&server, way).await
            };
            peer.say(r#"42/waiting,1["message",1]"#).await;
            if way.0 == Version::V3 {
                closes(&mut server, peer, ["/"]).await;
            } else {
                peer.ends().await;
                assert_eq!(server.gone.recv().await.unwrap().0, "/", "{way:?}");
            }
        }
    }
}

#[tokio::test]
async fn who_is_dismissed_and_in_no_namespace_has_its_time_to_come_back() {
    let hasty = Options {
        ping_interval: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(300),
        ..options()
    };
    let mut server = server(hasty);
    for way in WAYS.into_iter().filter(|(version, _)| *version == Version::V4) {
        let mut peer = Peer::open(&server, way, "").await;
        let socket = asks(&mut server, &mut peer, "40/waiting,").await.socket;
        assert!(socket.is_alone());
        // For longer than it may be in none: who waits is in one.
        for _ in 0..3 {
            peer.pinged().await;
            peer.say("3").await;
        }
        assert!(socket.admit());
        is_told(&mut peer, "/waiting").await;
        assert!(socket.dismiss(Reason::Disconnected));
        peer.expect("41/waiting,").await;
        let socket = asks(&mut server, &mut peer, "40/waiting,").await.socket;
        for _ in 0..3 {
            peer.pinged().await;
            peer.say("3").await;
        }
        assert!(socket.reject(&Refusal::new("no")));
        peer.expect(r#"44/waiting,{"message":"no"}"#).await;
        peer.ends().await;
        for why in [Reason::Disconnected, Reason::RefusedByHook] {
            assert_eq!(server.gone.recv().await.unwrap(), ("/waiting".into(), why));
        }
    }
}

#[tokio::test]
async fn a_drop_closes_the_connection_with_all_namespaces() {
    let mut server = server(options());
    for way in WAYS {
        for refuse in [false, true] {
            let (mut peer, socket) = in_both(&mut server, way).await;
            let other = asks(&mut server, &mut peer, "40/second,").await.socket;
            if refuse {
                assert!(socket.refuse(Reason::TurnedAway));
                peer.expect("41/waiting,").await;
            } else {
                assert!(socket.drop(Reason::Drain));
            }
            peer.ends().await;
            let mut gone = Vec::new();
            for _ in 0..3 {
                gone.push(server.gone.recv().await.unwrap().0);
            }
            assert_eq!(gone, ["/", "/waiting", "/second"], "{way:?}");
            assert!(!other.is_open() && !other.admit());
        }
    }
}

/// Each namespace may stop reading from the connection that they share, and none can start it for
/// another; who is taken out of its namespace lets go.
#[tokio::test]
async fn nothing_is_read_while_one_namespace_wants_it_so() {
    let mut server = server(options());
    for way in WAYS {
        let (mut peer, first) = in_both(&mut server, way).await;
        let second = asks(&mut server, &mut peer, "40/second,").await.socket;
        let carrier = first.carrier().clone();
        assert!(!carrier.is_held());
        first.hold_reading(true);
        first.hold_reading(true);
        second.hold_reading(true);
        first.hold_reading(false);
        assert!(carrier.is_held(), "the other one wants it");
        first.hold_reading(false);
        assert!(carrier.is_held());
        second.hold_reading(false);
        assert!(!carrier.is_held());
        first.hold_reading(true);
        second.hold_reading(true);
        assert!(first.dismiss(Reason::TurnedAway) && carrier.is_held());
        assert!(second.reject(&Refusal::new("no")));
        assert!(!carrier.is_held());
        peer.expect("41/waiting,").await;
        assert!(matches!(peer.next().await, Some(Item::Text(text)) if text.starts_with("44/")));
        peer.is_well().await;
    }
}
