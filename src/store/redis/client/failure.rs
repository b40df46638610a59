//! Why a call of Redis has no result, and what that says of what it was to change.
use redis::{ErrorKind, RedisError};

use crate::domain::{broker::Placed, error::StoreError, ids::ConnectionId};

/// What Redis says where a script does what its user may not do.
const RIGHTS: [&str; 2] = ["executing the script can't", "No permissions to access"];

/// Why a call has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub(in crate::store::redis) enum Failure {
    /// Nothing was sent.
    #[error("{0}")]
    Unsent(String),
    /// Redis did not do it.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// Redis did not do it: the time that the caller gave was over.
    #[error("Redis was asked too late")]
    Expired,
    /// Redis did not do it: this node's lease is lost.
    #[error("this node was taken for dead by the others")]
    Lost,
    /// Redis did not do it: these connections were kicked out, and had a part in it.
    #[error("a session was taken over meanwhile")]
    Evicted(Vec<ConnectionId>),
    /// Redis did not do it: what is at these places of the batch is to be left out, for this reason.
    #[error("the room has no place for some of the updates, or knows the keys of some inserts")]
    LeaveOut(Vec<(usize, Placed)>),
    /// Redis did not do it: the room's log has to be forgotten first, as its time is over.
    #[error("the time of the room's log is over")]
    Due,
    /// Redis did not answer.
    #[error("{0}")]
    Unanswered(String),
    /// Redis did not answer a question, by which nothing is changed.
    #[error("{0}")]
    Unread(String),
}

impl Failure {
    /// The failure of a question: sent or not, it has changed nothing.
    pub(in crate::store::redis) fn of_reading(self) -> Self {
        match self {
            Failure::Unanswered(why) => Failure::Unread(why),
            other => other,
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unsent(_)
            | Failure::Refused(_)
            | Failure::Expired
            | Failure::Lost
            | Failure::Evicted(_)
            | Failure::LeaveOut(_)
            | Failure::Due
            | Failure::Unread(_) => StoreError::Unavailable(failure.to_string()),
            Failure::Unanswered(why) => StoreError::OutcomeUnknown(why),
        }
    }
}

pub(super) fn failure(error: &RedisError) -> Failure {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    let text = || if code.is_empty() { error.to_string() } else { format!("{code} {detail}") };
    match error.kind() {
        _ if code == "AOEXPIRED" => Failure::Expired,
        _ if code == "AOLOST" => Failure::Lost,
        _ if code == "AODUE" => Failure::Due,
        _ if code == "AOEVICTED" => Failure::Evicted(
            detail.split(' ').filter_map(|c| c.parse().ok().map(ConnectionId)).collect(),
        ),
        _ if code == "AOREFUSED" => {
            Failure::LeaveOut(detail.split(' ').filter_map(left_out).collect())
        }
        _ if RIGHTS.iter().any(|words| detail.contains(words)) => Failure::Refused(format!(
            "its user lacks a right that is needed, see the README ({})",
            text()
        )),
        ErrorKind::Server(_) | ErrorKind::Extension => Failure::Refused(text()),
        _ => Failure::Unanswered(error.to_string()),
    }
}

/// A place in a batch, and why nothing is to be there: a letter, and the place as Lua counts, from
/// one.
fn left_out(word: &str) -> Option<(usize, Placed)> {
    let (why, place) = word.split_at_checked(1)?;
    let why = match why {
        "f" => Placed::Full,
        "d" => Placed::Duplicate,
        _ => return None,
    };
    Some((place.parse::<usize>().ok()?.checked_sub(1)?, why))
}

/// Whether what Redis refuses now may be done later.
pub(in crate::store::redis) fn passes(why: &str) -> bool {
    ["BUSY", "LOADING", "MISCONF", "OOM", "READONLY", "MASTERDOWN", "NOREPLICAS"]
        .iter()
        .any(|word| why.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_an_answer_has_changed_nothing() {
        let unanswered = Failure::Unanswered("late".into());
        assert_eq!(StoreError::from(unanswered.clone()), StoreError::OutcomeUnknown("late".into()));
        let read = StoreError::from(unanswered.of_reading());
        assert_eq!(read, StoreError::Unavailable("late".into()));
        let refused = Failure::Refused("LOADING".into()).of_reading();
        assert!(matches!(StoreError::from(refused), StoreError::Unavailable(_)));
    }
}
