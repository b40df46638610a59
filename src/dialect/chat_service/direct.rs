//! Direct messages: who may send one to whom, and the lists by which a user decides that.
use super::error::Error;

/// The lists of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UserList {
    White,
    Black,
}

impl UserList {
    /// As clients call it.
    pub fn name(self) -> &'static str {
        match self {
            UserList::White => "whitelist",
            UserList::Black => "blacklist",
        }
    }

    /// The list of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<Self, Error> {
        let found = [UserList::White, UserList::Black].into_iter().find(|list| list.name() == name);
        found.ok_or_else(|| Error::NoList(name.to_owned()))
    }

    /// The list of this name, which `user` changes by these names. Nobody is on a list of his own.
    ///
    /// # Errors
    /// There is no such list, or the user is among the names.
    pub fn to_change(name: &str, user: &str, names: &[String]) -> Result<Self, Error> {
        let list = UserList::find(name)?;
        if names.iter().any(|name| name == user) {
            return Err(Error::NotAllowed);
        }
        Ok(list)
    }
}

/// What a recipient is to a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Recipient {
    /// It is the sender.
    pub is_sender: bool,
    /// The sender is on its whitelist.
    pub white: bool,
    /// The sender is on its blacklist.
    pub black: bool,
    /// It hears only those who are on its whitelist.
    pub whitelist_only: bool,
}

impl Recipient {
    /// Whether its lists let the sender through. The blacklist beats the whitelist.
    pub fn hears(self) -> bool {
        !self.black && (!self.whitelist_only || self.white)
    }

    /// Whether a message may be sent to it, were it online; that is looked at behind this.
    ///
    /// # Errors
    /// It may not.
    pub fn may_be_told(self, bypass: bool) -> Result<(), Error> {
        if self.is_sender || !(bypass || self.hears()) {
            return Err(Error::NotAllowed);
        }
        Ok(())
    }
}

/// Whether there are direct messages at all: asked before anything else, and no bypass helps.
///
/// # Errors
/// There are none.
pub(super) fn are_enabled(enabled: bool) -> Result<(), Error> {
    if enabled { Ok(()) } else { Err(Error::NotAllowed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_heard() {
        let refused = || Err(Error::NotAllowed);
        for (is_sender, white, black, whitelist_only, plain, bypass) in [
            (false, false, false, false, Ok(()), Ok(())),
            (false, false, true, false, refused(), Ok(())),
            (false, false, false, true, refused(), Ok(())),
            (false, true, false, true, Ok(()), Ok(())),
            (false, true, true, true, refused(), Ok(())),
            (false, true, true, false, refused(), Ok(())),
            (true, false, false, false, refused(), refused()),
            (true, true, false, true, refused(), refused()),
        ] {
            let recipient = Recipient { is_sender, white, black, whitelist_only };
            assert_eq!(recipient.may_be_told(false), plain, "{recipient:?}");
            assert_eq!(recipient.may_be_told(true), bypass, "{recipient:?}");
        }
        assert_eq!((are_enabled(false), are_enabled(true)), (refused(), Ok(())));
    }

    #[test]
    fn nobody_is_on_a_list_of_his_own() {
        let no_list = |name: &str| Err(Error::NoList(name.to_owned()));
        for (name, names, expected) in [
            ("whitelist", &["ann"][..], Ok(UserList::White)),
            ("blacklist", &["ann", "ann", ""][..], Ok(UserList::Black)),
            ("blacklist", &[][..], Ok(UserList::Black)),
            ("whitelist", &["bob"][..], Err(Error::NotAllowed)),
            ("blacklist", &["ann", "bob"][..], Err(Error::NotAllowed)),
            ("friends", &["x"][..], no_list("friends")),
            ("friends", &["bob"][..], no_list("friends")),
            ("adminlist", &[][..], no_list("adminlist")),
        ] {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(UserList::to_change(name, "bob", &names), expected, "{name} {names:?}");
        }
    }
}
