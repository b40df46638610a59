//! The command `token verify`: whether a JSON Web Token would be accepted, and if not, why. It asks
//! the keys of the configuration, and whoever publishes them; that a token was revoked is known to
//! the store of a running server alone, and not looked at.
use std::{io::Read, sync::Arc};

use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;

use super::exit;
use crate::{
    app::StartError,
    config::Config,
    console,
    domain::{
        access::TokenFault,
        clock::{Clock, SystemClock},
    },
    jwt::{MAX_TOKEN, Tokens, Trouble},
    reason::Label,
};

/// Says what is to be said of the token, or of the one on standard input where it is `-`.
pub(super) fn run(config: &Config, token: &str) -> anyhow::Result<u8> {
    let clock = Arc::new(SystemClock);
    let Some(tokens) =
        Tokens::open(&config.jwt, clock.clone(), &TaskTracker::new()).map_err(StartError::from)?
    else {
        console::complain(
            "always-online: there are no keys for tokens: set jwt.secret, jwt.keys or jwt.jwks_url",
        );
        return Ok(exit::WRONG_CONFIGURATION);
    };
    let mut given = token.to_owned();
    if token == "-" {
        given.clear();
        let most = 2 * MAX_TOKEN as u64;
        std::io::stdin().lock().take(most).read_to_string(&mut given)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let examined = runtime.block_on(async {
        match tokens.fetch().await {
            Ok(()) => tokens.examine(None, given.trim()).await,
            Err(why) => Err(Trouble::Unavailable(why)),
        }
    });
    match examined {
        Ok((_, claims)) => {
            console::print(accepted(&claims, clock.unix()))?;
            Ok(0)
        }
        Err(trouble) => {
            console::complain(format_args!("always-online: {}", refused(&trouble)));
            Ok(exit::FAILED)
        }
    }
}

fn refused(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Refused(refusal) if refusal.fault == TokenFault::Expired => {
            format!("expired: {}; nothing else is wrong with it", refusal.detail)
        }
        Trouble::Refused(refusal) => format!("{}: {}", refusal.fault.label(), refusal.detail),
        Trouble::Unavailable(why) => format!("the keys can't be fetched: {why}"),
    }
}

/// What is to be known of a token that does not say when it was issued.
const UNDATED: &str = "revocations: not looked at, the server knows them. The token has no iat, so it counts as older than each: \
    it is refused once tokens of its user were revoked by issuedBefore, or all of them\n";

/// What an accepted token is good for.
fn accepted(claims: &Map<String, Value>, now: u64) -> String {
    let text = |name: &str| claims.get(name).map(Value::to_string);
    let left = claims.get("exp").and_then(Value::as_u64).unwrap_or(0).saturating_sub(now);
    let mut said = format!(
        "accepted for the user {}, for another {left} s\n",
        text("sub").unwrap_or_default()
    );
    said += &match text("caps") {
        Some(caps) => format!("caps: {caps}\n"),
        None => "caps: none are named, so every room\n".to_owned(),
    };
    for name in ["jti", "meta"] {
        if let Some(value) = text(name) {
            said += &format!("{name}: {value}\n");
        }
    }
    said += match text("iat") {
        Some(_) => "revocations: not looked at, the server knows them\n",
        None => UNDATED,
    };
    said
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jwt::Refusal;

    #[test]
    fn it_is_said_what_a_token_is_good_for_or_what_is_wrong_with_it() {
        let mut claims = json!({ "sub": "ann", "exp": 160, "iat": 90, "jti": "j" });
        let said = "accepted for the user \"ann\", for another 60 s\ncaps: none are named, so every room\njti: \"j\"\n";
        let known = "revocations: not looked at, the server knows them\n";
        assert_eq!(accepted(claims.as_object().unwrap(), 100), format!("{said}{known}"));
        claims.as_object_mut().unwrap().remove("iat");
        assert_eq!(accepted(claims.as_object().unwrap(), 100), format!("{said}{UNDATED}"));
        let refusal = |fault| Trouble::Refused(Refusal { fault, detail: "why".into() });
        assert_eq!(refused(&refusal(TokenFault::Audience)), "audience: why");
        assert_eq!(
            refused(&refusal(TokenFault::Expired)),
            "expired: why; nothing else is wrong with it"
        );
    }
}
