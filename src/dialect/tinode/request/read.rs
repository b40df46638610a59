//! Requests are read from JSON, each verb by a function of its own.
use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    super::fields::{bytes, each, flag, integer, list, object, text, texts, time},
    Acc, Change, ChangeDesc, ChangeSub, Cred, Del, Deleting, Given, Hi, Login, Malformed, Note,
    Options, Pub, Query, Request, Sub, Verb, What,
};

/// The id of a request, and what it asks for.
type Read<'a> = Result<(Cow<'a, str>, Verb<'a>), Malformed>;

/// What reads a verb.
type Reader = fn(&str) -> Read<'_>;

/// Verbs, and what reads them, in the order in which they count where a client has written several.
const VERBS: [(&str, Reader); 10] = [
    ("hi", hi),
    ("acc", acc),
    ("login", login),
    ("sub", sub),
    ("leave", leave),
    ("pub", publish),
    ("get", get),
    ("set", set),
    ("del", del),
    ("note", note),
];

/// Reads a request.
///
/// # Errors
/// It is none.
pub(in crate::dialect::tinode) fn parse(text: &str) -> Result<Request<'_>, Malformed> {
    let mut verbs: [Option<&RawValue>; VERBS.len()] = [None; VERBS.len()];
    let mut attachments = Vec::new();
    each(text, |key, raw| {
        if let Some(verb) = VERBS.iter().position(|(verb, _)| *verb == key) {
            verbs[verb] = Some(raw);
        } else if key == "extra" {
            attachments = extra(raw)?;
        }
        Ok(())
    })?;
    let mut first = None;
    for ((_, read), raw) in VERBS.iter().zip(verbs) {
        let Some(raw) = raw else { continue };
        // Others than the first count for nothing, but have to be well-formed.
        let read = read(raw.get())?;
        first = first.or(Some(read));
    }
    let (id, verb) = first.ok_or(Malformed)?;
    Ok(Request { id, verb, attachments })
}

fn hi(json: &str) -> Read<'_> {
    let (mut id, mut hi) = (Cow::default(), Hi::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "ver" => hi.ver = text(raw)?,
            "ua" => hi.ua = text(raw)?,
            "lang" => hi.lang = text(raw)?,
            "platf" => hi.platf = text(raw)?,
            "dev" => hi.dev = text(raw)?,
            "bkg" => hi.background = flag(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Hi(hi)))
}

fn acc(json: &str) -> Read<'_> {
    let (mut id, mut acc) = (Cow::default(), Acc::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "user" => acc.user = text(raw)?,
            "scheme" => acc.scheme = text(raw)?,
            "secret" => acc.secret = bytes(raw)?,
            "login" => acc.login = flag(raw)?,
            "tags" => acc.tags = Some(texts(raw)?),
            "desc" => acc.desc = change_desc(raw)?,
            "cred" => acc.creds = list(raw, cred)?,
            "token" => acc.token = bytes(raw)?,
            "state" => acc.state = text(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Acc(acc)))
}

fn login(json: &str) -> Read<'_> {
    let (mut id, mut login) = (Cow::default(), Login::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "scheme" => login.scheme = text(raw)?,
            "secret" => login.secret = bytes(raw)?,
            "cred" => login.creds = list(raw, cred)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Login(login)))
}

fn sub(json: &str) -> Read<'_> {
    let (mut id, mut sub) = (Cow::default(), Sub::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "topic" => sub.topic = text(raw)?,
            "get" => {
                let mut query = Query::default();
                each(raw.get(), |key, raw| query.field(key, raw))?;
                sub.get = Some(query);
            }
            "set" => {
                let mut set = Change::default();
                each(raw.get(), |key, raw| set.field(key, raw))?;
                sub.set = set;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Sub(sub)))
}

fn leave(json: &str) -> Read<'_> {
    let (mut id, mut topic, mut unsub) = (Cow::default(), Cow::default(), false);
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "topic" => topic = text(raw)?,
            "unsub" => unsub = flag(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Leave { topic, unsub }))
}

fn publish(json: &str) -> Read<'_> {
    let (mut id, mut publish) = (Cow::default(), Pub::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "topic" => publish.topic = text(raw)?,
            "noecho" => publish.noecho = flag(raw)?,
            "head" => publish.head = object(raw)?,
            "content" => publish.content = Some(raw),
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Pub(publish)))
}

fn get(json: &str) -> Read<'_> {
    let (mut id, mut topic, mut query) = (Cow::default(), Cow::default(), Query::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "topic" => topic = text(raw)?,
            key => query.field(key, raw)?,
        }
        Ok(())
    })?;
    Ok((id, Verb::Get { topic, query }))
}

