//! The protocol's table of frames, and who hears what.
use super::client::{Client, Got, ack, high, history, place, post, setup, unharmed, uuid};

/// A room with two members.
async fn two(address: std::net::SocketAddr, room: &str) -> (Client, Client) {
    (Client::join(address, room).await, Client::join(address, room).await)
}

#[tokio::test]
async fn what_is_none_of_the_protocols_messages_reaches_the_others_as_it_came() {
    let server = setup().start().await;
    let (mut ann, mut ben) = two(place(&server), "/low").await;
    let messages = [
        "hello",
        "",
        "  { \"type\" : 0 } ",
        "null",
        "[]",
        "{}",
        "12",
        r#"{"type":2,"uuid":"u"} trailing"#,
        r#"{"type":"2","uuid":"u"}"#,
        r#"{"type":2.0,"uuid":"u"}"#,
        r#"{"type":2,"uuid":7}"#,
        r#"{"type":2,"uuid":"u","body":[]}"#,
        r#"{"type":2,"uuid":"u","pullargs":{"size":"1"}}"#,
        "{\"a\":\"line\\nbreak\"}\n{\"b\":1}",
    ];
    for message in messages {
        ann.send(message).await;
        ben.expect(message).await;
    }
    let large = "x".repeat(32_768);
    ann.send(&large).await;
    ben.expect(&large).await;
    // One message is one frame, however many wait.
    ann.send_all((0..300).map(|n| format!("n{n}"))).await;
    for n in 0..300 {
        ben.expect(&format!("n{n}")).await;
    }
    // No acknowledgement, no echo, nothing stored.
    ann.has_heard_nothing().await;
    assert_eq!(history(place(&server), "/low", "").await.len(), 1);
    unharmed(&server).await;
}

