//! What clients of gRPC ask for.
use std::borrow::Cow;

use serde_json::value::RawValue;

use super::super::{
    super::{
        message::{Noted, Raw, Ts},
        request::{
            Acc, Change, ChangeDesc, ChangeSub, Cred, Del, Deleting, Given, Hi, Login, Malformed,
            Note, Options, Pub, Query, Request, Sub, Verb, What,
        },
    },
    pbx::{self, ClientMsg, Said},
};

/// The head or the aux of a request as one object, for [`request`]: here they come field by field.
pub(in super::super) fn object(said: &ClientMsg) -> Option<Raw> {
    let fields = match said.message.as_ref()? {
        Said::Pub(said) => &said.head,
        Said::Set(said) => &said.query.as_ref()?.aux,
        Said::Sub(said) => &said.set_query.as_ref()?.aux,
        Said::Hi(_)
        | Said::Acc(_)
        | Said::Login(_)
        | Said::Leave(_)
        | Said::Get(_)
        | Said::Del(_)
        | Said::Note(_) => return None,
    };
    let mut json = String::from("{");
    for (name, value) in fields {
        let Ok(value) = serde_json::from_slice::<&RawValue>(value) else { continue };
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&serde_json::Value::from(name.as_str()).to_string());
        json.push(':');
        json.push_str(value.get());
    }
    json.push('}');
    // Without any field there is none.
    (json.len() > 2).then(|| RawValue::from_string(json).ok()).flatten()
}

/// What a client asks for. `object`: what [`object`] has made of it.
///
/// # Errors
/// It asks for nothing that is known.
pub(in super::super) fn request<'a>(
    said: &'a ClientMsg,
    object: Option<&'a RawValue>,
) -> Result<Request<'a>, Malformed> {
    let attachments = said.extra.iter().flat_map(|extra| &extra.attachments);
    let attachments = attachments.map(|url| text(url)).collect();
    let (id, verb) = match said.message.as_ref().ok_or(Malformed)? {
        Said::Hi(said) => (&said.id, Verb::Hi(hi(said))),
        Said::Acc(said) => (&said.id, Verb::Acc(acc(said))),
        Said::Login(said) => (&said.id, Verb::Login(login(said))),
        Said::Sub(said) => (&said.id, Verb::Sub(sub(said, object))),
        Said::Leave(said) => {
            (&said.id, Verb::Leave { topic: text(&said.topic), unsub: said.unsub })
        }
        Said::Pub(said) => (&said.id, Verb::Pub(publication(said, object))),
        Said::Get(said) => {
            let query = said.query.as_ref().map(query).unwrap_or_default();
            (&said.id, Verb::Get { topic: text(&said.topic), query })
        }
        Said::Set(said) => {
            let set = said.query.as_ref().map(|query| change(query, object)).unwrap_or_default();
            (&said.id, Verb::Set { topic: text(&said.topic), set })
        }
        Said::Del(said) => (&said.id, Verb::Del(del(said))),
        Said::Note(said) => {
            let verb = Verb::Note(note(said));
            return Ok(Request { id: Cow::default(), verb, attachments });
        }
    };
    Ok(Request { id: text(id), verb, attachments })
}

fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// JSON, if it is that, and not null.
fn raw(json: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice::<&RawValue>(json).ok().filter(|raw| raw.get() != "null")
}

fn hi(said: &pbx::ClientHi) -> Hi<'_> {
    Hi {
        ver: text(&said.ver),
        ua: text(&said.user_agent),
        lang: text(&said.lang),
        platf: text(&said.platform),
        dev: text(&said.device_id),
        background: said.background,
    }
}

fn acc(said: &pbx::ClientAcc) -> Acc<'_> {
    Acc {
        user: text(&said.user_id),
        scheme: text(&said.scheme),
        secret: said.secret.clone(),
        login: said.login,
        tags: texts(&said.tags),
        desc: said.desc.as_ref().map(change_desc).unwrap_or_default(),
        creds: said.cred.iter().map(cred).collect(),
        token: said.token.clone(),
        state: text(&said.state),
    }
}

fn login(said: &pbx::ClientLogin) -> Login<'_> {
    Login {
        scheme: text(&said.scheme),
        secret: said.secret.clone(),
        creds: said.cred.iter().map(cred).collect(),
    }
}

