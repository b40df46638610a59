//! Which servers a process runs.

use super::Site;

/// Which servers this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    All,
    /// What clients connect to (socket.io, gotapi-ws), and /admin.
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
            Site::Websocket | Site::Admin | Site::Gotapi => {
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
        let servers = |role: Role| {
            [Site::Websocket, Site::Admin, Site::Api, Site::Metrics, Site::Demo, Site::Gotapi]
                .map(|site| role.serves(site))
        };
        assert_eq!(servers(Role::All), [true; 6]);
        assert_eq!(servers(Role::Websocket), [true, true, false, true, false, true]);
        assert_eq!(servers(Role::Api), [false, false, true, true, false, false]);
        assert_eq!(servers(Role::Test), [false, false, false, true, true, false]);
    }
}
