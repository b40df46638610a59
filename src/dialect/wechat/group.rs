//! Under which letter a contact stands in an address book.
use pinyin::ToPinyin;

/// The first letter of a nick's pinyin, upper case: 张三 stands under Z, bob under B, 9x under 9.
/// What has no pinyin stands under its own first character; of an empty nick that is none.
pub(super) fn group(nick: &str) -> String {
    let Some(first) = nick.chars().next() else { return String::new() };
    match first.to_pinyin() {
        Some(pinyin) => pinyin.first_letter().to_uppercase(),
        None => first.to_uppercase().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nick_stands_under_the_first_letter_of_its_pinyin() {
        for (nick, letter) in [
            ("张三", "Z"),
            ("李四", "L"),
            ("安", "A"),
            ("bob", "B"),
            ("Bob", "B"),
            ("9x", "9"),
            ("_x", "_"),
            ("élan", "É"),
            ("😀", "😀"),
            ("", ""),
        ] {
            assert_eq!(group(nick), letter, "{nick}");
        }
    }
}
