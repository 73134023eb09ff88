//! The program, a platform for it, and what it printed.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use kaa_blocking::names::{CommandType, ConfigName, EndpointName};
use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::platform::{Fault, Secret, Snapshot, User, UserState};
use kaa_tests::ports::free_port;
use kaa_tests::scratch::Scratch;
use serde_json::Value;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The token of every endpoint here. No output may hold it.
pub(crate) const TOKEN: &str = "s3cretT0ken";

/// A platform, and a home for the program's files.
pub(crate) struct Kit {
    pub(crate) platform: LocalPlatform,
    pub(crate) home: Scratch,
    /// Where the program is told that the platform is.
    url: String,
}

impl Kit {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With a platform of these options.
    pub(crate) fn with(set: impl FnOnce(&mut LocalOptions)) -> Self {
        let mut options = LocalOptions::default();
        options.http_listen = Some("127.0.0.1:0".parse().unwrap());
        set(&mut options);
        Self::of(LocalPlatform::start(options).unwrap())
    }

    pub(crate) fn of(platform: LocalPlatform) -> Self {
        Self {
            url: platform.url().to_owned(),
            platform,
            home: Scratch::new().unwrap(),
        }
    }

    /// With a platform that asks for this login.
    pub(crate) fn with_user(name: &str, password: &str) -> Self {
        Self::with(|options| {
            options.platform.users = vec![User {
                name: name.into(),
                password: Secret::new(password),
                state: UserState::Active,
            }];
        })
    }

    /// Tells the program another URL.
    pub(crate) fn at(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The program with nothing in its environment but a home.
    pub(crate) fn bare(&self) -> Command {
        self.other(env!("CARGO_BIN_EXE_kaa"))
    }

    /// Another program with that environment, which may start ours as `$KAA`.
    fn other(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KAA_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("XDG_CONFIG_HOME")
            .env("HOME", self.home.path())
            .env("KAA", env!("CARGO_BIN_EXE_kaa"));
        command
    }

    /// The program, told where the platform is and for whom it speaks.
    pub(crate) fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = self.bare();
        self.tell(&mut command);
        command.args(args);
        command
    }

    /// A line of shell, in which `$KAA` is the program, told the same.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = self.other("sh");
        self.tell(&mut command);
        command.args(["-c", line]);
        command
    }

    fn tell(&self, command: &mut Command) {
        command
            .env("KAA_URL", &self.url)
            .env("KAA_APP_VERSION", "demo-v1")
            .env("KAA_TOKEN", TOKEN);
        if let Some(addr) = self.platform.http_addr() {
            command.env("KAA_HTTP_URL", format!("http://{addr}"));
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[impl AsRef<OsStr>]) -> Ended {
        run(&mut self.command(args), "")
    }

    /// Runs it with this on its standard input.
    pub(crate) fn pipe(&self, args: &[impl AsRef<OsStr>], input: &str) -> Ended {
        run(&mut self.command(args), input)
    }

    /// Starts it, to be talked to.
    pub(crate) fn start(&self, args: &[impl AsRef<OsStr>]) -> Running {
        Running::start(&mut self.command(args))
    }

    pub(crate) fn endpoint(&self) -> EndpointName {
        EndpointName::parse("demo-v1", TOKEN).unwrap()
    }

    pub(crate) fn fault(&self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        self.platform.fault(Fault::parse(&words).unwrap());
    }

    pub(crate) fn state(&self) -> Option<Snapshot> {
        self.platform.state(&self.endpoint())
    }

    /// How many samples the platform has of the endpoint.
    pub(crate) fn samples(&self) -> u64 {
        self.state().map_or(0, |state| state.samples)
    }

    pub(crate) fn invoke(&self, of_type: &str, payload: Value) {
        let of_type = CommandType::new(of_type).unwrap();
        let payload = Some(payload).filter(|payload| !payload.is_null());
        let invoked = self.platform.command(&self.endpoint(), &of_type, payload);
        invoked.unwrap();
    }

    pub(crate) fn configure(&self, name: Option<&str>, config: Value) -> String {
        let name = name.map(|name| ConfigName::new(name).unwrap());
        let set = self
            .platform
            .set_configuration(&self.endpoint(), name.as_ref(), config);
        set.unwrap()
    }

    /// A file in the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, contents: &str) -> String {
        fs::write(self.path(name), contents).unwrap();
        text(&self.path(name))
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The URL of a platform that is not there.
pub(crate) fn nowhere() -> String {
    format!("mqtt://127.0.0.1:{}", free_port().unwrap())
}

/// What became of a run.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The lines of standard output, which are JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).expect(line);
        self.stdout.lines().map(parse).collect()
    }

    /// The only line of standard output, of a run that ended with this status.
    pub(crate) fn one(&self, code: i32) -> Value {
        assert_eq!(self.code, Some(code), "{self:?}");
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// It ended with this status, printed nothing and said this.
    pub(crate) fn complains(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        assert!(self.stderr.contains(words), "{self:?}");
    }
}

pub(crate) fn run(command: &mut Command, input: &str) -> Ended {
    let mut child = spawn(command, Stdio::piped());
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // It may end without having read it.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let ended = Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    check_secrets(&ended.stdout);
    check_secrets(&ended.stderr);
    ended
}

/// No secret of these tests is in what was printed.
pub(crate) fn check_secrets(printed: &str) {
    for secret in [TOKEN, "s3cretPassw0rd"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

fn spawn(command: &mut Command, stdin: Stdio) -> Child {
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A program that goes on. It is killed with its test.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::piped())
    }

    /// Starts it with this as its standard input.
    pub(crate) fn start_with(command: &mut Command, stdin: impl Into<Stdio>) -> Self {
        let mut child = spawn(command, stdin.into());
        Self {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// The next line of standard output, which is JSON.
    pub(crate) fn line(&self) -> Value {
        let line = self.stdout.recv_timeout(LONG).expect("a line is printed");
        serde_json::from_str(&line).expect(&line)
    }

    /// The next line of standard error that has this in it.
    pub(crate) fn word(&self, part: &str) -> String {
        loop {
            let line = self.stderr.recv_timeout(LONG).expect(part);
            if line.contains(part) {
                return line;
            }
        }
    }

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let done = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(done.success());
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; gives its status and what it said last.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let code = status.and_then(|status| status.code());
        let said: Vec<String> = self.stderr.iter().collect();
        (code, said.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            check_secrets(&line);
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Waits until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
