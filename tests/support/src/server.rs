//! The binary under test as a process of its own, on free ports and a fresh data folder. When a
//! test fails, what the server said is printed.
use std::{
    collections::HashMap,
    ffi::OsString,
    io::{BufRead, BufReader, PipeReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    sync::watch,
};

use super::{client::Client, http, soon, tls, within};

/// Where cargo says the program is that was built for these tests.
const BINARY: &str = "CARGO_BIN_EXE_always-online";
/// A server that is asked to end gets this long: more than its own deadline.
const END: Duration = Duration::from_secs(40);

/// How to start a server, or to run a command. Cheap to clone; clones share the data folder.
#[derive(Clone)]
pub struct Setup {
    folder: Arc<TempDir>,
    environment: Vec<(String, String)>,
    arguments: Vec<OsString>,
    /// Shell that the process runs before it becomes the program.
    beforehand: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// Everything on free ports of loopback, and a data folder that does not exist yet.
    pub fn new() -> Setup {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let data = folder.path().join("data").to_str().unwrap().to_owned();
        let mut setup =
            Setup { folder, environment: Vec::new(), arguments: Vec::new(), beforehand: None };
        for listener in ["AO_WEBSOCKET__LISTEN", "AO_API__LISTEN", "AO_DEMO__LISTEN"] {
            setup = setup.env(listener, "127.0.0.1:0");
        }
        let setup = setup.env("AO_STORE__PATH", data);
        // The same tests once more, with TLS in between.
        if std::env::var_os("TEST_UNDER_TLS").is_some() {
            setup.under_tls("websocket")
        } else {
            setup
        }
    }

    /// With a fresh certificate of its own for the listener `websocket` (and for `admin`), `api`,
    /// `gotapi`, `wechat` or `tinode`. Clients get there through a tunnel and notice nothing.
    pub fn under_tls(self, what: &str) -> Setup {
        let [certificate, key] = ["certificate", "key"]
            .map(|name| self.folder.path().join(format!("{what}-{name}.pem")));
        tls::issue(&certificate, &key);
        let section = what.to_uppercase();
        self.env(&format!("AO_{section}__TLS_CERTIFICATE"), certificate.to_str().unwrap())
            .env(&format!("AO_{section}__TLS_KEY"), key.to_str().unwrap())
    }

    /// The certificate of a listener.
    pub fn certificate(&self, what: &str) -> PathBuf {
        let section = if what == "admin" { "WEBSOCKET" } else { &what.to_uppercase() };
        let setting = format!("AO_{section}__TLS_CERTIFICATE");
        PathBuf::from(self.value(&setting).expect("a certificate"))
    }

    /// Sets an environment variable; the last value wins.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Setup {
        self.environment.retain(|(n, _)| n != name);
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Whether it has a variable whose name begins with this.
    fn has(&self, beginning: &str) -> bool {
        self.environment.iter().any(|(name, _)| name.starts_with(beginning))
    }

    /// Leaves a variable out, so that its default applies.
    pub fn without(mut self, name: &str) -> Setup {
        self.environment.retain(|(n, _)| n != name);
        self
    }

    /// The command line after the program's name, instead of the one so far.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Setup {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// It can't have more files and connections open than this.
    pub fn limited_to(self, descriptors: usize) -> Setup {
        Setup { beforehand: Some(format!("ulimit -n {descriptors}")), ..self }
    }

    /// A process whose files may be kept from growing ([`Server::limit_files`]): the kernel would
    /// end any other for that.
    pub fn may_be_limited(self) -> Setup {
        Setup { beforehand: Some("trap '' XFSZ".to_owned()), ..self }
    }

    /// The value of a variable.
    fn value(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        PathBuf::from(self.value("AO_STORE__PATH").expect("a data folder"))
    }

    /// A folder that ends with the test.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The program with this environment and nothing of the developer's own settings.
    pub fn command(&self) -> Command {
        let binary = std::env::var_os(BINARY).expect("these tests are run by cargo test");
        let shell = self.beforehand.is_some().then(|| "sh".into());
        let mut command = Command::new(shell.as_ref().unwrap_or(&binary));
        if let Some(shell) = &self.beforehand {
            command.args(["-c", &format!("{shell} && exec \"$0\" \"$@\"")]).arg(&binary);
        }
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AO_"))
        {
            command.env_remove(name);
        }
        command.env_remove("NODE_ENV").env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        command.envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self) -> Ran {
        let output: Output =
            soon(format!("the end of {:?}", self.arguments), self.command().output())
                .await
                .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ran {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Starts a server, and waits until it is ready.
    pub async fn start(self) -> Server {
        let mut server = self.launch();
        server.find_addresses().await;
        server
    }

    /// As [`Setup::start`], with another standard error than one that the test reads.
    pub async fn start_logging_to(self, stderr: impl Into<Stdio>) -> Server {
        let mut server = self.launch_as(|setup| Process::spawn_logging_to(setup, stderr));
        server.find_addresses().await;
        server
    }

    /// Starts a server without waiting for anything.
    pub fn launch(self) -> Server {
        self.launch_as(Process::spawn)
    }

    fn launch_as(self, spawn: impl FnOnce(&Setup) -> Process) -> Server {
        let process = spawn(&self);
        Server {
            setup: self,
            process,
            addresses: HashMap::new(),
            tunnels: HashMap::new(),
            tokens: Mutex::default(),
        }
    }

    /// The listeners that this command line asks for.
    fn listeners(&self) -> Vec<&'static str> {
        let role = |name: &str| self.arguments.iter().any(|a| a == name);
        let mut expected = match () {
            () if role("websocket") => vec!["websocket"],
            () if role("api") => vec!["api"],
            () if role("test") => vec!["demo"],
            () => vec!["websocket", "api", "demo"],
        };
        if self.value("AO_ADMIN__LISTEN").is_some() && expected.contains(&"websocket") {
            expected.push("admin");
        }
        for (setting, what) in [
            ("AO_METRICS__LISTEN", "metrics"),
            ("AO_GOTAPI__LISTEN", "gotapi"),
            ("AO_WECHAT__LISTEN", "wechat"),
            ("AO_TINODE__LISTEN", "tinode"),
            ("AO_TINODE__GRPC_LISTEN", "tinode_grpc"),
        ] {
            if self.value(setting).is_some() {
                expected.push(what);
            }
        }
        expected
    }
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Fails unless the command ended with this code and said each of these on standard error.
    #[track_caller]
    pub fn fails(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for text in said {
            assert!(self.stderr.contains(text), "{text:?} is missing in {self:#?}");
        }
    }

    /// Fails unless the command ended well; gives its output.
    #[track_caller]
    pub fn succeeds(&self) -> &str {
        assert_eq!(self.code, 0, "{self:#?}");
        &self.stdout
    }
}

/// Lines that a process writes, as far as they came. Read by a thread, so none is lost when a test
/// fails and its runtime stops.
struct Lines {
    seen: watch::Receiver<Vec<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Lines {
    fn read(pipe: PipeReader) -> Lines {
        let (sender, seen) = watch::channel(Vec::new());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                sender.send_modify(|lines| lines.push(line));
            }
        });
        Lines { seen, reader: Some(reader) }
    }

    /// Of a process whose lines go elsewhere.
    fn none() -> Lines {
        Lines { seen: watch::channel(Vec::new()).1, reader: None }
    }

    fn text(&self) -> String {
        self.seen.borrow().join("\n")
    }

    /// Waits for a line that holds this.
    async fn find(&mut self, what: &str) -> Option<String> {
        let hit = |lines: &Vec<String>| lines.iter().find(|line| line.contains(what)).cloned();
        self.seen.wait_for(|lines| hit(lines).is_some()).await.ok().and_then(|lines| hit(&lines))
    }
}

