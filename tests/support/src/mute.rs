//! A way to a server on which answers can get lost: what clients send arrives, what comes back does
//! not.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
};

/// What is sent by who listens.
const SUBSCRIBE: &[u8] = b"SUBSCRIBE";

/// The way. It ends with the test.
pub struct Mute {
    pub address: String,
    muted: Arc<AtomicBool>,
    /// The same for connections that subscribe to something, alone.
    deaf: Arc<AtomicBool>,
    /// Connections of an older number are cut.
    cut: watch::Sender<u64>,
}

impl Mute {
    /// In front of the server at this address.
    pub async fn before(server: String) -> Mute {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (muted, deaf, cut) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
            watch::Sender::new(0),
        );
        let this = Mute { address, muted: muted.clone(), deaf: deaf.clone(), cut: cut.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Without a server the client is let go at once.
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let (muted, deaf, mut cut) = (muted.clone(), deaf.clone(), cut.subscribe());
                let listens = Arc::new(AtomicBool::new(false));
                cut.borrow_and_update();
                tokio::spawn(async move {
                    tokio::select! {
                        () = carry(from_client, to_server, |bytes| {
                            if bytes.windows(SUBSCRIBE.len()).any(|word| word == SUBSCRIBE) {
                                listens.store(true, SeqCst);
                            }
                            true
                        }) => {}
                        () = carry(from_server, to_client, |_| {
                            !(muted.load(SeqCst) || deaf.load(SeqCst) && listens.load(SeqCst))
                        }) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        this
    }

    /// No answer comes through from now on.
    pub fn mute(&self) {
        self.muted.store(true, SeqCst);
    }

    /// From now on nothing comes through to those who listen, who don't notice: their connections
    /// are half open.
    pub fn mute_listeners(&self) {
        self.deaf.store(true, SeqCst);
    }

    /// All connections end, and new ones get their answers again.
    pub fn cut(&self) {
        self.muted.store(false, SeqCst);
        self.deaf.store(false, SeqCst);
        self.cut.send_modify(|n| *n += 1);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, passes: impl Fn(&[u8]) -> bool) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if passes(&bytes[..count]) && to.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
}
