//! Why something is refused, as it is answered.
use super::{
    message::{Code, Params},
    request::Malformed,
};
use crate::{
    domain::{clock::NoRandomness, error::StoreError, ids::BadName},
    throttle::throttled,
};

/// A refusal: the client is told its code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    pub code: Code,
    pub params: Params,
}

/// What may be refused.
pub(super) type Done<T> = Result<T, Refusal>;

impl Refusal {
    /// That says no more than its code.
    pub fn new(code: Code) -> Self {
        Refusal { code, params: Params::default() }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Refusal::new(code)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        throttled!(warn, %error, "a request failed");
        Refusal::new(Code::Unavailable)
    }
}

impl From<NoRandomness> for Refusal {
    fn from(error: NoRandomness) -> Self {
        throttled!(error, %error, "a request failed");
        Refusal::new(Code::Internal)
    }
}

impl From<BadName> for Refusal {
    /// The names of rooms and users are ours, so this is a mistake of ours.
    fn from(error: BadName) -> Self {
        throttled!(error, %error, "a request failed");
        Refusal::new(Code::Internal)
    }
}

impl From<Malformed> for Refusal {
    fn from(Malformed: Malformed) -> Self {
        Refusal::new(Code::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_goes_wrong_has_a_code() {
        for (refusal, number, text) in [
            (Refusal::from(Code::MustAttach), 409, "must attach first"),
            (StoreError::Unavailable("x".into()).into(), 503, "service unavailable"),
            (StoreError::OutcomeUnknown("x".into()).into(), 503, "service unavailable"),
            (NoRandomness("x".into()).into(), 500, "internal error"),
            (BadName::Empty.into(), 500, "internal error"),
            (Malformed.into(), 400, "malformed"),
        ] {
            assert_eq!((refusal.code.number(), refusal.code.text()), (number, text));
            assert!(refusal.params.is_empty());
        }
    }
}
