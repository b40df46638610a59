//! Pushes: when nobody has received a message within a time, the hook `push` is told for whom it
//! is, with their devices and with what FCM and APNs are to be given. Best effort: what waits is
//! lost with its node.
//!
//! A topic has one appointment, for the first message of those that wait; the newest of them is
//! behind it, and has its turn then. So a busy topic is pushed once in that time, and a message
//! never before its own.
//!
//! ```json
//! {"hook":"push","topic":"grp…","seq":7,"from":"usr…",
//!  "to":[{"user":"usr…","devices":[{"dev":"…","platf":"web","lang":"en"}]}],
//!  "fcm":{"data":{"what":"msg","topic":"grp…","seq":"7","from":"usr…"}},
//!  "apns":{"aps":{"content-available":1,"mutable-content":1,"thread-id":"grp…"},"topic":"grp…","seq":7,"from":"usr…"}}
//! ```
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;
use tokio::{sync::Semaphore, time::Instant};

use super::{
    Tinode,
    ids::{Key, UserId},
    mode::Mode,
    presence,
    record::{Device, SubRecord, User, UserState},
    refusal::Done,
    stored::Mark,
    topic::{self, Live},
};
use crate::{domain::deadline::Appointments, lock::lock, throttle::throttled};

/// The hook.
const HOOK: &str = "push";
/// Topics that wait.
const MOST: usize = 100_000;
/// Pushes that are on their way at once.
const AT_ONCE: usize = 16;

/// A message that somebody may have to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    seq: u64,
    from: UserId,
    /// When it is due.
    at: Instant,
}

/// The messages of a topic that wait.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    first: Sent,
    newest: Option<Sent>,
}

/// What waits to be pushed.
pub(super) struct Pushes {
    after: Option<Duration>,
    due: Arc<Appointments<Key>>,
    waiting: Mutex<HashMap<Key, Waiting>>,
}

impl Pushes {
    /// `after`: how long a message may not have been received; `None`: nothing is pushed.
    pub fn new(after: Option<Duration>) -> Self {
        Pushes { after, due: Appointments::new(), waiting: Mutex::default() }
    }

    /// A message was stored.
    pub fn sent(&self, live: &Arc<Live>, seq: u64, from: UserId) {
        self.note(live.key, seq, from);
    }

    fn note(&self, key: Key, seq: u64, from: UserId) {
        let Some(after) = self.after else { return };
        let sent = Sent { seq, from, at: Instant::now() + after };
        let mut waiting = lock(&self.waiting);
        if let Some(before) = waiting.get_mut(&key) {
            before.newest = Some(sent);
            return;
        }
        if waiting.len() >= MOST {
            drop(waiting);
            throttled!(warn, "too many topics wait for a push; some are not pushed");
            return;
        }
        waiting.insert(key, Waiting { first: sent, newest: None });
        drop(waiting);
        self.due.set(key, sent.at);
    }

    /// The message of this topic whose time has come; the next one waits for its own.
    fn take(&self, key: Key) -> Option<Sent> {
        let mut waiting = lock(&self.waiting);
        let Waiting { first, newest } = waiting.remove(&key)?;
        if let Some(newest) = newest {
            waiting.insert(key, Waiting { first: newest, newest: None });
            drop(waiting);
            self.due.set(key, newest.at);
        }
        Some(first)
    }

    /// Pushes what is due, for ever.
    pub async fn run(node: Arc<Tinode>) {
        let free = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let key = node.pushes.due.next().await;
            let Some(sent) = node.pushes.take(key) else { continue };
            let Ok(place) = free.clone().acquire_owned().await else { return };
            let here = node.clone();
            node.hub.tasks.spawn(async move {
                if push(&here, key, sent).await.is_err() {
                    throttled!(warn, "a push is left out, as it can't be learnt for whom it is");
                }
                drop(place);
            });
        }
    }
}

