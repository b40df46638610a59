use std::collections::VecDeque;

use super::*;
use crate::domain::{
    broker::{Audience, Event, Publication},
    ids::RoomId,
    message::Kind,
    subscriber::Codec,
};

/// What is said in an inbox: a chat message with its index, a signal, or that contacts have
/// changed.
enum Said {
    Message(u64),
    Signal(&'static str),
    Contacts,
}
use Said::{Contacts, Message, Signal};

fn packets(all: &[Said]) -> Bytes {
    let publication = |index, event| Publication { n: 1, audience: Audience::All, index, event };
    let message = |kind, body: String| Event::Message { kind, body: body.into() };
    let told = all.iter().map(|said| match said {
        Message(index) => publication(Some(*index), message(Kind::Insert, format!("m{index}"))),
        Signal(text) => publication(None, message(Kind::Ignore, (*text).to_owned())),
        Contacts => publication(None, Event::System(Bytes::new())),
    });
    let room = RoomId::new("r").expect("a name");
    wire::Frames.encode(&room, &told.collect::<Vec<_>>()).all()
}

fn texts(frames: &Bytes) -> Vec<&str> {
    let of = |(_, payload)| std::str::from_utf8(payload).expect("text");
    crate::net::websocket::frame::payloads(frames).map(of).collect()
}

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// All that was sent has come, on both sides.
fn well() -> Line {
    Line::default()
}

const UNREAD: Line = Line { unread: true, midway: false, unsent: false };
const MIDWAY: Line = Line { unread: false, midway: true, unsent: false };
const UNSENT: Line = Line { unread: false, midway: false, unsent: true };

fn opened(delivery: &mut Delivery, first: u64, end: u64, now: Instant) -> Out {
    delivery.opened(first, end, now).expect("not too much was held")
}

/// An open one, whose inbox was empty, at this time. Its first ping is answered, if it answers.
fn open(now: Instant, answers: bool) -> Delivery {
    let mut delivery = Delivery::default();
    assert_eq!(opened(&mut delivery, 10, 10, now).ping, Some(10));
    if answers {
        assert_eq!(delivery.pong(10, now), None);
    }
    assert_eq!(delivery.erase(now), None, "nothing was sent");
    delivery
}

fn said(delivery: &mut Delivery, all: &[Said], now: Instant) -> Out {
    delivery.deliver(packets(all), now)
}

#[test]
fn what_comes_while_the_log_is_read_follows_it_and_none_comes_twice() {
    let (now, mut delivery) = (Instant::now(), Delivery::default());
    for held in [
        &[Message(6), Signal("a")][..],
        &[Message(7)],
        &[Contacts, Message(8), Signal("b"), Message(9)],
    ] {
        assert_eq!(said(&mut delivery, held, now), Out::default());
    }
    // The log had 5 to 7 when it was read.
    let out = opened(&mut delivery, 5, 8, now);
    assert_eq!(texts(&out.frames), ["a", "m8", "b", "m9"]);
    assert_eq!((out.ping, out.contacts, out.unwatched), (Some(10), true, true));
    assert_eq!(delivery.pong(10, now), None);
    assert_eq!(delivery.erase(now), Some(10), "what waited, and what was held");
}

/// A signal of so many bytes.
fn large(bytes: usize) -> Bytes {
    let event = Event::Message { kind: Kind::Ignore, body: vec![b'x'; bytes].into() };
    let told = Publication { n: 1, audience: Audience::All, index: None, event };
    wire::Frames.encode(&RoomId::new("r").expect("a name"), &[told]).all()
}

#[test]
fn what_is_too_much_to_be_held_is_read_from_the_log_instead() {
    let (now, mut delivery) = (Instant::now(), Delivery::default());
    assert_eq!(said(&mut delivery, &[Contacts, Message(5)], now), Out::default());
    for _ in 0..3 {
        assert_eq!(delivery.deliver(large(HELD / 2), now), Out::default());
    }
    assert_eq!(said(&mut delivery, &[Signal("lost"), Message(6)], now), Out::default());
    let held = delivery.held.as_ref().expect("it is not open");
    assert!(held.overflowed && held.pieces.is_empty(), "nothing of it is kept");
    assert_eq!(delivery.opened(5, 5, now), None);
    // The log has 5 and 6 now. The next one comes while it is read.
    for more in [&[Signal("a")][..], &[Message(6), Message(7)]] {
        assert_eq!(said(&mut delivery, more, now), Out::default());
    }
    let out = opened(&mut delivery, 5, 7, now);
    assert_eq!((texts(&out.frames), out.ping), (vec!["a", "m7"], Some(8)));
    assert!(out.contacts, "that they have changed is not lost");
    assert_eq!(delivery.pong(8, now), None);
    assert_eq!(delivery.erase(now), Some(8));
}

#[test]
fn as_much_is_held_as_there_is_memory_for_and_small_ones_take_some_too() {
    let now = Instant::now();
    let overflows = |packets: &Bytes, times: usize| {
        let mut delivery = Delivery::default();
        for _ in 0..times {
            delivery.deliver(packets.clone(), now);
        }
        delivery.opened(0, 0, now).is_none()
    };
    for packets in [large(HELD / 8), large(1), large(100)] {
        let fit = HELD / (packets.len() + size_of::<Bytes>());
        assert!(!overflows(&packets, fit) && overflows(&packets, fit + 1), "{fit}");
    }
}

#[test]
fn frames_are_sent_without_marks_and_only_copied_where_they_are_apart() {
    let now = Instant::now();
    let mut delivery = open(now, true);
    let single = packets(&[Message(10)]);
    let out = delivery.deliver(single.clone(), now);
    assert_eq!(texts(&out.frames), ["m10"]);
    assert_eq!(out.frames.as_ptr(), single[wire::NUMBER..].as_ptr(), "it is not copied");
    let signals = packets(&[Signal("a"), Signal("b")]);
    let out = delivery.deliver(signals.clone(), now);
    assert_eq!((&out.frames, out.frames.as_ptr()), (&signals, signals.as_ptr()));
    let out = said(&mut delivery, &[Message(11), Signal("c"), Contacts, Message(12)], now);
    assert_eq!((texts(&out.frames), out.contacts), (vec!["m11", "c", "m12"], true));
    let out = said(&mut delivery, &[Contacts], now);
    assert!(out.frames.is_empty() && out.contacts && out.ping.is_none());
}

#[test]
fn one_ping_is_out_at_a_time_and_its_pong_tells_what_has_arrived() {
    let now = Instant::now();
    let mut delivery = open(now, true);
    assert_eq!(said(&mut delivery, &[Message(10), Message(11)], now).ping, Some(12));
    assert_eq!(said(&mut delivery, &[Message(12)], now).ping, None, "one is out");
    assert_eq!(delivery.pong(99, now), None, "an unasked pong is no answer");
    assert_eq!(delivery.erase(now), None);
    assert_eq!(delivery.pong(12, now), Some(13), "for what came behind the first ping");
    assert_eq!(delivery.erase(now), Some(12), "the last one may not have arrived");
    assert_eq!(delivery.pong(12, now), None, "it says nothing new");
    assert_eq!(delivery.pong(13, now), None);
    assert_eq!(delivery.rest(), Some(13));
}

#[test]
fn signals_need_no_ping() {
    let now = Instant::now();
    let out = said(&mut open(now, true), &[Signal("a")], now);
    assert_eq!((out.ping, out.unwatched), (None, false));
}

#[test]
fn a_late_pong_is_a_proof_of_what_was_sent_before_its_ping() {
    let begin = Instant::now();
    let mut delivery = open(begin, false);
    assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, None);
    assert_eq!(delivery.look(begin + s(2.0), well), Ok(Some(11)));
    assert_eq!(delivery.look(begin + s(4.0), well), Ok(None), "it seems never to answer");
    assert_eq!(said(&mut delivery, &[Message(11)], begin + s(4.0)).ping, Some(12));
    assert_eq!(said(&mut delivery, &[Message(12)], begin + s(4.0)).ping, None);
    // It does. So the ping that is out has to be answered.
    assert_eq!(delivery.pong(11, begin + s(5.0)), None);
    assert_eq!(delivery.look(begin + s(9.0), well), Ok(None));
    assert_eq!(delivery.rest(), Some(11));
    assert_eq!(delivery.pong(12, begin + s(9.0)), Some(13));
    assert_eq!(delivery.pong(10, begin + s(9.0)), None, "it takes nothing back");
    assert_eq!(delivery.rest(), Some(12));
    assert_eq!(delivery.pong(14, begin + s(9.0)), None, "nobody has sent that");
    assert_eq!(delivery.pong(13, begin + s(9.0)), None);
    assert_eq!(delivery.rest(), Some(13));
}

