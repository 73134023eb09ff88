//! The quickstart as a newcomer runs it, the same on every runtime: `EXAMPLE` names the program. Its transcript is compared with topics and
//! payloads that are typed out from PAGE; what the machine says of itself and identifiers that the
//! platform draws are masked.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::process::Command;
use std::time::Duration;

use kaa_blocking::platform::{LocalOptions, LocalPlatform, LocalTls};
use kaa_proto::platform::{EventKind, Fixture, Secret, User, UserState};
use kaa_tests::certificates::{Authority, Key, Server};
use kaa_tests::example::{example, transcript};
use kaa_tests::scratch::Scratch;

use super::EXAMPLE;

const TRANSCRIPT: &str = r#"device demo-v1/JTj…

send a sample
  > kp1/demo-v1/dcx/JTj…/json
    {"load":#,"memory":#,"uptime":#}
  < confirmed

send a batch of two
  > kp1/demo-v1/dcx/JTj…/json
    [{"load":#,"memory":#,"uptime":#},{"load":#,"memory":#,"uptime":#}]
  < confirmed

send a plain value
  > kp1/demo-v1/dcx/JTj…/plain/load
    #
  < confirmed

replace all metadata
  > kp1/demo-v1/epmx/JTj…/update
    {"areaId":7,"deviceModel":"example model","name":"Sensor 1"}
  < confirmed

merge metadata
  > kp1/demo-v1/epmx/JTj…/update/keys
    {"deviceModel":"new model"}
  < confirmed

list the metadata keys
  > kp1/demo-v1/epmx/JTj…/get/keys
    (empty)
  < ["areaId","deviceModel","name"]

read all metadata
  > kp1/demo-v1/epmx/JTj…/get
    (empty)
  < {"areaId":7,"deviceModel":"new model","name":"Sensor 1"}

delete a metadata key
  > kp1/demo-v1/epmx/JTj…/delete/keys
    ["areaId"]
  < confirmed

a command came
  < switch-light 1: {"on":true}

report its result
  > kp1/demo-v1/cex/JTj…/result/switch-light
    [{"id":1,"statusCode":200,"payload":{"light":"on"}}]
  < confirmed

list pending commands
  > kp1/demo-v1/cex/JTj…/command/reboot
    {}
  < none

the configuration so far came
  < none is assigned

a new configuration came
  < (id): {"array":["value2"],"key":"value"}

report it as applied
  > kp1/demo-v1/cmx/JTj…/applied/json
    {"configId":"(id)"}
  < confirmed

read the configuration
  > kp1/demo-v1/cmx/JTj…/config/json
    {}
  < (id): {"array":["value2"],"key":"value"}

a software update came
  < 0.0.2: {"link":"https://example.com/fw-0.0.2.bin"}

report the new version
  > kp1/demo-v1/cmx_ota/JTj…/applied/json
    {"configId":"0.0.2"}
  < confirmed

ask for software
  > kp1/demo-v1/cmx_ota/JTj…/config/json
    {}
  < not modified

get an upload token
  > kp1/demo-v1/bcx/JTj…/token
    (empty)
  < an upload token, which is a secret
  (upload with it: POST /bcx/api/v1/binary-data?name=snapshot.jpg)

15 of 15 operations confirmed, among them all 14 of the Kaa MQTT API
"#;

/// Replaces what differs from run to run: measurements, and identifiers of 32 digits.
fn masked(transcript: &str) -> String {
    let mut masked = String::new();
    let mut is_telemetry = false;
    for line in transcript.lines() {
        let is_number =
            |c: char| is_telemetry && line.starts_with("    ") && (c.is_ascii_digit() || c == '.');
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            let id = rest.chars().take_while(char::is_ascii_hexdigit).count();
            let number = rest.chars().take_while(|&c| is_number(c)).count();
            let (text, end) = match (id, number) {
                (32, _) => ("(id)", 32),
                (_, 1..) => ("#", number),
                _ => ("", c.len_utf8()),
            };
            masked.push_str(if text.is_empty() { &rest[..end] } else { text });
            rest = &rest[end..];
        }
        masked.push('\n');
        is_telemetry = line.contains("/dcx/");
    }
    masked
}

/// A platform that has something of each kind for the device.
fn furnished() -> LocalOptions {
    let mut local = LocalOptions::default();
    let fixture = r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
        "metadata": {"name": "Device name"},
        "configurations": {"": {"configId": "97016dbe8bb4adff8f754ecbf24612f2", "config": {"key": "value"}}},
        "software": {"configId": "0.0.2", "config": {"link": "https://example.com/fw-0.0.2.bin"}},
        "commands": {"switch-light": [{"id": 5, "payload": {"on": false}}]}}}}}}"#;
    local.platform.fixture = Some(Fixture::parse(fixture).unwrap());
    local
}

