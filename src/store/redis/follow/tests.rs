//! Whatever comes, in whatever order: each publication once, in its place, and nobody is sent back
//! without a loss.
use std::sync::Mutex;

use bytes::Bytes;

use super::*;
use crate::domain::broker::{Event, Publication};

#[derive(Default)]
struct Ledger {
    told: Mutex<Vec<u64>>,
    lost: Mutex<usize>,
}

impl RoomSink for Ledger {
    fn deliver(&self, _: &RoomId, publications: Vec<Publication>) {
        self.told.lock().unwrap().extend(publications.iter().map(|p| p.n));
    }

    fn missed(&self, _: &RoomId, _: u64) {
        *self.lost.lock().unwrap() += 1;
    }

    fn invalidate(&self, _: &RoomId) {}
}

/// An epoch that goes on from a place of the one before it.
fn epoch(name: u64, base: u64) -> Epoch {
    Epoch { name, base, from: if base == 0 { 0 } else { name - 1 } }
}

fn told_in(epoch: Epoch, first: u64, count: u64) -> Told {
    let publication = |n| Publication::told(n, Event::System(Bytes::new()));
    let publications = (first..first + count).map(publication).collect();
    Told { epoch, first, count, publications, invalidates: false }
}

fn told(name: u64, base: u64, first: u64, count: u64) -> Told {
    told_in(epoch(name, base), first, count)
}

fn answer(name: u64, base: u64, n: u64, kept: Vec<Told>) -> Answer {
    Answer { epoch: epoch(name, base), n, kept }
}

/// Where something was told in this epoch.
fn at(epoch: u64, n: u64) -> At {
    At { epoch, n, taken: epoch }
}

fn room() -> RoomId {
    RoomId::new("class").unwrap()
}

