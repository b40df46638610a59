//! `hi`: the first that a client says, and what it may correct later: above all by what its device
//! is pushed to.
use std::sync::Arc;

use super::{
    cabinet::Step,
    message::{Code, Params, Ts},
    record::{DEVICES, Device},
    refusal::Refusal,
    request::Hi,
    session::{Hello, Identity, Session},
};
use crate::throttle::throttled;

/// The version of the protocol that is spoken.
const VERSION: &str = "0.25";
/// What a client says where something is to be taken back.
const NOTHING: &str = "␡";
/// Bytes of what a client says of itself that are kept, as long as it is there: of its name, and of
/// its language and its platform.
const NAME: usize = 256;
const WORD: usize = 32;
/// Bytes of what the longest device is reached by, and of the longest version.
const DEVICE: usize = 4 << 10;
const LONGEST_VERSION: usize = 32;

/// What is done about a `hi`.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Refused(Code),
    First(Hello),
    Corrected(Hello),
}

/// Judges it, with what was said before, and whether the client has signed in.
fn judge(before: Option<&Hello>, signed_in: bool, hi: &Hi<'_>) -> Said {
    let said = || Hello {
        ver: hi.ver.clone().into_owned(),
        ua: cut(&hi.ua, NAME),
        lang: cut(&hi.lang, WORD),
        platf: cut(&hi.platf, WORD),
        // A part of it would reach nobody.
        dev: match &*hi.dev {
            NOTHING => String::new(),
            dev if dev.len() > DEVICE => String::new(),
            dev => dev.to_owned(),
        },
    };
    let Some(before) = before else {
        return if is_version(&hi.ver) {
            Said::First(said())
        } else {
            Said::Refused(Code::Malformed)
        };
    };
    if !hi.ver.is_empty() && hi.ver != before.ver {
        return Said::Refused(Code::OutOfSequence);
    }
    if !signed_in {
        return Said::Refused(Code::AuthRequired);
    }
    // What is not said again stays.
    let or = |new: String, old: &str| if new.is_empty() { old.to_owned() } else { new };
    let new = said();
    let dev = if hi.dev == NOTHING { String::new() } else { or(new.dev, &before.dev) };
    Said::Corrected(Hello {
        ver: before.ver.clone(),
        ua: or(new.ua, &before.ua),
        lang: or(new.lang, &before.lang),
        platf: or(new.platf, &before.platf),
        dev,
    })
}

/// The beginning of a text, of whole characters.
fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

/// Whether a version can be read: numbers with points between them. Every one is accepted, as a
/// client that is refused here comes back at once, for ever (S:37).
fn is_version(text: &str) -> bool {
    let begins_with_digit = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let mut parts = text.split('.');
    let first = parts.next().is_some_and(|major| {
        (1..=5).contains(&major.len()) && major.bytes().all(|byte| byte.is_ascii_digit())
    });
    first && text.len() <= LONGEST_VERSION && parts.all(begins_with_digit)
}

/// Answers a `hi`.
pub(super) async fn hi(session: &Arc<Session>, id: &str, hi: &Hi<'_>) {
    let (before, who) = (session.hello(), session.who());
    match judge(before.as_deref(), who.is_some(), hi) {
        Said::Refused(code) => session.ctrl(id, "", code),
        Said::First(hello) => {
            let params = params(session).await;
            session.say_hello(hello);
            // So it is under long polling (S:13).
            let code = if session.is_polling() { Code::Ok } else { Code::Created };
            session.ctrl_with(id, "", code, params);
        }
        Said::Corrected(hello) => {
            let old = before.map(|before| before.dev.clone()).unwrap_or_default();
            session.say_hello(hello);
            session.ctrl(id, "", Code::Created);
            if let Some(who) = who {
                note_device(session, who, &old).await;
            }
        }
    }
}

/// What a client is told of the server.
async fn params(session: &Session) -> Params {
    let options = &session.node.options;
    let limits = &options.limits;
    let number = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let required = match &*options.required {
        [] => "null".to_owned(),
        required => serde_json::json!({ "auth": required }).to_string(),
    };
    let params = Params::default()
        .text("ver", VERSION)
        .text("build", concat!("always-online/", env!("CARGO_PKG_VERSION")))
        .number("maxMessageSize", number(limits.message))
        .number("maxSubscriberCount", number(limits.subscribers))
        .number("minTagLength", number(limits.tag_min))
        .number("maxTagLength", number(limits.tag_max))
        .number("maxTagCount", number(limits.tags))
        .number("maxFileUploadSize", number(limits.upload))
        .number("msgDelAge", limits.delete_age.as_secs())
        .json("reqCred", required);
    if !session.is_grpc() {
        return params;
    }
    // Clients of gRPC may show where they are; nobody relies on it.
    let nodes = session.node.hub.nodes().await.unwrap_or_default();
    let this = nodes.iter().find(|node| node.this).map_or("", |node| &*node.id);
    params.number("clusterSize", number(nodes.len().max(1))).text("servingAt", this)
}

/// A client has signed in: its device is noted, if it has said by what that is reached.
pub(super) async fn signed_in(session: &Arc<Session>, who: Identity) {
    note_device(session, who, "").await;
}

