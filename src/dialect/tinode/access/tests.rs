use super::*;
use crate::dialect::tinode::{
    mode::{Defacs, Level},
    refusal::Refusal,
};

const OLGA: u64 = 11; // owns the group
const BORIS: u64 = 12;
const CARLA: u64 = 13;
const BEFORE: Ts = Ts(1_000);
const NOW: Ts = Ts(2_000);

fn user(n: u64) -> UserId {
    UserId::of_number(n).unwrap()
}

fn who(n: u64) -> Identity {
    Identity { user: user(n), level: Level::Auth }
}

fn m(text: &str) -> Mode {
    Mode::parse(text).unwrap()
}

fn topic(key: Key, auth: &str) -> TopicRecord {
    TopicRecord {
        channel: true,
        owner: Some(user(OLGA)),
        defacs: Defacs { auth: m(auth), anon: Mode::NONE },
        ..TopicRecord::new(key, "cabcdefghij".to_owned(), BEFORE)
    }
}

fn group(auth: &str) -> TopicRecord {
    topic(Key::parse("grpGardenClub_").unwrap(), auth)
}

fn pair() -> TopicRecord {
    TopicRecord { owner: None, ..topic(Key::pair(user(BORIS), user(CARLA)), "N") }
}

/// What somebody is in a topic, in a word: `want/given`, in front of it `-` where it has left, and
/// `~` of a reader.
fn sub(t: &TopicRecord, n: u64, text: &str) -> Option<SubRecord> {
    let left = text.strip_prefix('-');
    let text = left.unwrap_or(text);
    let reader = text.strip_prefix('~');
    let (want, given) = reader.unwrap_or(text).split_once('/')?;
    let acs = Acs { want: m(want), given: m(given) };
    let mut row = row(t.key, user(n), acs, reader.is_some(), BEFORE);
    if left.is_some() {
        (row.live, row.deleted) = (None, true);
    }
    Some(row)
}

/// A result in a word: modes, what others are told, and whether it owns the topic from now on; or
/// the number of the refusal.
fn told(done: Done<Changed>) -> String {
    let changed = match done {
        Ok(changed) => changed,
        Err(Refusal { code, .. }) => return code.number().to_string(),
    };
    let row = &changed.row;
    assert_eq!(row.updated == NOW, changed.dacs.is_some(), "what has changed has its time");
    assert_eq!(row.live.is_some(), !row.deleted);
    let dacs = changed.dacs.map_or_else(
        || "=".to_owned(),
        |dacs| format!("{}/{}", dacs.want.unwrap_or_default(), dacs.given.unwrap_or_default()),
    );
    let sign = if row.deleted { "-" } else { "" };
    let reader = if row.reader { "~" } else { "" };
    let owner = if changed.owner { " owner" } else { "" };
    let revived = if changed.before.is_none() { "new " } else { "" };
    format!("{revived}{sign}{reader}{}/{} {dacs}{owner}", row.want, row.given)
}

#[test]
fn a_group_lets_in_whom_its_defaults_or_an_invitation_let_in() {
    for (defaults, before, want, expected) in [
        // S:89, R:group-basic#24.
        ("JRWPS", "", "", "new JRWPS/JRWPS JRWPS/JRWPS"),
        ("JRWPS", "", "JR", "new JR/JRWPS JR/JRWPS"),
        ("JRWPS", "", "JRWPASD", "new JRWPASD/JRWPS JRWPASD/JRWPS"),
        ("JRWPSO", "", "", "new JRWPS/JRWPS JRWPS/JRWPS"),
        ("JRWPS", "", "RW", "403"),
        ("N", "", "", "403"),
        ("RWP", "", "", "403"),
        // By invitation: nothing changes.
        ("N", "JRW/JRW", "", "JRW/JRW ="),
        ("N", "J/J", "", "J/J ="),
        ("N", "JRW/JRW", "JR", "JR/JRW -W/"),
        ("JRWPS", "N/JRW", "", "JRWPS/JRW JRWPS/"),
        // Banned, and banned before it left (S:130, S:135).
        ("JRWPS", "JRW/N", "", "403"),
        ("JRWPS", "JRW/RW", "", "403"),
        ("JRWPS", "-JRW/N", "", "403"),
        // It comes back: what it was given is kept, what it wants begins anew (S:135).
        ("JRWPS", "-JR/JRWPASD", "", "new JRWPS/JRWPASD JRWPS/JRWPASD"),
        ("JRWPS", "-JRWPS/JR", "", "new JRWPS/JR JRWPS/JR"),
        ("N", "-J/JRWP", "", "new JRWP/JRWP JRWP/JRWP"),
        // A reader becomes a member.
        ("JRWPS", "~JRP/JRP", "", "JRWPS/JRWPS JRWPS/JRWPS"),
        ("JRP", "~JRP/JRP", "", "JRP/JRP JRP/JRP"),
        ("JRWPS", "~JRP/N", "", "403"),
        ("N", "~JRP/JRP", "", "403"),
        // What a node that died has left of an owner that is none any more (S:92).
        ("JRWPS", "JRWPASDO/JRWPASDO", "", "JRWPASD/JRWPASD -O/-O"),
        // Who was given it, and now says so.
        ("JRWPS", "JRWPS/JRWPSO", "", "JRWPS/JRWPSO ="),
        ("JRWPS", "JRWPS/JRWPSO", "JRWPSO", "JRWPSO/JRWPSO +O/ owner"),
        ("JRWPS", "", "JRWPSO", "new JRWPSO/JRWPS JRWPSO/JRWPS"),
    ] {
        let t = group(defaults);
        let want = (!want.is_empty()).then(|| m(want));
        let joined = join_group(&t, sub(&t, BORIS, before), who(BORIS), false, want, NOW);
        assert_eq!(told(joined), expected, "{defaults} {before} {want:?}");
    }
}

