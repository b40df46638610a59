//! Who is let in. A server that takes more than it can carry ends for everybody; one that says no
//! to newcomers, and why, carries those it has.
//!
//! A connection that is let in has a [`Place`], and gives it back when it ends, whichever way: so
//! what is counted here is what is there. A session that polls shares the place of the connection
//! that it began on, or has one of its own, and so counts when that has gone. Whoever is refused
//! gets an HTTP answer that says so ([`Full::status`]), as far as there are not too many of them at
//! once.
//!
//! Behind a proxy all connections come from its address. Where the proxy is one of those that are
//! believed (`limits.proxies`), its `X-Forwarded-For` says who is behind it.
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{
            AtomicBool, AtomicU32, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use http::{HeaderMap, HeaderName};
use quick_cache::unsync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

pub use self::full::Full;
pub(super) use self::{
    pace::Pace,
    place::{Place, Seat},
};
use super::meter::Meter;
use crate::{
    config::{Limits, Networks},
    household::household,
    metrics::Metrics,
    reason::Label,
    throttle::throttled,
};

mod full;
mod memory;
mod pace;
mod place;
#[cfg(test)]
mod tests;

/// Refused connections that are answered at a time; more are closed without a word.
const ANSWERED: usize = 256;
/// Households whose requests are remembered; those that asked last.
const ASKING: usize = 1 << 16;
/// How often the memory of the process is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Newcomers are let in again when the memory is below so many hundredths of its bound.
const RELIEF: usize = 95;
/// Of hundred bytes of the memory's bound: from each of these on, a client may be half as far
/// behind.
const SCARCE: [usize; 5] = [80, 85, 90, 95, 100];
/// Of hundred files that the process may have open, so many may be connections.
const FILES: usize = 95;
/// Who has passed a request on, and for whom.
pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The rules, and who is there.
pub struct Admission {
    rules: RwLock<Rules>,
    metrics: Arc<Metrics>,
    inside: AtomicUsize,
    /// Connections by the household that they come from, where that is bounded.
    addresses: Mutex<HashMap<IpAddr, u32>>,
    pace: Mutex<Pace>,
    /// The memory is at its bound.
    strained: AtomicBool,
    /// How often what a client may be behind is halved: the more, the nearer the memory is to its
    /// bound.
    scarcity: AtomicU32,
    refusing: Arc<Semaphore>,
    /// How often requests came from each household of late, where that is bounded.
    requests: Mutex<Cache<IpAddr, Pace>>,
    /// Permits to work on the costly parts of TLS handshakes: of clients, and of everybody else.
    handshakes: [Arc<Semaphore>; 2],
}

/// TLS handshakes of clients that are worked on at a time. Each keeps one worker of the runtime
/// busy as long as a thousand messages would, so with half of the workers the others serve those
/// who are there, however many newcomers there are.
fn handshakes() -> usize {
    let workers = tokio::runtime::Handle::try_current().map(|it| it.metrics().num_workers());
    (workers.unwrap_or(1) / 2).max(1)
}

/// The limits, worked out.
struct Rules {
    connections: Option<usize>,
    per_address: Option<u32>,
    /// What a household may ask; `None`: anything.
    requests: Option<Pace>,
    /// What one client may send; `None`: anything.
    sending: Option<[Pace; 2]>,
    memory: Option<usize>,
    proxies: Networks,
}

impl Rules {
    fn of(limits: &Limits) -> Self {
        Rules {
            connections: limits.connections.number(files()),
            per_address: limits
                .connections_per_address
                .number(None)
                .and_then(|number| u32::try_from(number).ok()),
            requests: (!limits.requests_per_address.is_off())
                .then(|| Pace::of(limits.requests_per_address)),
            sending: (!limits.messages.is_off() || !limits.bytes.is_off())
                .then(|| [limits.messages, limits.bytes].map(Pace::of)),
            memory: limits.memory.map(|size| size.bytes()),
            proxies: limits.proxies.clone(),
        }
    }
}

/// The connections that there are files for, if the system tells.
fn files() -> Option<usize> {
    let soft = rlimit::Resource::NOFILE.get_soft().ok()?;
    usize::try_from(soft).ok().filter(|soft| *soft < usize::MAX / FILES).map(|s| s * FILES / 100)
}

impl Admission {
    /// With these limits, and nobody there.
    pub fn new(limits: &Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Admission {
            rules: RwLock::new(Rules::of(limits)),
            metrics,
            inside: AtomicUsize::new(0),
            addresses: Mutex::default(),
            pace: Mutex::new(Pace::of(limits.new_connections)),
            strained: AtomicBool::new(false),
            scarcity: AtomicU32::new(0),
            refusing: Arc::new(Semaphore::new(ANSWERED)),
            requests: Mutex::new(Cache::new(ASKING)),
            handshakes: [handshakes(), 1].map(|permits| Arc::new(Semaphore::new(permits))),
        })
    }

    /// Other limits, from now on, for newcomers: who is there stays.
    pub fn change(&self, limits: &Limits) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules::of(limits);
        *self.pace.lock().unwrap_or_else(PoisonError::into_inner) =
            Pace::of(limits.new_connections);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn rules(&self) -> RwLockReadGuard<'_, Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody comes from this address.
    ///
    /// # Errors
    /// Why it is not let in; that is counted.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Place, Full> {
        let place = self.find_place(peer, now);
        if let Err(full) = place {
            self.tell(full, Some(peer));
        }
        place
    }

    fn find_place(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Result<Place, Full> {
        let (connections, per_address, believed) = {
            let rules = self.rules();
            (rules.connections, rules.per_address, rules.proxies.contains(peer))
        };
        if self.is_strained() {
            return Err(Full::Memory);
        }
        let place = self.place(connections)?;
        if let Some(most) = per_address.filter(|_| !believed) {
            place.take(self.sit(household(peer), most)?);
        }
        // The last, as nobody takes it back.
        if self.admit(now) { Ok(place) } else { Err(Full::Rate) }
    }

    /// One of all places, of which there are this many.
    fn place(self: &Arc<Self>, connections: Option<usize>) -> Result<Place, Full> {
        // Counted first: of two who come for the last place one gets it.
        let inside = self.inside.fetch_add(1, Relaxed);
        let place = Place::among(self);
        if connections.is_some_and(|most| inside >= most) {
            Err(Full::Connections)
        } else {
            Ok(place)
        }
    }

    /// Whether one more newcomer is within the rate.
    fn admit(&self, now: Instant) -> bool {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).admit(now)
    }

    /// Somebody who is there already, on a connection, begins one more session on it: within the
    /// place that there is, or with one of its own, if that one is `taken`.
    ///
    /// # Errors
    /// Why that is not let in; it is counted.
    pub(super) fn enter_again(
        self: &Arc<Self>,
        taken: bool,
        now: Instant,
    ) -> Result<Option<Place>, Full> {
        let find = || {
            if self.is_strained() {
                return Err(Full::Memory);
            }
            let connections = self.rules().connections;
            let place = taken.then(|| self.place(connections)).transpose()?;
            if self.admit(now) { Ok(place) } else { Err(Full::Rate) }
        };
        find().inspect_err(|full| self.tell(*full, None))
    }

    /// A place among those of this address. `None`: there is no bound.
    ///
    /// # Errors
    /// There are as many from there as there may be; that is counted.
    pub(super) fn seat(self: &Arc<Self>, client: IpAddr) -> Result<Option<Arc<Seat>>, Full> {
        let most = self.rules().per_address;
        let Some(most) = most else { return Ok(None) };
        self.sit(household(client), most)
            .map(Some)
            .inspect_err(|full| self.tell(*full, Some(client)))
    }

    fn sit(self: &Arc<Self>, address: IpAddr, most: u32) -> Result<Arc<Seat>, Full> {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_default();
        if *count >= most {
            return Err(Full::Address);
        }
        *count += 1;
        Ok(Seat::of(self, address))
    }

    /// Somebody asks something by HTTP: this peer, or whom that names where it is a proxy that is
    /// believed. Of one that names nobody nothing is counted: all of its clients would be one.
    ///
    /// # Errors
    /// Too many have asked from there of late; that is counted.
    pub(super) fn ask(&self, peer: IpAddr, headers: &HeaderMap, now: Instant) -> Result<(), Full> {
        let fresh = self.rules().requests.clone();
        let Some(fresh) = fresh else { return Ok(()) };
        let client = match self.forwarded(peer, headers) {
            Some(client) => client,
            None if self.believes(peer) => {
                throttled!(
                    warn,
                    proxy = %peer,
                    "a proxy that is believed sends no X-Forwarded-For: its requests are not counted"
                );
                return Ok(());
            }
            None => peer,
        };
        let (mut requests, household) =
            (self.requests.lock().unwrap_or_else(PoisonError::into_inner), household(client));
        let mut pace = requests.get(&household).cloned().unwrap_or(fresh);
        let in_time = pace.admit(now);
        requests.insert(household, pace);
        drop(requests);
        if in_time {
            return Ok(());
        }
        self.tell(Full::Requests, Some(client));
        Err(Full::Requests)
    }

    /// What a client sends is measured with this; `None`: it may send anything.
    pub fn meter(&self) -> Option<Box<Meter>> {
        let [messages, bytes] = self.rules().sending.clone()?;
        Some(Box::new(Meter::new(messages, bytes)))
    }

    /// A client sends faster than it may, and is read later.
    pub(super) fn slows(&self) {
        self.metrics.slowed();
    }

    /// Permits to work on the costly parts of TLS handshakes, with bytes that have come. There is
    /// one apart for those who are no clients: administrators, and who watches over the server, do
    /// not wait behind newcomers.
    pub(super) fn handshakes(&self, of_clients: bool) -> Arc<Semaphore> {
        let [clients, others] = &self.handshakes;
        Arc::clone(if of_clients { clients } else { others })
    }

    fn tell(&self, full: Full, address: Option<IpAddr>) {
        self.metrics.newcomer_refused(full);
        throttled!(
            warn,
            status = full.status().as_u16(),
            why = full.label(),
            address = address.map(tracing::field::display),
            "a newcomer is refused"
        );
    }

    /// Whom a request is from, by the believed proxies that it has passed: read from the right, the
    /// first that is no such proxy. `None`: it comes from no such proxy, or that says nothing of
    /// use.
    pub fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let rules = self.rules();
        if !rules.proxies.contains(peer) {
            return None;
        }
        // Several such headers are one list (RFC 9110, 5.3).
        let lines: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        let mut last = None;
        for word in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            // What is no address is the word of whoever stands behind the last proxy.
            let Some(address) = address(word.trim()) else { return last };
            last = Some(address);
            if !rules.proxies.contains(address) {
                return last;
            }
        }
        last
    }

    /// Whether the memory of the process is at its bound.
    pub fn is_strained(&self) -> bool {
        self.strained.load(Relaxed)
    }

    /// What a client may be behind, of a backlog and a burst beyond that. Members who read nothing
    /// take most of what a server has: so the nearer the memory is to its bound, the sooner they
    /// are dropped, and there is no burst.
    pub fn borne(&self, backlog: usize, burst: usize) -> usize {
        match self.scarcity.load(Relaxed) {
            0 => backlog.saturating_add(burst),
            halvings => backlog >> halvings,
        }
    }

    /// Connections that are there, and sessions whose connection is not, or is another one's.
    pub fn inside(&self) -> usize {
        self.inside.load(SeqCst)
    }

    /// Addresses that are counted by now; none when all have gone.
    pub fn addresses(&self) -> usize {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// A permit to answer one who was refused; `None`: too many are being answered.
    pub(super) fn answering(&self) -> Option<OwnedSemaphorePermit> {
        self.refusing.clone().try_acquire_owned().ok()
    }

    /// Whether connections from this address are those of a proxy that is believed.
    pub(super) fn believes(&self, peer: IpAddr) -> bool {
        self.rules().proxies.contains(peer)
    }

    /// Looks after the memory of the process. Never ends.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let most = self.rules().memory;
            let Some(most) = most else {
                self.strained.store(false, Relaxed);
                self.scarcity.store(0, Relaxed);
                continue;
            };
            self.weigh(memory::resident(), most);
        }
    }

    /// So many bytes are used of so many.
    pub(super) fn weigh(&self, used: usize, most: usize) {
        let was = self.is_strained();
        let bound = if was { most / 100 * RELIEF } else { most };
        let is = used >= bound;
        self.strained.store(is, Relaxed);
        let parts = used.saturating_mul(100) / most.max(1);
        let halvings = SCARCE.iter().filter(|from| parts >= **from).count();
        self.scarcity.store(u32::try_from(halvings).unwrap_or(0), Relaxed);
        if is != was {
            tracing::warn!(
                used,
                bound = most,
                "{}",
                if is {
                    "no memory to spare: newcomers are refused"
                } else {
                    "memory to spare again"
                }
            );
        }
    }
}

/// An address as proxies write it: with a port or without, of IPv6 in brackets or without.
fn address(word: &str) -> Option<IpAddr> {
    let plain = word.parse::<IpAddr>().ok();
    let bracketed = || word.strip_prefix('[')?.split_once(']')?.0.parse().ok();
    let with_port = || word.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    plain.or_else(with_port).or_else(bracketed).map(|address: IpAddr| address.to_canonical())
}
