//! Answers that are kept for a time, so that the same need not be asked again.
//!
//! What they take is bounded in bytes, because an answer may have a few or, with its caps and `meta`,
//! many of them, and its key has the user's `meta`. Those that are of least use go first; one that is
//! larger than the part of one of its shards is not kept at all.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use quick_cache::{Weighter, sync::Cache};
use tokio::time::Instant;

use crate::domain::{
    gate::{Answer, Changes, Question},
    ids::{RoomId, Uid},
};

/// What all of them may take, bytes.
pub(super) const MOST: u64 = 32 << 20;
/// What one takes as it usually is, to size the tables.
const USUAL: u64 = 512;
/// What each takes besides its texts: itself, its place in the tables, and counters of what it
/// shares.
const ENTRY: usize = size_of::<Key>() + size_of::<Kept>() + 128;

/// What an answer was about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) question: Question,
    pub(super) uid: Uid,
    /// With whether it is to be entered as a dummy.
    pub(super) room: Option<(RoomId, bool)>,
    /// What was known of the user.
    pub(super) meta: Option<Arc<str>>,
}

impl Key {
    fn bytes(&self) -> usize {
        let room = self.room.as_ref().map_or(0, |(room, _)| room.as_str().len());
        self.uid.as_str().len() + room + length(self.meta.as_ref())
    }
}

#[derive(Debug, Clone)]
struct Kept {
    answer: Answer,
    until: Instant,
}

impl Kept {
    fn bytes(&self) -> usize {
        match &self.answer {
            Answer::Allowed(changes) => {
                let message = changes.message.as_ref().map_or(0, Bytes::len);
                let caps = changes.caps.as_ref().map_or(0, |caps| caps.bytes());
                message + caps + length(changes.meta.as_ref())
            }
            Answer::Refused(refusal) => refusal.message.len(),
            Answer::Disconnect { reason, .. } => reason.len(),
            Answer::Failed => 0,
        }
    }
}

fn length(text: Option<&Arc<str>>) -> usize {
    text.map_or(0, |text| text.len())
}

/// By what they take.
#[derive(Clone)]
struct Size;

impl Weighter<Key, Kept> for Size {
    fn weight(&self, key: &Key, kept: &Kept) -> u64 {
        (ENTRY + key.bytes() + kept.bytes()) as u64
    }
}

/// The answers.
pub(super) struct Answers {
    all: Cache<Key, Kept, Size>,
    time: Duration,
}

impl Answers {
    /// Each is kept for this time. Nothing where that is none.
    pub(super) fn keeping(time: Duration) -> Option<Self> {
        let all = || Cache::with_weighter((MOST / USUAL) as usize, MOST, Size);
        (!time.is_zero()).then(|| Answers { all: all(), time })
    }

    /// The one that is kept.
    pub(super) fn find(&self, key: &Key) -> Option<Answer> {
        let kept = self.all.get(key)?;
        (Instant::now() < kept.until).then_some(kept.answer)
    }

    /// Keeps this one, unless it ends a connection, or is none. It is `now`, in Unix seconds. Returns
    /// the bytes that all take.
    pub(super) fn keep(&self, key: Key, answer: &Answer, now: u64) -> u64 {
        let time = match answer {
            // Sessions that expire at once would come back to the same answer again and again.
            Answer::Allowed(Changes { expire_at: Some(at), .. }) => {
                self.time.min(Duration::from_secs(at.saturating_sub(now)))
            }
            Answer::Allowed(_) | Answer::Refused(_) => self.time,
            Answer::Disconnect { .. } | Answer::Failed => Duration::ZERO,
        };
        if !time.is_zero() {
            let until = Instant::now() + time;
            self.all.insert(key, Kept { answer: answer.clone(), until });
        }
        self.all.weight()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::access::Caps;

    const NOW: u64 = 1_800_000_000;

    fn key(uid: usize) -> Key {
        let uid = Uid::text(&uid.to_string()).unwrap();
        Key { question: Question::Connect, uid, room: None, meta: None }
    }

    fn with_caps() -> Answer {
        let rooms: Vec<String> = (0..1000).map(|n| format!("room {n}")).collect();
        let caps = Caps::parse(&json!([{ "rooms": rooms, "allow": ["join"] }])).unwrap();
        Answer::Allowed(Changes { caps: Some(Arc::new(caps)), ..Changes::default() })
    }

    fn with_meta() -> Answer {
        let meta = Some("x".repeat(30 << 10).into());
        Answer::Allowed(Changes { meta, ..Changes::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_its_time_and_one_that_ends_a_connection_is_not() {
        assert!(Answers::keeping(Duration::ZERO).is_none());
        let answers = Answers::keeping(Duration::from_secs(5)).unwrap();
        let allowed = Answer::Allowed(Changes::default());
        answers.keep(key(1), &allowed, NOW);
        answers.keep(key(2), &Answer::Disconnect { reason: "bye".into(), reconnect: false }, NOW);
        answers.keep(key(3), &Answer::Failed, NOW);
        tokio::time::advance(Duration::from_millis(4999)).await;
        assert_eq!(answers.find(&key(1)), Some(allowed));
        assert_eq!((answers.find(&key(2)), answers.find(&key(3))), (None, None));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(answers.find(&key(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_is_over_is_granted_to_nobody_again() {
        let answers = Answers::keeping(Duration::from_secs(60)).unwrap();
        let until = |at| Answer::Allowed(Changes { expire_at: Some(at), ..Changes::default() });
        answers.keep(key(1), &until(NOW - 1), NOW);
        answers.keep(key(2), &until(NOW + 5), NOW);
        answers.keep(key(3), &until(NOW + 600), NOW);
        assert_eq!(answers.find(&key(1)), None);
        assert_eq!(answers.find(&key(2)), Some(until(NOW + 5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(answers.find(&key(2)), None);
        assert_eq!(answers.find(&key(3)), Some(until(NOW + 600)));
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        for (what, answer) in [("caps", with_caps()), ("meta", with_meta())] {
            let answers = Answers::keeping(Duration::from_secs(60)).unwrap();
            let mut bytes = 0;
            for uid in 0..3000 {
                bytes = answers.keep(key(uid), &answer, NOW);
                assert!(bytes <= MOST, "{what}: {bytes} bytes of {uid}");
            }
            assert!(bytes > MOST / 2, "{what}: {bytes} bytes");
            let kept = (0..3000).filter(|uid| answers.find(&key(*uid)).is_some()).count();
            assert!((1..=MOST as usize / (30 << 10)).contains(&kept), "{what}: {kept}");
        }
    }

    #[test]
    fn the_users_meta_in_the_key_counts() {
        let answers = Answers::keeping(Duration::from_secs(60)).unwrap();
        let allowed = Answer::Allowed(Changes::default());
        let small = answers.keep(key(1), &allowed, NOW);
        let meta = Some("x".repeat(10_000).into());
        assert!(answers.keep(Key { meta, ..key(2) }, &allowed, NOW) >= small + 10_000);
    }
}
