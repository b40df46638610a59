//! Batches that an endpoint did not take, and that were put aside until somebody asks for them.
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    domain::{error::StoreError, ids::RoomId},
    throttle::throttled,
};

/// A batch that was put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedBatch {
    /// Its id.
    pub id: Arc<str>,
    /// Its queue.
    pub room: RoomId,
    /// When it was put aside, in milliseconds since 1970.
    pub parked_ms: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up.
    pub why: String,
    /// What it says.
    pub body: Bytes,
}

/// Some of the parked batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParkedPage {
    /// The oldest first.
    pub batches: Vec<ParkedBatch>,
    /// Where the next page begins; none: this is the last one.
    pub next: Option<String>,
}

impl ParkedPage {
    /// The number behind which a page begins; `after` is what the page before said, if there was
    /// one.
    pub fn begin(after: Option<&str>) -> u64 {
        after.and_then(|after| after.parse().ok()).unwrap_or_default()
    }

    /// A page of so many batches, from what is listed behind its beginning: each with its number,
    /// or nothing where it can't be read. That one is left out, so that it hides no other; one more
    /// than `limit` shows that there is another page.
    ///
    /// # Errors
    /// The first one of the list.
    pub fn of<E>(
        listed: impl IntoIterator<Item = Result<(u64, Option<ParkedBatch>), E>>,
        limit: usize,
    ) -> Result<Self, E> {
        let (mut page, mut last) = (ParkedPage::default(), 0);
        for (seen, one) in listed.into_iter().enumerate() {
            if seen >= limit {
                page.next = Some(last.to_string());
                break;
            }
            let (number, batch) = one?;
            last = number;
            if batch.is_none() {
                throttled!(
                    warn,
                    number,
                    "a webhook that was put aside can't be read, and is not listed"
                );
            }
            page.batches.extend(batch);
        }
        Ok(page)
    }
}

/// Batches that were put aside.
#[async_trait]
pub trait Parking: Send + Sync {
    /// Those of the endpoint with this name, the oldest first, behind the place `after` that a page
    /// before named.
    async fn parked(
        &self,
        endpoint: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ParkedPage, StoreError>;

    /// Puts the batches with these ids back, before what waits in their queues. Returns how many
    /// there were.
    async fn replay(&self, endpoint: &str, ids: &[String]) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(number: u64) -> Result<(u64, Option<ParkedBatch>), StoreError> {
        let room = RoomId::new("lesson").unwrap();
        let id = format!("msg_{number}").into();
        let (why, body) = (String::new(), Bytes::new());
        Ok((number, Some(ParkedBatch { id, room, parked_ms: 1, attempts: 1, why, body })))
    }

    #[test]
    fn a_page_goes_on_behind_what_it_has_seen_whether_or_not_that_can_be_read() {
        let pages = |limit| {
            let all = || vec![listed(2), Ok((5, None)), listed(7), listed(8)];
            let (mut pages, mut after) = (Vec::new(), None);
            loop {
                let begin = ParkedPage::begin(after.as_deref());
                let behind = all().into_iter().filter(|one| one.as_ref().unwrap().0 > begin);
                let page = ParkedPage::of(behind, limit).unwrap();
                pages.push(page.batches.iter().map(|b| b.id.to_string()).collect::<Vec<_>>());
                after = page.next;
                if after.is_none() {
                    return pages;
                }
            }
        };
        assert_eq!(pages(4), [["msg_2", "msg_7", "msg_8"]]);
        assert_eq!(pages(2), [vec!["msg_2"], vec!["msg_7", "msg_8"]]);
        let failed = Err(StoreError::Unavailable("x".into()));
        assert!(ParkedPage::of([listed(1), failed], 9).is_err());
        assert_eq!(ParkedPage::begin(Some("no number")), 0);
    }
}
