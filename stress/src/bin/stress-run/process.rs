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
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{
    blanks::Blanks,
    plan::{Server, Side},
};

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
    /// The server that is measured.
    pub ours: PathBuf,
    /// An older build of it, where the two are compared.
    pub older: Option<PathBuf>,
    /// Centrifugo, if there is one.
    pub centrifugo: Option<PathBuf>,
    /// The folder `stress/`.
    pub home: PathBuf,
    pub generator_core: usize,
}

/// A running server. Dropping it kills it.
pub struct Running {
    child: Child,
    pub pid: u32,
    pub address: String,
    /// Where its HTTP API is, if it has one.
    api: Option<String>,
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

    /// What starts a side's server.
    fn program(&self, side: &Side, blanks: &Blanks) -> Result<Command> {
        let allowed = (0..side.cores).map(|c| c.to_string()).collect::<Vec<_>>().join(",");
        let mut command = match side.server {
            Server::Ours | Server::Gotapi | Server::Wechat | Server::Tinode => {
                self.always_online(side, &allowed, blanks)?
            }
            Server::Floor => self.command(&allowed, &self.binaries.join("floor")),
            Server::Node => {
                let mut command = self.command(&allowed, Path::new("node"));
                command.arg(self.home.join("peers/node/server.js")).env_remove("REDIS_URL");
                command
            }
            Server::ChatServiceNode => {
                let mut command = self.command(&allowed, Path::new("node"));
                command.arg(self.home.join("peers/chat-service/server.js")).env_remove("REDIS_URL");
                command
            }
            Server::Centrifugo => {
                let program = self.centrifugo.as_deref().context("there is no centrifugo")?;
                let config = self.home.join("peers/centrifugo.json");
                let mut command = self.command(&allowed, program);
                command.arg("--config").arg(config);
                command.env("CENTRIFUGO_HTTP_SERVER_PORT", blanks.port.to_string());
                command
            }
        };
        command.envs(side.env.iter().map(|(name, value)| (name, blanks.fill(value))));
        Ok(command)
    }

    fn always_online(&self, side: &Side, allowed: &str, blanks: &Blanks) -> Result<Command> {
        let program = match &self.older {
            Some(older) if side.older => older,
            None if side.older => bail!("there is no older build"),
            _ => &self.ours,
        };
        let mut command = self.command(allowed, program);
        for listener in ["WEBSOCKET", "API", "DEMO"] {
            command.env(format!("AO_{listener}__LISTEN"), "127.0.0.1:0");
        }
        command
            .env("AO_AUTH__IGNORE", "true")
            .env("AO_AUTH__RATE_LIMIT", "off")
            .env("AO_LOG", "warn")
            .env("AO_STORE__PATH", blanks.data())
            .env("AO_RUNTIME__WORKERS", side.cores.to_string());
        match side.server {
            Server::Gotapi => {
                command.env("AO_GOTAPI__LISTEN", "127.0.0.1:0");
            }
            Server::Wechat => {
                command.env("AO_WECHAT__LISTEN", "127.0.0.1:0");
            }
            Server::Tinode => {
                command.env("AO_TINODE__LISTEN", "127.0.0.1:0");
            }
            Server::Ours
            | Server::ChatServiceNode
            | Server::Floor
            | Server::Node
            | Server::Centrifugo => {}
        }
        Ok(command)
    }

    /// Starts a side's server, and waits until it says, or is known, to listen.
    pub async fn start(&self, side: &Side, blanks: &Blanks) -> Result<Running> {
        let server = side.server;
        let mut command = self.program(side, blanks)?;
        let log = blanks.folder.join("log");
        command.stderr(std::fs::File::create(&log)?).stdout(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("starting {server:?} with taskset"))?;
        let pid = child.id().context("it ended at once")?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let address = async {
            if server == Server::Centrifugo {
                let address = format!("127.0.0.1:{}", blanks.port);
                while TcpStream::connect(&address).await.is_err() {
                    if let Some(status) = child.try_wait()? {
                        bail!("it ended with {status}: {}", tail(&log));
                    }
                    sleep(Duration::from_millis(20)).await;
                }
                return Ok((address.clone(), Some(address)));
            }
            // Listeners are told in a fixed order, that of the API behind socket.io's.
            let (mut address, mut api) = (None, None);
            while let Some(line) = lines.next_line().await? {
                let at = |name: &str| {
                    let url = line.strip_prefix(name)?.trim().strip_prefix("http://")?;
                    Some(url.trim_end_matches('/').to_owned())
                };
                address = address.or_else(|| at(server.listener()));
                api = api.or_else(|| at("api "));
                if let Some(address) = address.clone()
                    && (api.is_some() || !server.is_ours())
                {
                    return Ok((address, api));
                }
            }
            bail!("it ended without saying where it listens: {}", tail(&log));
        };
        let address = timeout(START, address).await.context("it does not say where it listens")?;
        let (address, api) = address.with_context(|| format!("starting {server:?}"))?;
        // What else it prints must find a reader.
        #[allow(clippy::disallowed_methods)] // ends with the server
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Running { child, pid, address, api, log })
    }

    /// Runs the load generator once and returns its report.
    pub async fn step(
        &self,
        server: &Running,
        label: &str,
        run_id: &str,
        args: &[String],
        blanks: &Blanks,
    ) -> Result<Value> {
        let args = filled(args, server, blanks)?;
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

/// A step's arguments, with nothing left open.
fn filled(args: &[String], server: &Running, blanks: &Blanks) -> Result<Vec<String>> {
    let fill = |arg: &String| {
        let mut arg = blanks.fill(arg);
        if arg.contains("{api}") {
            arg = arg.replace("{api}", server.api.as_deref().context("it has no API")?);
        }
        if arg.contains("{credential}") {
            arg = arg.replace("{credential}", &blanks.credential()?);
        }
        Ok(arg)
    };
    args.iter().map(fill).collect()
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
