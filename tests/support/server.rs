use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Client, Reply};
use crate::{Patience, file_len, wait_until};

/// How long a server may take to start and to end.
const SLOW: Duration = Duration::from_secs(180);

/// How to start a server. Its directory exists already, so that files can be put there first.
pub struct Setup {
    temp: TempDir,
    config: Vec<(String, String)>,
    module: Option<PathBuf>,
    module_args: String,
    without_module: bool,
    privileges: Vec<String>,
    launcher: Vec<String>,
    root: Option<PathBuf>,
}

pub struct Server {
    setup: Setup,
    child: Option<Child>,
    port: u16,
    client: RefCell<Option<Client>>,
}

enum Attempt {
    Running(Child),
    PortTaken,
    Refused,
}

impl Setup {
    fn new() -> Setup {
        let temp = tempfile::Builder::new()
            .prefix("mmap-test-")
            .tempdir()
            .expect("a temporary directory");
        std::fs::create_dir(temp.path().join("data")).unwrap();
        Setup {
            temp,
            config: Vec::new(),
            module: None,
            module_args: String::new(),
            without_module: false,
            privileges: Vec::new(),
            launcher: Vec::new(),
            root: None,
        }
    }

    /// Adds a line of the server's configuration, after the line that loads the module.
    pub fn config(mut self, name: &str, value: &str) -> Setup {
        self.config.push((name.into(), value.into()));
        self
    }

    pub fn module_args(mut self, args: &str) -> Setup {
        self.module_args = args.into();
        self
    }

    /// Does not load the module at the start, and lets clients load it.
    pub fn without_module(mut self) -> Setup {
        self.without_module = true;
        self.config("enable-module-command", "yes")
    }

    /// Runs the server by a command that takes the server's own command line as its last arguments.
    pub fn launched_by(mut self, launcher: &[&str]) -> Setup {
        self.launcher = launcher.iter().map(|&s| s.into()).collect();
        self
    }

    /// Makes file permissions count, which root would pass over.
    pub fn bound_by_permissions(mut self) -> Setup {
        if rustix::process::geteuid().is_root() {
            self.privileges
                .push("--bounding-set=-dac_override,-dac_read_search".into());
        }
        self
    }

    /// Loads a copy of the module that every user may read.
    pub fn with_a_copy_of_the_module(mut self) -> Setup {
        let copy = self.temp.path().join("module.so");
        std::fs::copy(module(), &copy).unwrap();
        self.module = Some(copy);
        self
    }

    /// Loads another build of the module.
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn with_module(mut self, module: &std::path::Path) -> Setup {
        self.module = Some(module.to_owned());
        self
    }

    /// Uses another server's directory as the root of the module's files.
    pub fn sharing_files_of(mut self, other: &Server) -> Setup {
        self.module_args = format!("dir {}", other.dir().display());
        self.root = Some(other.dir().to_path_buf());
        self
    }

