//! The section `[rooms]`.

use crate::config::kind::words;
use crate::config::setting::section;

words! {
    /// Who may join, send and read.
    RoomAccess as ACCESS {
        /// Everybody may do everything, but for what a JSON Web Token's own caps leave out.
        Open = "open",
        /// What a JSON Web Token says. A session without one may do nothing in any room.
        Claims = "claims",
        /// As open, and the business server is asked.
        Hook = "hook",
    }
}

section! {
    /// Who may do what in rooms.
    Rooms("rooms") {
        /// Who may join, send and read. open: everybody, as in the original. claims: whom a JSON Web Token lets. hook: as open, and the server starts only where the business server is asked about every join.
        access: RoomAccess = "open", ACCESS, "AO_ROOMS__ACCESS";
    }
}
