//! `hooks/failed` and `hooks/replay`: webhooks that were put aside.
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    Api,
    answer::Json,
    method::{Call, Effect, Keyed, Method, Reply},
    problem::Problem,
    request::{Limit, Text, request},
};
use crate::domain::outbox::timestamp;

/// The endpoint where none is named.
const MAIN: &str = "main";
/// Batches of a page where nothing else is asked for. Each has its body with it.
const FEW: usize = 20;
/// Batches that are put back at once.
const SOME: usize = 50;

request! {
    /// A page of batches that were put aside.
    FailedRequest {
        /// The endpoint, by the name of its section. Without it: that of `AO_WEBHOOK__URL`.
        endpoint: Option<Text> = "endpoint";
        /// `next` of the page before.
        cursor: Option<Text> = "cursor";
        /// The most batches of a page. Without it: 20.
        limit: Option<Limit> = "limit";
    }
}

/// A page of batches that were put aside.
#[derive(Serialize, ToSchema)]
#[schema(as = FailedPage)]
pub(super) struct Page<'a> {
    /// Batches, the oldest first.
    batches: Vec<Batch<'a>>,
    /// The `cursor` of the next page. Missing where this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// A batch that was put aside.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = FailedBatch)]
struct Batch<'a> {
    /// Its id: the `webhook-id` that it was sent with.
    id: &'a str,
    /// Its room, or its user for what is told of users.
    room_id: std::borrow::Cow<'a, str>,
    /// When it was put aside, as RFC 3339 has it.
    parked_at: String,
    /// How often it was sent.
    attempts: u32,
    /// Why it was given up.
    why: &'a str,
    /// What was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object, required = false)]
    body: Option<Json<'a>>,
}

/// Lists batches that were put aside.
pub(super) struct Failed;

impl Method for Failed {
    const NAME: &'static str = "hooks/failed";
    const EFFECT: Effect = Effect::Reads;
    const SUMMARY: &'static str = "List webhooks that were put aside";
    const ABOUT: &'static str = "Batches that the endpoint did not take. They stay until they are replayed, or dropped because too much waits (`pending`).";
    const EXAMPLE: &'static str = r#"{"limit":20}"#;
    type Request = FailedRequest;
    type Answer = Page<'static>;

    async fn run(
        api: &Api,
        request: FailedRequest,
        _: Call<'_>,
    ) -> Result<Reply<Page<'static>>, Problem> {
        let endpoint = request.endpoint.as_ref().map_or(MAIN, |endpoint| &*endpoint.0);
        let after = request.cursor.as_ref().map(|cursor| &*cursor.0);
        let limit = request.limit.map_or(FEW, |limit| limit.0);
        let page = api.context.hub.parking.parked(endpoint, after, limit).await?;
        let batches = page.batches.iter().map(|batch| Batch {
            id: &batch.id,
            room_id: batch.room.shown(),
            parked_at: timestamp(batch.parked_ms),
            attempts: batch.attempts,
            why: &batch.why,
            body: serde_json::from_slice::<&RawValue>(&batch.body).ok().map(Json),
        });
        let body = super::method::json(&Page { batches: batches.collect(), next: page.next })?;
        Ok(Reply::written(body.into()))
    }
}

request! {
    /// Batches that are to be sent again.
    ReplayRequest {
        /// The endpoint, as for `hooks/failed`.
        endpoint: Option<Text> = "endpoint";
        /// Ids of batches that were put aside.
        ids: Vec<Text> = "ids";
    }
}

/// What is sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// Batches that are sent again. The others were not put aside, or not any more.
    replayed: u64,
}

/// Sends batches again.
pub(super) struct Replay;

impl Method for Replay {
    const NAME: &'static str = "hooks/replay";
    const SUMMARY: &'static str = "Send webhooks again that were put aside";
    const ABOUT: &'static str = "Before what waits of the same room, with the same ids and bodies. They have all their attempts anew.";
    const EXAMPLE: &'static str = r#"{"ids":["msg_2KWPBgLlAfxdpx2AI54pPJ85f4W"]}"#;
    const KEYED: Keyed = Keyed::Kept;
    type Request = ReplayRequest;
    type Answer = Replayed;

    async fn run(
        api: &Api,
        request: ReplayRequest,
        _: Call<'_>,
    ) -> Result<Reply<Replayed>, Problem> {
        let endpoint = request.endpoint.as_ref().map_or(MAIN, |endpoint| &*endpoint.0);
        let ids: Vec<String> = request.ids.into_iter().map(|id| id.0).collect();
        let mut replayed = 0;
        for some in ids.chunks(SOME) {
            let more = api.context.hub.parking.replay(endpoint, some).await;
            replayed += more.map_err(|error| error.behind(replayed > 0))?;
        }
        Reply::of(&Replayed { replayed })
    }
}
