//! The tinode dialect: accounts, topics, access modes and read marks, for Tinode's clients
//! (docs/tinode.md).
//!
//! ```text
//! websocket  polling  grpc        what carries a session; routes is the HTTP side, files too
//!        session ─ outlet         one client, and the way out to it; heart pings it
//!        dispatch                 what it asks for: hello, account, sub, leave, publish, note, …
//!  access   cabinet ─ record      who may do what; what is kept
//!        apply                    what others are told of a change
//!  attach ─ topic ─ wire          a topic is a room: its members, marks and codecs
//!  post ─ roll ─ presence         what is told to `me`, on all nodes; who is there
//! ```
//!
//! A topic is a room of [`Space::Lives`](crate::domain::ids::Space::Lives), and the number of
//! a message is its index and one. `me` is an inbox. Accounts, subscriptions and all else are
//! records.
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, Weak,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use async_trait::async_trait;
use hyper::{Request, body::Incoming};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Dialect, Pace, Taken};
use crate::{
    config::{SecretText, Site},
    domain::{
        access::LiveVerifier, calls::Calls, deadline::Appointments, hub::Hub, ids::ConnectionId,
        methods::Methods, password::Pool, rates::Rates,
    },
    lock::lock,
    net::{Connection, Stream},
    pace::Rate,
    reason::Reason,
    throttle::throttled,
};

mod access;
mod account;
mod api;
mod api_key;
mod apply;
mod attach;
mod cabinet;
mod credential;
mod del;
mod delete;
mod dispatch;
mod ending;
mod fields;
mod files;
mod fnd;
mod get;
mod grpc;
mod heart;
mod hello;
mod history;
mod holes;
mod ids;
mod json;
mod leave;
mod mail;
mod me;
mod merge;
mod message;
mod mode;
mod nodes;
mod note;
mod outlet;
mod polling;
mod post;
mod presence;
mod publish;
mod push;
mod rate;
mod record;
mod refusal;
mod request;
mod roll;
mod routes;
mod search;
mod seats;
mod session;
mod set;
mod stored;
mod sub;
mod tags;
mod token;
mod topic;
mod websocket;
mod wire;

pub use files::{FilesOptions, Where};
pub use mail::{MailOptions, Tls};
pub use stored::FORM;

use api_key::ApiKeys;
use cabinet::Cabinet;
use files::Files;
use heart::Heart;
use history::Blocks;
use mail::Mailer;
use message::Code;
use nodes::Neighbour;
use polling::Polls;
use post::Post;
use push::Pushes;
use rate::Act;
use refusal::Refusal;
use roll::Roll;
use seats::Seats;
use session::Session;
use token::Tokens;
use topic::{Flushes, Sleepers, Topics};

/// How often what was cut off is looked for, and how many times that is until files are.
const SWEEP: Duration = Duration::from_secs(15);
const FILES_SWEEP: u32 = 40;
/// Every so many times, API keys are read again, by each node.
const KEYS_READ: u32 = 2;
/// The pauses between attempts to read the secrets, where the store does not answer at the start;
/// the last one again and again.
const SECRETS: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// What clients are told of, and have to keep to.
    pub limits: Limits,
    /// What API keys are signed with, base64 of 32 bytes; empty: it is made at the first start.
    pub api_key_salt: SecretText,
    /// What tokens are signed with, base64; empty: it is made at the first start.
    pub token_key: SecretText,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// The methods of credentials without which nobody has an account: `email`, or none.
    pub required: Vec<String>,
    /// How often one household may register, sign in, and search; each of them.
    pub rate_limit: Rate,
    /// Bytes of finished history that are kept.
    pub page_cache: usize,
    /// Where files are kept, and which.
    pub files: FilesOptions,
    /// How mails are sent; none: only the hook sends codes.
    pub mail: Option<MailOptions>,
    /// When devices are pushed to that have not received a message; none: never.
    pub push_after: Option<Duration>,
    /// There are no other nodes.
    pub alone: bool,
}

/// What clients are told of, and have to keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the largest request.
    pub message: usize,
    /// Members of a group.
    pub subscribers: usize,
    /// Characters of the shortest tag,
    pub tag_min: usize,
    /// and of the longest.
    pub tag_max: usize,
    /// Tags of a user or topic.
    pub tags: usize,
    /// Bytes of the largest file.
    pub upload: usize,
    /// How old a message may be that others than its topic's owner delete for everybody.
    pub delete_age: Duration,
}

/// The dialect, for whoever puts the server together.
pub struct Mounted {
    /// What clients come to, by HTTP and WebSocket.
    pub dialect: Arc<dyn Dialect>,
    /// What clients of gRPC come to.
    pub grpc: Arc<dyn Dialect>,
    /// What it adds to the HTTP API.
    pub methods: Arc<dyn Methods>,
}

