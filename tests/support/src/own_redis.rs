//! A Redis server of one test alone, which may be killed, paused, starved and started again. The
//! program is the one that `REDIS_SERVER_BIN` names, or the one on PATH.
use std::{path::Path, process::Stdio, time::Duration};

use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{ports, soon};

/// Ports that are tried: nobody can promise that a free one stays free until somebody listens
/// there.
const PORTS: u32 = 20;

/// A Redis server and its scratch folder. Both end with the test.
pub struct OwnRedis {
    folder: TempDir,
    options: Vec<String>,
    password: Option<&'static str>,
    port: u16,
    process: Option<Child>,
}

impl OwnRedis {
    /// Nothing survives its end.
    pub async fn forgetful(options: &[&str]) -> OwnRedis {
        Self::start(None, &[&["--save", "", "--appendonly", "no"], options].concat()).await
    }

    /// What was answered survives its end, even kill -9.
    pub async fn durable() -> OwnRedis {
        Self::start(None, &["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// Lets in whoever has this password.
    pub async fn locked(password: &'static str) -> OwnRedis {
        Self::start(
            Some(password),
            &["--save", "", "--appendonly", "no", "--requirepass", password],
        )
        .await
    }

    async fn start(password: Option<&'static str>, options: &[&str]) -> OwnRedis {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut this = OwnRedis {
            folder: tempfile::tempdir().unwrap(),
            options,
            password,
            port: 0,
            process: None,
        };
        for _ in 0..PORTS {
            this.port = ports::free();
            if this.listens().await {
                return this;
            }
        }
        panic!("redis-server starts on none of {PORTS} ports; it said: {}", this.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn spawn(&self) -> Child {
        let program = std::env::var_os("REDIS_SERVER_BIN").unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(&program);
        command.args([
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
        ]);
        command
            .arg("--dir")
            .arg(self.folder.path())
            .arg("--logfile")
            .arg(self.folder.path().join("log"))
            .args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command.spawn().unwrap_or_else(|e| {
            panic!(
                "{}: {e}; run the tests with scripts/test, which installs it",
                Path::new(&program).display()
            )
        })
    }

    /// Starts it, and waits until it answers. False: it ended instead.
    async fn listens(&mut self) -> bool {
        let mut process = self.spawn();
        let pid = format!("process_id:{}\r", process.id().expect("it was just started"));
        let answers = async {
            loop {
                if process.try_wait().unwrap().is_some() {
                    return false;
                }
                // Somebody else's Redis may answer there.
                if let Ok(info) = self.try_run::<String>(redis::cmd("INFO").arg("server")).await
                    && info.contains(&pid)
                {
                    return true;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let listens = soon("redis-server", answers).await;
        self.process = listens.then_some(process);
        listens
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its database 0, with the password.
    pub fn url(&self) -> String {
        let user = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{user}{}/0", self.address())
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        redis::Client::open(self.url())?.get_multiplexed_async_connection().await
    }

    async fn try_run<T: FromRedisValue>(&self, command: &Cmd) -> redis::RedisResult<T> {
        command.query_async(&mut self.connect().await?).await
    }

    /// Runs a command, given as in redis-cli but without quotes.
    pub async fn run<T: FromRedisValue>(&self, words: &str) -> T {
        self.send(&words.split(' ').collect::<Vec<_>>()).await
    }

    /// Runs a command of these words.
    pub async fn send<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        soon(format!("the answer of Redis to {words:?}"), self.try_run(&command))
            .await
            .unwrap_or_else(|e| panic!("{words:?}: {e}"))
    }

    /// A number out of INFO.
    pub async fn info(&self, section: &str, field: &str) -> u64 {
        let info: String = self.send(&["INFO", section]).await;
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {info}")).trim().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.process.as_ref().and_then(Child::id).expect("redis-server runs");
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -s {name} {pid}")])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    /// It does nothing from now on, but its connections stay.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Ends it at once.
    pub async fn kill_9(&mut self) {
        let mut process = self.process.take().expect("redis-server runs");
        process.start_kill().unwrap();
        soon("the end of redis-server", process.wait()).await.unwrap();
    }

    /// Starts again on the same port, with what it kept.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "redis-server still runs");
        assert!(self.listens().await, "redis-server does not start again: {}", self.log());
    }
}
