//! Administrators who take users out of rooms, and end their sessions, while these come and go.
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    business::{Business, Ledger},
    site::{Site, Store},
};
use crate::{
    cluster::{eventually, try_come},
    crash::Chance,
};
use support::{
    client::{Client, Packet},
    server::Server,
    soon,
};

/// In the first two somebody watches all the time; the third is empty again and again.
const ROOMS: [&str; 3] = ["attic", "cellar", "hall"];
const WATCHED: usize = 2;
const USERS: usize = 9;
/// What administrators do, altogether.
const DEEDS: usize = 150;

fn out() -> Value {
    json!({ "status": 1, "data": "not in a room" })
}

/// The next such event; nothing: the connection has ended.
async fn answered(client: &mut Client, event: &str) -> Option<Value> {
    loop {
        match client.next().await {
            Packet::Event(name, payload) if name == event => return Some(payload),
            Packet::Closed => return None,
            _ => {}
        }
    }
}

/// A user who comes, talks, joins again and goes.
async fn roam(
    addresses: Vec<SocketAddr>,
    uid: String,
    room: &'static str,
    stop: watch::Receiver<bool>,
    mut chance: Chance,
) {
    while !*stop.borrow() {
        let address = addresses[chance.below(addresses.len() as u64) as usize];
        let Some(mut client) = try_come(address, &uid, room).await else { continue };
        for number in 0..chance.below(8) {
            let there = if chance.below(2) == 0 {
                let message = json!({ "s": 0, "text": format!("{uid} says {number}") });
                client.sender().request("msg", &message).await.is_ok()
            } else {
                client.emit("join", &json!({ "roomId": room }));
                answered(&mut client, "join").await.is_some()
            };
            if !there {
                break;
            }
        }
        match chance.below(3) {
            0 => client.close().await,
            1 => {
                client.emit("leave", &Value::Null);
                client.rest().await;
            }
            _ => drop(client),
        }
    }
}

/// Administrators take out, and send away, whoever it is.
async fn rule(site: &Site, chance: &mut Chance) -> usize {
    let mut met = 0;
    for _ in 0..DEEDS {
        let user = chance.below(USERS as u64) as usize;
        let node = &site.nodes[chance.below(site.nodes.len() as u64) as usize];
        let uid = format!("user {user}");
        let answer = if chance.below(4) == 0 {
            let reconnect = chance.below(2) == 0;
            site.admin.done(node, "disconnect", json!({ "uid": uid, "reconnect": reconnect })).await
        } else {
            let room = ROOMS[user % ROOMS.len()];
            site.admin.done(node, "kick", json!({ "uid": uid, "roomId": room })).await
        };
        met += usize::from(answer["connections"] == 1);
    }
    met
}

/// What a member heard between two marks: kind, and whom or what it is about.
async fn heard(client: &mut Client, marks: [&str; 2]) -> Vec<(String, String)> {
    while client.until("msg").await["text"] != marks[0] {}
    let mut heard = Vec::new();
    loop {
        let Packet::Event(name, payload) = client.next().await else { panic!("it has ended") };
        let about = if name == "msg" { &payload["text"] } else { &payload["uid"] };
        if about == marks[1] {
            return heard;
        }
        heard.push((name, about.as_str().unwrap().to_owned()));
    }
}

/// Everybody has come before going, and has gone.
#[track_caller]
fn comes_out_even(room: &str, heard: &[(String, String)]) {
    let mut there = HashSet::new();
    for (event, uid) in heard {
        match event.as_str() {
            "remote_join" => assert!(there.insert(uid), "{room}: {uid} came twice: {heard:#?}"),
            "remote_leave" => assert!(there.contains(uid), "{room}: {uid} left: {heard:#?}"),
            "remote_disconnect" => assert!(there.remove(uid), "{room}: {uid} gone: {heard:#?}"),
            _ => {}
        }
    }
    assert!(there.is_empty(), "{room}: {there:?} never went: {heard:#?}");
}

async fn who_is_kicked_while_all_come_and_go_is_nowhere_left(store: Store) {
    let seed = getrandom::u64().unwrap();
    println!("seed {seed:#x}"); // shown when the test fails
    let mut chance = Chance(seed);
    let business = Business::start().await;
    let site = store.start(|setup| business.setup(setup)).await;
    let mark = async |room: &str, text: &str| {
        let message = json!({ "storage": 0, "text": text });
        site.admin.done(site.here(), "publish", json!({ "roomId": room, "message": message })).await
    };
    let mut watchers: HashMap<&str, Vec<Client>> = HashMap::new();
    for room in ROOMS.into_iter().take(WATCHED) {
        for (number, address) in
            [site.here(), site.there()].map(Server::websocket).iter().enumerate()
        {
            let uid = format!("watcher {number} of {room}");
            let watcher = try_come(*address, &uid, room).await.expect("a watcher");
            watchers.entry(room).or_default().push(watcher);
        }
        mark(room, "begin").await;
    }
    let (stop, stopped) = watch::channel(false);
    let mut users = Vec::new();
    for number in 0..USERS {
        let (uid, room) = (format!("user {number}"), ROOMS[number % ROOMS.len()]);
        let chance = Chance(chance.next());
        users.push(tokio::spawn(roam(site.addresses(), uid, room, stopped.clone(), chance)));
    }
    let met = rule(&site, &mut chance).await;
    stop.send(true).unwrap();
    for user in users {
        soon("a user's end", user).await.unwrap();
    }

    for room in ROOMS {
        let watching = watchers.get(room).map_or(0, Vec::len);
        for node in [site.here(), site.there()] {
            eventually(&format!("the end of {room}"), async || {
                site.admin.members(node, room).await.len() == watching
            })
            .await;
        }
        mark(room, "end").await;
    }
    for (room, clients) in &mut watchers {
        let first = heard(&mut clients[0], ["begin", "end"]).await;
        let second = heard(&mut clients[1], ["begin", "end"]).await;
        assert_eq!(first, second, "{room}: the order is not one");
        comes_out_even(room, &first);
    }
    drop(watchers);
    for room in ROOMS {
        let log = site.admin.log(site.there(), room).await.bodies();
        let vacated = |ledger: &Ledger| {
            ledger.count(room, "message.inserted") >= log.len()
                && ledger.events(room).iter().rev().any(|e| e["type"] == "room.vacated")
                && ledger.count(room, "member.joined") == ledger.count(room, "member.left")
        };
        business.hears(&format!("the end of {room}"), vacated).await;
        business.ledger().is_the_story_of(room, &log);
    }
    println!("{met} of {DEEDS} found somebody in the room");
}

