//! Bodies of polling requests, looked at from outside: how much a client fetched, and whether a body of version 3 is safe to decode.
use bytes::Bytes;

/// Bytes of socket.io packets other than CONNECT, which the engine sends by itself.
fn ours(packet: &str) -> usize {
    if packet.starts_with('4') && !packet.starts_with("40") && !packet.starts_with("44") { packet.len() } else { 0 }
}

/// Packets separated by 0x1e.
pub(super) fn fetched_v4(body: &Bytes) -> usize {
    std::str::from_utf8(body).map_or(0, |text| text.split('\u{1e}').map(ours).sum())
}

/// `<length in UTF-16 units>:<packet>`, repeated.
pub(super) fn fetched_v3(body: &Bytes) -> usize {
    let Ok(mut rest) = std::str::from_utf8(body) else { return 0 };
    let mut total = 0;
    while let Some((length, after)) = rest.split_once(':') {
        let Ok(units) = length.parse::<usize>() else { break };
        let mut counted = 0;
        let end = after.char_indices().find(|(_, c)| {
            let full = counted >= units;
            counted += c.len_utf16();
            full
        });
        let end = end.map_or(after.len(), |(i, _)| i);
        total += ours(&after[..end]);
        rest = &after[end..];
    }
    total
}

/// Whether every length of a version 3 payload ends between two characters, and nothing is missing.
pub(super) fn is_whole_v3(body: &Bytes) -> bool {
    let Ok(mut rest) = std::str::from_utf8(body) else { return false };
    while !rest.is_empty() {
        let Some((length, packets)) = rest.split_once(':') else { return false };
        let Ok(mut units) = length.parse::<usize>() else { return false };
        let mut chars = packets.chars();
        while units > 0 {
            let Some(left) = chars.next().and_then(|c| units.checked_sub(c.len_utf16())) else { return false };
            units = left;
        }
        rest = chars.as_str();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetched_packets_are_counted_in_both_encodings() {
        let packets = ["42[\"msg\",\"é😀\"]", "2", "40{\"sid\":\"x\"}", "430[1]", "41"];
        let expected = packets[0].len() + packets[3].len() + 2;
        assert_eq!(fetched_v4(&Bytes::from(packets.join("\u{1e}"))), expected);
        let v3: String = packets.iter().map(|p| format!("{}:{p}", p.encode_utf16().count())).collect();
        assert_eq!(fetched_v3(&Bytes::from(v3)), expected);
        assert_eq!((fetched_v3(&Bytes::new()), fetched_v4(&Bytes::from_static(b"ok"))), (0, 0));
    }

    #[test]
    fn lengths_end_between_characters() {
        for whole in ["", "1:2", "1:21:3", "6:42[\"😀", "0:"] {
            assert!(is_whole_v3(&Bytes::from(whole)), "{whole}");
        }
        for broken in ["1:🙂4abc", "2", "x:1", "5:4", "-1:2", "99999999999999999999999:2"] {
            assert!(!is_whole_v3(&Bytes::from(broken)), "{broken}");
        }
        assert!(!is_whole_v3(&Bytes::from_static(&[b'1', b':', 0xFF])));
    }
}
