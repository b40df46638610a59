//! Documents that are in memory.
use std::{collections::BTreeMap, sync::Mutex};

use super::{
    super::users::tests::user,
    turn::{FRESH, LASTS, TURNS},
    *,
};
use crate::{
    domain::{
        clock::{SystemClock, SystemRng},
        error::StoreError,
        records::{Records, in_memory::InMemory},
    },
    lock::lock,
};

/// JSON, and whether it is marked, by collection and id.
type Kept = BTreeMap<(&'static str, String), (String, bool)>;

/// Documents of the original.
#[derive(Default)]
struct Documents {
    kept: Mutex<Kept>,
    /// Marks can't be set.
    broken: AtomicBool,
}

impl Documents {
    fn add(&self, collection: &'static str, id: &str, json: &str) {
        lock(&self.kept).insert((collection, id.to_owned()), (json.to_owned(), false));
    }

    /// Those that are marked.
    fn marked(&self) -> Vec<String> {
        let kept = lock(&self.kept);
        let marked = kept.iter().filter(|(_, (_, is_marked))| *is_marked);
        marked.map(|((_, id), _)| id.clone()).collect()
    }
}

#[async_trait]
impl Originals for Documents {
    async fn next(
        &self,
        collection: &'static str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Original>, StoreError> {
        let kept = lock(&self.kept);
        let left = kept.iter().filter(|((of, id), (_, is_marked))| {
            *of == collection && !is_marked && after.is_none_or(|after| &**id > after)
        });
        let original = |((_, id), (json, _)): (&(_, String), &(String, bool))| Original {
            id: id.clone(),
            json: json.clone(),
        };
        Ok(left.take(limit).map(original).collect())
    }

    async fn taken(&self, collection: &'static str, ids: &[String]) -> Result<(), StoreError> {
        if self.broken.load(Relaxed) {
            return Err(StoreError::Unavailable("broken".to_owned()));
        }
        for id in ids {
            if let Some((_, is_marked)) = lock(&self.kept).get_mut(&(collection, id.clone())) {
                *is_marked = true;
            }
        }
        Ok(())
    }
}

/// What was put into inboxes: the phone, the key, and the message.
#[derive(Default)]
struct Put(Mutex<Vec<(String, String, String)>>);

impl Put {
    fn contents(&self, phone: &str) -> Vec<String> {
        let put = lock(&self.0);
        let its = put.iter().filter(|(whose, _, _)| whose == phone);
        its.map(|(_, _, item)| item.clone()).collect()
    }
}

#[async_trait]
impl Inboxes for Put {
    async fn add(&self, room: &RoomId, messages: Vec<(Entry, usize)>) -> Result<(), Failure> {
        assert!((1..=AT_ONCE).contains(&messages.len()));
        let mut put = lock(&self.0);
        for (entry, _) in messages {
            let Entry::Message { message, .. } = entry else { panic!("messages are put there") };
            let key = message.key.expect("it tells whether it is there").to_string();
            if !put.iter().any(|(_, there, _)| *there == key) {
                let item = frames::item(&message.body).expect("a message").1;
                put.push((room.name().to_owned(), key, item));
            }
        }
        Ok(())
    }
}

/// What nodes share.
struct Stage {
    records: Arc<InMemory>,
    users: Users,
    put: Put,
    documents: Documents,
}

impl Stage {
    fn new() -> Self {
        let records = Arc::<InMemory>::default();
        let users = Users::new(records.clone());
        Stage { records, users, put: Put::default(), documents: Documents::default() }
    }

    /// A node that starts.
    fn node(&self) -> Takeover<'_> {
        Takeover {
            users: &self.users,
            inboxes: &self.put,
            originals: &self.documents,
            turn: self.turn(),
            named: BTreeSet::new(),
        }
    }

    fn turn(&self) -> Turn {
        let records: Arc<dyn Records> = self.records.clone();
        Turn::new(records, Arc::new(SystemClock), Arc::new(SystemRng))
    }

    async fn is_there(&self, phone: &str) -> bool {
        self.users.get(phone).await.unwrap().is_some()
    }

    fn ann(&self) {
        self.documents.add("user", "a", r#"{"phone":"111","nick":"ann"}"#);
    }
}

fn conversation(phone: &str, items: usize) -> String {
    let items: Vec<String> = (0..items).map(|number| number.to_string()).collect();
    let items = items.join(",");
    format!(r#"{{"phone":"{phone}","conversation":{{"111":{{"timestamp":1,"items":[{items}]}}}}}}"#)
}

#[tokio::test]
async fn all_is_taken_over_in_its_order_and_once() {
    let stage = Stage::new();
    stage.ann();
    for number in 0..2 * BATCH {
        let json = format!(r#"{{"phone":"{}"}}"#, 1000 + number);
        stage.documents.add("user", &format!("many {number}"), &json);
    }
    stage.documents.add("conversation", "c", &conversation("222", 2 * AT_ONCE + 1));
    assert_eq!(stage.node().all().await, Ok(true));
    assert!(stage.is_there("111").await && stage.is_there("1199").await);
    assert_eq!(stage.documents.marked().len(), 2 * BATCH + 2);
    let contents = stage.put.contents("222");
    assert_eq!(contents.len(), 2 * AT_ONCE + 1);
    for (number, item) in contents.iter().enumerate() {
        assert!(item.starts_with(&format!(r#"{{"content":{number},"#)), "{item}");
    }
    assert_eq!(stage.node().all().await, Ok(true), "nothing is left");
}

#[tokio::test]
async fn what_is_stored_and_not_marked_is_there_once() {
    let stage = Stage::new();
    stage.ann();
    stage.documents.broken.store(true, Relaxed);
    let mut node = stage.node();
    assert_eq!(node.all().await, Err(Failure::Unavailable));
    stage.documents.add("conversation", "c", &conversation("111", 2));
    stage.documents.broken.store(false, Relaxed);
    assert_eq!(node.all().await, Ok(true), "it is still its turn");
    assert_eq!(stage.documents.marked(), ["c", "a"]);
    assert_eq!(stage.put.contents("111").len(), 2);
}

#[tokio::test]
async fn who_was_deleted_is_not_taken_over_again_nor_what_waited() {
    let stage = Stage::new();
    let ann = user("111");
    assert_eq!(stage.users.register(ann.clone()).await, Ok(true));
    stage.users.delete("111", &ann.id, &SystemClock).await.unwrap();
    stage.ann();
    stage.documents.add("user", "b", r#"{"phone":"222"}"#);
    stage.documents.add("conversation", "c", &conversation("111", 2));
    stage.documents.add("conversation", "d", &conversation("222", 2));
    assert_eq!(stage.node().all().await, Ok(true));
    assert!(!stage.is_there("111").await && stage.is_there("222").await);
    assert_eq!((stage.put.contents("111").len(), stage.put.contents("222").len()), (0, 2));
    assert_eq!(stage.documents.marked(), ["c", "d", "a", "b"], "they are done with");
}

#[tokio::test]
async fn one_node_does_it_and_the_others_wait() {
    let stage = Stage::new();
    let (mut first, mut other) = (stage.node(), stage.node());
    assert_eq!(other.all().await, Ok(true), "there is nothing to wait for");
    stage.ann();
    assert_eq!(first.turn.take().await, Ok(true));
    assert_eq!(other.all().await, Ok(false));
    assert!(stage.documents.marked().is_empty() && !stage.is_there("111").await);
    assert_eq!(first.all().await, Ok(true));
    assert_eq!(other.all().await, Ok(true));
    assert!(stage.is_there("111").await);
    stage.documents.add("conversation", "c", &conversation("111", 1));
    assert_eq!(other.all().await, Ok(true), "the first one’s turn is over");
    assert_eq!(stage.put.contents("111").len(), 1);
}

#[tokio::test]
async fn the_turn_of_a_dead_node_ends() {
    let stage = Stage::new();
    stage.ann();
    let mut dead = stage.turn();
    assert_eq!(dead.take().await, Ok(true));
    assert_eq!(dead.take().await, Ok(true), "it goes on");
    let mut node = stage.node();
    assert_eq!(node.all().await, Ok(false));
    stage.records.forget(&TURNS); // it has expired
    assert_eq!(node.all().await, Ok(true));
    assert!(stage.is_there("111").await);
    dead.end().await;
}

#[tokio::test]
async fn what_is_not_understood_is_named_and_keeps_nobody_waiting() {
    let stage = Stage::new();
    for number in 0..NAMED + 50 {
        stage.documents.add("user", &format!("strange {number}"), "{}");
    }
    stage.ann();
    let mut node = stage.node();
    assert_eq!(node.all().await, Ok(true));
    assert_eq!(node.named.len(), NAMED);
    assert_eq!(stage.documents.marked(), ["a"]);
    assert_eq!(stage.turn().take().await, Ok(true));
    assert_eq!(node.all().await, Ok(true), "also while it is another node’s turn");
    assert_eq!(node.named.len(), NAMED, "each is named once");
}

/// Another node takes over everything, and the users it lets in read and erase what waited: no key
/// of it is known any more.
async fn another_node_does_it_all(stage: &Stage) {
    stage.records.forget(&TURNS); // it has expired
    assert_eq!(stage.node().all().await, Ok(true));
    lock(&stage.put.0).clear();
}

/// Inboxes that take as long as a turn may last; meanwhile something happens, once.
struct Slow<'a> {
    stage: &'a Stage,
    meanwhile: Mutex<Option<Meanwhile>>,
}

#[derive(Clone, Copy)]
enum Meanwhile {
    AnotherHasItsTurn,
    AnotherDoesItAll,
}

impl<'a> Slow<'a> {
    fn new(stage: &'a Stage, meanwhile: Option<Meanwhile>) -> Self {
        Slow { stage, meanwhile: Mutex::new(meanwhile) }
    }

    /// A node that starts, and stores so slowly.
    fn node(&'a self) -> Takeover<'a> {
        Takeover { inboxes: self, ..self.stage.node() }
    }
}

#[async_trait]
impl Inboxes for Slow<'_> {
    async fn add(&self, room: &RoomId, messages: Vec<(Entry, usize)>) -> Result<(), Failure> {
        self.stage.put.add(room, messages).await?;
        sleep(Duration::from_secs(LASTS)).await;
        let meanwhile = lock(&self.meanwhile).take();
        match meanwhile {
            None => {}
            Some(Meanwhile::AnotherHasItsTurn) => {
                self.stage.records.forget(&TURNS);
                assert_eq!(self.stage.turn().take().await, Ok(true));
            }
            Some(Meanwhile::AnotherDoesItAll) => another_node_does_it_all(self.stage).await,
        }
        Ok(())
    }
}

/// Documents that are read so slowly that another node does it all meanwhile, once.
struct Outdated<'a> {
    stage: &'a Stage,
    is_over: AtomicBool,
}

#[async_trait]
impl Originals for Outdated<'_> {
    async fn next(
        &self,
        collection: &'static str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Original>, StoreError> {
        let read = self.stage.documents.next(collection, after, limit).await?;
        if !read.is_empty() && !self.is_over.swap(true, Relaxed) {
            another_node_does_it_all(self.stage).await;
        }
        Ok(read)
    }

    async fn taken(&self, collection: &'static str, ids: &[String]) -> Result<(), StoreError> {
        self.stage.documents.taken(collection, ids).await
    }
}

/// What waits: several documents of a batch, or one that is put in several times.
fn with_conversations(documents: usize, items: usize) -> Stage {
    let stage = Stage::new();
    for number in 0..documents {
        stage.documents.add("conversation", &format!("c {number}"), &conversation("222", items));
    }
    stage
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_turn_has_ended_stores_and_marks_nothing_more() {
    for (documents, items) in [(3, 2), (1, 2 * AT_ONCE + 1), (1, 1)] {
        let stage = with_conversations(documents, items);
        let slow = Slow::new(&stage, Some(Meanwhile::AnotherHasItsTurn));
        assert_eq!(slow.node().all().await, Ok(false), "{documents} of {items}");
        assert_eq!(stage.put.contents("222").len(), items.min(AT_ONCE), "{documents} of {items}");
        assert!(stage.documents.marked().is_empty(), "{documents} of {items}");

        let stage = with_conversations(documents, items);
        let slow = Slow::new(&stage, Some(Meanwhile::AnotherDoesItAll));
        let mut node = slow.node();
        assert_eq!(node.all().await, Ok(false), "{documents} of {items}");
        assert!(stage.put.contents("222").is_empty(), "{documents} of {items}");
        assert_eq!(node.all().await, Ok(true));
        assert!(stage.put.contents("222").is_empty(), "{documents} of {items}: it is done");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_keeps_its_turn() {
    for (documents, items) in [(5, 2), (1, 5 * AT_ONCE)] {
        let stage = with_conversations(documents, items);
        let slow = Slow::new(&stage, None);
        stage.records.calls();
        assert_eq!(slow.node().all().await, Ok(true));
        // It is taken, written anew behind each of the five, and ended.
        assert_eq!(stage.records.calls().1, 1 + 5 + 1, "{documents} of {items}");
        assert_eq!(stage.put.contents("222").len(), documents * items);
    }
}

#[tokio::test]
async fn what_was_read_before_it_was_its_turn_is_read_again() {
    let stage = with_conversations(2, 2);
    let originals = Outdated { stage: &stage, is_over: AtomicBool::new(false) };
    let mut node = Takeover { originals: &originals, ..stage.node() };
    assert_eq!(node.all().await, Ok(true));
    assert!(stage.put.contents("222").is_empty());
    assert_eq!(stage.documents.marked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_kept_without_a_break_or_taken_anew() {
    let stage = Stage::new();
    let mut turn = stage.turn();
    assert_eq!((turn.keep().await, turn.is_ours()), (Ok(false), false));
    assert_eq!((turn.take().await, turn.is_ours()), (Ok(true), true));
    stage.records.calls();
    for writes in [0, 1, 0, 1] {
        assert_eq!(turn.keep().await, Ok(true));
        assert_eq!(stage.records.calls(), (0, writes));
        if writes == 0 {
            sleep(FRESH).await;
        }
    }
    stage.records.forget(&TURNS); // it has expired, and maybe was another’s
    sleep(FRESH).await;
    for _ in 0..2 {
        assert_eq!((turn.keep().await, turn.is_ours()), (Ok(false), false));
    }
    assert_eq!((turn.take().await, turn.keep().await), (Ok(true), Ok(true)));
}
