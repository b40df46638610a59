//! What pages may take together. Many small ones are built at a time; a large one has its share of
//! the bytes until its last one is gone.
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

use super::PAGE;
use crate::domain::error::StoreError;

/// Bytes of updates above which a page is large.
pub(super) const LARGE: usize = 4 << 20;
/// Small pages that are built at the same time.
pub(super) const SMALL_AT_ONCE: usize = 8;
/// Large pages that are built at the same time: each keeps a processor, and a reader of the store,
/// for long.
pub(super) const LARGE_AT_ONCE: usize = 2;
/// Bytes of large pages at the same time, built or on their way. One that is larger than all of it
/// has it for itself.
pub(super) const BUDGET: usize = 96 << 20;
/// Large pages that are read from the store at the same time: another way in is left for small
/// ones.
pub(super) const LARGE_READS: usize = 1;
/// A permit of the budget, bytes.
pub(super) const UNIT: usize = 1 << 10;
/// While others wait for their large pages, who takes one has to take as much as this of it, bytes
/// a second.
pub(super) const LEAST_RATE: usize = 128 << 10;

/// The right to build a page.
#[derive(Default)]
pub struct Building {
    _permit: Option<OwnedSemaphorePermit>,
    pub(super) share: Option<Share>,
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

pub(super) struct Shared {
    pub(super) small: Arc<Semaphore>,
    pub(super) large: Arc<Semaphore>,
    pub(super) reads: Arc<Semaphore>,
    pub(super) bytes: Arc<Semaphore>,
    /// Who waits for a part of the budget.
    waiting: AtomicUsize,
}

/// What pages may take together, and who is next.
pub struct Budget(pub(super) Arc<Shared>);

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
    /// Waits until a page may be built, a small one as far as is known.
    ///
    /// # Errors
    /// The server has ended.
    pub async fn begin(&self) -> Result<Building, StoreError> {
        Ok(Building { _permit: Some(permit(&self.0.small, 1).await?), share: None })
    }

    /// Waits until a page of so many bytes may be built, which will be there so many times at once.
    /// What it has of the budget is to be kept with it.
    ///
    /// # Errors
    /// The server has ended.
    pub async fn begin_large(&self, bytes: usize, times: usize) -> Result<Building, StoreError> {
        Ok(self.large(bytes, times).await?.0)
    }

    /// The right to read a large page from the store.
    pub(super) async fn reading(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        permit(&self.0.reads, 1).await
    }

    /// The right to build a large page, and its share of the budget: for updates of this many bytes, and how
    /// many there may be when they are read.
    pub(super) async fn large(
        &self,
        bytes: usize,
        times: usize,
    ) -> Result<(Building, usize), StoreError> {
        let waiting = Waiting::begin(&self.0.waiting);
        // With what the log has on the page, and a little more, as they may grow meanwhile.
        let wanted = bytes.max(LARGE).saturating_add(bytes / 16).saturating_add(1);
        let units =
            (wanted.saturating_add(PAGE.bytes).saturating_mul(times) / UNIT).min(BUDGET / UNIT);
        let share = permit(&self.0.bytes, units).await?;
        drop(waiting);
        let right = permit(&self.0.large, 1).await?;
        let most = if units == BUDGET / UNIT { usize::MAX } else { wanted };
        Ok((
            Building {
                _permit: Some(right),
                share: Some(Share { bytes: share, of: self.0.clone() }),
            },
            most,
        ))
    }
}
