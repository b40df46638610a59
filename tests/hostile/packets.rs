//! Socket.io packets that are broken, or that come when they should not.
use crate::scene::{ROOM, Scene, each_way};
use support::wire::{
    POLLING_4, Version, WAYS, WEBSOCKET_4,
    bystanders::{about, said},
    no_such_namespace, patient,
    peer::Peer,
};

const STORED: &str = r#"{"status":0,"data":"msg success"}"#;

/// Not JSON, or not an event.
const BROKEN: [&str; 50] = [
    "4",
    "42",
    "42[",
    "42[]",
    "42[,]",
    "42{}",
    "42null",
    r#"42"msg""#,
    "42[null]",
    "42[true]",
    "42[1,{}]",
    r#"42[["msg"],{}]"#,
    r#"42[{"msg":{}}]"#,
    r#"42["msg"#,
    r#"42["msg""#,
    r#"42["msg",]"#,
    r#"42["msg",{}"#,
    r#"42["msg",{]"#,
    r#"42["msg" {}]"#,
    r#"42["msg",{}]]"#,
    r#"42["msg",{}]x"#,
    r#"42["msg",{}]["msg",{}]"#,
    r#"42["msg",{},]"#,
    r#"42["msg",NaN]"#,
    r#"42["msg",undefined]"#,
    r#"42['msg',{}]"#,
    r#"42["msg",{a:1}]"#,
    r#"42["msg",{"a":1,}]"#,
    r#"42["msg",{"a":01}]"#,
    r#"42["msg",{"a":.5}]"#,
    r#"42["msg",{"a":+1}]"#,
    r#"42["msg",{"a":"\x41"}]"#,
    r#"42["msg",{"a":"\u12"}]"#,
    "42[\"msg\",{\"a\":\"\u{1}\"}]",
    "42[\"msg\",{\"a\":\"\n\"}]",
    r#"42["msg",/* none */{}]"#,
    r#"42-1["msg",{}]"#,
    r#"421.5["msg",{}]"#,
    r#"42["sync",{"offset":}]"#,
    r#"42["join",{"roomId":"hall"]"#,
    r#"42["leave""#,
    r#"42["nonsense",{"a"}]"#,
    "43",
    "43[]",
    "43x[]",
    "44",
    r#"44{"message":"no"}"#,
    "47",
    "4x",
    "4é",
];

