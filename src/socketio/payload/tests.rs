use super::*;

/// Random numbers that a seed repeats: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
/// Number Generators, 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// A packet of a body as the plain reader has it: its text, or the attachment of a binary body.
enum Plain {
    Text(String),
    Attachment(usize),
}

/// Reads a body slowly, and as the protocols tell it: all is copied, and looked at unit by unit.
fn plainly(body: &[u8], format: Format) -> (Vec<Plain>, bool) {
    let mut packets = Vec::new();
    if format == Format::V3Binary {
        let mut rest = body.to_vec();
        while !rest.is_empty() {
            let Some(end) = rest.iter().position(|b| *b == 0xFF) else { return (packets, false) };
            let digits: Option<String> =
                rest[1.min(end)..end].iter().map(|d| char::from_digit(u32::from(*d), 10)).collect();
            let length: usize = match digits.filter(|d| d.len() <= 8).map(|d| d.parse()) {
                Some(Ok(length)) if length > 0 && end > 0 => length,
                _ => return (packets, false),
            };
            if rest.len() < end + 1 + length {
                return (packets, false);
            }
            let content = rest[end + 1..end + 1 + length].to_vec();
            match rest[0] {
                0 => match String::from_utf8(content) {
                    Ok(text) => packets.push(Plain::Text(text)),
                    Err(_) => return (packets, false),
                },
                1 if content[0] == 4 => packets.push(Plain::Attachment(content.len() - 1)),
                _ => return (packets, false),
            }
            rest = rest[end + 1 + length..].to_vec();
        }
        return (packets, true);
    }
    let (text, whole) = match String::from_utf8(body.to_vec()) {
        Ok(text) => (text, true),
        Err(error) => {
            (String::from_utf8_lossy(&body[..error.utf8_error().valid_up_to()]).into_owned(), false)
        }
    };
    if format == Format::V4 {
        let mut parts: Vec<String> = text.split('\u{1e}').map(str::to_owned).collect();
        if parts.last().is_some_and(String::is_empty) {
            parts.pop(); // nothing, or a separator at the end
        }
        packets.extend(parts.into_iter().map(Plain::Text));
        return (packets, whole);
    }
    let mut units: Vec<u16> = text.encode_utf16().collect();
    while !units.is_empty() {
        let Some(colon) = units.iter().position(|u| *u == u16::from(b':')) else {
            return (packets, false);
        };
        let length = String::from_utf16_lossy(&units[..colon]);
        let digits =
            !length.is_empty() && length.len() <= 8 && length.chars().all(|c| c.is_ascii_digit());
        let Some(length) = length.parse::<usize>().ok().filter(|_| digits) else {
            return (packets, false);
        };
        if units.len() < colon + 1 + length {
            return (packets, false);
        }
        match String::from_utf16(&units[colon + 1..colon + 1 + length]) {
            Ok(packet) if packet.is_empty() => {}
            Ok(packet) => packets.push(Plain::Text(packet)),
            Err(_) => return (packets, false),
        }
        units = units[colon + 1 + length..].to_vec();
    }
    (packets, whole)
}

/// What the plain reader makes of a body, packet by packet, as words.
fn expected(body: &[u8], format: Format) -> (Vec<String>, bool) {
    let (plain, whole) = plainly(body, format);
    let mut words = Vec::new();
    for packet in plain {
        let text = match packet {
            Plain::Attachment(bytes) => {
                words.push(format!("{bytes} bytes"));
                continue;
            }
            Plain::Text(text) => text,
        };
        let base64 = text
            .strip_prefix(if format == Format::V4 { "b" } else { "b4" })
            .map(|t| STANDARD.decode(t));
        words.push(match (text.chars().next(), base64) {
            (_, Some(Ok(bytes))) => format!("{} bytes", bytes.len()),
            (Some('1'), _) => "close".to_owned(),
            (Some('5' | '6'), _) => "misplaced".to_owned(),
            _ if text == "2probe" || text == "3probe" => "misplaced".to_owned(),
            (Some('2'), _) => "ping".to_owned(),
            (Some('3'), _) => "pong".to_owned(),
            (Some('4'), _) => text,
            _ => return (words, false),
        });
    }
    (words, whole)
}

