//! Turns: what one user does in one room, joining and leaving, is done one after the other, as
//! hooks are asked in between and others' counts depend on it. Among nodes see `loans`.
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::OwnedMutexGuard, time::timeout};

use crate::lock::lock;

/// How long somebody waits for a turn.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

type Keys<K> = Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>;

/// Turns by key.
pub(super) struct Turns<K>(Arc<Keys<K>>);

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Turns(Arc::default())
    }
}

/// A turn. Whoever waits goes on when it is dropped.
pub(super) struct Turn<K: Eq + Hash + Clone> {
    turns: Arc<Keys<K>>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits for a turn. `None`: it took too long.
    pub async fn wait(&self, key: K) -> Option<Turn<K>> {
        let turn = lock(&self.0).entry(key.clone()).or_default().clone();
        // From here on it counts as wanted, until it is let go.
        let mut waiting = Turn { turns: self.0.clone(), key, guard: None };
        let guard = timeout(PATIENCE, turn.lock_owned()).await.ok()?;
        waiting.guard = Some(guard);
        Some(waiting)
    }

    /// How many keys there are that somebody has, or waits for.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl<K: Eq + Hash + Clone> Drop for Turn<K> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut turns = lock(&self.turns);
        // Nobody has it, and nobody waits: the map alone knows of it.
        if turns.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_of_one_key_come_one_by_one() {
        let turns = Turns::<&str>::default();
        let first = turns.wait("a").await.unwrap();
        let _other = turns.wait("b").await.unwrap();
        let begin = Instant::now();
        assert!(turns.wait("a").await.is_none(), "it waited too long");
        assert_eq!(begin.elapsed(), PATIENCE);
        assert_eq!(turns.len(), 2);
        let (later, ()) = tokio::join!(turns.wait("a"), async { drop(first) });
        assert!(later.is_some());
        drop(later);
        assert_eq!(turns.len(), 1, "nothing is left of what nobody wants");
    }
}
