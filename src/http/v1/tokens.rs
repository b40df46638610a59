//! `token/create`, `token/refresh` and `token/revoke`: as `/user/*` and the command line, with the status
//! codes of HTTP.
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    answer::User,
    method::{Call, Keyed, Method, Reply},
    people::Ended,
    problem::{Kind, Problem},
    request::request,
};
use crate::domain::{
    ids::Uid,
    secret::Secret,
    token::{Creation, Realm},
};

request! {
    /// A user.
    Request {
        /// The user.
        uid: Uid = "uid";
    }
}

/// A user's token.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    #[schema(inline)]
    uid: User,
    /// The token: 24 letters and digits. It is not shown again.
    token: String,
}

fn reply(uid: Uid, token: &Secret) -> Result<Reply<Token>, Problem> {
    Reply::of(&Token { uid: User(uid), token: token.reveal().to_owned() })
}

/// Makes a token for a user who has none.
pub(super) struct Create;

impl Method for Create {
    const NAME: &'static str = "token/create";
    const SUMMARY: &'static str = "Make a user's token";
    const ABOUT: &'static str =
        "For a user who has none. Should the answer get lost, `token/refresh` makes another one.";
    const PROBLEMS: &'static [Kind] = &[Kind::UserExists];
    const EXAMPLE: &'static str = r#"{"uid":"alice"}"#;
    type Request = Request;
    type Answer = Token;

    async fn run(api: &Api, request: Request, _: Call<'_>) -> Result<Reply<Token>, Problem> {
        let hub = &api.context.hub;
        let token = Secret::random(&*hub.rng)?;
        match hub.tokens.create(Realm::User, &request.uid, &token).await? {
            Creation::Created => reply(request.uid, &token),
            Creation::Exists => {
                Err(Problem::new(Kind::UserExists, "the user has a token, which stays as it is"))
            }
        }
    }
}

/// Replaces a user's token.
pub(super) struct Refresh;

impl Method for Refresh {
    const NAME: &'static str = "token/refresh";
    const SUMMARY: &'static str = "Replace a user's token";
    const ABOUT: &'static str = "The old token is dead when the answer is there. A connection that is open goes on, and needs the new one when it comes back.";
    const PROBLEMS: &'static [Kind] = &[Kind::NoSuchUser];
    const EXAMPLE: &'static str = r#"{"uid":"alice"}"#;
    type Request = Request;
    type Answer = Token;

    async fn run(api: &Api, request: Request, _: Call<'_>) -> Result<Reply<Token>, Problem> {
        let hub = &api.context.hub;
        let token = Secret::random(&*hub.rng)?;
        if hub.tokens.refresh(Realm::User, &request.uid, &token).await? {
            return reply(request.uid, &token);
        }
        Err(Problem::new(Kind::NoSuchUser, "the user has no token: make one by token/create"))
    }
}

/// Takes a user's token away.
pub(super) struct Revoke;

impl Method for Revoke {
    const NAME: &'static str = "token/revoke";
    const SUMMARY: &'static str = "Take a user's token away";
    const ABOUT: &'static str = "The user has no token then: `token/create` makes one anew. Open sessions end at once, on all nodes. JSON Web Tokens are \
        revoked by `revoke`.";
    const EXAMPLE: &'static str = r#"{"uid":"alice"}"#;
    const PROBLEMS: &'static [Kind] = &[Kind::NoSuchUser];
    const KEYED: Keyed = Keyed::Kept;
    const BATCHED: bool = true;
    type Request = Request;
    type Answer = Ended;

    async fn run(api: &Api, request: Request, _: Call<'_>) -> Result<Reply<Ended>, Problem> {
        let hub = &api.context.hub;
        let was_there = hub.tokens.revoke(Realm::User, &request.uid).await?;
        // Also where it was not: an earlier request may have come no further.
        let expelled = hub.expel(&request.uid).await;
        let sessions = expelled.map_err(|error| error.behind(was_there))?;
        if !was_there && sessions == 0 {
            return Err(Problem::new(Kind::NoSuchUser, "the user has no token"));
        }
        Reply::of(&Ended { sessions })
    }
}
