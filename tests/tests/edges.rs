//! Where several rules of an endpoint meet: who holds a command that nobody reads, what may have
//! been sent, what an observation that begins anew has seen.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kaa_proto::commands::Pending;
use kaa_proto::config::Answer;
use kaa_proto::endpoint::{Endpoint, EndpointOptions, Event, Observation, Subscriptions};
use kaa_proto::metadata;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::request::{Class, Failure, InvalidRequest, RequestExt, SubmitError};
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;
use kaa_tests::endpoint_host::EndpointHost;

const CONFIGURATION: Observation = Observation::Configuration(None);

fn options() -> EndpointOptions {
    EndpointOptions::default().subscriptions(Subscriptions::None)
}

fn online(options: EndpointOptions) -> (Endpoint, Instant) {
    let now = Clock::new().now();
    let name = EndpointName::parse("v", "tok").unwrap();
    let mut endpoint = Endpoint::new(name, Arc::new(options), 1);
    endpoint.handle_link_up(now);
    (endpoint, now)
}

fn of(command_type: &str) -> CommandType {
    CommandType::new(command_type).unwrap()
}

/// The topics of what is sent now.
fn sent(endpoint: &mut Endpoint, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| endpoint.poll_message(now))
        .map(|m| m.topic)
        .collect()
}

#[test]
fn a_wait_that_no_clock_can_hold_is_refused() {
    let (mut endpoint, now) = online(options());
    let mut refused = |request| match endpoint.submit(now, &request) {
        Err(SubmitError::Invalid(InvalidRequest::Policy(rule))) => rule,
        other => panic!("{other:?}"),
    };
    let sample = || Sample::new(1);
    assert!(refused(sample().answer_within(Duration::MAX)).contains("24 hours"));
    assert!(refused(sample().answer_within(Duration::ZERO)).contains("24 hours"));
    assert!(refused(sample().expires_after(Duration::MAX)).contains("366 days"));
    let too_long = EndpointOptions::default().refresh_observations(Duration::MAX);
    assert!(too_long.unwrap_err().to_string().contains("24 hours"));
}