#[test]
fn its_owner_is_who_its_record_says() {
    let t = group("JRWPS");
    for (before, want, expected) in [
        ("JRWPASDO/JRWPASDO", "", "JRWPASDO/JRWPASDO ="),
        ("JRWPASDO/JRWPASDO", "JRWPO", "JRWPO/JRWPASDO -ASD/"),
        ("JRWPASDO/JRWPASDO", "JRWP", "403"),
        // A node died before it had written the new owner's row, or any.
        ("JRWPS/JRWPSO", "", "JRWPSO/JRWPSO +O/"),
        ("", "", "new JRWPASDO/JRWPASDO JRWPASDO/JRWPASDO"),
    ] {
        let want = (!want.is_empty()).then(|| m(want));
        let joined = join_group(&t, sub(&t, OLGA, before), who(OLGA), false, want, NOW);
        assert_eq!(told(joined), expected, "{before} {want:?}");
    }
}

#[test]
fn a_channel_is_read_by_whom_the_group_would_let_in() {
    for (defaults, before, who_asks, expected) in [
        // S:97.
        ("JRWPS", "", BORIS, "new ~JRP/JRP JRP/JRP"),
        ("JRWPS", "~JRP/JRP", BORIS, "~JRP/JRP ="),
        ("JRWPS", "-~JR/JRP", BORIS, "new ~JRP/JRP JRP/JRP"),
        ("JRWPS", "-JRWPS/JRWPS", BORIS, "new ~JRP/JRP JRP/JRP"),
        ("JRWPS", "-JRWPS/N", BORIS, "403"),
        ("N", "", BORIS, "403"),
        ("JRWPS", "JRWPS/JRWPS", BORIS, "403"),
        ("JRWPS", "JRWPASDO/JRWPASDO", OLGA, "403"),
    ] {
        let t = group(defaults);
        let joined = join_group(&t, sub(&t, who_asks, before), who(who_asks), true, None, NOW);
        assert_eq!(told(joined), expected, "{defaults} {before}");
    }
    let t = TopicRecord { channel: false, ..group("JRWPS") };
    assert_eq!(told(join_group(&t, None, who(BORIS), true, None, NOW)), "404");
    let t = TopicRecord { owner: None, ..topic(Key::Own(user(BORIS)), "N") };
    let notes = "new JRWPD/JRWPD JRWPD/JRWPD";
    assert_eq!(told(join_group(&t, None, who(BORIS), false, None, NOW)), notes);
    assert_eq!(told(join_group(&t, None, who(CARLA), false, None, NOW)), "403");
}

#[test]
fn who_reads_a_channel_is_no_member_until_it_joins_the_group() {
    let t = group("JRWPS");
    for (before, is_there, was_reader) in [
        ("JRWPS/JRWPS", true, false),
        ("JRWPS/N", true, false),
        ("~JRP/JRP", false, true),
        ("-JRWPS/JRWPS", false, false),
        ("-~JRP/JRP", false, false),
    ] {
        let row = sub(&t, BORIS, before).unwrap();
        assert_eq!(is_member(&row), is_there, "{before}");
        match join_group(&t, Some(row), who(BORIS), false, None, NOW) {
            Ok(joined) => assert_eq!(joined.was_reader, was_reader, "{before}"),
            Err(_) => assert_eq!(before, "JRWPS/N"),
        }
    }
    let reads = join_group(&t, sub(&t, BORIS, "~JRP/JRP"), who(BORIS), true, None, NOW);
    assert!(!reads.unwrap().was_reader, "it reads on");
}

