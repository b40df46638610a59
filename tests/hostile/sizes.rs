//! Messages at their limit and above, counted as JavaScript counts: UTF-16 units of the JSON text.
use crate::scene::{Scene, each_way};
use support::wire::{WAYS, WEBSOCKET_4, bystanders::said, patient, peer::Wire, polling::encode};

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
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        for (unit, units) in SPELLINGS {
            let largest = text(unit, units, LIMIT - AROUND);
            peer.acked(&format!(r#"["msg",{{"a":"x{largest}"}}]"#), TOO_LARGE).await;
            peer.send(format!(r#"42["msg",{{"a":"x{largest}"}}]"#)).await;
            peer.acked(&format!(r#"["msg",{{"a":"{largest}"}}]"#), STORED).await;
            scene.bystanders.hear(&[said(&peer, &format!(r#""a":"{largest}","#), "0")]).await;
        }
        scene.takes_leave(peer, "41").await;
    })
    .await;
}

#[tokio::test]
async fn space_and_long_numbers_do_not_count() {
    let mut scene = Scene::begin(patient()).await;
    let mut peer = scene.member(WEBSOCKET_4).await;
    let space = " ".repeat(600 << 10);
    let largest = text("x", 1, LIMIT - AROUND);
    peer.acked(&format!(r#"["msg",{{"a":{space}"{largest}"}}]"#), STORED).await;
    scene.bystanders.hear(&[said(&peer, &format!(r#""a":"{largest}","#), "0")]).await;
    let digits = format!("0.{}", "1".repeat(600 << 10));
    peer.acked(&format!(r#"["msg",{{"a":{digits},"s":2}}]"#), STORED).await;
    scene.bystanders.hear(&[said(&peer, &format!(r#""a":{digits},"#), "2")]).await;
    scene.bystanders.talk(&mut peer).await;
    scene.end().await;
}

/// What no message can need ends the connection, before it is in memory as a whole.
#[tokio::test]
async fn packets_above_the_engine_limit_end_the_connection() {
    let most = 6 * LIMIT + (64 << 10);
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
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
        scene.loses(&mut peer, "too much").await;
    })
    .await;
}
