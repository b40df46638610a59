//! A setting that may be changed while the server runs.
use std::sync::{Arc, PoisonError, RwLock};

/// A value that is replaced whole. Whoever has got it keeps what it has got.
#[derive(Debug, Default)]
pub struct Live<T>(RwLock<T>);

impl<T: Clone> Live<T> {
    /// With this value.
    pub fn new(value: T) -> Arc<Self> {
        Arc::new(Live(RwLock::new(value)))
    }

    /// As it is now.
    pub fn get(&self) -> T {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_got_a_value_keeps_it() {
        let live = Live::new(Arc::new(1));
        let before = live.get();
        live.set(Arc::new(2));
        assert_eq!((*before, *live.get()), (1, 2));
    }
}
