//! Messages at their limit and above, counted as JavaScript counts: UTF-16 units of the JSON text.
use support::wire::{
    WAYS, WEBSOCKET_4,
    bystanders::{Bystanders, said},
    patient,
    peer::{Peer, Wire},
    polling::encode,
    unharmed,
};

const ROOM: &str = "hall";
const LIMIT: usize = 500 * 1024;
const STORED: &str = r#"{"status":0,"data":"msg success"}"#;
const TOO_LARGE: &str = r#"{"status":1,"data":"message too large"}"#;
/// Units of `{"a":""}`.
const AROUND: usize = 8;

/// A text of this many units when written by `JSON.stringify`, made of `unit`, which stands for
/// `units` of them, and padded.
fn text(unit: &str, units: usize, total: usize) -> String {
    format!("{}{}", unit.repeat(total / units), "x".repeat(total % units))
}

/// How a character may be written, and how many units it counts.
const SPELLINGS: [(&str, usize); 7] =
    [("x", 1), ("é", 1), ("房", 1), ("🙂", 2), (r"\u00e9", 1), (r"\u0001", 6), (r"\n", 2)];

#[tokio::test]
async fn messages_at_the_limit_are_delivered_and_larger_ones_refused() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for way in WAYS {
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join(ROOM).await;
        bystanders.welcome(&mut peer).await;
        for (unit, units) in SPELLINGS {
            let largest = text(unit, units, LIMIT - AROUND);
            peer.acked(&format!(r#"["msg",{{"a":"x{largest}"}}]"#), TOO_LARGE).await;
            peer.send(format!(r#"42["msg",{{"a":"x{largest}"}}]"#)).await;
            peer.acked(&format!(r#"["msg",{{"a":"{largest}"}}]"#), STORED).await;
            bystanders.hear(&[said(&peer, &format!(r#""a":"{largest}","#), "0")]).await;
        }
        bystanders.talk(&mut peer).await;
        peer.send("41").await;
        bystanders.miss(&peer).await;
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn space_and_long_numbers_do_not_count() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let mut peer = Peer::sign_in(&server, WEBSOCKET_4).await;
    peer.join(ROOM).await;
    bystanders.welcome(&mut peer).await;
    let space = " ".repeat(600 << 10);
    let largest = text("x", 1, LIMIT - AROUND);
    peer.acked(&format!(r#"["msg",{{"a":{space}"{largest}"}}]"#), STORED).await;
    bystanders.hear(&[said(&peer, &format!(r#""a":"{largest}","#), "0")]).await;
    let digits = format!("0.{}", "1".repeat(600 << 10));
    peer.acked(&format!(r#"["msg",{{"a":{digits},"s":2}}]"#), STORED).await;
    bystanders.hear(&[said(&peer, &format!(r#""a":{digits},"#), "2")]).await;
    bystanders.talk(&mut peer).await;
    unharmed(&server).await;
}

/// What no message can need ends the connection, before it is in memory as a whole.
#[tokio::test]
async fn packets_above_the_engine_limit_end_the_connection() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let most = 6 * LIMIT + (64 << 10);
    for way in WAYS {
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join(ROOM).await;
        bystanders.welcome(&mut peer).await;
        peer.acked(&format!(r#"["msg",{{"a":"{}"}}]"#, "x".repeat(most - 100)), TOO_LARGE).await;
        let above = format!(r#"42["msg",{{"a":"{}"}}]"#, "x".repeat(most));
        match &mut peer.wire {
            Wire::Socket(socket) => socket.send(&above).await,
            Wire::Polling(polling) => {
                let answer = polling
                    .post_bytes("text/plain", encode(way.version, &[above]).as_bytes())
                    .await;
                assert!(answer.as_ref().is_none_or(|a| a.status == 413), "{answer:?}");
            }
        }
        peer.is_dropped("too much").await;
        bystanders.miss(&peer).await;
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}
