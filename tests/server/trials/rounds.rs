//! Rounds in which the business server and a server, or a node, are killed with -9 at any moment,
//! while users come, talk and go. At the end the business server has been told what the rooms' logs
//! hold, in their order, and of each joining one leaving; and what was acknowledged is in the logs.
use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    business::Business,
    site::{Site, Store},
};
use crate::{cluster::try_come, crash::Chance};
use support::{client::Client, soon};

const ROOMS: [&str; 4] = ["harbour", "крыша 7/\"b\"", "cellar", "roof"];
const USERS: usize = 10;
/// Batches that are told, and messages that are stored, before the next kill.
const ENOUGH: (usize, u64) = (5, 40);

/// Rounds: more by `WEBHOOK_ROUNDS`.
fn rounds() -> u32 {
    std::env::var("WEBHOOK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3)
}

/// What users know.
#[derive(Clone)]
struct Town {
    addresses: Arc<Mutex<Vec<SocketAddr>>>,
    stored: watch::Sender<u64>,
    stop: watch::Receiver<bool>,
}

impl Town {
    /// Waits for so many more acknowledgements.
    async fn goes_on(&self, count: u64) {
        let enough = *self.stored.borrow() + count;
        let mut stored = self.stored.subscribe();
        let what = format!("{count} acknowledgements");
        soon(what, stored.wait_for(|stored| *stored >= enough)).await.unwrap();
    }

    fn has_stopped(&self) -> bool {
        *self.stop.borrow()
    }
}

/// A user, who comes to any node that is there, again and again.
struct User {
    uid: String,
    room: &'static str,
    sent: u64,
    /// The texts of messages that were acknowledged.
    acknowledged: Vec<String>,
}

impl User {
    async fn live(mut self, town: Town, mut chance: Chance) -> User {
        while !town.has_stopped() {
            let address = {
                let addresses = town.addresses.lock().unwrap();
                addresses[chance.below(addresses.len() as u64) as usize]
            };
            match try_come(address, &self.uid, self.room).await {
                Some(client) => self.visit(client, &town, &mut chance).await,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        self
    }

    /// Says something, and goes in one of the ways in which clients go.
    async fn visit(&mut self, mut client: Client, town: &Town, chance: &mut Chance) {
        for _ in 0..=chance.below(20) {
            let text = format!("{} says {}", self.uid, self.sent);
            self.sent += 1;
            match client.sender().request("msg", &json!({ "s": 0, "text": text })).await {
                Ok(answer) if answer["status"] == 0 => {
                    self.acknowledged.push(text);
                    town.stored.send_modify(|stored| *stored += 1);
                }
                Ok(_) => {}
                Err(_) => return, // the server is gone
            }
            if town.has_stopped() {
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
        // Long enough to have left, or not.
        tokio::time::sleep(Duration::from_millis(chance.below(250))).await;
    }
}

/// Nothing is waited for here: the moment of a kill is to be any.
async fn any_moment(chance: &mut Chance) {
    tokio::time::sleep(Duration::from_micros(chance.below(10_000))).await;
}

/// One round.
async fn strike(site: &mut Site, business: &mut Business, town: &Town, chance: &mut Chance) {
    let told = business.ledger().batches();
    business.hears("news", |ledger| ledger.batches() >= told + ENOUGH.0).await;
    town.goes_on(ENOUGH.1).await;
    let victim = chance.below(site.nodes.len() as u64) as usize;
    any_moment(chance).await;
    if chance.below(2) == 0 {
        business.kill();
        any_moment(chance).await;
        site.nodes[victim].kill_9().await;
    } else {
        site.nodes[victim].kill_9().await;
        any_moment(chance).await;
        business.kill();
    }
    if chance.below(2) == 0 {
        business.restart().await;
        site.nodes[victim].restart().await;
        *town.addresses.lock().unwrap() = site.addresses();
    } else {
        site.nodes[victim].restart().await;
        *town.addresses.lock().unwrap() = site.addresses();
        if chance.below(2) == 0 {
            town.goes_on(ENOUGH.1).await; // and nobody is there to be told
        }
        business.restart().await;
    }
}

async fn nothing_is_lost_or_reordered_by_kills_of_both(store: Store) {
    let seed = getrandom::u64().unwrap();
    println!("seed {seed:#x}"); // shown when the test fails
    let mut chance = Chance(seed);
    let mut business = Business::start().await;
    let settings = |setup| business.setup(setup).env("AO_WEBHOOK__TIMEOUT", "1s");
    let mut site = store.start(settings).await;
    let (stop, stopped) = watch::channel(false);
    let addresses = Arc::new(Mutex::new(site.addresses()));
    let town = Town { addresses, stored: watch::Sender::new(0), stop: stopped };
    let mut users = Vec::new();
    for number in 0..USERS {
        let (uid, room) = (format!("user {number}"), ROOMS[number % ROOMS.len()]);
        let user = User { uid, room, sent: 0, acknowledged: Vec::new() };
        users.push(tokio::spawn(user.live(town.clone(), Chance(chance.next()))));
    }
    let mut repeated = 0;
    for round in 1..=rounds() {
        repeated += business.ledger().repeated();
        strike(&mut site, &mut business, &town, &mut chance).await;
        println!("round {round}: {} stored", *town.stored.borrow());
    }
    town.goes_on(ENOUGH.1).await;
    stop.send(true).unwrap();
    let mut gone = Vec::new();
    for user in users {
        gone.push(soon("a user's end", user).await.unwrap());
    }
    is_told(&site, &business, &gone).await;
    println!("{} batches, {repeated} and more came again", business.ledger().batches());
}

/// The business server knows in the end what happened.
async fn is_told(site: &Site, business: &Business, users: &[User]) {
    for room in ROOMS {
        let log = site.admin.log(site.here(), room).await.bodies();
        let of_room = users.iter().filter(|user| user.room == room);
        let texts: HashSet<&str> = log.iter().map(|m| m["text"].as_str().unwrap()).collect();
        assert_eq!(texts.len(), log.len(), "{room}: something was stored twice");
        for text in of_room.flat_map(|user| &user.acknowledged) {
            assert!(texts.contains(&**text), "{text} was acknowledged, and is lost");
        }
        business
            .hears(&format!("the end of {room}"), |ledger| {
                ledger.count(room, "message.inserted") >= log.len()
                    && ledger.ends_with(room, "room.vacated")
            })
            .await;
        business.ledger().is_the_story_of(room, &log);
    }
    for User { uid, .. } in users {
        business.hears(uid, |ledger| ledger.ends_with(uid, "user.offline")).await;
        business.ledger().came_and_went(uid);
    }
}

on_both_stores! { nothing_is_lost_or_reordered_by_kills_of_both }
