//! `kaa platform` as a program of its own, over raw bytes, lines and signals. Everything waits for
//! what it needs, nothing for a fixed time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

/// A running `kaa platform`. It is killed with its test.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    fn start(args: &[&str]) -> Self {
        // Who runs the tests may ignore SIGHUP, as `nohup` does, and that is inherited.
        let mut command = match cfg!(target_os = "linux") {
            true => {
                let mut env = Command::new("env");
                env.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_kaa")]);
                env
            }
            false => Command::new(env!("CARGO_BIN_EXE_kaa")),
        };
        let mut child = command
            .arg("platform")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let _ = sender.send(line.unwrap());
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    /// Starts it on a free port, and tells which.
    fn listen(args: &[&str]) -> (Self, u16) {
        let program = Self::start(&[&["--listen", "127.0.0.1:0"], args].concat());
        let first = program.line();
        let port = first.strip_prefix("listening on 127.0.0.1:").unwrap();
        let port = port.parse().unwrap();
        (program, port)
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(LONG).expect("a line is printed")
    }

    /// The next line that has this in it.
    fn line_with(&self, part: &str) -> String {
        loop {
            let line = self.line();
            if line.contains(part) {
                return line;
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn end(mut self, signal: &str) -> ExitStatus {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that goes away with its test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kaa-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn dial(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(CONNECT).unwrap();
    expect(&mut stream, CONNACK);
    stream
}

fn expect(stream: &mut TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    stream.read_exact(&mut got).unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&got), text(wanted));
}

/// One sample of the page's endpoint, with request ID 42, at QoS 0.
fn send_sample(stream: &mut TcpStream) {
    let publish = b"\x30\x36\x00\x22kp1/demo-v1/dcx/JTjdbENzHh/json/42{\"temperature\":21}";
    stream.write_all(publish).unwrap();
}

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kaa"));
    command.arg("platform").args(args).output().unwrap()
}

/// How it complains about arguments it cannot take.
fn refused(args: &[&str]) -> String {
    let output = run(&[&["--listen", "127.0.0.1:0"], args].concat());
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_device_is_served_and_what_it_does_is_told_in_lines_for_people() {
    let folder = Folder::new("device");
    let port_file = folder.file("port");
    let (program, port) = Program::listen(&["--port-file", &port_file]);
    assert_eq!(fs::read_to_string(&port_file).unwrap(), format!("{port}\n"));
    let mut stream = dial(port);
    send_sample(&mut stream);
    expect(
        &mut stream,
        b"\x30\x2b\x00\x29kp1/demo-v1/dcx/JTjdbENzHh/json/42/status",
    );
    let line = program.line_with("telemetry");
    let told = "demo-v1/JTj… telemetry data={\"temperature\":21} samples=1";
    assert!(line.ends_with(told), "{line}");
    assert_eq!(program.end("-TERM").code(), Some(0));
}

#[test]
fn lines_on_standard_input_are_answered_and_its_end_ends_nothing() {
    let (mut program, port) = Program::listen(&["--show-tokens"]);
    let mut stream = dial(port);
    program.say("expect telemetry JTjdbENzHh within 20s");
    program.say("command JTjdbENzHh reboot");
    program.line_with("error command no endpoint of that token is known yet");
    send_sample(&mut stream);
    program.line_with("demo-v1/JTjdbENzHh telemetry");
    let came = program.line_with("ok expect ");
    assert!(came.contains("\"event\":\"telemetry\""), "{came}");
    program.say("command JTjdbENzHh reboot '{\"delay\": 5}'");
    assert_eq!(program.line_with("ok command"), "ok command {\"id\":1}");
    program.say("expect disconnected JTjdbENzHh within 1ms");
    let missed = "error expect disconnected did not come within 1ms";
    assert_eq!(program.line_with("expect"), missed);

    program.stdin = None;
    drop(stream);
    program.line_with("disconnected");
    drop(dial(port));
    program.line_with("link-closed");
    assert_eq!(program.end("-INT").code(), Some(0));
}

#[test]
fn many_clients_of_the_control_socket_are_answered_each_for_itself() {
    let folder = Folder::new("control");
    let socket = folder.file("socket");
    let (program, port) = Program::listen(&["--control", &socket]);
    let control = || BufReader::new(UnixStream::connect(&socket).unwrap());
    let say = |client: &BufReader<UnixStream>, line: &str| {
        client.get_ref().write_all(line.as_bytes()).unwrap();
    };
    let answer = |client: &mut BufReader<UnixStream>| {
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        line
    };
    let (mut waiting, mut other) = (control(), control());
    say(&waiting, "expect link-opened '*'\nhelp\n");
    while answer(&mut waiting) != "ok help\n" {}
    say(&other, "software demo-v1/JTjdbENzHh 0.0.2\nnonsense\n");
    assert_eq!(answer(&mut other), "ok software\n");
    let error = "error nonsense there is no such command; try help\n";
    assert_eq!(answer(&mut other), error);
    let _stream = dial(port);
    assert!(answer(&mut waiting).starts_with("ok expect {\"after\":"));
    say(&other, "state JTjdbENzHh\n");
    assert!(answer(&mut other).contains("\"configId\":\"0.0.2\""));
    assert_eq!(program.end("-TERM").code(), Some(0));
    assert!(!Path::new(&socket).exists());
}

#[test]
fn every_signal_that_asks_for_the_end_takes_the_control_socket_along() {
    let folder = Folder::new("signals");
    let socket = folder.file("socket");
    for signal in ["-INT", "-TERM", "-HUP"] {
        let (program, _) = Program::listen(&["--control", &socket]);
        assert!(Path::new(&socket).exists());
        assert_eq!(program.end(signal).code(), Some(0), "{signal}");
        assert!(!Path::new(&socket).exists(), "{signal}");
    }
}

#[test]
fn json_lines_are_objects_of_one_version_with_shortened_tokens() {
    let args = ["--listen", "127.0.0.1:0", "--json", "--seed", "1"];
    let mut program = Program::start(&args);
    let line = || -> Value { serde_json::from_str(&program.line()).unwrap() };
    let first = line();
    assert_eq!(first["event"], "listening");
    let address = first["address"].as_str().unwrap();
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    send_sample(&mut dial(port));
    loop {
        let line = line();
        assert_eq!(line["v"], 1);
        assert!(line["at"].as_f64().unwrap() >= 0.0);
        if line["event"] == "telemetry" {
            assert_eq!(line["appVersion"], "demo-v1");
            assert_eq!(line["token"], "JTj…");
            assert_eq!(line["data"]["temperature"], 21);
            break;
        }
    }
    program.say("kick nobody");
    let answer: Value = serde_json::from_str(&program.line_with("answer")).unwrap();
    assert_eq!(
        (&answer["verb"], &answer["ok"]),
        (&"kick".into(), &false.into())
    );
}

#[test]
fn a_breach_counts_only_if_it_is_asked_for() {
    for (args, status) in [(&["--strict"][..], 1), (&[], 0)] {
        let (program, port) = Program::listen(args);
        let mut stream = dial(port);
        // Not a topic of 1/KP.
        stream.write_all(b"\x30\x03\x00\x01a").unwrap();
        program.line_with(" breach ");
        assert_eq!(program.end("-TERM").code(), Some(status));
    }
    let (program, port) = Program::listen(&["--strict"]);
    send_sample(&mut dial(port));
    program.line_with("telemetry");
    assert_eq!(program.end("-TERM").code(), Some(0));
}

#[test]
fn users_are_required_once_there_is_one() {
    let folder = Folder::new("users");
    let file = folder.file("users");
    fs::write(&file, "name:pass:word\n").unwrap();
    for args in [["--user", "name:pass:word"], ["--user-file", &file]] {
        let (_program, port) = Program::listen(&args);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(CONNECT).unwrap();
        expect(&mut stream, b"\x20\x02\x00\x05");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let login = b"\x10\x1e\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01c\x00\x04name\x00\x09pass:word";
        stream.write_all(login).unwrap();
        expect(&mut stream, CONNACK);
    }
}

#[test]
fn uploads_are_taken_where_it_says() {
    let folder = Folder::new("uploads");
    let port_file = folder.file("port");
    let http = ["--http-listen", "127.0.0.1:0", "--port-file", &port_file];
    let (program, port) = Program::listen(&http);
    let second = program.line();
    let address = second.strip_prefix("uploads on http://").unwrap();
    let upload_port = address.strip_prefix("127.0.0.1:").unwrap();
    let ports = fs::read_to_string(&port_file).unwrap();
    assert_eq!(ports, format!("{port}\n{upload_port}\n"));
    let mut stream = TcpStream::connect(address).unwrap();
    let post = b"POST /bcx/api/v1/binary-data HTTP/1.1\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(post).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn an_attached_platform_says_so_when_the_broker_has_taken_it() {
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", broker.local_addr().unwrap());
    let program = Program::start(&["--attach", &url]);
    let (mut stream, _) = broker.accept().unwrap();
    stream.read_exact(&mut [0; 33]).unwrap();
    stream.write_all(CONNACK).unwrap();
    expect(&mut stream, b"\x82\x0a\x00\x01\x00\x05kp1/#\x01");
    stream.write_all(b"\x90\x03\x00\x01\x01").unwrap();
    assert_eq!(program.line(), format!("attached to {url}"));
    assert_eq!(program.end("-TERM").code(), Some(0));
    expect(&mut stream, b"\xe0\x00");
}

#[test]
fn a_program_that_nobody_reads_any_more_ends() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kaa"))
        .args(["platform", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let port: u16 = first.trim().rsplit(':').next().unwrap().parse().unwrap();
    // Each is told in a line. One is not enough: a process that another test is just starting may
    // hold our end of the pipe for a moment.
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let _ = TcpStream::connect(("127.0.0.1", port));
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_standard_output_that_fails_is_no_good_end() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    for args in [&["--listen", "127.0.0.1:0"][..], &["--switch", "help"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kaa"));
        command.arg("platform").args(args).stdin(Stdio::null());
        let output = command.stdout(full.try_clone().unwrap());
        let output = output.stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(
            words.contains("standard output cannot be written"),
            "{words}"
        );
    }
}

#[test]
fn complaints_that_nobody_reads_change_no_status() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let status = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kaa"));
        let command = command.arg("platform").args(args).stderr(full());
        command.status().unwrap().code()
    };
    assert_eq!(status(&["--listen", "nowhere"]), Some(2));
    assert_eq!(status(&["--fixture", "/nowhere"]), Some(2));
}

#[test]
fn a_reader_who_is_slow_holds_up_neither_devices_nor_the_end() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kaa"))
        .args(["platform", "--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = Vec::new();
    while first.last() != Some(&b'\n') {
        let mut byte = [0];
        stdout.read_exact(&mut byte).unwrap();
        first.push(byte[0]);
    }
    let first = String::from_utf8(first).unwrap();
    let mut stream = dial(first.trim().rsplit(':').next().unwrap().parse().unwrap());
    // Many times what a pipe holds.
    for _ in 0..5_000 {
        send_sample(&mut stream);
        expect(
            &mut stream,
            b"\x30\x2b\x00\x29kp1/demo-v1/dcx/JTjdbENzHh/json/42/status",
        );
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_switches_are_listed_with_their_meaning() {
    let output = run(&["--switch", "help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let delivery = "delivery=both\n    last-speaker | subscription | both\n    Who gets answers";
    assert!(text.starts_with(delivery), "{text}");
    assert!(text.contains("\ncommand-ttl=60s\n"));
}

#[test]
fn arguments_that_cannot_be_taken_are_named() {
    let folder = Folder::new("refused");
    let fixture = folder.file("fixture.json");
    fs::write(&fixture, "{\"appVersions\": {\"v\":\n {\"endpoint\": {}}}}").unwrap();
    let error = refused(&["--fixture", &fixture]);
    assert!(error.contains("`en…`, expected `endpoints` at"), "{error}");
    assert!(error.contains("line 2"), "{error}");
    let with_token =
        "{\"appVersions\": {\"v\": {\"endpoints\": {\"t\": {\"uploadToken\": 356938035643809}}}}}";
    fs::write(&fixture, with_token).unwrap();
    let error = refused(&["--fixture", &fixture]);
    assert!(error.contains("expected a string at line 1"), "{error}");
    assert!(!error.contains("356938035643809"), "{error}");
    let users = folder.file("users");
    fs::write(&users, "name:password\nsecret\n").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, part) in [
        (["--switch", "speed=on"], "there is no switch \"speed\""),
        (["--switch", "echo=maybe"], "switch echo takes on | off"),
        (["--switch", "echo"], "--switch takes NAME=VALUE"),
        (
            ["--switch", "max-packet=18446744073709551615"],
            "from 1 to 268435455",
        ),
        (["--user", "secret"], "--user takes NAME:PASSWORD"),
        (["--user-file", &users], "line 2 is no NAME:PASSWORD"),
        (["--fixture", "/nowhere"], "/nowhere: No such file"),
        (["--http-listen", &taken], "in use"),
        (["--http-listen", "8080"], "--http-listen takes HOST:PORT"),
        (["--attach", "mqtt://h"], "cannot be used with"),
        (["--seed", "x"], "invalid value"),
        (["--speed", "x"], "unexpected argument"),
    ] {
        let error = refused(&args);
        assert!(error.contains(part), "{args:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let output = run(&["--attach", "localhost:1883"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("a broker's URL is mqtt://HOST:PORT"),
        "{error}"
    );
}
