//! Which servers a process runs.

use super::Site;

/// Which servers this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    All,
    /// What clients connect to (socket.io, gotapi-ws, react-wechat), and /admin.
    Websocket,
    /// The token API.
    Api,
    /// The demo pages.
    Test,
}

impl Role {
    /// Whether what is on this listener is served. Metrics always are.
    pub fn serves(self, site: Site) -> bool {
        match site {
            Site::Websocket | Site::Admin | Site::Gotapi | Site::Wechat => {
                matches!(self, Role::All | Role::Websocket)
            }
            Site::Api => matches!(self, Role::All | Role::Api),
            Site::Demo => matches!(self, Role::All | Role::Test),
            Site::Metrics => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_name_their_servers() {
        let servers = |role: Role| Site::ALL.map(|site| role.serves(site));
        assert_eq!(servers(Role::All), [true; 7]);
        assert_eq!(servers(Role::Websocket), [true, true, false, true, false, true, true]);
        assert_eq!(servers(Role::Api), [false, false, true, true, false, false, false]);
        assert_eq!(servers(Role::Test), [false, false, false, true, true, false, false]);
    }
}
