//! Every field of every event with every wrong type; names that are huge, empty, or mean something
//! to JavaScript; keys given twice.
use serde_json::Value;

use crate::scene::Scene;
use support::wire::{
    POLLING_3, WAYS, WEBSOCKET_4,
    bystanders::{about, said},
    patient,
    peer::{End, Peer},
    stranger,
};

const ROOM: &str = "5";
const WRONG: &str = r#"{"status":1,"data":"auth failed, uid or token is wrong"}"#;
const NO_ROOM: &str = r#"{"status":1,"data":"join failed, require roomId"}"#;
const JOINED: &str = r#"{"status":0,"data":"join success"}"#;
const STORED: &str = r#"{"status":0,"data":"msg success"}"#;

/// What can name neither a user nor a room.
fn no_names() -> Vec<String> {
    let plain = [
        "null",
        "true",
        "false",
        "0",
        "-0.0",
        "0e5",
        "9007199254740994",
        "-9007199254740994",
        "1e300",
        "1e400",
        "[]",
        "{}",
        r#"["hall"]"#,
        r#"{"$gt":""}"#,
        r#"{"toString":"hall"}"#,
        r#""""#,
        r#""a\u0000b""#,
        r#""a\nb""#,
        r#""\u007f""#,
        r#""\u009f""#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
    ];
    let long =
        ["x".repeat(257), "é".repeat(129), "x".repeat(100 << 10)].map(|name| format!("\"{name}\""));
    plain.into_iter().map(str::to_owned).chain(long).collect()
}

