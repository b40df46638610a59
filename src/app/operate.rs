//! What is changed while the server runs. A configuration that is read again is checked whole, and
//! all that it needs is made ready, before anything changes: a broken one changes nothing.
use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{open_gate, stores};
use crate::{
    config::{Config, Origins, Problems, RateLimit},
    dialect::{Dialect, Pace},
    domain::{
        access::{LiveVerifier, Verifier},
        attempts::Tolerance,
        gate::{Gate, LiveGate},
        hub::Hub,
        methods::Methods,
        operations::{Operations, Reloaded},
        quota::Quotas,
        retention::Rules,
        supervise::Supervisor,
    },
    http::Settings,
    jwt,
    live::Live,
    lock::lock,
    net::{admission::Admission, tls::Tls},
    pace::Rate,
    telemetry,
};

/// Reads the configuration, as at the start of the process.
pub type Source = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// Steps in which clients are sent away.
const STEPS: u32 = 100;
/// Then everybody is sent away again and again, as somebody may have been about to come in.
const AGAIN: Duration = Duration::from_secs(1);

/// What can be replaced.
pub(super) struct Lives {
    pub(super) origins: Arc<Live<Arc<Origins>>>,
    pub(super) verifier: LiveVerifier,
    pub(super) gate: LiveGate,
    pub(super) rules: Arc<Rules>,
    pub(super) interval: Arc<Live<Duration>>,
    pub(super) settings: Settings,
}

impl Lives {
    /// As they are configured, with these keys for tokens, and with nobody to ask yet.
    pub(super) fn of(config: &Config, tokens: Option<Arc<jwt::Tokens>>) -> Self {
        Lives {
            origins: Live::new(Arc::new(config.websocket.origins.clone())),
            verifier: Live::new(tokens.map(|tokens| -> Arc<dyn Verifier> { tokens })),
            gate: Live::new(None),
            rules: stores::retention(config),
            interval: Live::new(config.retention.interval),
            settings: Live::new(shown(config)),
        }
    }
}