#[test]
fn who_answers_each_ping_later_than_it_is_given_up_is_one_that_answers() {
    let begin = Instant::now();
    let mut delivery = open(begin, false);
    // When which pong comes: 5 s behind its ping.
    let mut pongs = VecDeque::from([(5, 10)]);
    let mut confirmed = 12; // before any pong has come, by patience
    for second in 1..=60 {
        let now = begin + Duration::from_secs(second);
        let mut pings = vec![said(&mut delivery, &[Message(9 + second)], now).ping];
        if let Some((_, number)) = pongs.front().copied().filter(|(due, _)| *due == second) {
            pongs.pop_front();
            pings.push(delivery.pong(number, now));
            confirmed = confirmed.max(number);
        }
        pings.push(delivery.look(now, well).expect("it lives"));
        pongs.extend(pings.into_iter().flatten().map(|number| (second + 5, number)));
        if second >= 5 {
            assert_eq!(delivery.rest(), Some(confirmed), "after {second} s");
        }
    }
    assert!(confirmed > 50, "its pongs prove what has arrived");
}

#[test]
fn of_a_client_that_never_answers_it_has_arrived_after_2_s() {
    let begin = Instant::now();
    let mut delivery = open(begin, false);
    assert_eq!(delivery.look(begin + s(1.0), well), Ok(None));
    assert_eq!(said(&mut delivery, &[Message(10)], begin + s(1.0)).ping, None);
    // The first ping is done with, the second is for the message.
    assert_eq!(delivery.watch(), Some(begin + s(2.0)));
    assert_eq!(delivery.look(begin + s(2.0), well), Ok(Some(11)));
    assert_eq!(delivery.look(begin + s(3.9), well), Ok(None));
    assert_eq!(delivery.erase(begin + s(3.9)), None);
    assert_eq!(delivery.watch(), Some(begin + s(4.0)));
    assert_eq!(delivery.look(begin + s(4.0), well), Ok(None));
    assert_eq!(delivery.erase(begin + s(4.0)), Some(11));
}

