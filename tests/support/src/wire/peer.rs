//! A client that shows every packet as the text it came as, whichever way it came.
use std::collections::VecDeque;

use super::{Transport, Version, Way, polling::Polling, socket::Socket};
use crate::server::Server;

pub enum Wire {
    Socket(Box<Socket>),
    Polling(Polling),
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// What came before, without the DISCONNECT.
    pub packets: Vec<String>,
    /// Whether a DISCONNECT was the last packet: the client stays away. Else it comes back by
    /// itself.
    pub refused: bool,
}

pub struct Peer {
    pub way: Way,
    pub wire: Wire,
    pub uid: String,
    packets: VecDeque<String>,
    acks: u64,
}

impl Peer {
    /// An engine session that is in no namespace yet, as far as the client does something for that.
    pub async fn open(server: &Server, way: Way) -> Peer {
        let wire = match way.transport {
            Transport::Websocket => {
                let mut socket = Socket::open(server.websocket(), way.version).await;
                let open = socket.receive().await.expect("an open packet");
                assert!(open.starts_with("0{"), "{open}");
                Wire::Socket(Box::new(socket))
            }
            Transport::Polling => {
                Wire::Polling(Polling::open(server.websocket(), way.version).await)
            }
        };
        Peer::of(way, wire)
    }

    /// Goes on with an engine session that is open already.
    pub fn of(way: Way, wire: Wire) -> Peer {
        Peer { way, wire, uid: String::new(), packets: VecDeque::new(), acks: 0 }
    }

    /// A client that is connected, and nobody yet.
    pub async fn connect(server: &Server, way: Way) -> Peer {
        let mut peer = Peer::open(server, way).await;
        if way.version == Version::Four {
            peer.send("40").await;
        }
        let connected = peer.next().await.expect("a connect packet");
        assert!(connected.starts_with("40"), "{connected}");
        peer
    }

    /// A client that has signed in as a user of its own.
    pub async fn sign_in(server: &Server, way: Way) -> Peer {
        let mut peer = Peer::connect(server, way).await;
        peer.authenticate(server).await;
        peer
    }

    /// Becomes a WebSocket, as it should be done.
    pub async fn upgraded(mut self) -> Peer {
        let mut socket = self.polling().probed().await;
        socket.send("5").await;
        self.wire = Wire::Socket(Box::new(socket));
        self
    }

