//! Calls of a business server that a dialect makes by itself, with bodies and answers of its own.
//!
//! A dialect says which hook it calls and with what, and reads what comes back. Where that goes,
//! how it is signed, and how long it may take is the business of whoever implements [`Calls`].
use async_trait::async_trait;

/// Who is called. Every call returns after a bounded time.
///
/// ```
/// # use always_online::domain::calls::Calls;
/// /// Allows everything that it is asked.
/// struct Friendly;
///
/// #[async_trait::async_trait]
/// impl Calls for Friendly {
///     fn calls(&self, _hook: &str) -> bool {
///         true
///     }
///     async fn call(&self, _hook: &str, _body: String) -> Option<String> {
///         Some("{}".to_owned())
///     }
/// }
/// ```
#[async_trait]
pub trait Calls: Send + Sync {
    /// Whether this hook is to be called. Costs nearly nothing.
    fn calls(&self, hook: &str) -> bool;

    /// Sends the body of this hook, JSON, once. Returns the body of the answer, which is empty
    /// where the business server has nothing to say. `None`: there is no answer, which has been
    /// logged and counted, and is never consent. Of a hook that is not to be called nobody hears,
    /// and there is no answer either.
    async fn call(&self, hook: &str, body: String) -> Option<String>;
}

/// Calls nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCalls;

#[async_trait]
impl Calls for NoCalls {
    fn calls(&self, _hook: &str) -> bool {
        false
    }

    async fn call(&self, _hook: &str, _body: String) -> Option<String> {
        None
    }
}
