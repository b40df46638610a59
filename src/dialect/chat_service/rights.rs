//! Who may do what in a room, and who loses it. Pure: what a decision rests on is given.
use super::{error::Error, names};

/// The lists of a room that can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum RoomList {
    Admins,
    White,
    Black,
}

/// The list of those who are in a room: it is read like the others, and never changed.
pub(super) const USERLIST: &str = "userlist";

impl RoomList {
    /// All of them.
    pub const ALL: [RoomList; 3] = [RoomList::Admins, RoomList::White, RoomList::Black];

    /// As clients call it.
    pub fn name(self) -> &'static str {
        match self {
            RoomList::Admins => "adminlist",
            RoomList::White => "whitelist",
            RoomList::Black => "blacklist",
        }
    }

    /// The list of this name.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<Self, Error> {
        let found = RoomList::ALL.into_iter().find(|list| list.name() == name);
        found.ok_or_else(|| Error::NoList(name.to_owned()))
    }
}

/// What a room is to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    pub owner: bool,
    pub admin: bool,
    pub white: bool,
    pub black: bool,
}

impl Standing {
    /// It owns the room, or is among its admins.
    pub fn is_over_others(self) -> bool {
        self.owner || self.admin
    }

    /// Whether the lists let it in.
    pub fn has_access(self, whitelist_only: bool) -> bool {
        self.is_over_others() || (!self.black && (!whitelist_only || self.white))
    }
}

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Actor {
    /// What the room is to it; of nobody all is false.
    pub standing: Standing,
    /// One of its sockets is in the room.
    pub joined: bool,
    /// The server API said that permissions do not count.
    pub bypass: bool,
}

impl Actor {
    /// Whether it may enter. No bypass helps.
    ///
    /// # Errors
    /// It may not.
    pub fn may_join(self, whitelist_only: bool) -> Result<(), Error> {
        if self.standing.has_access(whitelist_only) { Ok(()) } else { Err(Error::NotAllowed) }
    }

    /// Whether it may send: who is in the room may, and nobody else, not even its owner.
    ///
    /// # Errors
    /// It may not.
    pub fn may_send(self, room: &str) -> Result<(), Error> {
        if self.joined || self.bypass { Ok(()) } else { Err(Error::NotJoined(room.to_owned())) }
    }

    /// Whether it may read lists, settings, history, and who was there.
    ///
    /// # Errors
    /// It may not.
    pub fn may_read(self, room: &str) -> Result<(), Error> {
        if self.joined || self.bypass || self.standing.is_over_others() {
            Ok(())
        } else {
            Err(Error::NotJoined(room.to_owned()))
        }
    }

    /// Whether it may read the list of this name. Returns which list that is; `None` is the
    /// userlist.
    ///
    /// # Errors
    /// It may not, or there is no such list.
    pub fn may_read_list(self, room: &str, list: &str) -> Result<Option<RoomList>, Error> {
        self.may_read(room)?;
        if list == USERLIST { Ok(None) } else { RoomList::find(list).map(Some) }
    }

    /// Whether it may change the list of this name; `concerns_owner`: the owner is among the names
    /// that it adds or removes. Returns which list that is.
    ///
    /// # Errors
    /// It may not, or there is no such list.
    pub fn may_change(self, list: &str, concerns_owner: bool) -> Result<RoomList, Error> {
        let Standing { owner, admin, .. } = self.standing;
        let by_admin = admin && list != RoomList::Admins.name() && !concerns_owner;
        if list == USERLIST || !(owner || by_admin || self.bypass) {
            return Err(Error::NotAllowed);
        }
        RoomList::find(list)
    }

    /// Whether it may change the mode.
    ///
    /// # Errors
    /// It may not.
    pub fn may_change_mode(self) -> Result<(), Error> {
        if self.bypass || self.standing.is_over_others() { Ok(()) } else { Err(Error::NotAllowed) }
    }

    /// Whether it may delete the room; `enabled`: users may at all.
    ///
    /// # Errors
    /// It may not.
    pub fn may_delete(self, enabled: bool) -> Result<(), Error> {
        let may = self.bypass || (enabled && self.standing.owner);
        if may { Ok(()) } else { Err(Error::NotAllowed) }
    }
}

/// Whether a room of this name may be created; `enabled`: users may at all.
///
/// # Errors
/// It may not be, or the name is none. Whether there is one already is found out by making it.
pub(super) fn may_create(room: &str, enabled: bool, bypass: bool) -> Result<(), Error> {
    if !enabled && !bypass {
        return Err(Error::NotAllowed);
    }
    names::check(room)
}

/// Whether so many names can be added to a list that has so many: repeats, and what is there
/// already, count too.
///
/// # Errors
/// They can't.
pub(super) fn fits(list: &str, size: u64, given: usize, limit: u64) -> Result<(), Error> {
    if size.saturating_add(given as u64) > limit {
        return Err(Error::ListLimitExceeded(list.to_owned()));
    }
    Ok(())
}

