//! The examples as a newcomer runs them: with a platform of their own, and on one of their environment.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::platform::{Event, EventKind, Fixture};
use kaa_tests::example::{example, transcript};
use serde_json::Value;

fn alone(name: &str) -> String {
    transcript(&example(name).output().unwrap())
}

#[test]
fn telemetry_is_confirmed_in_three_ways() {
    let expected = "processed\nacknowledged\n0 left unfinished\n";
    assert_eq!(alone("telemetry"), expected);
}

#[test]
fn a_backlog_goes_out_in_batches() {
    let expected = "10 samples processed\n10 samples processed\n5 samples processed\n";
    assert_eq!(alone("batch"), expected);
}

#[test]
fn metadata_are_merged_read_as_a_type_and_deleted() {
    let expected = "\
About { example_model: Some(\"TH-1\"), example_floor: Some(3) }
About { example_model: Some(\"TH-1\"), example_floor: None }
the floor is among the keys: false
";
    assert_eq!(alone("metadata"), expected);
}

#[test]
fn commands_are_obeyed_or_answered_with_the_reason() {
    let mut lines: Vec<_> = alone("commands").lines().map(String::from).collect();
    lines.sort();
    // Types are read in no order.
    let expected = [
        "blink: there is no such thing here",
        "switch-light: what came is not a valid command payload: wrong type or missing field at line 1 column 15",
        "the light is on",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_configuration_is_applied_or_rejected_and_what_was_good_stays() {
    let expected = "\
none is assigned; every 60 s
every 5 s
refused; still every 5 s
every 10 s
";
    assert_eq!(alone("configuration"), expected);
}

#[test]
fn an_update_is_downloaded_with_resume_checked_and_reported() {
    let expected = "\
offered 0.0.2
  it broke off after 40000 bytes
  it broke off after 80000 bytes
rejected 0.0.2: the checksum is another one
offered 0.0.3
  it broke off after 40000 bytes
  it broke off after 80000 bytes
runs 0.0.3
";
    assert_eq!(alone("software_update"), expected);
}

#[test]
fn binary_data_go_over_http_with_a_token_from_mqtt() {
    let expected = "POST /bcx/api/v1/binary-data?name=front%20door.jpg\nCreated\n";
    assert_eq!(alone("upload"), expected);
}

#[test]
fn what_a_device_could_not_send_is_sent_when_it_wakes_again() {
    let expected = "\
no network; it will be sent the next time
0 from before, 0 confirmed, 1 kept
1 from before, 2 confirmed, 0 kept
0 from before, 1 confirmed, 0 kept
";
    assert_eq!(alone("sleepy"), expected);
}

#[test]
fn a_device_of_ones_own_holds_in_the_simulator() {
    let expected = "20 seeds: each sample had its end, and no command opened the valve twice\n";
    assert_eq!(alone("simulated"), expected);
}

/// A platform that has something for the device.
fn furnished() -> LocalPlatform {
    let fixture = r#"{"appVersions": {"field": {"endpoints": {"pump": {
        "metadata": {"name": "Pump"},
        "configurations": {"": {"configId": "1", "config": {"interval_s": 30}}},
        "software": {"configId": "0.0.2", "config": {"link": "https://example.com/pump-0.0.2"}},
        "commands": {"switch-light": [{"id": 5, "payload": {"on": false}}]}}}}}}"#;
    let mut options = LocalOptions::default();
    options.platform.fixture = Some(Fixture::parse(fixture).unwrap());
    LocalPlatform::start(options).unwrap()
}

/// What an example says on a platform of its environment, and what that has seen.
fn on_another(name: &str) -> (String, Vec<Event>) {
    let platform = furnished();
    let mut command = example(name);
    command
        .env("KAA_URL", platform.url())
        .env("KAA_APP_VERSION", "field")
        .env("KAA_TOKEN", "pump");
    let transcript = transcript(&command.output().unwrap());
    platform.stop();
    (transcript, platform.events(Duration::ZERO).collect())
}

/// The samples that came, those of batches one by one.
fn samples(events: &[Event]) -> Vec<Value> {
    let mut samples = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::Telemetry {
                data: Value::Array(batch),
                ..
            } => samples.extend(batch.clone()),
            EventKind::Telemetry { data, .. } => samples.push(data.clone()),
            _ => {}
        }
    }
    samples
}

fn count(events: &[Event], is_it: impl Fn(&EventKind) -> bool) -> usize {
    events.iter().filter(|event| is_it(&event.kind)).count()
}

#[test]
fn on_a_platform_of_the_environment_telemetry_comes_there_with_its_time() {
    let (_, events) = on_another("telemetry");
    assert_eq!(samples(&events).len(), 3);
    let (_, events) = on_another("batch");
    let is_timed = |data: &&Value| data["ts"].as_u64() > Some(1_700_000_000_000);
    assert_eq!(samples(&events).iter().filter(is_timed).count(), 25);
    let (said, events) = on_another("sleepy");
    assert!(said.ends_with("0 from before, 1 confirmed, 0 kept\n"));
    assert_eq!(samples(&events).iter().filter(is_timed).count(), 3);
}

#[test]
fn on_a_platform_of_the_environment_what_is_there_is_obeyed_and_nothing_is_destroyed() {
    let (said, events) = on_another("commands");
    assert_eq!(said, "the light is off\n");
    let is_result = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::CommandResult {
                id: 5,
                status_code: 200,
                ..
            }
        )
    };
    assert_eq!(count(&events, is_result), 1);
    let (said, _) = on_another("configuration");
    assert_eq!(said, "every 30 s\n");
    let (said, events) = on_another("software_update");
    assert!(said.contains("0.0.2"), "{said}");
    assert!(!said.contains("example.com"), "links may be presigned");
    let is_report = |kind: &EventKind| matches!(kind, EventKind::SoftwareReported { .. });
    assert_eq!(count(&events, is_report), 0);
    let (said, _) = on_another("upload");
    assert!(said.ends_with("not sent: this needs an HTTPS client\n"));
    let (_, events) = on_another("metadata");
    let is_replaced = |kind: &EventKind| matches!(kind, EventKind::MetadataReplaced { .. });
    assert_eq!(count(&events, is_replaced), 0);
}
