//! Who is let in, and what is left when all have gone.
use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::{Admission, FORWARDED_FOR, Full, household};
use crate::{
    config::{Config, Flags},
    reason::Label,
};

fn admission(settings: &[(&str, &str)]) -> Arc<Admission> {
    let environment = settings
        .iter()
        .map(|(name, value)| (format!("AO_LIMITS__{name}").into(), (*value).to_owned().into()));
    let config = Config::load(None, environment, &Flags::new()).unwrap();
    Admission::new(&config.limits, Arc::default())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn metrics_know_every_limit() {
    let words: Vec<&str> = Full::ALL.iter().map(|full| full.label()).collect();
    assert_eq!(words, crate::metrics::LIMITS);
}

#[test]
fn a_place_that_is_given_back_is_free_again() {
    let admission = admission(&[("CONNECTIONS", "2")]);
    let enter = || admission.enter(ip("192.0.2.1"), Instant::now());
    let (first, _second) = (enter().unwrap(), enter().unwrap());
    assert_eq!(enter().err(), Some(Full::Connections));
    assert_eq!(admission.inside(), 2, "who was refused is not counted");
    drop(first);
    assert!(enter().is_ok());
}

#[test]
fn addresses_of_one_household_are_one() {
    let admission = admission(&[("CONNECTIONS_PER_ADDRESS", "1")]);
    let enter = |address: &str| admission.enter(ip(address), Instant::now());
    let places = [
        enter("192.0.2.1").unwrap(),
        enter("192.0.2.2").unwrap(),
        enter("2001:db8:0:1::1").unwrap(),
        enter("2001:db8:0:2::1").unwrap(),
    ];
    for taken in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8:0:1:ffff::2"] {
        assert_eq!(enter(taken).err(), Some(Full::Address), "{taken}");
    }
    assert_eq!(admission.addresses(), 4);
    drop(places);
    assert_eq!((admission.inside(), admission.addresses()), (0, 0), "nothing is left");
}

#[test]
fn a_refused_newcomer_takes_nothing_from_the_pace() {
    let admission = admission(&[("CONNECTIONS", "1"), ("NEW_CONNECTIONS", "2 in 60s")]);
    let now = Instant::now();
    let enter = || admission.enter(ip("192.0.2.1"), now);
    let first = enter().unwrap();
    assert_eq!(enter().err(), Some(Full::Connections));
    drop(first);
    drop(enter().unwrap());
    assert_eq!(enter().err(), Some(Full::Rate));
    assert_eq!(admission.inside(), 0);
}

#[test]
fn behind_a_proxy_the_first_from_the_right_that_is_none_counts() {
    let admission = admission(&[("PROXIES", "10.0.0.0/8,::1")]);
    let client = |peer: &str, lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(line).unwrap());
        }
        admission.forwarded(ip(peer), &headers).map(|address| address.to_string())
    };
    for (peer, lines, client_is) in [
        ("10.0.0.1", &["192.0.2.1"][..], Some("192.0.2.1")),
        ("::ffff:10.0.0.1", &["192.0.2.1"], Some("192.0.2.1")),
        ("10.0.0.1", &["198.51.100.9, 192.0.2.1, 10.0.0.2"], Some("192.0.2.1")),
        ("10.0.0.1", &["198.51.100.9", "192.0.2.1 ,10.0.0.2"], Some("192.0.2.1")),
        ("::1", &["192.0.2.1:4711"], Some("192.0.2.1")),
        ("::1", &["[2001:db8::1]:4711"], Some("2001:db8::1")),
        ("::1", &["2001:db8::1"], Some("2001:db8::1")),
        // All of them are proxies: the one that is furthest away.
        ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
        // What stands left of a word that is no address is not looked at.
        ("10.0.0.1", &["192.0.2.1, unknown, 10.0.0.2"], Some("10.0.0.2")),
        ("10.0.0.1", &["unknown"], None),
        ("10.0.0.1", &[], None),
        ("192.0.2.7", &["198.51.100.9"], None),
    ] {
        assert_eq!(client(peer, lines).as_deref(), client_is, "{peer} {lines:?}");
    }
}

#[test]
fn connections_of_a_believed_proxy_do_not_count_as_its_own() {
    let admission = admission(&[("CONNECTIONS_PER_ADDRESS", "1"), ("PROXIES", "10.0.0.1")]);
    let enter = || admission.enter(ip("10.0.0.1"), Instant::now()).unwrap();
    let _places = [enter(), enter(), enter()];
    let seat = admission.seat(ip("192.0.2.1")).unwrap();
    assert_eq!(admission.seat(ip("192.0.2.1")).err(), Some(Full::Address));
    assert!(admission.seat(ip("192.0.2.2")).is_ok());
    drop(seat);
    assert_eq!(admission.addresses(), 0);
}

