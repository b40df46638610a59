//! The section `[admin]`.

use std::net::SocketAddr;

use crate::config::address::OPTIONAL_ADDRESS;
use crate::config::kind::SWITCH;
use crate::config::setting::section;

section! {
    /// The routes /admin/*.
    Admin("admin") {
        /// Address and port for /admin. Empty: with socket.io, on websocket.listen.
        listen: Option<SocketAddr> = "", OPTIONAL_ADDRESS, "AO_ADMIN__LISTEN";
        /// Whether POST /admin/system/config may turn user authentication off.
        auth_switch: bool = "true", SWITCH, "AO_ADMIN__AUTH_SWITCH";
        /// Whether there is a console for operators, /console/, on api.listen and on admin.listen if that is set.
        console: bool = "true", SWITCH, "AO_ADMIN__CONSOLE";
    }
}