/// Most bytes of a name on a list. A user's has 256 at most; but there are any texts on lists.
pub(super) const MAX_LISTED: usize = 1024;

/// Whether names can stand on a list at all.
///
/// # Errors
/// One of them is too long.
pub(super) fn are_listable<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<(), Error> {
    match names.into_iter().find(|name| name.len() > MAX_LISTED) {
        Some(name) => Err(Error::InvalidName(name.clone())),
        None => Ok(()),
    }
}

/// What may take access away from those who are in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Names were added to a list.
    Added(RoomList),
    /// Names were taken out of a list.
    Removed(RoomList),
    /// The mode was set.
    Mode(bool),
    /// The room is deleted.
    Deleted,
}

/// Of whom it has to be asked whether access is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Concerned {
    Nobody,
    /// The names that were given.
    Named,
    /// Everybody who is in the room.
    Everybody,
}

impl Cause {
    /// Of whom it has to be asked. `whitelist_only` is as it is now.
    pub fn concerns(self, whitelist_only: bool) -> Concerned {
        match self {
            Cause::Added(RoomList::Black) => Concerned::Named,
            Cause::Removed(RoomList::White) if whitelist_only => Concerned::Named,
            Cause::Mode(true) | Cause::Deleted => Concerned::Everybody,
            Cause::Added(RoomList::Admins | RoomList::White)
            | Cause::Removed(_)
            | Cause::Mode(false) => Concerned::Nobody,
        }
    }

