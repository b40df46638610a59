//! To whom a client may send, as far as it has: what is known of its last few peers, so that mostly
//! no record is read for a frame, and a client with a thousand contacts takes no more memory than
//! others.
//!
//! That somebody is no contact is kept as well: frames for strangers must cost little. When the
//! client's contacts have changed, all of it is forgotten. Nothing tells a client that a stranger
//! is somebody else by now, or how much waits for a contact: so nothing is believed for long. Only
//! while the store is out, what was known before is used on, so that calls go on.
use std::time::Duration;

use tokio::time::Instant;

use super::Client;
use crate::{
    dialect::wechat::{frames::Kind, inbox},
    domain::ids::RoomId,
    reason::Reason,
    throttle::throttled,
};

/// Peers that are kept.
const MOST: usize = 16;
/// How long it is believed that somebody may be sent to, and that not.
const ALLOWED: Duration = Duration::from_secs(10);
const REFUSED: Duration = Duration::from_secs(2);

/// What a client may send to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// Nothing: it is no contact, or nobody.
    Stranger,
    /// Anything, into this inbox.
    Contact(RoomId),
    /// The signalling of calls, into this inbox. So much waits there that nothing more can.
    Full(RoomId),
}

impl Peer {
    /// Where a frame of this kind goes, if it may.
    pub(super) fn inbox(&self, kind: Kind) -> Result<&RoomId, Refused> {
        match (self, kind) {
            (Peer::Stranger, Kind::Message | Kind::Signal) => Err(Refused::Stranger),
            (Peer::Full(_), Kind::Message) => Err(Refused::Full),
            (Peer::Contact(inbox), Kind::Message | Kind::Signal)
            | (Peer::Full(inbox), Kind::Signal) => Ok(inbox),
        }
    }

    fn believed(&self) -> Duration {
        match self {
            Peer::Contact(_) => ALLOWED,
            Peer::Stranger | Peer::Full(_) => REFUSED,
        }
    }
}

/// Why a frame may not be sent to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Stranger,
    Full,
}

#[derive(Debug)]
struct Known {
    phone: Box<str>,
    peer: Peer,
    /// Until when that is believed.
    until: Instant,
}

/// What is known of some peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The last one first.
    known: Vec<Known>,
    /// Of which contacts it is known: how often they had changed.
    version: u64,
}

impl Peers {
    /// What is known of a peer; nothing where it has to be looked up. `version`: how often the
    /// client's contacts have changed by now.
    pub(super) fn get(&mut self, phone: &str, version: u64, now: Instant) -> Option<Peer> {
        self.forget_unless(version);
        let known = self.find(phone).filter(|known| now < known.until)?;
        Some(known.peer.clone())
    }

    /// What was known of a peer, however long ago: for when it can't be looked up. That is
    /// believed once more.
    pub(super) fn renew(&mut self, phone: &str, version: u64, now: Instant) -> Option<Peer> {
        self.forget_unless(version);
        let known = self.find(phone)?;
        known.until = now + known.peer.believed();
        Some(known.peer.clone())
    }

    /// What was learnt of a peer. `version` is from before that was begun: what is learnt of older
    /// contacts is worth nothing.
    pub(super) fn note(&mut self, phone: &str, peer: Peer, version: u64, now: Instant) {
        if self.version == version {
            self.known.retain(|known| *known.phone != *phone);
            self.known.truncate(MOST - 1);
            let until = now + peer.believed();
            self.known.insert(0, Known { phone: phone.into(), peer, until });
        }
    }

    /// A peer, which is the first one from now on.
    fn find(&mut self, phone: &str) -> Option<&mut Known> {
        let place = self.known.iter().position(|known| *known.phone == *phone)?;
        self.known.get_mut(..=place)?.rotate_right(1);
        self.known.first_mut()
    }

    fn forget_unless(&mut self, version: u64) {
        if self.version != version {
            *self = Peers { known: Vec::new(), version };
        }
    }
}

