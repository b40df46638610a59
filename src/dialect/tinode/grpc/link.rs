//! A connection, and when it ends: once its client has not called for long, or when this node sends
//! its clients elsewhere.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::super::Node;
use crate::net::Connection;

/// How long a connection may have no call: at first, and behind one.
const FIRST: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_secs(1);
/// How long a client may take to leave.
const GOODBYE: Duration = Duration::from_secs(5);

/// A connection, and the calls on it.
pub(super) struct Link {
    pub node: Node,
    pub connection: Arc<Connection>,
    open: AtomicUsize,
    begun: AtomicUsize,
    changed: Notify,
    /// It is to end once its calls have: no others begin.
    pub leaving: CancellationToken,
    /// It is to end at once.
    pub cut: CancellationToken,
}

impl Link {
    pub fn new(node: Node, connection: Arc<Connection>) -> Self {
        Link {
            node,
            connection,
            open: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            changed: Notify::new(),
            leaving: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// Returns once it has no calls.
    async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.open.load(SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Returns when no more calls are to begin.
    pub async fn end(&self) {
        tokio::select! {
            () = self.leaving.cancelled() => {}
            () = self.unused() => {}
        }
    }

    /// Returns when nobody has called for long, or this node sends its clients elsewhere.
    async fn unused(&self) {
        let mut patience = FIRST;
        loop {
            self.empty().await;
            let (since, begun) = (Instant::now(), self.begun.load(SeqCst));
            while self.begun.load(SeqCst) == begun {
                if since.elapsed() >= patience || !self.node.is_open() {
                    return;
                }
                sleep(LOOK).await;
            }
            patience = IDLE;
        }
    }

    /// Returns when its client has had time to leave.
    pub async fn left(&self) {
        self.empty().await;
        sleep(GOODBYE).await;
    }
}

/// A call that is open.
pub(super) struct Call(pub Arc<Link>);

impl Call {
    pub fn begin(link: &Arc<Link>) -> Self {
        link.open.fetch_add(1, SeqCst);
        link.begun.fetch_add(1, SeqCst);
        Call(link.clone())
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
        self.0.changed.notify_waiters();
    }
}
