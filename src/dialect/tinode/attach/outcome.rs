//! What became of a publication.
use super::flow::Ended;
use crate::{dialect::tinode::message::Code, domain::subscriber::Outcome, metrics, reason::Label};

/// Why a publication is not done, for metrics.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure {
    Unavailable,
    Unknown,
    /// Something else was published with its key.
    KeyUsed,
}

impl Label for Failure {
    fn label(self) -> &'static str {
        match self {
            Failure::Unavailable => "store unavailable",
            Failure::Unknown => "outcome unknown",
            Failure::KeyUsed => "not allowed",
        }
    }
}

impl Failure {
    /// What its sender is told.
    pub fn code(self) -> Code {
        match self {
            Failure::Unavailable | Failure::Unknown => Code::Unavailable,
            Failure::KeyUsed => Code::KeyUsed,
        }
    }

    /// What it is to those who count.
    pub fn outcome(self) -> metrics::Outcome {
        match self {
            Failure::Unavailable | Failure::Unknown => metrics::Outcome::Failed,
            Failure::KeyUsed => metrics::Outcome::Refused,
        }
    }
}

/// What became of a publication.
pub(super) fn became(outcome: &Outcome) -> Result<Ended, Failure> {
    let stored = |index: Option<u64>, again| match index {
        Some(index) => Ok(Ended::Stored { seq: index + 1, again }),
        None => Err(Failure::Unknown), // an insert always has one
    };
    match outcome {
        Outcome::Done(position) => stored(position.index, false),
        Outcome::Replayed { position, .. } => stored(position.index, true),
        Outcome::Reused => Err(Failure::KeyUsed),
        Outcome::Unavailable => Err(Failure::Unavailable),
        Outcome::Unknown => Err(Failure::Unknown),
        // It has no key of the room's, and is no update.
        Outcome::Duplicate | Outcome::Full => Err(Failure::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{domain::broker::Position, metrics::words::MESSAGE_REFUSALS};

    #[test]
    fn seq_is_the_index_and_one() {
        let position = |index| Position { n: 7, index, at_ms: 0, epoch: None };
        let code = |outcome| became(&outcome).map_err(Failure::code);
        for (outcome, expected) in [
            (Outcome::Done(position(Some(0))), Ok(Ended::Stored { seq: 1, again: false })),
            (Outcome::Done(position(None)), Err(Code::Unavailable)),
            (
                Outcome::Replayed { position: position(Some(4)), note: Bytes::new() },
                Ok(Ended::Stored { seq: 5, again: true }),
            ),
            (Outcome::Reused, Err(Code::KeyUsed)),
            (Outcome::Unavailable, Err(Code::Unavailable)),
            (Outcome::Unknown, Err(Code::Unavailable)),
            (Outcome::Full, Err(Code::Unavailable)),
            (Outcome::Duplicate, Err(Code::Unavailable)),
        ] {
            assert_eq!(code(outcome.clone()), expected, "{outcome:?}");
        }
    }

    #[test]
    fn metrics_know_why_a_message_is_not_accepted() {
        for failure in [Failure::Unavailable, Failure::Unknown, Failure::KeyUsed] {
            assert!(MESSAGE_REFUSALS.contains(&failure.label()), "{failure:?}");
        }
    }
}