fn words(decoded: &Decoded) -> Vec<String> {
    let word = |packet: &Packet| match packet {
        Packet::Close => "close".to_owned(),
        Packet::Ping => "ping".to_owned(),
        Packet::Pong => "pong".to_owned(),
        Packet::Message(text) => format!("4{text}"),
        Packet::Binary(bytes) => format!("{} bytes", bytes.len()),
        Packet::Misplaced => "misplaced".to_owned(),
    };
    decoded.packets.iter().map(word).collect()
}

/// A body of packets that a client may mean, or nearly.
fn body(chance: &mut Chance, format: Format) -> Vec<u8> {
    let mut body = Vec::new();
    for n in 0..chance.below(6) {
        let mut packet = chance
            .of(&[
                "4",
                "2",
                "3",
                "1",
                "6",
                "2probe",
                "42[\"msg\",{}]",
                "b4AQIe/w==",
                "bAQID",
                "40/é,",
                "",
            ])
            .to_owned();
        for _ in 0..chance.of(&[0, 0, 1, 3]) {
            packet.push(chance.of(&['x', 'é', '房', '🙂', ':', '\u{1e}', '0', '\u{ff}']));
        }
        match format {
            Format::V4 => {
                body.extend(if n == 0 { packet } else { format!("\u{1e}{packet}") }.bytes())
            }
            Format::V3 => {
                body.extend(format!("{}:{packet}", packet.encode_utf16().count()).bytes())
            }
            Format::V3Binary => {
                let attached = chance.below(3) == 0;
                let content = if attached {
                    [&[4][..], packet.as_bytes()].concat()
                } else {
                    packet.into_bytes()
                };
                body.push(u8::from(attached));
                body.extend(content.len().to_string().bytes().map(|d| d - b'0'));
                body.push(0xFF);
                body.extend(content);
            }
        }
    }
    body
}

/// Some bytes are put in, taken out or changed.
fn mutate(chance: &mut Chance, body: &mut Vec<u8>) {
    for _ in 0..chance.of(&[0, 0, 1, 1, 2, 5]) {
        let byte = chance.of(b"0123456789:4b\x1e\x00\x01\x02\x04\xff\xf0\xe9-+ =");
        let at = chance.below(body.len() + 1);
        match chance.below(4) {
            0 => body.insert(at, byte),
            1 if at < body.len() => body[at] = byte,
            2 if at < body.len() => drop(body.remove(at)),
            _ => body.truncate(at),
        }
    }
}

#[test]
fn every_body_is_read_as_a_plain_reader_reads_it() {
    let first = getrandom::u64().unwrap();
    for seed in (0..30_000).map(|n| first.wrapping_add(n)) {
        let mut chance = Chance(seed);
        let format = chance.of(&[Format::V4, Format::V3, Format::V3Binary]);
        let mut body = body(&mut chance, format);
        mutate(&mut chance, &mut body);
        let decoded = decode(&body, format);
        let found = (words(&decoded), decoded.fault.is_none());
        assert_eq!(
            found,
            expected(&body, format),
            "seed {seed:#x}, {format:?}: {:?}",
            String::from_utf8_lossy(&body)
        );
    }
}

#[test]
fn packets_of_every_kind_are_read() {
    let packets = [
        Packet::Message("2[\"é🙂\"]"),
        Packet::Ping,
        Packet::Pong,
        Packet::Binary(Bytes::from_static(&[1, 2, 3])),
        Packet::Misplaced,
        Packet::Close,
    ];
    let read = |body: &[u8], format| {
        decode(body, format).packets.iter().map(|p| format!("{p:?}")).collect::<Vec<_>>()
    };
    let expected: Vec<String> = packets.iter().map(|p| format!("{p:?}")).collect();
    assert_eq!(
        read("42[\"é🙂\"]\u{1e}2\u{1e}3\u{1e}bAQID\u{1e}5\u{1e}1".as_bytes(), Format::V4),
        expected
    );
    assert_eq!(read("9:42[\"é🙂\"]1:21:36:b4AQID1:60:1:1".as_bytes(), Format::V3), expected);
    let mut binary = [&[0, 1, 2, 0xFF], "42[\"é🙂\"]".as_bytes()].concat();
    binary.extend(
        b"\x00\x01\xff2\x00\x01\xff3\x01\x04\xff\x04\x01\x02\x03\x00\x06\xff2probe\x00\x01\xff1",
    );
    assert_eq!(read(&binary, Format::V3Binary), expected);
    for format in [Format::V4, Format::V3, Format::V3Binary] {
        assert_eq!(decode(b"", format), Decoded { packets: vec![], fault: None });
    }
}

