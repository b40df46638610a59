//! Records of rooms and users, with records that are in memory and count what is asked of them.
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::*;
use crate::{
    dialect::chat_service::{
        list::PARTS as MOST_PARTS,
        record::RoomParts,
        rights::{RoomList, Standing},
    },
    domain::records::{MAX_BODY, in_memory::InMemory},
};

/// Bytes that are not the same twice.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Rng for Counting {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        bytes.iter_mut().for_each(|byte| *byte = (self.0.fetch_add(7, Relaxed) % 241) as u8);
        Ok(())
    }
}

fn cabinet() -> (Arc<InMemory>, Cabinet) {
    let records = Arc::<InMemory>::default();
    (records.clone(), Cabinet { records, rng: Arc::<Counting>::default() })
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|i| format!("user {i}")).collect()
}

/// A room `r` of ann's, with these names on its whitelist.
async fn room(cabinet: &Cabinet, white: Vec<String>) -> RoomRecord {
    let mut tags = cabinet.tags().unwrap();
    let (whitelist, writes) = List::new(white.into_iter().collect(), || tags.next());
    let room = RoomRecord {
        life: "L1".into(),
        revision: 1,
        owner: Some("ann".into()),
        whitelist_only: false,
        adminlist: List::default(),
        whitelist,
        blacklist: List::default(),
        history_max_size: 5,
        enable_access_lists_updates: false,
        enable_userlist_updates: false,
        ending: false,
    };
    cabinet.create("r", &room, &writes).await.unwrap();
    room
}

/// Adds to the whitelist of `r`, or takes away, as `by`, who has to be the owner.
async fn change(cabinet: &Cabinet, by: &str, given: &[String], add: bool) -> Result<u64, Error> {
    let needs = |_: &RoomRecord, standing: Standing| {
        if standing.owner { Ok(vec![RoomList::White]) } else { Err(Error::NotAllowed) }
    };
    let decide = |room: &mut RoomRecord, parts: &RoomParts, tags: &mut Tags| {
        let list = room.list_mut(RoomList::White);
        let parts = parts.of(RoomList::White);
        Ok(match add {
            true => list.add(given, parts, || tags.next()),
            false => list.remove(given, parts, || tags.next()),
        })
    };
    Ok(cabinet.change_room("r", Some(by), given, needs, decide).await?.0.revision)
}

#[tokio::test]
async fn a_short_list_is_changed_by_one_reading_and_one_writing() {
    let (records, cabinet) = cabinet();
    room(&cabinet, names(0..5)).await;
    records.calls();
    assert_eq!(change(&cabinet, "ann", &names(3..9), true).await, Ok(2));
    assert_eq!(records.calls(), (1, 1));
    // What changes nothing is not written, and who may not is told so before that.
    assert_eq!(change(&cabinet, "ann", &names(3..9), true).await, Ok(2));
    assert_eq!(change(&cabinet, "ann", &names(90..99), false).await, Ok(2));
    assert_eq!(change(&cabinet, "bob", &names(3..9), false).await, Err(Error::NotAllowed));
    assert_eq!(records.calls(), (3, 0));
    let mut expected = names(0..9);
    expected.sort();
    assert_eq!(cabinet.room_list("r", RoomList::White).await.unwrap(), expected);
}

#[tokio::test]
async fn who_may_not_makes_nobody_read_a_long_list() {
    let (records, cabinet) = cabinet();
    room(&cabinet, names(0..5000)).await;
    records.calls();
    let all = names(0..5000);
    assert_eq!(change(&cabinet, "bob", &all, true).await, Err(Error::NotAllowed));
    assert_eq!(records.calls(), (1, 0));
    assert_eq!(change(&cabinet, "ann", &all, true).await, Ok(1));
    assert_eq!(records.calls(), (1 + MOST_PARTS, 0), "all is there already");
    assert_eq!(change(&cabinet, "ann", &names(5000..5001), true).await, Ok(2));
    assert_eq!(records.calls(), (2, 3), "the part, the head, and the part before");
    assert_eq!(cabinet.room_list("r", RoomList::Black).await.unwrap(), [""; 0]);
    assert_eq!(records.calls(), (1, 0), "no other list is read");
    assert_eq!(cabinet.room_list("r", RoomList::White).await.unwrap().len(), 5001);
}

