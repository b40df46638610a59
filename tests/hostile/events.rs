//! Every event with every kind of payload that it is not made for, at every stage of a session,
//! every way that a client may come.
use crate::scene::{ROOM, Scene, each_way};
use support::wire::{
    WAYS,
    bystanders::{about, said},
    patient,
    peer::{End, Peer, event},
};

const WRONG: &str = r#"{"status":1,"data":"auth failed, uid or token is wrong"}"#;
const NO_ROOM: &str = r#"{"status":1,"data":"join failed, require roomId"}"#;

/// An array, or an object, nested this deep.
fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

fn array(depth: usize) -> String {
    nested("[", "]", depth)
}

fn object(depth: usize) -> String {
    let inside = r#"{"a":"#.repeat(depth - 1);
    format!("{inside}{{}}{}", "}".repeat(depth - 1))
}

/// Arguments that are no object; the empty one is none at all.
fn no_objects() -> Vec<String> {
    let plain = [
        "",
        "null",
        r#""text""#,
        "7",
        "-0.5",
        "1e400",
        "true",
        "false",
        "[]",
        r#"[{"uid":"a","roomId":"b"}]"#,
    ];
    plain.into_iter().map(str::to_owned).chain([array(200), array(100_000)]).collect()
}

/// Objects without any field that an event looks for.
fn empty_objects() -> Vec<String> {
    [
        "{}",
        r#"{"a":1,"b":{"uid":"x","roomId":"x"}}"#,
        r#"{"__proto__":{"uid":"x","roomId":"x"},"constructor":1}"#,
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([object(120), object(200), object(100_000)])
    .collect()
}

fn arguments() -> Vec<String> {
    no_objects().into_iter().chain(empty_objects()).collect()
}

#[tokio::test]
async fn before_authentication_events_have_no_effect_and_no_answer() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = Peer::connect(&scene.server, way).await;
        for name in ["join", "msg", "sync", "leave", "nonsense"] {
            let events: Vec<String> =
                arguments().iter().map(|a| format!("42{}", event(name, a))).collect();
            peer.send_all(&events).await;
            peer.ask(&event(name, "{}")).await;
        }
        peer.ask(&event("join", &format!(r#"{{"roomId":"{ROOM}"}}"#))).await;
        peer.ask(r#"["msg",{"s":0}]"#).await;
        peer.ask(r#"["sync",{"offset":0}]"#).await;
        peer.ask(r#"["leave"]"#).await;
        peer.authenticate(&scene.server).await; // the first answer that comes
        peer.is_well().await;
    })
    .await;
}

#[tokio::test]
async fn authenticate_with_anything_but_credentials_is_refused() {
    each_way(&WAYS, async |scene, way| {
        for argument in arguments() {
            let mut peer = Peer::connect(&scene.server, way).await;
            let id = peer.ask(&event("authenticate", &argument)).await;
            let answers =
                vec![format!(r#"42["authenticate",{WRONG}]"#), format!("43{id}[{WRONG}]")];
            assert_eq!(
                peer.end().await,
                End { packets: answers, refused: true },
                "{way:?}: {argument:.100}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn outside_of_rooms_events_are_answered_as_the_protocol_says() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = Peer::sign_in(&scene.server, way).await;
        for argument in arguments() {
            peer.answered("join", &argument, NO_ROOM).await;
            peer.acked(&event("msg", &argument), r#"{"status":1,"data":"not in a room"}"#).await;
            peer.answered("sync", &argument, r#"{"data":[],"offset":0,"next":0}"#).await;
            peer.ask(&event("nonsense", &argument)).await;
            peer.send(format!("42{}", event("msg", &argument))).await;
        }
        peer.is_well().await;
        peer.join(&format!("den-{}", peer.uid)).await;
    })
    .await;
}

#[tokio::test]
async fn members_get_an_answer_and_the_room_hears_nothing() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        for argument in no_objects() {
            peer.acked(&event("msg", &argument), r#"{"status":1,"data":"not an object"}"#).await;
            peer.answered("join", &argument, NO_ROOM).await;
            peer.ask(&event("nonsense", &argument)).await;
            sync_reads_from_the_start(&mut peer, &argument).await;
        }
        for argument in empty_objects() {
            peer.answered("join", &argument, NO_ROOM).await;
            sync_reads_from_the_start(&mut peer, &argument).await;
        }
        for deep in [
            object(129),
            object(80_000),
            format!(r#"{{"a":{}}}"#, array(128)),
            format!(r#"{{"a":{}}}"#, array(100_000)),
        ] {
            peer.acked(&event("msg", &deep), r#"{"status":1,"data":"too deep"}"#).await;
        }
        peer.is_well().await;
        scene.bystanders.talk(&mut peer).await;

        // As deep as a message may be, and brackets that are only text.
        for fields in
            [format!(r#""a":{},"#, array(127)), format!(r#""a":"{}","#, "[{".repeat(5000))]
        {
            let message = format!("{{{}}}", fields.trim_end_matches(','));
            peer.acked(&event("msg", &message), r#"{"status":0,"data":"msg success"}"#).await;
            scene.bystanders.hear(&[said(&peer, &fields, "0")]).await;
        }
        scene.takes_leave(peer, "41").await;
    })
    .await;
}

/// `sync` with anything that is no request is one without an offset: the others are not told.
async fn sync_reads_from_the_start(peer: &mut Peer, argument: &str) {
    let id = peer.ask(&event("sync", argument)).await;
    let answer = peer.next().await.unwrap_or_default();
    assert!(answer.starts_with(r#"42["sync",{"data":["#), "{argument:.100}: {answer:.100}");
    let payload = answer.trim_start_matches(r#"42["sync","#);
    peer.expect(&format!("43{id}[{payload}")).await;
}

#[tokio::test]
async fn a_second_authenticate_with_anything_but_the_own_credentials_is_refused() {
    let mut scene = Scene::begin(patient()).await;
    let others = format!(
        r#"{{"uid":"{}","token":"{}"}}"#,
        scene.bystanders.ann.uid,
        scene.server.token(&scene.bystanders.ann.uid).await
    );
    for way in WAYS {
        for argument in ["", "null", "[]", "{}", &array(100_000), &others] {
            let mut peer = scene.member(way).await;
            let id = peer.ask(&event("authenticate", argument)).await;
            let answers =
                vec![format!(r#"42["authenticate",{WRONG}]"#), format!("43{id}[{WRONG}]")];
            assert_eq!(
                peer.end().await,
                End { packets: answers, refused: true },
                "{way:?}: {argument:.100}"
            );
            scene.bystanders.miss(&peer).await;
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn leave_takes_no_payload_and_minds_none() {
    each_way(&WAYS, async |scene, way| {
        for argument in
            ["", "null", "7", r#""hall""#, "[]", r#"{"roomId":"elsewhere"}"#, &array(100_000)]
        {
            let mut peer = scene.member(way).await;
            let id = peer.ask(&event("leave", argument)).await;
            assert_eq!(
                peer.end().await,
                End { packets: vec![format!(r#"43{id}[{{"status":0}}]"#)], refused: true },
                "{way:?}"
            );
            scene
                .bystanders
                .hear(&[about("remote_leave", &peer), about("remote_disconnect", &peer)])
                .await;
        }
    })
    .await;
}