    /// Whether a user who is concerned loses access. `standing` is what it is now. The owner and
    /// admins are spared, but where the room goes.
    pub fn takes_from(self, standing: Standing) -> bool {
        let spared = standing.is_over_others();
        match self {
            Cause::Deleted => true,
            Cause::Added(_) | Cause::Removed(_) => !spared,
            Cause::Mode(_) => !spared && !standing.white,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Standing = Standing { owner: false, admin: false, white: false, black: false };
    const OWNER: Standing = Standing { owner: true, ..NOBODY };
    const ADMIN: Standing = Standing { admin: true, ..NOBODY };
    const WHITE: Standing = Standing { white: true, ..NOBODY };
    const BLACK: Standing = Standing { black: true, ..NOBODY };
    const BOTH: Standing = Standing { white: true, ..BLACK };

    fn actor(standing: Standing) -> Actor {
        Actor { standing, ..Actor::default() }
    }

    #[test]
    fn who_gets_in() {
        for (standing, open, whitelist_only) in [
            (NOBODY, true, false),
            (WHITE, true, true),
            (BLACK, false, false),
            (BOTH, false, false),
            (OWNER, true, true),
            (ADMIN, true, true),
            (Standing { owner: true, ..BLACK }, true, true),
            (Standing { admin: true, ..BLACK }, true, true),
        ] {
            for bypass in [false, true] {
                let actor = Actor { bypass, ..actor(standing) };
                assert_eq!(actor.may_join(false).is_ok(), open, "{standing:?}");
                assert_eq!(actor.may_join(true).is_ok(), whitelist_only, "{standing:?}");
            }
        }
    }

    #[test]
    fn who_sends_and_who_reads() {
        let not_joined = Err(Error::NotJoined("r".into()));
        for (actor, sends, reads) in [
            (actor(NOBODY), false, false),
            (actor(OWNER), false, true),
            (actor(ADMIN), false, true),
            (actor(WHITE), false, false),
            (Actor { joined: true, ..actor(NOBODY) }, true, true),
            (Actor { joined: true, ..actor(BLACK) }, true, true),
            (Actor { bypass: true, ..actor(NOBODY) }, true, true),
        ] {
            let expected = |may| if may { Ok(()) } else { not_joined.clone() };
            assert_eq!(actor.may_send("r"), expected(sends), "{actor:?}");
            assert_eq!(actor.may_read("r"), expected(reads), "{actor:?}");
            // Who may not read learns nothing of what lists there are.
            let refused = match reads {
                true => Error::NoList("x".into()),
                false => Error::NotJoined("r".into()),
            };
            assert_eq!(actor.may_read_list("r", "x"), Err(refused));
            assert_eq!(actor.may_read_list("r", USERLIST).is_ok(), reads);
        }
        assert_eq!(actor(OWNER).may_read_list("r", "userlist"), Ok(None));
        assert_eq!(actor(OWNER).may_read_list("r", "blacklist"), Ok(Some(RoomList::Black)));
    }

    #[test]
    fn who_changes_lists() {
        let no_list = || Err(Error::NoList("nolist".into()));
        let not_allowed = || Err(Error::NotAllowed);
        let bypass = Actor { bypass: true, ..actor(NOBODY) };
        for (by, list, concerns_owner, expected) in [
            (actor(OWNER), "adminlist", false, Ok(RoomList::Admins)),
            (actor(OWNER), "blacklist", true, Ok(RoomList::Black)),
            (actor(OWNER), "whitelist", true, Ok(RoomList::White)),
            (actor(OWNER), "userlist", false, not_allowed()),
            (actor(OWNER), "nolist", false, no_list()),
            (actor(ADMIN), "adminlist", false, not_allowed()),
            (actor(ADMIN), "blacklist", false, Ok(RoomList::Black)),
            (actor(ADMIN), "whitelist", false, Ok(RoomList::White)),
            (actor(ADMIN), "blacklist", true, not_allowed()),
            (actor(ADMIN), "whitelist", true, not_allowed()),
            (actor(ADMIN), "userlist", false, not_allowed()),
            (actor(ADMIN), "nolist", false, no_list()),
            (actor(NOBODY), "blacklist", false, not_allowed()),
            (actor(NOBODY), "nolist", false, not_allowed()),
            (actor(WHITE), "whitelist", false, not_allowed()),
            (bypass, "adminlist", true, Ok(RoomList::Admins)),
            (bypass, "userlist", false, not_allowed()),
            (bypass, "nolist", false, no_list()),
        ] {
            assert_eq!(by.may_change(list, concerns_owner), expected, "{by:?} {list}");
        }
    }

    #[test]
    fn who_changes_the_mode_and_who_deletes() {
        let bypass = Actor { bypass: true, ..actor(NOBODY) };
        let joined = Actor { joined: true, ..actor(WHITE) };
        for (by, mode, delete, delete_disabled) in [
            (actor(OWNER), true, true, false),
            (actor(ADMIN), true, false, false),
            (joined, false, false, false),
            (bypass, true, true, true),
        ] {
            assert_eq!(by.may_change_mode().is_ok(), mode, "{by:?}");
            assert_eq!(by.may_delete(true).is_ok(), delete, "{by:?}");
            assert_eq!(by.may_delete(false).is_ok(), delete_disabled, "{by:?}");
        }
    }

    #[test]
    fn who_creates() {
        for (name, enabled, bypass, expected) in [
            ("r", true, false, Ok(())),
            ("r", false, true, Ok(())),
            ("r", false, false, Err(Error::NotAllowed)),
            ("a:b", true, false, Err(Error::InvalidName("a:b".into()))),
            ("a:b", false, false, Err(Error::NotAllowed)),
            ("", true, false, Err(Error::InvalidName("".into()))),
        ] {
            assert_eq!(may_create(name, enabled, bypass), expected, "{name}");
        }
    }

    #[test]
    fn a_list_has_a_limit_that_counts_what_is_given() {
        for (size, given, limit, good) in [
            (0, 0, 1, true),
            (0, 1, 1, true),
            (1, 0, 1, true),
            (1, 1, 1, false),
            (9_999, 1, 10_000, true),
            (9_999, 2, 10_000, false),
            (20, 0, 10, false),
        ] {
            let expected =
                if good { Ok(()) } else { Err(Error::ListLimitExceeded("blacklist".into())) };
            assert_eq!(fits("blacklist", size, given, limit), expected, "{size} {given}");
        }
    }

    #[test]
    fn who_loses_access() {
        use Concerned::{Everybody, Named, Nobody};
        for (cause, open, whitelist_only) in [
            (Cause::Added(RoomList::Black), Named, Named),
            (Cause::Added(RoomList::White), Nobody, Nobody),
            (Cause::Added(RoomList::Admins), Nobody, Nobody),
            (Cause::Removed(RoomList::Black), Nobody, Nobody),
            (Cause::Removed(RoomList::White), Nobody, Named),
            // A former admin who is blacklisted stays until he leaves.
            (Cause::Removed(RoomList::Admins), Nobody, Nobody),
            (Cause::Mode(true), Everybody, Everybody),
            (Cause::Mode(false), Nobody, Nobody),
            (Cause::Deleted, Everybody, Everybody),
        ] {
            assert_eq!(cause.concerns(false), open, "{cause:?}");
            assert_eq!(cause.concerns(true), whitelist_only, "{cause:?}");
        }
        for (cause, standing, goes) in [
            (Cause::Added(RoomList::Black), BLACK, true),
            (Cause::Added(RoomList::Black), BOTH, true),
            (Cause::Added(RoomList::Black), Standing { admin: true, ..BLACK }, false),
            (Cause::Added(RoomList::Black), Standing { owner: true, ..BLACK }, false),
            (Cause::Removed(RoomList::White), NOBODY, true),
            (Cause::Removed(RoomList::White), ADMIN, false),
            (Cause::Mode(true), NOBODY, true),
            (Cause::Mode(true), WHITE, false),
            // The original throws its owner out; that is not copied.
            (Cause::Mode(true), OWNER, false),
            (Cause::Mode(true), ADMIN, false),
            (Cause::Deleted, OWNER, true),
            (Cause::Deleted, ADMIN, true),
        ] {
            assert_eq!(cause.takes_from(standing), goes, "{cause:?} {standing:?}");
        }
    }
}
