//! All operations and pushes through connection and platform, by bytes and by topics.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::commands::CommandResult;
use kaa_proto::connection::Options;
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Event, Observation, Subscriptions};
use kaa_proto::names::ConfigName;
use kaa_proto::platform::PlatformOptions;
use kaa_proto::request::{Confirm, RequestExt};
use kaa_proto::telemetry::Sample;
use kaa_proto::{config, software};
use kaa_tests::device::{Device, name};
use kaa_tests::operations::{EXPECTED, MESSAGES, platform, reboot, run};
use kaa_tests::pair::Pair;
use kaa_tests::pair_a::PairA;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

const SUBSCRIPTIONS: [Subscriptions; 3] = [
    Subscriptions::PerResource,
    Subscriptions::PerEndpoint,
    Subscriptions::None,
];

fn pair(subscriptions: Subscriptions) -> Pair {
    let endpoint = EndpointOptions::default().subscriptions(subscriptions);
    Pair::online_with(platform(&[]), Options::new("device").endpoint(endpoint))
}

fn pair_a(subscriptions: Subscriptions) -> PairA {
    let endpoint = EndpointOptions::default().subscriptions(subscriptions);
    PairA::online_with(platform(&[]), endpoint)
}

fn check_operations(device: &mut impl Device) {
    let results = run(device);
    let results: Vec<_> = results
        .iter()
        .map(|(name, text)| (*name, &**text))
        .collect();
    assert_eq!(results, EXPECTED);
    let seen = device.take_seen();
    let lines = seen.iter().map(|seen| {
        let payload = String::from_utf8_lossy(&seen.payload);
        let topic = seen
            .topic
            .replace("JTjdbENzHh", "T")
            .replace("kp1/demo-v1/", "");
        format!("{topic} {payload}")
    });
    assert_eq!(lines.collect::<Vec<_>>(), MESSAGES);
    check_log(device);
    let snapshot = device.snapshot().unwrap();
    assert_eq!(snapshot.samples, 5);
    assert_eq!(json!(snapshot.metadata), json!({"name": "new"}));
    assert!(snapshot.commands.values().all(Vec::is_empty));
    assert_eq!(snapshot.results.len(), 1);
    let reported = |name: &str| snapshot.configurations[name].reported.clone().unwrap();
    assert!(reported("").is_applied() && !reported("wifi").is_applied());
    assert_eq!(
        reported("wifi").reason_phrase.as_deref(),
        Some("no such channel")
    );
    let statistics = device.statistics();
    assert_eq!(statistics.confirmed, MESSAGES.len() as u64);
    assert_eq!(
        (statistics.late_answers, statistics.foreign_answers),
        (0, 0)
    );
    assert_eq!(statistics.malformed, 0);
}

/// What the platform noted is what was asked, in the same order.
fn check_log(device: &mut impl Device) {
    let mut names = device.take_log_names();
    names.retain(|name| !matches!(*name, "link-opened" | "connected"));
    // The first message brings what is assigned, whether it was asked for or not.
    let unsolicited = ["config-delivered", "config-delivered", "software-delivered"];
    let log = [
        &["telemetry"],
        &unsolicited[..],
        &["telemetry", "telemetry"],
        &["metadata-read"; 3],
        &["metadata-merged", "metadata-read", "metadata-deleted"],
        &["metadata-replaced", "metadata-read"],
        &["commands-requested", "command-delivered", "command-result"],
        &["commands-requested"],
        &["config-requested", "config-delivered", "config-requested"],
        &["config-requested", "config-delivered", "config-requested"],
        &["config-applied", "config-rejected"],
        &[
            "software-reported",
            "software-requested",
            "software-delivered",
        ],
        &["software-requested", "software-rejected"],
        &["upload-token", "time-asked", "telemetry", "status-asked"],
    ];
    assert_eq!(names, log.concat());
}

#[test]
fn every_operation_is_confirmed_over_bytes_however_it_subscribes() {
    for subscriptions in SUBSCRIPTIONS {
        check_operations(&mut pair(subscriptions));
    }
}

#[test]
fn every_operation_is_confirmed_over_topics_however_it_subscribes() {
    for subscriptions in SUBSCRIPTIONS {
        check_operations(&mut pair_a(subscriptions));
    }
}

