//! gzip and base64, as `sync` sends pages.
use std::sync::{Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compress, Compression, FlushCompress, Status};

/// The original's is 6. At 3 a page takes less than half the time to compress and is a tenth larger; at 1 it is half as large again, which
/// clients on bad networks would pay for (docs/PERFORMANCE.md).
const LEVEL: Compression = Compression::new(3);
/// log2 of the window, bytes.
const WINDOW: u8 = 15;
/// States that are kept: a quarter of a megabyte each.
const KEPT: usize = 8;

/// Compressors, which are costly to make and are used again.
#[derive(Default)]
pub(super) struct Gzip(Mutex<Vec<Compress>>);

impl Gzip {
    /// A JSON string: base64 of the gzip of `json`.
    pub(super) fn string(&self, json: &str) -> String {
        let kept = self.states().pop();
        let mut state = kept.unwrap_or_else(|| Compress::new_gzip(LEVEL, WINDOW));
        let mut zipped = Vec::with_capacity(json.len() / 2 + 64);
        loop {
            let rest = json.as_bytes().get(usize::try_from(state.total_in()).unwrap_or(usize::MAX)..).unwrap_or_default();
            match state.compress_vec(rest, &mut zipped, FlushCompress::Finish) {
                Ok(Status::Ok | Status::BufError) => zipped.reserve(zipped.len().max(64)),
                // Errors are for streams that are misused.
                Ok(Status::StreamEnd) | Err(_) => break,
            }
        }
        state.reset();
        let mut states = self.states();
        if states.len() < KEPT {
            states.push(state);
        }
        drop(states);
        let mut text = String::with_capacity(zipped.len().div_ceil(3) * 4 + 2);
        text.push('"');
        STANDARD.encode_string(zipped, &mut text);
        text.push('"');
        text
    }

    fn states(&self) -> std::sync::MutexGuard<'_, Vec<Compress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_compressed_is_read_back_also_with_a_used_state() {
        let gzip = Gzip::default();
        let mut noise = 1_u32;
        let random: String = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b' ' + (noise >> 24) as u8 % 90)
        })
        .take(300_000)
        .collect();
        for text in ["", "[]", &"é".repeat(200_000), &random, "[1]"] {
            let string: String = serde_json::from_str(&gzip.string(text)).unwrap();
            let mut read = String::new();
            flate2::read::GzDecoder::new(&*STANDARD.decode(string).unwrap()).read_to_string(&mut read).unwrap();
            assert!(read == text, "{} bytes", text.len());
        }
    }
}
