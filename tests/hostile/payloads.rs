//! Events around the payload: more arguments than one, odd numbers of acknowledgements, names that
//! no event has.
use support::wire::{
    WAYS,
    bystanders::{Bystanders, said},
    patient,
    peer::Peer,
    unharmed,
};

const ROOM: &str = "hall";
const STORED: &str = r#"{"status":0,"data":"msg success"}"#;

#[tokio::test]
async fn further_arguments_are_ignored() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for way in WAYS {
        let mut peer = Peer::connect(&server, way).await;
        peer.authenticate(&server).await;
        peer.answered(
            "join",
            &format!(r#"{{"roomId":"{ROOM}"}},{{"roomId":"elsewhere"}},null"#),
            r#"{"status":0,"data":"join success"}"#,
        )
        .await;
        bystanders.welcome(&mut peer).await;
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for more in [r#"{"n":2}"#, "null,1,2,3", &format!("{}0", "0,".repeat(10_000)), &deep] {
            peer.acked(&format!(r#"["msg",{{"n":1}},{more}]"#), STORED).await;
            bystanders.hear(&[said(&peer, r#""n":1,"#, "0")]).await;
        }
        bystanders.talk(&mut peer).await;
        peer.send("41").await;
        bystanders.miss(&peer).await;
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn acknowledgements_have_any_number_that_fits() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for way in WAYS {
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join(ROOM).await;
        bystanders.welcome(&mut peer).await;
        for (id, echoed) in [
            ("0", "0"),
            ("007", "7"),
            ("9007199254740993", "9007199254740993"),
            ("9223372036854775807", "9223372036854775807"),
        ] {
            peer.send(format!(r#"42{id}["msg",{{"n":1}}]"#)).await;
            peer.expect(&format!("43{echoed}[{STORED}]")).await;
            bystanders.hear(&[said(&peer, r#""n":1,"#, "0")]).await;
        }
        // The same one twice is answered twice.
        peer.send_all(&[r#"425["msg",{"s":2}]"#.to_owned(), r#"425["msg",{"s":2}]"#.to_owned()])
            .await;
        peer.expect(&format!("435[{STORED}]")).await;
        peer.expect(&format!("435[{STORED}]")).await;
        bystanders.hear(&[said(&peer, "", "2"), said(&peer, "", "2")]).await;
        // One that no client could match with its question is none.
        for id in ["9223372036854775808", "18446744073709551616", &"9".repeat(100_000)] {
            peer.send(format!(r#"42{id}["msg",{{"n":2}}]"#)).await;
            bystanders.hear(&[said(&peer, r#""n":2,"#, "0")]).await;
        }
        // Nobody asked these.
        for packet in [r#"430["unasked"]"#, "4399[]", r#"439223372036854775807[{"a":1}]"#] {
            peer.send(packet).await;
        }
        peer.is_well().await;
        bystanders.talk(&mut peer).await;
        peer.send("41").await;
        bystanders.miss(&peer).await;
    }
    unharmed(&server).await;
}

#[tokio::test]
async fn events_of_any_other_name_are_ignored() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
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
    for way in WAYS {
        let mut peer = Peer::sign_in(&server, way).await;
        peer.join(ROOM).await;
        bystanders.welcome(&mut peer).await;
        for name in names.iter().copied().chain(long.iter().map(String::as_str)) {
            peer.ask(&format!(r#"["{name}",{{"roomId":"elsewhere","uid":"ann"}}]"#)).await;
        }
        peer.is_well().await;
        bystanders.talk(&mut peer).await;
        peer.send("41").await;
        bystanders.miss(&peer).await;
    }
    unharmed(&server).await;
}

/// JSON may spell a name with escapes: control characters and lone surrogates have no other
/// spelling.
#[tokio::test]
async fn events_whose_names_have_escapes_harm_nobody_else() {
    let server = patient().start().await;
    let mut bystanders = Bystanders::join(&server, ROOM).await;
    for way in WAYS {
        for name in
            [r"a\nb", r"\u0000", r"\ud800", r"\udc00\ud800", r"\u00e9", r#"\""#, r"\u006dsh"]
        {
            let mut peer = Peer::sign_in(&server, way).await;
            peer.join(ROOM).await;
            bystanders.welcome(&mut peer).await;
            peer.send(format!(r#"42["{name}",{{}}]"#)).await;
            // A lone surrogate is no text.
            if !name.contains(r"\ud") {
                peer.is_well().await;
                peer.send("1").await;
            } else {
                peer.is_dropped(name).await;
            }
            bystanders.miss(&peer).await;
        }
    }
    bystanders.are_well().await;
    unharmed(&server).await;
}
