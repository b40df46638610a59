//! Places in groups that are being taken on this node: of those who come at once not all may find
//! the last one free. Between nodes, who has taken one too many gives it up again.
use std::{collections::HashMap, sync::Mutex};

use super::{
    Tinode, access,
    ids::{Key, UserId},
    message::Code,
    record::SubRecord,
    refusal::Done,
};
use crate::lock::lock;

/// Who is taking a place, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Seats(Mutex<HashMap<Key, Vec<UserId>>>);

/// A place that somebody is taking, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat<'a> {
    seats: &'a Seats,
    key: Key,
    user: UserId,
}

impl Seats {
    /// A user takes a place from now on. Also says who came before it and may not be a member yet.
    fn take(&self, key: Key, user: UserId) -> (Seat<'_>, Vec<UserId>) {
        let mut all = lock(&self.0);
        let taking = all.entry(key).or_default();
        let before = taking.clone();
        taking.push(user);
        (Seat { seats: self, key, user }, before)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut all = lock(&self.seats.0);
        let Some(taking) = all.get_mut(&self.key) else { return };
        if let Some(at) = taking.iter().position(|user| *user == self.user) {
            taking.remove(at);
        }
        if taking.is_empty() {
            all.remove(&self.key);
        }
    }
}

/// Takes a place for one more member (S:90). What this gives is held until it is one.
///
/// # Errors
/// There are as many as there may be.
pub(super) async fn take(node: &Tinode, key: Key, user: UserId) -> Done<Seat<'_>> {
    let (seat, before) = node.seats.take(key, user);
    let most = node.options.limits.subscribers;
    if matches!(key, Key::Group(_)) {
        // Only now: who came before and has left its place is found among them.
        let members = node.cabinet.members(&key, most).await?;
        let members: Vec<UserId> = members.into_iter().map(|read| read.record.user).collect();
        if taken(&members, &before, user) >= most {
            return Err(Code::Policy.into());
        }
    }
    Ok(seat)
}

/// The places that others have.
fn taken(members: &[UserId], before: &[UserId], user: UserId) -> usize {
    let mut others: Vec<UserId> = members.iter().chain(before).copied().collect();
    others.sort_unstable();
    others.dedup();
    others.iter().filter(|other| **other != user).count()
}

/// Keeps the place of somebody who is a member now, unless others were taken on other nodes
/// meanwhile, and it is one too many.
///
/// # Errors
/// It is.
pub(super) async fn keep(node: &Tinode, key: Key, user: UserId) -> Done<()> {
    let most = node.options.limits.subscribers;
    let is_bounded = matches!(key, Key::Group(_)) && !node.options.alone;
    if !is_bounded || node.cabinet.members(&key, most + 1).await?.len() <= most {
        return Ok(());
    }
    let end = |row: Option<SubRecord>| {
        let row = row.filter(access::is_member);
        Ok((row.map(|row| SubRecord { live: None, deleted: true, ..row }), ()))
    };
    node.cabinet.change_sub(&key, user, end).await?;
    Err(Code::Policy.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    #[test]
    fn who_came_before_has_a_place_until_it_gives_it_up() {
        let seats = Seats::default();
        let key = Key::parse("grpGardenClub_").unwrap();
        let (first, before) = seats.take(key, user(1));
        assert!(before.is_empty());
        let (second, before) = seats.take(key, user(2));
        assert_eq!(before, [user(1)]);
        drop(first);
        let (third, before) = seats.take(key, user(2));
        assert_eq!(before, [user(2)], "in another session");
        drop(second);
        assert_eq!(lock(&seats.0)[&key], [user(2)]);
        drop(third);
        assert!(lock(&seats.0).is_empty());
    }

    #[test]
    fn nobody_is_counted_twice_or_counts_itself() {
        for (members, before, expected) in [
            (&[][..], &[][..], 0),
            (&[1, 2], &[], 2),
            (&[1, 2], &[3], 3),
            (&[1, 2], &[2, 3, 3], 3),
            (&[1, 9], &[9], 1),
        ] {
            let users = |of: &[u64]| of.iter().map(|n| user(*n)).collect::<Vec<_>>();
            assert_eq!(taken(&users(members), &users(before), user(9)), expected);
        }
    }
}
