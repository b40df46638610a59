//! Business servers that are asked and do not answer as they should, or are asked by everybody at
//! once.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;

use super::{business::SECRET, site::Store};
use crate::cluster::try_come;
use support::{
    receiver::{Receiver, Reply},
    server::Setup,
};

fn yes() -> Reply {
    Reply::Json(json!({ "result": {} }))
}

fn asking(setup: Setup, receiver: &Receiver) -> Setup {
    setup.env("AO_HOOK__URL", receiver.url()).env("AO_HOOK__SECRET", SECRET)
}

/// Everything that is no answer.
fn faults() -> [(&'static str, Reply); 7] {
    let location = vec![("location", "http://127.0.0.1:9/".to_owned())];
    let consent = r#"{"result":{}}"#.to_owned();
    [
        ("HTML", Reply::text(200, "<html>It works!</html>")),
        ("an empty object", Reply::Json(json!({}))),
        (
            "two answers",
            Reply::Json(json!({ "result": {}, "error": { "code": 1, "message": "" } })),
        ),
        ("10 MB", Reply::text(200, format!("{}{consent}", " ".repeat(10 << 20)))),
        ("a redirect", Reply::Full { status: 302, headers: location, body: consent }),
        ("nothing", Reply::Raw(Vec::new())),
        ("silence", Reply::Hang),
    ]
}

async fn what_is_no_answer_is_no_consent(store: Store) {
    let fault = Arc::new(Mutex::new(yes()));
    let answers = fault.clone();
    // Whatever is about `x` is answered by the fault, and everything else as it should be.
    let receiver = Receiver::start(move |request| {
        let data = &request.json()["data"];
        let about = [&data["roomId"], &data["message"]["text"]];
        if about.contains(&&json!("x")) { answers.lock().unwrap().clone() } else { yes() }
    })
    .await;
    let settings = |setup| asking(setup, &receiver).env("AO_HOOK__TIMEOUT", "2s");
    let site = store.start(settings).await;
    let address = site.there().websocket();
    for (what, reply) in faults() {
        *fault.lock().unwrap() = reply;
        let mut ann = try_come(address, "ann", "lobby").await.expect("she is let in");
        ann.emit("join", &json!({ "roomId": "x" }));
        let refused = json!({ "status": 1, "data": "server error" });
        assert_eq!(ann.until("join").await, refused, "{what}");
        let lost = json!({ "s": 0, "text": "x" });
        let unavailable = json!({ "status": 1, "data": "store unavailable" });
        assert_eq!(ann.emit_with_ack("msg", &lost).await, unavailable, "{what}");
        ann.send(&json!({ "s": 0, "text": what })).await;
        ann.close().await;
    }
    let log = site.admin.log(site.here(), "lobby").await.bodies();
    let texts: Vec<_> = log.iter().map(|message| message["text"].as_str().unwrap()).collect();
    assert_eq!(texts, faults().map(|(what, _)| what));
}

async fn of_all_who_come_at_once_only_some_are_asked_about_at_a_time(store: Store) {
    const AT_ONCE: usize = 6;
    let slowly = || Reply::Later(Duration::from_millis(15), Box::new(yes()));
    let receiver = Receiver::start(move |_| slowly()).await;
    let settings = |setup| {
        let setup = asking(setup, &receiver).env("AO_HOOK__TIMEOUT", "30s");
        setup.env("AO_HOOK__CONCURRENCY", AT_ONCE.to_string())
    };
    let site = store.start(settings).await;
    let addresses = site.addresses();
    let clients = (0..100).map(async |number: usize| {
        let address = addresses[number % addresses.len()];
        try_come(address, &format!("user {number}"), "lobby").await.expect("nobody is refused")
    });
    let clients = join_all(clients).await;
    assert_eq!(receiver.requests().len(), 2 * clients.len());
    let most = AT_ONCE * site.nodes.len();
    assert!(receiver.most_at_once() <= most, "{} at once", receiver.most_at_once());
}

on_both_stores! {
    what_is_no_answer_is_no_consent
    of_all_who_come_at_once_only_some_are_asked_about_at_a_time
}
