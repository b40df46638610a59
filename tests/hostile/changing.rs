//! From polling to WebSocket while both sides talk: nothing is lost, said twice, or overtaken.
use std::{cell::Cell, collections::VecDeque};

use futures_util::{StreamExt, stream};

use support::{
    server::Server,
    wire::{
        POLLING_3, POLLING_4, WEBSOCKET_4, Way, patient,
        peer::{Peer, Wire},
        polling::encode,
        raw::Connection,
        unharmed,
    },
};

/// Upgrades of each version, and how many are under way at a time.
const UPGRADES: usize = 150;
const AT_ONCE: usize = 8;
/// Messages of each side in each of the three parts: while polling, while upgrading, afterwards.
const PART: usize = 12;

fn message(n: usize) -> String {
    format!(r#"42{n}["msg",{{"n":{n}}}]"#)
}

/// What the other side of the room hears of the first so many messages, in order.
fn heard(by: &str, count: usize) -> VecDeque<String> {
    (0..count).map(|n| format!(r#"42["msg",{{"n":{n},"2":"{by}","s":0}}]"#)).collect()
}

fn acks(count: usize) -> VecDeque<String> {
    (0..count).map(|n| format!(r#"43{n}[{{"status":0,"data":"msg success"}}]"#)).collect()
}

/// Takes a packet from one of the two that may come next.
fn take(packet: &str, from: &mut [VecDeque<String>; 2], who: &str) {
    if packet.starts_with(['2', '3', '6']) && packet.len() == 1 {
        return;
    }
    let next = from.iter_mut().find(|queue| queue.front().is_some_and(|next| next == packet));
    let Some(next) = next else {
        panic!("{who}: {packet} came, expected {:?}", from.each_ref().map(|queue| queue.front()));
    };
    next.pop_front();
}

/// One client that upgrades as the JavaScript client does, and another that talks with it.
async fn one(server: &Server, way: Way, n: usize) {
    let room = format!("change-{}-{n}", way.version.eio());
    let mut partner = Peer::sign_in(server, WEBSOCKET_4).await;
    partner.join(&room).await;
    let mut peer = Peer::sign_in(server, way).await;
    peer.join(&room).await;
    peer.expect(&support::wire::bystanders::about("remote_join", &partner)).await;
    partner.expect(&support::wire::bystanders::about("remote_join", &peer)).await;

    let all = 3 * PART;
    let mut here = [heard(&partner.uid, all), acks(all)];
    let mut there = [heard(&peer.uid, all), acks(all)];
    let polling = peer.polling();
    let paused = Cell::new(false);
    let polls = async {
        while !paused.get() {
            let packets = polling.receive().await.expect("a session that polls");
            packets.iter().for_each(|packet| take(packet, &mut here, "the one that upgrades"));
        }
    };
    let posts = async {
        // Now one packet a body, now several.
        let messages: Vec<String> = (0..2 * PART).map(message).collect();
        for body in messages.chunks(1 + n % 5) {
            assert_eq!(polling.send(body).await.status, 200);
        }
    };
    let probe = async {
        for _ in 0..n % 7 {
            tokio::task::yield_now().await;
        }
        let socket = polling.probed().await;
        paused.set(true);
        socket
    };
    let talk = async {
        for n in 0..all {
            partner.send(message(n)).await;
            tokio::task::yield_now().await;
        }
    };
    let change = async {
        let (mut socket, (), ()) = tokio::join!(probe, polls, posts);
        socket.send("5").await;
        for n in 2 * PART..all {
            socket.send(&message(n)).await;
        }
        socket
    };
    let (socket, ()) = tokio::join!(change, talk);
    peer.wire = Wire::Socket(Box::new(socket));
    while here.iter().any(|queue| !queue.is_empty()) {
        take(&peer.next().await.expect("a packet"), &mut here, "the one that upgraded");
    }
    while there.iter().any(|queue| !queue.is_empty()) {
        take(&partner.next().await.expect("a packet"), &mut there, "its partner");
    }
    // Nothing more comes.
    peer.is_well().await;
    partner.is_well().await;
}

#[tokio::test]
async fn nothing_is_lost_doubled_or_overtaken_by_an_upgrade() {
    let server = patient().start().await;
    for way in [POLLING_4, POLLING_3] {
        stream::iter(0..UPGRADES).for_each_concurrent(AT_ONCE, |n| one(&server, way, n)).await;
    }
    unharmed(&server).await;
}

/// An answer to a poll has bounds. What it has no room for stays where an upgrade finds it.
#[tokio::test]
async fn what_an_answer_had_no_room_for_comes_behind_the_upgrade() {
    let server = patient().env("AO_MESSAGE__MAX_SIZE", "20 KiB").start().await;
    for way in [POLLING_4, POLLING_3] {
        let mut partner = Peer::sign_in(&server, WEBSOCKET_4).await;
        partner.join("hall").await;
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join("hall").await;
        peer.expect(&support::wire::bystanders::about("remote_join", &partner)).await;
        partner.expect(&support::wire::bystanders::about("remote_join", &peer)).await;
        // More than one answer has room for, and all there before the first poll.
        let text = "x".repeat(15_000);
        for n in 0..40 {
            let event = format!(r#"["msg",{{"n":{n},"text":"{text}"}}]"#);
            partner.acked(&event, r#"{"status":0,"data":"msg success"}"#).await;
        }
        let mut expected: VecDeque<String> = (0..40)
            .map(|n| {
                format!(r#"42["msg",{{"n":{n},"text":"{text}","2":"{}","s":0}}]"#, partner.uid)
            })
            .collect();
        for packet in peer.polling().receive().await.expect("a poll") {
            assert_eq!(Some(packet), expected.pop_front());
        }
        assert!((1..40).contains(&expected.len()), "{} are left", expected.len());
        let mut peer = peer.upgraded().await;
        for packet in &expected {
            peer.expect(packet).await;
        }
        peer.is_well().await;
    }
    unharmed(&server).await;
}

/// The Swift client does not wait for the answer to its last POST.
#[tokio::test]
async fn a_post_under_way_goes_before_what_comes_on_the_websocket() {
    let server = patient().start().await;
    for way in [POLLING_4, POLLING_3] {
        let mut partner = Peer::sign_in(&server, WEBSOCKET_4).await;
        partner.join("hall").await;
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join("hall").await;
        peer.expect(&support::wire::bystanders::about("remote_join", &partner)).await;
        partner.expect(&support::wire::bystanders::about("remote_join", &peer)).await;
        let polling = peer.polling();
        let mut socket = polling.probed().await;

        let body = encode(way.version, &[message(0), message(1)]);
        let mut post = Connection::open(server.websocket()).await;
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\nexpect: 100-continue\r\n\
             content-type: text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
            polling.target(),
            body.len()
        );
        post.write(head.as_bytes()).await;
        // It is being read.
        post.read_until(b"100 Continue\r\n\r\n").await;
        socket.send("5").await;
        socket.send(&message(2)).await;
        // What goes out does not wait for it.
        partner.acked(r#"["msg",{"n":9}]"#, r#"{"status":0,"data":"msg success"}"#).await;
        let word = format!(r#"42["msg",{{"n":9,"2":"{}","s":0}}]"#, partner.uid);
        assert_eq!(socket.receive().await, Some(word));
        post.write(body.as_bytes()).await;
        post.read_until(b"200 OK").await;
        for packet in heard(&peer.uid, 3) {
            partner.expect(&packet).await;
        }
        for ack in acks(3) {
            assert_eq!(socket.receive().await, Some(ack));
        }
    }
    unharmed(&server).await;
}
