//! Events around the payload: more arguments than one, odd numbers of acknowledgements, names that
//! no event has.
use crate::scene::{ROOM, each_way};
use support::wire::{WAYS, bystanders::said, peer::Peer};

const STORED: &str = r#"{"status":0,"data":"msg success"}"#;

#[tokio::test]
async fn further_arguments_are_ignored() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = Peer::connect(&scene.server, way).await;
        peer.authenticate(&scene.server).await;
        peer.answered(
            "join",
            &format!(r#"{{"roomId":"{ROOM}"}},{{"roomId":"elsewhere"}},null"#),
            r#"{"status":0,"data":"join success"}"#,
        )
        .await;
        scene.bystanders.welcome(&mut peer).await;
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for more in [r#"{"n":2}"#, "null,1,2,3", &format!("{}0", "0,".repeat(10_000)), &deep] {
            peer.acked(&format!(r#"["msg",{{"n":1}},{more}]"#), STORED).await;
            scene.bystanders.hear(&[said(&peer, r#""n":1,"#, "0")]).await;
        }
        scene.takes_leave(peer, "41").await;
    })
    .await;
}

#[tokio::test]
async fn acknowledgements_have_any_number_that_fits() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        for (id, echoed) in [
            ("0", "0"),
            ("007", "7"),
            ("9007199254740993", "9007199254740993"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            peer.send(format!(r#"42{id}["msg",{{"n":1}}]"#)).await;
            peer.expect(&format!("43{echoed}[{STORED}]")).await;
            scene.bystanders.hear(&[said(&peer, r#""n":1,"#, "0")]).await;
        }
        // The same one twice is answered twice.
        peer.send_all(&[r#"425["msg",{"s":2}]"#.to_owned(), r#"425["msg",{"s":2}]"#.to_owned()])
            .await;
        peer.expect(&format!("435[{STORED}]")).await;
        peer.expect(&format!("435[{STORED}]")).await;
        scene.bystanders.hear(&[said(&peer, "", "2"), said(&peer, "", "2")]).await;
        // One that no client could match with its question is none.
        for id in ["9223372036854775808", "18446744073709551616", &"9".repeat(100_000)] {
            peer.send(format!(r#"42{id}["msg",{{"n":2}}]"#)).await;
            scene.bystanders.hear(&[said(&peer, r#""n":2,"#, "0")]).await;
        }
        // Nobody asked these.
        for packet in [r#"430["unasked"]"#, "4399[]", r#"439223372036854775807[{"a":1}]"#] {
            peer.send(packet).await;
        }
        peer.is_well().await;
        scene.takes_leave(peer, "41").await;
    })
    .await;
}

#[tokio::test]
async fn events_of_any_other_name_are_ignored() {
    let names = [
        "",
        " ",
        "MSG",
        "msg ",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "connect",
        "connection",
        "disconnect",
        "disconnecting",
        "error",
        "newListener",
        "remote_join",
        "kickout",
        "system",
        "房间🙂",
        "\u{7f}",
        "é",
    ];
    let long = ["x".repeat(257), "x".repeat(100 << 10)];
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        for name in names.iter().copied().chain(long.iter().map(String::as_str)) {
            peer.ask(&format!(r#"["{name}",{{"roomId":"elsewhere","uid":"ann"}}]"#)).await;
        }
        peer.is_well().await;
        scene.takes_leave(peer, "41").await;
    })
    .await;
}

/// JSON may spell a name with escapes: control characters and lone surrogates have no other
/// spelling.
#[tokio::test]
async fn events_whose_names_have_escapes_harm_nobody_else() {
    each_way(&WAYS, async |scene, way| {
        for name in
            [r"a\nb", r"\u0000", r"\ud800", r"\udc00\ud800", r"\u00e9", r#"\""#, r"\u006dsh"]
        {
            let mut peer = scene.member(way).await;
            peer.send(format!(r#"42["{name}",{{}}]"#)).await;
            // A lone surrogate is no text.
            if !name.contains(r"\ud") {
                peer.is_well().await;
                peer.send("1").await;
            } else {
                peer.is_dropped(name).await;
            }
            scene.bystanders.miss(&peer).await;
        }
    })
    .await;
}