#[test]
fn what_came_before_a_fault_is_read() {
    for (body, format, before) in [
        ("1:🙂4abc", Format::V3, 0),
        ("1:21:x1:3", Format::V3, 1),
        ("1:2-1:2", Format::V3, 1),
        ("1:2999999999:2", Format::V3, 1),
        ("1:22:3", Format::V3, 1),
        ("2\u{1e}\u{1e}3", Format::V4, 1),
        ("2\u{1e}x\u{1e}3", Format::V4, 1),
        ("b!!!", Format::V4, 0),
        ("0{}", Format::V4, 0),
        ("\0\u{0}", Format::V3Binary, 0),
    ] {
        let decoded = decode(body.as_bytes(), format);
        assert_eq!(
            (decoded.packets.len(), decoded.fault),
            (before, Some(Fault::Malformed)),
            "{body:?}"
        );
    }
    let broken = decode(b"2\x1e\xff", Format::V4);
    assert_eq!((broken.packets.len(), broken.fault), (1, Some(Fault::Malformed)));
}

#[test]
fn packets_of_one_body_are_bounded() {
    for (packet, format) in [
        ("1:3", Format::V3),
        ("0:", Format::V3),
        ("3\u{1e}", Format::V4),
        ("\0\u{1}\u{ff}3", Format::V3Binary),
    ] {
        let packet: Vec<u8> = if format == Format::V3Binary {
            vec![0, 1, 0xFF, b'3']
        } else {
            packet.bytes().collect()
        };
        assert_eq!(decode(&packet.repeat(MOST_PACKETS), format).fault, None, "{packet:?}");
        let body = packet.repeat(MOST_PACKETS + 1);
        let above = decode(&body, format);
        assert_eq!(above.fault, Some(Fault::TooMany), "{packet:?}");
        assert!(above.packets.len() <= MOST_PACKETS, "{packet:?}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let texts = ["42[\"msg\",\"é😀\"]", "2", "40{\"sid\":\"x\"}", "430[1]", "41", "44/a,{}"];
    let plain: Vec<(Opcode, &[u8])> = texts.iter().map(|t| (Opcode::Text, t.as_bytes())).collect();
    for version in [Version::V3, Version::V4] {
        assert_eq!(encode(&[], version, true), Encoded { body: Vec::new(), binary: false });
        let encoded = encode(&plain, version, true);
        assert!(!encoded.binary, "without attachments a body is text");
        assert_eq!(packets(&encoded.body, version), texts);
        let attachment: &[u8] = if version == Version::V3 { &[4, 1, 2, 255] } else { &[1, 2, 255] };
        let with = [&[(Opcode::Text, &b"42[1]"[..]), (Opcode::Binary, attachment)], &plain[..]];
        for takes_binary in [true, false] {
            let encoded = encode(&with.concat(), version, takes_binary);
            assert_eq!(encoded.binary, takes_binary && version == Version::V3);
            let format = match (version, encoded.binary) {
                (Version::V4, _) => Format::V4,
                (Version::V3, false) => Format::V3,
                (Version::V3, true) => Format::V3Binary,
            };
            // What a server says of itself a client may not say; all else reads the same.
            let decoded = decode(&encoded.body, format);
            assert_eq!(decoded.fault, None);
            assert_eq!(decoded.packets.len(), with.concat().len());
            assert_eq!(decoded.packets[1], Packet::Binary(Bytes::from_static(&[1, 2, 255])));
        }
    }
}

#[test]
fn what_a_client_makes_us_say_weighs_more_than_its_text() {
    let weigh = |text: &str| weight(Opcode::Text, text.as_bytes());
    assert_eq!((weigh("42[]"), weigh("41")), (4, 2));
    let answers = ["40", "44/a,{}", "430[]"].map(weigh);
    assert_eq!(answers, [2 + ANSWER, 7 + ANSWER, 5 + ANSWER]);
}