#[test]
fn unread_commands_are_given_back_when_their_observation_ends() {
    let (mut endpoint, now) = online(options());
    endpoint
        .observe(now, &Observation::Commands(of("a")))
        .unwrap();
    let push = "kp1/v/cex/tok/command/a/status";
    let _ = endpoint.handle_message(now, push, br#"[{"id":1}]"#);
    assert!(endpoint.unobserve(now, &Observation::Commands(of("a"))));
    assert!(endpoint.poll_command(|_| true).is_none());
    endpoint
        .observe(now, &Observation::Commands(of("a")))
        .unwrap();
    let _ = endpoint.handle_message(now, push, br#"[{"id":1}]"#);
    assert!(
        endpoint.poll_command(|_| true).is_some(),
        "surfaced to the new reader"
    );
}

#[test]
fn unread_commands_of_one_type_leave_room_for_those_of_another() {
    let one = NonZeroUsize::MIN;
    let (mut endpoint, now) = online(options().max_unread_commands(one));
    for command_type in ["a", "b"] {
        endpoint
            .observe(now, &Observation::Commands(of(command_type)))
            .unwrap();
        let push = format!("kp1/v/cex/tok/command/{command_type}/status");
        let _ = endpoint.handle_message(now, &push, br#"[{"id":1},{"id":2}]"#);
    }
    assert!(endpoint.poll_command(|name| name.as_str() == "b").is_some());
    assert_eq!(endpoint.statistics().commands_held, 2);
}

#[test]
fn a_reply_names_the_commands_that_it_hands_out() {
    let (mut endpoint, now) = online(options());
    let ask = |endpoint: &mut Endpoint, wire_id| {
        endpoint.submit(now, &Pending::new(of("a"))).unwrap();
        let _ = sent(endpoint, now);
        let topic = format!("kp1/v/cex/tok/command/a/{wire_id}/status");
        let _ = endpoint.handle_message(now, &topic, br#"[{"id":7}]"#);
        match endpoint.poll_event() {
            Some(Event::Completed { outcome, .. }) => outcome.unwrap().handed_out(),
            other => panic!("{other:?}"),
        }
    };
    let handed_out = ask(&mut endpoint, 1);
    assert_eq!(handed_out.len(), 1);
    assert!(ask(&mut endpoint, 2).is_empty(), "it is in progress");
    endpoint.release(now, &handed_out[0]);
    assert_eq!(ask(&mut endpoint, 3), handed_out);
}

#[test]
fn an_observation_that_begins_anew_reads_the_current_configuration() {
    let (mut endpoint, now) = online(options());
    let push = "kp1/v/cmx/tok/config/json/status";
    let c1 = br#"{"configId":"c1","config":{}}"#;
    for _ in 0..2 {
        endpoint.observe(now, &CONFIGURATION).unwrap();
        let _ = endpoint.handle_message(now, push, c1);
        assert!(matches!(
            endpoint.poll_configuration(None),
            Some(Answer::Assigned(_))
        ));
        let _ = endpoint.handle_message(now, push, c1);
        assert!(
            endpoint.poll_configuration(None).is_none(),
            "once for each observation"
        );
        assert!(endpoint.unobserve(now, &CONFIGURATION));
    }
}

#[test]
fn a_newer_version_is_reported_although_software_is_observed_already() {
    let (mut endpoint, now) = online(options());
    endpoint.observe_software(now, "1").unwrap();
    let first = sent(&mut endpoint, now);
    assert_eq!(first, ["kp1/v/cmx_ota/tok/applied/json/1"]);
    let _ = endpoint.handle_message(now, "kp1/v/cmx_ota/tok/applied/json/1/status", b"");
    assert_eq!(
        sent(&mut endpoint, now),
        ["kp1/v/cmx_ota/tok/config/json/2"]
    );
    let _ = endpoint.handle_message(now, "kp1/v/cmx_ota/tok/config/json/2/status", b"{}");
    endpoint.observe_software(now, "1").unwrap();
    assert!(sent(&mut endpoint, now).is_empty(), "nothing new");
    endpoint.observe_software(now, "2").unwrap();
    assert_eq!(
        sent(&mut endpoint, now),
        ["kp1/v/cmx_ota/tok/applied/json/3"]
    );
}

#[test]
fn software_that_cannot_be_observed_changes_nothing_of_what_runs() {
    let (mut endpoint, now) = online(options());
    endpoint.observe_software(now, "1.0").unwrap();
    assert!(endpoint.unobserve(now, &Observation::Software));
    for n in 0..256 {
        let many = Observation::Commands(of(&format!("type{n}")));
        endpoint.observe(now, &many).unwrap();
    }
    let full = SubmitError::QueueFull(Class::Control);
    assert_eq!(endpoint.observe_software(now, "2.0"), Err(full));
    endpoint.handle_link_down(now);
    for n in 0..256 {
        assert!(endpoint.unobserve(now, &Observation::Commands(of(&format!("type{n}")))));
    }
    endpoint.handle_link_up(now);
    endpoint.observe(now, &Observation::Software).unwrap();
    let payloads: Vec<_> = std::iter::from_fn(|| endpoint.poll_message(now))
        .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
        .collect();
    assert!(
        payloads.iter().any(|payload| payload.contains("1.0")),
        "{payloads:?}"
    );
    assert!(payloads.iter().all(|payload| !payload.contains("2.0")));
}

#[test]
fn a_full_queue_drops_its_oldest_whichever_of_its_bounds_is_reached() {
    let at_least = |n| NonZeroUsize::new(n).unwrap();
    for (count, bytes) in [(2, 1 << 20), (100, 100)] {
        let options = options().queue(Class::Bulk, at_least(count), at_least(bytes));
        let now = Clock::new().now();
        let name = EndpointName::parse("v", "tok").unwrap();
        let mut endpoint = Endpoint::new(name, Arc::new(options), 1);
        let sample = Sample::new("x".repeat(38));
        let ids = [(); 3].map(|()| endpoint.submit(now, &sample).unwrap());
        let Some(Event::Completed { id, outcome }) = endpoint.poll_event() else {
            panic!("{count} and {bytes}: nothing is dropped");
        };
        assert_eq!((id, outcome), (ids[0], Err(Failure::Dropped)));
        assert_eq!(endpoint.poll_event(), None);
    }
}

/// At the door an endpoint that nobody polls may be given anything.
#[test]
fn events_that_nobody_polls_are_lost_and_counted() {
    let (mut endpoint, now) = online(options());
    for _ in 0..16_384 + 3 {
        let _ = endpoint.handle_message(now, "kp1/v/cex/tok/command/reboot/status", b"no JSON");
    }
    assert_eq!(endpoint.statistics().malformed, 16_384 + 3);
    assert_eq!(endpoint.statistics().events_lost, 3);
    assert_eq!(std::iter::from_fn(|| endpoint.poll_event()).count(), 16_384);
}

/// Control goes first, so the flights are not in the order in which they began.
#[test]
fn an_answer_finds_its_request_among_others_that_were_submitted_later_and_sent_earlier() {
    let mut host = EndpointHost::offline(EndpointOptions::default(), 1).unwrap();
    let sample = host.submit(&Sample::new(1)).unwrap();
    let keys: Vec<_> = (0..8)
        .map(|_| host.submit(&metadata::Keys).unwrap())
        .collect();
    host.link_up();
    assert_eq!(host.take_paths().last().unwrap(), "dcx/json/1");
    host.receive("dcx/json/1/status", "");
    assert!(matches!(host.outcome(sample), Some(Ok(_))));
    assert!(keys.iter().all(|id| host.outcome(*id).is_none()));
}