fn check_pushes(device: &mut impl Device) {
    let wifi = ConfigName::new("wifi").unwrap();
    let observations = [
        Observation::Commands(reboot()),
        Observation::Configuration(None),
        Observation::Configuration(Some(wifi.clone())),
    ];
    for observation in &observations {
        device.observe(observation).unwrap();
    }
    device.observe_software("0.0.1").unwrap();
    device.pass(SECOND);
    let mut events = device.take_events();
    events.retain(|event| matches!(event, Event::Observed(_)));
    assert_eq!(events.len(), 4);

    // What was there before the observation.
    let command = device.poll_command().unwrap();
    assert_eq!(command.payload_json(), Some(r#"{"delay":5}"#));
    assert_eq!(config_id(device.poll_configuration(None)), "97016dbe");
    assert_eq!(config_id(device.poll_configuration(Some(&wifi))), "w1");
    assert_eq!(version(device.poll_software()), "0.0.2");
    let result = CommandResult::ok()
        .with_payload(&json!({"up": true}))
        .unwrap();
    device.respond(&CommandKey::from(&command), result).unwrap();

    // What changes later.
    let name = name().unwrap();
    let id = device.operate(|platform, now| {
        let config = json!({"key": "other"});
        let id = platform
            .set_configuration(now, &name, None, config)
            .unwrap();
        platform
            .set_software(now, &name, "0.0.3", json!({}))
            .unwrap();
        platform.command(now, &name, &reboot(), None).unwrap();
        id
    });
    device.pass(SECOND);
    assert_eq!(config_id(device.poll_configuration(None)), id);
    assert_eq!(version(device.poll_software()), "0.0.3");
    let command = device.poll_command().unwrap();
    assert_eq!(
        (command.id().as_i64(), command.payload_json()),
        (Some(2), None)
    );
    let failed = CommandResult::failed(500, "no power");
    device.respond(&CommandKey::from(&command), failed).unwrap();
    device.pass(SECOND);
    assert!(device.poll_command().is_none());
    assert!(device.poll_configuration(Some(&wifi)).is_none());

    let snapshot = device.snapshot().unwrap();
    let results: Vec<_> = snapshot
        .results
        .iter()
        .map(|result| {
            (
                result.id,
                result.status_code,
                result.reason_phrase.as_deref(),
            )
        })
        .collect();
    assert_eq!(results, [(1, 200, None), (2, 500, Some("no power"))]);
    let statistics = device.statistics();
    assert_eq!((statistics.commands_surfaced, statistics.confirmed), (2, 2));
    assert_eq!(statistics.configurations_surfaced, 5);
    assert_eq!(statistics.foreign_answers, 0);
}

fn config_id(answer: Option<config::Answer>) -> String {
    match answer {
        Some(config::Answer::Assigned(one)) => one.config_id().into(),
        other => format!("{other:?}"),
    }
}

fn version(answer: Option<software::Answer>) -> String {
    match answer {
        Some(software::Answer::Assigned(one)) => one.version().into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn commands_configurations_and_software_are_pushed_over_bytes() {
    for subscriptions in SUBSCRIPTIONS {
        check_pushes(&mut pair(subscriptions));
    }
}

#[test]
fn commands_configurations_and_software_are_pushed_over_topics() {
    for subscriptions in SUBSCRIPTIONS {
        check_pushes(&mut pair_a(subscriptions));
    }
}

fn check_unobserved(device: &mut impl Device) {
    let reboot_observed = Observation::Commands(reboot());
    device.observe(&reboot_observed).unwrap();
    device.pass(SECOND);
    assert!(device.unobserve(&reboot_observed));
    device.pass(SECOND);
    let seen = device.take_seen();
    let last = String::from_utf8_lossy(&seen.last().unwrap().payload).into_owned();
    assert_eq!(last, r#"{"observe":false}"#);
    device.operate(|platform, now| {
        platform
            .command(now, &name().unwrap(), &reboot(), None)
            .unwrap();
    });
    device.pass(SECOND);
    assert!(device.poll_command().is_none());
    assert_eq!(device.snapshot().unwrap().commands["reboot"].len(), 1);
    // It is still there for who asks.
    device.observe(&reboot_observed).unwrap();
    device.pass(SECOND);
    assert!(device.poll_command().is_some());
}

#[test]
fn what_is_no_longer_observed_is_not_pushed() {
    check_unobserved(&mut Pair::online());
    check_unobserved(&mut PairA::online());
}

#[test]
fn a_thousand_samples_go_in_order_each_once() {
    fn check(device: &mut impl Device) {
        for n in 0..1_000 {
            device.submit(&Sample::new(n)).unwrap();
        }
        device.pass(Duration::from_secs(60));
        assert_eq!(device.statistics().confirmed, 1_000);
        assert_eq!(device.snapshot().unwrap().samples, 1_000);
        let seen = device.take_seen();
        let numbers = seen
            .iter()
            .map(|seen| String::from_utf8_lossy(&seen.payload));
        assert!(numbers.eq((0..1_000).map(|n| n.to_string())));
    }
    check(&mut Pair::online());
    check(&mut PairA::online());
}

#[test]
fn what_needs_no_answer_is_done_when_it_is_sent() {
    let mut pair = Pair::online_with(PlatformOptions::default(), Options::new("device"));
    let sample = Sample::new(1).confirm(Confirm::Nothing);
    let id = pair.submit(&sample).unwrap();
    assert!(pair.outcome(id).unwrap().is_ok(), "at once");
    pair.pass(SECOND);
    assert_eq!(pair.snapshot().unwrap().samples, 1);
    let seen = pair.take_seen();
    assert_eq!(
        (&*seen[0].topic, seen[0].qos),
        ("kp1/demo-v1/dcx/JTjdbENzHh/json", 0)
    );
    let acknowledged = Sample::new(2).confirm(Confirm::Acknowledged);
    let id = pair.submit(&acknowledged).unwrap();
    assert!(pair.outcome(id).is_none());
    pair.pass(SECOND);
    let reply = pair.outcome(id).unwrap().as_ref().unwrap();
    assert_eq!(reply.confirmed(), Confirm::Acknowledged);
}
