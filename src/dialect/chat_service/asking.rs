//! A business server is asked, or told of something, by a hook. Only an answer that has the right
//! shape is one; all else is a failure of the hook, which is never consent.
use super::{
    chat::Chat,
    error::Error,
    hook::{Answer, Malformed},
};
use crate::throttle::throttled;

impl Chat {
    /// Calls a hook, and reads its answer by `read`.
    ///
    /// # Errors
    /// It has failed.
    pub async fn ask<T>(
        &self,
        hook: &str,
        body: String,
        read: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Result<T, Error> {
        match self.caller.call(hook, body).await {
            Some(answer) => read(&answer).map_err(|malformed| self.failed(hook, malformed)),
            None => Err(Error::hook_failed(hook)), // logged and counted by who has called it
        }
    }

    /// Asks by a hook whether something may be done.
    ///
    /// # Errors
    /// It may not be, or the hook has failed.
    pub async fn ask_consent(&self, hook: &str, body: String) -> Result<(), Error> {
        match self.ask(hook, body, |answer| Answer::read(answer)?.error()).await? {
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }

    /// Tells of something by a hook, and waits until that was heard, whatever is answered.
    pub async fn inform(&self, hook: &str, body: String) {
        let heard = self.ask(hook, body, |answer| Answer::read(answer).map(drop)).await;
        drop(heard); // a failure is told already, and changes nothing of what is done
    }

    /// What is answered where a hook gave an answer that is none.
    pub fn failed(&self, hook: &str, Malformed: Malformed) -> Error {
        self.hub.metrics.chat_service.hook_failed(hook);
        throttled!(warn, hook, "a hook of chat-service gave no valid answer");
        Error::hook_failed(hook)
    }
}
