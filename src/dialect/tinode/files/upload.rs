//! A file is uploaded: who may is looked at first, then the form is read, then the file is kept.
//!
//! What is refused is read nevertheless, as far as that is not too much: an answer before the end
//! of a request would be lost with its connection.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    super::{
        Node, api_key,
        ids::UserId,
        message::{Code, Params, Ts},
        record::FileRecord,
        refusal::{Done, Refusal},
    },
    Files, NAME, answer,
    form::{self, Bounds, Form, Received},
    millis, now, refs, who,
};
use crate::{domain::clock::alphanumeric, lock::lock, net::Connection};

/// Bytes of a form besides the file.
pub(super) const SLACK: u64 = 64 << 10;
/// Uploads at a time, of all users and of one.
pub(super) const UPLOADS: usize = 64;
pub(super) const UPLOADS_OF_ONE: usize = 8;
/// Time for an upload.
pub(super) const UPLOAD: Duration = Duration::from_secs(600);
/// Time in which what is refused may still be sent: its sender reads the answer behind that.
const DISCARD: Duration = Duration::from_secs(10);

/// Who uploads at the moment.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<UserId, usize>>);

/// One upload.
pub(super) struct Turn {
    turns: Arc<Turns>,
    user: UserId,
}

impl Turns {
    /// None: there are too many.
    pub fn begin(self: &Arc<Self>, user: UserId) -> Option<Turn> {
        let mut users = lock(&self.0);
        let own = users.get(&user).copied().unwrap_or_default();
        if own >= UPLOADS_OF_ONE || users.values().sum::<usize>() >= UPLOADS {
            return None;
        }
        users.insert(user, own + 1);
        Some(Turn { turns: self.clone(), user })
    }

    #[cfg(test)]
    pub fn are_over(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut users = lock(&self.turns.0);
        match users.get_mut(&self.user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                users.remove(&self.user);
            }
        }
    }
}

/// Takes a file.
pub(in super::super) async fn upload(
    node: &Node,
    request: Request<Incoming>,
    _: &Connection,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut id = String::new();
    let done = match admit(node, &head).await {
        Ok(admitted) => take(node, &head, admitted, body, &mut id).await,
        Err(why) => {
            discard(body, form::most(node.files.most)).await;
            Err(why)
        }
    };
    match done {
        Ok(params) => answer(node, &id, Code::Ok, params),
        Err(Refusal { code, params }) => answer(node, &id, code, params),
    }
}

/// Reads what nobody wants.
async fn discard(mut body: Incoming, most: u64) {
    let all = async {
        let mut left = most;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            let Some(rest) = left.checked_sub(length) else { break };
            left = rest;
        }
    };
    let _ = timeout(DISCARD, all).await; // the connection ends then
}

/// Who may upload, and what stands between the parts of its form.
struct Admitted {
    user: UserId,
    boundary: String,
    _turn: Turn,
}

async fn admit(node: &Node, head: &Parts) -> Done<Admitted> {
    if !matches!(head.method, Method::POST | Method::PUT) {
        return Err(Code::NotAllowed.into());
    }
    let user = who(node, &head.uri, &head.headers).await.map_err(|why| {
        // The key may be in the form, which nobody reads who does not say who it is.
        match api_key::presented(&head.uri, &head.headers) {
            Some(_) => why,
            None => Code::BadKey.into(),
        }
    })?;
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let boundary = kind.and_then(|kind| multer::parse_boundary(kind).ok());
    let boundary = boundary.ok_or(Code::Malformed)?;
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|of| of.to_str().ok());
    let length = length.and_then(|of| of.parse::<u64>().ok()).unwrap_or_default();
    let files = &node.files;
    if length > files.most.saturating_add(SLACK)
        || !refs::has_place(&node.cabinet, user, files.quota).await?
    {
        return Err(Code::TooLarge.into());
    }
    let turn = files.turns.begin(user).ok_or(Code::Unavailable)?;
    Ok(Admitted { user, boundary, _turn: turn })
}

/// Reads a form, and keeps its file. `id`: what the form says that the answer is to have.
async fn take(
    node: &Node,
    head: &Parts,
    admitted: Admitted,
    body: Incoming,
    id: &mut String,
) -> Done<Params> {
    let files = &node.files;
    let name = alphanumeric(&*node.hub.rng, NAME)?;
    let Files { most, types, .. } = files;
    let temporary = files.incoming.join(format!("always-online-{name}"));
    let bounds = Bounds { most: *most, types, temporary: &temporary };
    let form = form::read(body.into_data_stream(), &admitted.boundary, &bounds);
    // Who has gone reads no answer.
    let form = timeout(UPLOAD, form).await.map_err(|_| Code::Unavailable)??;
    let Form { id: of, key, file } = form;
    *id = of;
    // A key elsewhere was looked at before.
    let presented = api_key::presented(&head.uri, &head.headers);
    if presented.is_none() && !node.keys.check(&key) {
        return Err(Code::BadKey.into());
    }
    let received = file.ok_or(Code::Malformed)??;
    let at = now(node);
    finish(node, name.clone(), admitted, received, at).await?;
    let expires = Ts(at.0.saturating_add(millis(files.keep_unused)));
    let params = Params::default().text("url", &format!("/v0/file/s/{name}"));
    Ok(params.text("expires", &expires.to_string()))
}

/// Keeps a file, also if its sender goes meanwhile: else what it takes up might be counted, and the
/// file not be there.
async fn finish(
    node: &Node,
    name: String,
    admitted: Admitted,
    received: Received,
    at: Ts,
) -> Done<()> {
    let here = node.clone();
    let work = node.hub.tasks.spawn(async move {
        let Received { temporary, size, mime, name: called } = received;
        let user = admitted.user;
        let file = FileRecord { user, size, mime, name: called, at, free: true };
        let kept = here.files.keep(&here.cabinet, &name, file, temporary.path()).await;
        drop((temporary, admitted));
        kept
    });
    work.await.unwrap_or_else(|_| Err(Code::Internal.into()))
}