/// Whether this member is to be told, as far as is known of it in the topic.
fn is_for(row: &SubRecord, sent: &Sent, marks: &HashMap<UserId, Mark>) -> bool {
    let received = marks.get(&row.user).map_or(0, |mark| mark.read.max(mark.recv));
    row.user != sent.from && received < sent.seq && row.acs().mode().has(Mode::R.with(Mode::P))
}

async fn push(node: &Tinode, key: Key, sent: Sent) -> Done<()> {
    if !node.caller.calls(HOOK) {
        return Ok(());
    }
    let Some(read) = node.cabinet.topic(&key).await? else { return Ok(()) };
    let topic = read.record;
    let marks = topic::standing(node, &topic).await?.marks;
    let members = node.cabinet.members(&key, node.options.limits.subscribers).await?;
    let rows = members.into_iter().map(|read| read.record);
    let mut users: Vec<UserId> =
        rows.filter(|row| is_for(row, &sent, &marks)).map(|row| row.user).collect();
    if users.is_empty() {
        return Ok(());
    }
    let here: HashSet<UserId> = presence::here(node, &topic.room()?).await?;
    users.retain(|user| !here.contains(user));
    let found = node.cabinet.users(&users).await?;
    let to: Vec<Recipient<'_>> =
        users.iter().filter_map(|id| Recipient::of(found.get(id)?)).collect();
    // A pair has another name for each; then there is one recipient.
    let Some(first) = to.first() else { return Ok(()) };
    let name = key.shown(first.user, false);
    if let Some(body) = body(&name, &sent, &to) {
        let _ = node.caller.call(HOOK, body).await; // whatever is answered
    }
    Ok(())
}

/// Somebody to push to.
#[derive(Debug, Serialize)]
struct Recipient<'a> {
    user: UserId,
    devices: Vec<Shown<'a>>,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    dev: &'a str,
    platf: &'a str,
    lang: &'a str,
}

impl<'a> Recipient<'a> {
    /// The user, if it can be reached.
    fn of(user: &'a User) -> Option<Self> {
        let shown = |Device { dev, platf, lang, .. }: &'a Device| Shown { dev, platf, lang };
        let devices: Vec<Shown<'a>> = user.devices.iter().map(shown).collect();
        let reached = !devices.is_empty() && user.state == UserState::Ok;
        reached.then_some(Recipient { user: user.id, devices })
    }
}

