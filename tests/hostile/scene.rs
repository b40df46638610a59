//! The scene of most tests here: a server, two bystanders in a room, and one client after the other
//! who does something wrong. Whatever that is, the bystanders hear of it what they should and
//! nothing else, they can still talk, and no task of the server has panicked.
use support::{
    http::{self, Answer},
    server::{Server, Setup},
    wire::{
        POLLING_3, POLLING_4, Way,
        bystanders::{Bystanders, about},
        patient,
        peer::Peer,
        raw, unharmed,
    },
};

/// The bystanders' room, unless a test needs another name.
pub const ROOM: &str = "hall";

/// Clients that may change to a WebSocket.
pub const POLLING: [Way; 2] = [POLLING_4, POLLING_3];

/// The headers of a handshake that is to be answered.
pub const ASKING: &str = "upgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A request of a WebSocket, with these headers.
pub fn asking(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n").into_bytes()
}

/// Drops that a server has counted for this reason.
pub async fn dropped(server: &Server, reason: &str) -> u64 {
    let page = http::get(server.api(), "/metrics").await.body;
    let line = format!("always_online_drops_total{{reason=\"{reason}\"}} ");
    page.lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

pub struct Scene {
    pub server: Server,
    pub bystanders: Bystanders,
    room: &'static str,
}

/// Plays the story once for each of these ways that a client may come, before a patient server.
/// After each of them the bystanders are well, and in the end the server is unharmed.
pub async fn each_way(ways: &[Way], story: impl AsyncFn(&mut Scene, Way)) {
    Scene::begin(patient()).await.play(ways, story).await;
}

impl Scene {
    /// A server of this setup, with bystanders in [`ROOM`].
    pub async fn begin(setup: Setup) -> Scene {
        Scene::begin_in(ROOM, setup).await
    }

    /// As above, in another room.
    pub async fn begin_in(room: &'static str, setup: Setup) -> Scene {
        let server = setup.start().await;
        let bystanders = Bystanders::join(&server, room).await;
        Scene { server, bystanders, room }
    }

    /// As [`each_way`], and ends the scene.
    pub async fn play(mut self, ways: &[Way], story: impl AsyncFn(&mut Scene, Way)) {
        for way in ways {
            story(&mut self, *way).await;
            self.bystanders.are_well().await;
        }
        self.end().await;
    }

    /// Sends bytes as they are; the server answers, and closes.
    pub async fn exchange(&self, bytes: &[u8]) -> Answer {
        raw::exchange(self.server.websocket(), bytes).await.expect("an answer")
    }

    /// The bystanders are well, and the server is unharmed.
    pub async fn end(mut self) {
        self.bystanders.are_well().await;
        unharmed(&self.server).await;
    }

    /// A client that has signed in and joined the bystanders' room. All three have heard of each
    /// other, and nothing is left unread.
    pub async fn member(&mut self, way: Way) -> Peer {
        let mut peer = Peer::sign_in(&self.server, way).await;
        peer.join(self.room).await;
        self.bystanders.welcome(&mut peer).await;
        peer
    }

    /// The next that this member gets is its end, without a word; and the next that the bystanders
    /// hear is that it is gone.
    #[track_caller]
    pub fn loses<'a>(
        &'a mut self,
        peer: &'a mut Peer,
        why: &'a str,
    ) -> impl Future<Output = ()> + 'a {
        let goodbye = about("remote_disconnect", peer);
        let dropped = peer.is_dropped(why);
        async move {
            dropped.await;
            self.bystanders.hear(&[goodbye]).await;
        }
    }

    /// This member is as well as the bystanders: all three talk. Then it goes, by sending this
    /// packet, and the bystanders hear that.
    pub async fn takes_leave(&mut self, mut peer: Peer, goodbye: &str) {
        self.bystanders.talk(&mut peer).await;
        peer.send(goodbye).await;
        self.bystanders.miss(&peer).await;
    }
}
