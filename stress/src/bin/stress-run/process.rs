//! The processes that a run consists of. Each is ended by its own pid and bounded in time, and none
//! outlives this program: whoever is dropped is killed.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::plan::Server;

const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(15);
/// One step of the load generator: it gives up by itself, and is killed a while later if it does
/// not.
const STEP_S: u64 = 600;
const STEP: Duration = Duration::from_secs(STEP_S + 30);

/// Where the programs are, and which cores they run on.
pub struct Bench {
    /// Folder of the release binaries.
    pub binaries: PathBuf,
    /// The folder `stress/`.
    pub home: PathBuf,
    pub generator_core: usize,
}

/// A running server. Dropping it kills it.
pub struct Running {
    child: Child,
    pub pid: u32,
    pub address: String,
    /// Its standard error, to quote when something is wrong.
    log: PathBuf,
}

impl Bench {
    fn command(&self, cores: &str, program: &Path) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", cores]).arg(program).stdin(Stdio::null()).kill_on_drop(true);
        // Whatever is set for another server of the user's must not change what is measured.
        env::vars_os().filter(|(k, _)| k.to_string_lossy().starts_with("AO_")).for_each(
            |(k, _)| {
                command.env_remove(k);
            },
        );
        command
    }

    /// What starts a server that keeps its store in `folder`.
    fn program(&self, server: Server, cores: usize, folder: &Path) -> Command {
        let allowed = (0..cores).map(|c| c.to_string()).collect::<Vec<_>>().join(",");
        match server {
            Server::Ours | Server::Gotapi => {
                let mut command = self.command(&allowed, &self.binaries.join("always-online"));
                for listener in ["WEBSOCKET", "API", "DEMO"] {
                    command.env(format!("AO_{listener}__LISTEN"), "127.0.0.1:0");
                }
                command
                    .env("AO_AUTH__IGNORE", "true")
                    .env("AO_AUTH__RATE_LIMIT", "off")
                    .env("AO_LOG", "warn");
                command
                    .env("AO_STORE__PATH", folder.join("data"))
                    .env("AO_RUNTIME__WORKERS", cores.to_string());
                if server == Server::Gotapi {
                    command.env("AO_GOTAPI__LISTEN", "127.0.0.1:0");
                }
                command
            }
            Server::Floor => self.command(&allowed, &self.binaries.join("floor")),
            Server::Node => {
                let mut command = self.command(&allowed, Path::new("node"));
                command.arg(self.home.join("peers/node/server.js")).env_remove("REDIS_URL");
                command
            }
        }
    }

    /// Starts a server in `folder`, which keeps its store, and waits for the address that it
    /// prints.
    pub async fn start(&self, server: Server, cores: usize, folder: &Path) -> Result<Running> {
        let mut command = self.program(server, cores, folder);
        let listener = if server == Server::Gotapi { "gotapi" } else { "websocket" };
        let log = folder.join("log");
        command.stderr(std::fs::File::create(&log)?).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("starting {server:?} with taskset"))?;
        let pid = child.id().context("it ended at once")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let address = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) =
                    line.strip_prefix(listener).and_then(|rest| rest.trim().strip_prefix("http://"))
                {
                    return Ok(address.trim_end_matches('/').to_owned());
                }
            }
            bail!("it ended without saying where it listens: {}", tail(&log));
        };
        let address = timeout(START, address).await.context("it does not say where it listens")?;
        let address = address.with_context(|| format!("starting {server:?}"))?;
        // What else it prints must find a reader.
        #[allow(clippy::disallowed_methods)] // ends with the server
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Running { child, pid, address, log })
    }

    /// Runs the load generator once and returns its report.
    pub async fn step(
        &self,
        server: &Running,
        label: &str,
        run_id: &str,
        args: &[String],
    ) -> Result<Value> {
        let core = self.generator_core.to_string();
        let mut command = self.command(&core, &self.binaries.join("stress"));
        command.args([
            "--url",
            &format!("ws://{}", server.address),
            "--eio",
            "4",
            "--pin",
            &core,
            "--label",
            label,
        ]);
        command.args([
            "--server-pid",
            &server.pid.to_string(),
            "--run-id",
            run_id,
            "--time-limit",
            &STEP_S.to_string(),
        ]);
        // Errors are an everyday thing there: no time is to be spent on their backtraces.
        command
            .args(args)
            .env("RUST_LIB_BACKTRACE", "0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output =
            timeout(STEP, command.output()).await.context("the load generator does not end")??;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().last().unwrap_or("it says nothing");
            bail!("the load generator failed: {last}; the server: {}", tail(&server.log));
        }
        serde_json::from_slice(&output.stdout).context("the load generator's report")
    }
}

impl Running {
    /// Asks it to end; kills it if it does not.
    pub async fn stop(mut self) -> Result<()> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid)?).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .with_context(|| format!("it ended by itself: {}", tail(&self.log)))?;
        if timeout(END, self.child.wait()).await.is_err() {
            self.child.kill().await?;
            bail!("it did not end when asked to, and was killed: {}", tail(&self.log));
        }
        Ok(())
    }
}

/// The last line of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("nothing in its log").to_owned()
}

/// The first line that a program prints; empty if it cannot be run.
pub async fn ask(program: impl AsRef<Path>, args: &[&str]) -> String {
    let mut command = Command::new(program.as_ref());
    command
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let answer = async {
        let mut child = command.spawn()?;
        let mut text = String::new();
        if let Some(mut out) = child.stdout.take() {
            out.read_to_string(&mut text).await?;
        }
        child.wait().await?;
        Ok::<_, std::io::Error>(text)
    };
    let text = timeout(Duration::from_secs(10), answer)
        .await
        .ok()
        .and_then(Result::ok)
        .unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}
