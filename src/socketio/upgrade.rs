//! From polling to a WebSocket. The client asks on a new connection by `2probe`, and is answered
//! `3probe`; its poll is answered, if need be with a noop, so that it can pause; then it says `5`,
//! and the session is this WebSocket's: what waited to be fetched comes first.
//!
//! Until the `5` nothing has changed, and an upgrade that fails leaves the session as it was.
//! Behind it nothing of polling is left but POSTs that are under way, which are handled before what
//! comes on the WebSocket.
use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use super::{
    Version,
    carrier::{Carrier, Polling},
    packet,
    websocket::Client,
};
use crate::{
    net::{Message, Over, Stream, WebSocket},
    reason::Reason,
};

/// Time that a client has for each step, as in the servers for Node.js; a POST that is under way
/// does not count, as a client waits for its answer.
const STEP: Duration = Duration::from_secs(10);

/// Serves a WebSocket that wants to carry this session, until it is gone.
pub(super) async fn serve(carrier: Arc<Carrier>, stream: Stream) {
    let mut websocket = WebSocket::new(stream, carrier.io.options.max_payload);
    let connection = websocket.connection().clone();
    let mut client = match begin(&carrier, &mut websocket).await {
        Ok(client) => client,
        Err(over) => return over.end(&connection),
    };
    drop(carrier);
    client.run(&mut websocket).await;
}

async fn begin(carrier: &Arc<Carrier>, websocket: &mut WebSocket) -> Result<Client, Over> {
    let connection = websocket.connection().clone();
    // One that is a WebSocket already, or is becoming one, takes no other.
    let polling = carrier.polls().ok_or(Reason::Malformed)?;
    let upgrading = polling.begin_upgrade().ok_or(Reason::Malformed)?;
    said(websocket, &polling, "2probe").await?;
    connection.send(&packet::text_frame("3probe"));
    upgrading.release_polls();
    said(websocket, &polling, "5").await?;
    let Some(pinged) = carrier.become_websocket(&connection) else {
        polling.close_too(&connection);
        return Err(Over::Gone);
    };
    // What it posted was said before. We may close the session while that is awaited.
    let _last = tokio::select! {
        last = polling.posts.write() => last,
        () = connection.ended() => {
            if let Some(mut dispatcher) = polling.dispatcher.lock().await.take() {
                dispatcher.end(Reason::ClosedByClient);
            }
            carrier.forget_polling();
            return Err(Over::Gone);
        }
    };
    let dispatcher = polling.dispatcher.lock().await.take().ok_or(Over::Gone)?;
    carrier.forget_polling();
    let io = carrier.io.clone();
    let at = match carrier.version {
        Version::V3 => Instant::now(),
        Version::V4 => pinged,
    };
    Ok(Client::new(io, connection, carrier.version, dispatcher, at).upgraded())
}

/// The client's next word, which has to be this one.
async fn said(websocket: &mut WebSocket, polling: &Polling, word: &str) -> Result<(), Over> {
    loop {
        match timeout(STEP, websocket.next()).await {
            Ok(Ok(Message::Text(text))) if text.as_str() == word => return Ok(()),
            Ok(Ok(_)) => return Err(Reason::Malformed.into()),
            Ok(Err(end)) => return Err(end.into()),
            Err(_) if polling.posts.try_write().is_err() => {} // it waits for us
            Err(_) => return Err(Reason::NotConnected.into()),
        }
    }
}
