//! Taking a lock, the same everywhere.
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The lock, also after a holder panicked: nothing that is locked here is left half changed by a
/// panic, and one defect must not stop all who come later.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