#[test]
fn a_user_lets_others_begin_to_talk_as_it_says() {
    let t = pair();
    for (defaults, level, before, want, expected) in [
        // S:74, R:p2p-start#7.
        ("JRWPASD", Level::Auth, "", "", "new JRWPAD/JRWPASD JRWPAD/JRWPASD"),
        ("JRWPA", Level::Auth, "", "JRW", "new JRW/JRWPA JRW/JRWPA"),
        ("JRWPASDO", Level::Auth, "", "JRWO", "new JRW/JRWPASD JRW/JRWPASD"),
        ("N", Level::Auth, "", "", "403"),
        ("JRWPASD", Level::Anon, "", "", "403"),
        ("JRWPASD", Level::Auth, "JRWPAD/JRWPA", "", "JRWPAD/JRWPA ="),
        // Blocked (S:79).
        ("JRWPASD", Level::Auth, "JRWPAD/N", "", "403"),
        ("JRWPASD", Level::Auth, "-JRWPAD/N", "", "403"),
        // It has left, and comes back (S:132–135).
        ("N", Level::Auth, "-JR/JRWPA", "", "new JRWPAD/JRWPA JRWPAD/JRWPA"),
    ] {
        let mut peer = User::new(user(CARLA), Level::Auth, BEFORE);
        peer.defacs.auth = m(defaults);
        let want = (!want.is_empty()).then(|| m(want));
        let asking = Identity { level, ..who(BORIS) };
        let joined = join_pair(t.key, sub(&t, BORIS, before), &peer, asking, want, NOW);
        assert_eq!(told(joined), expected, "{defaults} {before} {want:?}");
    }
    let mut peer = User::new(user(CARLA), Level::Auth, BEFORE);
    assert_eq!(told(join_pair(t.key, None, &peer, who(CARLA), None, NOW)), "403", "oneself");
    peer.state = UserState::Ending;
    assert_eq!(told(join_pair(t.key, None, &peer, who(BORIS), None, NOW)), "404");
    assert_eq!(peer_row(t.key, user(CARLA), NOW).acs(), Acs { want: Mode::P2P, given: Mode::P2P });
}

#[test]
fn everybody_sets_its_own_want() {
    for (t, n, before, mode, expected) in [
        (group("N"), BORIS, "JRWPS/JRWPS", "JRP", "JRP/JRWPS -WS/"),
        (group("N"), BORIS, "JRWPS/JRWPS", "JRWPS", "JRWPS/JRWPS ="),
        (group("N"), BORIS, "JRWPS/JRWPS", "N", "N/JRWPS -JRWPS/"),
        (group("N"), BORIS, "N/JRWPS", "JR", "JR/JRWPS JR/"),
        // It may exceed what is given (S:90), also by what would make it the owner.
        (group("N"), BORIS, "JR/JR", "JRWPASDO", "JRWPASDO/JR +WPASDO/"),
        // S:92.
        (group("N"), BORIS, "JR/JRO", "JRO", "JRO/JRO +O/ owner"),
        // S:93.
        (group("N"), OLGA, "JRWPASDO/JRWPASDO", "JRWPASD", "403"),
        (group("N"), OLGA, "JRWPASDO/JRWPASDO", "JO", "JO/JRWPASDO -RWPASD/"),
        // It owned the group once.
        (group("N"), BORIS, "JRO/JRO", "JRO", "JRO/JR /-O"),
        (group("N"), BORIS, "~JRP/JRP", "JRPO", "~JRP/JRP ="),
        (pair(), BORIS, "JRWPAD/JRWPASD", "JRWAO", "JRWA/JRWPASD -PD/"),
        (pair(), BORIS, "JRWPAD/JRWPASD", "N", "N/JRWPASD -JRWPAD/"),
    ] {
        let row = sub(&t, n, before).unwrap();
        assert_eq!(told(want(&t, row, m(mode), NOW)), expected, "{before} {mode}");
    }
}

