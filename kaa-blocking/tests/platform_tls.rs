//! `kaa platform` over TLS, with the distribution's mosquitto clients: the real ones that it is to
//! serve. Everything waits for what it needs, nothing for a fixed time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use kaa_tests::certificates::{Authority, IdentityFiles, Key, Server};
use kaa_tests::mosquitto::program;
use kaa_tests::scratch::Scratch;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// What the tests share: an authority, and what it signed for the platform.
struct Setup {
    folder: Scratch,
    authority: Authority,
    ca: String,
    server: IdentityFiles,
}

impl Setup {
    fn new(key: Key) -> Self {
        let folder = Scratch::new().unwrap();
        let authority = Authority::new("Root");
        let ca = text(&authority.write(&folder, "ca").unwrap());
        let between = authority.subordinate("Between");
        let server = between.server(Server::Good, key);
        let server = server.write(&folder, "server").unwrap();
        Self {
            folder,
            authority,
            ca,
            server,
        }
    }

    /// The platform over TLS.
    fn platform(&self, more: &[&str]) -> Platform {
        let (cert, key) = (text(&self.server.chain), text(&self.server.key));
        Platform::start(&[&["--tls-cert", &cert, "--tls-key", &key], more].concat())
    }

    /// Arguments of a client that has a certificate of this authority.
    fn identity(&self, authority: &Authority, key: Key) -> [String; 4] {
        let own = authority.client("device", key);
        let own = own.write(&self.folder, "device").unwrap();
        [
            "--cert".into(),
            text(&own.chain),
            "--key".into(),
            text(&own.key),
        ]
    }
}

/// A running `kaa platform`. It is killed with its test.
struct Platform {
    child: Child,
    port: u16,
    lines: Receiver<String>,
}

