//! To whom a client may send, as far as it has: the inboxes of its last few peers, so that mostly
//! no record is read for a frame, and a client with a thousand contacts takes no more memory than
//! others.
//!
//! That somebody is no contact is kept as well: who sends to strangers is to cost nothing. So all
//! of it is forgotten whenever the client's contacts have changed.
use crate::domain::ids::RoomId;

/// Peers that are kept.
const MOST: usize = 16;

/// What is known of some peers.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The last one first, each with the inbox if the client may send there.
    known: Vec<(Box<str>, Option<RoomId>)>,
    /// Of which contacts it is known: how often they had changed.
    version: u64,
}

impl Peers {
    /// The inbox of a peer, or that it is not allowed; nothing where that is not known. `version`:
    /// how often the client's contacts have changed by now.
    pub(super) fn get(&mut self, phone: &str, version: u64) -> Option<Option<RoomId>> {
        self.forget_unless(version);
        let place = self.known.iter().position(|(known, _)| **known == *phone)?;
        self.known.get_mut(..=place)?.rotate_right(1);
        self.known.first().map(|(_, inbox)| inbox.clone())
    }

    /// What was learnt of a peer. `version` is from before that was begun: what is learnt of older
    /// contacts is worth nothing.
    pub(super) fn note(&mut self, phone: &str, inbox: Option<RoomId>, version: u64) {
        if self.version == version {
            self.known.truncate(MOST - 1);
            self.known.insert(0, (phone.into(), inbox));
        }
    }

    fn forget_unless(&mut self, version: u64) {
        if self.version != version {
            *self = Peers { known: Vec::new(), version };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(phone: &str) -> RoomId {
        RoomId::new(phone).expect("a name")
    }

    #[test]
    fn the_last_peers_are_known_whether_or_not_they_are_contacts() {
        let mut peers = Peers::default();
        assert_eq!(peers.get("1", 0), None);
        for phone in 0..MOST {
            let phone = phone.to_string();
            peers.note(&phone, Some(inbox(&phone)), 0);
        }
        assert_eq!(peers.get("0", 0), Some(Some(inbox("0"))));
        peers.note("stranger", None, 0);
        assert_eq!(peers.get("stranger", 0), Some(None));
        assert_eq!(peers.get("0", 0), Some(Some(inbox("0"))), "it was used since");
        assert_eq!(peers.get("1", 0), None);
        assert_eq!(peers.known.len(), MOST);
    }

    #[test]
    fn all_is_forgotten_when_contacts_change() {
        let mut peers = Peers::default();
        peers.note("1", None, 0);
        assert_eq!(peers.get("1", 1), None);
        peers.note("1", None, 0);
        assert_eq!(peers.get("1", 1), None, "it was learnt of older contacts");
        peers.note("1", Some(inbox("1")), 1);
        assert_eq!(peers.get("1", 1), Some(Some(inbox("1"))));
    }
}
