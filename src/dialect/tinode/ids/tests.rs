use super::*;

/// Gives the bytes it has, again and again.
struct Fixed(&'static [u8]);

impl Rng for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for (to, from) in bytes.iter_mut().zip(self.0.iter().cycle()) {
            *to = *from;
        }
        Ok(())
    }
}

fn user(n: u64) -> UserId {
    UserId::of_number(n).unwrap()
}

#[test]
fn a_user_is_a_number_in_base64() {
    for (number, text) in [
        (1, "usrAQAAAAAAAAA"),
        (0x0807_0605_0403_0201, "usrAQIDBAUGBwg"),
        (u64::MAX, "usr__________8"),
        (0xfb, "usr-wAAAAAAAAA"),
    ] {
        assert_eq!(user(number).to_string(), text);
        assert_eq!(UserId::parse(text), Some(user(number)), "{text}");
    }
    assert_eq!(UserId::parse("usr__________9"), Some(user(u64::MAX)), "of the form of an id");
    for text in [
        "usrAAAAAAAAAAA",
        "usr",
        "",
        "usrAQAAAAAAAA",
        "usrAQAAAAAAAAAA",
        "grpAQAAAAAAAAA",
        "USRAQAAAAAAAAA",
        "usrAQAAAAAAAA=",
        "usrAQAAAAAAAA+",
        "usrAQAAAAAAAé",
    ] {
        assert_eq!(UserId::parse(text), None, "{text}");
    }
    let random = UserId::random(&Fixed(&[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    assert_eq!(random.number(), 0x0807_0605_0403_0201);
}

#[test]
fn the_core_knows_a_user_by_a_name_of_its_own() {
    let uid = user(1).uid().unwrap();
    assert_eq!(uid.as_str(), "tinode\u{80}usrAQAAAAAAAAA");
    assert_eq!(UserId::of_uid(&uid), Some(user(1)));
    for other in ["usrAQAAAAAAAAA", "wechat\u{80}usrAQAAAAAAAAA", "tinode\u{80}ann"] {
        assert_eq!(UserId::of_uid(&Uid::stored(other).unwrap()), None);
    }
    let inbox = user(1).inbox().unwrap();
    assert!(inbox.is_inbox() && inbox.is_in(INBOXES) && inbox.name() == "usrAQAAAAAAAAA");
}

#[test]
fn ids_are_texts_in_records() {
    let json = r#"["usrAQAAAAAAAAA","grpAAAAAAAAAAA"]"#;
    let read: (UserId, Key) = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), json);
    for bad in [r#""usrAAAAAAAAAAA""#, r#""usr""#, "1", "null"] {
        assert!(serde_json::from_str::<UserId>(bad).is_err(), "{bad}");
    }
    assert_eq!(serde_json::from_str::<UserId>(r#""\u0075srAQAAAAAAAAA""#).unwrap(), user(1));
}

#[test]
fn topics_have_kinds() {
    let group = GroupId(*b"AAAAAAAAAAA");
    for (text, topic) in [
        ("me", Ok(Topic::Me)),
        ("fnd", Ok(Topic::Fnd)),
        ("slf", Ok(Topic::Slf)),
        ("sys", Ok(Topic::Sys)),
        ("new", Ok(Topic::New { channel: false, name: "new" })),
        ("new117568", Ok(Topic::New { channel: false, name: "new117568" })),
        ("nch1", Ok(Topic::New { channel: true, name: "nch1" })),
        ("usrAQAAAAAAAAA", Ok(Topic::User(user(1)))),
        ("grpAAAAAAAAAAA", Ok(Topic::Group(group))),
        ("chnAAAAAAAAAAA", Ok(Topic::Reader(group))),
        ("", Err(BadTopic::Malformed)),
        ("usr", Err(BadTopic::Malformed)),
        ("usrAAAAAAAAAAA", Err(BadTopic::Malformed)),
        ("usrnobody", Err(BadTopic::Malformed)),
        ("grp", Err(BadTopic::Unknown)),
        ("grpAAAAAAAAAA", Err(BadTopic::Unknown)),
        ("chn!AAAAAAAAAA", Err(BadTopic::Unknown)),
        ("p2pAAAAAAAAAAA", Err(BadTopic::Unknown)),
        ("Me", Err(BadTopic::Unknown)),
        ("m", Err(BadTopic::Unknown)),
        ("ééé", Err(BadTopic::Unknown)),
    ] {
        assert_eq!(Topic::parse(text), topic, "{text}");
    }
    let key = |text| Topic::parse(text).unwrap().key(user(1));
    assert_eq!(key("slf"), Some(Key::Own(user(1))));
    assert_eq!(key("chnAAAAAAAAAAA"), key("grpAAAAAAAAAAA"));
    assert_eq!(key("usrAgAAAAAAAAA"), Some(Key::Pair(user(1), user(2))));
    for none in ["me", "fnd", "sys", "new1", "usrAQAAAAAAAAA"] {
        assert_eq!(key(none), None, "{none}");
    }
    assert!(Topic::Reader(group).is_reader() && !Topic::Group(group).is_reader());
}

#[test]
fn a_key_names_its_room_and_each_sees_its_own_name() {
    let (a, b, c) = (user(1), user(0x0100), user(3));
    let group = Key::Group(GroupId(*b"abcdefghijk"));
    assert_eq!(Key::pair(b, a), Key::Pair(a, b));
    for (key, id, shown) in [
        (Key::pair(b, a), "usrAQAAAAAAAAA.usrAAEAAAAAAAA", ["usrAAEAAAAAAAA", "usrAQAAAAAAAAA"]),
        (group, "grpabcdefghijk", ["grpabcdefghijk", "grpabcdefghijk"]),
        (Key::Own(a), "slf.usrAQAAAAAAAAA", ["slf", "slf"]),
    ] {
        assert_eq!((key.id().as_str(), Key::parse(id)), (id, Some(key)));
        assert_eq!([a, b].map(|user| key.shown(user, false)), shown);
        for (life, channel) in [("gA1", false), ("cA1", true)] {
            let room = key.room(life).unwrap();
            assert_eq!((room.called(), room.life()), (id, Some(life)));
            assert_eq!(Key::of_room(&room), Some((key, channel)));
        }
        let other = RoomId::within(Space::Lives("talk"), &format!("{id}:gA1")).unwrap();
        assert_eq!(Key::of_room(&other), None);
        assert_eq!(Key::of_room(&RoomId::within(SPACE, id).unwrap()), None, "no life");
    }
    assert_eq!(group.shown(a, true), "chnabcdefghijk");
    assert_eq!(group.sub_id(a), "grpabcdefghijk/usrAQAAAAAAAAA");
    assert_eq!([a, b, c].map(|user| Key::pair(a, b).peer(user)), [Some(b), Some(a), None]);
    assert_eq!(group.peer(a), None);
    for bad in [
        "",
        "grp",
        "chnabcdefghijk",
        "me",
        "slf",
        "usrAQAAAAAAAAA",
        "usrAAEAAAAAAAA.usrAQAAAAAAAAA",
        "usrAQAAAAAAAAA.usrAQAAAAAAAAA",
        "usrAQAAAAAAAAB.usrAAEAAAAAAAA",
        "slf.usrAAAAAAAAAAA",
        "a.b",
    ] {
        assert_eq!(Key::parse(bad), None, "{bad}");
    }
}

#[test]
fn views_are_as_many_as_there_are_names() {
    let (pair, own) = (Key::pair(user(1), user(2)), Key::Own(user(1)));
    let group = Key::Group(GroupId(*b"abcdefghijk"));
    assert_eq!(View::of_room(&pair, false), [View::First, View::Second]);
    assert_eq!(View::of_room(&group, false), [View::All]);
    assert_eq!(View::of_room(&group, true), [View::All, View::Reader]);
    assert_eq!(View::of_room(&own, false), [View::All]);
    assert_eq!([1, 2].map(|n| View::of(&pair, user(n), false)), [View::First, View::Second]);
    assert_eq!([false, true].map(|r| View::of(&group, user(1), r)), [View::All, View::Reader]);
}

#[test]
fn a_life_says_what_it_is_of() {
    let rng = Fixed(&[0, 61, 26]);
    assert_eq!(life(&rng, false).unwrap(), "gA9aA9aA9aA");
    assert_eq!(life(&rng, true).unwrap(), "cA9aA9aA9aA");
    assert_eq!(GroupId::random(&Fixed(&[0])).unwrap().group(), "grpAAAAAAAAAAA");
}