impl Client {
    /// Looks up what its user may send to somebody.
    ///
    /// # Errors
    /// Why that is not known.
    pub(super) async fn find(&self, phone: &str) -> Result<Peer, Reason> {
        let (hub, users) = (&self.wechat.hub, &self.wechat.users);
        // What failed is in the log.
        let acquainted = users.are_acquainted(self.phone(), phone).await;
        let acquainted = acquainted.map_err(|_| Reason::StoreUnavailable)?;
        let Some(inbox) = acquainted.then(|| inbox::room(phone).ok()).flatten() else {
            return Ok(Peer::Stranger);
        };
        match inbox::is_full(hub, &inbox).await {
            Ok(true) => Ok(Peer::Full(inbox)),
            Ok(false) => Ok(Peer::Contact(inbox)),
            Err(error) => {
                throttled!(warn, %error, "how much waits in an inbox is not known");
                Err(Reason::StoreUnavailable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(phone: &str) -> RoomId {
        RoomId::new(phone).expect("a name")
    }

    fn contact(phone: &str) -> Peer {
        Peer::Contact(inbox(phone))
    }

    #[test]
    fn the_last_peers_are_known_whether_or_not_they_are_contacts() {
        let (now, mut peers) = (Instant::now(), Peers::default());
        assert_eq!(peers.get("1", 0, now), None);
        for phone in 0..MOST {
            let phone = phone.to_string();
            peers.note(&phone, contact(&phone), 0, now);
        }
        assert_eq!(peers.get("0", 0, now), Some(contact("0")));
        peers.note("stranger", Peer::Stranger, 0, now);
        assert_eq!(peers.get("stranger", 0, now), Some(Peer::Stranger));
        assert_eq!(peers.get("0", 0, now), Some(contact("0")), "it was used since");
        assert_eq!(peers.get("1", 0, now), None);
        assert_eq!(peers.known.len(), MOST);
    }

    #[test]
    fn all_is_forgotten_when_contacts_change() {
        let (now, mut peers) = (Instant::now(), Peers::default());
        peers.note("1", Peer::Stranger, 0, now);
        assert_eq!(peers.get("1", 1, now), None);
        peers.note("1", Peer::Stranger, 0, now);
        assert_eq!(peers.get("1", 1, now), None, "it was learnt of older contacts");
        assert_eq!(peers.renew("1", 1, now), None);
        peers.note("1", contact("1"), 1, now);
        assert_eq!(peers.get("1", 1, now), Some(contact("1")));
        assert_eq!(peers.renew("1", 2, now), None);
    }

    #[test]
    fn nothing_is_believed_for_long_however_often_it_is_asked_for() {
        for (peer, lives) in
            [(contact("1"), ALLOWED), (Peer::Stranger, REFUSED), (Peer::Full(inbox("1")), REFUSED)]
        {
            let (begin, mut peers) = (Instant::now(), Peers::default());
            let nearly = lives - Duration::from_millis(1);
            peers.note("1", peer.clone(), 0, begin);
            assert_eq!(peers.get("1", 0, begin + nearly), Some(peer.clone()));
            assert_eq!(peers.get("1", 0, begin + lives), None, "{peer:?}");
            assert_eq!(peers.renew("1", 0, begin + lives), Some(peer.clone()));
            assert_eq!(peers.get("1", 0, begin + lives + nearly), Some(peer.clone()));
            assert_eq!(peers.get("1", 0, begin + 2 * lives), None, "{peer:?}");
            peers.note("1", Peer::Stranger, 0, begin + 2 * lives);
            assert_eq!(peers.get("1", 0, begin + 2 * lives), Some(Peer::Stranger));
            assert_eq!(peers.known.len(), 1);
        }
    }

    #[test]
    fn a_full_inbox_takes_signals_alone_and_a_stranger_s_nothing() {
        for (peer, message, signal) in [
            (contact("1"), Ok(()), Ok(())),
            (Peer::Full(inbox("1")), Err(Refused::Full), Ok(())),
            (Peer::Stranger, Err(Refused::Stranger), Err(Refused::Stranger)),
        ] {
            let may = |kind| peer.inbox(kind).map(|found| assert_eq!(*found, inbox("1")));
            assert_eq!((may(Kind::Message), may(Kind::Signal)), (message, signal), "{peer:?}");
        }
    }
}
