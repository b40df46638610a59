//! Who calls: an administrator's credentials.
use std::time::Duration;

use axum::http::{header, request::Parts};
use base64::{Engine, engine::general_purpose::STANDARD};

use tokio::time::Instant;

use super::{
    answer::Status,
    local::Client,
    params::{self, Query},
};
use crate::domain::{error::StoreError, hub::Hub, ids::Uid, secret::Secret, token::Realm};

/// Credentials that came with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    None,
    Wrong,
    Admin(Named),
}

/// What an administrator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Admin,
    /// See everything, change nothing.
    Reader,
}

impl Role {
    /// How the command line and the API call it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Reader => "reader",
        }
    }
}

/// An administrator who has shown its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) uid: Uid,
    pub(super) role: Role,
}

impl Named {
    /// Whether it may do more than look.
    pub(super) fn may_change(&self) -> bool {
        match self.role {
            Role::Admin => true,
            Role::Reader => false,
        }
    }
}

/// Why a request is no administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotNamed {
    /// It has no credentials, or wrong ones.
    Wrong,
    /// Too many were wrong before, so that these are not looked at for this time.
    Wait(Duration),
    /// Nothing can be learnt.
    Store(StoreError),
}

impl From<StoreError> for NotNamed {
    fn from(error: StoreError) -> Self {
        NotNamed::Store(error)
    }
}

/// Checks an administrator's credentials: `uid` and `token` of the query, or `Authorization:
/// Basic`. Those that are not looked at count as wrong, as the original has no word for that.
pub(super) async fn admin(hub: &Hub, parts: &Parts, query: &Query) -> Result<Presented, Status> {
    let (uid, token) = match parts.headers.get(header::AUTHORIZATION) {
        Some(value) => match value.to_str().ok().and_then(basic) {
            Some(pair) => pair,
            None => return Ok(Presented::Wrong),
        },
        None => match (query.get("uid"), query.get("token")) {
            (Some(uid), Some(token)) => (uid.clone(), token.clone()),
            (None, None) => return Ok(Presented::None),
            (Some(_), None) | (None, Some(_)) => return Ok(Presented::Wrong),
        },
    };
    match verified(hub, parts, &uid, token).await {
        Ok(named) => Ok(Presented::Admin(named)),
        Err(NotNamed::Wrong | NotNamed::Wait(_)) => Ok(Presented::Wrong),
        Err(NotNamed::Store(error)) => Err(Status::from(error)),
    }
}

/// The administrator of `Authorization`: `Basic`, or `Bearer uid:token`. It has to be there once.
pub(super) async fn named(hub: &Hub, parts: &Parts) -> Result<Named, NotNamed> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(NotNamed::Wrong) };
    let pair = value.to_str().ok().and_then(|value| basic(value).or_else(|| bearer(value)));
    let (uid, token) = pair.ok_or(NotNamed::Wrong)?;
    verified(hub, parts, &uid, token).await
}

/// As [`named`]; where there is no `Authorization`, the administrator whose `uid` and `token` the
/// query has.
pub(super) async fn named_or_in_query(hub: &Hub, parts: &Parts) -> Result<Named, NotNamed> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        return named(hub, parts).await;
    }
    let mut query = params::query(&parts.uri);
    match (query.remove("uid"), query.remove("token")) {
        (Some(uid), Some(token)) => verified(hub, parts, &uid, token).await,
        (_, _) => Err(NotNamed::Wrong),
    }
}

/// The administrator with this uid, if this is its token. Whether it is counts for the next ones
/// from the same address. Who was right a while ago does not wait for the failures of others: a
/// stale credential somewhere would keep it out.
async fn verified(hub: &Hub, parts: &Parts, uid: &str, token: String) -> Result<Named, NotNamed> {
    let uid = Uid::text(uid).map_err(|_| NotNamed::Wrong)?;
    let address = parts.extensions.get::<Client>().map(|Client(address)| *address);
    let token = Secret::presented(token);
    if let Some(address) = address
        && let Err(wait) = hub.attempts.may(address, Realm::Admin, uid.as_str(), Instant::now())
        && !hub.tokens.was_right(&uid, &token)
    {
        hub.metrics.sign_in_refused("too many failures");
        return Err(NotNamed::Wait(wait));
    }
    for (realm, role) in [(Realm::Admin, Role::Admin), (Realm::Reader, Role::Reader)] {
        if hub.tokens.verify(realm, &uid, &token).await? {
            if let Some(address) = address {
                hub.attempts.succeeded(address, Realm::Admin, uid.as_str());
            }
            return Ok(Named { uid, role });
        }
    }
    if let Some(address) = address {
        hub.attempts.failed(address, Realm::Admin, uid.as_str(), Instant::now());
    }
    Err(NotNamed::Wrong)
}

/// `Bearer uid:token`, RFC 6750.
fn bearer(value: &str) -> Option<(String, String)> {
    let (scheme, pair) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    pair.trim().split_once(':').map(|(uid, token)| (uid.to_owned(), token.to_owned()))
}

/// `Basic base64(uid:token)`, RFC 7617.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(uid, token)| (uid.to_owned(), token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_read() {
        assert_eq!(basic("Basic YWRtaW46YTpi"), Some(("admin".into(), "a:b".into())));
        assert_eq!(basic("Bearer x"), None);
        assert_eq!(basic("Basic %%%"), None);
    }

    #[test]
    fn a_bearers_credentials_are_a_uid_and_a_token() {
        assert_eq!(bearer("Bearer admin:a:b"), Some(("admin".into(), "a:b".into())));
        assert_eq!(bearer("bearer  admin:x "), Some(("admin".into(), "x".into())));
        for wrong in ["Bearer admin", "Bearer", "Basic admin:x", "Bearer:admin:x"] {
            assert_eq!(bearer(wrong), None, "{wrong}");
        }
    }
}