#[test]
fn what_has_not_left_the_server_has_not_arrived_nor_has_it_where_the_pong_may_be_unread() {
    for line in [UNSENT, UNREAD] {
        let begin = Instant::now();
        let mut delivery = open(begin, false);
        assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, None);
        assert_eq!(delivery.look(begin + s(2.0), || line), Ok(None));
        assert_eq!(delivery.look(begin + s(4.0), || line), Ok(None));
        assert_eq!(delivery.look(begin + s(5.9), well), Ok(None));
        assert_eq!(delivery.look(begin + s(6.0), well), Ok(Some(11)));
    }
}

#[test]
fn who_never_answers_does_not_keep_its_messages_by_what_it_says() {
    let begin = Instant::now();
    let mut delivery = open(begin, false);
    assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, None);
    assert_eq!(delivery.look(begin + s(2.0), || MIDWAY), Ok(Some(11)));
    assert_eq!(delivery.look(begin + s(4.0), || MIDWAY), Ok(None));
    assert_eq!(delivery.rest(), Some(11));
}

#[test]
fn of_a_client_that_answers_nothing_has_arrived_without_a_pong_and_it_is_lost() {
    let begin = Instant::now();
    let mut delivery = open(begin, true);
    assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, Some(11));
    for second in (2..30).step_by(2).map(f64::from) {
        assert_eq!(delivery.watch(), Some(begin + s(second)));
        assert_eq!(delivery.look(begin + s(second), well), Ok(None));
        assert_eq!(delivery.rest(), None);
    }
    assert_eq!(delivery.look(begin + s(30.0), well), Err(Lost));
    assert_eq!(delivery.rest(), None, "it waits for the next");
}

