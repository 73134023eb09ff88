//! The example of level A, over rumqttc and a Mosquitto of the distribution, with the platform
//! attached to it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use kaa_blocking::names::{CommandType, EndpointName};
use kaa_blocking::platform::{LocalOptions, LocalPlatform, News};
use kaa_proto::platform::EventKind;
use kaa_tests::mosquitto::Mosquitto;
use serde_json::json;

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_example_has_fewer_than_80_lines() {
    let example = include_str!("../../kaa-proto/examples/level_a_rumqttc.rs");
    assert!(example.lines().count() < 80);
    assert!(example.lines().all(|line| line.len() <= 100));
}

#[test]
fn the_example_is_served_in_full_and_breaks_no_rule() {
    let broker = Mosquitto::start().unwrap();
    let platform = attach(&broker);
    // Larger than what rumqttc takes by default.
    let large = json!({"key": "v".repeat(20_000)});
    platform.set_configuration(&name(), None, large).unwrap();
    let _example = Example::run(broker.port());

    let mut seen = Seen::default();
    wait_for(&platform, |kind| {
        seen.note(kind);
        seen.is_all()
    });
    let state = platform.state(&name()).unwrap();
    assert_eq!(state.last_sample, Some(json!({"temperature": 21})));
    let configuration = &state.configurations[""];
    let reported = configuration.reported.as_ref().unwrap();
    let assigned = configuration.assigned.as_ref().unwrap();
    assert_eq!(reported.config_id, assigned.config_id);
    answers_a_command(&platform);

    platform.stop();
    assert_eq!(seen.broken, Vec::<String>::new());
    let left = platform.events(Duration::ZERO);
    assert_eq!(left.filter(|event| is_broken(&event.kind)).count(), 0);
}

#[test]
fn the_example_observes_again_when_its_broker_is_back() {
    let mut broker = Mosquitto::start().unwrap();
    let platform = attach(&broker);
    let door = Door::to(broker.port());
    let _example = Example::run(door.port);
    wait_for_observations(&platform);

    // The platform is to be back first: a broker alone swallows what devices publish.
    door.set_open(false);
    broker.stop().unwrap();
    broker.restart().unwrap();
    while !matches!(
        platform.news(PATIENCE).expect("it is attached again"),
        News::Attached
    ) {}
    door.set_open(true);

    wait_for_observations(&platform);
    answers_a_command(&platform);
}

/// The example as a process, ended when this is dropped.
struct Example(Child);

impl Example {
    fn run(port: u16) -> Self {
        let program = env!("CARGO_BIN_EXE_level_a_rumqttc");
        let child = Command::new(program)
            .args(["127.0.0.1", &port.to_string(), "demo-v1", "JTjdbENzHh"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A door to a broker. While it is shut, who comes is sent away.
struct Door {
    port: u16,
    is_open: Arc<AtomicBool>,
}

impl Door {
    fn to(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Arc::new(AtomicBool::new(true));
        let open = Arc::clone(&is_open);
        thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                if open.load(Ordering::SeqCst) {
                    if let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) {
                        let back = (broker.try_clone().unwrap(), device.try_clone().unwrap());
                        thread::spawn(move || pass(device, broker));
                        thread::spawn(move || pass(back.0, back.1));
                    }
                }
            }
        });
        Self { port, is_open }
    }

    fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::SeqCst);
    }
}

/// Copies until either side ends, then ends both.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let end = |stream: &TcpStream| -> io::Result<()> { stream.shutdown(Shutdown::Both) };
    let _ = (end(&from), end(&to));
}

fn attach(broker: &Mosquitto) -> LocalPlatform {
    let platform = LocalPlatform::attach(&broker.url(), None, LocalOptions::default()).unwrap();
    platform.ready(PATIENCE).unwrap();
    platform
}

/// What the platform saw of the example.
#[derive(Default)]
struct Seen {
    sample: bool,
    metadata: bool,
    commands: bool,
    applied: bool,
    broken: Vec<String>,
}

impl Seen {
    fn note(&mut self, kind: &EventKind) {
        self.sample |= matches!(kind, EventKind::Telemetry { samples: 1, .. });
        self.metadata |= matches!(kind, EventKind::MetadataRead { .. });
        self.commands |= observes_reboot(kind);
        self.applied |= matches!(kind, EventKind::ConfigApplied { .. });
        if is_broken(kind) {
            self.broken.push(format!("{kind:?}"));
        }
    }

    fn is_all(&self) -> bool {
        self.sample && self.metadata && self.commands && self.applied
    }
}

fn is_broken(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Breach { .. } | EventKind::Refused { .. })
}

fn observes_reboot(kind: &EventKind) -> bool {
    matches!(kind, EventKind::CommandsRequested { command_type: Some(name), observe: Some(true), .. } if name == "reboot")
}

fn wait_for_observations(platform: &LocalPlatform) {
    let (mut commands, mut configuration) = (false, false);
    let of_configuration = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::ConfigRequested {
                observe: Some(true),
                ..
            }
        )
    };
    let both = |kind: &EventKind| {
        commands |= observes_reboot(kind);
        configuration |= of_configuration(kind);
        commands && configuration
    };
    wait_for(platform, both);
}

fn answers_a_command(platform: &LocalPlatform) {
    let reboot = CommandType::new("reboot").unwrap();
    let invoked = platform.command(&name(), &reboot, None).unwrap();
    wait_for(
        platform,
        |kind| matches!(kind, EventKind::CommandResult { id, known: true, status_code: 200, .. } if *id == invoked),
    );
}

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

/// Reads events until one `is_it`.
fn wait_for(platform: &LocalPlatform, mut is_it: impl FnMut(&EventKind) -> bool) {
    let mut seen = Vec::new();
    for event in platform.events(PATIENCE) {
        if is_it(&event.kind) {
            return;
        }
        seen.push(event.to_string());
    }
    panic!("it did not happen; what did: {seen:#?}");
}
