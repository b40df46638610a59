//! `revoke`: JSON Web Tokens that are not to be accepted any more.
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    method::{Call, Keyed, Method, Reply},
    problem::Problem,
    request::{Second, Text, request},
};
use crate::domain::ids::Uid;

request! {
    /// Tokens of a user.
    Request {
        /// The user.
        uid: Uid = "uid";
        /// Tokens that were issued before this second since 1970 (`iat`), or do not say when.
        issued_before: Option<Second> = "issuedBefore";
        /// The token of this name (`jti`).
        jti: Option<Text> = "jti";
    }
}

/// What became of the user's session.
#[derive(Serialize, ToSchema)]
pub(super) struct Told {
    /// Sessions that were told: each has ended if it rested on one of the tokens.
    sessions: u64,
}

/// Revokes JSON Web Tokens of a user.
pub(super) struct Revoke;

impl Method for Revoke {
    const NAME: &'static str = "revoke";
    const SUMMARY: &'static str = "Revoke JSON Web Tokens";
    const ABOUT: &'static str = "Without `issuedBefore` and `jti`: all that were issued until now, and the user's session ends, whatever token it signed in with. \
        Nobody signs in by one of these tokens any more, also after a restart, and open sessions are told on every node. \
        A token without `iat` counts as issued before all of them.";
    const EXAMPLE: &'static str = r#"{"uid":"alice","issuedBefore":1750000000}"#;
    const KEYED: Keyed = Keyed::Kept;
    const BATCHED: bool = true;
    type Request = Request;
    type Answer = Told;

    async fn run(api: &Api, request: Request, _: Call<'_>) -> Result<Reply<Told>, Problem> {
        let jti = request.jti.map(|jti| jti.0);
        let hub = &api.context.hub;
        let before = request.issued_before.map(|before| before.0);
        let sessions = hub.revoke(&request.uid, before, jti.as_deref()).await?;
        Reply::of(&Told { sessions })
    }
}
