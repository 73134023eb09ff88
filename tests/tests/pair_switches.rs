//! The client works with every value of every switch of the platform.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::commands::{CommandResult, Pending, Report};
use kaa_proto::config;
use kaa_proto::connection::Options;
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Observation};
use kaa_proto::names::{AppVersion, EndpointName, Extension};
use kaa_proto::platform::{Platform, PlatformOptions, SwitchHelp, Switches};
use kaa_proto::raw::Call;
use kaa_proto::request::{Confirm, Failure, Request, RequestExt, Service};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::{Device, name};
use kaa_tests::operations::{EXPECTED, platform, reboot, run};
use kaa_tests::pair::Pair;
use kaa_tests::pair_a::PairA;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// What is asked and gets another result than with the default switches: switch, value,
/// operation, result. All else is as by default.
const DIFFERENT: &[(&str, &str, &str, &str)] = &[
    (
        "no-config",
        "not-modified",
        "config get unassigned",
        "not modified",
    ),
    (
        "relaxed-dcx",
        "off",
        "plain",
        "rejected by the platform with status 404: Unknown resource path",
    ),
    // Over at once: never listed.
    ("command-ttl", "0s", "commands pending", ""),
];

/// The values of a switch that are tried.
fn values(row: &SwitchHelp) -> Vec<String> {
    let numbers: &[&str] = match row.name {
        "command-ttl" => &["0s", "10s", "1h"],
        "idle-disconnect" => &["never", "1s"],
        "max-packet" => &["1000", "268435455"],
        "upload-token-validity" => &["1s", "24h"],
        _ => return row.values.split(" | ").map(String::from).collect(),
    };
    numbers.iter().map(|word| String::from(*word)).collect()
}

fn check_operations(device: &mut impl Device, switch: &str, value: &str) {
    let expected = |operation: &str, usual: &'static str| {
        let mut all = DIFFERENT.iter();
        let found = all.find(|row| (row.0, row.1, row.2) == (switch, value, operation));
        found.map_or(usual, |row| row.3)
    };
    let results = run(device);
    for ((operation, result), (usual_name, usual)) in results.iter().zip(EXPECTED) {
        assert_eq!(operation, usual_name);
        let expected = expected(operation, usual);
        assert_eq!(result, expected, "{operation} with {switch}={value}");
    }
    let rejected = results
        .iter()
        .filter(|(_, result)| result.starts_with("rejected"));
    let statistics = device.statistics();
    assert_eq!(
        statistics.rejected,
        rejected.count() as u64,
        "{switch}={value}"
    );
    let ended = statistics.confirmed + statistics.rejected;
    assert_eq!(statistics.submitted, ended, "{switch}={value}");
}

#[test]
fn every_operation_works_with_every_value_of_every_switch() {
    let mut count = 0;
    for row in Switches::help() {
        for value in values(&row) {
            let switches = [(row.name, &*value)];
            let mut pair = Pair::online_with(platform(&switches), Options::new("device"));
            check_operations(&mut pair, row.name, &value);
            let mut pair = PairA::online_with(platform(&switches), EndpointOptions::default());
            check_operations(&mut pair, row.name, &value);
            count += 1;
        }
    }
    assert!(count >= 60, "{count} values were tried");
}

#[test]
fn pushes_come_with_every_value_of_every_switch() {
    for row in Switches::help() {
        let has_time = |value: &String| row.name != "command-ttl" || value != "0s";
        for value in values(&row).into_iter().filter(has_time) {
            let switches = [(row.name, &*value)];
            let mut pair = Pair::online_with(platform(&switches), Options::new("device"));
            check_pushes(&mut pair, row.name, &value);
            let mut pair = PairA::online_with(platform(&switches), EndpointOptions::default());
            check_pushes(&mut pair, row.name, &value);
        }
    }
}

