//! What one polling body may hold, and what a client may make the server say that it does not
//! fetch.
use crate::scene::{ROOM, Scene, each_way};
use support::{
    http, soon,
    wire::{
        POLLING_3, POLLING_4, Version, WAYS, WEBSOCKET_4, Way,
        bystanders::{Bystanders, about, said},
        no_such_namespace, patient,
        peer::Peer,
        polling::Polling,
        stranger,
    },
};

const SIGNED_IN: &str = r#"42["authenticate",{"status":0,"data":"auth success"}]"#;
const JOINED: &str = r#"42["join",{"status":0,"data":"join success"}]"#;
const TEXT: &str = "text/plain;charset=UTF-8";
const BINARY: &str = "application/octet-stream";

/// A decoder whose work grows with the square of what it reads would need minutes for the larger
/// ones, and keep a thread for that long.
#[tokio::test]
async fn very_many_packets_in_one_body_cost_nobody_else_anything() {
    let mut scene = Scene::begin(patient()).await;
    let mut elsewhere = Bystanders::join(&scene.server, "elsewhere").await;
    let bodies: [(Way, &str, &[u8]); 5] = [
        (POLLING_3, TEXT, b"1:3"),
        (POLLING_3, TEXT, b"0:"),
        (POLLING_3, TEXT, b"6:40/a,"),
        (POLLING_3, BINARY, &[0, 1, 0xFF, b'3']),
        (POLLING_4, TEXT, b"3\x1e"),
    ];
    for (way, kind, packet) in bodies {
        let mut peer = scene.member(way).await;
        let body = packet.repeat(900_000 / packet.len());
        // Two of them, as that would hang a machine of two processors.
        let (one, other, ()) = tokio::join!(
            peer.polling().post_bytes(kind, &body),
            peer.polling().post_bytes(kind, &body),
            elsewhere.are_well()
        );
        for answer in [one, other].into_iter().flatten() {
            assert!([400, 413].contains(&answer.status), "{way:?}: {packet:?}: {answer:?}");
        }
        let _ = peer.end().await;
        scene.bystanders.miss(&peer).await;
    }
    scene.end().await;
}

