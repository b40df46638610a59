//! The places of a room, as Redis keeps them: number, flag, uid. The connections of a user have the
//! same number, those that are seen one and those that are hidden another.
use redis::Value;

use super::{answer, wire};
use crate::domain::{ids::Uid, presence::Present};

/// Everybody in the room, in the order of their joining. What can't be read is left out: somebody
/// else wrote it.
pub(super) fn read(values: Vec<Value>) -> Vec<Present> {
    let mut places: Vec<(u64, Present)> = values
        .into_iter()
        .filter_map(answer::bytes)
        .filter_map(|text| place(std::str::from_utf8(&text).ok()?))
        .collect();
    places.sort_by_key(|(number, _)| *number);
    places.dedup_by(|(number, next), (first, present)| {
        let same = number == first && next.uid == present.uid;
        if same {
            present.connections += next.connections;
            present.held &= next.held;
        }
        same
    });
    places.into_iter().map(|(_, present)| present).collect()
}

/// Those of them that the others see, but for `uid`.
pub(super) fn others(places: Vec<Present>, uid: &Uid) -> Vec<Uid> {
    places.into_iter().filter(|p| !p.hidden && p.uid != *uid).map(|p| p.uid).collect()
}

fn place(text: &str) -> Option<(u64, Present)> {
    let mut parts = text.splitn(3, ' ');
    let (number, flag, uid) =
        (parts.next()?.parse().ok()?, parts.next()?, wire::uid(parts.next()?)?);
    let held = flag == "h";
    Some((number, Present { uid, hidden: flag == "d", held, connections: u64::from(!held) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_joining_and_what_is_none_is_left_out() {
        let texts = [
            "10 v \"zoe\"",
            "9 h 1000",
            "x v \"a\"",
            "11 d \"a b\"",
            "12 v",
            "",
            "10 h \"zoe\"",
            "10 v \"zoe\"",
        ];
        let read = read(texts.map(|text| Value::BulkString(text.into())).to_vec());
        let shown: Vec<_> = read
            .iter()
            .map(|p| (p.uid.json().into_owned(), p.hidden, p.held, p.connections))
            .collect();
        assert_eq!(
            shown,
            [
                ("1000".into(), false, true, 0),
                ("\"zoe\"".into(), false, false, 2),
                ("\"a b\"".into(), true, false, 1)
            ]
        );
        assert_eq!(others(read, &Uid::text("1000").unwrap()), [Uid::text("zoe").unwrap()]);
    }
}
