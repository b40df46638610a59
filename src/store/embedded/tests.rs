//! The embedded store against the contracts, and what only it does.
#![allow(clippy::disallowed_methods)] // tests spawn freely
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;

use super::{Accounts, Durability, Embedded, OpenError, Options, revoke};
use crate::{
    domain::{
        broker::{Broker, Upkeep},
        clock::{Clock, SystemRng},
        ids::Uid,
        limit::Limits,
        message::form::tests::LISTS,
        outbox::Interest,
        presence::{Expelled, Presence},
        receipt::Receipts,
        records::Records,
        retention::{Rules, Walk},
        token::{Realm, Tokens},
    },
    store::contract::{
        BoundsHome, BrokerHome, Erasing, LimitsHome, NodesHome, OutboxHome, PresenceHome,
        RecordsHome, TokensHome, UPDATES, UpkeepHome, broker_contract, limits_contract, nodes,
        nodes_contract, outbox, outbox_bounds_contract, outbox_contract, presence_contract,
        records_contract, tokens_contract, upkeep_contract,
    },
};

mod cost;
mod hooks;
mod hub;
mod keys;
mod opening;
mod outages;
mod people;
mod places;
mod receipts;
mod records;
mod revoking;
mod sign_in;
mod upkeep;
mod volume;
mod writing;

impl Embedded {
    pub(super) fn broker(self: &Arc<Self>) -> Arc<dyn Broker> {
        self.clone()
    }

    pub(super) fn presence(self: &Arc<Self>) -> Arc<dyn Presence> {
        self.clone()
    }

    pub(super) fn tokens(self: &Arc<Self>) -> Arc<dyn Tokens> {
        self.clone()
    }

    pub(super) fn limits(self: &Arc<Self>) -> Arc<dyn Limits> {
        self.clone()
    }
}

/// A clock that stands still until it is moved.
pub(super) struct Watch(AtomicU64);

impl Watch {
    pub(super) fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Clock for Watch {
    fn unix_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A data folder that goes with the test.
pub(super) struct DataFolder {
    folder: TempDir,
    pub(super) watch: Arc<Watch>,
}

impl DataFolder {
    pub(super) fn new() -> Self {
        DataFolder {
            folder: tempfile::tempdir().unwrap(),
            watch: Arc::new(Watch(AtomicU64::new(1_700_000_000_123))),
        }
    }

    pub(super) fn options(&self) -> Options {
        Options {
            path: self.folder.path().join("data"),
            durability: Durability::Process,
            deadline: Duration::from_secs(30),
            room_expiry: None,
            rate_limit: None,
            updates: UPDATES,
            hooks: None,
            retention: Arc::default(),
            forms: LISTS,
            clock: self.watch.clone(),
            rng: Arc::new(SystemRng),
        }
    }

    pub(super) fn open(&self) -> Arc<Embedded> {
        Embedded::open(self.options()).unwrap()
    }

    fn refused(&self) -> OpenError {
        Embedded::open(self.options()).err().unwrap()
    }

    pub(super) fn database(&self) -> std::path::PathBuf {
        self.options().path.join("always-online.sqlite3")
    }
}

impl BrokerHome for DataFolder {
    async fn open(&self) -> Arc<dyn Broker> {
        DataFolder::open(self).broker()
    }
}

impl UpkeepHome for DataFolder {
    async fn open(&self) -> (Arc<dyn Broker>, Arc<dyn Upkeep>) {
        let store = DataFolder::open(self);
        (store.broker(), store)
    }

    async fn receipts(&self) -> (Arc<dyn Broker>, Arc<dyn Receipts>) {
        let store = DataFolder::open(self);
        (store.broker(), store)
    }

    async fn erasing(&self) -> Erasing {
        let store = DataFolder::open(self);
        (store.clone(), store.clone(), store.clone(), store)
    }

    async fn contains(&self, text: &str) -> bool {
        std::fs::read_dir(self.options().path).unwrap().any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        })
    }

