//! A business server that is told by webhooks. What it was told it keeps in a file, as a real one
//! keeps it in a database, and it can be killed at any moment, with its connections, and started
//! again.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use support::{
    ports,
    receiver::{Received, Receiver, Reply},
    server::Setup,
    soon,
};

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Between two looks at something that nobody announces.
const STEP: Duration = Duration::from_millis(20);

/// The server.
pub struct Business {
    folder: TempDir,
    port: u16,
    ledger: Arc<Mutex<Ledger>>,
    /// None: it is dead.
    receiver: Option<Receiver>,
}

/// What it was told, and has in its file.
#[derive(Default)]
pub struct Ledger {
    /// Which of its lives this is. What is left of an earlier one does nothing.
    life: u64,
    file: Option<File>,
    /// Batches that it has, by their ids.
    known: HashMap<String, String>,
    /// Their events in the order of their coming, by room or user.
    told: BTreeMap<String, Vec<Value>>,
    /// Batches that came again.
    repeated: usize,
    /// Ids of batches that came again and were not what they had been.
    altered: Vec<String>,
}

impl Business {
    pub async fn start() -> Business {
        let mut business = Business {
            folder: tempfile::tempdir().unwrap(),
            port: ports::free(),
            ledger: Arc::default(),
            receiver: None,
        };
        business.restart().await;
        business
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Has a server tell this one, soon after everything.
    pub fn setup(&self, setup: Setup) -> Setup {
        setup
            .env("AO_WEBHOOK__URL", format!("http://127.0.0.1:{}/hooks", self.port))
            .env("AO_WEBHOOK__SECRET", SECRET)
            .env("AO_WEBHOOK__LEAVE_DELAY", "100ms")
            // What fails alone is tried again soon; and no request is given up within a test.
            .env("AO_WEBHOOK__KEEP", "300s")
    }

    /// What it has now.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Ends it at once, whatever it is doing. It keeps what is in its file.
    pub fn kill(&mut self) {
        let life = self.ledger().life + 1;
        *self.ledger() = Ledger { life, ..Ledger::default() };
        self.receiver = None;
    }

    /// Starts it again, at the same address.
    pub async fn restart(&mut self) {
        let life = {
            let mut ledger = self.ledger();
            ledger.read(&self.file());
            ledger.life
        };
        let ledger = self.ledger.clone();
        let script = move |request: &Received| {
            if !ledger.lock().unwrap().take(life, request) {
                return Reply::Hang;
            }
            // It may die between having a batch and saying so.
            let pause = Duration::from_micros(getrandom::u64().unwrap() % 3_000);
            Reply::Later(pause, Box::new(Reply::text(204, "")))
        };
        self.receiver = Some(Receiver::start_at(self.port, script).await);
    }

    /// Waits until it has what is wanted.
    pub async fn hears(&self, what: &str, wanted: impl Fn(&Ledger) -> bool) {
        let look = async {
            while !wanted(&self.ledger()) {
                tokio::time::sleep(STEP).await;
            }
        };
        soon(what, look).await;
    }
}

impl Ledger {
    /// What a process knows that starts: what is in the file.
    fn read(&mut self, path: &Path) {
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let line: Value = serde_json::from_str(line).expect("a whole line");
            let field = |name: &str| line[name].as_str().unwrap().to_owned();
            self.add(field("id"), field("body"));
        }
        self.file = Some(OpenOptions::new().create(true).append(true).open(path).unwrap());
    }

    /// Takes a request, once; false: the process that got it is dead.
    fn take(&mut self, life: u64, request: &Received) -> bool {
        if life != self.life {
            return false;
        }
        let id = request.header("webhook-id").unwrap_or_default().to_owned();
        if let Some(body) = self.known.get(&id) {
            self.repeated += 1;
            if *body != request.body {
                self.altered.push(id);
            }
            return true;
        }
        let Some(file) = &mut self.file else { return false };
        // One write: a process that is killed has written all of it or nothing.
        let line = format!("{}\n", json!({ "id": id, "body": request.body }));
        file.write_all(line.as_bytes()).unwrap();
        self.add(id, request.body.clone());
        true
    }

