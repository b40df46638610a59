//! Words: what `me` sessions are told, wherever they are.
//!
//! A message to a group concerns the `me` of up to 128 users. By their inboxes that would be as many
//! publications; as a word it is one for each node, and each finds its own users by the
//! [roll](super::roll). On one node it is a function call.
//!
//! ```text
//! Post::say ──► telling::deliver: users of this node, at once
//!          └──► queue::Outgoing ── Hub::tell_nodes ──► Post::hears ──► telling::deliver
//! ```
//!
//! Words of one node have an order, and no place in that of a room. Frames have numbers, and each
//! node tells the others every two seconds which was the last: whoever finds one missing has its
//! `me` sessions come back, which read what they have missed, as members of rooms do.
use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use self::queue::{Heard, Next, Outgoing, Place};
use super::{
    Tinode,
    ids::{Key, NAME, UserId},
    message::{Noted, Range},
    mode::{Acs, Dacs, Mode},
};
use crate::{
    domain::{
        clock::{NoRandomness, Rng, alphanumeric},
        ids::ConnectionId,
    },
    lock::lock,
    reason::Reason,
    throttle::throttled,
};

mod queue;
mod telling;

/// Between two ticks.
const TICK: Duration = Duration::from_secs(2);
/// Characters of a tag.
const TAG: usize = 12;
/// How often a frame is tried that the store does not carry, and the time between two tries. Who
/// has heard it already knows its number.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(300);
/// Users that one word is to, among nodes: of more there are several words.
const USERS: usize = 4096;
/// Users that come back at once behind a gap, and the time between two such lots.
const AT_ONCE: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Something that is told to users, by their sessions on `me`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Word {
    pub to: To,
    /// What each needs in the topic that it is about; nothing: not even a subscription.
    pub needs: Mode,
    /// Only sessions are told that are not attached to the topic.
    pub unattached: bool,
    pub told: Told,
}

/// Whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum To {
    Users(Vec<UserId>),
    /// Members of the topic, and its readers.
    Members(Key),
    /// Those, but for this user.
    Others(Key, UserId),
}

/// What a `pres` on `me` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Src {
    User(UserId),
    Topic(Key),
    Me,
}

/// What is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Told {
    /// There is a message.
    Msg { key: Key, seq: u64, by: UserId },
    /// A note.
    Info { key: Key, from: UserId, what: Noted, seq: u64 },
    /// A contact, or a topic, is there or not any more.
    On { src: Src, on: bool, ua: String },
    /// It looks different.
    Upd { src: Src },
    /// It is no more, or not for them.
    Gone { src: Src },
    /// Nothing is to be seen of it any more.
    Off { src: Src },
    /// What `user` may do has changed. The rolls of all nodes learn it from this.
    Acs {
        key: Key,
        user: UserId,
        acs: Option<Acs>,
        dacs: Dacs,
        by: UserId,
        reader: bool,
        version: u64,
    },
    /// Messages were deleted: for all, or (`soft`) for `by`, whose own sessions are told, attached
    /// ones too.
    Del { key: Key, clear: u64, ranges: Vec<Range>, by: UserId, soft: bool },
    /// The user's sessions end.
    UserEnds { user: UserId },
    /// A user's last session has left a group at a node: nodes are told, and nobody else.
    Left { key: Key },
    /// API keys were made or revoked.
    Keys,
}

/// A frame, as other nodes read it. Words may be of another version.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    tag: Cow<'a, str>,
    number: u64,
    #[serde(borrow)]
    words: Vec<&'a RawValue>,
}

/// How words get around.
pub(super) struct Post {
    /// There are no other nodes.
    alone: bool,
    /// This start of this node.
    tag: String,
    out: Mutex<Outgoing>,
    /// There is something in `out`.
    ready: Notify,
    /// The number of the frame that was sent last, or was lost.
    sent: watch::Sender<u64>,
    heard: Mutex<Heard>,
    /// Words were missed.
    missed: Notify,
    /// API keys have to be read again.
    keys: Notify,
}

