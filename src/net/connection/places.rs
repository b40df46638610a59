//! Whom a connection and the sessions that begin on it are let in as.
use std::{
    net::IpAddr,
    sync::{Arc, Weak, atomic::Ordering::SeqCst},
};

use http::HeaderMap;
use tokio::time::Instant;

use super::Connection;
use crate::net::admission::{Full, Place, Seat};

/// What a session has that began on a connection, and may outlive that. It is given back when this
/// is dropped.
pub struct Begun {
    /// Whose place it has, where it has that.
    on: Weak<Connection>,
    /// That place, or one of its own: it counts when its connection has gone, too.
    place: Option<Arc<Place>>,
    /// Its place among those of its client's address, where that is bounded.
    seat: Option<Arc<Seat>>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(connection) = self.on.upgrade() {
            connection.shared.store(false, SeqCst);
        }
    }
}

impl Connection {
    /// Whose address a request on this connection is from: the peer's, or, where that is a proxy
    /// that is believed, the one that it names.
    pub fn client(&self, headers: &HeaderMap) -> IpAddr {
        let peer = self.peer.ip().to_canonical();
        self.bounds.admission.forwarded(peer, headers).unwrap_or(peer)
    }

    /// Its client asks something by HTTP.
    ///
    /// # Errors
    /// Too many requests have come from its address.
    pub fn ask(&self, headers: &HeaderMap) -> Result<(), Full> {
        self.bounds.admission.ask(self.peer.ip().to_canonical(), headers, Instant::now())
    }

    /// A session begins with a request on this connection. One at a time shares the connection's
    /// own place, the others have their own, and each but the first ever is let in as a connection
    /// would be: else a single connection could begin any number, at once or one after the other.
    /// All have a place, and a seat among those of their client's address, as long as they last:
    /// else connections that follow each other could. The seat of the one that shares the place is
    /// that of the connection, unless that is a believed proxy's.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn begin(self: &Arc<Self>, headers: &HeaderMap) -> Result<Begun, Full> {
        let shares = !self.shared.swap(true, SeqCst);
        let on = if shares { Arc::downgrade(self) } else { Weak::new() };
        // Dropped because of an error, it shares nothing any more.
        let mut begun = Begun { on, place: self.place.clone().filter(|_| shares), seat: None };
        if self.used.swap(true, SeqCst) {
            let own = self.bounds.admission.enter_again(!shares, Instant::now())?;
            begun.place = begun.place.take().or(own.map(Arc::new));
        }
        begun.seat = self.seat(shares, headers)?;
        Ok(begun)
    }

    /// A session goes on here, as a WebSocket: its seat is this connection's, where that has none
    /// of its own.
    pub fn inherit(&self, session: &Begun) {
        if let (Some(place), Some(seat)) = (&self.place, &session.seat) {
            place.take(seat.clone());
        }
    }

    fn seat(&self, shares: bool, headers: &HeaderMap) -> Result<Option<Arc<Seat>>, Full> {
        let (admission, peer) = (&self.bounds.admission, self.peer.ip().to_canonical());
        match admission.forwarded(peer, headers) {
            Some(client) => admission.seat(client),
            None if shares || admission.believes(peer) => {
                Ok(self.place.as_ref().and_then(|place| place.seat()))
            }
            None => admission.seat(peer),
        }
    }

    /// A session begins that is this connection from now on, a WebSocket: its place, and its seat
    /// among those of its client's address, are the connection's.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn sit(&self, headers: &HeaderMap) -> Result<(), Full> {
        let Some(place) = &self.place else { return Ok(()) };
        let admission = &self.bounds.admission;
        // The one before has to go on by another connection, which needs a place.
        if self.used.swap(true, SeqCst) {
            admission.enter_again(false, Instant::now())?;
        }
        if let Some(client) = admission.forwarded(self.peer.ip().to_canonical(), headers)
            && let Some(seat) = admission.seat(client)?
        {
            place.take(seat);
        }
        Ok(())
    }
}