#[test]
fn nobody_is_lost_while_the_ping_or_the_pong_is_on_its_way() {
    for line in [UNSENT, UNREAD, MIDWAY] {
        let begin = Instant::now();
        let mut delivery = open(begin, true);
        assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, Some(11));
        assert_eq!(delivery.look(begin + s(29.9), || line), Ok(None));
        assert_eq!(delivery.look(begin + s(40.0), || line), Ok(None));
        assert_eq!(delivery.look(begin + s(69.9), well), Ok(None));
        assert_eq!(delivery.look(begin + s(72.0), well), Err(Lost));
    }
}

#[test]
fn a_pong_may_take_longer_behind_much() {
    for (bytes, more) in [(0, 0.0), (10 * SLOWEST, 10.0), (ON_THE_WAY, 256.0), (1 << 40, 256.0)] {
        let begin = Instant::now();
        let mut delivery = open(begin, true);
        delivery.has_sent(usize::try_from(bytes).expect("it fits"));
        assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, Some(11));
        delivery.has_sent(1 << 30); // behind the ping
        assert_eq!(delivery.look(begin + s(more + 27.0), well), Ok(None), "{bytes}");
        assert_eq!(delivery.look(begin + s(more + 29.5), well), Ok(None), "{bytes}");
        assert_eq!(delivery.look(begin + s(more + 32.0), well), Err(Lost), "{bytes}");
    }
}

#[test]
fn what_has_arrived_is_nothing_to_wait_for() {
    let begin = Instant::now();
    let mut delivery = open(begin, true);
    delivery.has_sent(1 << 30);
    assert_eq!(said(&mut delivery, &[Message(10)], begin).ping, Some(11));
    assert_eq!(delivery.pong(11, begin), None);
    assert_eq!(said(&mut delivery, &[Message(11)], begin).ping, Some(12));
    assert_eq!(delivery.look(begin + s(27.0), well), Ok(None));
    assert_eq!(delivery.look(begin + s(30.0), well), Err(Lost));
}

#[test]
fn it_is_erased_once_a_second_at_most() {
    let begin = Instant::now();
    let mut delivery = open(begin, true);
    let arrive = |delivery: &mut Delivery, index, now| {
        assert_eq!(said(delivery, &[Message(index)], now).ping, Some(index + 1));
        assert_eq!(delivery.pong(index + 1, now), None);
    };
    arrive(&mut delivery, 10, begin);
    assert_eq!(delivery.erase(begin), Some(11));
    arrive(&mut delivery, 11, begin);
    assert_eq!(delivery.erase(begin), None, "one is under way");
    assert_eq!(delivery.watch(), None, "whoever does that looks for itself");
    delivery.has_erased(11, true, begin + s(0.1));
    assert_eq!(delivery.erase(begin + s(1.0)), None);
    assert_eq!(delivery.watch(), Some(begin + s(1.1)));
    assert_eq!(delivery.erase(begin + s(1.1)), Some(12));
    delivery.has_erased(12, false, begin + s(1.2));
    assert_eq!(delivery.watch(), Some(begin + s(2.2)), "it failed");
    assert_eq!(delivery.erase(begin + s(2.2)), Some(12));
    delivery.has_erased(12, true, begin + s(2.2));
    assert_eq!((delivery.rest(), delivery.watch()), (None, None));
}

#[test]
fn who_has_no_timer_is_told_when_one_is_needed() {
    let now = Instant::now();
    let mut delivery = open(now, true);
    assert_eq!(delivery.watch(), None);
    let out = said(&mut delivery, &[Message(10)], now);
    assert!(out.unwatched);
    assert_eq!(delivery.watch(), Some(now + PATIENCE));
    assert_eq!(delivery.pong(11, now), None);
    let out = said(&mut delivery, &[Message(11)], now);
    assert_eq!((out.ping, out.unwatched), (Some(12), false), "the timer still runs");
    delivery.unwatch();
    assert_eq!(delivery.pong(12, now), None);
    assert!(said(&mut delivery, &[Message(12)], now).unwatched);
}