fn opened(at: At, ledger: &Ledger) -> Followed {
    let followed = Followed::default();
    followed.open(&room(), at, ledger);
    followed
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

#[test]
fn any_order_of_answers_channel_and_kept_ones_tells_each_once() {
    for seed in 0..500 {
        let (ledger, mut dice, room) = (Ledger::default(), Dice(seed), room());
        // What Redis has seen: batches of one to three, in two epochs that follow each other
        // without a loss.
        let (mut all, mut n) = (Vec::new(), 0);
        let turn = 10 + dice.roll(20) as u64;
        let mut base = 0;
        while n < 40 {
            let count = 1 + dice.roll(3) as u64;
            let epoch = if n < turn { 1 } else { 2 };
            if epoch == 2 && base == 0 {
                base = n;
            }
            all.push(told(epoch, base, n + 1, count));
            n += count;
        }
        let now = at(2, n);
        let followed = opened(at(1, 0), &ledger);
        // Own answers come at any time, the channel in order with holes, both more than once.
        let mut waiting: Vec<Told> = all.iter().filter(|_| dice.roll(3) == 0).cloned().collect();
        for one in &all {
            if dice.roll(4) != 0 {
                followed.apply(&room, one.clone(), &ledger);
            }
            if !waiting.is_empty() && dice.roll(2) == 0 {
                let early = waiting.remove(dice.roll(waiting.len()));
                // Nobody has an answer before it was given.
                if early.first <= one.last() {
                    followed.apply(&room, early, &ledger);
                }
            }
            if dice.roll(12) == 0 && followed.begin_asking() {
                let upto: Vec<Told> =
                    all.iter().filter(|t| t.last() <= one.last()).cloned().collect();
                let at = followed.at().unwrap();
                let kept = upto.iter().filter(|t| t.last() > at.n).cloned().collect();
                followed.repair(
                    &room,
                    at,
                    Answer { epoch: one.epoch, n: one.last(), kept },
                    &ledger,
                );
                followed.end_asking();
            }
        }
        let at = followed.at().unwrap();
        let kept = all.iter().filter(|t| t.last() > at.n).cloned().collect();
        followed.repair(&room, at, answer(2, base, n, kept), &ledger);
        assert_eq!(*ledger.told.lock().unwrap(), (1..=n).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((*ledger.lost.lock().unwrap(), followed.at()), (0, Some(now)), "seed {seed}");
    }
}

#[test]
fn a_late_answer_of_an_earlier_epoch_changes_nothing() {
    let (ledger, room) = (Ledger::default(), room());
    let followed = opened(at(1, 9), &ledger);
    followed.apply(&room, told(2, 9, 10, 1), &ledger);
    followed.apply(&room, told(1, 0, 9, 1), &ledger);
    followed.apply(&room, told(1, 0, 10, 1), &ledger);
    assert!(
        !followed.repair(&room, at(1, 9), answer(1, 0, 10, vec![told(1, 0, 10, 1)]), &ledger),
        "it has to be asked again"
    );
    followed.apply(&room, told(2, 9, 11, 1), &ledger);
    assert_eq!((&*ledger.told.lock().unwrap(), *ledger.lost.lock().unwrap()), (&vec![10, 11], 0));
}

#[test]
fn what_redis_has_lost_is_noticed_once() {
    let (ledger, room) = (Ledger::default(), room());
    let followed = opened(at(1, 9), &ledger);
    followed.apply(&room, told(2, 7, 8, 2), &ledger);
    followed.apply(&room, told(2, 7, 8, 2), &ledger);
    assert_eq!((&*ledger.told.lock().unwrap(), *ledger.lost.lock().unwrap()), (&vec![8, 9], 1));
}

#[test]
fn more_than_is_kept_is_asked_for_again() {
    let (ledger, room) = (Ledger::default(), room());
    let followed = opened(at(1, 0), &ledger);
    let all: Vec<_> = (1..=400).map(|n| told(1, 0, n, 1)).collect();
    for one in &all[1..] {
        assert_eq!(followed.apply(&room, one.clone(), &ledger), Step::Gap);
    }
    assert!(followed.begin_asking() && !followed.begin_asking(), "one asks");
    let asked = followed.ask().unwrap();
    followed.miss();
    assert!(
        !followed.repair(&room, asked, answer(1, 0, 5, all[..5].to_vec()), &ledger),
        "some were thrown away after the question"
    );
    let asked = followed.ask().unwrap();
    assert!(followed.repair(
        &room,
        asked,
        answer(1, 0, 400, all[asked.n as usize..].to_vec()),
        &ledger
    ));
    assert_eq!(*ledger.told.lock().unwrap(), (1..=400).collect::<Vec<_>>());
}

#[test]
fn what_a_room_may_have_before_it_is_bounded() {
    let followed = Followed::default();
    assert!(followed.receive(Bytes::from_static(b"1")), "the first drains");
    for _ in 0..100 {
        assert!(!followed.receive(Bytes::from(vec![0; 1 << 20])));
    }
    let mut count = 0;
    while followed.next().is_some() {
        count += 1;
    }
    assert!((7..=9).contains(&count), "{count}");
    assert!(followed.overflowed() && !followed.overflowed());
    assert!(followed.receive(Bytes::from_static(b"2")), "it begins again");
}

#[test]
fn as_many_new_ones_as_were_lost_are_no_sign_that_nothing_was() {
    let (ledger, room) = (Ledger::default(), room());
    let followed = opened(at(1, 10), &ledger);
    let asked = followed.ask().unwrap();
    assert!(followed.repair(&room, asked, answer(2, 8, 10, vec![]), &ledger));
    assert_eq!((*ledger.lost.lock().unwrap(), followed.at()), (1, Some(at(2, 10))));
}

#[test]
fn what_waits_of_an_epoch_that_is_no_more_is_given_up() {
    let (ledger, room) = (Ledger::default(), room());
    let followed = opened(at(1, 40), &ledger);
    assert_eq!(followed.apply(&room, told(2, 50, 51, 1), &ledger), Step::Gap);
    assert!(followed.begin_asking());
    let asked = followed.ask().unwrap();
    assert!(!followed.repair(&room, asked, answer(3, 31, 31, vec![]), &ledger));
    let asked = followed.ask().unwrap();
    assert!(followed.repair(&room, asked, answer(3, 31, 31, vec![]), &ledger));
    assert_eq!(followed.apply(&room, told(3, 31, 32, 1), &ledger), Step::Done);
    assert_eq!(*ledger.told.lock().unwrap(), [32]);
}

#[test]
fn overtaking_an_others_publication_is_no_reason_to_ask() {
    let (ledger, room) = (Ledger::default(), room());
    let followed = opened(at(1, 10), &ledger);
    assert_eq!(
        followed.apply(&room, told(1, 0, 13, 1), &ledger),
        Step::Gap,
        "this node's own answer"
    );
    assert_eq!(followed.apply(&room, told(1, 0, 11, 1), &ledger), Step::Done);
    assert_eq!(followed.apply(&room, told(1, 0, 12, 1), &ledger), Step::Done);
    assert_eq!(*ledger.told.lock().unwrap(), [11, 12, 13]);
}

/// Up to the tenth place all is as it was told, by number; but Redis has lost some of it, and
/// others were told there, which nobody here has heard.
#[test]
fn a_place_that_was_taken_twice_is_not_the_same() {
    let (ledger, room) = (Ledger::default(), room());
    let third = Epoch { name: 3, base: 10, from: 2 };
    let followed = opened(at(1, 10), &ledger);
    followed.apply(&room, told_in(third, 11, 1), &ledger);
    assert_eq!(
        (&*ledger.told.lock().unwrap(), *ledger.lost.lock().unwrap()),
        (&vec![11], 1),
        "told by the next publication"
    );

    let asking = opened(at(1, 10), &ledger);
    assert!(asking.repair(
        &room,
        asking.ask().unwrap(),
        Answer { epoch: third, n: 10, kept: vec![] },
        &ledger
    ));
    assert_eq!(
        (*ledger.lost.lock().unwrap(), asking.at()),
        (2, Some(At { epoch: 3, n: 10, taken: 2 })),
        "told by an answer"
    );
    asking.apply(&room, told_in(third, 11, 1), &ledger);
    assert_eq!(*ledger.lost.lock().unwrap(), 2, "once");
}

#[test]
fn epochs_in_which_nothing_was_told_lose_nothing() {
    let (ledger, room) = (Ledger::default(), room());
    let (second, third) =
        (Epoch { name: 2, base: 10, from: 1 }, Epoch { name: 3, base: 10, from: 1 });
    // One node has heard of the second, one has not, one has come later.
    let (heard, deaf, late) = (
        opened(at(1, 10), &ledger),
        opened(at(1, 10), &ledger),
        opened(At::of(&second, 10), &ledger),
    );
    assert!(heard.repair(&room, at(1, 10), Answer { epoch: second, n: 10, kept: vec![] }, &ledger));
    for followed in [&heard, &deaf, &late] {
        followed.apply(&room, told_in(third, 11, 1), &ledger);
        assert_eq!(followed.at(), Some(at(3, 11)));
    }
    assert_eq!((&*ledger.told.lock().unwrap(), *ledger.lost.lock().unwrap()), (&vec![11; 3], 0));
}

#[test]
fn what_nobody_is_told_takes_its_place_and_its_loss_is_noticed() {
    let (ledger, room) = (Ledger::default(), room());
    let followed = opened(at(1, 10), &ledger);
    assert_eq!(followed.apply(&room, Told::one(epoch(1, 0), 11, None), &ledger), Step::Done);
    assert_eq!((ledger.told.lock().unwrap().len(), followed.at()), (0, Some(at(1, 11))));
    followed.apply(&room, told(2, 10, 11, 1), &ledger);
    assert_eq!((&*ledger.told.lock().unwrap(), *ledger.lost.lock().unwrap()), (&vec![11], 1));
}