#[test]
fn members_are_invited_and_given_modes_by_whom_may() {
    let owner = "JRWPASDO/JRWPASDO";
    for (defaults, actor, before, mode, expected) in [
        // S alone invites, and gives nothing but the defaults (S:91).
        ("JRWPS", "JRWPS/JRWPS", "", "", "new JRWPS/JRWPS JRWPS/JRWPS"),
        ("JRWPS", "JRWPS/JRWPS", "", "JRWPS", "403"),
        ("JRWPS", "JRWP/JRWPS", "", "", "403"),
        ("JRWPS", "-JRWPS/JRWPS", "", "", "403"),
        ("N", "JRWPS/JRWPS", "", "", "new J/J J/J"),
        ("RW", "JRWPS/JRWPS", "", "", "new J/J J/J"),
        // R:group-basic#8.
        ("JRWPS", owner, "", "JRWPS", "new JRWPS/JRWPS JRWPS/JRWPS"),
        ("N", owner, "", "JRW", "new JRW/JRW JRW/JRW"),
        ("JRWPS", "JRWPA/JRWPA", "", "JRW", "403"),
        ("JRWPS", "JRWPASD/JRWPASD", "", "JRW", "new JRW/JRW JRW/JRW"),
        // Of who is there.
        ("JRWPS", "JRWPA/JRWPA", "JRWPS/JRWPS", "JRW", "JRWPS/JRW /-PS"),
        ("JRWPS", "JRWPS/JRWPS", "JRWPS/JRWPS", "JRW", "403"),
        ("JRWPS", "JRWPS/JRWPS", "JRW/JRW", "", "JRW/JRW ="),
        ("JRWPS", owner, "JRWPS/JRWPS", "JRWPS", "JRWPS/JRWPS ="),
        ("JRWPS", owner, "JRWPS/JRWPS", "N", "JRWPS/N /-JRWPS"),
        ("JRWPS", owner, "JRWPS/N", "JR", "JRWPS/JR /JR"),
        // The owner alone gives O; who has it becomes owner by its own word (S:91–92).
        ("JRWPS", "JRWPASD/JRWPASD", "JRWPS/JRWPS", "JRWPSO", "403"),
        ("JRWPS", owner, "JRWPS/JRWPS", "JRWPSO", "JRWPS/JRWPSO /+O"),
        ("JRWPS", owner, "JRWPSO/JRWPS", "JRWPSO", "JRWPS/JRWPSO -O/+O"),
        ("JRWPS", owner, "", "JRWPSO", "new JRWPS/JRWPSO JRWPS/JRWPSO"),
        // Who has left, or was banned, is asked again.
        ("JRWPS", "JRWPS/JRWPS", "-JR/JRW", "", "new JRW/JRW JRW/JRW"),
        ("JRWPS", "JRWPS/JRWPS", "-JR/N", "", "403"),
        ("JRWPS", owner, "-JR/N", "", "403"),
        ("JRWPS", owner, "-JR/N", "JRW", "new JRW/JRW JRW/JRW"),
        ("JRWPS", owner, "-~JRP/JRP", "", "new JRWPS/JRWPS JRWPS/JRWPS"),
        // A reader gets no more than readers have.
        ("JRWPS", owner, "~JRP/JRP", "JRWP", "~JRP/JRP ="),
        ("JRWPS", owner, "~JRP/JRP", "N", "~JRP/N /-JRP"),
    ] {
        let t = group(defaults);
        // Only who owns the group by its record is its owner.
        let by = if actor == owner { OLGA } else { CARLA };
        let actor = sub(&t, by, actor).unwrap();
        let mode = (!mode.is_empty()).then(|| m(mode));
        let changed = given(&t, &actor, sub(&t, BORIS, before), user(BORIS), mode, NOW);
        assert_eq!(told(changed), expected, "{defaults} {before} {mode:?}");
    }
    // S:93.
    let t = group("JRWPS");
    let admin = sub(&t, CARLA, "JRWPASD/JRWPASD").unwrap();
    let there = || sub(&t, OLGA, owner);
    assert_eq!(told(given(&t, &admin, there(), user(OLGA), Some(m("JR")), NOW)), "403");
    assert_eq!(told(given(&t, &admin, there(), user(OLGA), Some(m("N")), NOW)), "403");
}

