//! Twenty thousand events in one go. Others still talk; the sender gets every acknowledgement in
//! order, or is dropped.
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::scene::{Scene, each_way};
use support::{
    soon,
    wire::{
        WAYS, Way,
        bystanders::{Bystanders, about, said},
        patient,
        peer::{Peer, Wire},
        polling::Polling,
        unharmed,
    },
    within,
};

const EVENTS: usize = 20_000;
/// All of it, on a machine that is busy with other tests.
const LONG: std::time::Duration = std::time::Duration::from_secs(180);

fn flood() -> Vec<String> {
    (0..EVENTS).map(|n| format!(r#"42{n}["msg",{{"n":{n},"s":2}}]"#)).collect()
}

fn ack(n: usize) -> String {
    format!(r#"43{n}[{{"status":0,"data":"msg success"}}]"#)
}

/// What came of the flood: how many acknowledgements, in order, and whether the connection is still
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    acks: usize,
    ended: bool,
}

async fn by_websocket(socket: support::wire::socket::Socket) -> Outcome {
    let (mut to, mut from) = socket.split();
    let writing = async {
        for packet in flood() {
            if to.feed(Message::text(packet)).await.is_err() {
                break; // the reader learns the same
            }
        }
        let _ = to.flush().await;
    };
    let reading = async {
        let mut acks = 0;
        while acks < EVENTS {
            match soon("an acknowledgement", from.next()).await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => {}
                Some(Ok(Message::Text(text))) if text.as_str() == ack(acks) => acks += 1,
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    return Outcome { acks, ended: true };
                }
                other => panic!("not the acknowledgement {acks}: {other:?}"),
            }
        }
        Outcome { acks, ended: false }
    };
    let ((), outcome) = tokio::join!(writing, reading);
    // The socket closes with its halves.
    outcome
}

async fn by_polling(polling: &Polling) -> Outcome {
    let packets = flood();
    let writing = async { polling.send(&packets).await };
    let reading = async {
        let mut acks = 0;
        while acks < EVENTS {
            let Some(packets) = polling.receive().await else {
                return Outcome { acks, ended: true };
            };
            for packet in packets.iter().filter(|p| !["1", "2", "6"].contains(&p.as_str())) {
                assert_eq!(*packet, ack(acks));
                acks += 1;
            }
        }
        Outcome { acks, ended: false }
    };
    let (_, outcome) = tokio::join!(writing, reading);
    polling.post_bytes("text/plain", if polling.version.eio() == 4 { b"1" } else { b"1:1" }).await;
    outcome
}

/// Hears the flood in order, all of it or up to its sender's end.
async fn hear_flood(listener: &mut Peer, words: &[String], goodbye: &str) -> usize {
    for (n, word) in words.iter().enumerate() {
        let packet = listener.next().await.expect("a listener is not dropped");
        if packet == goodbye {
            return n;
        }
        assert_eq!(packet, *word);
    }
    listener.expect(goodbye).await;
    words.len()
}

#[tokio::test]
async fn a_flood_reaches_the_room_in_order_and_hurts_nobody() {
    let server = patient().start().await;
    let mut elsewhere = Bystanders::join(&server, "elsewhere").await;
    for way in WAYS {
        let room = format!("room-{}", support::wire::stranger());
        let mut bystanders = Bystanders::join(&server, &room).await;
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join(&room).await;
        bystanders.welcome(&mut peer).await;
        let (words, goodbye): (Vec<String>, String) = (
            (0..EVENTS).map(|n| said(&peer, &format!(r#""n":{n},"#), "2")).collect(),
            about("remote_disconnect", &peer),
        );
        let Peer { wire, .. } = peer;
        let flooding = async {
            match wire {
                Wire::Socket(socket) => by_websocket(*socket).await,
                Wire::Polling(polling) => by_polling(&polling).await,
            }
        };
        let outcome = within(LONG, format!("the end of a flood, {way:?}"), async {
            let (outcome, ann, ben, ()) = tokio::join!(
                flooding,
                hear_flood(&mut bystanders.ann, &words, &goodbye),
                hear_flood(&mut bystanders.ben, &words, &goodbye),
                elsewhere.are_well(),
            );
            assert_eq!(ann, ben);
            assert!(ann >= outcome.acks, "{way:?}: {outcome:?}, but only {ann} were heard");
            outcome
        })
        .await;
        assert!(outcome.ended || outcome.acks == EVENTS, "{way:?}: {outcome:?}");
        bystanders.are_well().await;
    }
    elsewhere.are_well().await;
    unharmed(&server).await;
}

/// Nobody waits for anything: the server's own bound has to hold.
#[tokio::test]
async fn a_flood_of_events_without_effect_changes_nothing() {
    each_way(&WAYS, async |scene, way| {
        for (event, stays) in [
            (r#"42["nonsense",{}]"#, true),
            (r#"42["msg",7]"#, true),
            (r#"42["join",{"roomId":null}]"#, false),
        ] {
            quietly(&scene.server, way, event, stays, &mut scene.bystanders).await;
        }
    })
    .await;
}

/// Each would have the store put a roster together, and the room be told.
#[tokio::test]
async fn who_joins_without_end_is_answered_and_stays_where_it_is() {
    Scene::begin(patient().env("AO_LIMITS__JOINS", "1 in 1h"))
        .await
        .play(&WAYS, async |scene, way| {
            let mut peer = scene.member(way).await;
            for room in 0..100 {
                let argument = format!(r#"{{"roomId":"{room}"}}"#);
                let refusal = r#"{"status":1,"data":"join failed, too often"}"#;
                peer.answered("join", &argument, refusal).await;
            }
            scene.takes_leave(peer, "41").await;
        })
        .await;
}

async fn quietly(
    server: &support::server::Server,
    way: Way,
    event: &str,
    quiet: bool,
    bystanders: &mut Bystanders,
) {
    let mut peer = Peer::sign_in(server, way).await;
    let events = vec![event.to_owned(); EVENTS];
    if !quiet {
        // Each is answered, and the answers are not read meanwhile: then it may be dropped, as
        // anybody who does not read.
        let socket = matches!(way.transport, support::wire::Transport::Websocket);
        if !socket {
            peer.send_all(&events[..1000]).await;
        } else {
            let _ = tokio::time::timeout(support::BOUND, peer.send_all(&events)).await;
        }
        bystanders.are_well().await;
        return;
    }
    let ((), ()) = tokio::join!(peer.send_all(&events), bystanders.are_well());
    peer.is_well().await;
}