/// The dialect on this node.
struct Tinode {
    hub: Arc<Hub>,
    options: Options,
    /// Whom hooks call.
    caller: Arc<dyn Calls>,
    /// Who checks JSON Web Tokens.
    verifier: LiveVerifier,
    cabinet: Cabinet,
    keys: ApiKeys,
    tokens: Tokens,
    passwords: Pool,
    rates: Rates<Act>,
    topics: Topics,
    roll: Roll,
    post: Post,
    heart: Heart,
    /// When sessions that have left `me` are gone.
    linger: Arc<Appointments<ConnectionId>>,
    sleepers: Sleepers,
    flushes: Flushes,
    blocks: Blocks,
    files: Files,
    mailer: Mailer,
    pushes: Pushes,
    polls: Polls,
    seats: Seats,
    sessions: Mutex<HashMap<ConnectionId, Weak<Session>>>,
    /// Ends of sessions: a server that ends waits for them before it closes its store.
    ends: TaskTracker,
    /// The secrets are there.
    ready: AtomicBool,
}

type Node = Arc<Tinode>;

impl Tinode {
    /// Whether sessions may begin.
    fn is_open(&self) -> bool {
        self.has_secrets() && self.hub.is_ready()
    }

    /// Whether keys and tokens can be checked.
    fn has_secrets(&self) -> bool {
        self.ready.load(Acquire)
    }

    /// Reads the secrets, or makes them.
    async fn open(&self) -> Result<(), Refusal> {
        let rng = &*self.hub.rng;
        let made = self.keys.open(&self.options.api_key_salt, &self.cabinet, rng).await?;
        if let Some(key) = made {
            tracing::info!(key, "clients of Tinode need this API key, or another one made here");
        }
        self.tokens.open(&self.options.token_key, &self.cabinet, rng).await?;
        self.ready.store(true, Release);
        Ok(())
    }

    /// Tries once to have the secrets: true, where they are there. False: the store does not
    /// answer, as the log says. Takes no longer than its answers may.
    ///
    /// # Errors
    /// They can't be used: no later attempt is of use.
    async fn try_open(&self) -> Result<bool, String> {
        match self.open().await {
            Ok(()) => Ok(true),
            Err(Refusal { code: Code::Unavailable, .. }) => Ok(false),
            Err(Refusal { code, .. }) => {
                Err(format!("the secrets of the tinode dialect can't be used: {}", code.text()))
            }
        }
    }

    /// Closes the sessions of one kind.
    async fn drain(&self, pace: Pace, of: impl Fn(&Session) -> bool + Send) {
        let mut sessions: Vec<Arc<Session>> =
            lock(&self.sessions).values().filter_map(Weak::upgrade).collect();
        sessions.retain(|session| of(session) && !session.outlet().is_ended());
        pace.each(&sessions, |session| session.close(Reason::Drain)).await;
        // Nor does the server wait for those who have just left.
        self.linger.hurry();
    }
}

/// Starts the dialect. Its tasks end with `stop`; what it does in `ends` a server that ends waits for
/// while its store is there. `caller`: whom its hooks call. `verifier`: who checks JSON Web Tokens.
/// Returns when it has its secrets, so that nobody comes before them; where the store does not answer
/// they are read later ([`Dialect::opened`]).
///
/// # Errors
/// There is no randomness, or what is set, or a secret that is kept, can't be used.
pub async fn start(
    hub: Arc<Hub>,
    options: Options,
    caller: Arc<dyn Calls>,
    verifier: LiveVerifier,
    stop: &CancellationToken,
    ends: TaskTracker,
) -> Result<Mounted, String> {
    let node = Arc::new(Tinode {
        caller,
        verifier,
        cabinet: Cabinet::new(hub.records.clone()),
        keys: ApiKeys::new(),
        tokens: Tokens::new(),
        passwords: Pool::new(hub.tasks.clone()),
        rates: Rates::new(options.rate_limit),
        topics: Topics::new(),
        roll: Roll::new(),
        post: Post::new(options.alone, &*hub.rng).map_err(|error| error.to_string())?,
        heart: Heart::new(),
        linger: Appointments::new(),
        sleepers: Sleepers::new(),
        flushes: Flushes::new(),
        blocks: Blocks::new(options.page_cache),
        files: Files::new(&options.files, &hub.tasks)?,
        mailer: Mailer::new(options.mail.as_ref())?,
        pushes: Pushes::new(options.push_after),
        polls: Polls::new(),
        seats: Seats::default(),
        sessions: Mutex::default(),
        ends,
        ready: AtomicBool::new(false),
        options,
        hub,
    });
    node.try_open().await?;
    Neighbour::listen(&node);
    keep(&node, stop);
    Ok(Mounted {
        methods: api::methods(node.clone()),
        grpc: Arc::new(Grpc(node.clone())),
        dialect: Arc::new(Server(node)),
    })
}