#[tokio::test]
async fn a_users_list_is_written_where_it_changes() {
    let (records, cabinet) = cabinet();
    let new = UserRecord::new("L".into());
    assert!(cabinet.add_user("ann", &new, &Writes::default()).await.unwrap());
    records.calls();
    let given = names(0..3);
    let add = |user: &mut UserRecord, [white, _]: [&Parts; 2], tags: &mut Tags| {
        Ok(user.list_mut(UserList::White).add(&given, white, || tags.next()))
    };
    for calls in [(1, 1), (1, 0)] {
        cabinet.change_user("ann", &given, add).await.unwrap();
        assert_eq!(records.calls(), calls);
    }
    assert_eq!(cabinet.user_list("ann", UserList::White).await.unwrap(), given);
}

#[tokio::test]
async fn a_room_that_ends_is_there_for_nobody_and_is_found() {
    let (records, cabinet) = cabinet();
    room(&cabinet, names(0..1000)).await;
    assert!(cabinet.ending_rooms().await.unwrap().is_empty());
    let read = cabinet.any_room("r").await.unwrap().unwrap();
    // Of two who delete it at once, or one who deletes and one who changes it, one is first.
    let ending = cabinet.begin_end("r", read.clone()).await.unwrap().unwrap();
    assert!(cabinet.begin_end("r", read).await.unwrap().is_none());
    assert_eq!((ending.record.ending, ending.record.revision), (true, 2));

    let no_room = || Error::NoRoom("r".into());
    assert_eq!(cabinet.room("r", &[]).await.map(drop), Err(no_room()));
    assert_eq!(cabinet.room_list("r", RoomList::White).await, Err(no_room()));
    assert_eq!(change(&cabinet, "ann", &names(0..1), false).await, Err(no_room()));
    assert!(cabinet.rooms(None, 10).await.unwrap().0.is_empty());
    let again = room_of_another_life(&ending.record);
    let exists = cabinet.create("r", &again, &Writes::default()).await;
    assert_eq!(exists, Err(Error::RoomExists("r".into())), "its name is taken");

    let found = cabinet.ending_rooms().await.unwrap();
    assert_eq!(found.len(), 1);
    let (name, found) = &found[0];
    assert_eq!((&**name, &found.record), ("r", &ending.record));
    cabinet.note("L1", "ann", 5).await;
    cabinet.sweep("L1").await.unwrap();
    assert_eq!((records.count(&PARTS), records.count(&SEEN)), (0, 0));
    // It may be taken away by two; a room that is made since is another one.
    assert!(cabinet.delete_room("r", found).await.unwrap());
    cabinet.create("r", &again, &Writes::default()).await.unwrap();
    cabinet.room("r", &[]).await.unwrap();
}

fn room_of_another_life(room: &RoomRecord) -> RoomRecord {
    RoomRecord { life: "L2".into(), ending: false, whitelist: List::default(), ..room.clone() }
}

#[tokio::test]
async fn a_part_that_is_lost_is_told_at_once() {
    let (records, cabinet) = cabinet();
    room(&cabinet, names(0..1000)).await;
    records.forget(&PARTS);
    records.calls();
    let lost = || Error::Internal("a part of a list is lost".into());
    let one = names(1..2);
    assert_eq!(cabinet.room("r", &one).await.map(drop), Err(lost()));
    assert_eq!(records.calls().0, 4, "twice the head and the part");
    assert_eq!(cabinet.room_list("r", RoomList::White).await, Err(lost()));
    assert_eq!(change(&cabinet, "ann", &one, true).await, Err(lost()));
    cabinet.room("r", &[]).await.unwrap();
}

#[tokio::test]
async fn parts_are_written_all_or_none() {
    let (records, cabinet) = cabinet();
    let good: Names = names(0..3).into_iter().collect();
    let large = Names::from(["x".repeat(MAX_BODY)]);
    let writes =
        Writes { put: vec![(1, good.clone()), (2, good), (3, large)], ..Writes::default() };
    assert!(!writes.fit());
    assert!(matches!(cabinet.write("L1", &writes).await, Err(Error::Internal(_))));
    assert_eq!(records.count(&PARTS), 0);
}
