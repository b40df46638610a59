//! A room's history: its two directions, its bounds, and what is no number.
use super::client::{Client, ack, ask, high, history, place, setup, unharmed};

/// A room with so many messages; their texts, the newest first.
async fn told(address: std::net::SocketAddr, room: &str, count: usize) -> Vec<String> {
    let mut ann = Client::join(address, room).await;
    let mut texts: Vec<String> = (0..count).map(|n| high(&format!("n{n:04}"), "x")).collect();
    ann.send_all(texts.clone()).await;
    for n in 0..count {
        ann.expect(&ack(&format!("n{n:04}"))).await;
    }
    texts.reverse();
    texts
}

#[tokio::test]
async fn a_window_is_counted_from_the_newest_or_from_the_oldest() {
    let server = setup().start().await;
    let address = place(&server);
    let all = told(address, "/window", 120).await;
    for (query, wanted) in [
        ("", &all[..]),
        ("&position=0&size=1", &all[..1]),
        ("&position=0&size=50", &all[..50]),
        ("&position=50&size=50", &all[50..100]),
        ("&position=100&size=50", &all[100..]),
        ("&position=119", &all[119..]),
        ("&position=120", &[]),
        ("&position=9223372036854775807&size=9223372036854775807", &[]),
        ("&position=-50&size=50", &all[70..]),
        ("&position=-50&size=10", &all[70..80]),
        ("&position=-1&size=50", &all[119..]),
        ("&position=-120&size=2", &all[..2]),
        // The part that exists.
        ("&position=-130&size=20", &all[..10]),
        ("&position=-130&size=5", &[]),
        ("&position=-9999999999999999999&size=9999999999999999999", &all[..0]),
        ("&size=0", &[]),
        ("&size=-1", &[]),
        ("&position=-5&size=-5", &[]),
        // No integers count as absent.
        ("&position=x&size=y", &all[..]),
        ("&position=1.5&size=1e1", &all[..]),
        ("&position=&size=", &all[..]),
    ] {
        assert_eq!(history(address, "/window", query).await, wanted, "{query}");
    }
    let answer = ask(address, "/__/history?groupName=/window&position=-50&size=1").await;
    assert_eq!(answer.json()["position"], -50);
    unharmed(&server).await;
}

#[tokio::test]
async fn an_answer_has_a_thousand_messages_at_most() {
    let server = setup().start().await;
    let address = place(&server);
    let all = told(address, "/thousands", 1100).await;
    assert_eq!(history(address, "/thousands", "").await, all[..1000]);
    assert_eq!(history(address, "/thousands", "&size=5000").await, all[..1000]);
    assert_eq!(history(address, "/thousands", "&position=-1100&size=5000").await, all[..1000]);
    assert_eq!(history(address, "/thousands", "&position=1000&size=5000").await, all[1000..]);
}

/// More than a server reads at once: the answer comes in pieces, in the same order.
#[tokio::test]
async fn large_messages_come_in_the_same_order() {
    let server = setup().start().await;
    let address = place(&server);
    let mut ann = Client::join(address, "/large").await;
    let (mut texts, large) = (Vec::new(), "\\u00e9".repeat(5000));
    for n in 0..150 {
        let text = high(&format!("n{n}"), if n % 7 == 0 { "small" } else { &large });
        ann.store(&text).await;
        texts.push(text);
    }
    texts.reverse();
    assert_eq!(history(address, "/large", "").await, texts);
    assert_eq!(history(address, "/large", "&position=-140&size=120").await, texts[10..130]);
    // Of those some are recalled, a whole stretch too.
    for n in 60..149 {
        ask(address, &format!("/__/cancel?groupName=/large&uuid=n{n}")).await;
    }
    let left = [&texts[..1], &texts[90..]].concat();
    assert_eq!(history(address, "/large", "").await, left);
    assert_eq!(history(address, "/large", "&position=1&size=89").await, Vec::<String>::new());
    unharmed(&server).await;
}