#[test]
fn each_of_a_pair_sets_what_the_other_is_given() {
    let t = pair();
    let actor = sub(&t, BORIS, "JRWPAD/JRWPASD").unwrap();
    for (before, mode, expected) in [
        // S:79: always with A, but for a block.
        ("JRWPAD/JRWPAD", "JRP", "JRWPAD/JRPA /-WD"),
        ("JRWPAD/JRWPAD", "N", "JRWPAD/N /-JRWPAD"),
        ("JRWPAD/N", "JRWP", "JRWPAD/JRWPA /JRWPA"),
        ("JRWPAD/JRWPAD", "JRWPADO", "JRWPAD/JRWPAD ="),
        ("JRWPAD/JRWPAD", "", "JRWPAD/JRWPAD ="),
        ("-JRWPAD/JRWPAD", "N", "-JRWPAD/N /-JRWPAD"),
        ("", "N", "304"),
    ] {
        let mode = (!mode.is_empty()).then(|| m(mode));
        let changed = given(&t, &actor, sub(&t, CARLA, before), user(CARLA), mode, NOW);
        assert_eq!(told(changed), expected, "{before} {mode:?}");
    }
    let stranger = given(&t, &actor, None, user(OLGA), Some(m("JR")), NOW);
    assert_eq!(told(stranger), "403");
    let blocked = sub(&t, BORIS, "JRWPAD/N").unwrap();
    let peer = sub(&t, CARLA, "JRWPAD/JRWPAD");
    assert_eq!(told(given(&t, &blocked, peer, user(CARLA), Some(m("N")), NOW)), "403");
}

#[test]
fn who_goes_keeps_what_it_was_given() {
    let gone = "-JRWPS/JRWPS N/N";
    let t = group("JRWPS");
    for (n, before, expected) in [
        (BORIS, "JRWPS/JRWPS", gone),
        (BORIS, "~JRP/JRP", "-~JRP/JRP N/N"),
        (BORIS, "-JRWPS/JRWPS", "304"),
        (OLGA, "JRWPASDO/JRWPASDO", "403"),
    ] {
        let row = sub(&t, n, before).unwrap();
        assert_eq!(told(leave(&t, row, NOW)), expected, "{before}");
    }
    assert_eq!(told(leave(&pair(), sub(&pair(), BORIS, "JR/JR").unwrap(), NOW)), "-JR/JR N/N");
    for (actor, n, before, expected) in [
        ("JRWPA/JRWPA", BORIS, "JRWPS/JRWPS", gone),
        ("JRWPS/JRWPS", BORIS, "JRWPS/JRWPS", "403"),
        ("JRWP/JRWPA", BORIS, "JRWPS/JRWPS", "403"),
        // S:95.
        ("JRWPA/JRWPA", BORIS, "", "304"),
        ("JRWPS/JRWPS", BORIS, "", "403"),
        ("JRWPA/JRWPA", BORIS, "-JRWPS/JRWPS", "304"),
        ("JRWPA/JRWPA", BORIS, "JRWPS/N", "-JRWPS/N N/N"),
        // S:93.
        ("JRWPA/JRWPA", OLGA, "JRWPASDO/JRWPASDO", "403"),
        ("JRWPA/JRWPA", CARLA, "JRWPA/JRWPA", "403"),
    ] {
        let actor = sub(&t, CARLA, actor).unwrap();
        assert_eq!(told(remove(&t, &actor, sub(&t, n, before), NOW)), expected, "{before}");
    }
    let actor = sub(&pair(), CARLA, "JRWPAD/JRWPAD").unwrap();
    let peer = sub(&pair(), BORIS, "JRWPAD/JRWPAD");
    assert_eq!(told(remove(&pair(), &actor, peer, NOW)), "403");
    let row = sub(&t, OLGA, "JRWPASDO/JRWPASDO").unwrap();
    assert_eq!(told(Ok(unowned(row, NOW))), "JRWPASD/JRWPASD -O/-O");
}

#[test]
fn who_makes_a_topic_may_do_all_of_it() {
    for (t, expected) in [(group("N"), "JRWPASDO"), (topic(Key::Own(user(OLGA)), "N"), "JRWPD")] {
        let row = owner_row(&t, user(OLGA), None);
        assert_eq!(row.acs(), Acs { want: m(expected), given: m(expected) });
        assert_eq!((row.created, is_live(&row)), (t.created, true));
    }
}

#[test]
fn without_being_attached_little_is_answered() {
    use Outside::{Member, Nothing, Stranger};
    use Unattached::{GetDesc, GetRest, GetSub, SetMode, SetPrivate, SetRest};
    for (outside, answers) in [
        // S:98.
        (Member, [None, None, Some(403), None, None, Some(304)]),
        // S:88.
        (Stranger, [None, Some(404), Some(403), Some(304), Some(304), Some(304)]),
        // S:98–99.
        (Nothing, [Some(404), Some(404), Some(403), Some(404), Some(404), Some(404)]),
    ] {
        for (asked, answer) in
            [GetDesc, GetSub, GetRest, SetPrivate, SetMode, SetRest].into_iter().zip(answers)
        {
            let code = unattached(outside, asked).map(Code::number);
            assert_eq!(code, answer, "{outside:?} {asked:?}");
        }
    }
}