/// Notes how this session's device is reached now, and forgets how it was (`old`; empty: not at
/// all). A failure is in the log: the next one who signs in notes it.
async fn note_device(session: &Arc<Session>, who: Identity, old: &str) {
    let Some(hello) = session.hello() else { return };
    if hello.dev.is_empty() && old.is_empty() {
        return;
    }
    let now = session.now();
    let cabinet = &session.node.cabinet;
    let noted = cabinet.change_user(who.user, |user| {
        let is_changed = note(&mut user.devices, old, &hello, now);
        Ok(if is_changed { Step::Write(()) } else { Step::Keep(()) })
    });
    if let Err(Refusal { code, .. }) = noted.await {
        throttled!(warn, code = code.number(), "a client's device could not be noted");
    }
}

/// Whether that changes anything. Of too many devices the oldest is forgotten.
fn note(devices: &mut Vec<Device>, old: &str, hello: &Hello, now: Ts) -> bool {
    let before = devices.len();
    devices.retain(|device| old.is_empty() || old == hello.dev || device.dev != old);
    let is_changed = devices.len() < before;
    if hello.dev.is_empty() {
        return is_changed;
    }
    let is_known = |device: &Device| {
        device.dev == hello.dev && device.platf == hello.platf && device.lang == hello.lang
    };
    if devices.iter().any(is_known) {
        return is_changed;
    }
    devices.retain(|device| device.dev != hello.dev);
    if devices.len() >= DEVICES {
        devices.remove(0);
    }
    let Hello { platf, lang, dev, .. } = hello.clone();
    devices.push(Device { dev, platf, lang, at: now });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_that_can_be_read_is_accepted() {
        for (version, readable) in [
            ("0.25.3", true),
            ("0.15", true),
            ("1", true),
            ("22.4.1-rc1", true),
            ("", false),
            ("abc", false),
            ("0.", false),
            (".25", false),
            ("0..3", false),
            ("v0.25", false),
            ("123456", false),
        ] {
            assert_eq!(is_version(version), readable, "{version}");
        }
        let long = |digits| is_version(&format!("0.{}", "1".repeat(digits)));
        assert!(long(LONGEST_VERSION - 2) && !long(LONGEST_VERSION - 1));
    }

    #[test]
    fn what_is_kept_of_a_client_is_bounded() {
        let long = "é".repeat(50_000);
        let hi = Hi {
            ver: "0.25".into(),
            ua: long.as_str().into(),
            lang: long.as_str().into(),
            platf: format!("x{long}").into(),
            dev: long.as_str().into(),
            ..Hi::default()
        };
        let Said::First(hello) = judge(None, false, &hi) else { panic!("it is readable") };
        let lengths = [&hello.ua, &hello.lang, &hello.platf, &hello.dev].map(String::len);
        assert_eq!(lengths, [NAME, WORD, WORD - 1, 0]);
    }

    fn hello(ver: &str, dev: &str) -> Hello {
        let (ver, dev) = (ver.to_owned(), dev.to_owned());
        Hello { ver, dev, lang: "de".to_owned(), ..Hello::default() }
    }

    #[test]
    fn a_second_hi_may_only_correct_what_the_first_one_said() {
        let hi = |ver: &'static str, dev: &'static str| Hi {
            ver: ver.into(),
            dev: dev.into(),
            lang: "de".into(),
            ..Hi::default()
        };
        let first = hello("0.25", "d1");
        for (before, signed_in, hi, said) in [
            (None, false, hi("0.25", "d1"), Said::First(hello("0.25", "d1"))),
            (None, false, hi("0.15", NOTHING), Said::First(hello("0.15", ""))),
            (None, false, hi("", ""), Said::Refused(Code::Malformed)),
            (Some(&first), true, hi("0.24", ""), Said::Refused(Code::OutOfSequence)),
            (Some(&first), false, hi("0.25", ""), Said::Refused(Code::AuthRequired)),
            (Some(&first), true, hi("0.25", ""), Said::Corrected(hello("0.25", "d1"))),
            (Some(&first), true, hi("", "d2"), Said::Corrected(hello("0.25", "d2"))),
            (Some(&first), true, hi("", NOTHING), Said::Corrected(hello("0.25", ""))),
        ] {
            assert_eq!(judge(before, signed_in, &hi), said, "{hi:?}");
        }
    }

    #[test]
    fn a_device_is_noted_once_and_takes_the_place_of_the_one_before() {
        let mut devices = Vec::new();
        let names = |devices: &[Device]| {
            devices.iter().map(|device| &*device.dev).collect::<Vec<_>>().join(" ")
        };
        for (old, new, changed, left) in [
            ("", "a", true, "a"),
            ("", "a", false, "a"),
            ("a", "a", false, "a"),
            ("", "b", true, "a b"),
            ("a", "c", true, "b c"),
            ("c", "", true, "b"),
            ("c", "", false, "b"),
            ("", "", false, "b"),
        ] {
            let is_changed = note(&mut devices, old, &hello("1", new), Ts(1));
            assert_eq!((is_changed, &*names(&devices)), (changed, left), "{old} {new}");
        }
        for number in 0..2 * DEVICES {
            note(&mut devices, "", &hello("1", &number.to_string()), Ts(2));
        }
        assert_eq!((devices.len(), &*devices[0].dev), (DEVICES, &*DEVICES.to_string()));
    }
}