    pub async fn authenticate(&mut self, server: &Server) {
        self.uid = super::stranger();
        let token = server.token(&self.uid).await;
        self.send(format!(r#"42["authenticate",{{"uid":"{}","token":"{token}"}}]"#, self.uid))
            .await;
        self.expect(r#"42["authenticate",{"status":0,"data":"auth success"}]"#).await;
    }

    pub async fn join(&mut self, room: &str) {
        self.send(format!(r#"42["join",{{"roomId":"{room}"}}]"#)).await;
        self.expect(r#"42["join",{"status":0,"data":"join success"}]"#).await;
    }

    /// Sends one engine.io packet, such as `42["msg",{}]`.
    pub async fn send(&mut self, packet: impl Into<String>) {
        self.send_all(&[packet.into()]).await;
    }

    /// Sends packets in one go. On an ended connection they are lost: that it ended is what its
    /// reader learns.
    pub async fn send_all(&mut self, packets: &[String]) {
        match &mut self.wire {
            Wire::Socket(socket) => socket.send_all(packets).await,
            Wire::Polling(polling) => {
                polling.send(packets).await;
            }
        }
    }

    /// Sends an event, `["msg",{}]`, that asks for an acknowledgement; its number.
    pub async fn ask(&mut self, event: &str) -> u64 {
        self.acks += 1;
        self.send(format!("42{}{event}", self.acks)).await;
        self.acks
    }

    /// Sends an event that is answered by nothing but the acknowledgement with this payload.
    pub async fn acked(&mut self, event: &str, payload: &str) {
        let id = self.ask(event).await;
        self.expect(&format!("43{id}[{payload}]")).await;
    }

    /// Sends an event that is answered by one of the same name and by the acknowledgement, both
    /// with this payload.
    pub async fn answered(&mut self, name: &str, argument: &str, payload: &str) {
        let id = self.ask(&event(name, argument)).await;
        self.expect(&format!(r#"42["{name}",{payload}]"#)).await;
        self.expect(&format!("43{id}[{payload}]")).await;
    }

    /// The next packet but pings and noops; nothing once the connection has ended.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let packet = match self.packets.pop_front() {
                Some(packet) => packet,
                None => match &mut self.wire {
                    Wire::Socket(socket) => socket.receive().await?,
                    Wire::Polling(polling) => {
                        self.packets.extend(polling.receive().await?);
                        continue;
                    }
                },
            };
            match packet.as_str() {
                "2" => self.send("3").await,
                "3" | "6" => {}
                "1" => return None,
                _ => return Some(packet),
            }
        }
    }

    /// The next packet has to be this one.
    #[track_caller]
    pub fn expect<'a>(&'a mut self, wanted: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let packet = self.next().await;
            let short = |text: &str| text.chars().take(300).collect::<String>();
            if packet.as_deref() != Some(wanted) {
                panic!(
                    "{caller}: {:?}: expected {:?}, got {:?}",
                    self.way,
                    short(wanted),
                    packet.as_deref().map(short)
                );
            }
        }
    }

    /// Everything up to the end.
    pub async fn end(&mut self) -> End {
        let mut packets = Vec::new();
        while let Some(packet) = self.next().await {
            packets.push(packet);
        }
        let refused = packets.last().is_some_and(|p| p == "41");
        if refused {
            packets.pop();
        }
        End { packets, refused }
    }

    /// The connection ends without a word.
    #[track_caller]
    pub fn is_dropped<'a>(&'a mut self, why: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let end = self.end().await;
            assert_eq!(
                end,
                End { packets: Vec::new(), refused: false },
                "{caller}: {:?}: {}",
                self.way,
                why.chars().take(300).collect::<String>()
            );
        }
    }

    /// Signed in and connected: the server answers, and nothing it said before is left unread.
    /// Others are not told.
    pub async fn is_well(&mut self) {
        let id = self.ask(r#"["sync",{"offset":1e15}]"#).await;
        for start in [r#"42["sync",{"data":"#.to_owned(), format!(r#"43{id}[{{"data":"#)] {
            let packet = self.next().await;
            assert!(
                packet.as_ref().is_some_and(|p| p.starts_with(&start)),
                "{:?}: expected {start}, got {packet:?}",
                self.way
            );
        }
    }

    /// A binary attachment, as the way wants it.
    pub async fn attach(&mut self, bytes: &[u8]) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let in_text = STANDARD.encode(bytes);
        match (&mut self.wire, self.way.version) {
            (Wire::Socket(socket), Version::Four) => socket.send_binary(bytes).await,
            (Wire::Socket(socket), Version::Three) => {
                socket.send_binary(&[&[4], bytes].concat()).await
            }
            (Wire::Polling(_), Version::Four) => self.send(format!("b{in_text}")).await,
            (Wire::Polling(_), Version::Three) => self.send(format!("b4{in_text}")).await,
        }
    }

    /// The WebSocket, for frames by hand.
    pub fn socket(&mut self) -> &mut Socket {
        match &mut self.wire {
            Wire::Socket(socket) => socket,
            Wire::Polling(_) => panic!("a polling client has no socket"),
        }
    }

    pub fn polling(&self) -> &Polling {
        match &self.wire {
            Wire::Polling(polling) => polling,
            Wire::Socket(_) => panic!("not by polling"),
        }
    }
}

/// An event's JSON; an empty argument is none.
pub fn event(name: &str, argument: &str) -> String {
    if argument.is_empty() { format!(r#"["{name}"]"#) } else { format!(r#"["{name}",{argument}]"#) }
}
