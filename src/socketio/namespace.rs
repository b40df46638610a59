//! What a namespace implements, and what it is told.
use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;

use super::Socket;
use crate::reason::Reason;

/// One namespace of socket.io, `/` for most clients.
///
/// ```
/// use std::sync::Arc;
/// use always_online::{
///     reason::Reason,
///     socketio::{Client, Connect, Event, Namespace, Refusal, Socket},
/// };
///
/// /// Acknowledges each event with the event itself.
/// struct Echo;
/// struct Guest(Socket);
///
/// impl Namespace for Echo {
///     fn connect(&self, socket: Socket, _: &Connect<'_>) -> Result<Arc<dyn Client>, Refusal> {
///         Ok(Arc::new(Guest(socket)))
///     }
/// }
///
/// impl Client for Guest {
///     fn event(self: Arc<Self>, event: Event<'_>) {
///         if let Some(id) = event.ack {
///             self.0.ack(id, &[event.json]);
///         }
///     }
///     fn gone(self: Arc<Self>, _: Reason) {}
/// }
/// ```
pub trait Namespace: Send + Sync + 'static {
    /// A client asks to be connected. It has not been told yet that it is: what is sent on the
    /// socket before [`Client::connected`] is called may come before that.
    ///
    /// # Errors
    /// What the client is told instead.
    fn connect(&self, socket: Socket, request: &Connect<'_>) -> Result<Arc<dyn Client>, Refusal>;

    /// Whether [`Namespace::connect`] looks at the handshake's query, headers or address. Where no
    /// namespace does they are not kept, some 300 bytes for each connection.
    fn reads_handshake(&self) -> bool {
        false
    }

    /// Whether it looks at all headers of the handshake. Where one does, each connection keeps all
    /// of them, as many as a request may have, and every namespace sees them.
    fn reads_headers(&self) -> bool {
        false
    }
}

/// What comes in from one client of a namespace, in the order of the wire. None of these may block.
pub trait Client: Send + Sync {
    /// Whether its CONNECT is answered later, by [`Socket::admit`] or [`Socket::reject`]. Asked
    /// once, when [`Namespace::connect`] has returned. Until it is answered the client is told
    /// nothing, its events go nowhere, and it counts as connected for the time that a connection
    /// may be in no namespace: whoever has it wait has to set a bound to that.
    fn waits(&self) -> bool {
        false
    }
    /// The client has been told that it is connected. Called once, before any event; not called of
    /// one that [`Client::waits`]: whoever admits it knows.
    fn connected(self: Arc<Self>) {}
    /// The client sent an event.
    fn event(self: Arc<Self>, event: Event<'_>);
    /// The client has left the namespace or was taken out of it, or its connection is gone. Called
    /// once, also of one that still waits; nothing comes behind it, and nothing can be sent any
    /// more. `why` is what [`Socket::dismiss`] was given, where that was called, and
    /// [`Reason::RefusedByHook`] behind [`Socket::reject`].
    fn gone(self: Arc<Self>, why: Reason);
}

/// Headers of a handshake, in one piece of memory that is shared: of a connection that stays for
/// days a map of them would be the largest part. They can't be printed, as cookies may be among
/// them.
#[derive(Clone)]
pub struct Headers(
    /// The name and the value of each, on a line of its own: there is no line break in them.
    Arc<[u8]>,
);

impl Headers {
    /// Keeps these.
    pub fn new<'h>(headers: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>) -> Self {
        let mut lines = Vec::new();
        for (name, value) in headers {
            for line in [name.as_str().as_bytes(), value.as_bytes()] {
                lines.extend_from_slice(line);
                lines.push(b'\n');
            }
        }
        Headers(lines.into())
    }

    /// Each name, in small letters, with a value. What is no UTF-8 is replaced.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let mut lines = self.0.split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
        std::iter::from_fn(move || Some((lines.next()?, lines.next()?)))
    }

    /// Bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.0.iter().filter(|byte| **byte != b'\n').count()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Headers")
    }
}

/// What a client said when it connected.
#[derive(Debug, Default)]
pub struct Connect<'a> {
    /// The query that was said with the namespace's name; else that of the handshake's request, as
    /// it came, without the `?`, if it is kept ([`Namespace::reads_handshake`]).
    pub query: &'a str,
    /// The handshake's headers, if kept: `Origin` and `User-Agent`, or all of them
    /// ([`Namespace::reads_headers`]).
    pub headers: Option<&'a Headers>,
    /// Whose address the handshake came from, if kept: the other end of its TCP connection, or whom
    /// that named, where it is a proxy that is believed.
    pub address: Option<IpAddr>,
    /// JSON that came with CONNECT: `auth` of socket.io 3 and 4. Unchecked.
    pub auth: Option<&'a str>,
}

/// An event of a client.
#[derive(Debug)]
pub struct Event<'a> {
    /// A JSON array, its name and arguments, as it came. Unchecked.
    pub json: &'a str,
    /// The number of the acknowledgement that is asked for.
    pub ack: Option<i64>,
    /// What stands for `{"_placeholder":true,"num":N}` in the JSON, by N.
    pub attachments: Vec<Bytes>,
}

impl<'a> Event<'a> {
    /// The elements of the array: the event's name, and all arguments. `None`: it is no array.
    pub fn elements(&self) -> Option<Vec<&'a RawValue>> {
        serde_json::from_str(self.json).ok()
    }
}

/// Why a client is not connected to a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What the client is told, `err.message` there.
    pub message: String,
}

impl Refusal {
    /// A refusal with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Refusal { message: message.into() }
    }
}