#[tokio::test]
async fn type_2_is_stored_sent_to_the_others_and_acknowledged() {
    let server = setup().start().await;
    let (mut ann, mut ben) = two(place(&server), "/high").await;
    let deep = format!("{}1{}", "[".repeat(9000), "]".repeat(9000));
    let messages = [
        high("one", "text"),
        r#"{ "uuid":"two", "type":2, "body":{"data":{"deep":[1,2.5e300,null]},"sent":true}, "x":1 }"#
            .to_owned(),
        r#"{"type":2,"uuid":"three","body":null,"queryArgs":null,"pullargs":null}"#.to_owned(),
        r#"{"type":2,"command":9,"uuid":"four"}"#.to_owned(),
        r#"{"type":2,"uuid":"fi\u0076e"}"#.to_owned(),
        format!(r#"{{"type":2,"uuid":"deep","body":{{"data":{deep}}}}}"#),
    ];
    for (message, uuid) in messages.iter().zip(["one", "two", "three", "four", "five", "deep"]) {
        ann.send(message).await;
        ann.expect(&ack(uuid)).await;
        ben.expect(message).await;
        // Acknowledged means that it is in the history.
        assert_eq!(history(place(&server), "/high", "&size=1").await, [message.as_str()]);
    }
    let newest_first: Vec<String> = messages.into_iter().rev().collect();
    assert_eq!(history(place(&server), "/high", "").await, newest_first);
}

#[tokio::test]
async fn pings_of_the_client_and_unknown_types_have_no_effect() {
    let server = setup().start().await;
    let (mut ann, mut ben) = two(place(&server), "/none").await;
    for message in [
        r#"{"type":1,"command":5}"#,
        r#"{"type":1,"uuid":"u","command":1}"#,
        r#"{"type":3,"uuid":"u"}"#,
        r#"{"type":-1,"uuid":"u"}"#,
        r#"{"command":1}"#,
    ] {
        ann.send(message).await;
    }
    let marker = high(&uuid(), "marker");
    ann.store(&marker).await;
    ben.expect(&marker).await;
    assert_eq!(history(place(&server), "/none", "").await, [marker]);
}

#[tokio::test]
async fn binary_messages_are_read_as_text_where_they_are_utf8() {
    let server = setup().start().await;
    let (mut ann, mut ben) = two(place(&server), "/binary").await;
    let message = high("binary", "é");
    ann.send_binary(message.as_bytes()).await;
    ann.expect(&ack("binary")).await;
    ben.expect(&message).await;
    ann.send_binary("plain é".as_bytes()).await;
    ben.expect("plain é").await;
    let bytes = b"\x00\xff\xfe no text \x80".to_vec();
    ann.send_binary(&bytes).await;
    assert_eq!(ben.next().await, Got::Binary(bytes));
    let broken = [b"{\"type\":2,\"uuid\":\"".as_slice(), b"\xff", b"\"}"].concat();
    ann.send_binary(&broken).await;
    assert_eq!(ben.next().await, Got::Binary(broken));
    ann.has_heard_nothing().await;
    unharmed(&server).await;
}

#[tokio::test]
async fn a_uuid_is_stored_and_sent_once_and_acknowledged_each_time() {
    let server = setup().start().await;
    let address = place(&server);
    let (mut ann, mut ben) = two(address, "/twice").await;
    let (first, again) = (high("u1", "first"), high("u1", "again"));
    ann.store(&first).await;
    ben.expect(&first).await;
    ann.store(&first).await;
    ann.store(&again).await;
    ben.store(&again).await; // from any sender
    assert_eq!(post(address, "/twice", &again).await.status, 200); // and by any way
    // Several in one batch: each is acknowledged.
    let two = high("u2", "two");
    ann.send_all([two.clone(), two.clone(), two.clone()]).await;
    for _ in 0..3 {
        ann.expect(&ack("u2")).await;
    }
    ben.expect(&two).await;
    // By HTTP first.
    let three = high("u3", "three");
    assert_eq!(post(address, "/twice", &three).await.status, 200);
    ann.expect(&three).await;
    ben.expect(&three).await;
    ann.store(&three).await;
    ann.has_heard_nothing().await;
    let stored = history(address, "/twice", "").await;
    assert_eq!(stored[1..], [three, two, first]);
    // In another room it is another message.
    let mut cleo = Client::join(address, "/other").await;
    cleo.store(&again).await;
    assert_eq!(history(address, "/other", "").await, [again]);
}

#[tokio::test]
async fn messages_without_a_uuid_are_never_duplicates() {
    let server = setup().start().await;
    let (mut ann, mut ben) = two(place(&server), "/nameless").await;
    let nameless = [r#"{"type":2}"#, r#"{"type":2,"uuid":null}"#, r#"{"type":2,"uuid":""}"#];
    for message in nameless.into_iter().chain(nameless) {
        ann.store(message).await;
        ben.expect(message).await;
    }
    assert_eq!(history(place(&server), "/nameless", "").await.len(), 6);
}

/// The last thousand uuids are known, at least.
#[tokio::test]
async fn a_uuid_is_known_among_the_last_thousand() {
    let server = setup().start().await;
    let mut ann = Client::join(place(&server), "/thousand").await;
    ann.send_all((0..1000).map(|n| high(&format!("n{n}"), "x"))).await;
    for n in 0..1000 {
        ann.expect(&ack(&format!("n{n}"))).await;
    }
    for n in [0, 500, 999] {
        ann.store(&high(&format!("n{n}"), "again")).await;
    }
    assert_eq!(history(place(&server), "/thousand", "").await.len(), 1000);
}

/// Three senders at once: all receivers and the history agree, and each sender's order is kept.
#[tokio::test]
async fn a_room_has_one_order() {
    const EACH: usize = 200;
    let server = setup().start().await;
    let address = place(&server);
    let (mut ann, mut ben) = two(address, "/order").await;
    let mut senders = Vec::new();
    for name in ["a", "b", "c"] {
        let mut sender = Client::join(address, "/order").await;
        senders.push(tokio::spawn(async move {
            sender.send_all((0..EACH).map(|n| high(&format!("{name}{n:03}"), "x"))).await;
            for _ in 0..EACH {
                while !sender.text().await.contains(r#""type":1,"command":1"#) {}
            }
        }));
    }
    let mut heard = Vec::new();
    for _ in 0..3 * EACH {
        heard.push(ann.text().await);
    }
    for text in &heard {
        ben.expect(text).await;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    for name in ["a", "b", "c"] {
        let own: Vec<&String> =
            heard.iter().filter(|t| t.contains(&format!(r#""uuid":"{name}"#))).collect();
        assert!(own.is_sorted() && own.len() == EACH, "{name}");
    }
    heard.reverse();
    assert_eq!(history(address, "/order", "").await, heard);
}