    async fn ruled(&self, rules: Rules) -> (Arc<dyn Broker>, Arc<dyn Upkeep>, Arc<dyn Walk>) {
        let options = Options { retention: Arc::new(rules), ..self.options() };
        let store = Embedded::open(options).unwrap();
        (store.clone(), store.clone(), store)
    }

    async fn pass(&self, time: Duration) {
        self.watch.advance(time);
    }
}

impl PresenceHome for DataFolder {
    async fn open(&self) -> (Arc<dyn Broker>, Arc<dyn Presence>) {
        let store = DataFolder::open(self);
        (store.broker(), store.presence())
    }

    async fn revoke(&self, uid: &Uid) -> Expelled {
        let Options { path, .. } = self.options();
        let accounts = Accounts::open(&path, self.watch.clone()).unwrap();
        accounts.revoke(Realm::User, uid).await.unwrap();
        let (uid, watch) = (uid.clone(), self.watch.clone());
        tokio::task::spawn_blocking(move || revoke(&path, &uid, true, &*watch))
            .await
            .unwrap()
            .unwrap()
    }
}

impl OutboxHome for DataFolder {
    async fn open(&self, interest: Interest) -> outbox::Parts {
        let store = Embedded::open(Options { hooks: Some(interest), ..self.options() }).unwrap();
        outbox::Parts {
            broker: store.broker(),
            presence: store.presence(),
            outbox: store.clone(),
            parking: store.clone(),
            erasure: store.clone(),
            upkeep: store,
        }
    }

    async fn pass(&self, time: Duration) {
        self.watch.advance(time);
    }
}

impl BoundsHome for DataFolder {
    async fn spoil(&self, id: &str) {
        let db = rusqlite::Connection::open(self.database()).unwrap();
        let frozen = "UPDATE hook_events SET body = printf('%.*c', octet_length(body), 'x')
             WHERE queue = (SELECT id FROM hook_queues WHERE batch = ?1) AND pos <= (SELECT upto FROM hook_queues WHERE batch = ?1)";
        let parked =
            "UPDATE hook_batches SET body = printf('%.*c', octet_length(body), 'x') WHERE id = ?1";
        let spoiled = db.execute(frozen, [id]).unwrap() + db.execute(parked, [id]).unwrap();
        assert_eq!(spoiled, 1);
    }
}

impl TokensHome for DataFolder {
    async fn open(&self) -> Arc<dyn Tokens> {
        DataFolder::open(self).tokens()
    }
}

impl RecordsHome for DataFolder {
    async fn open(&self) -> Arc<dyn Records> {
        DataFolder::open(self)
    }

    fn now(&self) -> u64 {
        self.watch.unix()
    }

    async fn pass(&self, seconds: u64) {
        self.watch.advance(Duration::from_secs(seconds));
    }
}

impl NodesHome for DataFolder {
    async fn open(&self) -> Vec<nodes::Parts> {
        let store = DataFolder::open(self);
        vec![nodes::Parts { broker: store.broker(), cluster: store.clone(), nodes: store }]
    }
}

impl LimitsHome for DataFolder {
    async fn open(&self, rate_limit: Option<(u32, Duration)>) -> Arc<dyn Limits> {
        tokio::time::pause();
        Embedded::open(Options { rate_limit, ..self.options() }).unwrap().limits()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

broker_contract!(embedded, DataFolder::new());
upkeep_contract!(embedded, DataFolder::new());
presence_contract!(embedded, DataFolder::new());
outbox_contract!(embedded, DataFolder::new());
outbox_bounds_contract!(embedded, DataFolder::new());
tokens_contract!(embedded, DataFolder::new());
records_contract!(embedded, DataFolder::new());
limits_contract!(embedded, DataFolder::new());
nodes_contract!(embedded, DataFolder::new());

/// The same through the command line's door.
mod command_line {
    use super::*;

    struct Folder(DataFolder);

    impl TokensHome for Folder {
        async fn open(&self) -> Arc<dyn Tokens> {
            Accounts::open(&self.0.options().path, self.0.watch.clone()).unwrap()
        }
    }

    tokens_contract!(accounts, Folder(DataFolder::new()));
}