/// The example on a platform of its environment.
fn on(platform: &LocalPlatform) -> Command {
    let mut command = example(EXAMPLE);
    command
        .env("KAA_URL", platform.url())
        .env("KAA_APP_VERSION", "demo-v1")
        .env("KAA_TOKEN", "JTjdbENzHh");
    command
}

#[test]
fn it_goes_through_all_fourteen_operations_and_says_so() {
    let output = example(EXAMPLE).output().unwrap();
    assert_eq!(masked(&transcript(&output)), TRANSCRIPT);
}

#[test]
fn on_a_platform_that_is_not_its_own_it_writes_no_metadata_and_claims_no_version() {
    let mut local = furnished();
    local.platform.users.push(User {
        name: "name@tenant".into(),
        password: Secret::new("secret"),
        state: UserState::Active,
    });
    let platform = LocalPlatform::start(local).unwrap();
    let output = on(&platform)
        .env("KAA_USERNAME", "name@tenant")
        .env("KAA_PASSWORD", "secret")
        .output()
        .unwrap();
    let transcript = transcript(&output);
    for line in [
        r#"  < {"name":"Device name"}"#,
        r#"  < switch-light 5: {"on":false}"#,
        r#"  < 97016dbe8bb4adff8f754ecbf24612f2: {"key":"value"}"#,
        r#"  < 0.0.2: {"link":"https://example.com/fw-0.0.2.bin"}"#,
        "11 of 11 operations confirmed, among them 10 of the 14 of the Kaa MQTT API",
    ] {
        assert!(
            transcript.lines().any(|found| found == line),
            "{line}\n{transcript}"
        );
    }
    assert!(!transcript.contains("JTjdbENzHh"), "the token is shortened");
    platform.stop();
    let is_destructive = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::MetadataReplaced { .. }
                | EventKind::MetadataMerged { .. }
                | EventKind::MetadataDeleted { .. }
                | EventKind::SoftwareReported { .. }
                | EventKind::Breach { .. }
        )
    };
    let destructive: Vec<_> = platform
        .events(Duration::ZERO)
        .filter(|event| is_destructive(&event.kind))
        .collect();
    assert_eq!(destructive, []);
}

#[test]
fn over_tls_it_trusts_the_authority_of_its_environment_and_shows_the_certificate() {
    let authority = Authority::new("platform");
    let server = authority.server(Server::Good, Key::EcPkcs8);
    let clients = Authority::new("devices");
    let (chain, key) = (server.chain_pem.as_bytes(), server.key_pem.as_bytes());
    let tls = LocalTls::from_pem(chain, key, Some(clients.certificate_pem().as_bytes()));
    let mut local = furnished();
    local.tls = Some(tls.unwrap());
    let platform = LocalPlatform::start(local).unwrap();
    let folder = Scratch::new().unwrap();
    let client = clients.client("device", Key::EcSec1);
    let files = client.write(&folder, "device").unwrap();
    let output = on(&platform)
        .env("KAA_CA_FILE", authority.write(&folder, "ca").unwrap())
        .env("KAA_CERT_FILE", files.chain)
        .env("KAA_KEY_FILE", files.key)
        .output()
        .unwrap();
    assert!(platform.url().starts_with("mqtts://"));
    let confirmed = "11 of 11 operations confirmed, among them 10 of the 14 of the Kaa MQTT API\n";
    let transcript = transcript(&output);
    assert!(transcript.ends_with(confirmed), "{transcript}");
}

#[test]
fn an_environment_that_says_half_is_not_guessed_at() {
    let mut command = example(EXAMPLE);
    command.env("KAA_URL", "mqtt://127.0.0.1:1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("KAA_APP_VERSION"), "{complaint}");
}

#[test]
fn it_fails_where_the_platform_confirms_less_than_was_asked() {
    let mut local = furnished();
    local
        .platform
        .extensions
        .retain(|name, _| name.as_str() != "bcx");
    let platform = LocalPlatform::start(local).unwrap();
    let output = on(&platform).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let transcript = String::from_utf8_lossy(&output.stdout);
    assert!(
        transcript.contains("  ! rejected by the platform with status 404"),
        "{transcript}"
    );
}