/// Names that are names, whatever they look like, as JSON and as text.
fn odd_names() -> Vec<(String, String)> {
    let words = [
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "toString",
        "null",
        "undefined",
        "0",
        " ",
        "a/b?c&d=e#f",
        "房间🙂",
        "../../etc",
        "'; --",
    ];
    let mut names: Vec<(String, String)> =
        words.iter().map(|w| (Value::from(*w).to_string(), (*w).to_owned())).collect();
    names.push((format!("\"{}\"", "x".repeat(256)), "x".repeat(256)));
    names.push((r#""\ud83d\ude42""#.to_owned(), "🙂".to_owned()));
    for (json, text) in [
        ("-7", "-7"),
        ("1.50", "1.5"),
        ("9007199254740992", "9007199254740992"),
        ("1e3", "1000"),
        ("1e-7", "1e-7"),
    ] {
        names.push((json.to_owned(), text.to_owned()));
    }
    names
}

#[tokio::test]
async fn credentials_of_the_wrong_type_are_refused() {
    let mut scene = Scene::begin_in(ROOM, patient()).await;
    let token = scene.server.token(&scene.bystanders.ann.uid).await;
    let uid = stranger();
    let own = scene.server.token(&uid).await;
    let mut cases: Vec<String> =
        no_names().iter().map(|name| format!(r#"{{"uid":{name},"token":"{token}"}}"#)).collect();
    for wrong in [
        "null",
        "true",
        "false",
        "0",
        "1e400",
        "{}",
        r#"{"$gt":""}"#,
        "[]",
        r#"[""]"#,
        r#""""#,
        r#""wrong""#,
        r#""\ud800""#,
    ] {
        cases.push(format!(r#"{{"uid":"{uid}","token":{wrong}}}"#));
    }
    for token in [
        format!("{own} "),
        own[1..].to_owned(),
        own.to_ascii_lowercase(),
        "x".repeat(100 << 10),
        token.clone(),
    ] {
        cases.push(format!(r#"{{"uid":"{uid}","token":"{token}"}}"#));
    }
    cases.push(format!(r#"{{"uid":"{uid}"}}"#));
    cases.push(format!(r#"{{"token":"{own}"}}"#));
    cases.push(format!(r#"{{"UID":"{uid}","TOKEN":"{own}"}}"#));
    // The last of two counts, so these are wrong.
    cases.push(format!(r#"{{"uid":"{uid}","token":"{own}","token":"wrong"}}"#));
    cases.push(format!(r#"{{"uid":"{uid}","token":"{own}","uid":null}}"#));
    for way in [WEBSOCKET_4, POLLING_3] {
        for case in &cases {
            let mut peer = Peer::connect(&scene.server, way).await;
            peer.send(format!(r#"42["authenticate",{case}]"#)).await;
            let answer = vec![format!(r#"42["authenticate",{WRONG}]"#)];
            assert_eq!(
                peer.end().await,
                End { packets: answer, refused: true },
                "{way:?}: {case:.100}"
            );
        }
    }
    scene.bystanders.are_well().await; // nobody took ann's place

    for right in [
        format!(r#"{{"uid":"nobody","uid":"{uid}","token":"wrong","token":"{own}"}}"#),
        format!(r#"{{"__proto__":{{"uid":1}},"uid":"{uid}","token":"{own}","constructor":null}}"#),
        format!(r#"{{"\u0075id":"{uid}","token":"{own}"}}"#),
    ] {
        let mut peer = Peer::connect(&scene.server, WEBSOCKET_4).await;
        peer.answered("authenticate", &right, r#"{"status":0,"data":"auth success"}"#).await;
        peer.send("1").await;
        peer.is_dropped("it asked for that").await;
    }
    scene.end().await;
}

#[tokio::test]
async fn odd_users_are_users() {
    let mut scene = Scene::begin_in(ROOM, patient()).await;
    for (json, text) in odd_names() {
        let token = scene.server.token(&text).await;
        let mut peer = Peer::connect(&scene.server, WEBSOCKET_4).await;
        peer.send(format!(r#"42["authenticate",{{"uid":{json},"token":"{token}"}}]"#)).await;
        peer.expect(r#"42["authenticate",{"status":0,"data":"auth success"}]"#).await;
        peer.join(ROOM).await;
        // Echoed in its type: a number as JavaScript prints it.
        let echo = if json.starts_with('"') {
            Value::from(text.as_str()).to_string()
        } else {
            text.clone()
        };
        scene.bystanders.hear(&[format!(r#"42["remote_join",{{"uid":{echo}}}]"#)]).await;
        peer.send(r#"42["msg",{"uid":"ann","2":"ann","s":2}]"#).await;
        scene.bystanders.hear(&[format!(r#"42["msg",{{"2":{echo},"s":2,"uid":{echo}}}]"#)]).await;
        peer.send("1").await;
        scene.bystanders.hear(&[format!(r#"42["remote_disconnect",{{"uid":{echo}}}]"#)]).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn rooms_of_the_wrong_type_are_missing() {
    Scene::begin_in(ROOM, patient())
        .await
        .play(&WAYS, async |scene, way| {
            let mut peer = Peer::sign_in(&scene.server, way).await;
            for name in no_names() {
                peer.answered("join", &format!(r#"{{"roomId":{name}}}"#), NO_ROOM).await;
                peer.answered(
                    "join",
                    &format!(r#"{{"roomId":"{ROOM}","dummy":true,"roomId":{name}}}"#),
                    NO_ROOM,
                )
                .await;
            }
            peer.answered("join", r#"{"room":"5","roomid":"5","RoomId":"5"}"#, NO_ROOM).await;
            // A number and its text are one room.
            peer.answered("join", r#"{"roomId":"elsewhere","roomId":5.0}"#, JOINED).await;
            scene.bystanders.welcome(&mut peer).await;
            // A join that failed changes nothing.
            peer.answered("join", r#"{"roomId":{}}"#, NO_ROOM).await;
            peer.acked(r#"["msg",{"n":1}]"#, STORED).await;
            scene.bystanders.hear(&[said(&peer, r#""n":1,"#, "0")]).await;
            scene.takes_leave(peer, "41").await;
        })
        .await;
}

#[tokio::test]
async fn odd_rooms_are_rooms() {
    let scene = Scene::begin_in(ROOM, patient()).await;
    for (json, text) in odd_names() {
        let mut writer = Peer::sign_in(&scene.server, WEBSOCKET_4).await;
        writer.answered("join", &format!(r#"{{"roomId":{json}}}"#), JOINED).await;
        writer.acked(r#"["msg",{"n":1}]"#, STORED).await;
        // Found under its text.
        let mut reader = Peer::sign_in(&scene.server, POLLING_3).await;
        reader.answered("join", &format!(r#"{{"roomId":{}}}"#, Value::from(text)), JOINED).await;
        reader.expect(&about("remote_join", &writer)).await;
        let page =
            format!(r#"{{"data":[{{"n":1,"2":"{}","s":0}}],"offset":1,"next":0}}"#, writer.uid);
        reader.answered("sync", "{}", &page).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn only_true_makes_a_dummy() {
    let mut scene = Scene::begin_in(ROOM, patient()).await;
    for dummy in ["false", "null", "0", "1", r#""true""#, "{}", "[]", "true,\"dummy\":false"] {
        let mut peer = Peer::sign_in(&scene.server, WEBSOCKET_4).await;
        peer.answered("join", &format!(r#"{{"roomId":"{ROOM}","dummy":{dummy}}}"#), JOINED).await;
        scene.bystanders.welcome(&mut peer).await;
        peer.send("1").await;
        scene.bystanders.miss(&peer).await;
    }
    let mut dummy = Peer::sign_in(&scene.server, WEBSOCKET_4).await;
    dummy
        .answered("join", &format!(r#"{{"roomId":"{ROOM}","dummy":null,"dummy":true}}"#), JOINED)
        .await;
    for other in [&scene.bystanders.ann, &scene.bystanders.ben] {
        dummy.expect(&about("remote_join", other)).await;
    }
    dummy.acked(r#"["msg",{"n":1}]"#, r#"{"status":1,"data":"dummy can not send"}"#).await;
    dummy.send(r#"42["msg",{"n":2}]"#).await;
    dummy.is_well().await;
    scene.bystanders.talk(&mut dummy).await;
    scene.end().await;
}

#[tokio::test]
async fn storage_types_and_ids_of_any_type_are_read_as_javascript_would() {
    let mut scene = Scene::begin_in(ROOM, patient()).await;
    let mut peer = scene.member(WEBSOCKET_4).await;
    let uid = peer.uid.clone();

    let unknown = [
        "null",
        "true",
        "3",
        "-1",
        "0.5",
        "1e400",
        r#""""#,
        r#""3""#,
        r#"" 1""#,
        r#""insert""#,
        "{}",
        "[1]",
        r#"[["1"]]"#,
    ];
    for value in unknown {
        peer.acked(&format!(r#"["msg",{{"n":1,"s":{value}}}]"#), STORED).await;
        scene.bystanders.hear(&[said(&peer, r#""n":1,"#, "0")]).await;
        peer.acked(&format!(r#"["msg",{{"storage":{value}}}]"#), STORED).await;
        scene
            .bystanders
            .hear(&[format!(r#"42["msg",{{"storage":{value},"2":"{uid}","s":0,"uid":"{uid}"}}]"#)])
            .await;
    }
    // The short spelling wins, the last of two counts, and a type's spelling stays.
    for (fields, used) in [
        (r#""s":0,"s":2"#, "2"),
        (r#""s":2.0"#, "2"),
        (r#""s":"2""#, r#""2""#),
        (r#""s":"0""#, r#""0""#),
        (r#""\u0073":2"#, "2"),
    ] {
        peer.acked(&format!(r#"["msg",{{{fields}}}]"#), STORED).await;
        scene.bystanders.hear(&[said(&peer, "", used)]).await;
    }
    peer.acked(r#"["msg",{"storage":0,"s":2}]"#, STORED).await;
    scene
        .bystanders
        .hear(&[format!(r#"42["msg",{{"storage":0,"2":"{uid}","s":2,"uid":"{uid}"}}]"#)])
        .await;

    for id in [
        "null",
        "true",
        "7",
        "7.0",
        "1e400",
        r#""""#,
        r#""__proto__""#,
        r#""\ud800""#,
        "{}",
        "[]",
        r#"[1,[null,"x"]]"#,
        r#""a\u0000b""#,
    ] {
        peer.acked(&format!(r#"["msg",{{"1":{id},"s":1}}]"#), STORED).await;
        scene.bystanders.hear(&[said(&peer, &format!(r#""1":{id},"#), "1")]).await;
        peer.acked(&format!(r#"["msg",{{"msgId":{id},"s":1}}]"#), STORED).await;
        scene
            .bystanders
            .hear(&[format!(r#"42["msg",{{"msgId":{id},"2":"{uid}","s":1,"uid":"{uid}"}}]"#)])
            .await;
    }
    let long = "x".repeat(100 << 10);
    peer.acked(&format!(r#"["msg",{{"1":"{long}","s":1}}]"#), STORED).await;
    scene.bystanders.hear(&[said(&peer, &format!(r#""1":"{long}","#), "1")]).await;

    // Whose message it is, is not for the client to say.
    for value in ["null", "7", r#""ann""#, "{}", "[]"] {
        peer.acked(&format!(r#"["msg",{{"2":{value}}}]"#), STORED).await;
        scene.bystanders.hear(&[said(&peer, "", "0")]).await;
        peer.acked(&format!(r#"["msg",{{"uid":{value},"2":{value}}}]"#), STORED).await;
        scene.bystanders.hear(&[format!(r#"42["msg",{{"2":"{uid}","s":0,"uid":"{uid}"}}]"#)]).await;
    }
    // Fields that mean nothing here travel as they are; of two, the last one at the first one's
    // place.
    for (fields, heard) in [
        (r#""a":1,"b":2,"a":3"#, r#""a":3,"b":2,"#),
        (r#""__proto__":{"s":1},"constructor":null"#, r#""__proto__":{"s":1},"constructor":null,"#),
        (r#""":0,"\u0000":1," ":2"#, "\"\":0,\"\\u0000\":1,\" \":2,"),
        (r#""x": 1.50e+02 ,"y":"\ud800\/\u00e9""#, r#""x":1.50e+02,"y":"\ud800\/\u00e9","#),
        (r#""_placeholder":true,"num":0"#, r#""_placeholder":true,"num":0,"#),
    ] {
        peer.acked(&format!(r#"["msg",{{{fields}}}]"#), STORED).await;
        scene.bystanders.hear(&[said(&peer, heard, "0")]).await;
    }
    scene.bystanders.talk(&mut peer).await;
    scene.end().await;
}

#[tokio::test]
async fn sync_reads_any_offset_and_any_option() {
    let mut scene = Scene::begin_in(ROOM, patient()).await;
    scene.bystanders.are_well().await; // two messages in the log
    let mut peer = scene.member(WEBSOCKET_4).await;
    let log = [(1, &scene.bystanders.ann), (2, &scene.bystanders.ben)]
        .map(|(n, who)| format!(r#"{{"word":{n},"2":"{}","s":0}}"#, who.uid));
    let page = |from: usize| format!("[{}]", log[from..].join(","));

    for offset in [
        "null",
        "true",
        "{}",
        "[]",
        "[1]",
        "-1",
        "-1e300",
        r#""abc""#,
        r#""-1""#,
        r#""""#,
        r#"".5""#,
        "1e400",
        "0.9",
        r#""\ud800""#,
    ] {
        let answer = format!(r#"{{"data":{},"offset":2,"next":0}}"#, page(0));
        peer.answered("sync", &format!(r#"{{"offset":{offset}}}"#), &answer).await;
    }
    for (offset, from) in
        [("1", 1), (r#""1""#, 1), (r#"" 1x""#, 1), ("1.99", 1), ("2", 2), (r#""0x2""#, 2)]
    {
        let answer = format!(r#"{{"data":{},"offset":2,"next":0}}"#, page(from));
        peer.answered("sync", &format!(r#"{{"offset":99,"offset":{offset}}}"#), &answer).await;
    }
    for offset in ["3", "1e15", "1e300", r#""99999999999999999999999999""#, "18446744073709551615"]
    {
        let id = peer.ask(&format!(r#"["sync",{{"offset":{offset}}}]"#)).await;
        let answer = peer.next().await.unwrap_or_default();
        assert!(
            answer.starts_with(r#"42["sync",{"data":[],"offset":"#)
                && answer.ends_with(r#","next":0}]"#),
            "{offset}: {answer}"
        );
        peer.expect(&format!("43{id}[{}", answer.trim_start_matches(r#"42["sync","#))).await;
    }
    // Options that are not what they should be are as if they were not there.
    for option in [
        r#""encoding":null"#,
        r#""encoding":"GZIP""#,
        r#""encoding":["gzip"]"#,
        r#""encoding":{}"#,
        r#""encoding":7"#,
        r#""resume":1"#,
        r#""resume":"true""#,
        r#""resume":null"#,
    ] {
        let answer = format!(r#"{{"data":{},"offset":2,"next":0}}"#, page(0));
        peer.answered("sync", &format!("{{{option}}}"), &answer).await;
    }
    // Only a request from the start, in so many words, is told to the others.
    scene.bystanders.talk(&mut peer).await;
    for start in ["0", "-0.0", r#""0""#, r#"7,"offset":0"#] {
        peer.send(format!(r#"42["sync",{{"offset":{start}}}]"#)).await;
        assert!(peer.next().await.is_some_and(|p| p.starts_with(r#"42["sync",{"data":[{"#)));
        scene.bystanders.hear(&[about("remote_sync", &peer)]).await;
    }
    scene.bystanders.talk(&mut peer).await;
    scene.end().await;
}
