//! A network that can fail: connections go through it, byte by byte, until it is down.

use crate::sys;
use anyhow::{Context, Result, bail};
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// How long the server's end of a line stays open behind the outage, where nobody tells the server.
const UNTOLD: Duration = Duration::from_secs(20);

/// The relay, and its switch.
pub struct Relay {
    pub addr: SocketAddrV4,
    up: watch::Sender<bool>,
}

impl Relay {
    /// Leads to `server` from now on.
    pub async fn start(server: SocketAddrV4) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listening")?;
        let SocketAddr::V4(addr) = listener.local_addr()? else { bail!("an unexpected address") };
        let up = watch::Sender::new(true);
        let state = up.clone();
        tokio::spawn(async move {
            for no in 0u64.. {
                let Ok((client, peer)) = listener.accept().await else { break };
                if !*state.borrow() {
                    let _ = sys::abrupt(&client); // and drops it
                    continue;
                }
                let up = state.subscribe();
                tokio::spawn(line(client, peer, server, up, no % 2 == 0));
            }
        });
        Ok(Relay { addr, up })
    }

    /// Nothing goes through for so long: all lines are cut, and no new ones are let in.
    pub async fn fail(&self, outage: Duration) {
        self.up.send_replace(false);
        sleep(outage).await;
        self.up.send_replace(true);
    }
}

async fn failure(up: &mut watch::Receiver<bool>) {
    let _ = up.wait_for(|up| !up).await;
}

/// One connection. When the network fails, the client sees it end; the server sees that only if it
/// is `told`, and otherwise has a client who says nothing more.
async fn line(
    mut client: TcpStream,
    peer: SocketAddr,
    server: SocketAddrV4,
    mut up: watch::Receiver<bool>,
    told: bool,
) -> Result<()> {
    let SocketAddr::V4(peer) = peer else { return Ok(()) };
    let mut server = sys::dial(server, Some(*peer.ip()), None).await?;
    client.set_nodelay(true)?;
    let failed = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut server) => copied.is_err(),
        () = failure(&mut up) => true,
    };
    if failed {
        sys::abrupt(&client)?;
        drop(client);
        if !told {
            sleep(UNTOLD).await;
        }
        sys::abrupt(&server)?;
    }
    Ok(())
}