#[tokio::test]
async fn broken_packets_end_the_connection_that_sent_them() {
    each_way(&WAYS, async |scene, way| {
        for packet in BROKEN {
            let mut peer = scene.member(way).await;
            peer.send(packet).await;
            scene.loses(&mut peer, packet).await;
        }
        let mut guest = Peer::connect(&scene.server, way).await;
        guest.send(r#"42["msg",{]"#).await;
        guest.is_dropped("as a guest").await;
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_before_a_broken_packet_counts() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        let packets: Vec<String> = (0..100)
            .map(|n| format!(r#"42["msg",{{"n":{n}}}]"#))
            .chain(["42[".to_owned()])
            .collect();
        peer.send_all(&packets).await;
        let heard: Vec<String> =
            (0..100).map(|n| said(&peer, &format!(r#""n":{n},"#), "0")).collect();
        scene.bystanders.hear(&heard).await;
        scene.loses(&mut peer, "broken at last").await;
    })
    .await;
}

#[tokio::test]
async fn space_in_json_is_json() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        for event in
            ["[ \"msg\" , { \"n\" : 1 } ]", "[\n\"msg\",\t{\"n\":1 }\r\n]", "[\"msg\",{\"n\":1}]\n"]
        {
            peer.acked(event, STORED).await;
            scene.bystanders.hear(&[said(&peer, r#""n":1,"#, "0")]).await;
        }
        peer.send("41").await;
        scene.bystanders.miss(&peer).await;
    })
    .await;
}

#[tokio::test]
async fn events_before_connect_end_the_connection() {
    let mut scene = Scene::begin(patient()).await;
    let token = scene.server.token(&scene.bystanders.ann.uid).await;
    for way in [WEBSOCKET_4, POLLING_4] {
        for packet in [
            &format!(
                r#"42["authenticate",{{"uid":"{}","token":"{token}"}}]"#,
                scene.bystanders.ann.uid
            ),
            "430[]",
            "41",
            "42[",
            "451-[]",
        ] {
            let mut peer = Peer::open(&scene.server, way).await;
            peer.send(packet).await;
            peer.send("40").await; // too late
            peer.is_dropped(packet).await;
        }
    }
    scene.bystanders.are_well().await; // nobody has taken ann's place
    scene.end().await;
}

#[tokio::test]
async fn connecting_is_possible_with_any_payload_and_once() {
    let mut scene = Scene::begin(patient()).await;
    for way in [WEBSOCKET_4, POLLING_4] {
        for connect in [
            "40",
            "40{}",
            r#"40{"token":"x","uid":{"$gt":""}}"#,
            "40{",
            "40null",
            "40[]",
            "40/",
            "40/,",
        ] {
            let mut peer = Peer::open(&scene.server, way).await;
            peer.send(connect).await;
            let connected = peer.next().await.unwrap_or_default();
            assert!(
                connected.starts_with(r#"40{"sid":""#) || connected.starts_with(r#"40/,{"sid":""#),
                "{connect}: {connected}"
            );
        }
    }
    for way in WAYS {
        let mut peer = Peer::connect(&scene.server, way).await;
        peer.send("40").await;
        peer.authenticate(&scene.server).await;
        peer.send_all(&["40".to_owned(), "40{}".to_owned()]).await;
        peer.join(ROOM).await;
        scene.bystanders.welcome(&mut peer).await;
        peer.send_all(&["40".to_owned(), "40".to_owned()]).await;
        peer.is_well().await;
        scene.bystanders.talk(&mut peer).await;
        peer.acked(r#"["msg",{"s":2}]"#, STORED).await;
        scene.bystanders.hear(&[said(&peer, "", "2")]).await;
        peer.send("1").await;
        scene.bystanders.miss(&peer).await;
    }
    scene.end().await;
}

#[tokio::test]
async fn other_namespaces_do_not_exist() {
    let long = format!("/{}", "x".repeat(255));
    each_way(&WAYS, async |scene, way| {
        let mut peer = scene.member(way).await;
        for namespace in ["/admin", "/é", "/..", "/__proto__", "/a?token=b", &long] {
            peer.send(format!("40{namespace},")).await;
            let answer = peer.next().await.unwrap_or_default();
            // A query is not a part of the name.
            let name = namespace.split('?').next().unwrap_or_default();
            assert_eq!(answer, no_such_namespace(way.version, name), "{way:?}");
            for packet in [
                r#"42N,["msg",{"n":1}]"#,
                r#"42N,7["leave"]"#,
                r#"42N,["authenticate",{}]"#,
                "43N,1[]",
                "41N,",
                "41N",
                "42N,[",
                "42N",
            ] {
                peer.send(packet.replace('N', namespace)).await;
            }
        }
        peer.is_well().await;
        scene.takes_leave(peer, "1").await;
    })
    .await;
}

/// All that a client sends before it goes is handled, before the others are told that it went.
#[tokio::test]
async fn what_was_sent_right_before_the_end_counts() {
    each_way(&WAYS, async |scene, way| {
        for end in ["1", "41"] {
            let mut peer = Peer::connect(&scene.server, way).await;
            peer.uid = support::wire::stranger();
            let token = scene.server.token(&peer.uid).await;
            let authenticate =
                format!(r#"42["authenticate",{{"uid":"{}","token":"{token}"}}]"#, peer.uid);
            let packets = [
                authenticate.as_str(),
                r#"42["join",{"roomId":"hall"}]"#,
                r#"42["msg",{"n":1}]"#,
                r#"42["msg",{"n":2}]"#,
                end,
            ];
            peer.send_all(&packets.map(str::to_owned)).await;
            let words = [1, 2].map(|n| said(&peer, &format!(r#""n":{n},"#), "0"));
            scene
                .bystanders
                .hear(
                    &[
                        vec![about("remote_join", &peer)],
                        words.to_vec(),
                        vec![about("remote_disconnect", &peer)],
                    ]
                    .concat(),
                )
                .await;
        }
    })
    .await;
}

/// Nothing of the first session is left in the second one on the same engine session.
#[tokio::test]
async fn a_client_may_disconnect_and_connect_again_on_one_transport() {
    each_way(&WAYS, async |scene, way| {
        let mut peer = Peer::connect(&scene.server, way).await;
        for _ in 0..3 {
            peer.authenticate(&scene.server).await;
            peer.join(ROOM).await;
            scene.bystanders.welcome(&mut peer).await;
            peer.send("41").await;
            scene.bystanders.miss(&peer).await;
            peer.send("40").await;
            let connected = peer.next().await.unwrap_or_default();
            assert!(connected.starts_with("40"), "{way:?}: {connected}");
            assert_eq!(connected == "40", way.version == Version::Three);
        }
        peer.ask(r#"["msg",{}]"#).await; // nobody again: no answer
        peer.authenticate(&scene.server).await;
        peer.is_well().await;
        peer.send("1").await;
    })
    .await;
}
