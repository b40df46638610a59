//! API keys: they are made, revoked and listed here. A key that was made elsewhere with the same
//! salt is good without being known, so that to revoke it is to write down that it is not.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value as Json, json};

use super::{
    super::{
        Tinode,
        cabinet::{Read, TRIES, crowded},
        message::Ts,
        mode::Mode,
        post::{To, Told, Word},
        record::{KEYS, KeyRecord},
        refusal::{Done, Refusal},
    },
    Error, Stretch,
    look::readable,
};
use crate::domain::records::{Expect, RecordPage};

/// Bytes of a key that name it: version, app, number, and whether it is root's.
const NAMED: usize = 8;
/// Bytes of a whole key: those, and a signature.
const WHOLE: usize = NAMED + 16;
/// Keys that are made here are of apps from this one on: elsewhere they are counted from one, and
/// whoever revokes one must not revoke another one with it.
const FIRST_APP: u32 = 1 << 16;
/// All of them have this number.
const SEQ: u16 = 1;

/// A key as it is named: as a whole, or as it is listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct KeyName {
    app: u32,
    seq: u16,
    /// The key itself, which may be forged.
    whole: Option<Whole>,
}

#[derive(Debug, PartialEq, Eq)]
struct Whole {
    key: String,
    root: bool,
}

impl KeyName {
    /// Nothing where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((app, seq)) = text.split_once('-')
            && let (Ok(app), Ok(seq)) = (app.parse(), seq.parse())
        {
            let name = KeyName { app, seq, whole: None };
            return (name.id() == text).then_some(name); // and no `+1-01`
        }
        let key = text.trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(key).ok()?;
        let (named, _) = bytes.split_first_chunk::<NAMED>().filter(|_| bytes.len() == WHOLE)?;
        let [_, a, b, c, d, low, high, root] = *named;
        let (app, seq) = (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([low, high]));
        let whole = Some(Whole { key: key.to_owned(), root: root != 0 });
        Some(KeyName { app, seq, whole })
    }

    /// As it is listed.
    pub fn id(&self) -> String {
        KeyRecord::id(self.app, self.seq)
    }
}

/// Makes a key.
pub(super) async fn create(node: &Tinode, note: String) -> Result<Json, Error> {
    for _ in 0..TRIES {
        let mut random = [0; 4];
        node.hub.rng.fill(&mut random).map_err(Refusal::from)?;
        let app = u32::from_le_bytes(random).max(FIRST_APP);
        let at = Ts(node.hub.clock.unix_ms());
        let record = KeyRecord { app, seq: SEQ, at, note: note.clone(), revoked: false };
        let id = KeyRecord::id(app, SEQ);
        if node.cabinet.put(&KEYS, &id, record.body(), Expect::New, None).await?.is_some() {
            return Ok(json!({ "key": node.keys.make(app, SEQ, false), "name": id }));
        }
    }
    Err(crowded().into())
}

/// Revokes a key. From then on it is good on no node that hears of it: the others read it soon.
pub(super) async fn revoke(node: &Tinode, named: &KeyName) -> Result<Json, Error> {
    let id = named.id();
    let is_genuine = match &named.whole {
        Some(Whole { key, root }) => node.keys.make(named.app, named.seq, *root) == *key,
        None => false,
    };
    let was_good = write_revoked(node, named, is_genuine).await?;
    let Some(was_good) = was_good else { return Err(Error::NoKey(id)) };
    node.keys.load(&node.cabinet).await?;
    let (to, told) = (To::Users(Vec::new()), Told::Keys);
    let word = Word { to, needs: Mode::NONE, unattached: false, told };
    node.post.say(node, vec![word], None);
    Ok(json!({ "name": id, "revoked": was_good }))
}

/// Whether the key was good before; nothing: there is none. A key that shows itself to be one need
/// not be known.
async fn write_revoked(
    node: &Tinode,
    named: &KeyName,
    is_genuine: bool,
) -> Result<Option<bool>, Refusal> {
    let id = named.id();
    for _ in 0..TRIES {
        let read: Option<Read<KeyRecord>> = node.cabinet.get(&KEYS, &id).await?;
        let (record, expect) = match revoked(named, read, is_genuine) {
            Revoked::Missing => return Ok(None),
            Revoked::Already => return Ok(Some(false)),
            Revoked::Now(record, expect) => (record, expect),
        };
        if node.cabinet.put(&KEYS, &id, record.body(), expect, None).await?.is_some() {
            return Ok(Some(true));
        }
    }
    Err(crowded())
}

