//! Answers that are kept by the keys of their requests: those of methods that store no message. What
//! stores messages has its keys stored with them ([`super::publish`]).
//!
//! A request with a key notes first that it has begun, then does what is asked, then notes its answer.
//! Should the server end in between, a request with this key is done once more after [`PATIENCE`]:
//! these methods do no harm by that but what they did before.
//!
//! An item of a batch shares its key with whatever stands there when the batch is sent again, which
//! may be a message. So it takes the key where messages leave theirs ([`Receipts`]), and one of the
//! two is told that the key belongs to the other, on whatever node and in whatever order they come.
//!
//! [`Receipts`]: crate::domain::receipt::Receipts
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Api,
    key::{self, Key},
    method::{self, Done, Ran},
    problem::{self, Problem},
};
use crate::{
    domain::{
        error::StoreError,
        receipt::KEPT,
        records::{Collection, Expect, Put, Record},
    },
    throttle::throttled,
};

/// Where they are kept.
const ANSWERS: Collection = Collection::new("api-answers", &[]);
/// Seconds for which somebody may work on a request.
const PATIENCE: u64 = 60;

/// A request with a key, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// What was asked for.
    digest: [u8; 32],
    /// Until then somebody may be working on it, in seconds since 1970.
    until: u64,
    /// The answer, once it is there.
    answer: Option<Box<RawValue>>,
}

/// Does what is asked, unless it was done before with the same key. Refusals are not kept.
pub(super) async fn once(
    api: &Api,
    key: &Key,
    digest: [u8; 32],
    run: impl Future<Output = Ran>,
) -> Ran {
    let (hub, id) = (&api.context.hub, key.id());
    let now = hub.clock.unix();
    let begun = Kept { digest, until: now + PATIENCE, answer: None };
    let Begun::Here { version } = begin(api, &id, &begun, now).await? else {
        return replay(api, &id, digest).await;
    };
    let ran = match take(api, key, &digest).await {
        Ok(()) => run.await,
        Err(problem) => Err(problem),
    };
    let noted = match &ran {
        Ok(done) => {
            let answer = RawValue::from_string(String::from_utf8_lossy(&done.body).into_owned());
            let body = Bytes::from(method::json(&Kept { answer: answer.ok(), ..begun })?);
            let expires = Some(now + KEPT.as_secs());
            let expect = Expect::Version(version);
            hub.records.put(&ANSWERS, &id, body, expect, expires).await.map(|_| ())
        }
        Err(_) => give_back(api, key, &digest, version).await,
    };
    if let Err(error) = noted {
        throttled!(warn, %error, "the answer to a request with a key was not kept");
    }
    ran
}

/// Takes an item's key for what is asked.
async fn take(api: &Api, key: &Key, digest: &[u8; 32]) -> Result<(), Problem> {
    if key.is_item() && !api.context.hub.receipts.take_key(&key.id(), digest).await? {
        return Err(key::reused());
    }
    Ok(())
}

/// Nothing was done: the key is free for what is mended. First where messages leave theirs: what is
/// noted here keeps others from taking it meanwhile.
async fn give_back(
    api: &Api,
    key: &Key,
    digest: &[u8; 32],
    version: u64,
) -> Result<(), StoreError> {
    let (hub, id) = (&api.context.hub, key.id());
    if key.is_item() {
        hub.receipts.give_back_key(&id, digest).await?;
    }
    hub.records.delete(&ANSWERS, &id, Some(version)).await.map(|_| ())
}

/// Whether this is the request that does what is asked.
enum Begun {
    Here { version: u64 },
    Before,
}

async fn begin(api: &Api, id: &str, begun: &Kept, now: u64) -> Result<Begun, Problem> {
    let records = &api.context.hub.records;
    let (body, expires) = (Bytes::from(method::json(begun)?), Some(now + KEPT.as_secs()));
    let mut expect = Expect::New;
    loop {
        match records.put(&ANSWERS, id, body.clone(), expect, expires).await? {
            Put::Done { version } => return Ok(Begun::Here { version }),
            Put::Invalid(bad) => {
                tracing::error!(%bad, "the answer to a request with a key can't be kept");
                return Err(problem::failure());
            }
            Put::Conflict { version: None } => expect = Expect::New,
            Put::Conflict { .. } => {
                let Some(Record { version, body, .. }) = records.get(&ANSWERS, id).await? else {
                    continue;
                };
                let kept = read(&body)?;
                if kept.digest != begun.digest || kept.answer.is_some() {
                    return Ok(Begun::Before);
                }
                if kept.until > now {
                    return Err(key::in_use());
                }
                // Who worked on it is gone.
                expect = Expect::Version(version);
            }
        }
    }
}

async fn replay(api: &Api, id: &str, digest: [u8; 32]) -> Ran {
    let record = api.context.hub.records.get(&ANSWERS, id).await?;
    let kept = read(&record.ok_or_else(key::in_use)?.body)?;
    if kept.digest != digest {
        return Err(key::reused());
    }
    let answer = kept.answer.ok_or_else(key::in_use)?;
    Ok(Done { body: String::from(Box::<str>::from(answer)).into(), replayed: true })
}

fn read(body: &[u8]) -> Result<Kept, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        tracing::error!(%error, "the answer to a request with a key can't be read");
        problem::failure()
    })
}
