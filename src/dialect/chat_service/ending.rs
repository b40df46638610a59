//! Rooms that end.
//!
//! A deletion marks the room's record first, and from then on the room is there for nobody; then it
//! takes everybody out, forgets what was said and noted, and takes the record away at last. What is
//! cut off in between, because the store fails or the node dies, is found by the record, and
//! whoever finds it goes on: who deletes the room again, who makes one of its name,
//! `roomStateSync`, and each node once in a while. All of it may be done twice, also at the same
//! time.
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    cabinet::{Read, TRIES, crowded},
    chat::{Answer, By, Chat},
    error::Error,
    list::Writes,
    names,
    record::{RoomParts, RoomRecord},
    rights::{Actor, Cause},
};
use crate::{lock::lock, throttle::throttled};

/// Time between two looks for deletions that were cut off. One that was met at the last look too
/// counts as cut off. It is longer than a store may take for what is on its way.
const LOOK: Duration = Duration::from_secs(15);
/// Lives of this node's rooms that are swept once more.
const MOST_SWEPT: usize = 10_000;

/// Lives that have ended here. Who left such a room at that moment is noted behind the sweep: so
/// they are swept once more.
#[derive(Debug, Default)]
pub(super) struct Ended {
    lives: Mutex<Vec<String>>,
}

impl Ended {
    /// A life has ended, and was swept.
    fn add(&self, life: &str) {
        let mut lives = lock(&self.lives);
        // Of more at once a few small records may remain.
        if lives.len() < MOST_SWEPT {
            lives.push(life.to_owned());
        }
    }

    /// Those that have ended since this was asked last.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.lives))
    }
}

impl Chat {
    /// Makes a room. If one of its name is being deleted, that deletion is finished first.
    ///
    /// # Errors
    /// There is one of this name, or the store does not answer.
    pub async fn create(
        &self,
        name: &str,
        room: &RoomRecord,
        writes: &Writes,
    ) -> Result<(), Error> {
        match self.cabinet.create(name, room, writes).await {
            Err(Error::RoomExists(_)) => {}
            created => return created,
        }
        self.end_what_is_ending(name).await?;
        self.cabinet.create(name, room, writes).await
    }

    /// Goes on with the deletion of the room of this name, if that was begun.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn end_what_is_ending(&self, name: &str) -> Result<(), Error> {
        match self.cabinet.any_room(name).await? {
            Some(read) if read.record.ending => self.end(name, &read).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Deletes a room.
    ///
    /// # Errors
    /// There is no such room, it may not be, or the store does not answer.
    pub async fn delete(&self, by: By<'_>, name: &str) -> Result<Answer, Error> {
        for _ in 0..TRIES {
            let no_room = || Error::NoRoom(name.to_owned());
            let read = self.cabinet.any_room(name).await?.ok_or_else(no_room)?;
            let ending = read.record.ending;
            // It is the owner who may: no list has to be read.
            let standing = by.name().map(|user| read.record.standing(user, &RoomParts::default()));
            let standing = standing.unwrap_or_default();
            let actor = Actor { standing, joined: false, bypass: by.bypass };
            let may = actor.may_delete(self.options.rooms_management);
            may.map_err(|why| if ending { no_room() } else { why })?;
            let read = match ending {
                true => Some(read),
                false => self.cabinet.begin_end(name, read).await?,
            };
            // Somebody may have changed it at the same moment: then it is read again.
            if let Some(read) = read {
                self.end(name, &read).await?;
                return Ok(Answer::null());
            }
        }
        Err(crowded())
    }

    /// A room's record says that it ends: so does everybody's stay, and what was said.
    ///
    /// # Errors
    /// The store does not answer: somebody goes on later.
    async fn end(&self, name: &str, room: &Read<RoomRecord>) -> Result<(), Error> {
        let record = &room.record;
        let id = names::room(name, &record.life)?;
        // Nodes with members send nothing more there. That they are not told hinders nothing.
        drop(self.tell_settings(&id, record.known()).await);
        self.expel(name, record, Cause::Deleted, &[], &RoomParts::default()).await?;
        self.hub.forget(&id).await?;
        self.cabinet.sweep(&record.life).await?;
        // If it is not as it was, somebody else was here before.
        self.cabinet.delete_room(name, room).await?;
        self.ended.add(&record.life);
        Ok(())
    }

    /// Goes on with deletions that were cut off. Never ends.
    pub async fn keep_ending(self: Arc<Self>) {
        let (mut met, mut ended) = (BTreeSet::new(), Vec::new());
        loop {
            tokio::time::sleep(LOOK).await;
            for life in std::mem::replace(&mut ended, self.ended.take()) {
                if let Err(error) = self.cabinet.sweep(&life).await {
                    throttled!(warn, %error, "what is left of a room could not be deleted");
                }
            }
            match self.take_up(&met).await {
                Ok(now) => met = now,
                Err(error) => {
                    throttled!(warn, %error, "rooms whose deletion was cut off are deleted later");
                }
            }
        }
    }

    /// Goes on with the deletion of those of these lives whose rooms are still being deleted.
    /// Returns all that are.
    async fn take_up(&self, met: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        let mut now = BTreeSet::new();
        for (name, read) in self.cabinet.ending_rooms().await? {
            let life = read.record.life.clone();
            if met.contains(&life)
                && let Err(error) = self.end(&name, &read).await
            {
                // It is met again.
                throttled!(warn, %error, "a room could not be deleted to its end yet");
            }
            now.insert(life);
        }
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_that_have_ended_are_given_once_and_bounded() {
        let ended = Ended::default();
        for _ in 0..MOST_SWEPT + 5 {
            ended.add("life");
        }
        assert_eq!(ended.take().len(), MOST_SWEPT);
        assert!(ended.take().is_empty());
    }
}
