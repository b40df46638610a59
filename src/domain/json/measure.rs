//! Length and depth of JSON text without building values.

/// Whether objects and arrays are nested deeper than `limit`. `json` is valid JSON.
pub fn nested_deeper_than(json: &str, limit: usize) -> bool {
    let openers = json.bytes().filter(|b| matches!(b, b'{' | b'[')).count();
    if openers <= limit {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    false
}

/// The length in UTF-16 units that `JSON.stringify` would give the value. `json` is valid JSON;
/// keys that occur twice count twice.
pub fn stringified_length(json: &str) -> usize {
    let mut length = 0;
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        match first {
            ' ' | '\t' | '\n' | '\r' => rest = &rest[1..],
            '"' => {
                let (units, after) = string_length(&rest[1..]);
                length += units + 2;
                rest = after;
            }
            '-' | '0'..='9' => {
                let end = rest
                    .find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))
                    .unwrap_or(rest.len());
                length += rest[..end].parse::<f64>().map_or(end, |n| {
                    // JSON.stringify writes what is no finite number as null.
                    if n.is_finite() { ryu_js::Buffer::new().format(n).len() } else { 4 }
                });
                rest = &rest[end..];
            }
            other => {
                length += 1;
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    length
}

/// Units of a string's inside as `JSON.stringify` writes it, and what follows its closing quote.
fn string_length(inside: &str) -> (usize, &str) {
    let mut units = 0;
    let mut pending_high = false; // a high surrogate that was written as an escape
    let mut chars = inside.char_indices();
    while let Some((i, c)) = chars.next() {
        let unit = match c {
            '"' => return (units + if pending_high { 5 } else { 0 }, &inside[i + 1..]),
            '\\' => match chars.next() {
                Some((at, 'u')) => {
                    let unit = inside
                        .get(at + 1..at + 5)
                        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                        .unwrap_or(0xFFFD);
                    for _ in 0..4 {
                        chars.next();
                    }
                    unit
                }
                Some((_, 'n' | 't' | 'r' | 'b' | 'f' | '"' | '\\')) => {
                    // stays an escape of two characters
                    units += 1;
                    u32::from(' ')
                }
                Some((_, plain)) => u32::from(plain), // only \/ is left
                None => 0xFFFD,
            },
            plain => {
                units += plain.len_utf16() - 1;
                if plain.len_utf16() == 2 { u32::from(' ') } else { u32::from(plain) }
            }
        };
        let low = (0xDC00..0xE000).contains(&unit);
        if pending_high && !low {
            units += 5; // the high one was alone: written as \udXXX
        }
        units += match unit {
            0x08 | 0x09 | 0x0A | 0x0C | 0x0D | 0x22 | 0x5C => 2,
            0..0x20 => 6,
            _ if low && !pending_high => 6,
            _ => 1,
        };
        pending_high = (0xD800..0xDC00).contains(&unit);
    }
    (units, "")
}
