//! `kaa doctor`, on a platform that is well and on each kind of trouble: what it says, and how it
//! ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use kaa_blocking::names::EndpointName;
use kaa_blocking::platform::{LocalOptions, LocalPlatform, LocalTls};
use kaa_proto::platform::{Fault, Fixture, Secret, User, UserState};
use kaa_tests::certificates::{Authority, Key, Server};
use kaa_tests::ports::free_port;
use kaa_tests::scratch::Scratch;
use serde_json::{Value, json};

/// What the doctor said, and how he ended.
struct Said {
    checks: BTreeMap<String, Value>,
    words: String,
    code: Option<i32>,
}

impl Said {
    /// Asks him about that URL.
    fn of(url: &str, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kaa"));
        command
            .args(["doctor", "--url", url, "--app-version", "demo-v1"])
            .args(args)
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KAA_") {
                command.env_remove(name);
            }
        }
        let home = Scratch::new().unwrap();
        command
            .env("KAA_TOKEN", "my-token")
            .env("HOME", home.path())
            .env("XDG_CONFIG_HOME", home.path())
            .envs(environment.iter().copied());
        let output = command.output().unwrap();
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let checks = lines.map(|line| (line["check"].as_str().unwrap().to_owned(), line));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!words.contains("my-token"), "{words}");
        Self {
            checks: checks.collect(),
            words,
            code: output.status.code(),
        }
    }

    fn verdict(&self, check: &str) -> &str {
        self.checks[check]["verdict"].as_str().unwrap()
    }

    /// All checks but this one went well; it failed with these words, and so the program ended.
    fn fails(&self, check: &str, gist: &str, code: i32) {
        for name in self.checks.keys() {
            let expected = if name == check { "fail" } else { "pass" };
            assert_eq!(self.verdict(name), expected, "{name}: {}", self.words);
        }
        let line = &self.checks[check];
        let why = line["why"].as_str().unwrap();
        assert!(why.contains(gist), "{why}");
        assert!(line["advice"].is_string(), "{line}");
        assert_eq!(self.code, Some(code), "{}", self.words);
    }
}

fn platform(set: impl FnOnce(&mut LocalOptions)) -> LocalPlatform {
    let mut options = LocalOptions::default();
    set(&mut options);
    LocalPlatform::start(options).unwrap()
}

fn switches(switches: &[(&str, &str)]) -> LocalPlatform {
    platform(|options| {
        for (name, value) in switches {
            options.platform.switches.set(name, value).unwrap();
        }
    })
}

/// A platform that knows no endpoint but another one.
fn stranger(bad_token: &str) -> LocalPlatform {
    let fixture = r#"{"appVersions": {"demo-v1": {"endpoints": {"another": {}}}}}"#;
    platform(|options| {
        options.platform.fixture = Some(Fixture::parse(fixture).unwrap());
        let switches = &mut options.platform.switches;
        switches.set("bad-token", bad_token).unwrap();
    })
}

/// A platform over TLS, and what the doctor says of it who trusts the authority, or another one.
fn over_tls(server: Server, trusts: bool, url: impl FnOnce(u16) -> String) -> Said {
    let authority = Authority::new("Root");
    let platform = secured(&authority, server, |_| {});
    let trusted = match trusts {
        true => authority,
        false => Authority::new("Other"),
    };
    trusting(&trusted, &url(platform.addr().unwrap().port()), &[])
}

/// A platform over TLS.
fn secured(
    authority: &Authority,
    server: Server,
    set: impl FnOnce(&mut LocalOptions),
) -> LocalPlatform {
    let files = authority.server(server, Key::EcPkcs8);
    let tls =
        LocalTls::from_pem(files.chain_pem.as_bytes(), files.key_pem.as_bytes(), None).unwrap();
    platform(|options| {
        options.tls = Some(tls);
        set(options);
    })
}

/// What the doctor says of that URL who trusts the authority.
fn trusting(authority: &Authority, url: &str, environment: &[(&str, &str)]) -> Said {
    let folder = Scratch::new().unwrap();
    let ca = authority.write(&folder, "ca").unwrap();
    let args = ["--ca", ca.to_str().unwrap(), "--timeout", "5s"];
    Said::of(url, &args, environment)
}

/// A platform that wants a login, and the environment of one.
fn with_user(options: &mut LocalOptions) {
    options.platform.users = vec![User {
        name: "device@tenant".into(),
        password: Secret::new("right"),
        state: UserState::Active,
    }];
}

