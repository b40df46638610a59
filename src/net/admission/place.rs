//! Places, and seats among those of one address.
use std::{
    net::IpAddr,
    sync::{Arc, OnceLock, PoisonError, atomic::Ordering::SeqCst},
};

use super::Admission;

/// A place. It is given back when this is dropped: a connection, and the session that began on it,
/// may share one.
pub(in crate::net) struct Place {
    admission: Arc<Admission>,
    seat: OnceLock<Arc<Seat>>,
}

impl Place {
    /// One that is counted already.
    pub(super) fn among(admission: &Arc<Admission>) -> Self {
        Place { admission: admission.clone(), seat: OnceLock::new() }
    }

    /// It is one among those of an address, too, if it is none yet.
    pub(in crate::net) fn take(&self, seat: Arc<Seat>) {
        let _ = self.seat.set(seat); // one is enough
    }

    /// Its place among those of an address.
    pub(in crate::net) fn seat(&self) -> Option<Arc<Seat>> {
        self.seat.get().cloned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.inside.fetch_sub(1, SeqCst);
    }
}

/// A place among those of one address. It is given back when this is dropped: a connection, and the
/// session that began on it, may share one.
pub(in crate::net) struct Seat {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Seat {
    /// One that is counted already, of this address.
    pub(super) fn of(admission: &Arc<Admission>, address: IpAddr) -> Arc<Self> {
        Arc::new(Seat { admission: admission.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut addresses = self.admission.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}
