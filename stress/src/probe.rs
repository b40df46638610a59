//! Somebody new who comes again and again, to see how long a server takes to serve newcomers.

use crate::report::{Lat, round};
use crate::sys::{self, now};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const EVERY: Duration = Duration::from_millis(50);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks on a thread of its own, for the generator's may be busy.
pub struct Prober {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Probes>,
}

/// What came of it.
#[derive(Default)]
pub struct Probes {
    connected: Lat,
    answered: Lat,
    /// How long the longest took, and when it began, in nanoseconds since the first.
    longest: (u64, u64),
    pub failed: u64,
    error: Option<String>,
}

impl Prober {
    pub fn start(to: SocketAddrV4) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let thread = thread::spawn(move || {
            let (mut probes, start) = (Probes::default(), now());
            while !until.load(Relaxed) {
                let begin = now();
                if let Err(error) = probe(to, begin, &mut probes) {
                    probes.failed += 1;
                    probes.error.get_or_insert_with(|| format!("{error:#}"));
                }
                probes.longest = probes.longest.max((now() - begin, begin - start));
                thread::sleep(EVERY.saturating_sub(Duration::from_nanos(now() - begin)));
            }
            probes
        });
        Prober { over, thread }
    }

    pub fn stop(self) -> Probes {
        self.over.store(true, Relaxed);
        // A prober that panicked has nothing to say, and that counts.
        self.thread.join().unwrap_or(Probes { failed: 1, ..Probes::default() })
    }
}

/// A fresh connection and one request.
fn probe(to: SocketAddrV4, begin: u64, probes: &mut Probes) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&to.into(), PATIENCE)?;
    probes.connected.add(now() - begin);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET /livez HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    probes.answered.add(now() - begin);
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        bail!("{}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
    }
    Ok(())
}

impl Probes {
    pub fn json(&self) -> Value {
        json!({
            "connect_ms": self.connected.ms(), "answer_ms": self.answered.ms(),
            "longest_after_s": round(self.longest.1 as f64 / 1e9),
            "failed": self.failed, "first_error": self.error,
        })
    }
}

/// Waits until somebody listens there; nanoseconds that it took.
pub async fn listening(to: SocketAddrV4, patience: Duration) -> Result<u64> {
    let begin = now();
    while sys::dial(to, None, None).await.is_err() {
        if now() - begin > patience.as_nanos() as u64 {
            bail!("nobody listens at {to} again");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(now() - begin)
}
