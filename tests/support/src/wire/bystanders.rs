//! Two well-behaved clients in a room. Whatever a third one does, they keep talking, and hear of it
//! what they should and nothing else.
use super::{WEBSOCKET_3, WEBSOCKET_4, peer::Peer};
use crate::server::Server;

pub struct Bystanders {
    pub ann: Peer,
    pub ben: Peer,
    words: u64,
}

impl Bystanders {
    /// Two users of their own, one of each version, in this room.
    pub async fn join(server: &Server, room: &str) -> Bystanders {
        let (mut ann, mut ben) =
            (Peer::sign_in(server, WEBSOCKET_4).await, Peer::sign_in(server, WEBSOCKET_3).await);
        ann.join(room).await;
        ben.join(room).await;
        ben.expect(&about("remote_join", &ann)).await;
        ann.expect(&about("remote_join", &ben)).await;
        Bystanders { ann, ben, words: 0 }
    }

    /// Both hear these packets next, in this order.
    pub async fn hear(&mut self, packets: &[String]) {
        for packet in packets {
            self.ann.expect(packet).await;
            self.ben.expect(packet).await;
        }
    }

    /// The client's coming, after it joined. It hears who is there.
    pub async fn welcome(&mut self, peer: &mut Peer) {
        peer.expect(&about("remote_join", &self.ann)).await;
        peer.expect(&about("remote_join", &self.ben)).await;
        self.hear(&[about("remote_join", peer)]).await;
    }

    /// The client's end, and nothing before it.
    pub async fn miss(&mut self, peer: &Peer) {
        self.hear(&[about("remote_disconnect", peer)]).await;
    }

    /// Nothing came that was not expected, and what one says is acknowledged, and heard by the
    /// other.
    pub async fn are_well(&mut self) {
        for ann_speaks in [true, false] {
            let (speaker, listener) = if ann_speaks {
                (&mut self.ann, &mut self.ben)
            } else {
                (&mut self.ben, &mut self.ann)
            };
            self.words += 1;
            speaker
                .acked(
                    &format!(r#"["msg",{{"word":{}}}]"#, self.words),
                    r#"{"status":0,"data":"msg success"}"#,
                )
                .await;
            listener
                .expect(&format!(
                    r#"42["msg",{{"word":{},"2":"{}","s":0}}]"#,
                    self.words, speaker.uid
                ))
                .await;
        }
    }

    /// As above, in a room where somebody listens: what it hears.
    pub async fn talk(&mut self, third: &mut Peer) {
        let before = self.words;
        self.are_well().await;
        for (word, speaker) in [(before + 1, &self.ann), (before + 2, &self.ben)] {
            third
                .expect(&format!(r#"42["msg",{{"word":{word},"2":"{}","s":0}}]"#, speaker.uid))
                .await;
        }
    }
}

/// An event about a client.
pub fn about(event: &str, peer: &Peer) -> String {
    format!(r#"42["{event}",{{"uid":"{}"}}]"#, peer.uid)
}

/// A message of a client as others hear it; `fields` are those before the sender's uid, with a
/// comma behind each.
pub fn said(peer: &Peer, fields: &str, storage: &str) -> String {
    format!(r#"42["msg",{{{fields}"2":"{}","s":{storage}}}]"#, peer.uid)
}
