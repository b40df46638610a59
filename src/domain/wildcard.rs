//! Names of rooms with stars in them, as permissions, rules of retention, hooks and webhooks are
//! given them.
use super::ids::RoomId;

/// Whether the name is that of the pattern, in which `*` stands for any text. After a mismatch it
/// goes back to the last `*` alone, which is enough: the time is at most the product of both
/// lengths.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and up to where it reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == name.get(n) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, upto)) = star {
            star = Some((at, upto + 1));
            (p, n) = (at + 1, upto + 1);
        } else {
            return false;
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
}

/// Whether the pattern is for this room of a dialect: the dialect's word, without a star, a colon,
/// and a pattern of what people call the room, `gotapi:/chat*`.
pub fn names(pattern: &str, room: &RoomId) -> bool {
    let pattern = room.dialect().and_then(|word| pattern.strip_prefix(word));
    pattern.and_then(|rest| rest.strip_prefix(':')).is_some_and(|rest| matches(rest, room.called()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Space;

    #[test]
    fn rooms_of_a_dialect_are_named_with_its_word() {
        let life = RoomId::within(Space::Lives("talk"), "plans:x7").unwrap();
        let path = RoomId::within(Space::Dialect("walk"), "/plans:x7").unwrap();
        for pattern in ["talk:*", "talk:plans", "talk:p*s"] {
            assert!(names(pattern, &life) && !names(pattern, &path), "{pattern}");
        }
        for pattern in ["*", "talk*", "t*:plans", "plans", "talk:plans:x7", "talkative:plans"] {
            assert!(!names(pattern, &life), "{pattern}");
        }
        assert!(names("walk:/plans:x7", &path));
        let shared = RoomId::new("talk:plans").unwrap();
        assert!(!names("talk:*", &shared), "it is no dialect's");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything:at/all", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "bca", true),
            ("*a", "ab", false),
            ("class:*:chat", "class:7:chat", true),
            ("class:*:chat", "class:7:b:chat", true),
            ("class:*:chat", "class:7:chats", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXcYb", false),
            ("a?", "ab", false),
            ("a**", "a", true),
            ("**", "x", true),
            ("é*", "éa", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        // Costs no more than their product.
        let (pattern, name) = ("a*".repeat(60), "a".repeat(50_000) + "b");
        assert!(matches(&pattern, &name));
        assert!(!matches(&(pattern + "c"), &name));
    }
}
