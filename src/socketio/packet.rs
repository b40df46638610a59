//! Packets of socket.io as finished WebSocket frames.
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes before a frame's payload, at most.
pub const HEAD: usize = 10;

/// Appends one text frame (RFC 6455, 5.2) made of `parts`. Server frames are not masked.
pub fn frame(into: &mut BytesMut, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|p| p.len()).sum();
    into.reserve(length + HEAD);
    head(into, length);
    for part in parts {
        into.extend_from_slice(part);
    }
}

/// Appends what stands before a text frame's payload of this length.
pub fn head(into: &mut impl BufMut, length: usize) {
    into.put_u8(0x81); // final, text
    match length {
        0..126 => into.put_u8(length as u8),
        126..65536 => {
            into.put_u8(126);
            into.put_u16(length as u16);
        }
        _ => {
            into.put_u8(127);
            into.put_u64(length as u64);
        }
    }
}

/// An acknowledgement; `arguments` are JSON.
pub fn ack(id: i64, arguments: &[&str]) -> Bytes {
    let mut frames = BytesMut::new();
    write_ack(&mut frames, id, arguments);
    frames.freeze()
}

/// Appends an acknowledgement; `arguments` are JSON.
pub fn write_ack(into: &mut BytesMut, id: i64, arguments: &[&str]) {
    let (id, arguments) = (id.to_string(), arguments.join(","));
    frame(into, &[b"43", id.as_bytes(), b"[", arguments.as_bytes(), b"]"]);
}