fn set(json: &str) -> Read<'_> {
    let (mut id, mut topic, mut set) = (Cow::default(), Cow::default(), Change::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "topic" => topic = text(raw)?,
            key => set.field(key, raw)?,
        }
        Ok(())
    })?;
    Ok((id, Verb::Set { topic, set }))
}

fn del(json: &str) -> Read<'_> {
    let (mut id, mut del) = (Cow::default(), Del::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "topic" => del.topic = text(raw)?,
            "what" => {
                del.what = match &*text(raw)? {
                    "msg" => Deleting::Msg,
                    "topic" => Deleting::Topic,
                    "sub" => Deleting::Sub,
                    "user" => Deleting::User,
                    "cred" => Deleting::Cred,
                    _ => Deleting::Unknown,
                }
            }
            "delseq" => del.ranges = list(raw, given)?,
            "user" => del.user = text(raw)?,
            "cred" => del.cred = Some(cred(raw)?),
            "hard" => del.hard = flag(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Del(del)))
}

fn note(json: &str) -> Read<'_> {
    let (mut id, mut note) = (Cow::default(), Note::default());
    each(json, |key, raw| {
        match key {
            "id" => id = text(raw)?,
            "topic" => note.topic = text(raw)?,
            "what" => note.what = text(raw)?,
            "seq" => note.seq = integer(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((id, Verb::Note(note)))
}

impl<'a> Query<'a> {
    fn field(&mut self, key: &str, raw: &'a RawValue) -> Result<(), Malformed> {
        match key {
            "what" => self.what = What::parse(&text(raw)?),
            "desc" => self.desc = options(raw)?,
            "sub" => self.sub = options(raw)?,
            "data" => self.data = options(raw)?,
            "del" => self.del = options(raw)?,
            _ => {}
        }
        Ok(())
    }
}

impl<'a> Change<'a> {
    fn field(&mut self, key: &str, raw: &'a RawValue) -> Result<(), Malformed> {
        match key {
            "desc" => self.desc = change_desc(raw)?,
            "sub" => self.sub = Some(change_sub(raw)?),
            "tags" => self.tags = Some(texts(raw)?),
            "cred" => self.cred = Some(cred(raw)?),
            "aux" => self.aux = object(raw)?,
            _ => {}
        }
        Ok(())
    }
}

fn options(raw: &RawValue) -> Result<Options<'_>, Malformed> {
    let mut options = Options::default();
    each(raw.get(), |key, raw| {
        match key {
            "ims" => options.ims = Some(time(raw)?),
            "user" => options.user = text(raw)?,
            "topic" => options.topic = text(raw)?,
            "since" => options.since = integer(raw)?,
            "before" => options.before = integer(raw)?,
            "limit" => options.limit = integer(raw)?,
            "ranges" => options.ranges = list(raw, given)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(options)
}

fn given(raw: &RawValue) -> Result<Given, Malformed> {
    let mut given = Given::default();
    each(raw.get(), |key, raw| {
        match key {
            "low" => given.low = integer(raw)?,
            "hi" => given.hi = integer(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(given)
}

fn change_desc(raw: &RawValue) -> Result<ChangeDesc<'_>, Malformed> {
    let mut desc = ChangeDesc::default();
    each(raw.get(), |key, raw| {
        match key {
            "public" => desc.public = Some(raw),
            "private" => desc.private = Some(raw),
            "trusted" => desc.trusted = Some(raw),
            "defacs" => each(raw.get(), |key, raw| {
                match key {
                    "auth" => desc.auth = text(raw)?,
                    "anon" => desc.anon = text(raw)?,
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(desc)
}

fn change_sub(raw: &RawValue) -> Result<ChangeSub<'_>, Malformed> {
    let mut sub = ChangeSub::default();
    each(raw.get(), |key, raw| {
        match key {
            "user" => sub.user = text(raw)?,
            "mode" => sub.mode = text(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(sub)
}

fn cred(raw: &RawValue) -> Result<Cred<'_>, Malformed> {
    let mut cred = Cred::default();
    each(raw.get(), |key, raw| {
        match key {
            "meth" => cred.method = text(raw)?,
            "val" => cred.value = text(raw)?,
            "resp" => cred.response = text(raw)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(cred)
}

/// The URLs of attachments.
fn extra(raw: &RawValue) -> Result<Vec<Cow<'_, str>>, Malformed> {
    let mut attachments = Vec::new();
    each(raw.get(), |key, raw| {
        if key == "attachments" {
            attachments = texts(raw)?;
        }
        Ok(())
    })?;
    Ok(attachments)
}
