//! `whoami` and `audit`: who an administrator is, and what administrators have changed.
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Api,
    method::{Call, Effect, Method, Reply},
    problem::Problem,
    request::{Limit, Text, request},
};
use crate::http::audit;

/// Entries of a page where nothing else is asked for.
const FEW: usize = 100;

request! {
    /// Nothing.
    WhoamiRequest {}
}

/// An administrator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Administrator)]
pub(super) struct Administrator {
    /// Its uid.
    uid: String,
    /// What it may do: `admin` everything, `reader` see everything and change nothing.
    role: &'static str,
}

/// Tells who asks.
pub(super) struct Whoami;

impl Method for Whoami {
    const NAME: &'static str = "whoami";
    const EFFECT: Effect = Effect::Reads;
    const SUMMARY: &'static str = "See who one is, and what one may do";
    const ABOUT: &'static str = "The administrator whose credentials were sent.";
    const EXAMPLE: &'static str = "{}";
    type Request = WhoamiRequest;
    type Answer = Administrator;

    async fn run(
        _: &Api,
        _: WhoamiRequest,
        call: Call<'_>,
    ) -> Result<Reply<Administrator>, Problem> {
        let (uid, role) = (call.admin.uid.as_str().to_owned(), call.admin.role.word());
        Reply::of(&Administrator { uid, role })
    }
}

request! {
    /// A page of what was changed.
    AuditRequest {
        /// `next` of the page before.
        cursor: Option<Text> = "cursor";
        /// The most entries of a page. Without it: 100.
        limit: Option<Limit> = "limit";
    }
}

/// A page of what was changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(super) struct AuditPage {
    /// Entries, the newest first.
    entries: Vec<Change>,
    /// The `cursor` of the next page. Missing where this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// Something that an administrator changed, or tried to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEntry)]
struct Change {
    /// When, in milliseconds since 1970, UTC.
    at: u64,
    /// Who.
    admin: String,
    /// What: the name of the method.
    method: String,
    /// On whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    uid: Option<String>,
    /// In which room.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    room_id: Option<String>,
    /// What else was asked for, such as `keep` of a `trim`: long texts and arrays are cut.
    #[schema(value_type = Object)]
    asked: Map<String, Value>,
    /// `done`, or the last word of the problem's `type`.
    outcome: String,
    /// What came of it, such as how many sessions ended.
    #[schema(value_type = Object)]
    given: Map<String, Value>,
}

/// Lists what was changed.
pub(super) struct Audit;

impl Method for Audit {
    const NAME: &'static str = "audit";
    const EFFECT: Effect = Effect::Reads;
    const SUMMARY: &'static str = "List what administrators have changed";
    const ABOUT: &'static str = "The last 10,000 changes by this API and by `/admin/system/*`, on all nodes, the newest first: who, what, on whom or in \
        which room, when, and how it ended. Messages that were published are not in it, nor what the command line does. No entry has a \
        message or a token.";
    const EXAMPLE: &'static str = r#"{"limit":100}"#;
    type Request = AuditRequest;
    type Answer = AuditPage;

    async fn run(
        api: &Api,
        request: AuditRequest,
        _: Call<'_>,
    ) -> Result<Reply<AuditPage>, Problem> {
        let (limit, after) = (request.limit.map_or(FEW, |limit| limit.0), request.cursor);
        let after = after.as_ref().map(|cursor| &*cursor.0);
        let page = audit::page(&*api.context.hub.records, after, limit).await?;
        let entries = page.acts.into_iter().map(|act| Change {
            at: act.at,
            admin: act.admin,
            method: act.method,
            uid: act.uid,
            room_id: act.room,
            asked: act.asked,
            outcome: act.outcome,
            given: act.given,
        });
        Reply::of(&AuditPage { entries: entries.collect(), next: page.next })
    }
}
