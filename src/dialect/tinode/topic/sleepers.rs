//! Groups fall asleep a while behind their last session, and their members are told.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    dialect::tinode::{
        Tinode,
        ids::Key,
        mode::Mode,
        post::{Src, To, Told, Word},
    },
    domain::{deadline::Appointments, ids::RoomId},
    lock::lock,
    throttle::throttled,
};

/// How long a group stays awake behind its last session.
const SLEEP: Duration = Duration::from_secs(4);

/// Groups whose last session may have left: a while later their members are told, if nobody has
/// come. All nodes know of such a group, so that none says that it wakes who has not slept; the one
/// at which somebody left last looks at it.
pub(in crate::dialect::tinode) struct Sleepers {
    due: Arc<Appointments<Key>>,
    /// When each is looked at; no room: by another node. Who leaves meanwhile has it looked at
    /// later.
    rooms: Mutex<HashMap<Key, (Instant, Option<RoomId>)>>,
}

impl Sleepers {
    pub fn new() -> Self {
        Sleepers { due: Appointments::new(), rooms: Mutex::default() }
    }

    /// A user's last session has left this group.
    pub fn left(&self, key: Key, room: RoomId) {
        self.wait(key, Some(room));
    }

    /// So it has at another node.
    pub fn left_elsewhere(&self, key: Key) {
        self.wait(key, None);
    }

    fn wait(&self, key: Key, room: Option<RoomId>) {
        let at = Instant::now() + SLEEP;
        lock(&self.rooms).insert(key, (at, room));
        self.due.set(key, at);
    }

    /// Somebody comes. Whether the group is still awake, as far as is known here: members have not
    /// been told that it sleeps.
    pub fn came(&self, key: Key) -> bool {
        lock(&self.rooms).contains_key(&key)
    }

    fn is_due(&self, key: Key, now: Instant) -> Option<RoomId> {
        let mut rooms = lock(&self.rooms);
        rooms.get(&key).filter(|(at, _)| *at <= now)?;
        rooms.remove(&key).and_then(|(_, room)| room)
    }

    /// Looks at what is due, for ever.
    pub async fn run(node: Arc<Tinode>) {
        loop {
            let key = node.sleepers.due.next().await;
            if let Some(room) = node.sleepers.is_due(key, Instant::now()) {
                sleep(&node, key, &room).await;
            }
        }
    }
}

/// A user's last session has left this group, and maybe the last of all.
pub(in crate::dialect::tinode) fn left(node: &Tinode, key: Key, room: &RoomId) {
    let (to, told) = (To::Users(Vec::new()), Told::Left { key });
    let word = Word { to, needs: Mode::NONE, unattached: false, told };
    node.post.say(node, vec![word], None);
    node.sleepers.left(key, room.clone()); // behind that: this node looks at it
}

/// Tells a group's members that nobody is there any more, if that is so.
async fn sleep(node: &Tinode, key: Key, room: &RoomId) {
    if !is_empty(node, room).await {
        return;
    }
    say(node, key, false);
    // A node that took it for awake still has said nothing of who came to it just now.
    if !is_empty(node, room).await {
        say(node, key, true);
    }
}

/// Whether nobody is there, on any node; false also where that can't be learnt.
async fn is_empty(node: &Tinode, room: &RoomId) -> bool {
    match node.hub.members_page(room, None, 1).await {
        Ok(page) => page.total == 0,
        Err(error) => {
            throttled!(warn, %error, "it can't be learnt whether a group is empty");
            false
        }
    }
}

fn say(node: &Tinode, key: Key, on: bool) {
    let told = Told::On { src: Src::Topic(key), on, ua: String::new() };
    let word = Word { to: To::Members(key), needs: Mode::P, unattached: false, told };
    node.post.say(node, vec![word], None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tinode::ids::UserId;

    fn user() -> UserId {
        UserId::of_number(7).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_is_looked_at_when_the_last_of_those_who_left_is_gone_for_long_enough() {
        let sleepers = Sleepers::new();
        let key = Key::Own(user());
        let room = RoomId::new("r").unwrap();
        sleepers.left(key, room.clone());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(sleepers.came(key));
        sleepers.left(key, room.clone());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(sleepers.is_due(key, Instant::now()), None);
        assert_eq!(sleepers.due.next().await, key);
        assert_eq!(sleepers.is_due(key, Instant::now()), Some(room));
        assert_eq!(sleepers.is_due(key, Instant::now()), None);
        assert!(!sleepers.came(key));
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_is_looked_at_where_somebody_left_last() {
        let sleepers = Sleepers::new();
        let (key, room) = (Key::Own(user()), RoomId::new("r").unwrap());
        for (here, looks) in [(vec![true, false], false), (vec![false, true], true)] {
            for here in here {
                match here {
                    true => sleepers.left(key, room.clone()),
                    false => sleepers.left_elsewhere(key),
                }
                assert!(sleepers.came(key), "it is awake, wherever somebody left");
            }
            assert_eq!(sleepers.due.next().await, key);
            assert_eq!(sleepers.is_due(key, Instant::now()).is_some(), looks);
            assert!(!sleepers.came(key));
        }
    }
}