/// What the hook is told.
fn body(topic: &str, sent: &Sent, to: &[Recipient<'_>]) -> Option<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        hook: &'static str,
        topic: &'a str,
        seq: u64,
        from: UserId,
        to: &'a [Recipient<'a>],
        fcm: Fcm<'a>,
        apns: Apns<'a>,
    }
    #[derive(Serialize)]
    struct Fcm<'a> {
        data: Data<'a>,
    }
    /// All are texts: FCM takes nothing else.
    #[derive(Serialize)]
    struct Data<'a> {
        what: &'static str,
        topic: &'a str,
        seq: String,
        from: UserId,
    }
    #[derive(Serialize)]
    struct Apns<'a> {
        aps: Aps<'a>,
        topic: &'a str,
        seq: u64,
        from: UserId,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    struct Aps<'a> {
        content_available: u8,
        mutable_content: u8,
        thread_id: &'a str,
    }
    let Sent { seq, from, .. } = *sent;
    let body = Body {
        hook: HOOK,
        topic,
        seq,
        from,
        to,
        fcm: Fcm { data: Data { what: "msg", topic, seq: seq.to_string(), from } },
        apns: Apns {
            aps: Aps { content_available: 1, mutable_content: 1, thread_id: topic },
            topic,
            seq,
            from,
        },
    };
    serde_json::to_string(&body).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect::tinode::{message::Ts, mode::Level};

    const AFTER: Duration = Duration::from_secs(30);

    fn user(n: u64) -> UserId {
        UserId::of_number(n).unwrap()
    }

    fn row(n: u64, mode: &str) -> SubRecord {
        let (key, mode) = (Key::parse("grpGardenClub_").unwrap(), Mode::parse(mode).unwrap());
        SubRecord {
            topic: key,
            user: user(n),
            live: Some(key),
            want: mode,
            given: Mode::USER,
            created: Ts(1),
            updated: Ts(1),
            deleted: false,
            reader: false,
            private: None,
            del: 0,
            read: 0,
            recv: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_waits_for_its_first_message_and_then_for_the_newest() {
        let pushes = Pushes::new(Some(AFTER));
        let (busy, calm) = (Key::Own(user(1)), Key::Own(user(2)));
        let begin = Instant::now();
        pushes.note(busy, 1, user(1));
        for seq in 2..5 {
            tokio::time::advance(Duration::from_secs(5)).await;
            pushes.note(busy, seq, user(seq));
        }
        pushes.note(calm, 9, user(1));
        let mut pushed = Vec::new();
        while !lock(&pushes.waiting).is_empty() {
            let key = pushes.due.next().await;
            let seq = pushes.take(key).unwrap().seq;
            pushed.push((key, seq, begin.elapsed().as_secs()));
        }
        pushed.sort_by_key(|(_, seq, _)| *seq);
        assert_eq!(pushed, [(busy, 1, 30), (busy, 4, 45), (calm, 9, 45)]);
        assert!(pushes.take(busy).is_none());
    }

    #[test]
    fn where_nothing_is_pushed_nothing_waits() {
        let pushes = Pushes::new(None);
        pushes.note(Key::Own(user(1)), 1, user(1));
        assert!(lock(&pushes.waiting).is_empty());
    }

    #[test]
    fn for_whom_a_push_is() {
        let sent = Sent { seq: 7, from: user(1), at: Instant::now() };
        let marks = |read, recv| HashMap::from([(user(2), Mark::of(read, recv))]);
        for (row, marks, expected) in [
            (row(2, "JRWP"), HashMap::new(), true),
            (row(2, "JRWP"), marks(0, 6), true),
            (row(2, "JRWP"), marks(0, 7), false),
            (row(2, "JRWP"), marks(8, 8), false),
            (row(2, "JRW"), HashMap::new(), false),
            (row(2, "JWP"), HashMap::new(), false),
            (row(1, "JRWP"), HashMap::new(), false),
            (row(3, "JRP"), marks(7, 7), true),
        ] {
            assert_eq!(is_for(&row, &sent, &marks), expected, "{row:?} {marks:?}");
        }
    }

    #[test]
    fn what_the_hook_is_told() {
        let device = |dev: &str| Device {
            dev: dev.to_owned(),
            platf: "web".into(),
            lang: String::new(),
            at: Ts(5),
        };
        let mut ann = User::new(user(2), Level::Auth, Ts(1));
        assert!(Recipient::of(&ann).is_none(), "no device");
        ann.devices = vec![device("one \""), device("two")];
        let sent = Sent { seq: 7, from: user(1), at: Instant::now() };
        let text = body("grpX", &sent, &[Recipient::of(&ann).unwrap()]).unwrap();
        let from = user(1).to_string();
        let expected = json!({
            "hook": "push", "topic": "grpX", "seq": 7, "from": from,
            "to": [{"user": user(2).to_string(), "devices": [
                {"dev": "one \"", "platf": "web", "lang": ""},
                {"dev": "two", "platf": "web", "lang": ""},
            ]}],
            "fcm": {"data": {"what": "msg", "topic": "grpX", "seq": "7", "from": from}},
            "apns": {
                "aps": {"content-available": 1, "mutable-content": 1, "thread-id": "grpX"},
                "topic": "grpX", "seq": 7, "from": from,
            },
        });
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        ann.state = UserState::Suspended;
        assert!(Recipient::of(&ann).is_none());
    }
}