#[test]
fn who_begins_again_is_let_in_by_the_rate_and_the_memory() {
    let admission = admission(&[("NEW_CONNECTIONS", "2 in 60s"), ("MEMORY", "1000")]);
    let now = Instant::now();
    let _place = admission.enter(ip("192.0.2.1"), now).unwrap();
    assert!(admission.enter_again(false, now).is_ok_and(|own| own.is_none()));
    assert_eq!(admission.enter_again(false, now).err(), Some(Full::Rate));
    admission.weigh(1000, 1000);
    assert_eq!(admission.enter_again(false, now).err(), Some(Full::Memory));
    assert_eq!(admission.inside(), 1);
}

#[test]
fn who_begins_again_beside_another_one_has_a_place_of_its_own() {
    let admission = admission(&[("CONNECTIONS", "2"), ("NEW_CONNECTIONS", "3 in 60s")]);
    let now = Instant::now();
    let _place = admission.enter(ip("192.0.2.1"), now).unwrap();
    let own = admission.enter_again(true, now).unwrap();
    assert!(own.is_some());
    assert_eq!(admission.enter_again(true, now).err(), Some(Full::Connections));
    assert_eq!(admission.inside(), 2);
    drop(own);
    assert!(admission.enter_again(true, now).is_ok(), "who was refused took nothing of the rate");
    assert_eq!(admission.enter_again(true, now).err(), Some(Full::Rate));
    assert_eq!(admission.inside(), 1);
}

#[test]
fn some_workers_are_never_busy_with_handshakes() {
    let permits = |workers| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).build();
        let _inside = runtime.as_ref().unwrap().enter();
        let admission = admission(&[]);
        [true, false].map(|clients| admission.handshakes(clients).available_permits())
    };
    assert_eq!([1, 2, 3, 4, 16].map(permits), [1, 1, 1, 2, 8].map(|clients| [clients, 1]));
}

#[test]
fn newcomers_wait_until_the_memory_is_well_below_its_bound() {
    let admission = admission(&[("MEMORY", "1000")]);
    let strained = |used| {
        admission.weigh(used, 1000);
        admission.is_strained()
    };
    assert_eq!(
        [999, 1000, 990, 950, 949, 999].map(strained),
        [false, true, true, true, false, false]
    );
    admission.weigh(1000, 1000);
    assert_eq!(admission.enter(ip("192.0.2.1"), Instant::now()).err(), Some(Full::Memory));
}

#[test]
fn the_nearer_the_memory_is_to_its_bound_the_less_a_client_may_be_behind() {
    let admission = admission(&[("MEMORY", "1000")]);
    let borne = |used| {
        admission.weigh(used, 1000);
        admission.borne(1024, 4096)
    };
    assert_eq!(
        [0, 799, 800, 850, 900, 950, 1000, 4000, 799].map(borne),
        [5120, 5120, 512, 256, 128, 64, 32, 32, 5120]
    );
}

#[test]
fn limits_that_change_hold_for_newcomers() {
    let admission = admission(&[("CONNECTIONS", "1")]);
    let enter = |from: &Arc<Admission>| from.enter(ip("192.0.2.1"), Instant::now());
    let _first = enter(&admission).unwrap();
    assert!(enter(&admission).is_err());
    let other = [("AO_LIMITS__CONNECTIONS".into(), "2".into())];
    admission.change(&Config::load(None, other, &Flags::new()).unwrap().limits);
    let _second = enter(&admission).unwrap();
    assert!(enter(&admission).is_err());
}

#[test]
fn requests_are_counted_by_household() {
    let admission = admission(&[("REQUESTS_PER_ADDRESS", "2 in 10s")]);
    let now = Instant::now();
    let ask = |address: &str| admission.ask(ip(address), &HeaderMap::new(), now);
    assert_eq!(
        ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"].map(ask),
        [Ok(()), Ok(()), Err(Full::Requests), Ok(())]
    );
    assert_eq!(household(ip("2001:db8::1:2:3:4")), ip("2001:db8::"));
}

#[test]
fn clients_of_a_believed_proxy_that_names_nobody_are_not_one() {
    let admission = admission(&[("REQUESTS_PER_ADDRESS", "1 in 10s"), ("PROXIES", "10.0.0.1")]);
    let now = Instant::now();
    let ask = |from: &str, named: Option<&'static str>| {
        let named = named.map(|named| (FORWARDED_FOR, HeaderValue::from_static(named)));
        admission.ask(ip(from), &named.into_iter().collect(), now)
    };
    for _ in 0..3 {
        assert_eq!(ask("10.0.0.1", None), Ok(()));
    }
    assert_eq!(ask("10.0.0.1", Some("192.0.2.1")), Ok(()));
    assert_eq!(ask("10.0.0.1", Some("192.0.2.1")), Err(Full::Requests));
    assert_eq!(ask("192.0.2.2", None), Ok(()));
    assert_eq!(ask("192.0.2.2", None), Err(Full::Requests));
}
