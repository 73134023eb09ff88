//! The traps of FACTS that concern an endpoint, up to 20; those from 24 on are in
//! `service_traps.rs`. "Here" is both. Where each is tested:
//!
//! | trap | tests named `trap_NN_…` |
//! |---|---|
//! | 1 numeric last level | `names.rs` |
//! | 2 numeric tokens | `topic.rs`, here |
//! | 3 names `status`, `error` | `names.rs` |
//! | 4 reading from the right | `topic.rs`, here |
//! | 5 RSX | `raw.rs`, here |
//! | 6 prefixes | `topic.rs`, here |
//! | 7 to 10 missing IDs, pushes, observations | here |
//! | 11, 12 tombstones, exhaustion | `endpoint/ids.rs`, here |
//! | 13 to 18 reconnects, foreign IDs, zero, echoes, subscriptions | here; 15 also in `topic.rs` |
//! | 19 empty payloads | with each typed request, here |
//! | 20 what decides | `assignment.rs`, here |
//! | 21 the page's schemas | `assignment.rs`, `commands.rs` |
//! | 22 batches | `telemetry.rs` |
//! | 23 `update` deletes | `metadata.rs` |
//! | 24 three kinds of nothing | `assignment.rs`, `config.rs`, here |
//! | 25 extra fields | `assignment.rs`, `commands.rs`, `commands/report.rs`, `config.rs` |
//! | 26 redelivery | `endpoint/ledger.rs`, here |
//! | 27, 28 empty lists, silence after results | here |
//! | 29 the time of commands | a fact for operators; nothing to test |
//! | 30 software | `software.rs`, here |
//! | 31 upload tokens | `upload.rs` |
//! | 32, 33, 34 credentials, shared links | of the link: level B |
//! | 35 silent endpoints | here |
//! | 36 acknowledged is not processed | here; 2 × MQTT is level B |
//! | 37 retain, will | a `Message` has neither |
//! | 38 bytes | `names.rs`, here |
//! | 39 numbers | `assignment.rs`, `commands.rs`, `commands/report.rs`, here |
//! | 40 scalars | `telemetry.rs` |

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod trap;

use kaa_proto::commands::Pending;
use kaa_proto::config::{self, Answer};
use kaa_proto::endpoint::{Disposition, Endpoint, EndpointOptions, Event, Observation};
use kaa_proto::names::{ConfigName, EndpointName, Extension};
use kaa_proto::raw::Call;
use kaa_proto::request::{Confirm, Failure, RequestExt, Service, SubmitError};
use kaa_proto::telemetry::Sample;
use kaa_proto::{metadata, upload};
use kaa_tests::clock::Clock;
use kaa_tests::endpoint_host::{EndpointHost, Subscribing};
use serde_json::json;

use trap::{CONFIGURATION, SECOND, commands, failure, is_ok, online, options, read, reboot};

#[test]
fn trap_02_a_numeric_token_is_the_token_even_without_a_resource() {
    let name = EndpointName::parse("v", "356938035643809").unwrap();
    let mut endpoint = Endpoint::new(name, options().into(), 1);
    let now = Clock::new().now();
    endpoint.handle_link_up(now);
    let tsx = Call::new(Service::Other(Extension::new("tsx").unwrap()), "");
    endpoint.submit(now, &tsx).unwrap();
    assert_eq!(
        endpoint.poll_message(now).unwrap().topic,
        "kp1/v/tsx/356938035643809/1"
    );
    let status = "kp1/v/tsx/356938035643809/1/status";
    assert_eq!(
        endpoint.handle_message(now, status, b"{}"),
        Disposition::Taken
    );
    assert!(matches!(
        endpoint.poll_event(),
        Some(Event::Completed { outcome: Ok(_), .. })
    ));
}

