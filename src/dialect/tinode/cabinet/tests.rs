//! Records that are in memory, and what becomes of changes that cross.
use futures_util::future::join_all;

use super::*;
use crate::{
    dialect::tinode::{
        message::{Range, Ts},
        mode::{Defacs, Level, Mode},
        record::UserState,
    },
    domain::records::in_memory::InMemory,
};

/// An empty one, with its records.
pub(in crate::dialect::tinode) fn cabinet() -> (Arc<InMemory>, Cabinet) {
    let records = Arc::<InMemory>::default();
    (records.clone(), Cabinet::new(records))
}

fn user(number: u64) -> UserId {
    UserId::of_number(number).unwrap()
}

fn code<T>(done: Done<T>) -> Option<Code> {
    done.err().map(|refusal| refusal.code)
}

fn topic(key: Key) -> TopicRecord {
    TopicRecord {
        defacs: Defacs { auth: Mode::GROUP, anon: Mode::NONE },
        ..TopicRecord::new(key, "g0123456789".into(), Ts(1))
    }
}

fn row(key: Key, user: UserId) -> SubRecord {
    SubRecord {
        topic: key,
        user,
        live: Some(key),
        want: Mode::GROUP,
        given: Mode::GROUP,
        created: Ts(1),
        updated: Ts(1),
        deleted: false,
        reader: false,
        private: None,
        del: 0,
        read: 0,
        recv: 0,
    }
}

#[tokio::test]
async fn of_two_who_make_the_same_one_does() {
    let (_, cabinet) = cabinet();
    let ann = User::new(user(1), Level::Auth, Ts(1));
    assert!(cabinet.add_user(&ann).await.unwrap() && !cabinet.add_user(&ann).await.unwrap());
    let login = LoginRecord { user: user(1), hash: None };
    assert!(cabinet.add_login("basic:ann", &login).await.unwrap());
    assert!(!cabinet.add_login("basic:ann", &login).await.unwrap());
    let read = cabinet.login("basic:ann").await.unwrap().unwrap();
    let other = LoginRecord { user: user(2), hash: None };
    assert!(cabinet.replace_login("basic:ann", &other, read.version).await.unwrap());
    assert!(!cabinet.replace_login("basic:ann", &login, read.version).await.unwrap());
    cabinet.delete_login("basic:ann").await.unwrap();
    assert!(cabinet.login("basic:ann").await.unwrap().is_none());
    let topic = topic(Key::Own(user(1)));
    assert!(cabinet.add_topic(&topic).await.unwrap() && !cabinet.add_topic(&topic).await.unwrap());
}

#[tokio::test]
async fn a_change_is_decided_again_over_what_others_have_written() {
    let (records, cabinet) = cabinet();
    let none = cabinet.change_user(user(1), |_| Ok(Step::Write(()))).await;
    assert_eq!(code(none), Some(Code::UserNotFound));
    cabinet.add_user(&User::new(user(1), Level::Auth, Ts(1))).await.unwrap();
    let count = |user: &mut User| {
        user.generation += 1;
        Ok(Step::Write(user.generation))
    };
    // Of so many at once each is done in its turn, and beyond that some give up.
    let mut before = 0;
    for (at_once, most) in [(1, 1), (3, 3), (TRIES, TRIES), (TRIES + 9, TRIES)] {
        records.calls();
        let changes = (0..at_once).map(|_| cabinet.change_user(user(1), count));
        let (done, given_up): (Vec<_>, Vec<_>) =
            join_all(changes).await.into_iter().partition(Result::is_ok);
        assert_eq!(done.len(), most, "{at_once}");
        for refused in given_up {
            assert_eq!(code(refused), Some(Code::Unavailable));
        }
        let mut told: Vec<u16> = done.into_iter().flatten().collect();
        told.sort_unstable();
        let last = before + u16::try_from(most).unwrap();
        assert!(told.into_iter().eq(before + 1..=last), "each has counted once");
        before = last;
        let (reads, writes) = records.calls();
        assert_eq!(reads, writes, "each writing is decided over a reading of its own");
    }
}

#[tokio::test]
async fn what_is_not_changed_is_not_written() {
    let (records, cabinet) = cabinet();
    cabinet.add_user(&User::new(user(1), Level::Auth, Ts(1))).await.unwrap();
    records.calls();
    assert_eq!(cabinet.change_user(user(1), |_| Ok(Step::Keep(7))).await.ok(), Some(7));
    let refused = cabinet.change_user::<()>(user(1), |_| Err(Code::Denied.into())).await;
    assert_eq!(code(refused), Some(Code::Denied));
    let kept = cabinet.change_sub(&Key::Own(user(1)), user(1), |row| Ok((row, 8))).await;
    assert_eq!(kept.ok(), Some((8, 0)));
    assert_eq!(records.calls(), (3, 0));
}