/// What there is to be done to have a key revoked.
#[derive(Debug, PartialEq, Eq)]
enum Revoked {
    Missing,
    Already,
    Now(KeyRecord, Expect),
}

fn revoked(named: &KeyName, read: Option<Read<KeyRecord>>, is_genuine: bool) -> Revoked {
    // A key that was forged with the name of another one revokes nothing.
    if named.whole.is_some() && !is_genuine {
        return Revoked::Missing;
    }
    match read {
        Some(Read { record, .. }) if record.revoked => Revoked::Already,
        Some(Read { record, version }) => {
            Revoked::Now(KeyRecord { revoked: true, ..record }, Expect::Version(version))
        }
        None if is_genuine => {
            let (app, seq, at) = (named.app, named.seq, Ts(0));
            let note = "made elsewhere".to_owned();
            Revoked::Now(KeyRecord { app, seq, at, note, revoked: true }, Expect::New)
        }
        None => Revoked::Missing,
    }
}

/// Lists keys.
pub(super) async fn list(node: &Tinode, Stretch { after, limit }: Stretch) -> Result<Json, Error> {
    let page = listed(node, after.as_deref(), limit).await?;
    let keys: Vec<KeyRecord> = readable(&KEYS, &page.records);
    let told = keys.into_iter().map(|key| {
        json!({
            "name": KeyRecord::id(key.app, key.seq),
            "note": key.note,
            "created": Some(key.at).filter(|at| at.0 > 0),
            "revoked": key.revoked,
        })
    });
    Ok(json!({ "keys": told.collect::<Vec<_>>(), "next": page.next }))
}

async fn listed(node: &Tinode, after: Option<&str>, limit: usize) -> Done<RecordPage> {
    Ok(node.cabinet.records.list(&KEYS, after, limit).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revoked: bool) -> Option<Read<KeyRecord>> {
        let note = "an app".to_owned();
        let record = KeyRecord { app: 70_000, seq: 1, at: Ts(5), note, revoked };
        Some(Read { record, version: 3 })
    }

    /// Of app 70000, number 1, signed by nobody.
    const KEY: &str = "AXARAQABAABISEhISEhISEhISEhISEhI";

    #[test]
    fn a_key_is_named_in_two_ways() {
        for (text, expected) in [
            ("70000-1", Some((70_000, 1, false))),
            (KEY, Some((70_000, 1, true))),
            ("AXARAQABAABISEhISEhISEhISEhISEhI==", Some((70_000, 1, true))),
            ("4294967295-65535", Some((u32::MAX, u16::MAX, false))),
            ("4294967296-1", None),
            ("+1-1", None),
            ("01-1", None),
            ("AXARAQ", None),
            ("", None),
            ("a key", None),
        ] {
            let name = KeyName::parse(text);
            let told = name.map(|name| (name.app, name.seq, name.whole.is_some()));
            assert_eq!(told, expected, "{text}");
        }
        assert_eq!(KeyName::parse(KEY).unwrap().id(), "70000-1");
    }

    #[test]
    fn whoever_names_a_key_revokes_that_one_and_no_other() {
        let (listed, whole) = (KeyName::parse("70000-1").unwrap(), KeyName::parse(KEY).unwrap());
        let of = |name, read, is_genuine| match revoked(name, read, is_genuine) {
            Revoked::Missing => "missing",
            Revoked::Already => "already",
            Revoked::Now(record, Expect::New) if record.revoked => "new",
            Revoked::Now(record, Expect::Version(3)) if record.revoked => "changed",
            Revoked::Now(..) => "wrong",
        };
        assert_eq!(of(&listed, None, false), "missing");
        assert_eq!(of(&listed, record(false), false), "changed");
        assert_eq!(of(&listed, record(true), false), "already");
        assert_eq!(of(&whole, None, false), "missing", "it is forged");
        assert_eq!(of(&whole, record(false), false), "missing", "it is forged");
        assert_eq!(of(&whole, None, true), "new", "it was made elsewhere");
        assert_eq!(of(&whole, record(false), true), "changed");
        assert_eq!(of(&whole, record(true), true), "already");
    }
}
