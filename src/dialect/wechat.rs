//! The react-wechat dialect: a messenger like a phone's, with calls (docs/wechat.md). Users
//! register with a phone, have each other as contacts, write to each other, and call.
//!
//! `routes` is the HTTP side: `body` reads what a request says, `access` finds its token and says
//! which pages may read answers, `error` is why it is refused. `users` are records, `registration`
//! is how one begins, `card` what is told of one, `group` under which letter it stands. `token`
//! signs and verifies, `rate` says what is done how often, `turn` where a call finds its way.
//! `takeover` fetches what the original has stored. `api` is for administrators.
//!
//! `socket` is a client's WebSocket, `inbox` what waits for a user, `frames` what clients say, and
//! `wire` what goes out.
//!
//! A user's inbox is a room of the core in a space of its own, whose one member is the user's
//! socket. No other dialect sees it.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use async_trait::async_trait;
use hyper::{Request, body::Incoming};
use tokio_util::sync::CancellationToken;

use super::{Dialect, Pace, Taken};
use crate::{
    config::{Origins, Site},
    domain::{
        hub::Hub,
        ids::ConnectionId,
        methods::Methods,
        originals::Originals,
        password::{self, Pool},
        rates::Rates,
        secret::Secret,
    },
    lock::lock,
    net::{Connection, Stream},
    pace::Rate,
    reason::Reason,
};

mod access;
mod api;
mod body;
mod card;
mod error;
mod frames;
mod group;
mod inbox;
mod rate;
mod registration;
mod routes;
mod socket;
mod takeover;
mod token;
mod turn;
mod users;
mod wire;

pub use frames::FORM;
pub use turn::Servers;

use rate::Act;
use takeover::Progress;
use token::Keys;
use users::Users;

/// Bytes of the largest message of a client.
const MAX_MESSAGE: usize = 1 << 20;

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// What tokens are signed with. All nodes have the same.
    pub jwt_secret: Secret,
    /// How often one household may register, log in, search, and add contacts; each of them.
    pub rate_limit: Rate,
    /// Pages that may read answers of HTTP. WebSockets may come from any.
    pub origins: Origins,
    /// What calls find their way by.
    pub turn: Servers,
}

/// The dialect on this node.
struct Wechat {
    hub: Arc<Hub>,
    options: Options,
    users: Users,
    keys: Keys,
    passwords: Pool,
    rates: Rates<Act>,
    progress: Progress,
    clients: Mutex<HashMap<ConnectionId, Weak<socket::Client>>>,
}

/// The dialect, for whoever puts the server together.
pub struct Mounted {
    /// What clients come to.
    pub dialect: Arc<dyn Dialect>,
    /// What it adds to the HTTP API.
    pub methods: Arc<dyn Methods>,
}

/// Starts the dialect. `originals`: what the original has stored, if that can be reached; nobody is
/// let in until that is taken over. Its tasks end with `stop`.
pub fn start(
    hub: Arc<Hub>,
    options: Options,
    originals: Option<Arc<dyn Originals>>,
    stop: &CancellationToken,
) -> Mounted {
    let wechat = Arc::new(Wechat {
        users: Users::new(hub.records.clone()),
        keys: Keys::new(&options.jwt_secret),
        passwords: Pool::new(hub.tasks.clone()),
        rates: Rates::new(options.rate_limit),
        progress: Progress::new(originals.is_none()),
        clients: Mutex::default(),
        options,
        hub,
    });
    if let Some(originals) = originals {
        let here = wechat.clone();
        wechat
            .hub
            .supervisor
            .keep("wechat takeover", stop, move || takeover::run(here.clone(), originals.clone()));
    }
    Mounted { methods: api::methods(wechat.clone()), dialect: Arc::new(Server(wechat)) }
}

struct Server(Arc<Wechat>);

#[async_trait]
impl Dialect for Server {
    fn name(&self) -> &'static str {
        "wechat"
    }

    fn site(&self) -> Site {
        Site::Wechat
    }

    fn wants(&self, handshake: &Request<()>) -> bool {
        let wechat = &self.0;
        wechat.hub.is_ready()
            && wechat.progress.is_over()
            && routes::token(handshake.uri().path()).is_some()
    }

    fn websocket(&self, handshake: Request<()>, stream: Stream, connection: Arc<Connection>) {
        if let Some(token) = routes::token(handshake.uri().path()) {
            let (here, token) = (self.0.clone(), token.to_owned());
            let address = connection.client(handshake.headers());
            self.0.hub.tasks.spawn(socket::serve(here, token, address, stream));
        }
    }

    fn request(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Taken<'_> {
        if routes::is_health(&request) {
            return Err(Box::new(request));
        }
        Ok(Box::pin(routes::answer(&self.0, request, connection)))
    }

    async fn drain(&self, pace: Pace) {
        let clients: Vec<Arc<socket::Client>> =
            lock(&self.0.clients).values().filter_map(Weak::upgrade).collect();
        pace.each(&clients, |client| client.drop_because(Reason::Drain)).await;
    }
}