/// Two things that begin at almost the same time. Which comes first is to be open: what came too
/// late waits less at the next time.
struct Race {
    /// How long the first waits; below 0: how long the second does.
    skew: i64,
    /// How often each has won.
    won: [u32; 2],
}

impl Race {
    const STEP: i64 = 500;

    fn new() -> Race {
        Race { skew: 0, won: [0, 0] }
    }

    async fn run<A, B>(
        &self,
        first: impl Future<Output = A>,
        second: impl Future<Output = B>,
    ) -> (A, B) {
        let wait = |micros: i64| {
            tokio::time::sleep(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
        };
        tokio::join!(
            async {
                wait(self.skew).await;
                first.await
            },
            async {
                wait(-self.skew).await;
                second.await
            }
        )
    }

    fn ended(&mut self, first_won: bool) {
        self.won[usize::from(!first_won)] += 1;
        self.skew += if first_won { Self::STEP } else { -Self::STEP };
    }
}

async fn a_kick_comes_before_a_join_or_behind_it(store: Store) {
    let site = store.start(|setup| setup).await;
    let mut race = Race::new();
    for round in 0..40 {
        let uid = format!("ann {round}");
        let mut ann = site.there().guest().await;
        ann.sign_in(&uid, "any").await;
        let kick = json!({ "uid": uid, "roomId": "attic" });
        let (kicked, ()) =
            race.run(site.admin.done(site.here(), "kick", kick.clone()), ann.join("attic")).await;
        let came_first = kicked["connections"] == 0;
        race.ended(came_first);
        if came_first {
            ann.send(&json!({ "s": 0, "text": "I am in" })).await;
        } else {
            // Its own node may learn of it a moment later.
            let speaks = async || ann.emit_with_ack("msg", &json!({ "s": 2 })).await;
            soon("the news", async { while speaks().await != out() {} }).await;
        }
        let expected = if came_first { vec![uid.clone()] } else { Vec::new() };
        for node in [site.here(), site.there()] {
            assert_eq!(site.admin.members(node, "attic").await, expected, "{kicked}");
        }
        if !came_first {
            ann.join("attic").await;
            ann.send(&json!({ "s": 0, "text": "I am in again" })).await;
        }
        let kicked = site.admin.done(site.there(), "kick", kick).await;
        assert_eq!(kicked, json!({ "connections": 1 }));
    }
    println!("the kick came first {} times, the join {} times", race.won[0], race.won[1]);
}

async fn a_disconnect_comes_before_a_sign_in_or_ends_the_session(store: Store) {
    let site = store.start(|setup| setup).await;
    let mut race = Race::new();
    for round in 0..40 {
        let uid = format!("ann {round}");
        let mut ann = site.there().guest().await;
        let disconnect = json!({ "uid": uid, "reconnect": round % 2 == 0 });
        let (ended, ()) = race
            .run(site.admin.done(site.here(), "disconnect", disconnect), async {
                ann.emit("authenticate", &json!({ "uid": uid, "token": "any" }));
                ann.emit("join", &json!({ "roomId": "attic" }));
            })
            .await;
        let came_first = ended["sessions"] == 0;
        race.ended(came_first);
        if came_first {
            assert_eq!(answered(&mut ann, "join").await.expect("an answer")["status"], 0);
            ann.send(&json!({ "s": 0, "text": "I am in" })).await;
            ann.close().await;
        } else {
            let rest = ann.rest().await;
            assert_eq!(rest.contains(&Packet::Disconnect), round % 2 == 1, "{rest:?}");
        }
        for node in [site.here(), site.there()] {
            eventually("her end", async || {
                let users = site.admin.done(node, "users", json!({})).await;
                users["users"] == json!([]) && site.admin.members(node, "attic").await.is_empty()
            })
            .await;
        }
    }
    println!("it came first {} times, the session {} times", race.won[0], race.won[1]);
}

on_both_stores! {
    who_is_kicked_while_all_come_and_go_is_nowhere_left
    a_kick_comes_before_a_join_or_behind_it
    a_disconnect_comes_before_a_sign_in_or_ends_the_session
}