#[test]
fn trap_04_a_number_after_config_json_is_an_id_and_a_name_is_a_name() {
    let mut host = online();
    let wifi = ConfigName::new("wifi").unwrap();
    host.observe(&CONFIGURATION).unwrap();
    host.observe(&Observation::Configuration(Some(wifi.clone())))
        .unwrap();
    host.receive(
        "cmx/config/json/1/status",
        r#"{"configId":"default","config":1}"#,
    );
    host.receive(
        "cmx/config/json/wifi/status",
        r#"{"configId":"push","config":1}"#,
    );
    let id = |answer: Option<Answer>| match answer {
        Some(Answer::Assigned(configuration)) => configuration.config_id().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(id(host.endpoint.poll_configuration(None)), "default");
    assert_eq!(id(host.endpoint.poll_configuration(Some(&wifi))), "push");
    host.receive(
        "cmx/config/json/wifi/2/status",
        r#"{"configId":"answer","config":1}"#,
    );
    assert_eq!(id(host.endpoint.poll_configuration(Some(&wifi))), "answer");
}

#[test]
fn trap_05_two_queries_of_the_same_number_are_not_open_at_once() {
    let mut host = online();
    let rsx = |of: &str| Call::new(Service::Other(Extension::new("rsx").unwrap()), of).fixed_id(42);
    host.submit(&rsx("dcx")).unwrap();
    assert_eq!(host.take_paths(), ["rsx/dcx/42"]);
    assert_eq!(host.submit(&rsx("cmx")), Err(SubmitError::IdInUse(42)));
}

#[test]
fn trap_06_an_answer_for_a_longer_or_shorter_path_is_for_another_request() {
    let mut host = online();
    let ids: Vec<_> = (0..42)
        .map(|n| host.submit(&Sample::new(n)).unwrap())
        .collect();
    host.receive("dcx/json/42/status", "");
    let done: Vec<_> = ids
        .iter()
        .filter(|id| host.outcome(**id).is_some())
        .collect();
    assert_eq!(done, [&ids[41]], "json/4 is not json/42");
    let keys = host.submit(&metadata::Keys).unwrap();
    host.receive("epmx/get/1/status", "{}");
    host.receive("epmx/get/keys/more/1/status", "{}");
    assert!(host.outcome(keys).is_none());
}

#[test]
fn trap_07_what_has_no_id_is_not_waited_for() {
    let mut host = online();
    let id = host
        .submit(&Sample::new(1).confirm(Confirm::Nothing))
        .unwrap();
    assert!(is_ok(&host, id) && host.endpoint.is_idle());
    host.receive("dcx/json/error", "");
    assert!(matches!(
        &*host.take_events(),
        [Event::UnassignedError { .. }]
    ));
    let token = host.submit(&upload::GetToken).unwrap();
    host.receive("bcx/token/status", r#"{"token":"2222"}"#);
    assert!(
        host.outcome(token).is_none(),
        "it cannot be told whose answer that is"
    );
    assert_eq!(host.statistics().unsolicited, 1);
}

#[test]
fn trap_08_a_push_may_come_before_anything_was_sent_or_subscribed() {
    let mut host = EndpointHost::offline(EndpointOptions::default(), 1).unwrap();
    host.subscribing = Subscribing::Ignore;
    host.link_up();
    host.observe(&commands()).unwrap();
    host.observe(&CONFIGURATION).unwrap();
    assert!(host.take_sent().is_empty());
    host.receive("cex/command/reboot/status", r#"[{"id":1}]"#);
    host.receive("cmx/config/json/status", r#"{"configId":"a","config":1}"#);
    assert_eq!(read(&mut host), Some(1));
    assert!(host.endpoint.poll_configuration(None).is_some());
}

#[test]
fn trap_09_answers_repeat_on_the_id_of_an_observation_and_it_is_not_given_out_again() {
    let mut host = EndpointHost::online(options().max_request_id(3).unwrap(), 1).unwrap();
    host.observe(&commands()).unwrap();
    for id in 1..=5 {
        host.receive(
            "cex/command/reboot/1/status",
            &format!(r#"[{{"id":{id}}}]"#),
        );
        assert_eq!(read(&mut host), Some(id));
    }
    let _ = host.take_sent();
    for expected in ["2", "3", "2", "3"] {
        host.submit(&Pending::new(reboot())).unwrap();
        let path = format!("cex/command/reboot/{expected}");
        assert_eq!(host.take_paths(), *std::slice::from_ref(&path));
        host.receive(&format!("{path}/status"), "[]");
    }
    assert_eq!(
        host.statistics().foreign_answers + host.statistics().late_answers,
        0
    );
}

#[test]
fn trap_10_both_styles_of_push_are_taken_and_the_same_update_surfaces_once() {
    let mut host = online();
    for observation in [commands(), CONFIGURATION, Observation::Software] {
        host.observe(&observation).unwrap();
    }
    for path in ["cex/command/reboot/1/status", "cex/command/reboot/status"] {
        host.receive(path, r#"[{"id":1}]"#);
    }
    assert_eq!((read(&mut host), read(&mut host)), (Some(1), None));
    for extension in ["cmx", "cmx_ota"] {
        for path in [
            "config/json/1/status",
            "config/json/status",
            "config/json/1/status",
        ] {
            host.receive(
                &format!("{extension}/{path}"),
                r#"{"configId":"a","config":1}"#,
            );
        }
    }
    assert!(host.endpoint.poll_configuration(None).is_some());
    assert!(host.endpoint.poll_configuration(None).is_none());
    assert!(host.endpoint.poll_software().is_some() && host.endpoint.poll_software().is_none());
    assert_eq!(host.statistics().configurations_repeated, 4);
}

#[test]
fn trap_11_a_late_answer_finds_no_new_waiter() {
    let mut host = EndpointHost::online(options().max_request_id(2).unwrap(), 1).unwrap();
    let late = host.submit(&Sample::new(1).answer_within(SECOND)).unwrap();
    host.advance(SECOND);
    assert_eq!(failure(&host, late), Some(Failure::Unanswered));
    let other = host.submit(&Sample::new(2)).unwrap();
    host.receive("dcx/json/2/status", "");
    assert!(is_ok(&host, other));
    let next = host.submit(&Sample::new(3)).unwrap();
    assert_eq!(host.take_paths().last().unwrap(), "dcx/json/2", "1 rests");
    host.receive("dcx/json/1/status", "");
    assert!(host.outcome(next).is_none());
    assert_eq!(host.statistics().late_answers, 1);
}

#[test]
fn trap_12_exhaustion_is_back_pressure() {
    let options = options()
        .max_request_id(99)
        .unwrap()
        .max_in_flight(std::num::NonZeroU16::MAX);
    let mut host = EndpointHost::online(options, 1).unwrap();
    for n in 0..150 {
        host.submit(&Sample::new(n)).unwrap();
    }
    assert_eq!(
        (host.take_sent().len(), host.endpoint.queue_len()),
        (99, 51)
    );
    host.submit(&metadata::Keys).unwrap();
    assert_eq!(
        host.take_paths(),
        ["epmx/get/keys/1"],
        "another instance has its own IDs"
    );
}

#[test]
fn trap_13_a_late_answer_on_a_new_link_belongs_to_no_new_request() {
    let mut host = online();
    let lost = host.submit(&Sample::new(1)).unwrap();
    host.relink();
    assert_eq!(failure(&host, lost), Some(Failure::OutcomeUnknown));
    let new = host.submit(&Sample::new(2)).unwrap();
    assert_eq!(host.take_paths(), ["dcx/json/1", "dcx/json/2"]);
    host.receive("dcx/json/1/status", "");
    assert!(host.outcome(new).is_none());
}

#[test]
fn trap_14_answers_to_another_connection_are_ignored() {
    let mut host = online();
    let id = host.submit(&Sample::new(1)).unwrap();
    for path in ["dcx/json/77/status", "epmx/get/3/error", "rsx/dcx/9/status"] {
        host.receive(path, r#"{"statusCode":500}"#);
    }
    assert!(host.outcome(id).is_none() && host.take_events().is_empty());
    assert_eq!(host.statistics().foreign_answers, 3);
    let others = [
        "kp1/demo-v1/dcx/otherToken/json/1/status",
        "kp1/demo-v2/dcx/JTjdbENzHh/json/1/status",
        "kp2/demo-v1/dcx/JTjdbENzHh/json/1/status",
        "",
    ];
    for topic in others {
        assert_eq!(
            host.receive_raw(topic, b""),
            Disposition::NotOurs,
            "{topic}"
        );
    }
    assert!(host.outcome(id).is_none());
}

#[test]
fn trap_15_zero_is_read_and_never_given_out() {
    let mut host = online();
    for n in 0..200 {
        host.submit(&Sample::new(n)).unwrap();
        let path = host.take_paths().remove(0);
        assert_ne!(path, "dcx/json/0");
        host.receive(&format!("{path}/status"), "");
    }
    host.receive("dcx/json/0/status", "");
    assert_eq!(host.statistics().foreign_answers, 1);
    let zero = Call::new(Service::Telemetry, "json").fixed_id(0);
    assert!(matches!(host.submit(&zero), Err(SubmitError::Invalid(_))));
}

#[test]
fn trap_16_echoed_requests_and_results_are_ignored() {
    let mut host = online();
    host.observe(&commands()).unwrap();
    let id = host.submit(&Sample::new(1)).unwrap();
    host.receive("dcx/json/1", "1");
    host.receive("cex/command/reboot", r#"[{"id":1}]"#);
    host.receive("cex/command/reboot/1", r#"[{"id":1}]"#);
    host.receive("cex/result/reboot/8", r#"[{"id":1,"statusCode":200}]"#);
    assert!(host.outcome(id).is_none());
    assert_eq!((read(&mut host), host.statistics().echoes), (None, 4));
}

#[test]
fn trap_17_a_request_waits_until_its_answers_are_subscribed_to() {
    let mut host = EndpointHost::offline(EndpointOptions::default(), 1).unwrap();
    host.subscribing = Subscribing::Ignore;
    host.link_up();
    host.submit(&metadata::Keys).unwrap();
    assert_eq!(
        host.filters,
        ["+epmx/get/keys/+/error", "+epmx/get/keys/+/status"]
    );
    assert!(host.take_sent().is_empty());
    host.subscribing = Subscribing::Grant;
    host.relink();
    assert_eq!(host.take_paths(), ["epmx/get/keys/1"]);
}

#[test]
fn trap_18_taking_an_observation_back_says_so_instead_of_unsubscribing() {
    let mut host = EndpointHost::online(EndpointOptions::default(), 1).unwrap();
    host.observe(&commands()).unwrap();
    host.receive("cex/command/reboot/1/status", "[]");
    let _ = host.take_sent();
    host.unobserve(&commands());
    assert_eq!(
        host.take_lines(),
        [r#"cex/command/reboot/2 {"observe":false}"#]
    );
    assert!(!host.filters.iter().any(|filter| filter.starts_with('-')));
}

#[test]
fn trap_19_any_body_of_a_status_is_success_where_none_is_expected() {
    for body in [
        "",
        "{}",
        "null",
        "not json",
        r#"{"statusCode":500}"#,
        "\u{0}",
    ] {
        let mut host = online();
        let ids = [
            host.submit(&Sample::new(1)).unwrap(),
            host.submit(&metadata::Merge::new(json!({"a": 1}))).unwrap(),
            host.submit(&config::Applied::new("a")).unwrap(),
        ];
        for path in ["dcx/json/1", "epmx/update/keys/1", "cmx/applied/json/1"] {
            host.receive(&format!("{path}/status"), body);
        }
        assert!(ids.iter().all(|id| is_ok(&host, *id)), "{body:?}");
    }
}

#[test]
fn trap_20_the_suffix_decides_unless_the_body_of_a_configuration_does() {
    for body in [
        "",
        "not json",
        "[]",
        r#"[200,"ok"]"#,
        "null",
        r#"{"statusCode":200}"#,
    ] {
        let mut host = online();
        let id = host.submit(&Sample::new(1)).unwrap();
        host.receive("dcx/json/1/error", body);
        assert!(
            matches!(failure(&host, id), Some(Failure::Rejected { .. })),
            "{body:?}"
        );
    }
    let mut host = online();
    let id = host.submit(&config::Get::new()).unwrap();
    host.receive(
        "cmx/config/json/1/status",
        r#"{"statusCode":404,"reasonPhrase":null}"#,
    );
    let rejected = Failure::Rejected {
        status: Some(404),
        reason: String::new(),
    };
    assert_eq!(failure(&host, id), Some(rejected));
}

#[test]
fn trap_20_a_list_of_commands_is_no_error_object() {
    let mut host = online();
    host.observe(&commands()).unwrap();
    host.receive("cex/command/reboot/1/status", r#"[500,{"id":1}]"#);
    let failed = |event: &Event| matches!(event, Event::ObservationFailed { .. });
    assert!(!host.take_events().iter().any(failed));
    assert_eq!(read(&mut host), Some(1));
}
