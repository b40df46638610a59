//! Catching up: a room's log in pages, its updates behind the last one.
//!
//! What is read takes memory until its reader has it, so pages are bounded together ([`Budget`]).
//! Most are small: at most as much as a connection may leave unread anyway. So many of these are
//! built at a time. A page with more updates is *large*, and has its share of a budget in bytes
//! from before it is read until its last byte is gone ([`Share`]). Small pages never wait for that,
//! and the large ones come in the order of their asking.
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{
    broker::{Broker, PageLimit, Stored, Updates},
    error::StoreError,
    ids::RoomId,
};

/// Most inserts in a page, and most bytes.
pub const PAGE: PageLimit = PageLimit { entries: 200, bytes: 4 << 20 };

/// Bytes of updates above which a page is large.
const LARGE: usize = 4 << 20;
/// Small pages that are built at the same time.
const SMALL_AT_ONCE: usize = 8;
/// Large pages that are built at the same time: each keeps a processor, and a reader of the store,
/// for long.
const LARGE_AT_ONCE: usize = 2;
/// Bytes of large pages at the same time, built or on their way. One that is larger than all of it
/// has it for itself.
const BUDGET: usize = 96 << 20;
/// Large pages that are read from the store at the same time: another way in is left for small
/// ones.
const LARGE_READS: usize = 1;
/// A permit of the budget, bytes.
const UNIT: usize = 1 << 10;
/// While others wait for their large pages, who takes one has to take as much as this of it, bytes
/// a second.
const LEAST_RATE: usize = 128 << 10;

/// A page as clients and administrators get it.
pub struct History {
    /// Inserts, and behind the last of them the updates; unreadable ones are counted but have no
    /// body.
    pub entries: Vec<Stored>,
    /// The offset asked for, and the entries here.
    pub offset: u64,
    /// Whether there may be more.
    pub next: bool,
    /// Index of the insert after those here: where to resume.
    pub log: u64,
    /// Of the log that this was read from ([`Broker::edition`]).
    pub edition: u64,
    /// To be kept until the answer is put together.
    pub building: Building,
}

/// The right to build a page.
#[derive(Default)]
pub struct Building {
    _permit: Option<OwnedSemaphorePermit>,
    share: Option<Share>,
}

impl Building {
    /// The page is put together: others may begin. What it has of the budget is to be kept with it.
    pub fn done(self) -> Option<Share> {
        self.share
    }
}

/// A large page's share of the budget.
pub struct Share {
    bytes: OwnedSemaphorePermit,
    of: Arc<Shared>,
}

impl Share {
    /// The page's bytes; with the last piece of them goes the share.
    pub fn keep(mut self, page: Vec<u8>) -> Bytes {
        // A compressed page is a fraction of what it was made of.
        let spare = self.bytes.num_permits().saturating_sub(page.len().div_ceil(UNIT));
        drop(self.bytes.split(spare));
        Bytes::from_owner(Kept(page, self))
    }

    /// How long whoever gets the page may take for so many bytes.
    pub fn patience(&self, bytes: usize) -> Patience {
        let time = Duration::from_secs((bytes / LEAST_RATE) as u64 + 1);
        Patience { of: self.of.clone(), next: Instant::now() + time }
    }
}

struct Kept(Vec<u8>, #[allow(dead_code, reason = "held for its life")] Share);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// By when a large page has to be taken, if somebody waits for its memory.
pub struct Patience {
    of: Arc<Shared>,
    next: Instant,
}

impl Patience {
    /// Returns when it is over.
    pub async fn over(&mut self) {
        loop {
            tokio::time::sleep_until(self.next).await;
            if self.of.waiting.load(Relaxed) > 0 {
                return;
            }
            self.next = Instant::now() + Duration::from_secs(1);
        }
    }
}

struct Shared {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Who waits for a part of the budget.
    waiting: AtomicUsize,
}

/// What pages may take together, and who is next.
pub struct Budget(Arc<Shared>);

/// Somebody waits, for as long as this is there.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Relaxed);
        Waiting(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget(Arc::new(Shared {
            small: Arc::new(Semaphore::new(SMALL_AT_ONCE)),
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            reads: Arc::new(Semaphore::new(LARGE_READS)),
            bytes: Arc::new(Semaphore::new(BUDGET / UNIT)),
            waiting: AtomicUsize::new(0),
        }))
    }
}

async fn permit(of: &Arc<Semaphore>, permits: usize) -> Result<OwnedSemaphorePermit, StoreError> {
    let permits = u32::try_from(permits).unwrap_or(u32::MAX);
    of.clone()
        .acquire_many_owned(permits)
        .await
        .map_err(|_| StoreError::Unavailable("the server is ending".into()))
}