    pub fn dir(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    pub fn write(self, name: &str, bytes: impl AsRef<[u8]>) -> Setup {
        std::fs::write(self.dir().join(name), bytes).unwrap();
        self
    }

    fn log(&self) -> String {
        std::fs::read(self.temp.path().join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn config_path(&self) -> PathBuf {
        self.temp.path().join("redis.conf")
    }

    fn write_config(&self) {
        let mut text =
            String::from("bind 127.0.0.1\nsave \"\"\ndaemonize no\nenable-debug-command yes\n");
        writeln!(text, "dir {}", self.dir().display()).unwrap();
        if !self.without_module {
            let module = self.module.clone().unwrap_or_else(module);
            writeln!(text, "loadmodule {} {}", module.display(), self.module_args).unwrap();
        }
        for (name, value) in &self.config {
            writeln!(text, "{name} {value}").unwrap();
        }
        std::fs::write(self.config_path(), text).unwrap();
    }

    fn attempt(&self, port: u16) -> Attempt {
        let log = std::fs::File::create(self.temp.path().join("log")).unwrap();
        // A test that is killed must not leave a server behind.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(&self.privileges);
        if !self.launcher.is_empty() {
            command
                .args(&self.launcher)
                .args(["setpriv", "--pdeathsig", "KILL"]);
        }
        let mut child = command
            .arg(server_program())
            .arg(self.config_path())
            .args(["--port", &port.to_string()])
            .args(server_args().split_whitespace())
            .current_dir(self.dir())
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .expect("setpriv starts the server");

        let mut patience = Patience::of(SLOW);
        loop {
            if child.try_wait().unwrap().is_some() {
                let log = self.log();
                let taken = log.contains("Address already in use")
                    || log.contains("Failed listening on port");
                return if taken {
                    Attempt::PortTaken
                } else {
                    Attempt::Refused
                };
            }
            if self.answers(port) {
                return Attempt::Running(child);
            }
            if patience.is_over() {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server does not answer; its log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether our server answers, and not one that took the port before it.
    fn answers(&self, port: u16) -> bool {
        let Ok(mut client) = Client::try_connect(port) else {
            return false;
        };
        let mut ask = |command: &[&str]| {
            let mut bytes = Vec::new();
            Client::encode(&mut bytes, command);
            client.try_send(&bytes).ok()?;
            client.try_receive().ok()
        };
        if ask(&["PING"]) != Some(Reply::Status("PONG".into())) {
            return false;
        }
        let dir = ask(&["CONFIG", "GET", "dir"]);
        matches!(dir, Some(Reply::Array(items))
            if items.get(1) == Some(&Reply::Bulk(self.dir().to_str().unwrap().into())))
    }

    fn launch(&self) -> Result<(Child, u16), String> {
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            match self.attempt(port) {
                Attempt::Running(child) => return Ok((child, port)),
                Attempt::PortTaken => continue,
                Attempt::Refused => return Err(self.log()),
            }
        }
        panic!("no free port in twenty attempts");
    }

    /// Starts the server, or returns the log of one that ended by itself.
    pub fn try_start(self) -> Result<Server, String> {
        self.write_config();
        let (child, port) = self.launch()?;
        Ok(Server {
            setup: self,
            child: Some(child),
            port,
            client: RefCell::new(None),
        })
    }

    #[track_caller]
    pub fn start(self) -> Server {
        self.try_start()
            .unwrap_or_else(|log| panic!("the server ended at its start; its log:\n{log}"))
    }
}

impl Server {
    #[track_caller]
    pub fn start() -> Server {
        Server::setup().start()
    }

    /// A server on which this `MMAP` was carried out, which must succeed.
    #[track_caller]
    pub fn with(mmap: &str) -> Server {
        let db = Server::start();
        db.int(mmap);
        db
    }

    pub fn setup() -> Setup {
        Setup::new()
    }

    /// A new connection.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::try_connect(self.port)
            .unwrap_or_else(|e| panic!("{e}; the server's log:\n{}", self.log()))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    #[track_caller]
    fn with_client<T>(&self, work: impl FnOnce(&mut Client) -> T) -> T {
        let mut slot = self.client.borrow_mut();
        work(slot.get_or_insert_with(|| self.client()))
    }

    /// Runs a command given as words on the server's own connection, and shows the reply much as `redis-cli` does.
    #[track_caller]
    pub fn say(&self, command: &str) -> String {
        self.ask(command).to_string()
    }

    #[track_caller]
    pub fn ask(&self, command: &str) -> Reply {
        self.run(&command.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    pub fn run(&self, args: &[impl AsRef<[u8]>]) -> Reply {
        let reply = self.with_client(|client| {
            let mut bytes = Vec::new();
            Client::encode(&mut bytes, args);
            client.try_send(&bytes).and_then(|()| client.try_receive())
        });
        reply.unwrap_or_else(|e| {
            let name = args.first().map_or(&b""[..], |a| a.as_ref());
            panic!(
                "{}: {e}; the server's log:\n{}",
                name.escape_ascii(),
                self.log()
            )
        })
    }

    #[track_caller]
    pub fn int(&self, command: &str) -> i64 {
        match self.ask(command) {
            Reply::Int(n) => n,
            other => panic!("{command}: expected an integer, got {other}"),
        }
    }

    #[track_caller]
    pub fn error(&self, command: &str) -> String {
        match self.ask(command) {
            Reply::Error(text) => text,
            other => panic!("{command}: expected an error, got {other}"),
        }
    }

    /// One field of `INFO mmap`.
    #[track_caller]
    pub fn stat(&self, field: &str) -> u64 {
        let info = self.ask("INFO mmap").text();
        info.lines()
            .find_map(|line| {
                line.strip_prefix("mmap_")?
                    .strip_prefix(field)?
                    .strip_prefix(':')?
                    .parse()
                    .ok()
            })
            .unwrap_or_else(|| panic!("INFO mmap has no number mmap_{field}:\n{info}"))
    }

    #[track_caller]
    pub fn info(&self, section: &str, field: &str) -> String {
        let info = self.ask(&format!("INFO {section}")).text();
        info.lines()
            .find_map(|line| {
                line.strip_prefix(field)?
                    .strip_prefix(':')
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| panic!("INFO {section} has no {field}:\n{info}"))
    }

    pub fn is_valkey(&self) -> bool {
        self.ask("INFO server").text().contains("\nvalkey_version:")
    }

    /// The major version of the compatible Redis, or of Valkey.
    pub fn major_version(&self) -> u32 {
        let field = if self.is_valkey() {
            "valkey_version"
        } else {
            "redis_version"
        };
        self.info("server", field)
            .split('.')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    pub fn has_vector_sets(&self) -> bool {
        self.ask("COMMAND INFO VSIM").items() != [Reply::Nil]
    }

    /// Whether the server hides commands with the flag `internal` from clients.
    pub fn hides_internal_commands(&self) -> bool {
        !self.is_valkey() && self.major_version() >= 8
    }

    pub fn pid(&self) -> u32 {
        self.info("server", "process_id").parse().unwrap()
    }

    /// The directory that files are bound in.
    pub fn dir(&self) -> PathBuf {
        self.setup.root.clone().unwrap_or_else(|| self.setup.dir())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    #[track_caller]
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    #[track_caller]
    pub fn file_len(&self, name: &str) -> u64 {
        file_len(self.path(name))
    }

    /// Waits until the worker has trimmed the file to `bytes`.
    #[track_caller]
    pub fn settles_at(&self, name: &str, bytes: u64) {
        let mut len = 0;
        let path = self.path(name);
        let mut patience = Patience::of(crate::PATIENCE);
        while !patience.is_over() {
            len = file_len(&path);
            if len == bytes {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("{name} is {len} bytes long and does not become {bytes}");
    }

    /// The file once it has `bytes` bytes. A growth that the worker had begun may end late, and is trimmed again: a length that
    /// was right may be wrong when the file is read.
    #[track_caller]
    pub fn at_rest(&self, name: &str, bytes: u64) -> Vec<u8> {
        let mut found = Vec::new();
        wait_until(&format!("{name} has {bytes} bytes"), || {
            found = self.read(name);
            found.len() as u64 == bytes
        });
        found
    }

    pub fn log(&self) -> String {
        self.setup.log()
    }

    /// What `redis-cli` prints for these lines on its standard input.
    #[track_caller]
    pub fn redis_cli(&self, input: &str) -> String {
        piped(
            Command::new("redis-cli").args(["-p", &self.port.to_string()]),
            input,
        )
    }

    /// `SHUTDOWN SAVE` or `SHUTDOWN NOSAVE`.
    #[track_caller]
    pub fn shutdown(&mut self, mode: &str) -> ExitStatus {
        self.with_client(|client| client.send(&["SHUTDOWN", mode]));
        self.wait_for_end()
    }

    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(self.pid() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait_for_end()
    }

    #[track_caller]
    pub fn kill_9(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.kill().unwrap();
        child.wait().unwrap();
        self.client.replace(None);
    }

    #[track_caller]
    fn wait_for_end(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        self.client.replace(None);
        let mut status = None;
        let mut patience = Patience::of(SLOW);
        while status.is_none() && !patience.is_over() {
            status = child.try_wait().unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        status.unwrap_or_else(|| {
            let _ = child.kill();
            let _ = child.wait();
            panic!("the server does not end; its log:\n{}", self.log())
        })
    }

    /// Starts a server that has ended, in the same directory.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server is running");
        let (child, port) = self
            .setup
            .launch()
            .unwrap_or_else(|log| panic!("the server ended at its start; its log:\n{log}"));
        self.child = Some(child);
        self.port = port;
    }

    /// As [`Self::start_again`], with another build of the module from now on.
    #[track_caller]
    #[allow(dead_code, reason = "not every test program needs it")]
    pub fn start_again_with_module(&mut self, module: &std::path::Path) {
        self.setup.module = Some(module.to_owned());
        self.setup.write_config();
        self.start_again();
    }

    /// As [`Self::start_again`], at the port that others know it by.
    #[track_caller]
    pub fn start_again_at_its_port(&mut self) {
        assert!(self.child.is_none(), "the server is running");
        wait_until("the port is free", || {
            match self.setup.attempt(self.port) {
                Attempt::Running(child) => self.child = Some(child),
                Attempt::PortTaken => {}
                Attempt::Refused => {
                    panic!("the server ended at its start; its log:\n{}", self.log())
                }
            }
            self.child.is_some()
        });
    }

    /// Has the process stop until it is told to go on.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Has a stopped process go on.
    #[track_caller]
    pub fn go_on(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    #[track_caller]
    fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("a running server");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// What is answered on a connection of its own, if that is not cut.
    pub fn try_ask(&self, command: &str) -> Option<Reply> {
        let mut client = Client::try_connect(self.port).ok()?;
        let mut bytes = Vec::new();
        Client::encode(&mut bytes, &command.split_whitespace().collect::<Vec<_>>());
        client.try_send(&bytes).ok()?;
        client.try_receive().ok()
    }

    /// As [`Self::start_again`], with one more line of configuration, for this time.
    #[track_caller]
    pub fn start_again_with(&mut self, name: &str, value: &str) {
        let path = self.setup.config_path();
        let before = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{before}{name} {value}\n")).unwrap();
        self.start_again();
        std::fs::write(&path, before).unwrap();
    }

    /// `SHUTDOWN SAVE` and a new start.
    #[track_caller]
    pub fn restart(&mut self) {
        self.shutdown("SAVE");
        self.start_again();
    }

    /// Whether it is still the process it was started as.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// `SAVE`, once no child saves: a replica begins one by itself after it was synchronised.
    #[track_caller]
    pub fn save(&self) {
        self.save_by("SAVE");
    }

    /// Saves by `SAVE`, `BGSAVE` or `BGREWRITEAOF`, and waits for the end.
    #[track_caller]
    pub fn save_by(&self, command: &str) {
        wait_until("the server begins to save", || {
            let reply = self.ask(command);
            let is_busy = matches!(&reply, Reply::Error(error) if error.contains("in progress"));
            assert!(is_busy || !reply.is_error(), "{command}: {reply}");
            !is_busy
        });
        self.wait_for_background_jobs();
    }

    #[track_caller]
    pub fn wait_for_background_jobs(&self) {
        wait_until("the server's background jobs have ended", || {
            let info = self.ask("INFO persistence").text();
            [
                "rdb_bgsave_in_progress:0",
                "aof_rewrite_in_progress:0",
                "aof_rewrite_scheduled:0",
            ]
            .iter()
            .all(|field| info.contains(field))
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log());
        }
    }
}

pub fn server_program() -> PathBuf {
    let program =
        PathBuf::from(std::env::var_os("MMAP_SERVER").unwrap_or_else(|| "redis-server".into()));
    // Servers run in directories of their own, where a relative path would mean something else.
    if program.components().count() > 1 {
        // A link is kept: Debian's `valkey-server` is one, and its name is what the program goes by.
        std::path::absolute(&program).unwrap()
    } else {
        program
    }
}

/// What each server is told beside its configuration: `--io-threads 4`, say.
fn server_args() -> String {
    std::env::var("MMAP_SERVER_ARGS").unwrap_or_default()
}

/// The module that was built for this profile.
pub fn module() -> PathBuf {
    if let Some(path) = std::env::var_os("MMAP_MODULE") {
        return std::path::absolute(path).unwrap();
    }
    let test = std::env::current_exe().unwrap();
    let deps = test.parent().unwrap();
    let name = "libredis_mmap.so";
    // `cargo build` puts it beside deps/, `cargo test` only into it.
    [deps.join(name), deps.parent().unwrap().join(name)]
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .unwrap_or_else(|| {
            panic!(
                "no {name} in {}: run `cargo build --release` first",
                deps.display()
            )
        })
        .1
}

/// What a program prints for this on its standard input.
#[track_caller]
pub fn piped(program: &mut Command, input: &str) -> String {
    use std::io::Write as _;
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program:?}: {e}"));
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
