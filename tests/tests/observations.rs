//! Observations: how they are asked for, kept alive, read and taken back.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::commands::Pending;
use kaa_proto::config::{self, Answer};
use kaa_proto::endpoint::{EndpointOptions, Event, Observation, Subscriptions};
use kaa_proto::names::{CommandType, ConfigName};
use kaa_proto::request::{Failure, SubmitError};
use kaa_proto::software;
use kaa_proto::telemetry::Sample;
use kaa_tests::endpoint_host::EndpointHost;

const SECOND: Duration = Duration::from_secs(1);
const HALF_HOUR: Duration = Duration::from_secs(30 * 60);
const CONFIGURATION: Observation = Observation::Configuration(None);

fn online() -> EndpointHost {
    let options = EndpointOptions::default().subscriptions(Subscriptions::None);
    EndpointHost::online(options, 1).unwrap()
}

fn reboot() -> Observation {
    Observation::Commands(CommandType::new("reboot").unwrap())
}

fn wifi() -> Observation {
    Observation::Configuration(Some(ConfigName::new("wifi").unwrap()))
}

/// Observes, and has the platform say that nothing is there.
fn observed(observation: &Observation, path: &str) -> EndpointHost {
    let mut host = online();
    host.observe(observation).unwrap();
    host.receive(path, "");
    assert_eq!(host.take_events(), [Event::Observed(observation.clone())]);
    let _ = host.take_sent();
    host
}

fn observe_software(host: &mut EndpointHost, version: &str) {
    let now = host.now();
    host.endpoint.observe_software(now, version).unwrap();
    host.drain();
}

fn read(host: &mut EndpointHost) -> Option<String> {
    match host.endpoint.poll_configuration(None)? {
        Answer::Assigned(configuration) => Some(configuration.config_id().to_owned()),
        Answer::Unassigned => Some(String::new()),
        Answer::NotModified => panic!("never"),
    }
}

#[test]
fn each_kind_has_its_request() {
    let mut host = online();
    for observation in [reboot(), CONFIGURATION, wifi(), Observation::Software] {
        host.observe(&observation).unwrap();
        host.observe(&observation).expect("twice is harmless");
        assert!(host.endpoint.is_observed(&observation));
    }
    let expected = [
        r#"cex/command/reboot/1 {"observe":true}"#,
        r#"cmx/config/json/1 {"observe":true}"#,
        r#"cmx/config/json/wifi/2 {"observe":true}"#,
        r#"cmx_ota/config/json/1 {"observe":true}"#,
    ];
    assert_eq!(host.take_lines(), expected);
}

#[test]
fn software_that_is_taken_back_is_told_once() {
    let mut host = online();
    observe_software(&mut host, "1.0.0");
    for _ in 0..2 {
        host.receive(
            "cmx_ota/config/json/status",
            r#"{"configId":"","config":null}"#,
        );
    }
    let told: Vec<_> = std::iter::from_fn(|| host.endpoint.poll_software()).collect();
    assert_eq!(told, [software::Answer::Unassigned]);
}

