//! What the server sees of this dialect: a namespace for somebody's transport, methods for the HTTP
//! API, and a dialect without a listener of its own, which begins and ends.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use hyper::{Request, body::Incoming};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Options, api,
    cabinet::Cabinet,
    chat::Chat,
    ending::Ended,
    entrance::Entrance,
    hook::Body,
    loans::{self, Loans},
    login::Handshake,
    nodes::Neighbour,
    session::Session,
    sessions::Sessions,
    turns::Turns,
    wire::{Frames, Rooms},
};
use crate::{
    config::Site,
    dialect::{Dialect, Pace, Taken},
    domain::{access::LiveVerifier, calls::Calls, hub::Hub, methods::Methods, subscriber::Codec},
    lock::lock,
    net::{Connection, Stream},
    reason::Reason,
    socketio::{Client, Connect, Namespace, Refusal, Socket},
    throttle::throttled,
};

/// Between two looks whether all clients are gone.
const STEP: Duration = Duration::from_millis(10);

/// The dialect, for whoever puts the server together.
pub struct Mounted {
    /// Begins and ends with the server. Its clients come by the namespace.
    pub dialect: Arc<dyn Dialect>,
    /// The namespace's name, and the namespace, for a transport of socket.io.
    pub namespace: (Box<str>, Arc<dyn Namespace>),
    /// What it adds to the HTTP API.
    pub methods: Arc<dyn Methods>,
}

/// Starts the dialect, which lets nobody in until the listeners are open ([`Dialect::opened`]).
/// `caller`: whom hooks call; `verifier`: who checks JSON Web Tokens. Its tasks end with `stop`.
pub fn start(
    hub: Arc<Hub>,
    options: Options,
    caller: Arc<dyn Calls>,
    verifier: LiveVerifier,
    stop: &CancellationToken,
) -> Mounted {
    let rooms = Arc::<Rooms>::default();
    let codecs: [&'static dyn Codec; 2] = [
        Frames::<3>::leak(&options.namespace, rooms.clone()),
        Frames::<4>::leak(&options.namespace, rooms.clone()),
    ];
    let about_messages = ["roomMessagesChecker", "roomMessageBefore", "roomMessageAfter"];
    // Who comes before the hook is answered waits; where there is none nobody does.
    let is_awaited = caller.calls("onStart");
    let chat = Arc::new(Chat {
        cabinet: Cabinet { records: hub.records.clone(), rng: hub.rng.clone() },
        rooms,
        turns: Turns::default(),
        asking: Turns::default(),
        loans: Loans::default(),
        ended: Ended::default(),
        nodes: loans::Known::default(),
        entrance: Entrance::new(verifier),
        messages_are_plain: !about_messages.iter().any(|hook| caller.calls(hook)),
        caller,
        sessions: Sessions::default(),
        started: watch::Sender::new(!is_awaited),
        codecs,
        expiring: Mutex::new(HashMap::new()),
        options,
        hub,
    });
    Neighbour::listen(&chat);
    let supervisor = &chat.hub.supervisor;
    let here = chat.clone();
    supervisor.keep("chat-service tokens", stop, move || here.clone().look_at_expiries());
    let (here, rate) = (chat.clone(), chat.options.heartbeat_rate);
    supervisor.keep("chat-service instance", stop, move || here.clone().keep_instance(rate));
    let here = chat.clone();
    supervisor.keep("chat-service deletions", stop, move || here.clone().keep_ending());
    chat.hub.set_starting(is_awaited);
    let namespace: Arc<dyn Namespace> = Arc::new(Clients(chat.clone()));
    Mounted {
        namespace: (chat.options.namespace.as_str().into(), namespace),
        methods: api::methods(chat.clone()),
        dialect: Arc::new(Server { chat, draining: OnceLock::new() }),
    }
}

impl Chat {
    /// Ends clients whose tokens are expired. Never ends.
    async fn look_at_expiries(self: Arc<Self>) {
        loop {
            let connection = self.entrance.expiries.next().await;
            let session = lock(&self.expiring).get(&connection).and_then(Weak::upgrade);
            if let Some(session) = session {
                session.look_at_expiry();
            }
        }
    }
}

/// The namespace.
struct Clients(Arc<Chat>);

impl Namespace for Clients {
    fn connect(&self, socket: Socket, request: &Connect<'_>) -> Result<Arc<dyn Client>, Refusal> {
        Handshake::fit(request)?;
        Ok(Session::begin(&self.0, socket, request))
    }

    /// Old clients say in the query of the handshake who they are.
    fn reads_handshake(&self) -> bool {
        true
    }

    /// Hooks are told of all of them, and the server API may ask for them.
    fn reads_headers(&self) -> bool {
        true
    }
}

/// What begins and ends with the server.
struct Server {
    chat: Arc<Chat>,
    /// When its clients were first told to go.
    draining: OnceLock<Instant>,
}

#[async_trait]
impl Dialect for Server {
    fn name(&self) -> &'static str {
        "chat-service"
    }

    fn site(&self) -> Site {
        Site::Websocket
    }

    fn wants(&self, _: &Request<()>) -> bool {
        false // its clients come by a transport that is not its own
    }

    fn websocket(&self, _: Request<()>, _: Stream, _: Arc<Connection>) {}

    fn request(&self, request: Request<Incoming>, _: Arc<Connection>) -> Taken<'_> {
        Err(Box::new(request))
    }

    async fn drain(&self, pace: Pace) {
        self.draining.get_or_init(Instant::now);
        let sessions = self.chat.sessions.all();
        pace.each(&sessions, |session| session.drop_client(Reason::Drain)).await;
    }

    async fn opened(&self) -> Result<(), String> {
        let chat = &self.chat;
        if let Err(error) = chat.note_instance().await {
            // It is tried again later.
            throttled!(warn, %error, "this instance of chat-service can't be found by others");
        }
        if !*chat.started.borrow() {
            let body = Body::new("onStart", &chat.options.instance).end();
            chat.ask_consent("onStart", body).await.map_err(|error| error.text())?;
            chat.started.send_replace(true);
            chat.hub.set_starting(false);
        }
        Ok(())
    }

    async fn closed(&self, in_time: bool) -> Result<(), String> {
        let chat = &self.chat;
        let gone = async {
            while !chat.sessions.is_empty() {
                sleep(STEP).await;
            }
        };
        let until = *self.draining.get_or_init(Instant::now) + chat.options.close_timeout;
        // Where the time is over already, what is left of it is for the hook.
        let is_over = in_time && timeout_at(until, gone).await.is_ok();
        if let Err(error) = chat.forget_instance().await {
            throttled!(warn, %error, "this instance of chat-service could not be forgotten");
        }
        if !chat.caller.calls("onClose") {
            return Ok(());
        }
        let error = (!is_over).then_some("some clients were not gone in time");
        let body = Body::new("onClose", &chat.options.instance).maybe("error", error).end();
        chat.ask_consent("onClose", body).await.map_err(|error| error.text())
    }
}