#[tokio::test]
async fn a_topic_that_ends_is_there_for_nobody() {
    let (_, cabinet) = cabinet();
    let key = Key::Own(user(1));
    cabinet.add_topic(&topic(key)).await.unwrap();
    assert_eq!(cabinet.topics(&[key, Key::Own(user(2))]).await.unwrap().len(), 1);
    let end = |topic: &mut TopicRecord| {
        topic.ending = true;
        Ok(Step::Write(()))
    };
    cabinet.change_topic(&key, end).await.unwrap();
    assert!(cabinet.topic(&key).await.unwrap().is_none());
    assert!(cabinet.topics(&[key]).await.unwrap().is_empty());
    assert_eq!(code(cabinet.change_topic(&key, end).await), Some(Code::TopicNotFound));
    assert!(!cabinet.add_topic(&topic(key)).await.unwrap(), "its key is taken");
    assert!(cabinet.get::<TopicRecord>(&TOPICS, &key.id()).await.unwrap().is_some());
}

#[tokio::test]
async fn members_readers_and_all_that_a_user_is_in() {
    let (_, cabinet) = cabinet();
    let key = Key::Own(user(1));
    for number in 1..=5 {
        let id = user(number);
        let reader = number > 3;
        let new = |before: Option<SubRecord>| {
            assert!(before.is_none());
            Ok((Some(SubRecord { reader, ..row(key, id) }), ()))
        };
        cabinet.change_sub(&key, id, new).await.unwrap();
    }
    assert_eq!(cabinet.members(&key, 128).await.unwrap().len(), 3);
    assert_eq!(cabinet.members(&key, 2).await.unwrap().len(), 2);
    let leave = |row: Option<SubRecord>| {
        let row = row.unwrap();
        Ok((Some(SubRecord { live: None, deleted: true, ..row }), ()))
    };
    let (_, version) = cabinet.change_sub(&key, user(2), leave).await.unwrap();
    let read = cabinet.sub(&key, user(2)).await.unwrap().unwrap();
    assert_eq!((read.version, read.record.deleted), (version, true));
    assert_eq!(cabinet.members(&key, 128).await.unwrap().len(), 2);
    assert_eq!(cabinet.subs_of(user(2)).await.unwrap().len(), 1, "also what it has left");
}

#[tokio::test]
async fn two_deletions_at_once_are_both_kept() {
    let (_, cabinet) = cabinet();
    let delete = |id: u64| {
        let add = move |dels: &mut Dels| dels.add(id, &[Range { low: id, hi: id + 1 }]);
        cabinet.change_dels("L", None, add)
    };
    for done in join_all([delete(2), delete(1)]).await {
        done.unwrap();
    }
    let dels = cabinet.dels("L", None).await.unwrap().unwrap();
    assert_eq!((&*dels.of, dels.log.len()), ("L", 2));
    assert!(cabinet.dels("L", Some(user(1))).await.unwrap().is_none());
    assert_eq!(cabinet.find::<Dels>(&DELS, "of", "L", None, 9).await.unwrap().records.len(), 1);
}

#[tokio::test]
async fn of_two_who_join_at_once_both_are_in() {
    let (_, cabinet) = cabinet();
    let key = Key::Own(user(1));
    let join = |recv: u64| {
        cabinet.change_sub(&key, user(1), move |before| {
            let is_first = before.is_none();
            let row = before.unwrap_or_else(|| row(key, user(1)));
            Ok((Some(SubRecord { recv: row.recv + recv, ..row }), is_first))
        })
    };
    let done = join_all([join(1), join(2)]).await;
    let first = done.iter().filter(|done| matches!(done, Ok((true, _)))).count();
    let read = cabinet.sub(&key, user(1)).await.unwrap().unwrap();
    assert_eq!((first, read.record.recv), (1, 3));
    assert!(done.iter().any(|done| matches!(done, Ok((_, version)) if *version == read.version)));
}

#[tokio::test]
async fn what_is_too_large_or_no_record_is_refused() {
    let (_, cabinet) = cabinet();
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let put = cabinet.put(&USERS, "x", large.into(), Expect::Any, None).await;
    assert_eq!(code(put), Some(Code::TooLarge));
    cabinet.put(&USERS, &user(9).to_string(), "{}".into(), Expect::Any, None).await.unwrap();
    assert_eq!(code(cabinet.user(user(9)).await), Some(Code::Internal));
}

#[tokio::test]
async fn users_are_read_whatever_became_of_them() {
    let (_, cabinet) = cabinet();
    let ids: Vec<UserId> = (1..=40).map(user).collect();
    for id in &ids {
        let state = UserState::Ending;
        let new = User { state, ..User::new(*id, Level::Auth, Ts(1)) };
        cabinet.add_user(&new).await.unwrap();
    }
    let found = cabinet.users(&[&ids[..], &[user(99)]].concat()).await.unwrap();
    assert_eq!(found.len(), 40);
    assert!(cabinet.seen(user(1)).await.unwrap().is_none());
    let seen = SeenRecord { when: Ts(5), ua: "x".into() };
    cabinet.note_seen(user(1), &seen).await;
    assert_eq!(cabinet.seen(user(1)).await.unwrap(), Some(seen));
}
