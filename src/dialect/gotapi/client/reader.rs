//! The small task of one WebSocket, that reads, pings and ends it.
use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::{
    task::coop::consume_budget,
    time::{Instant, sleep_until},
};

use super::Client;
use crate::{
    dialect::gotapi::{
        heartbeat::{Beat, Heard, Heartbeat},
        path::{Place, room},
        questions::Verdict,
        wire,
    },
    domain::{ids::RoomId, room::Room},
    net::{Message, Over, WebSocket},
    reason::Reason,
    throttle::throttled,
    trace::{self, Span},
};

/// Messages that are read before a client's answer to a ping counts as missing.
const CATCH_UP: usize = 256;
/// Between two texts of `/timer`.
const SECOND: Duration = Duration::from_secs(1);
/// The answers to a handshake while the store is out, and where a hook does not let it in.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\r\n";
const FORBIDDEN: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\naccess-control-allow-origin: *\r\n\r\n";
/// How a client of `/` says which room it wants.
const JOIN: &[u8] = b"join:";

/// Where a client is.
enum Here {
    Lobby,
    Timer {
        /// When the next text is due.
        next: Instant,
    },
    Room(Arc<Room>),
}

/// The task of one client.
struct Reader {
    client: Arc<Client>,
    here: Here,
    heart: Heartbeat,
}

/// Serves a client until it is gone, and takes it out of its room. `answer` accepts its handshake;
/// nothing where that is accepted already.
pub(in crate::dialect::gotapi) async fn serve(
    client: Arc<Client>,
    place: Place,
    mut websocket: WebSocket,
    answer: Option<Bytes>,
) {
    let mut reader = Reader {
        here: match place {
            Place::Timer => Here::Timer { next: Instant::now() + SECOND },
            Place::Lobby | Place::Room(_) => Here::Lobby,
        },
        heart: Heartbeat::begin(Instant::now()),
        client: client.clone(),
    };
    let served = async {
        match (&place, answer) {
            (Place::Room(room), answer) => reader.arrive(room, answer).await?,
            (Place::Lobby | Place::Timer, Some(answer)) => client.connection.send(&answer),
            (Place::Lobby | Place::Timer, None) => {}
        }
        reader.read(&mut websocket).await
    };
    let over = AssertUnwindSafe(served).catch_unwind().await;
    match over.unwrap_or(Err(Over::Because(Reason::Failure))) {
        // A connection that is gone, or that we have closed, ends with its stream.
        Ok(()) | Err(Over::Gone) => {}
        Err(Over::Closed(code)) => client.connection.answer_close(code),
        Err(Over::Because(why)) => client.drop_because(why),
    }
    client.log_end();
    drop(websocket);
    client
        .leave(match &reader.here {
            Here::Room(room) => Some(&room.id),
            Here::Lobby | Here::Timer { .. } => None,
        })
        .await;
}

impl Reader {
    /// Enters the room that the client's URL names. Where that fails its handshake is refused.
    async fn arrive(&mut self, room: &RoomId, answer: Option<Bytes>) -> Result<(), Over> {
        let answered = answer.is_none();
        let arrived = self.join(room, answer).await;
        if let Err(over) = arrived
            && !answered
        {
            let is_refused =
                matches!(over, Over::Because(Reason::RefusedByHook | Reason::DroppedByHook));
            let (status, refusal) = if is_refused { (403, FORBIDDEN) } else { (503, REFUSAL) };
            throttled!(info, status, address = %self.client.address, "a handshake was refused");
            self.client.connection.close_without_a_word();
            self.client.connection.send(&Bytes::from_static(refusal));
        }
        arrived
    }

    async fn join(&mut self, room: &RoomId, answer: Option<Bytes>) -> Result<(), Over> {
        Span::begin("join", trace::Kind::Server).within(self.join_traced(room, answer)).await
    }

    async fn join_traced(&mut self, room: &RoomId, answer: Option<Bytes>) -> Result<(), Over> {
        let (gotapi, address) = (self.client.gotapi.clone(), self.client.address);
        match gotapi.may_enter(self.client.id, address, room).await {
            Verdict::Yes(_) => {}
            Verdict::No => return Err(Over::Because(Reason::RefusedByHook)),
            Verdict::End(why) => return Err(Over::Because(why)),
            Verdict::Failed => return Err(Over::Because(Reason::StoreUnavailable)),
        }
        let entered = self.client.enter(room, answer).await;
        let entered = entered.ok_or(Over::Because(Reason::StoreUnavailable))?;
        self.here = Here::Room(entered);
        // Nobody listened while the store was asked.
        self.heart = Heartbeat::begin(Instant::now());
        Ok(())
    }

    /// Reads until the end, which is never `Ok`.
    async fn read(&mut self, websocket: &mut WebSocket) -> Result<(), Over> {
        let mut timer = pin!(sleep_until(self.due()));
        loop {
            // In no order: neither a client that never pauses nor one that is silent keeps the
            // other from its turn.
            tokio::select! {
                message = websocket.next() => self.message(message?).await?,
                () = &mut timer => self.late(websocket).await?,
            }
            if timer.deadline() != self.due() {
                timer.as_mut().reset(self.due());
            }
            consume_budget().await;
        }
    }

    /// When something has to happen if nothing comes.
    fn due(&self) -> Instant {
        match self.here {
            Here::Timer { next } => next.min(self.heart.due()),
            Here::Lobby | Here::Room(_) => self.heart.due(),
        }
    }

    async fn message(&mut self, message: Message) -> Result<(), Over> {
        if let Some(life) = &self.client.life {
            life.came();
        }
        let (text, body) = match message {
            Message::Text(text) => (true, Bytes::from(text)),
            Message::Binary(body) => (false, body),
        };
        match &self.here {
            Here::Room(room) => self.client.send(room, body).await?,
            Here::Timer { .. } => {}
            Here::Lobby => {
                let name = body.strip_prefix(JOIN).filter(|_| text);
                let name = name.and_then(|name| std::str::from_utf8(name).ok());
                if let Some(Ok(room)) = name.map(room) {
                    self.join(&room, None).await?;
                }
            }
        }
        Ok(())
    }

    /// The timer fired, perhaps for something that has come since.
    async fn late(&mut self, websocket: &mut WebSocket) -> Result<(), Over> {
        let connection = self.client.connection.clone();
        if let Here::Timer { next } = &mut self.here
            && Instant::now() >= *next
        {
            *next = (*next + SECOND).max(Instant::now());
            connection.send(&wire::text(&self.client.gotapi.hub.clock.unix().to_string()));
        }
        if Instant::now() < self.heart.due() {
            return Ok(());
        }
        // What came while nobody listened counts.
        let mut all = false;
        for _ in 0..CATCH_UP {
            match websocket.next().now_or_never() {
                Some(message) => self.message(message?).await?,
                None => {
                    all = !connection.is_unread();
                    break;
                }
            }
        }
        match self.heart.beat(Instant::now(), Heard { pongs: websocket.pongs(), all }) {
            Beat::Rest => Ok(()),
            Beat::Ping => {
                connection.send(&Bytes::from_static(wire::PING));
                Ok(())
            }
            Beat::Lost => Err(Over::Because(Reason::PingTimeout)),
        }
    }
}