/// Starts what lives as long as the server.
fn keep(node: &Node, stop: &CancellationToken) {
    fn run<F: Future<Output = ()> + Send + 'static>(
        node: &Node,
        stop: &CancellationToken,
        task: &'static str,
        work: fn(Node) -> F,
    ) {
        let here = node.clone();
        node.hub.supervisor.keep(task, stop, move || work(here.clone()));
    }
    run(node, stop, "tinode pings", Heart::pings);
    run(node, stop, "tinode heartbeat checks", Heart::checks);
    run(node, stop, "tinode departures", presence::linger);
    run(node, stop, "tinode sleeping topics", Sleepers::run);
    run(node, stop, "tinode marks", Flushes::run);
    run(node, stop, "tinode words", Post::run);
    run(node, stop, "tinode ticks", Post::tick);
    run(node, stop, "tinode pushes", Pushes::run);
    run(node, stop, "tinode polls", Polls::sweep);
    run(node, stop, "tinode sweep", sweep);
}

/// Goes on with what was cut off, and sees to what is done now and then. Never ends.
async fn sweep(node: Node) {
    for round in (1..=FILES_SWEEP).cycle() {
        sleep(SWEEP).await;
        if !node.has_secrets() {
            continue;
        }
        if round % KEYS_READ == 0
            && let Err(Refusal { code, .. }) = node.keys.load(&node.cabinet).await
        {
            throttled!(warn, code = code.number(), "API keys could not be read again");
        }
        ending::sweep(&node).await;
        if round == FILES_SWEEP {
            files::tidy(&node).await;
        }
        match node.hub.walk().is_chosen(SWEEP * 2).await {
            Ok(true) => {
                delete::blank(&node).await;
                let is_soon = node.options.files.keep_unused < SWEEP * FILES_SWEEP;
                if round == FILES_SWEEP || is_soon {
                    files::sweep(&node).await;
                }
            }
            Ok(false) => {}
            Err(error) => {
                throttled!(warn, %error, "it can't be learnt which node is to sweep");
            }
        }
    }
}

/// The listener for HTTP and WebSockets.
struct Server(Node);

#[async_trait]
impl Dialect for Server {
    fn name(&self) -> &'static str {
        ids::NAME
    }

    fn site(&self) -> Site {
        Site::Tinode
    }

    fn wants(&self, handshake: &Request<()>) -> bool {
        routes::accepts(&self.0, handshake)
    }

    /// The key may be in one of them.
    fn reads_headers(&self) -> bool {
        true
    }

    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>) {
        let address = connection.client(handshake.headers());
        self.0.hub.tasks.spawn(websocket::serve(self.0.clone(), address, stream));
    }

    fn request(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Taken<'_> {
        if !routes::is_ours(request.uri()) {
            return Err(Box::new(request));
        }
        Ok(Box::pin(routes::answer(&self.0, request, connection)))
    }

    async fn drain(&self, pace: Pace) {
        self.0.drain(pace, |session| !session.is_grpc()).await;
    }

    /// Until the secrets are there, everybody is told to come later, and `/readyz` says that the
    /// server is starting.
    async fn opened(&self) -> Result<(), String> {
        let (node, mut pauses) = (&self.0, SECRETS.into_iter());
        if node.has_secrets() {
            return Ok(());
        }
        node.hub.set_starting(true);
        let mut pause = Duration::ZERO;
        while !node.try_open().await? {
            pause = pauses.next().unwrap_or(pause);
            sleep(pause).await;
        }
        node.hub.set_starting(false);
        Ok(())
    }
}

/// The listener for gRPC.
struct Grpc(Node);

#[async_trait]
impl Dialect for Grpc {
    fn name(&self) -> &'static str {
        ids::NAME
    }

    fn site(&self) -> Site {
        Site::TinodeGrpc
    }

    fn wants(&self, _: &Request<()>) -> bool {
        false
    }

    fn websocket(&self, _: Request<()>, _: Stream, _: Arc<Connection>) {}

    fn takes_streams(&self) -> bool {
        true
    }

    fn stream(&self, stream: Stream, connection: Arc<Connection>) {
        self.0.hub.tasks.spawn(grpc::serve::serve(self.0.clone(), stream, connection));
    }

    fn request(&self, request: Request<Incoming>, _: Arc<Connection>) -> Taken<'_> {
        Err(Box::new(request))
    }

    async fn drain(&self, pace: Pace) {
        self.0.drain(pace, Session::is_grpc).await;
    }
}