impl Platform {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kaa"))
            .args(["platform", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
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
        let first = lines.recv_timeout(LONG).expect("it listens");
        let port = first.split("127.0.0.1:").nth(1).unwrap();
        let end = port.find(|c: char| !c.is_ascii_digit());
        let port = port[..end.unwrap_or(port.len())].parse().unwrap();
        Self { child, port, lines }
    }

    /// The next line that has this in it.
    fn line_with(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LONG).expect("a line is printed");
            if line.contains(part) {
                return line;
            }
        }
    }

    /// A request of the page by mosquitto_rr, and what it got.
    fn request(&self, args: &[impl AsRef<OsStr>]) -> Output {
        let topic = "kp1/demo-v1/dcx/my-token/json/42";
        Command::new(program("mosquitto_rr").unwrap())
            .args(["-h", "localhost", "-p", &self.port.to_string()])
            .args(["-V", "311", "-q", "1", "-W", "20", "-t", topic])
            .args(["-e", &format!("{topic}/status"), "-F", "answered"])
            .args(["-m", "{\"temperature\": 21}"])
            .args(args)
            .output()
            .unwrap()
    }

    fn serves(&self, args: &[impl AsRef<OsStr>]) {
        let output = self.request(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(output.stdout, b"answered\n", "{said}");
        self.line_with("telemetry data={\"temperature\":21}");
    }

    fn refuses(&self, args: &[impl AsRef<OsStr>], cause: &str) {
        let output = self.request(args);
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        // The client may have tried more than once.
        let line = self.line_with(cause);
        assert!(line.contains(" tls-failed "), "{line}");
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().into()
}

fn kaa(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kaa"));
    command.args(args).output().unwrap()
}

/// How it complains about arguments it cannot take.
fn refused(args: &[&str]) -> String {
    let output = kaa(&[&["platform", "--listen", "127.0.0.1:0"], args].concat());
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn requests_are_answered_over_both_versions_with_every_form_of_key() {
    for key in [Key::EcPkcs8, Key::EcSec1, Key::RsaPkcs8, Key::RsaPkcs1] {
        let setup = Setup::new(key);
        let platform = setup.platform(&[]);
        for version in ["tlsv1.2", "tlsv1.3"] {
            platform.serves(&["--cafile", &setup.ca, "--tls-version", version]);
        }
    }
}

#[test]
fn only_clients_of_the_authority_are_served_if_one_is_given() {
    let setup = Setup::new(Key::EcPkcs8);
    let platform = setup.platform(&["--client-ca", &setup.ca]);
    let other = Authority::new("Root");
    for version in ["tlsv1.2", "tlsv1.3"] {
        let trust = ["--cafile", &setup.ca, "--tls-version", version].map(String::from);
        platform.refuses(&trust, "peer sent no certificates");
        let strange = setup.identity(&other, Key::EcPkcs8);
        let strange = [&trust[..], &strange].concat();
        platform.refuses(&strange, "invalid peer certificate");
        let below = setup.authority.subordinate("Below");
        let own = setup.identity(&below, Key::RsaPkcs1);
        platform.serves(&[&trust[..], &own].concat());
    }
}

#[test]
fn a_password_is_asked_for_over_tls_too() {
    let setup = Setup::new(Key::EcPkcs8);
    let platform = setup.platform(&["--user", "name:pass"]);
    let trust = ["--cafile", &setup.ca];
    assert!(!platform.request(&trust).status.success());
    platform.line_with("login-refused");
    platform.serves(&[&trust[..], &["-u", "name", "-P", "pass"]].concat());
}

#[test]
fn a_plain_client_on_the_tls_port_is_told_of_and_harms_nobody() {
    let setup = Setup::new(Key::EcPkcs8);
    let platform = setup.platform(&[]);
    let none: [&str; 0] = [];
    platform.refuses(&none, "what the client sent is not TLS");
    // One that stops in the middle of its handshake, too.
    let mut stalled = TcpStream::connect(("127.0.0.1", platform.port)).unwrap();
    stalled.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap();
    platform.serves(&["--cafile", &setup.ca]);
    let elsewhere = Authority::new("Root");
    let elsewhere = text(&elsewhere.write(&setup.folder, "elsewhere").unwrap());
    platform.refuses(&["--cafile", &elsewhere], "received fatal alert");
}

#[test]
fn a_tls_client_on_a_plain_port_is_refused_and_harms_nobody() {
    let setup = Setup::new(Key::EcPkcs8);
    let platform = Platform::start(&[]);
    let output = platform.request(&["--cafile", &setup.ca]);
    assert!(!output.status.success());
    platform.line_with(" breach ");
    platform.line_with(" link-closed");
    let none: [&str; 0] = [];
    platform.serves(&none);
}

#[test]
fn tls_failures_are_json_lines_too() {
    let setup = Setup::new(Key::EcPkcs8);
    let platform = setup.platform(&["--json"]);
    let mut stream = TcpStream::connect(("127.0.0.1", platform.port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
    let line: serde_json::Value = serde_json::from_str(&platform.line_with("tls-failed")).unwrap();
    assert_eq!(line["v"], 1);
    assert_eq!(line["event"], "tls-failed");
    assert_eq!(line["link"], 1);
    assert_eq!(line["cause"], "what the client sent is not TLS");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let setup = Setup::new(Key::EcPkcs8);
    let (cert, key) = (text(&setup.server.chain), text(&setup.server.key));
    let other = setup.authority.server(Server::Good, Key::EcPkcs8);
    let other = text(&other.write(&setup.folder, "other").unwrap().key);
    let cut = text(&setup.folder.path().join("cut.key"));
    let secret = fs::read_to_string(&key).unwrap();
    fs::write(&cut, secret.replace("-----END", "-----FIN")).unwrap();
    let secret = secret.lines().nth(1).unwrap();

    let mismatch = format!("{other}: the private key does not belong to the certificate");
    let swapped = format!("{key}: there is no PEM certificate");
    let no_key = format!("{cert}: there is no PEM private key");
    let no_ca = format!("{key}: there is no PEM certificate of a client authority");
    let broken = format!("{cut}: the private key is broken");
    let plain = ["--tls-cert", &cert, "--tls-key", &key];
    for (args, part) in [
        (&["--tls-cert", &cert][..], "--tls-key <FILE>"),
        (&["--tls-key", &key], "--tls-cert <FILE>"),
        (&["--client-ca", &setup.ca], "--tls-cert <FILE>"),
        (
            &["--tls-cert", "/nowhere", "--tls-key", &key],
            "/nowhere: No such file",
        ),
        (
            &["--tls-cert", &cert, "--tls-key", "/nowhere"],
            "/nowhere: No such file",
        ),
        (
            &[&plain[..], &["--client-ca", "/nowhere"]].concat(),
            "/nowhere: No such file",
        ),
        (&["--tls-cert", &cert, "--tls-key", &other], &mismatch),
        (&["--tls-cert", &key, "--tls-key", &key], &swapped),
        (&["--tls-cert", &cert, "--tls-key", &cert], &no_key),
        (&["--tls-cert", &cert, "--tls-key", &cut], &broken),
        (&[&plain[..], &["--client-ca", &key]].concat(), &no_ca),
    ] {
        let error = refused(args);
        assert!(error.contains(part), "{args:?}: {error}");
        assert!(!error.contains(secret), "{error}");
    }
    // Without `--listen` the port is the usual one; the uploads' is taken, so nobody listens on it.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let uploads = ["platform", "--http-listen", &taken];
    for (more, addr) in [(&plain[..], "127.0.0.1:8883"), (&[], "127.0.0.1:1883")] {
        let output = kaa(&[&uploads, more].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            error.contains(&format!("cannot listen on {addr}, ")),
            "{error}"
        );
    }
    let attach = [&["platform", "--attach", "mqtt://h"], &plain[..]].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_kaa"))
        .args(attach)
        .output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cannot be used with"), "{error}");
}