#[test]
fn software_reports_its_version_and_waits_for_the_answer_first() {
    let mut host = online();
    let now = host.now();
    let error = host.endpoint.observe_software(now, "").unwrap_err();
    assert!(matches!(error, SubmitError::Invalid(_)));
    observe_software(&mut host, "0.0.2");
    assert_eq!(
        host.take_lines(),
        [r#"cmx_ota/applied/json/1 {"configId":"0.0.2"}"#]
    );
    host.receive("cmx_ota/applied/json/1/status", "");
    let observe = r#"cmx_ota/config/json/2 {"configId":"0.0.2","observe":true}"#;
    assert_eq!(host.take_lines(), [observe]);

    host.receive(
        "cmx_ota/config/json/2/status",
        r#"{"configId":"1.0.0","config":{"link":"http://h/f"}}"#,
    );
    let Some(software::Answer::Assigned(update)) = host.endpoint.poll_software() else {
        panic!("there is an update");
    };
    assert_eq!(
        (update.version(), update.link().as_deref()),
        ("1.0.0", Some("http://h/f"))
    );
    assert!(host.endpoint.poll_software().is_none());
    host.relink();
    let again = host.take_lines();
    assert_eq!(
        again,
        [r#"cmx_ota/applied/json/3 {"configId":"0.0.2"}"#],
        "and so on each link"
    );
    host.advance(30 * SECOND);
    assert_eq!(
        host.take_lines(),
        [observe],
        "an unanswered report does not hold it for ever"
    );
}

#[test]
fn the_version_that_was_reported_last_is_the_current_one() {
    let mut host = online();
    observe_software(&mut host, "1.0.0");
    host.receive("cmx_ota/applied/json/1/status", "");
    host.receive("cmx_ota/config/json/2/status", "{}");
    host.submit(&software::ReportCurrent::new("1.1.0")).unwrap();
    host.receive("cmx_ota/applied/json/3/status", "");
    let _ = host.take_sent();
    host.relink();
    assert_eq!(
        host.take_lines(),
        [r#"cmx_ota/applied/json/4 {"configId":"1.1.0"}"#]
    );
}

#[test]
fn a_version_that_waits_for_a_link_is_not_taken_back_by_the_observation() {
    let mut host = online();
    observe_software(&mut host, "1.0.0");
    host.receive("cmx_ota/applied/json/1/status", "");
    host.receive("cmx_ota/config/json/2/status", "{}");
    host.link_down();
    host.submit(&software::ReportCurrent::new("1.1.0")).unwrap();
    let _ = host.take_sent();
    host.link_up();
    let newest = r#"{"configId":"1.1.0"}"#;
    assert_eq!(
        host.take_lines(),
        [format!("cmx_ota/applied/json/3 {newest}")]
    );
    host.receive("cmx_ota/applied/json/3/status", "");
    host.receive("cmx_ota/config/json/2/status", "{}");
    let _ = host.take_sent();
    host.relink();
    assert_eq!(
        host.take_lines(),
        [format!("cmx_ota/applied/json/4 {newest}")],
        "what was confirmed last is the current one"
    );
}

#[test]
fn reports_of_the_version_do_not_pile_up_where_they_cannot_be_sent() {
    let mut host = online();
    host.is_busy = true;
    for n in 0..1_000 {
        observe_software(&mut host, &format!("1.0.{n}"));
        if n % 2 == 0 {
            host.unobserve(&Observation::Software);
        }
    }
    assert_eq!(host.endpoint.queue_len(), 2, "a report and an observation");
    host.is_busy = false;
    host.drain();
    let newest = r#"cmx_ota/applied/json/1 {"configId":"1.0.999"}"#;
    assert_eq!(host.take_lines(), [newest]);
}

#[test]
fn reports_of_the_version_that_nobody_answers_do_not_pile_up() {
    let mut host = online();
    for n in 0..1_000 {
        observe_software(&mut host, "1.0.0");
        host.advance(SECOND);
        host.unobserve(&Observation::Software);
        if n % 7 == 0 {
            host.relink();
        }
        assert!(host.endpoint.queue_len() <= 2);
    }
}

#[test]
fn it_is_refreshed_with_the_same_id_after_half_an_hour_less_a_tenth_at_most() {
    let mut host = observed(&reboot(), "cex/command/reboot/1/status");
    let pause = host.endpoint.poll_timeout().unwrap() - host.now();
    assert!(
        pause <= HALF_HOUR && pause >= HALF_HOUR * 9 / 10,
        "{pause:?}"
    );
    host.advance(pause);
    assert_eq!(
        host.take_lines(),
        [r#"cex/command/reboot/1 {"observe":true}"#]
    );
    host.receive("cex/command/reboot/1/status", "[]");
    assert!(host.take_events().is_empty(), "that it goes on is no news");
    let pause = host.endpoint.poll_timeout().unwrap() - host.now();
    host.advance(pause);
    assert_eq!(host.take_paths(), ["cex/command/reboot/1"]);
}

#[test]
fn refreshes_of_two_endpoints_are_spread() {
    let due = |seed| {
        let options = EndpointOptions::default().subscriptions(Subscriptions::None);
        let mut host = EndpointHost::online(options, seed).unwrap();
        host.observe(&reboot()).unwrap();
        host.receive("cex/command/reboot/1/status", "[]");
        host.endpoint.poll_timeout().unwrap() - host.now()
    };
    assert_ne!(due(1), due(2));
}

#[test]
fn it_is_issued_again_on_each_link_with_the_same_id() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    host.relink();
    assert_eq!(host.take_lines(), [r#"cmx/config/json/1 {"observe":true}"#]);
    host.relink();
    assert_eq!(
        host.take_lines(),
        [r#"cmx/config/json/1 {"observe":true}"#],
        "once"
    );
    host.receive("cmx/config/json/1/status", "{}");
    assert_eq!(host.take_events(), [Event::Observed(CONFIGURATION)]);
}

#[test]
fn it_is_sent_on_a_new_link_even_if_its_late_answer_comes_first() {
    let mut host = online();
    host.observe(&reboot()).unwrap();
    let _ = host.take_sent();
    host.is_busy = true;
    host.relink();
    host.receive("cex/command/reboot/1/status", r#"[{"id":1}]"#);
    assert_eq!(
        host.take_events(),
        [Event::Unread(reboot())],
        "what came is taken"
    );
    host.is_busy = false;
    host.drain();
    assert_eq!(host.take_paths(), ["cex/command/reboot/1"]);
}

#[test]
fn it_may_be_asked_for_before_there_is_a_link() {
    let options = EndpointOptions::default().subscriptions(Subscriptions::None);
    let mut host = EndpointHost::offline(options, 1).unwrap();
    host.observe(&reboot()).unwrap();
    host.observe(&wifi()).unwrap();
    assert!(host.unobserve(&wifi()));
    host.link_up();
    assert_eq!(host.take_paths(), ["cex/command/reboot/1"]);
}

#[test]
fn a_failed_one_is_told_and_tried_again_with_growing_pauses() {
    let mut host = online();
    host.observe(&reboot()).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..3 {
        assert_eq!(host.take_paths(), ["cex/command/reboot/1"]);
        host.receive(
            "cex/command/reboot/1/error",
            r#"{"statusCode":500,"reasonPhrase":"x"}"#,
        );
        let failure = Failure::Rejected {
            status: Some(500),
            reason: "x".into(),
        };
        let observation = reboot();
        assert_eq!(
            host.take_events(),
            [Event::ObservationFailed {
                observation,
                failure
            }]
        );
        let pause = host.endpoint.poll_timeout().unwrap() - host.now();
        pauses.push(pause);
        host.advance(pause);
    }
    for (pause, expected) in pauses.iter().zip([30, 60, 120]) {
        let expected = expected * SECOND;
        assert!(
            *pause <= expected && *pause >= expected * 9 / 10,
            "{pauses:?}"
        );
    }
    host.receive("cex/command/reboot/1/status", "[]");
    assert_eq!(host.take_events(), [Event::Observed(reboot())]);
}

#[test]
fn an_unanswered_one_is_tried_again() {
    let mut host = online();
    host.observe(&CONFIGURATION).unwrap();
    host.advance(30 * SECOND);
    let failure = Failure::Unanswered;
    let observation = CONFIGURATION;
    assert_eq!(
        host.take_events(),
        [Event::ObservationFailed {
            observation,
            failure
        }]
    );
    host.advance(30 * SECOND);
    assert_eq!(
        host.take_paths(),
        ["cmx/config/json/1", "cmx/config/json/1"]
    );
}

#[test]
fn pushes_come_with_and_without_id_and_before_the_first_answer() {
    let mut host = online();
    host.observe(&CONFIGURATION).unwrap();
    host.receive("cmx/config/json/status", r#"{"configId":"a","config":1}"#);
    assert_eq!(host.take_events(), [Event::Unread(CONFIGURATION)]);
    assert_eq!(read(&mut host).as_deref(), Some("a"));
    host.receive("cmx/config/json/1/status", "{}");
    host.receive("cmx/config/json/1/status", r#"{"configId":"b","config":1}"#);
    assert_eq!(read(&mut host).as_deref(), Some("b"));
    host.receive("cmx/config/json/status", r#"{"configId":"c","config":1}"#);
    assert_eq!(read(&mut host).as_deref(), Some("c"));
    assert_eq!(host.statistics().unsolicited, 0);
}

#[test]
fn the_same_update_on_both_topics_surfaces_once() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    let update = r#"{"configId":"a","config":1}"#;
    host.receive("cmx/config/json/status", update);
    assert_eq!(read(&mut host).as_deref(), Some("a"));
    host.receive("cmx/config/json/1/status", update);
    assert_eq!(read(&mut host), None);
    assert_eq!(host.take_events(), [Event::Unread(CONFIGURATION)]);
    assert_eq!(host.statistics().configurations_repeated, 1);
    host.receive("cmx/config/json/status", r#"{"configId":"b","config":1}"#);
    host.receive("cmx/config/json/status", update);
    assert_eq!(
        read(&mut host).as_deref(),
        Some("a"),
        "going back is an update"
    );
}

#[test]
fn only_the_newest_unread_configuration_is_kept() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    host.receive("cmx/config/json/status", r#"{"configId":"a","config":1}"#);
    host.receive("cmx/config/json/status", r#"{"configId":"b","config":1}"#);
    assert_eq!(read(&mut host).as_deref(), Some("b"));
    assert_eq!(read(&mut host), None);
}

#[test]
fn named_configurations_are_kept_apart() {
    let mut host = observed(&wifi(), "cmx/config/json/wifi/1/status");
    host.receive(
        "cmx/config/json/wifi/status",
        r#"{"configId":"a","config":1}"#,
    );
    host.receive(
        "cmx/config/json/other/status",
        r#"{"configId":"b","config":1}"#,
    );
    host.receive("cmx/config/json/status", r#"{"configId":"c","config":1}"#);
    assert_eq!(host.statistics().unsolicited, 2);
    assert_eq!(read(&mut host), None);
    let name = ConfigName::new("wifi").unwrap();
    let Some(Answer::Assigned(configuration)) = host.endpoint.poll_configuration(Some(&name))
    else {
        panic!("there is one");
    };
    assert_eq!(
        (configuration.config_id(), configuration.name()),
        ("a", Some(&name))
    );
}

#[test]
fn not_modified_in_any_form_surfaces_nothing() {
    let mut host = online();
    host.observe(&CONFIGURATION).unwrap();
    for form in [
        "{}",
        "",
        "null",
        r#"{"statusCode":304}"#,
        r#"{"configId":"x"}"#,
    ] {
        host.receive("cmx/config/json/1/status", form);
        host.receive("cmx/config/json/status", form);
    }
    host.receive(
        "cmx/config/json/1/error",
        r#"{"statusCode":304,"reasonPhrase":"Not Modified"}"#,
    );
    assert_eq!(host.take_events(), [Event::Observed(CONFIGURATION)]);
    assert_eq!(read(&mut host), None);
}

#[test]
fn that_none_is_assigned_is_told_once() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    for _ in 0..2 {
        host.receive("cmx/config/json/status", r#"{"configId":"","config":null}"#);
    }
    assert_eq!(read(&mut host).as_deref(), Some(""));
    assert_eq!(host.take_events(), [Event::Unread(CONFIGURATION)]);
}

#[test]
fn only_what_was_confirmed_as_applied_is_named_in_the_next_request() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    host.receive("cmx/config/json/status", r#"{"configId":"a","config":1}"#);
    let _ = read(&mut host);
    host.relink();
    assert_eq!(
        host.take_lines(),
        [r#"cmx/config/json/1 {"observe":true}"#],
        "read only"
    );
    host.submit(&config::Applied::new("a")).unwrap();
    host.receive("cmx/applied/json/2/status", "");
    host.submit(&config::Rejected::new("b", 400, "")).unwrap();
    host.receive("cmx/applied/json/3/status", "");
    let _ = host.take_sent();
    host.receive("cmx/config/json/1/status", "{}");
    host.relink();
    assert_eq!(
        host.take_lines(),
        [r#"cmx/config/json/1 {"configId":"a","observe":true}"#]
    );
}

#[test]
fn an_unreadable_push_is_counted_and_harms_nothing() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    host.receive("cmx/config/json/status", "{\"configId\":7");
    host.receive("cmx/config/json/1/status", "[]");
    let topic = |topic: &str| Event::Malformed {
        topic: topic.into(),
    };
    let expected = [
        topic("kp1/demo-v1/cmx/JTj…/config/json/status"),
        topic("kp1/demo-v1/cmx/JTj…/config/json/1/status"),
    ];
    assert_eq!(host.take_events(), expected);
    assert_eq!(host.statistics().malformed, 2);
}

/// A form feed is white space, but none of JSON's (RFC 8259).
#[test]
fn what_no_json_begins_or_ends_with_makes_it_unreadable() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    host.observe(&reboot()).unwrap();
    let forms = ["\u{c}", "null\u{c}", "\u{c}{}", "\u{b}"];
    for form in forms {
        host.receive("cmx/config/json/status", form);
        host.receive("cex/command/reboot/status", form);
    }
    assert_eq!(host.statistics().malformed, 2 * forms.len() as u64);
}

#[test]
fn a_pushed_failure_is_told() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    for path in ["cmx/config/json/status", "cmx/config/json/1/status"] {
        host.receive(path, r#"{"statusCode":500,"reasonPhrase":"x"}"#);
        let events = host.take_events();
        assert!(
            matches!(&*events, [Event::ObservationFailed { .. }]),
            "{path}"
        );
    }
    assert_eq!(read(&mut host), None);
}

#[test]
fn taking_one_back_tells_the_platform() {
    let mut host = observed(&CONFIGURATION, "cmx/config/json/1/status");
    assert!(host.unobserve(&CONFIGURATION) && !host.unobserve(&CONFIGURATION));
    assert_eq!(
        host.take_lines(),
        [r#"cmx/config/json/2 {"observe":false}"#]
    );
    host.receive("cmx/config/json/2/status", r#"{"configId":"a","config":1}"#);
    host.receive("cmx/config/json/status", r#"{"configId":"a","config":1}"#);
    host.receive("cmx/config/json/1/status", r#"{"configId":"a","config":1}"#);
    assert_eq!(read(&mut host), None);
    assert_eq!(
        (
            host.statistics().unsolicited,
            host.statistics().late_answers
        ),
        (1, 1)
    );
    host.advance(2 * HALF_HOUR);
    assert!(host.take_sent().is_empty(), "nothing is refreshed");
}

#[test]
fn one_taken_back_before_its_first_answer_is_taken_back_too() {
    let mut host = online();
    host.observe(&reboot()).unwrap();
    assert!(host.unobserve(&reboot()));
    let expected = [
        r#"cex/command/reboot/1 {"observe":true}"#,
        r#"cex/command/reboot/2 {"observe":false}"#,
    ];
    assert_eq!(host.take_lines(), expected);
}

#[test]
fn one_that_never_went_out_needs_no_taking_back() {
    let mut host = online();
    host.is_busy = true;
    host.observe(&reboot()).unwrap();
    assert!(host.unobserve(&reboot()));
    host.is_busy = false;
    host.drain();
    assert!(host.take_sent().is_empty() && host.endpoint.is_idle());
}

#[test]
fn its_id_is_its_own_for_as_long_as_it_stands() {
    let mut host = observed(&reboot(), "cex/command/reboot/1/status");
    for n in 0..250 {
        host.submit(&Pending::new(CommandType::new(format!("t{n}")).unwrap()))
            .unwrap();
        let path = host.take_paths().remove(0);
        assert!(!path.ends_with("/1"), "{path}");
        host.receive(&format!("{path}/status"), "[]");
    }
    host.receive("cex/command/reboot/1/status", r#"[{"id":1}]"#);
    assert_eq!(host.take_events(), [Event::Unread(reboot())]);
}

#[test]
fn there_is_a_bound() {
    let mut host = online();
    for n in 0..256 {
        let observation = Observation::Commands(CommandType::new(format!("t{n}")).unwrap());
        host.endpoint
            .observe(host.clock.now(), &observation)
            .unwrap();
    }
    assert!(matches!(
        host.observe(&reboot()),
        Err(SubmitError::QueueFull(_))
    ));
    host.submit(&Sample::new(1))
        .expect("requests have their own bound");
}
