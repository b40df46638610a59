//! What the dialect chat-service counts: hooks that fail, and what is not as it should be.
use super::{
    family::{Family, each},
    text::group,
    value::Counter,
    words::ChatEvent,
};

group! {
    /// Counters of the dialect chat-service.
    "chat-service" ChatService {
        hook_failures: Family<Counter, 1> = Family::open(
            ["hook"], Counter::default, "a hook of chat-service that is configured"
        ),
            "always_online_chat_service_hook_failures",
            "Calls of hooks without a valid answer, by hook.";
        events: Family<Counter, 1> = Family::new(
            ["event"], Counter::default, each(ChatEvent::WORDS)
        ),
            "always_online_chat_service_events",
            "Times that rooms, users or sockets were not as they should be, by what was wrong.";
    }
}

impl ChatService {
    /// This hook is configured: it is on the page from now on.
    pub fn hook_is_called(&self, hook: &str) {
        self.hook_failures.with([hook], |_| ());
    }

    /// A call of this hook, which is a configured one, has no valid answer.
    pub fn hook_failed(&self, hook: &str) {
        self.hook_failures.with([hook], Counter::inc);
    }

    /// Something is not as it should be.
    pub fn happened(&self, event: ChatEvent) {
        self.events.at(event as usize).inc();
    }
}
