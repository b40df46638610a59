//! How often a user may sign in.
use std::{sync::Arc, time::Duration};

use super::{LimitsHome, witness::uid};
use crate::domain::{ids::Uid, limit::Limits};

const RATE: Option<(u32, Duration)> = Some((30, Duration::from_secs(60)));

/// Of so many attempts, those that succeed.
async fn admitted(limits: &Arc<dyn Limits>, uid: &Uid, attempts: u32) -> u32 {
    let mut admitted = 0;
    for _ in 0..attempts {
        admitted += u32::from(limits.admit(uid).await.unwrap());
    }
    admitted
}

pub(crate) async fn the_thirty_first_is_refused(home: &impl LimitsHome) {
    let limits = home.open(RATE).await;
    assert_eq!(admitted(&limits, &uid("ann"), 30).await, 30);
    assert_eq!(admitted(&limits, &uid("ann"), 5).await, 0);
}

pub(crate) async fn a_window_begins_with_the_first_and_is_not_prolonged(home: &impl LimitsHome) {
    let limits = home.open(RATE).await;
    assert_eq!(admitted(&limits, &uid("ann"), 29).await, 29);
    home.pass(Duration::from_secs(50)).await;
    assert_eq!(admitted(&limits, &uid("ann"), 3).await, 1, "still the first window");
    home.pass(Duration::from_secs(11)).await;
    assert_eq!(admitted(&limits, &uid("ann"), 40).await, 30, "attempts in vain prolong nothing");
}

pub(crate) async fn uids_are_counted_apart(home: &impl LimitsHome) {
    let limits = home.open(RATE).await;
    assert_eq!(admitted(&limits, &uid("ann"), 31).await, 30);
    assert_eq!(admitted(&limits, &uid("ben"), 31).await, 30);
}

pub(crate) async fn number_and_text_are_one_uid(home: &impl LimitsHome) {
    let limits = home.open(RATE).await;
    assert_eq!(admitted(&limits, &uid("1000"), 29).await, 29);
    assert_eq!(admitted(&limits, &Uid::number("1000").unwrap(), 2).await, 1);
}

pub(crate) async fn without_a_limit_anybody_comes_in(home: &impl LimitsHome) {
    let limits = home.open(None).await;
    assert_eq!(admitted(&limits, &uid("ann"), 200).await, 200);
}