impl Post {
    /// `alone`: there is no other node, and never will be.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(alone: bool, rng: &dyn Rng) -> Result<Self, NoRandomness> {
        Ok(Post {
            alone,
            tag: alphanumeric(rng, TAG)?,
            out: Mutex::default(),
            ready: Notify::new(),
            sent: watch::Sender::new(0),
            heard: Mutex::default(),
            missed: Notify::new(),
            keys: Notify::new(),
        })
    }

    /// Tells users of this node, at once and in this order, and then those of others. `skip`: a
    /// session of this node that is not told. Call it with no lock held.
    pub fn say(&self, node: &Tinode, words: Vec<Word>, skip: Option<ConnectionId>) {
        for word in words {
            self.hear(node, &word, skip);
            if !self.alone {
                split(word).iter().for_each(|word| self.send(word));
            }
        }
    }

    fn send(&self, word: &Word) {
        match serde_json::to_vec(word) {
            Ok(word) => {
                let lost = lock(&self.out).push(&word);
                if lost > 0 {
                    throttled!(warn, lost, "too many words wait for other nodes; some are lost");
                }
                self.ready.notify_one();
            }
            Err(error) => {
                throttled!(error, %error, "a word can't be written");
            }
        }
    }

    /// Returns when all that was said here so far has been sent to the other nodes, or is lost.
    pub async fn sent(&self) {
        let last = lock(&self.out).last();
        let mut sent = self.sent.subscribe();
        let _ = sent.wait_for(|sent| *sent >= last).await; // who sends it is there
    }

    fn hear(&self, node: &Tinode, word: &Word, skip: Option<ConnectionId>) {
        match &word.told {
            Told::Keys => self.keys.notify_one(),
            Told::Left { key } => node.sleepers.left_elsewhere(*key),
            Told::Msg { .. }
            | Told::Info { .. }
            | Told::On { .. }
            | Told::Upd { .. }
            | Told::Gone { .. }
            | Told::Off { .. }
            | Told::Acs { .. }
            | Told::Del { .. }
            | Told::UserEnds { .. } => telling::deliver(node, word, skip),
        }
    }

    /// What came from a node, maybe this one; in the order in which that sent it. False: it is no
    /// frame of words.
    pub fn hears(&self, node: &Tinode, frame: &Bytes) -> bool {
        let Ok(frame) = serde_json::from_slice::<Frame<'_>>(frame) else { return false };
        if frame.tag == self.tag {
            return true;
        }
        let is_tick = frame.words.is_empty();
        let place = lock(&self.heard).note(&frame.tag, frame.number, is_tick, Instant::now());
        match place {
            Place::Next => {}
            Place::Known => return true,
            Place::BehindGap => {
                throttled!(warn, "words of another node were missed; sessions come back");
                self.missed.notify_one();
            }
        }
        for word in frame.words {
            match serde_json::from_str::<Word>(word.get()) {
                Ok(word) => self.hear(node, &word, None),
                Err(error) => {
                    throttled!(warn, %error, "another node told something that is not understood");
                }
            }
        }
        true
    }

    /// Sends what is said to other nodes, and does what words of theirs ask for. Never ends.
    pub async fn run(node: Arc<Tinode>) {
        tokio::join!(carry(&node), come_back(&node), read_keys(&node));
    }

    /// Has other nodes told how far the numbers are. Ends only where there are none.
    pub async fn tick(node: Arc<Tinode>) {
        if node.post.alone {
            return;
        }
        loop {
            sleep(TICK).await;
            lock(&node.post.out).tick();
            node.post.ready.notify_one();
        }
    }

    fn frame(&self, next: Next) -> Bytes {
        let (number, words) = match next {
            Next::Frame(frame) => (frame.number, frame.words),
            Next::Tick(number) => (number, Vec::new()),
        };
        let mut frame = format!(r#"{{"tag":"{}","number":{number},"words":["#, self.tag);
        frame.reserve_exact(words.len() + 2);
        let mut frame = frame.into_bytes();
        frame.extend_from_slice(&words);
        frame.extend_from_slice(b"]}");
        frame.into()
    }
}

/// The word; several where it is to more users than a frame should name.
fn split(word: Word) -> Vec<Word> {
    match &word.to {
        To::Users(users) if users.len() > USERS => {
            let part = |users: &[UserId]| Word { to: To::Users(users.to_vec()), ..word.clone() };
            users.chunks(USERS).map(part).collect()
        }
        To::Users(_) | To::Members(_) | To::Others(..) => vec![word],
    }
}

