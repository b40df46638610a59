//! What one household may do so often, each ([`rates`](crate::domain::rates)).

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Act {
    Register,
    LogIn,
    Search,
    AddContact,
}
