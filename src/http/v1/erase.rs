//! `erase` and `GET /v1/jobs/{id}`: a user's messages are overwritten, room by room.
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    method::{self, Call, Keyed, Method, Reply},
    problem::{Kind, Problem},
    request::request,
};
use crate::domain::{
    erase::State,
    ids::{RoomId, Uid},
};

request! {
    /// Whose messages are to be erased.
    Request {
        /// The user.
        uid: Uid = "uid";
        /// In these rooms. Without it: in all.
        rooms: Option<Vec<RoomId>> = "roomIds";
    }
}

/// A job that was given.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Given {
    /// Its name: `GET /v1/jobs/{id}` tells how far it is.
    job: String,
}

/// Has a user's messages erased.
pub(super) struct Erase;

impl Method for Erase {
    const NAME: &'static str = "erase";
    const SUMMARY: &'static str = "Erase a user's messages";
    const ABOUT: &'static str = "They are overwritten wherever the store has them, and keep their places and indices. It is a job, which goes on \
        through restarts; the answer names it.";
    const EXAMPLE: &'static str = r#"{"uid":"alice"}"#;
    const STATUS: u16 = 202;
    const KEYED: Keyed = Keyed::Kept;
    type Request = Request;
    type Answer = Given;

    async fn run(api: &Api, request: Request, _: Call<'_>) -> Result<Reply<Given>, Problem> {
        let job = api.context.hub.erase(&request.uid, request.rooms.as_deref()).await?;
        Reply::of(&Given { job })
    }
}

/// How far a job is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Job)]
pub(super) struct Progress {
    /// Its name.
    id: String,
    /// `running` or `done`.
    state: &'static str,
    /// The user whose messages are erased.
    uid: String,
    /// Rooms that were looked through.
    rooms: u64,
    /// Messages that were erased, updates and further copies too.
    erased: u64,
    /// When it was given, in seconds since 1970, UTC.
    at: u64,
}

/// What is asked of jobs.
pub(super) const SUMMARY: &str = "See how far a job is";
/// What else there is to know.
pub(super) const ABOUT: &str =
    "The job of an `erase`. `done` says that nothing of it is left to do.";

/// Writes how far a job is.
pub(super) async fn job(api: &Api, id: &str) -> Result<Bytes, Problem> {
    let job = api.context.hub.job(id).await?;
    let job = job.ok_or_else(|| Problem::new(Kind::NoSuchJob, "there is no job of this name"))?;
    let progress = Progress {
        id: job.id,
        state: match job.state {
            State::Running => "running",
            State::Done => "done",
        },
        uid: job.uid,
        rooms: job.erased.rooms,
        erased: job.erased.inserts + job.erased.updates + job.erased.copies,
        at: job.at_ms / 1000,
    };
    Ok(method::json(&progress)?.into())
}
