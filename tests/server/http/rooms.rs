//! Administration of rooms: pushes of every content, logs read from every offset, and their end.
use std::time::Duration;

use serde_json::{Value, json};

use super::{FORM, admin, administer, data, meta};
use support::{
    http,
    own_redis::OwnRedis,
    server::{Server, Setup},
    soon,
    wire::{WEBSOCKET_4, bystanders::Bystanders, peer::Peer, unharmed},
};

const ROOM: &str = "hall";
const PUSH: &str = "/admin/system/push";

/// The payload of the next event, which has to be `system`.
async fn system(peer: &mut Peer) -> Value {
    let packet = peer.next().await.expect("an event");
    let event: Value = serde_json::from_str(packet.strip_prefix("42").expect("an event")).unwrap();
    assert_eq!(event[0], "system", "{packet:.100}");
    assert_eq!(event.as_array().map(Vec::len), Some(2), "{packet:.100}");
    event[1].clone()
}

#[tokio::test]
async fn any_json_can_be_pushed_to_everybody_in_a_room() {
    let server = Server::start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let mut dummy = Peer::sign_in(&server, WEBSOCKET_4).await;
    dummy.send(format!(r#"42["join",{{"roomId":"{ROOM}","dummy":true}}]"#)).await;
    for _ in 0..3 {
        dummy.next().await.expect("the answer and the roster");
    }
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let large = format!("\"{}\"", "é\\n".repeat(150_000));
    let contents = [
        "null",
        "true",
        "false",
        "0",
        "-0.5",
        "1e300",
        "9007199254740993",
        r#""""#,
        r#""text""#,
        r#""\u0000\"\\\u2028</script>🙂""#,
        "[]",
        "{}",
        r#"[null,[1],{"a":[]}]"#,
        r#"{"uid":"x","__proto__":{"a":1},"":0}"#,
        &deep,
        &large,
    ];
    for content in contents {
        let answer = administer(
            &server,
            "POST",
            PUSH,
            "",
            &format!(r#"{{"roomId":"{ROOM}","content":{content}}}"#),
        )
        .await;
        assert_eq!(data(&answer), json!({}), "{content:.100}");
        let wanted: Value = serde_json::from_str(content).unwrap();
        for peer in [&mut bystanders.ann, &mut bystanders.ben, &mut dummy] {
            assert_eq!(system(peer).await, wanted, "{content:.100}");
        }
    }
    // The room of the body wins over that of the query, and a form is text.
    let answer = administer(
        &server,
        "POST",
        PUSH,
        "&roomId=nowhere",
        &format!(r#"{{"roomId":"{ROOM}","content":1}}"#),
    )
    .await;
    assert_eq!(meta(&answer).0, 0);
    let target = format!("{PUSH}?{}&roomId={ROOM}", admin(&server));
    assert_eq!(
        meta(
            &http::request(server.websocket(), "POST", &target, &[FORM], "content=a%22b%00").await
        )
        .0,
        0
    );
    for peer in [&mut bystanders.ann, &mut bystanders.ben, &mut dummy] {
        assert_eq!((system(peer).await, system(peer).await), (json!(1), json!("a\"b\0")));
    }
    // What is beyond what a JSON library reads is delivered as it is, or refused and reaches
    // nobody.
    for content in [format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)), "1e400".to_owned()] {
        let answer = administer(
            &server,
            "POST",
            PUSH,
            "",
            &format!(r#"{{"roomId":"{ROOM}","content":{content}}}"#),
        )
        .await;
        if meta(&answer).0 == 0 {
            for peer in [&mut bystanders.ann, &mut bystanders.ben, &mut dummy] {
                peer.expect(&format!(r#"42["system",{content}]"#)).await;
            }
        }
    }
    for content in ["undefined", "{", "NaN", ""] {
        let answer = administer(
            &server,
            "POST",
            PUSH,
            "",
            &format!(r#"{{"roomId":"{ROOM}","content":{content}}}"#),
        )
        .await;
        assert_eq!(meta(&answer).1, "param error", "{content}");
    }
    for room in [r#""nowhere""#, r#""Hall""#, r#""hall ""#, "7", r#""__proto__""#] {
        let answer =
            administer(&server, "POST", PUSH, "", &format!(r#"{{"roomId":{room},"content":1}}"#))
                .await;
        assert_eq!(meta(&answer), (7, "room not exists".to_owned()), "{room}");
    }
    bystanders.talk(&mut dummy).await;
    unharmed(&server).await;
}

/// What is sent is found again by its number, in either shape of the answer.
#[tokio::test]
async fn logs_are_read_from_any_offset() {
    for (compat, documented) in [("documented", true), ("deployed", false)] {
        let server =
            Setup::new().env("AO_COMPAT", compat).env("AO_API__OPEN", "true").start().await;
        let mut writer = Peer::sign_in(&server, WEBSOCKET_4).await;
        writer.join(ROOM).await;
        for n in 0..205 {
            writer
                .acked(&format!(r#"["msg",{{"n":{n}}}]"#), r#"{"status":0,"data":"msg success"}"#)
                .await;
        }
        writer
            .acked(r#"["msg",{"n":"u","s":1,"1":"id"}]"#, r#"{"status":0,"data":"msg success"}"#)
            .await;
        let numbers =
            |from: usize| (from..205).map(|n| json!(n)).chain([json!("u")]).collect::<Vec<Value>>();
        for (offset, first, count, end, next) in [
            ("", 0, 200, 200, 1),
            ("&offset=0", 0, 200, 200, 1),
            ("&offset=abc", 0, 200, 200, 1),
            ("&offset=-5", 0, 200, 200, 1),
            ("&offset=", 0, 200, 200, 1),
            ("&offset[$gt]=3", 0, 200, 200, 1),
            ("&offset=5", 5, 200, 205, 1),
            ("&offset=%205x", 5, 200, 205, 1),
            ("&offset=0x5", 5, 200, 205, 1),
            ("&offset=200&offset=7", 200, 6, 206, 0),
            ("&offset=200.9", 200, 6, 206, 0),
            ("&offset=205", 205, 1, 206, 0),
        ] {
            let page = data(
                &administer(
                    &server,
                    "GET",
                    "/admin/monitor/room_msgs",
                    &format!("&roomId={ROOM}{offset}"),
                    "",
                )
                .await,
            );
            let (page, msgs) = if documented {
                (&page, &page["msgs"])
            } else {
                (&page["msgs"], &page["msgs"]["data"])
            };
            let read: Vec<Value> =
                msgs.as_array().unwrap().iter().map(|m| m["data"]["n"].clone()).collect();
            assert_eq!(read, numbers(first)[..count], "{offset}");
            assert_eq!((&page["offset"], &page["next"]), (&json!(end), &json!(next)), "{offset}");
            for message in msgs.as_array().unwrap() {
                assert!(message["ts"].as_u64().is_some_and(|ts| ts > 1_600_000_000), "{message}");
                assert_eq!(message.get("uid").is_some(), documented, "{message}");
            }
        }
        for offset in ["99999999999999999999999", "18446744073709551615", "1000"] {
            let page = data(
                &administer(
                    &server,
                    "GET",
                    "/admin/monitor/room_msgs",
                    &format!("&roomId={ROOM}&offset={offset}"),
                    "",
                )
                .await,
            );
            let msgs = if documented { &page["msgs"] } else { &page["msgs"]["data"] };
            assert_eq!(msgs.as_array().map(Vec::len), Some(1), "{offset}: only the update");
        }
        unharmed(&server).await;
    }
}

/// A message that members get is in the log that administrators read.
#[tokio::test]
async fn every_message_that_was_accepted_is_in_the_log() {
    let server = Server::start().await;
    let mut writer = Peer::sign_in(&server, WEBSOCKET_4).await;
    writer.join(ROOM).await;
    let array = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let odd = [
        r#""\ud800""#.to_owned(),
        "1e400".to_owned(),
        "1E-5000".to_owned(),
        "-0".to_owned(),
        "123456789012345678901234567890".to_owned(),
        array(126),
        array(127),
    ];
    for value in &odd {
        writer
            .acked(&format!(r#"["msg",{{"a":{value}}}]"#), r#"{"status":0,"data":"msg success"}"#)
            .await;
    }
    let answer =
        administer(&server, "GET", "/admin/monitor/room_msgs", &format!("&roomId={ROOM}"), "")
            .await;
    assert_eq!(answer.status, 200);
    let found: Vec<bool> =
        odd.iter().map(|value| answer.body.contains(&format!(r#""a":{value},"#))).collect();
    assert_eq!(found, vec![true; odd.len()], "{:.2000}", answer.body);
    unharmed(&server).await;
}

#[tokio::test]
async fn rooms_that_nobody_knows_are_empty() {
    let server = Server::start().await;
    for room in ["nowhere", "%E6%88%BF", "__proto__", "..%2F..", "'%20OR%201=1"] {
        let users = data(
            &administer(
                &server,
                "GET",
                "/admin/monitor/room_users",
                &format!("&roomId={room}"),
                "",
            )
            .await,
        );
        assert_eq!(users, json!({ "users": [] }), "{room}");
        let log = data(
            &administer(&server, "GET", "/admin/monitor/room_msgs", &format!("&roomId={room}"), "")
                .await,
        );
        assert_eq!(log, json!({ "msgs": [], "offset": 0, "next": 0 }), "{room}");
        let cleared = administer(
            &server,
            "POST",
            "/admin/system/clear_room_msgs",
            &format!("&roomId={room}"),
            "",
        )
        .await;
        assert_eq!(data(&cleared), json!({}), "{room}");
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn lists_are_cut_and_say_so_and_counts_are_of_all() {
    let server = Server::start().await;
    let (mut ann, mut ben) = (server.client("ann").await, server.client("ben").await);
    for i in 0..1100 {
        let member = if i % 2 == 0 { &mut ann } else { &mut ben };
        member.join(&format!("room {i:04}")).await;
    }
    let stat = data(&administer(&server, "GET", "/admin/monitor/stat", "", "").await);
    let rooms = stat["online_rooms"].as_array().unwrap();
    assert_eq!(
        (rooms.len(), &rooms[0], &rooms[999]),
        (1000, &json!("room 0000"), &json!("room 0999"))
    );
    assert_eq!((&stat["online_room_count"], &stat["truncated"]), (&json!(1100), &json!(true)));
    let users = stat["online_users"].as_array().unwrap();
    assert_eq!((users.len(), &stat["online_user_count"]), (2, &json!(2)));
    assert_eq!(users[0]["uid"], "ann");
    drop(ben);
    let stat = soon("all that is left is listed", async {
        loop {
            let answer = administer(&server, "GET", "/admin/monitor/stat", "", "").await;
            if data(&answer).get("truncated").is_none() && data(&answer)["online_room_count"] == 550
            {
                return data(&answer);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(stat.await["online_rooms"].as_array().map(Vec::len), Some(550));
    unharmed(&server).await;
}

#[tokio::test]
async fn of_a_crowd_a_thousand_are_listed() {
    let redis = OwnRedis::durable().await;
    let server = Setup::new().env("AO_STORE__MESSAGES", redis.url()).start().await;
    // As another node would have noted them.
    let members = (1..=1100).flat_map(|i| [format!("celsewhere:{i}"), format!("{i} v \"{i:04}\"")]);
    let words: Vec<String> =
        ["HSET", "ao:members:crowd"].into_iter().map(str::to_owned).chain(members).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let _: u64 = redis.send(&words).await;
    let path = "/admin/monitor/room_users";
    let listed = data(&administer(&server, "GET", path, "&roomId=crowd", "").await);
    let users = listed["users"].as_array().unwrap();
    assert_eq!((users.len(), &users[999]["uid"]), (1000, &json!("1000")));
    assert_eq!((&listed["truncated"], &listed["user_count"]), (&json!(true), &json!(1100)));
}

#[tokio::test]
async fn a_cleared_room_is_empty_and_goes_on() {
    let server = Server::start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    let log = async |room: &str| {
        let page = data(
            &administer(&server, "GET", "/admin/monitor/room_msgs", &format!("&roomId={room}"), "")
                .await,
        );
        page["msgs"].as_array().map(Vec::len)
    };
    for (route, query, body) in [
        ("/admin/system/clear_room_msgs", "&roomId=hall", ""),
        ("/admin/system/clear_room_msg", "", r#"{"roomId":"hall"}"#),
        // The query's wins.
        ("/admin/system/clear_room_msgs", "&roomId=hall", r#"{"roomId":"elsewhere"}"#),
    ] {
        bystanders.are_well().await;
        assert_eq!(log(ROOM).await, Some(2));
        let elsewhere =
            administer(&server, "POST", route, "&roomId=elsewhere", r#"{"roomId":"hall"}"#).await;
        assert_eq!(
            (data(&elsewhere), log(ROOM).await),
            (json!({}), Some(2)),
            "another room was cleared"
        );
        assert_eq!(data(&administer(&server, "POST", route, query, body).await), json!({}));
        assert_eq!(log(ROOM).await, Some(0), "{route} {query} {body}");
    }
    bystanders.are_well().await;
    let users =
        data(&administer(&server, "GET", "/admin/monitor/room_users", "&roomId=hall", "").await);
    assert_eq!(
        users,
        json!({ "users": [{ "uid": bystanders.ann.uid }, { "uid": bystanders.ben.uid }] })
    );
    unharmed(&server).await;
}
