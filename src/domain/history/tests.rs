//! Pages that wait for each other, and those that do not.
#![allow(clippy::unwrap_used)]
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};

use super::{
    budget::{BUDGET, LARGE_AT_ONCE, LARGE_READS, LEAST_RATE, SMALL_AT_ONCE, UNIT},
    *,
};
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
        futures_util::future::join_all((0..SMALL_AT_ONCE).map(|_| budget.begin()))
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
async fn a_large_page_of_another_kind_has_a_share_too() {
    let budget = Budget::default();
    let building = budget.begin_large(40 * MIB, 2).await.unwrap();
    let mut other = std::pin::pin!(budget.begin_large(8 * MIB, 2));
    assert!(poll(other.as_mut()).is_none());
    let share = building.done().unwrap();
    assert!(poll(other.as_mut()).is_none(), "it is on its way");
    drop(share);
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
    let building = budget.begin().await.unwrap();
    budget.read(building, &board, &RoomId::new("board").unwrap(), 0, times).await.unwrap()
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