/// Each thing is surfaced once, by whatever topics it comes.
fn check_pushes(device: &mut impl Device, switch: &str, value: &str) {
    let what = format!("{switch}={value}");
    device.observe(&Observation::Commands(reboot())).unwrap();
    device.observe(&Observation::Configuration(None)).unwrap();
    device.observe_software("0.0.1").unwrap();
    device.pass(Duration::from_millis(500));
    let command = device.poll_command().expect(&what);
    assert_eq!(command.id().as_i64(), Some(1), "{what}");
    device
        .respond(&CommandKey::from(&command), CommandResult::ok())
        .unwrap();
    let Some(config::Answer::Assigned(first)) = device.poll_configuration(None) else {
        panic!("no configuration with {what}");
    };
    assert_eq!(first.config_id(), "97016dbe", "{what}");
    assert!(device.poll_software().is_some(), "{what}");
    let applied = config::Applied::of(&first);
    device.ask(&applied).unwrap();

    let name = name().unwrap();
    let id = device.operate(|platform, now| {
        platform.command(now, &name, &reboot(), None).unwrap();
        platform
            .set_software(now, &name, "0.0.3", json!({}))
            .unwrap();
        platform
            .set_configuration(now, &name, None, json!(1))
            .unwrap()
    });
    device.pass(SECOND);
    let command = device.poll_command().expect(&what);
    assert_eq!(command.id().as_i64(), Some(2), "{what}");
    device
        .respond(&CommandKey::from(&command), CommandResult::ok())
        .unwrap();
    let pushed = device.poll_configuration(None);
    assert!(
        matches!(pushed, Some(config::Answer::Assigned(one)) if one.config_id() == id),
        "{what}"
    );
    assert!(device.poll_software().is_some(), "{what}");
    device.pass(Duration::from_secs(3_600));
    assert!(device.poll_command().is_none() && device.poll_configuration(None).is_none());
    assert_eq!(device.statistics().commands_surfaced, 2, "{what}");
    assert_eq!(device.statistics().malformed, 0, "{what}");
}

/// A pair over a fixture in which the endpoint `stranger` and the version `other-v1` are missing.
fn pair(switches: &[(&str, &str)]) -> Pair {
    Pair::online_with(platform(switches), Options::new("device"))
}

fn rejected(status: u16) -> Option<Result<(), Option<u16>>> {
    Some(Err(Some(status)))
}

/// How a sample of an endpoint ends within a minute: `Ok`, or the status it was rejected with, or
/// no status if it ended otherwise; `None` if it is still open.
fn sample(
    pair: &mut Pair,
    key: kaa_proto::connection::EndpointKey,
) -> Option<Result<(), Option<u16>>> {
    let id = pair.submit_of(key, &Sample::new(1)).unwrap();
    pair.pass(Duration::from_secs(60));
    let outcome = pair.outcome_of(key, id)?;
    Some(match outcome {
        Ok(_) => Ok(()),
        Err(Failure::Rejected { status, .. }) => Err(*status),
        Err(_) => Err(None),
    })
}

#[test]
fn an_unknown_token_is_rejected_as_the_switch_says_and_the_others_are_served() {
    for (value, expected) in [("401", 401), ("403", 403), ("404", 404)] {
        let mut pair = pair(&[("bad-token", value)]);
        let stranger = pair.add("stranger");
        assert_eq!(sample(&mut pair, stranger), rejected(expected));
        let known = pair.key;
        assert_eq!(sample(&mut pair, known), Some(Ok(())));
        assert_eq!(pair.connection.statistics().links_lost, 0);
    }
    let mut pair = pair(&[("bad-token", "disconnect")]);
    let stranger = pair.add("stranger");
    assert_eq!(
        sample(&mut pair, stranger),
        Some(Err(None)),
        "outcome unknown"
    );
    assert!(pair.connection.statistics().links_lost > 0);
    let known = pair.key;
    assert_eq!(sample(&mut pair, known), Some(Ok(())));
}

#[test]
fn an_unknown_version_is_rejected_or_unanswered_or_dropped() {
    let cases = [("404", Some(Err(Some(404)))), ("silence", Some(Err(None)))];
    for (value, expected) in cases {
        let mut pair = pair(&[("unknown-version", value)]);
        let name = EndpointName::new(
            AppVersion::new("other-v1").unwrap(),
            name().unwrap().token().clone(),
        );
        let now = pair.now();
        let key = pair.connection.add_endpoint(now, name).unwrap();
        assert_eq!(sample(&mut pair, key), expected, "{value}");
        let known = pair.key;
        assert_eq!(sample(&mut pair, known), Some(Ok(())));
    }
}

#[test]
fn an_unknown_extension_is_rejected_or_unanswered_or_dropped() {
    let cases = [
        (
            "404",
            Failure::Rejected {
                status: Some(404),
                reason: "Unknown extension".into(),
            },
        ),
        ("silence", Failure::Unanswered),
        ("disconnect", Failure::OutcomeUnknown),
    ];
    for (value, failure) in cases {
        let mut pair = pair(&[("unknown-extension", value)]);
        let call = Call::new(Service::Other(Extension::new("nox").unwrap()), "x");
        let outcome = pair.ask(&call.resend(kaa_proto::request::Resend::Never));
        assert_eq!(outcome, Err(failure), "{value}");
        pair.pass(Duration::from_secs(10));
        pair.ask(&Sample::new(1)).unwrap();
    }
}