/// A list; of an empty one nobody knows whether it was sent.
fn texts(texts: &[String]) -> Option<Vec<Cow<'_, str>>> {
    (!texts.is_empty()).then(|| texts.iter().map(|of| text(of)).collect())
}

fn cred(said: &pbx::ClientCred) -> Cred<'_> {
    Cred { method: text(&said.method), value: text(&said.value), response: text(&said.response) }
}

fn sub<'a>(said: &'a pbx::ClientSub, aux: Option<&'a RawValue>) -> Sub<'a> {
    Sub {
        topic: text(&said.topic),
        get: said.get_query.as_ref().map(query),
        set: said.set_query.as_ref().map(|query| change(query, aux)).unwrap_or_default(),
    }
}

fn publication<'a>(said: &'a pbx::ClientPub, head: Option<&'a RawValue>) -> Pub<'a> {
    Pub { topic: text(&said.topic), noecho: said.no_echo, head, content: raw(&said.content) }
}

fn query(said: &pbx::GetQuery) -> Query<'_> {
    Query {
        what: What::parse(&said.what),
        desc: said.desc.as_ref().map(options).unwrap_or_default(),
        sub: said.sub.as_ref().map(options).unwrap_or_default(),
        data: said.data.as_ref().map(options).unwrap_or_default(),
        del: Options::default(), // there is no field for it
    }
}

fn options(said: &pbx::GetOpts) -> Options<'_> {
    let since = u64::try_from(said.if_modified_since).ok().filter(|since| *since > 0);
    Options {
        ims: since.map(Ts),
        user: text(&said.user),
        topic: text(&said.topic),
        since: said.since_id.into(),
        before: said.before_id.into(),
        limit: said.limit.into(),
        ranges: given(&said.ranges),
    }
}

fn given(said: &[pbx::SeqRange]) -> Vec<Given> {
    said.iter().map(|of| Given { low: of.low.into(), hi: of.hi.into() }).collect()
}

fn change<'a>(said: &'a pbx::SetQuery, aux: Option<&'a RawValue>) -> Change<'a> {
    let sub =
        |said: &'a pbx::SetSub| ChangeSub { user: text(&said.user_id), mode: text(&said.mode) };
    Change {
        desc: said.desc.as_ref().map(change_desc).unwrap_or_default(),
        sub: said.sub.as_ref().map(sub),
        tags: texts(&said.tags),
        cred: said.cred.as_ref().map(cred),
        aux,
    }
}

fn change_desc(said: &pbx::SetDesc) -> ChangeDesc<'_> {
    let acs = said.default_acs.as_ref();
    ChangeDesc {
        public: raw(&said.public),
        private: raw(&said.private),
        trusted: raw(&said.trusted),
        auth: acs.map(|acs| text(&acs.auth)).unwrap_or_default(),
        anon: acs.map(|acs| text(&acs.anon)).unwrap_or_default(),
    }
}

fn del(said: &pbx::ClientDel) -> Del<'_> {
    let what = match pbx::DelWhat::try_from(said.what) {
        Ok(pbx::DelWhat::Msg) => Deleting::Msg,
        Ok(pbx::DelWhat::Topic) => Deleting::Topic,
        Ok(pbx::DelWhat::Sub) => Deleting::Sub,
        Ok(pbx::DelWhat::User) => Deleting::User,
        Ok(pbx::DelWhat::Cred) => Deleting::Cred,
        Ok(pbx::DelWhat::X0) | Err(_) => Deleting::Unknown,
    };
    Del {
        topic: text(&said.topic),
        what,
        ranges: given(&said.del_seq),
        user: text(&said.user_id),
        cred: said.cred.as_ref().map(cred),
        hard: said.hard,
    }
}

fn note(said: &pbx::ClientNote) -> Note<'_> {
    let what = match pbx::InfoNote::try_from(said.what) {
        Ok(pbx::InfoNote::Read) => Noted::Read.word(),
        Ok(pbx::InfoNote::Recv) => Noted::Recv.word(),
        Ok(pbx::InfoNote::Kp) => Noted::Kp.word(),
        Ok(pbx::InfoNote::Call) => "call",
        Ok(pbx::InfoNote::X1) | Err(_) => "",
    };
    Note { topic: text(&said.topic), what: text(what), seq: said.seq_id.into() }
}
