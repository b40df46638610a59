//! gzip and base64, as `sync` sends pages.
use std::sync::{Mutex, MutexGuard};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};

use crate::lock::lock;

/// The original's is 6. At 3 a page takes less than half the time to compress and is a tenth
/// larger; at 1 it is half as large again, which clients on bad networks would pay for
/// (docs/PERFORMANCE.md).
const LEVEL: Compression = Compression::new(3);
/// log2 of the window, bytes.
const WINDOW: u8 = 15;
/// States that are kept: a quarter of a megabyte each.
const KEPT: usize = 8;

/// What is gathered of small messages before it is compressed.
const GATHERED: usize = 64 << 10;

/// Compressors, which are costly to make and are used again.
#[derive(Default)]
pub(super) struct Gzip(Mutex<Vec<Compress>>);

/// Text that is compressed as it comes.
struct Zipping {
    state: Compress,
    zipped: Vec<u8>,
}

impl Zipping {
    fn put(&mut self, mut text: &[u8], flush: FlushCompress) {
        let last = matches!(flush, FlushCompress::Finish);
        while last || !text.is_empty() {
            let before = self.state.total_in();
            let status = self.state.compress_vec(text, &mut self.zipped, flush);
            text = text
                .get(usize::try_from(self.state.total_in() - before).unwrap_or(usize::MAX)..)
                .unwrap_or_default();
            match status {
                Ok(Status::Ok | Status::BufError) if last || !text.is_empty() => {
                    self.zipped.reserve(self.zipped.len().max(64))
                }
                // Errors are for streams that are misused.
                Ok(_) | Err(_) => break,
            }
        }
    }
}

impl Gzip {
    /// A JSON string: base64 of the gzip of `json`.
    pub(super) fn string(&self, json: &str) -> String {
        self.finish(self.begin(json.len()), json.as_bytes())
    }

    /// The same of a JSON array of these texts. Each is let go as soon as it is compressed.
    pub(super) fn array(&self, texts: Vec<Bytes>) -> String {
        let mut zipping = self.begin(texts.iter().map(Bytes::len).sum());
        let mut gathered = vec![b'['];
        for (i, text) in texts.into_iter().enumerate() {
            if i > 0 {
                gathered.push(b',');
            }
            if gathered.len() + text.len() > GATHERED {
                zipping.put(&gathered, FlushCompress::None);
                gathered.clear();
            }
            if text.len() > GATHERED {
                zipping.put(&text, FlushCompress::None);
            } else {
                gathered.extend_from_slice(&text);
            }
        }
        gathered.push(b']');
        self.finish(zipping, &gathered)
    }

    fn begin(&self, length: usize) -> Zipping {
        let kept = self.states().pop();
        // Of very much text most is repetition, or else there is more memory needed as it turns
        // out.
        let expected = (length / 2).min(1 << 20) + 64;
        Zipping {
            state: kept.unwrap_or_else(|| Compress::new_gzip(LEVEL, WINDOW)),
            zipped: Vec::with_capacity(expected),
        }
    }

    fn finish(&self, mut zipping: Zipping, rest: &[u8]) -> String {
        zipping.put(rest, FlushCompress::Finish);
        let Zipping { mut state, zipped } = zipping;
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

    fn states(&self) -> MutexGuard<'_, Vec<Compress>> {
        lock(&self.0)
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
        let read = |string: &str| {
            let (string, mut read): (String, _) =
                (serde_json::from_str(string).unwrap(), String::new());
            flate2::read::GzDecoder::new(&*STANDARD.decode(string).unwrap())
                .read_to_string(&mut read)
                .unwrap();
            read
        };
        for text in ["", "[]", &"é".repeat(200_000), &random, "[1]"] {
            assert!(read(&gzip.string(text)) == text, "{} bytes", text.len());
        }
        let (long, small) = (format!("\"{}\"", "x".repeat(100_000)), "{}".to_owned());
        for texts in [
            vec![],
            vec![&*small],
            vec![&*long],
            vec![&*small, &*long, &*random, &*small],
            vec![&*small; 70_000],
        ] {
            let zipped = gzip
                .array(texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect());
            assert!(read(&zipped) == format!("[{}]", texts.join(",")), "{} texts", texts.len());
        }
    }
}