fn login(password: &str) -> [(&str, &str); 2] {
    [
        ("KAA_USERNAME", "device@tenant"),
        ("KAA_PASSWORD", password),
    ]
}

fn localhost(port: u16) -> String {
    format!("mqtts://localhost:{port}")
}

#[test]
fn a_healthy_platform_is_said_to_be_well() {
    let platform = switches(&[]);
    let said = Said::of(platform.url(), &[], &[]);
    for check in ["name", "tcp", "connack", "token", "delivery", "round-trip"] {
        assert_eq!(said.verdict(check), "pass", "{}", said.words);
    }
    assert!(said.words.contains("All is well."), "{}", said.words);
    assert_eq!(
        said.checks["round-trip"]["millis"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(said.code, Some(0));
}

#[test]
fn a_healthy_platform_over_tls_says_how_long_its_certificate_lasts() {
    let said = over_tls(Server::Good, true, localhost);
    assert_eq!(said.code, Some(0), "{}", said.words);
    let tls = &said.checks["tls"];
    assert!(tls["daysLeft"].as_u64().unwrap() > 1_000, "{tls}");
    assert!(tls["version"].as_str().unwrap().starts_with("TLS 1."));
}

#[test]
fn a_name_that_does_not_resolve_and_a_port_that_nobody_listens_on_are_unreachable() {
    let said = Said::of("mqtt://nowhere.invalid", &[], &[]);
    said.fails("name", "nowhere.invalid is not found", 5);
    let url = format!("mqtt://127.0.0.1:{}", free_port().unwrap());
    Said::of(&url, &[], &[]).fails("tcp", "No connection is made", 5);
}

#[test]
fn a_certificate_that_is_not_to_be_trusted_is_named() {
    over_tls(Server::WrongHost, true, localhost).fails("tls", "another host", 6);
    over_tls(Server::Expired, true, localhost).fails("tls", "expired", 6);
    over_tls(Server::Good, false, localhost).fails("tls", "unknown authority", 6);
    over_tls(Server::SelfSigned, false, localhost).fails("tls", "self-signed", 6);
}

#[test]
fn plain_mqtt_at_a_port_of_tls_and_the_other_way_are_told_apart() {
    let plain = |port| format!("mqtt://localhost:{port}");
    let authority = Authority::new("Root");
    let secured = secured(&authority, Server::Good, |_| {});
    let port = secured.addr().unwrap().port();
    let said = Said::of(&plain(port), &["--timeout", "2s"], &[]);
    assert_eq!(said.verdict("connack"), "fail");
    assert!(said.words.contains("mqtts://localhost"), "{}", said.words);
    let open = switches(&[]);
    let url = localhost(open.addr().unwrap().port());
    let said = trusting(&authority, &url, &[]);
    said.fails("tls", "TLS", said.code.unwrap());
    assert!(said.words.contains("mqtt://localhost"), "{}", said.words);
}

#[test]
fn a_server_that_never_answers_the_handshake_is_not_said_to_be_secured() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = localhost(deaf.local_addr().unwrap().port());
    let authority = Authority::new("Root");
    let folder = Scratch::new().unwrap();
    let ca = authority.write(&folder, "ca").unwrap();
    let args = ["--ca", ca.to_str().unwrap(), "--timeout", "1s"];
    let said = Said::of(&url, &args, &[]);
    said.fails("tls", "does not secure the connection", 5);
    assert!(!said.checks.contains_key("connack"), "{}", said.words);
}

#[test]
fn a_login_that_is_refused_over_tls_leaves_the_link_secured() {
    let authority = Authority::new("Root");
    let platform = secured(&authority, Server::Good, with_user);
    let url = localhost(platform.addr().unwrap().port());
    let said = trusting(&authority, &url, &login("wrong"));
    said.fails("connack", "the password is wrong", 6);
    let tls = &said.checks["tls"];
    assert!(tls["daysLeft"].as_u64().unwrap() > 1_000, "{tls}");
}

#[test]
fn credentials_that_are_refused_are_said_to_be() {
    let platform = platform(with_user);
    let ask = |password| Said::of(platform.url(), &[], &login(password));
    ask("wrong").fails("connack", "the password is wrong", 6);
    assert_eq!(ask("right").code, Some(0));
}

#[test]
fn an_unknown_token_is_said_to_be_whether_it_is_answered_or_not() {
    let said = Said::of(stranger("401").url(), &[], &[]);
    said.fails("token", "401", 3);
    let said = Said::of(stranger("disconnect").url(), &[], &[]);
    said.fails("token", "closes the connection", 6);
}

#[test]
fn a_platform_that_does_not_answer_is_said_not_to() {
    let silent = switches(&[]);
    silent.fault(Fault::parse(&["lose", "always"]).unwrap());
    let said = Said::of(silent.url(), &["--timeout", "1s"], &[]);
    said.fails("token", "does not answer", 4);
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", deaf.local_addr().unwrap());
    let said = Said::of(&url, &["--timeout", "1s"], &[]);
    said.fails("connack", "did not answer CONNECT", 5);
}

#[test]
fn answers_that_only_subscribers_get_are_found_out() {
    let platform = switches(&[("delivery", "subscription")]);
    let said = Said::of(platform.url(), &[], &[]);
    let delivery = &said.checks["delivery"];
    assert_eq!(delivery["withoutSubscription"], json!(false));
    assert_eq!(delivery["withSubscription"], json!(true));
    assert!(said.words.contains("subscribers only"), "{}", said.words);
    assert_eq!(said.code, Some(0));
}

#[test]
fn the_style_of_pushes_shows_by_one_that_comes() {
    for (style, without, with) in [
        ("no-id", true, false),
        ("with-id", false, true),
        ("both", true, true),
    ] {
        let platform = switches(&[("push-topic", style), ("unsolicited-config", "off")]);
        let name = EndpointName::parse("demo-v1", "my-token").unwrap();
        let said = thread::scope(|scope| {
            let asked = scope.spawn(|| {
                // As soon as it is observed, something changes.
                while let Some(event) = platform.next_event(std::time::Duration::from_secs(20)) {
                    if event.to_string().contains("observe=true") {
                        platform
                            .set_configuration(&name, None, json!({"rate": 5}))
                            .unwrap();
                        return;
                    }
                }
            });
            let said = Said::of(platform.url(), &["--watch", "20s"], &[]);
            asked.join().unwrap();
            said
        });
        let push = &said.checks["push-style"];
        assert_eq!(push["withoutId"], json!(without), "{style}: {}", said.words);
        assert_eq!(push["withId"], json!(with), "{style}: {}", said.words);
        assert_eq!(said.code, Some(0));
    }
}

#[test]
fn copies_of_an_answer_are_no_push() {
    let platform = switches(&[("unsolicited-config", "off")]);
    platform.fault(Fault::parse(&["duplicate", "3", "always"]).unwrap());
    let said = Said::of(platform.url(), &[], &[]);
    assert_eq!(said.checks["delivery"]["copies"], json!(3));
    let push = &said.checks["push-style"];
    assert_eq!(push["verdict"], "not-judged", "{}", said.words);
    assert_eq!(push["withId"], json!(false), "{}", said.words);
    assert_eq!(said.code, Some(0));
}

/// A port behind which the platform is, for that many connections; later ones are closed at once.
fn gate(platform: SocketAddr, connections: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let pass_on = |mut from: TcpStream, mut to: TcpStream| {
        thread::spawn(move || {
            // However it ends, the other side is told.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
    };
    thread::spawn(move || {
        for (number, device) in listener.incoming().flatten().enumerate() {
            if number < connections {
                let platform = TcpStream::connect(platform).unwrap();
                pass_on(device.try_clone().unwrap(), platform.try_clone().unwrap());
                pass_on(platform, device);
            }
        }
    });
    port
}

#[test]
fn what_could_not_be_judged_is_not_said_to_be_well() {
    let platform = switches(&[]);
    // One tries the port, and one is the client's.
    let port = gate(platform.addr().unwrap(), 2);
    let said = Said::of(&format!("mqtt://127.0.0.1:{port}"), &[], &[]);
    assert_eq!(said.verdict("token"), "pass", "{}", said.words);
    assert_eq!(said.verdict("delivery"), "not-judged", "{}", said.words);
    assert_eq!(said.verdict("round-trip"), "not-judged", "{}", said.words);
    assert!(!said.words.contains("All is well."), "{}", said.words);
    let words = "All that was judged is well.";
    assert!(said.words.contains(words), "{}", said.words);
    assert_eq!(said.code, Some(0));
}
