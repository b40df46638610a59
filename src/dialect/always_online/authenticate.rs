//! Who a client is: its token, how often it signs in, and whose session is the user's.
use super::wire::{AuthRefusal, Credentials};
use crate::domain::{
    error::StoreError,
    hub::Hub,
    ids::{ConnectionId, RoomId, SocketId},
    presence::{Claim, Revocations},
    token::Realm,
};
use crate::throttle::throttled;

/// How often credentials are checked for one claim. Each further time takes another revocation of
/// the same user's.
const CHECKS: usize = 4;

/// Checks token and rate. Returns what was known of revocations before, or nothing where no token is
/// needed.
///
/// # Errors
/// Why the client is not the user, or may not sign in now.
pub(super) async fn admit(
    hub: &Hub,
    credentials: &Credentials,
) -> Result<Option<Revocations>, AuthRefusal> {
    let checked = hub.force_user_auth().then(|| hub.revocations());
    if checked.is_some() {
        check(hub, credentials).await?;
    }
    match hub.limits.admit(&credentials.uid).await {
        Ok(true) => Ok(checked),
        Ok(false) => Err(AuthRefusal::RateLimit),
        Err(error) => Err(failed(&error)),
    }
}

/// Makes this connection, which has been registered, the user's session; an earlier one is evicted.
/// Returns the rooms that are held for the user. `checked` is what [`admit`] returned.
///
/// # Errors
/// The credentials were revoked meanwhile, or the store does not answer.
pub(super) async fn claim(
    hub: &Hub,
    credentials: &Credentials,
    connection: ConnectionId,
    name: &SocketId,
    mut checked: Option<Revocations>,
) -> Result<Vec<RoomId>, AuthRefusal> {
    for _ in 0..CHECKS {
        match hub.claim(&credentials.uid, connection, name, checked).await {
            Ok(Claim::Made(held)) => return Ok(held),
            Ok(Claim::CheckAgain(now)) => {
                check(hub, credentials).await?;
                checked = Some(now);
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    tracing::warn!("an authentication failed: the user's credentials are revoked again and again");
    Err(AuthRefusal::Server)
}

/// Checks the token.
async fn check(hub: &Hub, credentials: &Credentials) -> Result<(), AuthRefusal> {
    let token = credentials.token.as_ref().ok_or(AuthRefusal::Wrong)?;
    match hub.tokens.verify(Realm::User, &credentials.uid, token).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(AuthRefusal::Wrong),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &StoreError) -> AuthRefusal {
    throttled!(warn, %error, "an authentication failed");
    AuthRefusal::Server
}