    fn add(&mut self, id: String, body: String) {
        let batch: Value = serde_json::from_str(&body).expect("a batch");
        let data = &batch["data"];
        // A gap may be of no room.
        let name = data["roomId"].as_str().or(data["uid"].as_str()).unwrap_or_default();
        let told = self.told.entry(name.to_owned()).or_default();
        for event in data["events"].as_array().expect("events") {
            let mut event = event.clone();
            event["epoch"] = data["epoch"].clone();
            told.push(event);
        }
        self.known.insert(id, body);
    }

    /// Batches that it has.
    pub fn batches(&self) -> usize {
        self.known.len()
    }

    /// Batches that came again, in its present life.
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// Whether this text is in any batch.
    pub fn mentions(&self, text: &str) -> bool {
        self.known.values().any(|body| body.contains(text))
    }

    /// Events of a room, or of a user.
    pub fn events(&self, name: &str) -> &[Value] {
        self.told.get(name).map_or(&[], Vec::as_slice)
    }

    /// Events of this kind of a room, or of a user.
    pub fn count(&self, name: &str, kind: &str) -> usize {
        self.events(name).iter().filter(|event| event["type"] == kind).count()
    }

    /// Whether this is the last that was told of a room, or of a user.
    pub fn ends_with(&self, name: &str, kind: &str) -> bool {
        self.events(name).last().is_some_and(|event| event["type"] == kind)
    }

    /// Events of a room, or of a user, in a line each: kind, and whom it is about.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let line = |event: &Value| {
            let (kind, uid) = (event["type"].as_str().unwrap(), event["uid"].as_str());
            [Some(kind), uid].into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        self.events(name).iter().map(line).collect()
    }

    /// All that was told of a room is in order: each message of its log once, where it is and as it
    /// is; each joining with its leaving, as far as everybody has left; numbers that only grow.
    #[track_caller]
    pub fn is_the_story_of(&self, room: &str, log: &[Value]) {
        assert!(self.altered.is_empty(), "altered when they came again: {:?}", self.altered);
        let (mut last, mut there, mut told) = ((0, 0), HashSet::new(), Vec::new());
        for event in self.events(room) {
            let context = || format!("{room}: {event} in {:#?}", self.lines(room));
            let number = |value: &Value| {
                value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok())
            };
            let place = (number(&event["epoch"]).unwrap(), number(&event["n"]).unwrap());
            assert!(place > last, "{place:?} behind {last:?}: {}", context());
            last = place;
            let uid = event["uid"].as_str().unwrap_or_default().to_owned();
            match event["type"].as_str().unwrap() {
                "room.occupied" | "room.vacated" => assert!(there.is_empty(), "{}", context()),
                "member.joined" => assert!(there.insert(uid), "twice: {}", context()),
                "member.left" => assert!(there.remove(&uid), "was not there: {}", context()),
                "message.inserted" => {
                    assert_eq!(event["index"], told.len(), "{}", context());
                    told.push(event["message"].clone());
                }
                "message.updated" | "room.trimmed" | "room.cleared" => {}
                _ => panic!("unexpected: {}", context()),
            }
        }
        assert!(there.is_empty(), "{there:?} never left {room}: {:#?}", self.lines(room));
        assert!(told == log, "{room}: {} told, {} stored, or others", told.len(), log.len());
    }

    /// A user came and went in turn, and is away.
    #[track_caller]
    pub fn came_and_went(&self, uid: &str) {
        let lines = self.lines(uid);
        for (at, line) in lines.iter().enumerate() {
            let kind = if at % 2 == 0 { "user.online" } else { "user.offline" };
            assert_eq!(*line, format!("{kind} {uid}"), "{lines:#?}");
        }
        assert!(lines.len().is_multiple_of(2), "{uid} is still there: {lines:#?}");
    }
}
