//! A session on a WebSocket, and its small task, which reads.
//!
//! Most sessions are silent most of the time: what is done for a request takes memory only as long
//! as that lasts.
use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use tokio::task::coop::consume_budget;

use super::{Tinode, dispatch, outlet::Outlet, session::Session};
use crate::{
    net::{Message, Over, Stream, WebSocket},
    reason::Reason,
};

/// Serves a WebSocket until it is gone. A handshake that is not accepted yet is accepted now.
pub(super) async fn serve(node: Arc<Tinode>, address: IpAddr, stream: Stream) {
    let mut websocket = WebSocket::new(stream, node.options.limits.message);
    let connection = websocket.connection().clone();
    let session = Session::begin(&node, Outlet::WebSocket(connection.clone()), address);
    node.heart.watch(&session);
    drop(node);
    let served = AssertUnwindSafe(read(&session, &mut websocket)).catch_unwind().await;
    match served.unwrap_or(Over::Because(Reason::Failure)) {
        // A connection that is gone, or that we have closed, ends with its stream.
        Over::Gone => {}
        Over::Closed(code) => connection.answer_close(code),
        Over::Because(why) => session.close(why),
    }
    drop(websocket);
    Box::pin(session.end()).await;
}

/// Reads until the end.
async fn read(session: &Arc<Session>, websocket: &mut WebSocket) -> Over {
    loop {
        let message = match websocket.next().await {
            Ok(message) => message,
            Err(end) => return end.into(),
        };
        // Binary frames are read like text (S:8).
        let body: &[u8] = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        };
        if let Some(later) = dispatch::begin(session, body) {
            let _working = session.node.heart.work(session.id);
            later.await;
        }
        consume_budget().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Broken, End, close::code};

    #[test]
    fn what_breaks_the_protocol_ends_with_a_code() {
        for (end, expected) in [
            (End::Broken(Broken::TooLarge), Some(1009)),
            (End::Broken(Broken::Text), Some(1007)),
            (End::Broken(Broken::Frame), Some(1002)),
        ] {
            let Over::Because(why) = Over::from(end) else { panic!("{end:?}") };
            assert_eq!(code(why), expected, "{end:?}");
        }
        for (why, expected) in [
            (Reason::Drain, Some(1001)),
            (Reason::PingTimeout, Some(1008)),
            (Reason::MissedMessages, Some(1013)),
            (Reason::Failure, Some(1011)),
            (Reason::Slow, None),
        ] {
            assert_eq!(code(why), expected, "{why:?}");
        }
    }
}