/// A client that was offline may have gathered many. All are handled, in their order.
#[tokio::test]
async fn thousands_of_packets_in_one_body_are_handled() {
    each_way(&[POLLING_4, POLLING_3], async |scene, way| {
        let mut peer = scene.member(way).await;
        let heartbeat = if way.version == Version::Four { "3" } else { "2" };
        let mut packets = vec![heartbeat.to_owned(); 20_000];
        packets.extend((0..2_000).map(|n| format!(r#"42["msg",{{"n":{n},"s":2}}]"#)));
        let heard: Vec<String> =
            (0..2_000).map(|n| said(&peer, &format!(r#""n":{n},"#), "2")).collect();
        let (answer, ()) =
            tokio::join!(peer.polling().send(&packets), scene.bystanders.hear(&heard));
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{way:?}");
        peer.is_well().await;
        peer.send("41").await;
        scene.bystanders.miss(&peer).await;
    })
    .await;
}

/// Three words in the room, behind signing in.
async fn words(server: &support::server::Server, uid: &str) -> Vec<String> {
    let token = server.token(uid).await;
    let mut packets = vec![
        format!(r#"42["authenticate",{{"uid":"{uid}","token":"{token}"}}]"#),
        format!(r#"42["join",{{"roomId":"{ROOM}"}}]"#),
    ];
    packets.extend((0..3).map(|n| format!(r#"42["msg",{{"n":{n},"s":2}}]"#)));
    packets
}

#[tokio::test]
async fn events_right_behind_connect_are_handled() {
    each_way(&[POLLING_4, POLLING_3], async |scene, way| {
        for _ in 0..10 {
            let mut peer = Peer::open(&scene.server, way).await;
            peer.uid = stranger();
            // One of version 3 is connected without asking: its first body may be quicker than
            // that.
            let connect = (way.version == Version::Four).then(|| "40".to_owned());
            let packets: Vec<String> =
                connect.into_iter().chain(words(&scene.server, &peer.uid).await).collect();
            assert_eq!(peer.polling().send(&packets).await.status, 200);
            let heard: Vec<String> =
                (0..3).map(|n| said(&peer, &format!(r#""n":{n},"#), "2")).collect();
            scene.bystanders.hear(&[about("remote_join", &peer)]).await;
            scene.bystanders.hear(&heard).await;
            let connected = peer.next().await.unwrap_or_default();
            assert!(connected.starts_with("40"), "{way:?}: {connected}");
            peer.expect(SIGNED_IN).await;
            peer.expect(JOINED).await;
            peer.expect(&about("remote_join", &scene.bystanders.ann)).await;
            peer.expect(&about("remote_join", &scene.bystanders.ben)).await;

            // It leaves and comes back, all in one body.
            let uid = std::mem::replace(&mut peer.uid, stranger());
            let packets: Vec<String> = ["41", "40"]
                .map(str::to_owned)
                .into_iter()
                .chain(words(&scene.server, &peer.uid).await)
                .collect();
            assert_eq!(peer.polling().send(&packets).await.status, 200);
            scene
                .bystanders
                .hear(&[
                    format!(r#"42["remote_disconnect",{{"uid":"{uid}"}}]"#),
                    about("remote_join", &peer),
                ])
                .await;
            let heard: Vec<String> =
                (0..3).map(|n| said(&peer, &format!(r#""n":{n},"#), "2")).collect();
            scene.bystanders.hear(&heard).await;
            assert!(peer.next().await.is_some_and(|p| p.starts_with("40")));
            peer.expect(SIGNED_IN).await;
            peer.send("1").await;
            scene.bystanders.miss(&peer).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_the_servers_own_ends_a_poll_and_nothing_is_lost_by_that() {
    each_way(&[POLLING_4, POLLING_3], async |scene, way| {
        let mut peer = scene.member(way).await;
        for n in 0..30 {
            let asking = Polling {
                address: peer.polling().address,
                version: way.version,
                sid: peer.polling().sid.clone(),
            };
            let (answer, (), ()) = tokio::join!(
                soon("an answer", async {
                    let mut packets = Vec::new();
                    while packets
                        .iter()
                        .filter(|p: &&String| !p.starts_with(['2', '3', '6']))
                        .count()
                        < 3
                    {
                        packets.extend(asking.receive().await.expect("a poll"));
                        if packets.iter().any(|p| p == "2") {
                            asking.send(&["3".to_owned()]).await;
                            packets.retain(|p| p != "2");
                        }
                    }
                    packets
                }),
                async {
                    assert_eq!(asking.send(&[format!("40/{n},")]).await.status, 200);
                },
                scene.bystanders.are_well(),
            );
            let refusal = no_such_namespace(way.version, &format!("/{n}"));
            assert!(answer.contains(&refusal), "{way:?}: {answer:?}");
            let heard: Vec<&String> = answer.iter().filter(|p| p.starts_with("42")).collect();
            assert!(
                heard.len() == 2 && heard[0].contains(&scene.bystanders.ann.uid),
                "{way:?}: {answer:?}"
            );
        }
        peer.send("41").await;
        scene.bystanders.miss(&peer).await;
    })
    .await;
}

#[tokio::test]
async fn two_bodies_at_once_are_handled_one_after_the_other() {
    each_way(&[POLLING_4, POLLING_3], async |scene, way| {
        let mut peer = scene.member(way).await;
        let body = |who: usize| {
            (0..500)
                .map(|n| format!(r#"42["msg",{{"who":{who},"n":{n},"s":2}}]"#))
                .collect::<Vec<_>>()
        };
        let (one, other) = (body(1), body(2));
        let hearing = async {
            let mut heard = Vec::new();
            for _ in 0..1_000 {
                heard.push(scene.bystanders.ann.next().await.expect("a word"));
            }
            heard
        };
        let (one, other, heard) =
            tokio::join!(peer.polling().send(&one), peer.polling().send(&other), hearing);
        assert_eq!((one.status, other.status), (200, 200));
        let first = if heard[0].contains(r#""who":1"#) { 1 } else { 2 };
        for (i, word) in heard.iter().enumerate() {
            let (who, n) = (if i < 500 { first } else { 3 - first }, i % 500);
            assert_eq!(*word, said(&peer, &format!(r#""who":{who},"n":{n},"#), "2"));
        }
        for word in &heard {
            scene.bystanders.ben.expect(word).await;
        }
        peer.send("41").await;
        scene.bystanders.miss(&peer).await;
    })
    .await;
}

/// Each packet of a few bytes has an answer, and none is fetched.
#[tokio::test]
async fn who_fetches_no_answers_is_dropped_whoever_makes_them() {
    let name = "x".repeat(255);
    Scene::begin(patient().env("AO_WEBSOCKET__BACKLOG", "64KiB"))
        .await
        .play(&[POLLING_4, POLLING_3], async |scene, way| {
            for joined in [true, false] {
                let peer = if joined {
                    scene.member(way).await
                } else {
                    Peer::open(&scene.server, way).await
                };
                let packets = vec![format!("40/{name},"); 2_000];
                // Four megabytes and a bit are some 11,000 answers.
                let mut sent = 0;
                while peer.polling().send(&packets).await.status == 200 {
                    sent += 1;
                    assert!(sent < 10, "{way:?}: unbounded");
                }
                assert!(sent > 2, "{way:?}: dropped at once");
                soon("its end", async {
                    while http::get(scene.server.websocket(), &peer.polling().target()).await.status
                        == 200
                    {}
                })
                .await;
                if joined {
                    scene.bystanders.miss(&peer).await;
                }
            }
        })
        .await;
}

#[tokio::test]
async fn pings_without_a_poll_are_answered_once() {
    let mut scene = Scene::begin(patient()).await;
    let mut peer = scene.member(POLLING_3).await;
    for _ in 0..3 {
        peer.is_well().await;
        for _ in 0..50 {
            peer.polling().send(&["2".to_owned()]).await;
            peer.polling().send(&vec!["2".to_owned(); 500]).await;
        }
        // The server answers in its own time, so what was said behind comes first, or with it.
        let mut packets = Vec::new();
        while !packets.contains(&"3".to_owned()) {
            packets.extend(peer.polling().receive().await.expect("a poll"));
        }
        assert_eq!(packets, ["3"], "one pong");
    }
    peer.is_well().await;
    scene.bystanders.talk(&mut peer).await;
    scene.end().await;
}

/// Also by WebSocket: a session that comes and goes takes its places in queues along.
#[tokio::test]
async fn who_comes_and_goes_without_end_is_dropped() {
    let cycles =
        |n| (0..2 * n).map(|i| if i % 2 == 0 { "41" } else { "40" }.to_owned()).collect::<Vec<_>>();
    each_way(&WAYS, async |scene, way| {
        let mut peer = Peer::connect(&scene.server, way).await;
        peer.send_all(&cycles(100)).await;
        for _ in 0..100 {
            assert!(peer.next().await.is_some_and(|p| p.starts_with("40")), "{way:?}");
        }
        peer.authenticate(&scene.server).await;
        peer.is_well().await;
        peer.send_all(&cycles(1_000)).await;
        let end = peer.end().await;
        assert!(
            end.packets.iter().all(|p| p.starts_with("40")) && !end.refused,
            "{way:?}: {end:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_name_that_is_too_long_ends_the_connection() {
    let name = format!("/{}", "é".repeat(128));
    each_way(&WAYS, async |scene, way| {
        for packet in ["40N,", "40N", "41N,", "42N,[\"msg\"]", "43N,1[]", "451-N,[]"] {
            let mut peer = scene.member(way).await;
            peer.send(packet.replace('N', &name)).await;
            scene.loses(&mut peer, packet).await;
        }
    })
    .await;
}

/// A session that begins on a WebSocket inherits what the one before left unread, and no right to
/// leave as much again.
#[tokio::test]
async fn who_comes_and_goes_may_not_leave_more_unread_each_time() {
    let scene = Scene::begin(patient().env("AO_WEBSOCKET__BACKLOG", "64KiB")).await;
    let mut peer = Peer::connect(&scene.server, WEBSOCKET_4).await;
    let mut packets = vec![format!("40/{},", "x".repeat(255)); 2_000];
    packets.extend(["41".to_owned(), "40".to_owned()]);
    // More than kernels keep, and the bound, several times over.
    for _ in 0..80 {
        peer.send_all(&packets).await;
    }
    let told = peer.end().await.packets.len();
    assert!(told < 80 * 2_001, "all {told} answers waited for who reads none");
    scene.end().await;
}
