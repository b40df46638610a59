//! Of a program that traces nothing.
use std::future::Future;

use http::HeaderMap;

use super::Kind;

/// Nothing.
#[derive(Debug, Default)]
pub struct Span(());

impl Span {
    /// Nothing begins.
    pub fn begin(_: &'static str, _: Kind) -> Self {
        Span(())
    }

    /// Nothing is a part of nothing.
    pub fn part(_: &'static str, _: Kind) -> Self {
        Span(())
    }

    /// A request is answered, and nobody asks how.
    pub fn request(_: &'static str, _: &HeaderMap) -> Self {
        Span(())
    }

    /// The work as it is.
    pub fn within<F: Future>(&self, work: F) -> F {
        work
    }

    /// Does the work.
    pub fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }

    /// Notes nothing.
    pub fn set<V>(&self, _: &'static str, _: V) {}

    /// Notes nothing.
    pub fn failed(&self, _: &'static str) {}

    /// Tells nobody.
    pub fn inject(&self, _: &mut HeaderMap) {}
}

/// The work as it is.
pub fn carried<F: Future>(work: F) -> F {
    work
}

/// Nothing of what a room is about to store.
#[derive(Debug, Default)]
pub struct Batch(());

impl Batch {
    /// Nothing is on its way.
    pub fn begin<'a>(&self, _: &'static str, _: impl Iterator<Item = &'a Span>) -> Span {
        Span(())
    }

    /// Nothing is a part of it.
    pub fn parts(&self, _: &'static str) -> Span {
        Span(())
    }
}
