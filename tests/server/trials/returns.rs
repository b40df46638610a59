//! Users who are kicked out by themselves, and who reload their page: a business server is told
//! nothing of it, as they are there all the time.
use serde_json::Value;

use super::{business::Business, site::Store};
use crate::cluster::try_come;
use support::{client::Client, server::Server};

async fn come(node: &Server, uid: &str) -> Client {
    try_come(node.websocket(), uid, "lesson").await.unwrap_or_else(|| panic!("{uid} is let in"))
}

async fn neither_a_kickout_nor_a_reload_is_told(store: Store) {
    let business = Business::start().await;
    // As long as a reload may take on a busy machine.
    let settings = |setup| business.setup(setup).env("AO_WEBHOOK__LEAVE_DELAY", "3s");
    let site = store.start(settings).await;
    let witness = come(site.here(), "witness").await;
    let mut ann = come(site.here(), "ann").await;
    // She signs in elsewhere: her place is held, and taken over.
    for node in [site.there(), site.here(), site.there()] {
        let again = come(node, "ann").await;
        assert_eq!(ann.until("kickout").await, Value::from(0));
        ann = again;
    }
    // She reloads her page.
    for node in [site.there(), site.here(), site.there()] {
        ann.close().await;
        ann = come(node, "ann").await;
    }
    // Whoever leaves now is told behind whatever would have been told of that.
    witness.close().await;
    business.hears("the witness leaving", |b| b.count("lesson", "member.left") > 0).await;
    let expected =
        ["room.occupied", "member.joined witness", "member.joined ann", "member.left witness"];
    assert_eq!(business.ledger().lines("lesson"), expected);
    assert_eq!(business.ledger().lines("ann"), ["user.online ann"]);
    ann.close().await;
    business.hears("her leaving", |b| b.ends_with("lesson", "room.vacated")).await;
    business.ledger().is_the_story_of("lesson", &[]);
}

on_both_stores! { neither_a_kickout_nor_a_reload_is_told }
