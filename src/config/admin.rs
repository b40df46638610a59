//! The section `[admin]`.

use std::net::SocketAddr;

use super::address::OPTIONAL_ADDRESS;
use super::kind::SWITCH;
use super::setting::section;

section! {
    /// The routes /admin/*.
    Admin("admin") {
        /// Address and port for /admin. Empty: with socket.io, on websocket.listen.
        listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_ADMIN__LISTEN";
        /// Whether POST /admin/system/config may turn user authentication off.
        auth_switch: bool = "true", SWITCH, "AO_ADMIN__AUTH_SWITCH";
    }
}
