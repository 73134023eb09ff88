//! What a device says of itself: the configuration that is applied, the software that runs.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::config::{Answer, Applied, Rejected};
use kaa_proto::endpoint::{EndpointOptions, Observation, Record, Subscriptions};
use kaa_proto::request::Failure;
use kaa_proto::software::ReportCurrent;
use kaa_tests::endpoint_host::EndpointHost;

const CONFIGURATION: Observation = Observation::Configuration(None);
const PUSH: &str = "cmx/config/json/status";
const UNASSIGNED: &str = r#"{"configId":"","config":null}"#;

/// Observes the unnamed configuration, whose request has ID 1.
fn observing() -> EndpointHost {
    let options = EndpointOptions::default()
        .subscriptions(Subscriptions::None)
        .durable(true)
        .keep_configurations(true);
    let mut host = EndpointHost::online(options, 1).unwrap();
    host.observe(&CONFIGURATION).unwrap();
    host.receive("cmx/config/json/1/status", "{}");
    let _ = (host.take_sent(), host.take_events());
    host
}

fn configuration(id: &str) -> String {
    format!(r#"{{"configId":"{id}","config":{{"is":"{id}"}}}}"#)
}

/// The platform pushes a configuration, and it is read.
fn assign(host: &mut EndpointHost, id: &str) {
    host.receive(PUSH, &configuration(id));
    assert_eq!(read(host).as_deref(), Some(id));
}

fn read(host: &mut EndpointHost) -> Option<String> {
    match host.endpoint.poll_configuration(None)? {
        Answer::Assigned(configuration) => Some(configuration.config_id().to_owned()),
        Answer::Unassigned => Some(String::new()),
        Answer::NotModified => panic!("never"),
    }
}

/// The only path that was sent to meanwhile.
fn sent_to(host: &mut EndpointHost) -> String {
    let mut paths = host.take_paths();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

/// Reports that a configuration is applied, which is confirmed.
fn apply(host: &mut EndpointHost, id: &str) {
    host.submit(&Applied::new(id)).unwrap();
    let path = sent_to(host);
    host.receive(&format!("{path}/status"), "");
}

/// What the observation says on a new link.
fn asked_on_a_new_link(host: &mut EndpointHost) -> String {
    host.relink();
    let mut lines = host.take_lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn good(host: &EndpointHost) -> Option<&str> {
    let good = host.endpoint.applied_configuration(None)?;
    Some(good.config_id())
}

/// Named, it would be answered with "not modified", for ever.
#[test]
fn a_configuration_that_was_taken_away_and_came_back_while_there_was_no_link_is_told() {
    let mut host = observing();
    assign(&mut host, "a");
    apply(&mut host, "a");
    host.receive(PUSH, UNASSIGNED);
    assert_eq!(read(&mut host).as_deref(), Some(""));
    let asked = asked_on_a_new_link(&mut host);
    assert_eq!(asked, r#"cmx/config/json/1 {"observe":true}"#);
    host.receive("cmx/config/json/1/status", &configuration("a"));
    assert_eq!(read(&mut host).as_deref(), Some("a"));
    // It is where it was: as good as applied.
    let asked = asked_on_a_new_link(&mut host);
    assert_eq!(
        asked,
        r#"cmx/config/json/1 {"configId":"a","observe":true}"#
    );
}

#[test]
fn a_device_that_may_have_gone_on_learns_that_it_is_to_go_back() {
    let mut host = observing();
    assign(&mut host, "a");
    apply(&mut host, "a");
    assign(&mut host, "b");
    let report = host.submit(&Applied::new("b")).unwrap();
    host.advance(Duration::from_secs(31));
    assert_eq!(host.outcome(report), Some(&Err(Failure::Unanswered)));
    let _ = host.take_sent();
    let asked = asked_on_a_new_link(&mut host);
    assert_eq!(asked, r#"cmx/config/json/1 {"observe":true}"#);
    host.receive("cmx/config/json/1/status", &configuration("a"));
    assert_eq!(read(&mut host).as_deref(), Some("a"));
}

#[test]
fn what_was_read_by_one_who_is_gone_counts_too_until_something_is_applied() {
    let mut host = observing();
    assign(&mut host, "a");
    apply(&mut host, "a");
    host.receive(PUSH, UNASSIGNED);
    assert_eq!(read(&mut host).as_deref(), Some(""));
    assert!(host.unobserve(&CONFIGURATION));
    let end = r#" {"configId":"a","observe":false}"#;
    assert!(host.take_lines()[0].ends_with(end), "it costs no transfer");
    host.receive("cmx/config/json/3/status", "{}");
    host.observe(&CONFIGURATION).unwrap();
    assert_eq!(host.take_lines(), [r#"cmx/config/json/4 {"observe":true}"#]);
    host.receive("cmx/config/json/4/status", "{}");
    apply(&mut host, "a");
    let asked = asked_on_a_new_link(&mut host);
    assert!(
        asked.ends_with(r#" {"configId":"a","observe":true}"#),
        "{asked}"
    );
}

#[test]
fn the_good_configuration_that_is_applied_again_stays_good() {
    let mut host = observing();
    assign(&mut host, "a");
    apply(&mut host, "a");
    assign(&mut host, "b");
    host.submit(&Rejected::new("b", 409, "no")).unwrap();
    let path = sent_to(&mut host);
    host.receive(&format!("{path}/status"), "");
    apply(&mut host, "a");
    assert_eq!(good(&host), Some("a"));
}

#[test]
fn a_configuration_is_good_once_it_is_confirmed_whatever_was_pushed_meanwhile() {
    let mut host = observing();
    assign(&mut host, "a");
    host.submit(&Applied::new("a")).unwrap();
    let first = sent_to(&mut host);
    assign(&mut host, "b");
    host.submit(&Applied::new("b")).unwrap();
    assign(&mut host, "c");
    host.receive(&format!("{first}/status"), "");
    assert_eq!(good(&host), Some("a"));
    let kept = |record: &Record| match record {
        Record::Configuration(kept) => Some(kept.config_id().to_owned()),
        _ => None,
    };
    assert_eq!(host.records.iter().find_map(kept).as_deref(), Some("a"));
    // The next is refused, and what was good stays so.
    let second = sent_to(&mut host);
    host.receive(&format!("{second}/error"), r#"{"statusCode":500}"#);
    assert_eq!(good(&host), Some("a"));
}

fn observe_software(host: &mut EndpointHost, version: &str) {
    let now = host.now();
    host.endpoint.observe_software(now, version).unwrap();
    host.drain();
}

fn software() -> EndpointHost {
    let options = EndpointOptions::default().subscriptions(Subscriptions::None);
    EndpointHost::online(options, 1).unwrap()
}

#[test]
fn a_version_that_is_confirmed_late_does_not_put_a_newer_one_back() {
    let mut host = software();
    observe_software(&mut host, "1");
    let first = sent_to(&mut host);
    observe_software(&mut host, "2");
    host.is_busy = true;
    host.receive(&format!("{first}/status"), "");
    host.relink();
    host.is_busy = false;
    host.drain();
    host.advance(Duration::from_secs(31));
    let sent = host.take_lines();
    let is_report = |line: &&String| line.starts_with("cmx_ota/applied/");
    let reports: Vec<_> = sent.iter().filter(is_report).collect();
    assert_eq!(reports.len(), 1, "{sent:?}");
    assert!(reports[0].ends_with(r#" {"configId":"2"}"#), "{sent:?}");
}

#[test]
fn a_report_that_waited_is_followed_by_the_version_that_was_said_after_it() {
    let mut host = software();
    observe_software(&mut host, "0");
    let path = sent_to(&mut host);
    host.receive(&format!("{path}/status"), "");
    let path = sent_to(&mut host);
    host.receive(&format!("{path}/status"), "{}");
    host.link_down();
    let report = host.submit(&ReportCurrent::new("1")).unwrap();
    observe_software(&mut host, "2");
    host.link_up();
    for version in ["1", "2"] {
        let sent = host.take_sent().remove(0);
        assert_eq!(sent.payload, format!(r#"{{"configId":"{version}"}}"#));
        host.receive(&format!("{}/status", sent.path), "");
    }
    assert_eq!(host.outcome(report).unwrap().as_ref().err(), None);
    let observed = host.take_sent().remove(0);
    assert_eq!(observed.payload, r#"{"configId":"2","observe":true}"#);
    host.receive(&format!("{}/status", observed.path), "{}");
    host.relink();
    let line = host.take_lines().remove(0);
    assert!(line.ends_with(r#" {"configId":"2"}"#), "{line}");
}
