//! A room's history as one reads it: the newest first, piece by piece, so that a request takes no
//! more memory than one piece, however large its answer is.
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};

use super::window::Window;
use crate::domain::{
    broker::{Page, PageLimit},
    error::StoreError,
    hub::Hub,
    ids::RoomId,
};

/// Most messages in an answer.
pub(super) const MOST: u64 = 1000;
/// Bytes of messages that are read from the store at once; one message may be larger.
const PIECE: usize = 256 << 10;

/// What is still to be read.
struct Reader {
    hub: Arc<Hub>,
    room: RoomId,
    rest: Window,
    /// Index of the message at offset 0: once it is another one, what is still to be read has been
    /// forgotten.
    origin: u64,
    /// Messages to be asked for at once.
    step: u64,
}

/// The answer to a request for the history: its JSON, in pieces.
///
/// # Errors
/// The store does not answer. Where that happens later, the stream ends with it.
pub(super) async fn read(
    hub: Arc<Hub>,
    room: RoomId,
    position: i64,
    size: u64,
) -> Result<impl Stream<Item = Result<Bytes, StoreError>> + Send + use<>, StoreError> {
    let one = hub.page(&room, 0, PageLimit { entries: 1, bytes: 1 }).await?;
    let mut rest = Window::of(one.log_length, position, size.min(MOST));
    (rest.begin, rest.end) = (rest.begin + one.start, rest.end + one.start);
    let mut reader = Reader { hub, room, rest, origin: one.origin(), step: MOST };
    let mut first = format!(r#"{{"code":200,"position":{position},"msg":"","data":["#);
    let before = first.len();
    reader.append(&mut first).await?;
    let comma = first.len() > before;
    let pieces = stream::try_unfold((reader, comma), |(mut reader, comma)| async move {
        if reader.rest.length() == 0 {
            return Ok(None);
        }
        let mut piece = String::new();
        reader.append(&mut piece).await?;
        if piece.is_empty() {
            return Ok(Some((Bytes::new(), (reader, comma))));
        }
        if comma {
            piece.insert(0, ',');
        }
        Ok(Some((Bytes::from(piece), (reader, true))))
    });
    let begin = stream::iter([Ok(Bytes::from(first))]);
    let end = stream::iter([Ok(Bytes::from_static(b"]}"))]);
    Ok(stream::StreamExt::chain(stream::StreamExt::chain(begin, pieces), end)
        .try_filter(|piece| std::future::ready(!piece.is_empty())))
}

impl Reader {
    /// Appends the newest messages of the rest as JSON strings.
    async fn append(&mut self, json: &mut String) -> Result<(), StoreError> {
        let _building = self.hub.begin_page().await?; // few are read and put together at a time
        let Some(page) = self.newest().await? else {
            self.rest.end = self.rest.begin;
            return Ok(());
        };
        let begin = json.len();
        for stored in page.entries.iter().rev().filter(|stored| !stored.recalled) {
            // What can't be read counts as a position, as what was recalled does.
            let Some(text) = stored.body.as_ref().and_then(|b| std::str::from_utf8(b).ok()) else {
                continue;
            };
            if json.len() > begin {
                json.push(',');
            }
            json.push_str(&serde_json::Value::from(text).to_string());
        }
        self.rest.end -= page.entries.len() as u64;
        Ok(())
    }

    /// The newest messages of the rest, at least one; nothing where they are no longer there. A
    /// page of the store begins with the oldest: where the bytes end it, the newest are missing,
    /// and fewer are asked for.
    async fn newest(&mut self) -> Result<Option<Page>, StoreError> {
        while self.rest.length() > 0 {
            let wanted = self.rest.length().min(self.step);
            let limit = PageLimit { entries: wanted as usize, bytes: PIECE };
            let from = self.rest.end - wanted;
            let page = self.hub.page(&self.room, from, limit).await?;
            if page.origin() != self.origin || page.entries.is_empty() {
                return Ok(None);
            }
            // What was trimmed meanwhile is gone; what stands behind it is still to be read.
            let gone = page.start > self.rest.begin;
            self.rest.begin = self.rest.begin.max(page.start.min(self.rest.end));
            let wanted = wanted.min(self.rest.length());
            if page.entries.len() as u64 == wanted {
                return Ok(Some(page));
            }
            if gone {
                continue;
            }
            self.step = (page.entries.len() as u64 / 2).max(1);
        }
        Ok(None)
    }
}