/// A running program and what it writes.
struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    fn spawn(setup: &Setup) -> Process {
        let ((out, stdout), (err, stderr)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        // The command owns the writing ends: it must be gone for the reading ones to see the end.
        let child =
            setup.command().stdout(stdout).stderr(stderr).spawn().expect("the binary starts");
        Process { child, stdout: Lines::read(out), stderr: Lines::read(err) }
    }

    fn spawn_logging_to(setup: &Setup, stderr: impl Into<Stdio>) -> Process {
        let (out, stdout) = std::io::pipe().unwrap();
        let child =
            setup.command().stdout(stdout).stderr(stderr).spawn().expect("the binary starts");
        Process { child, stdout: Lines::read(out), stderr: Lines::none() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.start_kill(); // it may be gone already
        for lines in [&mut self.stdout, &mut self.stderr] {
            if let Some(reader) = lines.reader.take() {
                let _ = reader.join();
            }
        }
        if std::thread::panicking() {
            eprintln!(
                "---- the server's stdout\n{}\n---- the server's stderr\n{}\n----",
                self.stdout.text(),
                self.stderr.text()
            );
        }
    }
}

/// A server. It is killed when it goes out of scope.
pub struct Server {
    setup: Setup,
    process: Process,
    addresses: HashMap<&'static str, SocketAddr>,
    /// The ways to those under TLS.
    tunnels: HashMap<&'static str, tls::Tunnel>,
    /// The tokens that were made here, for uids that come back.
    tokens: Mutex<HashMap<String, String>>,
}

impl Server {
    /// A server with everything at its default.
    pub async fn start() -> Server {
        Setup::new().start().await
    }

    async fn find_addresses(&mut self) {
        self.addresses.clear();
        self.tunnels.clear();
        for what in self.setup.listeners() {
            let line = self.says(&format!("{what} http")).await;
            let (scheme, address) = line.split_once(' ').unwrap().1.split_once("://").unwrap();
            let address = address.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            self.addresses.insert(what, address);
            if scheme == "https" {
                self.tunnels
                    .insert(what, tls::Tunnel::to(address, &self.setup.certificate(what)).await);
            }
        }
        // What is announced is ready, by promise of the server; this is where it would be found
        // out. Who asks has a place, which is given back a moment behind the answer: where places
        // are few, nobody asks.
        let are_few = self.setup.has("AO_LIMITS__CONNECTIONS");
        for what in self.addresses.keys().filter(|_| !are_few) {
            assert_eq!(
                http::get(self.address(what), "/readyz").await.status,
                200,
                "readiness of {what}"
            );
        }
    }

    /// How it was started; its clones share the data folder.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where one of its listeners is reached in plain text: websocket, api, demo, admin or metrics.
    #[track_caller]
    pub fn address(&self, what: &str) -> SocketAddr {
        self.tunnels.get(what).map_or_else(|| self.own_address(what), |tunnel| tunnel.address)
    }

    /// Where one of its listeners is, under TLS or not.
    #[track_caller]
    pub fn own_address(&self, what: &str) -> SocketAddr {
        *self.addresses.get(what).unwrap_or_else(|| panic!("nothing listens for {what}"))
    }

    pub fn websocket(&self) -> SocketAddr {
        self.address("websocket")
    }

    pub fn api(&self) -> SocketAddr {
        self.address("api")
    }

    /// The first line on stdout that holds this; waits for it.
    pub async fn says(&mut self, what: &str) -> String {
        soon(format!("{what:?} on stdout"), self.process.stdout.find(what))
            .await
            .unwrap_or_else(|| panic!("the server never said {what:?}"))
    }

    /// The first line on stderr that holds this; waits for it.
    pub async fn logs(&mut self, what: &str) -> String {
        soon(format!("{what:?} on stderr"), self.process.stderr.find(what))
            .await
            .unwrap_or_else(|| panic!("the server never logged {what:?}"))
    }

    /// What was on stdout so far; everything once the server ended.
    pub fn stdout(&self) -> String {
        self.process.stdout.text()
    }

    /// What was on stderr so far; everything once the server ended.
    pub fn stderr(&self) -> String {
        self.process.stderr.text()
    }

    /// Uid and token of the administrator of the first start.
    pub fn admin(&self) -> (String, String) {
        let text = std::fs::read_to_string(self.setup.data().join("admin-credential"))
            .expect("the first administrator's credential");
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)).expect(name).to_owned()
        };
        (field("uid: "), field("token: "))
    }

    /// The uid's token; made over the API when it is first asked for. Lasts over restarts.
    pub async fn token(&self, uid: &str) -> String {
        if let Some(token) = self.tokens.lock().unwrap().get(uid) {
            return token.clone();
        }
        let token = self.create_token(uid).await;
        self.tokens.lock().unwrap().insert(uid.to_owned(), token.clone());
        token
    }

    /// Makes a token over the API.
    pub async fn create_token(&self, uid: &str) -> String {
        let answer = http::post(self.api(), "/user/create_token", &json!({ "uid": uid })).await;
        answer.json()["data"]["token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token: {}", answer.body))
            .to_owned()
    }

    /// A connected client that is nobody yet.
    pub async fn guest(&self) -> Client {
        Client::connect(self.websocket()).await
    }

    /// A client that has signed in.
    pub async fn client(&self, uid: &str) -> Client {
        let token = self.token(uid).await;
        let mut client = self.guest().await;
        client.sign_in(uid, &token).await;
        client
    }

    /// A client that has signed in and joined.
    pub async fn member(&self, uid: &str, room: &str) -> Client {
        let mut client = self.client(uid).await;
        client.join(room).await;
        client
    }

    fn pid(&self) -> u32 {
        self.process.child.id().expect("the server has ended")
    }

    /// Sends a signal by its name, as an operator would.
    pub fn signal(&self, name: &str) {
        // The shell's kill, because the crate forbids unsafe code and a crate for one call is too
        // much.
        let sent = std::process::Command::new("sh")
            .args(["-c", &format!("kill -s {name} {}", self.pid())])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -s {name}");
    }

    /// None of its files may be written beyond so many bytes; `unlimited`: as much as it likes.
    /// What a full disk is like, without one.
    pub fn limit_files(&self, most: &str) {
        let pid = self.pid().to_string();
        let done = std::process::Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={most}:unlimited")])
            .status()
            .unwrap();
        assert!(done.success(), "prlimit --fsize={most}");
    }

    /// Waits for the end, and until everything it wrote was read.
    pub async fn end(&mut self) -> ExitStatus {
        let status = within(END, "the end of the server", self.process.child.wait()).await.unwrap();
        for lines in [&mut self.process.stdout, &mut self.process.stderr] {
            if let Some(reader) = lines.reader.take() {
                tokio::task::spawn_blocking(move || reader.join()).await.unwrap().unwrap();
            }
        }
        status
    }

    /// Ends it at once, as kill -9 does, and waits until it is gone.
    pub async fn kill_9(&mut self) {
        self.process.child.start_kill().expect("the server has ended by itself");
        self.end().await;
    }

    /// Asks for an orderly end with SIGTERM; gives the exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.signal("TERM");
        self.end().await.code().expect("an exit code, not a signal")
    }

    /// Starts again after an end: same folder, same settings, new ports.
    pub async fn restart(&mut self) {
        assert!(self.process.child.id().is_none(), "the server still runs");
        self.process = Process::spawn(&self.setup);
        self.find_addresses().await;
    }

    /// Changes a setting for the next restart.
    pub fn reconfigure(&mut self, name: &str, value: &str) {
        self.setup = self.setup.clone().env(name, value);
    }
}