impl Budget {
    /// Waits for the turn to build a page, a small one as far as is known.
    ///
    /// # Errors
    /// The server has ended.
    pub async fn turn(&self) -> Result<Building, StoreError> {
        Ok(Building { _permit: Some(permit(&self.0.small, 1).await?), share: None })
    }

    /// The page that begins at log index `from`. A large one waits for its turn once more. Its
    /// bytes will be there so many times at once.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(
        &self,
        mut building: Building,
        broker: &dyn Broker,
        room: &RoomId,
        from: u64,
        times: usize,
    ) -> Result<History, StoreError> {
        let mut most = LARGE;
        loop {
            let reading = if most > LARGE { Some(permit(&self.0.reads, 1).await?) } else { None };
            let page = broker.page(room, from, PAGE).await?;
            let (mut entries, full, log_length, edition) =
                (page.entries, page.full, page.log_length, page.edition);
            let inserts = entries.len() as u64;
            if !full {
                match broker.updates(room, most).await? {
                    Updates::All(updates) if entries.is_empty() => entries = updates,
                    Updates::All(updates) => entries.extend(updates),
                    Updates::Larger => {
                        // Nothing is held while it waits.
                        drop((entries, building, reading));
                        let reading = permit(&self.0.reads, 1).await?;
                        let bytes = broker.update_bytes(room).await?;
                        drop(reading);
                        (building, most) = self.large(bytes, times).await?;
                        continue;
                    }
                }
            }
            if full {
                building.share = None; // it has no updates, so it is small, and may be kept for long
            }
            return Ok(History {
                offset: from.saturating_add(entries.len() as u64),
                next: full,
                log: if inserts > 0 { from.saturating_add(inserts) } else { from.min(log_length) },
                entries,
                edition,
                building,
            });
        }
    }

    /// A large page's turn and its share of the budget: for updates of this many bytes, and how
    /// many there may be when they are read.
    async fn large(&self, bytes: usize, times: usize) -> Result<(Building, usize), StoreError> {
        let waiting = Waiting::begin(&self.0.waiting);
        // With what the log has on the page, and a little more, as they may grow meanwhile.
        let wanted = bytes.max(LARGE).saturating_add(bytes / 16).saturating_add(1);
        let units =
            (wanted.saturating_add(PAGE.bytes).saturating_mul(times) / UNIT).min(BUDGET / UNIT);
        let share = permit(&self.0.bytes, units).await?;
        drop(waiting);
        let turn = permit(&self.0.large, 1).await?;
        let most = if units == BUDGET / UNIT { usize::MAX } else { wanted };
        Ok((
            Building {
                _permit: Some(turn),
                share: Some(Share { bytes: share, of: self.0.clone() }),
            },
            most,
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::domain::broker::{Entry, Page, Placed, Sink};

    const MIB: usize = 1 << 20;

    /// Polls once.
    fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        }
    }

    /// The share of a large page that is put together.
    async fn share(budget: &Budget, bytes: usize) -> Share {
        budget.large(bytes, 1).await.unwrap().0.done().unwrap()
    }

    #[tokio::test]
    async fn large_pages_wait_for_each_others_memory_and_small_ones_do_not() {
        let budget = Budget::default();
        let first = share(&budget, 50 * MIB).await.keep(vec![0; 54 * MIB]);
        let mut second = std::pin::pin!(share(&budget, 50 * MIB));
        assert!(poll(second.as_mut()).is_none());
        let small: Vec<Building> =
            futures_util::future::join_all((0..SMALL_AT_ONCE).map(|_| budget.turn()))
                .await
                .into_iter()
                .flatten()
                .collect();
        assert_eq!(small.len(), SMALL_AT_ONCE);
        // In order: one that would fit waits behind the one that does not.
        let mut third = std::pin::pin!(share(&budget, 8 * MIB));
        assert!(poll(third.as_mut()).is_none());
        let rest = first.slice(first.len() - 1..);
        drop(first);
        assert!(poll(second.as_mut()).is_none(), "its last byte is still there");
        drop(rest);
        assert!(poll(second.as_mut()).is_some());
        assert!(poll(third.as_mut()).is_some());
    }

    #[tokio::test]
    async fn a_page_larger_than_the_budget_goes_alone() {
        let budget = Budget::default();
        let (building, most) = budget.large(5 * BUDGET, 2).await.unwrap();
        assert_eq!(most, usize::MAX, "it has all there is, whatever it grows to");
        let mut other = std::pin::pin!(budget.large(5 * MIB, 1));
        assert!(poll(other.as_mut()).is_none());
        drop(building);
        assert!(poll(other.as_mut()).is_some());
    }

    #[tokio::test]
    async fn a_compressed_page_keeps_what_it_is_and_no_more() {
        let budget = Budget::default();
        let page = share(&budget, 5 * BUDGET).await.keep(vec![0; MIB]);
        let next = share(&budget, BUDGET / 2).await;
        drop((page, next));
        assert_eq!(budget.0.bytes.available_permits(), BUDGET / UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_large_page_has_time_unless_others_wait() {
        let budget = Budget::default();
        let share = share(&budget, BUDGET).await;
        let mut patience = share.patience(LEAST_RATE * 60);
        let day = Duration::from_secs(86_400);
        assert!(tokio::time::timeout(day, patience.over()).await.is_err(), "nobody waits");
        let mut waiting = std::pin::pin!(budget.large(5 * MIB, 1));
        assert!(poll(waiting.as_mut()).is_none());
        assert!(tokio::time::timeout(day, patience.over()).await.is_ok());
        let begun = Instant::now();
        assert!(tokio::time::timeout(day, share.patience(LEAST_RATE * 60).over()).await.is_ok());
        assert_eq!(begun.elapsed().as_secs(), 61, "everybody has this much");
    }

    /// A room whose updates are large, and whose log fills a page, or not, when it is read again.
    struct Board {
        fills: bool,
        reads: AtomicUsize,
    }

    /// Bytes of the updates of a [`Board`].
    const UPDATES: usize = 5 * MIB;

    #[async_trait::async_trait]
    impl Broker for Board {
        async fn page(&self, _: &RoomId, _: u64, _: PageLimit) -> Result<Page, StoreError> {
            let again = self.reads.fetch_add(1, Relaxed) > 0;
            Ok(Page { full: again && self.fills, ..Page::default() })
        }
        async fn updates(&self, _: &RoomId, most: usize) -> Result<Updates, StoreError> {
            Ok(if most < UPDATES { Updates::Larger } else { Updates::All(Vec::new()) })
        }
        async fn update_bytes(&self, _: &RoomId) -> Result<usize, StoreError> {
            Ok(UPDATES)
        }

        // A page asks for nothing else.
        fn start(&self, _: Arc<dyn Sink>) {}
        fn detach(&self, _: &RoomId) {}
        async fn publish(&self, _: &RoomId, _: Arc<[Entry]>) -> Result<Vec<Placed>, StoreError> {
            unreachable!()
        }
        async fn edition(&self, _: &RoomId) -> Result<u64, StoreError> {
            unreachable!()
        }
        async fn clear(&self, _: &RoomId) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn attach(&self, _: &RoomId) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn check(&self) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn check_writing(&self) -> Result<(), StoreError> {
            unreachable!()
        }
        async fn close(&self) {}
    }

    /// Reads such a page, which will be there so many times at once.
    async fn read(budget: &Budget, fills: bool, times: usize) -> History {
        let board = Board { fills, reads: AtomicUsize::new(0) };
        let turn = budget.turn().await.unwrap();
        budget.read(turn, &board, &RoomId::new("board").unwrap(), 0, times).await.unwrap()
    }

    /// Bytes of the budget that somebody has.
    fn taken(budget: &Budget) -> usize {
        BUDGET - budget.0.bytes.available_permits() * UNIT
    }

    #[tokio::test]
    async fn a_large_page_has_a_share_for_each_time_that_it_is_there() {
        let budget = Budget::default();
        for times in [1, 2] {
            let share = read(&budget, false, times).await.building.done().unwrap();
            let least = times * (UPDATES + PAGE.bytes);
            assert!((least..least * 11 / 10).contains(&taken(&budget)), "{}", taken(&budget));
            drop(share);
            assert_eq!(taken(&budget), 0);
        }
    }

    #[tokio::test]
    async fn a_page_that_turns_out_to_be_small_gives_its_share_back() {
        let budget = Budget::default();
        let page = read(&budget, true, 1).await;
        assert!(page.next, "the log has grown meanwhile: the updates are on a later page");
        assert_eq!(taken(&budget), 0);
        assert!(page.building.done().is_none());
    }

    #[tokio::test]
    async fn who_waits_for_a_share_keeps_nobody_else_waiting() {
        let budget = Budget::default();
        let all = share(&budget, BUDGET).await;
        let mut waiting = std::pin::pin!(read(&budget, false, 1));
        assert!(poll(waiting.as_mut()).is_none());
        let free = |of: &Semaphore| of.available_permits();
        assert_eq!(
            (free(&budget.0.small), free(&budget.0.large), free(&budget.0.reads)),
            (SMALL_AT_ONCE, LARGE_AT_ONCE, LARGE_READS)
        );
        drop(all);
        assert!(poll(waiting.as_mut()).is_some());
    }
}
