//! What a client's command is answered, however large that is. A client that reads is never closed
//! for what it asked for.
use crate::{
    dialect::chat_service::{
        chat::{Answer, Held},
        error::Error,
        wire,
    },
    domain::history::Patience,
    reason::Reason,
};

use super::Session;

/// Bytes of an answer from which on it is waited for that the client takes it.
const LARGE: usize = 64 << 10;

impl Session {
    /// Acknowledges a command. Returns when the client has nearly all of the answer, or is gone;
    /// until then its next command waits.
    pub(super) async fn answer(&self, ack: i64, outcome: Result<Vec<Answer>, Error>) {
        let answers = outcome.as_deref().unwrap_or_default();
        let Held(share) =
            answers.iter().map(|a| a.held.clone()).find(|h| h.0.is_some()).unwrap_or_default();
        let frames = {
            let (arguments, files) = wire::answer(outcome, self.chat.options.raw_errors);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            self.socket.ack_frames(ack, &arguments, &files)
        };
        if frames.len() < LARGE {
            return self.socket.send(frames);
        }
        let patience = share.as_ref().map(|share| share.patience(frames.len()));
        tokio::select! {
            _ = self.while_there(self.socket.send_large(frames)) => {}
            // Others wait for their answers.
            () = late(patience) => {
                self.socket.drop(Reason::Slow);
            }
        }
        drop(share); // it was held for as long as the bytes were there
    }
}

async fn late(patience: Option<Patience>) {
    match patience {
        Some(mut patience) => patience.over().await,
        None => std::future::pending().await,
    }
}
