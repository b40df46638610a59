//! Webhooks: business servers are told of what happened, at least once, and each room's events in
//! their order.
//!
//! What is to be told is in the outbox of the store ([`crate::domain::outbox`]). For each endpoint one
//! task takes batches there, as many as may be under way, each of another room ([`dispatch`]). What
//! an answer means, and when what failed is tried again, is in [`health`] and [`schedule`], without
//! any input or output.
mod dispatch;
mod health;
mod schedule;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::dispatch::Dispatcher;
use super::sign::Signer;
use crate::{
    config::{HttpUrl, SigningSecret, Webhook},
    domain::{
        outbox::{Endpoint, Interest, Kinds, Outbox, Pattern},
        services::Services,
    },
    net::client::{Client, ClientError},
    throttle::throttled,
};

/// The endpoint of the section `[webhook]` itself.
pub const MAIN: &str = "main";
/// Pauses between two looks at who has left.
const SWEEPS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Between two looks at what waits.
const FIGURES: Duration = Duration::from_secs(5);

/// An endpoint that is configured.
struct Configured<'a> {
    name: &'a str,
    webhook: &'a Webhook,
    url: &'a HttpUrl,
    secret: &'a SigningSecret,
}

/// All of them. A URL without a secret, which the configuration has refused, is none.
fn configured<'a>(
    main: &'a Webhook,
    others: &'a BTreeMap<String, Webhook>,
) -> impl Iterator<Item = Configured<'a>> {
    let others = others.iter().map(|(name, webhook)| (name.as_str(), webhook));
    let all = std::iter::once((MAIN, main)).chain(others);
    all.filter_map(|(name, webhook)| {
        let (url, secret) = (webhook.url.as_ref()?, webhook.secret.as_ref()?);
        Some(Configured { name, webhook, url, secret })
    })
}

/// The files of authorities that they name.
pub fn authorities<'a>(
    main: &'a Webhook,
    others: &'a BTreeMap<String, Webhook>,
) -> impl Iterator<Item = &'a Path> {
    configured(main, others).filter_map(|configured| configured.webhook.ca.as_deref())
}

fn endpoint(name: &str, webhook: &Webhook) -> Endpoint {
    Endpoint {
        name: name.into(),
        // The configuration has refused what would be wrong here.
        kinds: Kinds::parse(webhook.events.iter()).unwrap_or_default(),
        rooms: webhook.rooms.iter().filter_map(|room| Pattern::parse(room).ok()).collect(),
        pending: webhook.pending.bytes() as u64,
        batch: usize::try_from(webhook.batch).unwrap_or(usize::MAX),
    }
}

/// What the store has to write down; nothing where no endpoint is configured.
pub fn interest(main: &Webhook, others: &BTreeMap<String, Webhook>) -> Option<Interest> {
    let endpoints: Vec<_> =
        configured(main, others).map(|it| endpoint(it.name, it.webhook)).collect();
    let delays = configured(main, others).map(|it| it.webhook.leave_delay);
    let leave_delay = delays.max()?;
    Some(Interest { endpoints, leave_delay })
}

/// Tells the endpoints from now on, until `stop`.
///
/// # Errors
/// A file with authorities can't be used.
pub fn start(
    main: &Webhook,
    others: &BTreeMap<String, Webhook>,
    outbox: &Arc<dyn Outbox>,
    services: &Services,
    stop: &CancellationToken,
) -> Result<(), ClientError> {
    let mut endpoints = Vec::new();
    for Configured { name, webhook, url, secret } in configured(main, others) {
        let client = Client::new(webhook.ca.as_deref(), services.tasks.clone())?;
        let endpoint = endpoint(name, webhook);
        endpoints.push(endpoint.clone());
        let dispatcher = Arc::new(Dispatcher::new(
            endpoint,
            dispatch::Target {
                url: url.expose().clone(),
                signer: Signer::new(secret, webhook.previous_secret.as_ref()),
                client,
                timeout: webhook.timeout,
            },
            dispatch::Limits {
                concurrency: usize::try_from(webhook.concurrency).unwrap_or(usize::MAX),
                keep: webhook.keep,
            },
            outbox.clone(),
            services,
        ));
        services.supervisor.keep("webhooks", stop, move || dispatcher.clone().run());
        tracing::info!(endpoint = name, %url, "webhooks are told");
    }
    if endpoints.is_empty() {
        return Ok(());
    }
    let swept = outbox.clone();
    services.supervisor.keep("leaves", stop, move || sweep(swept.clone()));
    let (outbox, clock, metrics) =
        (outbox.clone(), services.clock.clone(), services.metrics.clone());
    let figures = move || {
        let (outbox, endpoints) = (outbox.clone(), endpoints.clone());
        let (clock, metrics) = (clock.clone(), metrics.clone());
        async move {
            loop {
                for endpoint in &endpoints {
                    let Ok(standing) = outbox.standing(endpoint).await else { continue };
                    let age = standing.oldest_ms.map_or(0, |at| clock.unix_ms().saturating_sub(at));
                    let figures = crate::metrics::webhooks::Standing {
                        bytes: standing.bytes,
                        parked: standing.parked,
                        age_seconds: age / 1000,
                        dropped: standing.dropped,
                    };
                    metrics.webhooks.stands(&endpoint.name, figures);
                }
                sleep(FIGURES).await;
            }
        }
    };
    services.supervisor.keep("webhook figures", stop, figures);
    Ok(())
}

/// Tells who has left, as their time comes.
async fn sweep(outbox: Arc<dyn Outbox>) {
    loop {
        let next = match outbox.sweep().await {
            Ok(next) => next.unwrap_or(SWEEPS.1),
            Err(error) => {
                throttled!(warn, %error, "who has left can't be told to webhooks yet");
                SWEEPS.1
            }
        };
        sleep(next.clamp(SWEEPS.0, SWEEPS.1)).await;
    }
}

#[cfg(test)]
mod tests {
    use crate::config::section::webhook::EVENTS;
    use crate::domain::outbox::Kind;

    #[test]
    fn the_configuration_knows_all_events() {
        assert_eq!(EVENTS.to_vec(), Kind::ALL.map(Kind::name).to_vec());
    }
}
