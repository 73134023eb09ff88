//! The traps of FACTS about single services, from 24 on; `traps.rs` says where the others are.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod trap;

use kaa_proto::commands::{CommandId, CommandResult};
use kaa_proto::config::{self, Answer};
use kaa_proto::endpoint::{CommandKey, Disposition, Event};
use kaa_proto::raw::Call;
use kaa_proto::request::{Failure, RequestExt, Resend, Service, SubmitError};
use kaa_proto::telemetry::Sample;

use trap::{CONFIGURATION, SECOND, commands, failure, is_ok, online, read, reboot};

#[test]
fn trap_24_that_none_is_assigned_is_no_configuration_and_is_not_applied() {
    let mut host = online();
    host.observe(&CONFIGURATION).unwrap();
    host.receive(
        "cmx/config/json/1/status",
        r#"{"configId":"","config":null}"#,
    );
    assert_eq!(
        host.endpoint.poll_configuration(None),
        Some(Answer::Unassigned)
    );
    assert!(matches!(
        host.submit(&config::Applied::new("")),
        Err(SubmitError::Invalid(_))
    ));
    let _ = host.take_sent();
    host.relink();
    assert_eq!(
        host.take_lines(),
        [r#"cmx/config/json/1 {"observe":true}"#],
        "no empty configId"
    );
    host.receive(
        "cmx/config/json/1/status",
        r#"{"configId":"a","config":null}"#,
    );
    let answer = host.endpoint.poll_configuration(None);
    assert!(matches!(answer, Some(Answer::Assigned(c)) if c.json() == "null"));
}

#[test]
fn trap_26_a_command_is_run_once_and_its_result_sent_again() {
    let mut host = online();
    host.observe(&commands()).unwrap();
    for path in ["cex/command/reboot/status", "cex/command/reboot/1/status"] {
        host.receive(path, r#"[{"id":7}]"#);
    }
    assert_eq!((read(&mut host), read(&mut host)), (Some(7), None));
    let key = CommandKey::new(reboot(), CommandId::from(7));
    let _ = host.take_sent();
    host.respond(&key, CommandResult::new(203)).unwrap();
    let sent = host.take_sent().remove(0);
    host.acknowledge(sent.key);
    host.receive("cex/command/reboot/status", r#"[{"id":7}]"#);
    assert_eq!(read(&mut host), None);
    assert_eq!(
        host.take_sent()[0].payload,
        r#"[{"id":7,"statusCode":203}]"#
    );
}

#[test]
fn trap_27_an_empty_list_is_no_event() {
    let mut host = online();
    host.observe(&commands()).unwrap();
    host.receive("cex/command/reboot/1/status", "[]");
    host.receive("cex/command/reboot/status", "[]");
    assert_eq!(host.take_events(), [Event::Observed(commands())]);
}

#[test]
fn trap_28_a_result_needs_no_answer() {
    let mut host = online();
    host.observe(&commands()).unwrap();
    host.receive("cex/command/reboot/1/status", r#"[{"id":1}]"#);
    let _ = (read(&mut host), host.take_sent());
    let key = CommandKey::new(reboot(), CommandId::from(1));
    let id = host.respond(&key, CommandResult::ok()).unwrap();
    let report = host.take_sent()[0].key;
    host.acknowledge(report);
    assert!(is_ok(&host, id));
    host.advance(120 * SECOND);
    assert!(
        !host
            .take_events()
            .iter()
            .any(|e| matches!(e, Event::ResultsRejected { .. }))
    );
    assert!(is_ok(&host, id), "silence is no failure");
}

#[test]
fn trap_30_the_version_is_reported_first_and_the_observation_waits_for_the_answer() {
    let mut host = online();
    let now = host.now();
    host.endpoint.observe_software(now, "1.0.0").unwrap();
    host.drain();
    assert_eq!(host.take_paths(), ["cmx_ota/applied/json/1"]);
    host.receive("cmx_ota/applied/json/1/status", "");
    assert_eq!(host.take_paths(), ["cmx_ota/config/json/2"]);
}

#[test]
fn trap_35_each_link_and_each_half_hour_the_platform_hears_from_the_endpoint() {
    let mut host = online();
    host.observe(&commands()).unwrap();
    host.receive("cex/command/reboot/1/status", "[]");
    host.relink();
    host.receive("cex/command/reboot/1/status", "[]");
    assert_eq!(host.take_sent().len(), 2);
    let (mut spoken, until) = (0, host.now() + 6 * 3600 * SECOND);
    while host.now() < until {
        let pause = host.endpoint.poll_timeout().unwrap() - host.now();
        host.advance(pause);
        for path in host.take_paths() {
            spoken += 1;
            host.receive(&format!("{path}/status"), "[]");
        }
    }
    assert!((12..=14).contains(&spoken), "{spoken} times in six hours");
}

#[test]
fn trap_36_telemetry_is_confirmed_by_its_answer_and_sent_once() {
    let mut host = online();
    let id = host
        .submit(&Sample::new(1).qos(kaa_proto::QoS::AtLeastOnce))
        .unwrap();
    let sample = host.take_sent()[0].key;
    host.acknowledge(sample);
    assert!(host.outcome(id).is_none(), "taken is not processed");
    host.relink();
    assert!(
        host.take_sent().is_empty(),
        "a second copy would be stored as a second sample"
    );
    assert_eq!(failure(&host, id), Some(Failure::OutcomeUnknown));
}

#[test]
fn trap_38_no_topic_is_longer_than_mqtt_can_say() {
    let mut host = online();
    let call = |len: usize| {
        let levels = "é/".repeat(len / 3) + &"x".repeat(len % 3 + 1);
        Call::new(Service::Uploads, levels)
    };
    // "kp1/demo-v1/bcx/JTjdbENzHh//2147483647/status" takes 45 bytes, and "é/" three.
    let fits = host.submit(&call(65_489)).unwrap();
    let error = host.submit(&call(65_490)).unwrap_err();
    assert_eq!(
        error,
        SubmitError::TooLarge {
            size: 65_536,
            limit: 65_535
        }
    );
    let topic = host.take_sent().remove(0).topic;
    assert_eq!(
        host.receive_raw(&format!("{topic}/status"), b""),
        Disposition::Taken
    );
    assert!(is_ok(&host, fits));
}

#[test]
fn trap_39_numbers_of_any_form_do_no_harm() {
    for (status, read) in [
        ("404", Some(404)),
        ("404.0", Some(404)),
        ("4.04e2", Some(404)),
        ("404.5", None),
        ("-1", None),
        ("65536", None),
        ("99999999999999999999999", None),
        ("1e999", None),
        ("\"404\"", None),
        ("[]", None),
    ] {
        let mut host = online();
        let id = host.submit(&Sample::new(1).resend(Resend::Never)).unwrap();
        host.receive(
            "dcx/json/1/error",
            &format!(r#"{{"statusCode":{status},"reasonPhrase":7}}"#),
        );
        let rejected = Failure::Rejected {
            status: read,
            reason: String::new(),
        };
        assert_eq!(failure(&host, id), Some(rejected), "{status}");
    }
    let mut host = online();
    host.observe(&commands()).unwrap();
    let id = "123456789012345678901234567890";
    host.receive("cex/command/reboot/status", &format!(r#"[{{"id":{id}}}]"#));
    let command = host.endpoint.poll_command(|_| true).unwrap();
    assert_eq!((command.id().as_i64(), command.id().as_json()), (None, id));
    let _ = host.take_sent();
    host.respond(&CommandKey::from(&command), CommandResult::ok())
        .unwrap();
    assert_eq!(
        host.take_sent()[0].payload,
        format!(r#"[{{"id":{id},"statusCode":200}}]"#)
    );
}