/// The configuration as it is shown to administrators.
fn shown(config: &Config) -> Arc<[(String, String)]> {
    config.values().into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn rate(RateLimit { count, window }: RateLimit) -> Rate {
    Rate { count, window }
}

/// Tells the core what is set for it.
pub(super) fn set(hub: &Hub, config: &Config) {
    let limits = &config.limits;
    hub.quotas.set(Quotas {
        joins: rate(limits.joins),
        new_rooms: rate(limits.new_rooms),
        rooms: limits.rooms_per_connection.number(None),
    });
    hub.attempts.tolerate(Tolerance {
        per_account: rate(limits.failed_sign_ins),
        per_address: rate(limits.failed_sign_ins_per_address),
    });
    hub.logs_connections.store(config.log.connections, Relaxed);
}

/// Operates a server.
pub(super) struct Operator {
    pub(super) hub: Arc<Hub>,
    pub(super) dialects: Vec<Arc<dyn Dialect>>,
    /// What dialects add to the HTTP API.
    pub(super) methods: Vec<Arc<dyn Methods>>,
    pub(super) lives: Lives,
    pub(super) admission: Arc<Admission>,
    pub(super) certificates: Vec<Arc<Tls>>,
    pub(super) supervisor: Supervisor,
    pub(super) working: CancellationToken,
    /// Cancelled when the server begins to end.
    pub(super) listening: CancellationToken,
    pub(super) source: Source,
    /// What holds now; one reload at a time.
    pub(super) running: tokio::sync::Mutex<Config>,
    /// Ends the watch over the keys that hold now.
    pub(super) watching: Mutex<CancellationToken>,
    /// Ends a drain. It is locked over all that begins or ends one: of two who ask for both at once
    /// one comes first, and whether newcomers are let in agrees with whether clients are sent away.
    pub(super) draining: Mutex<CancellationToken>,
}

/// A reload that is ready to be carried out. `None`: nothing about it has changed, and what there is
/// goes on with all that it knows: keys that were fetched, kept answers, a breaker that is open.
struct Ready {
    tokens: Option<Option<Arc<jwt::Tokens>>>,
    gate: Option<Option<Arc<dyn Gate>>>,
}

impl Operator {
    /// Watches over the keys for tokens, from the start.
    pub(super) fn watch(&self, tokens: &jwt::Tokens) {
        let stop = self.working.child_token();
        tokens.keep(&self.supervisor, &stop);
        std::mem::replace(&mut *lock(&self.watching), stop).cancel();
    }

    /// Whether newcomers are sent elsewhere, or let in.
    pub(super) fn set_draining(&self, draining: bool) {
        self.hub.set_ready(!draining);
        self.hub.metrics.node.draining.set(draining.into());
    }

    /// Makes all ready that may fail.
    fn prepare(&self, running: &Config, new: &Config) -> Result<Ready, String> {
        let tokens = (running.jwt != new.jwt)
            .then(|| jwt::Tokens::open(&new.jwt, self.hub.clock.clone(), &self.hub.tasks));
        let tokens = tokens.transpose().map_err(|error| error.to_string())?;
        let gate = (running.hook != new.hook).then(|| open_gate(new, &self.hub));
        let gate = gate.transpose().map_err(|error| error.to_string())?;
        telemetry::check_filter(&new.log.filter)?;
        Ok(Ready { tokens, gate })
    }

    /// Carries it out. Nothing of it can fail.
    fn commit(&self, new: &Config, ready: Ready) {
        self.admission.change(&new.limits);
        set(&self.hub, new);
        self.lives.origins.set(Arc::new(new.websocket.origins.clone()));
        self.lives.rules.replace(stores::rules(new));
        self.lives.interval.set(new.retention.interval);
        if let Some(gate) = ready.gate {
            self.lives.gate.set(gate);
            // Those of the one before.
            let hooks = &self.hub.metrics.hooks;
            hooks.breaker_open.set(0);
            hooks.cached_bytes.set(0);
        }
        if let Some(tokens) = ready.tokens {
            match &tokens {
                Some(tokens) => self.watch(tokens),
                None => lock(&self.watching).cancel(),
            }
            self.lives.verifier.set(tokens.map(|tokens| -> Arc<dyn Verifier> { tokens }));
        }
        self.lives.settings.set(shown(new));
        telemetry::set_filter(&new.log.filter);
    }
}

/// The running configuration, with what of the new one can be taken in.
fn taken_in(running: &Config, new: &Config) -> Config {
    let mut next = running.clone();
    next.limits = new.limits.clone();
    next.websocket.origins = new.websocket.origins.clone();
    next.log.filter.clone_from(&new.log.filter);
    next.log.connections = new.log.connections;
    next.hook = new.hook.clone();
    next.jwt = new.jwt.clone();
    next.jwt.grace = running.jwt.grace;
    next.jwt.leeway = running.jwt.leeway;
    next.jwt.max_lifetime = running.jwt.max_lifetime;
    next.retention = new.retention.clone();
    next
}

/// The keys of settings that differ; of secrets, whose values are not shown, their section.
fn differences(one: &Config, other: &Config) -> Vec<String> {
    let pairs = one.values().into_iter().zip(other.values());
    let mut keys: Vec<String> =
        pairs.filter(|(a, b)| a != b).map(|((key, _), _)| key.to_owned()).collect();
    for (section, differs) in [
        ("hook", one.hook != other.hook),
        ("jwt", one.jwt != other.jwt),
        ("gotapi", one.gotapi != other.gotapi),
        ("wechat", one.wechat != other.wechat),
        ("tinode", one.tinode != other.tinode),
        ("store", one.store != other.store),
        ("webhook", one.webhook != other.webhook),
    ] {
        if differs && !keys.iter().any(|key| key.starts_with(&format!("{section}."))) {
            keys.push(format!("{section}. (a secret)"));
        }
    }
    if one.webhooks != other.webhooks {
        keys.push("webhook.* (endpoints by name)".to_owned());
    }
    keys
}

#[async_trait]
impl Operations for Operator {
    async fn reload(&self) -> Result<Reloaded, String> {
        let mut running = self.running.lock().await;
        let (source, certificates) = (self.source.clone(), self.certificates.clone());
        // It reads files.
        let read = move || {
            let new = source().map_err(|error| error.to_string())?;
            let unusable = certificates.iter().find_map(|tls| tls.check().err());
            unusable.map_or(Ok(new), |error| Err(error.to_string()))
        };
        let read = self.hub.tasks.spawn_blocking(read).await;
        let new = read.map_err(|error| error.to_string())??;
        let next = taken_in(&running, &new);
        let ready = self.prepare(&running, &next)?;
        let changed = differences(&running, &next);
        let restart = differences(&next, &new);
        self.commit(&next, ready);
        *running = next;
        drop(running);
        let certificates = self.certificates.clone();
        let renew = move || certificates.iter().for_each(|tls| tls.renew());
        let _ = self.hub.tasks.spawn_blocking(renew).await; // reading files again panics nowhere
        tracing::info!(
            changed = changed.join(", "),
            restart = restart.join(", "),
            "the configuration was read again"
        );
        Ok(Reloaded { changed, restart })
    }

    fn drain(&self, over: Duration) -> usize {
        let clients = self.hub.open_connections();
        let stop = self.working.child_token();
        let mut draining = lock(&self.draining);
        self.set_draining(true);
        std::mem::replace(&mut *draining, stop.clone()).cancel();
        drop(draining);
        tracing::info!(clients, ?over, "draining: newcomers are sent elsewhere, clients sent away");
        let dialects = self.dialects.clone();
        let batches = u32::try_from(clients).unwrap_or(u32::MAX);
        let mut pace = Pace { batch: batches.div_ceil(STEPS) as usize, jitter: over };
        self.hub.tasks.spawn(stop.run_until_cancelled_owned(async move {
            loop {
                join_all(dialects.iter().map(|dialect| dialect.drain(pace))).await;
                tokio::time::sleep(AGAIN).await;
                pace = Pace::AT_ONCE;
            }
        }));
        clients
    }

    fn resume(&self) {
        let draining = lock(&self.draining);
        draining.cancel();
        if self.listening.is_cancelled() {
            return; // it ends
        }
        self.set_draining(false);
        if self.listening.is_cancelled() {
            self.set_draining(true); // it began to end meanwhile
            return;
        }
        drop(draining);
        tracing::info!("newcomers are let in again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    /// Settings that are taken in, by the beginning of their keys.
    const LIVE: [&str; 7] = [
        "limits.",
        "websocket.origins",
        "log.filter",
        "log.connections",
        "hook.",
        "jwt.",
        "retention.",
    ];
    /// Of these, those that other parts have relied on since the start.
    const FIXED: [&str; 3] = ["jwt.grace", "jwt.leeway", "jwt.max_lifetime"];

    fn config(pairs: &[(&str, &str)]) -> Config {
        let environment = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned().into(), (*value).to_owned().into()));
        Config::load(None, environment, &Flags::new()).unwrap()
    }

    #[test]
    fn what_can_be_taken_in_is_what_is_said_to_be() {
        let old = config(&[]);
        let new = config(&[
            ("AO_LIMITS__CONNECTIONS", "7"),
            ("AO_WEBSOCKET__ORIGINS", "https://a.example"),
            ("AO_LOG", "debug"),
            ("AO_LOG__CONNECTIONS", "true"),
            ("AO_RETENTION__RULES", "*=1d"),
            ("AO_STORE__PATIENCE", "1s"),
            ("AO_JWT__SECRET", "a secret of more than thirty-two bytes"),
            ("AO_JWT__GRACE", "1s"),
            ("AO_GOTAPI__SECRET", "another"),
        ]);
        let next = taken_in(&old, &new);
        let changed = differences(&old, &next);
        for key in &changed {
            assert!(LIVE.iter().any(|live| key.starts_with(live)), "{key}");
            assert!(!FIXED.contains(&key.as_str()), "{key}");
        }
        assert_eq!(changed.len(), 6, "{changed:?}");
        let restart = differences(&next, &new);
        assert_eq!(restart, ["gotapi.secret", "store.patience", "jwt.grace"]);
        let secret = |secret| config(&[("AO_GOTAPI__SECRET", secret)]);
        assert_eq!(differences(&secret("one"), &secret("other")), ["gotapi. (a secret)"]);
        assert_eq!(differences(&new, &new), Vec::<String>::new());
    }
}