/// Sends frames, one after the other.
async fn carry(node: &Tinode) {
    let post = &node.post;
    loop {
        post.ready.notified().await;
        loop {
            let next = lock(&post.out).next();
            let Some(next) = next else { break };
            let number = next.number();
            let frame = post.frame(next);
            for attempt in 1..=TRIES {
                match node.hub.tell_nodes(NAME, frame.clone()).await {
                    Ok(()) => break,
                    Err(_) if attempt < TRIES => sleep(AGAIN).await,
                    // They find out by its number.
                    Err(error) => {
                        throttled!(warn, %error, "words to other nodes are lost");
                    }
                }
            }
            post.sent.send_replace(number);
        }
    }
}

/// Behind a gap, has the sessions come back that were on `me` then.
async fn come_back(node: &Tinode) {
    loop {
        node.post.missed.notified().await;
        let mut lot = 0;
        for (user, were_here) in node.roll.everybody() {
            let were_here: HashSet<ConnectionId> = were_here.into_iter().collect();
            let mut sessions = node.roll.sessions(user);
            sessions.retain(|session| session.is_on_me());
            if !sessions.iter().any(|session| were_here.contains(&session.id)) {
                continue;
            }
            // All of them: they share what may be wrong, and is read again for whoever comes.
            node.roll.forget(user);
            sessions.iter().for_each(|session| session.close(Reason::MissedMessages));
            lot += 1;
            if lot % AT_ONCE == 0 {
                sleep(PAUSE).await;
            }
        }
    }
}

/// Reads API keys when a word says so.
async fn read_keys(node: &Tinode) {
    loop {
        node.post.keys.notified().await;
        if node.keys.load(&node.cabinet).await.is_err() {
            // The log has it; they are read again soon anyway.
            tracing::debug!("API keys could not be read at once");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::SystemRng;

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    fn words() -> Vec<Told> {
        let (key, by) = (Key::pair(user(1), user(2)), user(1));
        let acs = Some(Acs { want: Mode::P2P, given: Mode::USER });
        let dacs = Dacs { want: Some("+W".into()), given: None };
        let src = Src::Topic(key);
        vec![
            Told::Msg { key, seq: 7, by },
            Told::Info { key, from: by, what: Noted::Kp, seq: 0 },
            Told::On { src: Src::User(by), on: true, ua: "A \"quoted\"/1".into() },
            Told::Upd { src: Src::Me },
            Told::Gone { src },
            Told::Off { src },
            Told::Acs { key, user: by, acs, dacs, by, reader: false, version: 9 },
            Told::Del { key, clear: 2, ranges: vec![Range { low: 1, hi: 3 }], by, soft: true },
            Told::UserEnds { user: by },
            Told::Left { key },
            Told::Keys,
        ]
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        let post = Post::new(false, &SystemRng).unwrap();
        for told in words() {
            for to in [
                To::Users(vec![user(1), user(2)]),
                To::Members(Key::Own(user(1))),
                To::Others(Key::pair(user(1), user(2)), user(2)),
            ] {
                let word = Word { to, needs: Mode::P, unattached: true, told: told.clone() };
                post.send(&word);
                let next = lock(&post.out).next().unwrap();
                let bytes = post.frame(next);
                let frame: Frame<'_> = serde_json::from_slice(&bytes).unwrap();
                assert_eq!((&*frame.tag, frame.words.len()), (&*post.tag, 1));
                let read: Word = serde_json::from_str(frame.words[0].get()).unwrap();
                assert_eq!(format!("{read:?}"), format!("{word:?}"));
            }
        }
        let tick = post.frame(Next::Tick(30));
        let tick: Frame<'_> = serde_json::from_slice(&tick).unwrap();
        assert_eq!((tick.number, tick.words.len()), (30, 0));
    }

    #[test]
    fn a_word_to_very_many_users_is_several() {
        let word = |count| Word {
            to: To::Users((1..=count).map(user).collect()),
            needs: Mode::P,
            unattached: false,
            told: Told::Upd { src: Src::User(user(1)) },
        };
        let sizes = |count| -> Vec<usize> {
            let size = |word: &Word| match &word.to {
                To::Users(users) => users.len(),
                To::Members(_) | To::Others(..) => 0,
            };
            split(word(count)).iter().map(size).collect()
        };
        assert_eq!(sizes(3), [3]);
        assert_eq!(sizes(USERS as u64 * 2 + 1), [USERS, USERS, 1]);
        let text = serde_json::to_vec(&split(word(USERS as u64))).unwrap();
        assert!(text.len() < queue::FRAME / 4, "{}", text.len());
    }
}
