//! Which servers a process runs.

use super::Site;

/// Which servers this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    All,
    /// What clients connect to (socket.io, gotapi-ws, react-wechat, Tinode), and /admin.
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
            Site::Websocket
            | Site::Admin
            | Site::Gotapi
            | Site::Wechat
            | Site::Tinode
            | Site::TinodeGrpc => matches!(self, Role::All | Role::Websocket),
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
        assert!(Site::ALL.into_iter().all(|site| Role::All.serves(site)));
        let names = |role: Role| {
            let served = Site::ALL.into_iter().filter(|site| role.serves(*site));
            served.map(Site::label).collect::<Vec<_>>()
        };
        assert_eq!(
            names(Role::Websocket),
            ["websocket", "admin", "metrics", "gotapi", "wechat", "tinode", "tinode_grpc"]
        );
        assert_eq!(names(Role::Api), ["api", "metrics"]);
        assert_eq!(names(Role::Test), ["metrics", "demo"]);
    }
}
