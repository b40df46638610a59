//! `config` and `retention`: what is set, and what of it can be switched while the server runs.
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    method::{Call, Effect, Method, Reply},
    problem::{Kind, Problem},
    request::request,
};
use crate::domain::ids::RoomId;

request! {
    /// What is to be switched.
    ConfigRequest {
        /// Whether users must present a valid token, on all nodes, until the last of them has
        /// ended. Without it nothing is switched.
        force_user_auth: Option<bool> = "forceUserAuth";
    }
}

/// How it is switched.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Switched {
    /// Whether users must present a valid token.
    force_user_auth: bool,
}

/// Switches what can be switched.
pub(super) struct Config;

impl Method for Config {
    const NAME: &'static str = "config";
    const SUMMARY: &'static str = "Switch user authentication";
    const ABOUT: &'static str = "As `/admin/system/config`: with `forceUserAuth` users must, or need not, present a valid token from now on. That they \
        need not is possible only where the server is configured so (`AO_ADMIN__AUTH_SWITCH`).";
    const PROBLEMS: &'static [Kind] = &[Kind::NotConfigured];
    const EXAMPLE: &'static str = r#"{"forceUserAuth":true}"#;
    type Request = ConfigRequest;
    type Answer = Switched;

    async fn run(
        api: &Api,
        request: ConfigRequest,
        _: Call<'_>,
    ) -> Result<Reply<Switched>, Problem> {
        let hub = &api.context.hub;
        let on = match request.force_user_auth {
            None => hub.force_user_auth(),
            Some(false) if !api.context.auth_switch => {
                let detail = "user authentication can't be turned off here: AO_ADMIN__AUTH_SWITCH";
                return Err(Problem::new(Kind::NotConfigured, detail));
            }
            Some(on) => {
                hub.switch_user_auth(on).await?;
                on
            }
        };
        Reply::of(&Switched { force_user_auth: on })
    }
}

request! {
    /// A room.
    RetentionRequest {
        /// The room.
        room: RoomId = "roomId";
    }
}

/// What of a room is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Kept)]
pub(super) struct Rule {
    /// For how many seconds messages are kept. Missing: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    age: Option<u64>,
    /// How many messages of the log are kept, the newest. Missing: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    count: Option<u64>,
}

/// Tells what of a room is kept.
pub(super) struct Retention;

impl Method for Retention {
    const NAME: &'static str = "retention";
    const SUMMARY: &'static str = "See what of a room is kept";
    const ABOUT: &'static str =
        "By the rule in `AO_RETENTION__RULES` that holds for its name. Without one all is kept.";
    const EXAMPLE: &'static str = r#"{"roomId":"news"}"#;
    const EFFECT: Effect = Effect::Reads;
    type Request = RetentionRequest;
    type Answer = Rule;

    async fn run(
        api: &Api,
        request: RetentionRequest,
        _: Call<'_>,
    ) -> Result<Reply<Rule>, Problem> {
        let rule = api.context.retention.of(&request.room).unwrap_or_default();
        Reply::of(&Rule { age: rule.age.map(|age| age.as_secs()), count: rule.count })
    }
}
