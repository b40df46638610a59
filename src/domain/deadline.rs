//! Deadlines of many connections with one task and no timer each. Of [`Deadlines`] all wait equally
//! long, so the first to come is the first to end; of [`Appointments`] each has its own time, which
//! can be changed.
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::lock::lock;

/// A queue of items that are handed out `after` a fixed time.
#[derive(Debug)]
pub struct Deadlines<T> {
    after: Duration,
    waiting: Mutex<VecDeque<(Instant, T)>>,
    first: Notify,
}

impl<T> Deadlines<T> {
    /// An empty queue, whose items wait for the time `after`.
    pub fn new(after: Duration) -> Arc<Self> {
        Arc::new(Deadlines { after, waiting: Mutex::default(), first: Notify::new() })
    }

    /// `item` comes out of [`Deadlines::next`] when the time is over.
    pub fn push(&self, item: T) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back((Instant::now() + self.after, item));
        if waiting.len() == 1 {
            self.first.notify_one();
        }
    }

    /// The next item whose time is over.
    pub async fn next(&self) -> T {
        loop {
            let head = self
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .front()
                .map(|(at, _)| *at);
            match head {
                None => self.first.notified().await,
                Some(at) => {
                    tokio::time::sleep_until(at).await;
                    let front =
                        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    if let Some((_, item)) = front {
                        return item;
                    }
                }
            }
        }
    }
}

/// A time for each of many items, each once.
#[derive(Debug)]
pub struct Appointments<T> {
    calendar: Mutex<Calendar<T>>,
    earlier: Notify,
}

#[derive(Debug)]
struct Calendar<T> {
    times: HashMap<T, Instant>,
    order: BTreeSet<(Instant, T)>,
}

impl<T: Copy + Ord + Hash> Appointments<T> {
    /// None at all.
    pub fn new() -> Arc<Self> {
        let calendar = Calendar { times: HashMap::new(), order: BTreeSet::new() };
        Arc::new(Appointments { calendar: Mutex::new(calendar), earlier: Notify::new() })
    }

    /// `item` comes out of [`Appointments::next`] at this time, and at no other that was set before.
    pub fn set(&self, item: T, at: Instant) {
        let mut calendar = lock(&self.calendar);
        if let Some(before) = calendar.times.insert(item, at) {
            calendar.order.remove(&(before, item));
        }
        calendar.order.insert((at, item));
        if calendar.order.first() == Some(&(at, item)) {
            self.earlier.notify_one();
        }
    }

    /// `item` does not come out any more.
    pub fn cancel(&self, item: T) {
        let mut calendar = lock(&self.calendar);
        if let Some(at) = calendar.times.remove(&item) {
            calendar.order.remove(&(at, item));
        }
    }

    /// All that are set come out at once.
    pub fn hurry(&self) {
        let now = Instant::now();
        let mut calendar = lock(&self.calendar);
        for at in calendar.times.values_mut() {
            *at = now.min(*at);
        }
        calendar.order = calendar.times.iter().map(|(item, at)| (*at, *item)).collect();
        self.earlier.notify_one();
    }

    /// The next item whose time has come. For one caller.
    pub async fn next(&self) -> T {
        loop {
            let first = lock(&self.calendar).order.first().copied();
            let Some((at, _)) = first else {
                self.earlier.notified().await;
                continue;
            };
            if tokio::time::timeout_at(at, self.earlier.notified()).await.is_ok() {
                continue; // another one may be the first now
            }
            let mut calendar = lock(&self.calendar);
            let due = calendar.order.first().copied().filter(|(at, _)| *at <= Instant::now());
            if let Some((at, item)) = due {
                calendar.order.remove(&(at, item));
                calendar.times.remove(&item);
                return item;
            }
        }
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        let calendar = lock(&self.calendar);
        assert_eq!(calendar.times.len(), calendar.order.len());
        calendar.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_item_has_one_time_which_can_be_changed_and_taken_back() {
        let appointments = Appointments::new();
        let begin = Instant::now();
        let seconds = |seconds| begin + Duration::from_secs(seconds);
        for (item, at) in [('a', 30), ('b', 10), ('c', 20), ('d', 5), ('e', 20)] {
            appointments.set(item, seconds(at));
        }
        appointments.set('b', seconds(40));
        appointments.cancel('d');
        appointments.cancel('z');
        // One that comes first is set while another one is waited for.
        let later = appointments.clone();
        let waiting = async {
            let mut order = Vec::new();
            for _ in 0..5 {
                order.push((later.next().await, begin.elapsed().as_secs()));
            }
            order
        };
        let setting = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            appointments.set('f', seconds(2));
        };
        let (order, ()) = tokio::join!(waiting, setting);
        assert_eq!(order, [('f', 2), ('c', 20), ('e', 20), ('a', 30), ('b', 40)]);
        assert_eq!(appointments.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_a_hurry_waits_for_none() {
        let appointments = Appointments::new();
        let begin = Instant::now();
        appointments.set('a', begin + Duration::from_secs(30));
        appointments.set('b', begin + Duration::from_secs(10));
        appointments.set('c', begin);
        tokio::time::advance(Duration::from_secs(1)).await;
        appointments.hurry();
        assert_eq!(appointments.len(), 3);
        for item in ['c', 'a', 'b'] {
            assert_eq!((appointments.next().await, begin.elapsed().as_secs()), (item, 1));
        }
        assert_eq!(appointments.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn items_come_out_in_order_when_their_time_is_over() {
        let deadlines = Deadlines::new(Duration::from_secs(10));
        let begin = Instant::now();
        deadlines.push('a');
        tokio::time::advance(Duration::from_secs(4)).await;
        deadlines.push('b');
        assert_eq!((deadlines.next().await, begin.elapsed().as_secs()), ('a', 10));
        assert_eq!((deadlines.next().await, begin.elapsed().as_secs()), ('b', 14));
    }
}