#[test]
fn a_result_that_is_confirmed_by_silence_is_done_at_its_acknowledgement() {
    let mut pair = pair(&[("result-success", "silence")]);
    let report = || Report::new(reboot(), 1, CommandResult::ok());
    let reply = {
        let id = pair.submit(&report()).unwrap();
        pair.pass(SECOND);
        pair.outcome(id).unwrap().clone().unwrap()
    };
    assert_eq!(reply.confirmed(), Confirm::Acknowledged);
    // Who insists on an answer waits for nothing.
    let outcome = pair.ask(&report().confirm(Confirm::Answered));
    assert_eq!(outcome, Err(Failure::Unanswered));
    assert_eq!(pair.snapshot().unwrap().results.len(), 2, "both were taken");
}

#[test]
fn the_result_of_an_unknown_command_is_a_success_or_told_later() {
    let mut pair = pair(&[("unknown-result", "404")]);
    let report = Report::new(reboot(), 77, CommandResult::ok());
    assert!(pair.ask(&report).is_ok(), "acknowledged");
    pair.pass(SECOND);
    let events = pair.take_events();
    let told = |event: &kaa_proto::endpoint::Event| {
        matches!(event, kaa_proto::endpoint::Event::ResultsRejected { .. })
    };
    assert!(events.iter().any(told), "{events:?}");
    let mut pair = self::pair(&[("unknown-result", "success")]);
    assert!(
        pair.ask(&Report::new(reboot(), 77, CommandResult::ok()))
            .is_ok()
    );
    pair.pass(SECOND);
    assert!(!pair.take_events().iter().any(told));
}

/// FACTS trap 7: nobody waits for what is asked without ID, and an error for it is told.
#[test]
fn requests_without_id_are_done_when_sent_and_their_answers_do_no_harm() {
    fn silent(pair: &mut Pair, request: &impl Request) {
        let id = pair.submit(request).unwrap();
        assert!(pair.outcome(id).unwrap().is_ok());
        pair.pass(SECOND);
    }
    for (value, errors) in [("none", 0), ("errors", 1), ("bcx", 1), ("all", 1)] {
        let mut pair = pair(&[("without-id", value)]);
        silent(&mut pair, &Sample::new(1).confirm(Confirm::Nothing));
        silent(&mut pair, &Pending::new(reboot()).confirm(Confirm::Nothing));
        let token = Call::new(Service::Uploads, "token");
        silent(&mut pair, &token.confirm(Confirm::Nothing));
        let wrong = Call::new(Service::Telemetry, "json").payload("{");
        silent(&mut pair, &wrong.confirm(Confirm::Nothing));
        let events = pair.take_events();
        let told = |event: &&kaa_proto::endpoint::Event| {
            matches!(event, kaa_proto::endpoint::Event::UnassignedError { .. })
        };
        assert_eq!(events.iter().filter(told).count(), errors, "{value}");
        let log = pair.take_log_names();
        assert!(log.contains(&"telemetry") && log.contains(&"breach"));
        let statistics = pair.statistics();
        assert_eq!(statistics.confirmed, 4, "{value}");
        assert_eq!(statistics.malformed, 0, "{value}");
    }
}

#[test]
fn a_message_over_the_limit_costs_its_link_and_not_what_follows() {
    let mut pair = pair(&[("max-packet", "1000")]);
    let large = Sample::new("x".repeat(2_000));
    assert_eq!(pair.ask(&large), Err(Failure::OutcomeUnknown));
    assert_eq!(pair.ask(&Sample::new(1)), Ok(()));
    assert_eq!(pair.snapshot().unwrap().samples, 1);
}

#[test]
fn an_endpoint_that_the_platform_forgot_gets_pushes_again_after_its_refresh() {
    let endpoint = EndpointOptions::default();
    let endpoint = endpoint
        .refresh_observations(Duration::from_secs(600))
        .unwrap();
    let options = Options::new("device").endpoint(endpoint);
    let mut pair = Pair::online_with(platform(&[("idle-disconnect", "5m")]), options);
    pair.observe(&Observation::Commands(reboot())).unwrap();
    pair.pass(SECOND);
    pair.poll_command().unwrap();
    pair.pass(Duration::from_secs(400));
    assert!(!pair.snapshot().unwrap().online);
    let command = |platform: &mut Platform, now| {
        platform.switches_mut().command_ttl = Duration::from_secs(3_600);
        platform
            .command(now, &name().unwrap(), &reboot(), None)
            .unwrap();
    };
    pair.operate(command);
    pair.pass(SECOND);
    assert!(pair.poll_command().is_none(), "not pushed");
    pair.pass(Duration::from_secs(300));
    assert!(pair.poll_command().is_some(), "asked for");
}

#[test]
fn without_a_fixture_everybody_is_served() {
    let mut pair = Pair::online_with(PlatformOptions::default(), Options::new("device"));
    let stranger = pair.add("stranger");
    assert_eq!(sample(&mut pair, stranger), Some(Ok(())));
}
