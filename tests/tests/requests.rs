//! The life of requests while the link is up: queues, order, IDs, confirmations and their absence.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::time::Duration;

use kaa_proto::QoS;
use kaa_proto::commands::{CommandResult, Report};
use kaa_proto::endpoint::{EndpointOptions, Event, Subscriptions, WhenFull};
use kaa_proto::names::{CommandType, Extension, Metric};
use kaa_proto::raw::Call;
use kaa_proto::request::{
    Class, Confirm, Failure, RequestExt, RequestId, Resend, Service, SubmitError,
};
use kaa_proto::telemetry::{Plain, Sample};
use kaa_proto::{config, metadata};
use kaa_tests::endpoint_host::EndpointHost;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> EndpointOptions {
    EndpointOptions::default().subscriptions(Subscriptions::None)
}

fn online(options: EndpointOptions) -> EndpointHost {
    EndpointHost::online(options, 1).unwrap()
}

fn count(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn in_flight(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

fn report(id: i64) -> Report {
    Report::new(CommandType::new("reboot").unwrap(), id, CommandResult::ok())
}

fn rsx(id: u32) -> Call {
    Call::new(Service::Other(Extension::new("rsx").unwrap()), "dcx").fixed_id(id)
}

fn failure(host: &EndpointHost, id: RequestId) -> Option<Failure> {
    host.outcome(id)?.clone().err()
}

fn is_ok(host: &EndpointHost, id: RequestId) -> bool {
    host.outcome(id).is_some_and(Result::is_ok)
}

#[test]
fn a_full_control_queue_refuses_by_count_and_by_bytes() {
    let options = options().queue(Class::Control, count(3), count(20));
    let mut host = EndpointHost::offline(options, 1).unwrap();
    // "get/keys" takes 8 bytes.
    host.submit(&metadata::Keys).unwrap();
    host.submit(&metadata::Keys).unwrap();
    assert_eq!(
        host.submit(&metadata::Keys),
        Err(SubmitError::QueueFull(Class::Control))
    );
    assert_eq!(host.endpoint.queue_bytes(), 16);
    host.submit(&<metadata::Get>::all()).unwrap();
    let tiny = Call::new(Service::Uploads, "");
    assert_eq!(
        host.submit(&tiny),
        Err(SubmitError::QueueFull(Class::Control))
    );
    assert_eq!(
        (host.endpoint.queue_len(), host.statistics().submitted),
        (3, 3)
    );
    host.submit(&Sample::new(1))
        .expect("the other class has room of its own");
}

#[test]
fn a_full_telemetry_queue_drops_its_oldest_by_count_and_by_bytes() {
    let options = options().queue(Class::Bulk, count(3), count(20));
    let mut host = EndpointHost::offline(options, 1).unwrap();
    let ids: Vec<_> = (1..=4)
        .map(|n| host.submit(&Sample::new(n)).unwrap())
        .collect();
    assert_eq!(failure(&host, ids[0]), Some(Failure::Dropped));
    // "json" and 10 digits take 14 bytes: with 5 for each other, only one of them stays.
    let long = host.submit(&Sample::new(1_234_567_890_u32)).unwrap();
    assert_eq!(failure(&host, ids[1]), Some(Failure::Dropped));
    assert_eq!(failure(&host, ids[2]), Some(Failure::Dropped));
    let too_long = Sample::new("12345678901234567");
    assert_eq!(
        host.submit(&too_long),
        Err(SubmitError::QueueFull(Class::Bulk))
    );
    assert!(
        host.outcome(long).is_none(),
        "nothing is dropped for what cannot fit"
    );
    host.link_up();
    assert_eq!(host.take_lines(), ["dcx/json/1 4", "dcx/json/2 1234567890"]);
    assert_eq!(host.statistics().dropped, 3);
}

#[test]
fn a_full_telemetry_queue_can_refuse_instead() {
    let options = options()
        .queue(Class::Bulk, count(2), count(1000))
        .bulk_when_full(WhenFull::Refuse);
    let mut host = EndpointHost::offline(options, 1).unwrap();
    host.submit(&Sample::new(1)).unwrap();
    host.submit(&Sample::new(2)).unwrap();
    assert_eq!(
        host.submit(&Sample::new(3)),
        Err(SubmitError::QueueFull(Class::Bulk))
    );
    host.link_up();
    assert_eq!(host.take_lines(), ["dcx/json/1 1", "dcx/json/2 2"]);
}

#[test]
fn a_plain_number_without_a_link_is_dropped_and_pushes_nothing_out() {
    let options = options().queue(Class::Bulk, count(1), count(1000));
    let mut host = EndpointHost::offline(options, 1).unwrap();
    let kept = host.submit(&Sample::new(1)).unwrap();
    let plain = Plain::new(Metric::new("t").unwrap(), 1.0);
    let dropped = host.submit(&plain).unwrap();
    assert_eq!(failure(&host, dropped), Some(Failure::Dropped));
    assert!(host.outcome(kept).is_none());
}

#[test]
fn control_goes_before_telemetry_and_each_class_in_its_order() {
    let mut host = EndpointHost::offline(options(), 1).unwrap();
    for n in 1..=2 {
        host.submit(&Sample::new(n)).unwrap();
    }
    host.submit(&metadata::Keys).unwrap();
    host.submit(&report(5)).unwrap();
    host.submit(&<metadata::Get>::all()).unwrap();
    host.link_up();
    let expected = [
        "epmx/get/keys/1",
        "cex/result/reboot/1",
        "epmx/get/2",
        "dcx/json/1",
        "dcx/json/2",
    ];
    assert_eq!(host.take_paths(), expected);
}

#[test]
fn writes_go_one_at_a_time_for_each_extension_instance() {
    let mut host = online(options());
    let write = |n: u8| metadata::Merge::new(json!({ "a": n }));
    let first = host.submit(&write(1)).unwrap();
    host.submit(&write(2)).unwrap();
    host.submit(&metadata::Keys).unwrap();
    host.submit(&config::Applied::new("x")).unwrap();
    let expected = [
        "epmx/update/keys/1 {\"a\":1}",
        "cmx/applied/json/1 {\"configId\":\"x\"}",
    ];
    assert_eq!(
        host.take_lines(),
        expected,
        "another instance goes on, a later read waits"
    );
    host.receive("epmx/update/keys/1/status", "");
    assert!(is_ok(&host, first));
    assert_eq!(
        host.take_lines(),
        ["epmx/update/keys/2 {\"a\":2}", "epmx/get/keys/3 "]
    );
    host.advance(30 * SECOND);
    host.submit(&write(3)).unwrap();
    assert_eq!(
        host.take_paths(),
        ["epmx/update/keys/4"],
        "an unanswered write ends its turn"
    );
}

#[test]
fn a_request_expires_in_the_queue_and_one_to_be_sent_again_ends_as_unknown() {
    let mut host = EndpointHost::offline(options(), 1).unwrap();
    let impatient = Sample::new(1)
        .expires_after(5 * SECOND)
        .resend(Resend::AfterLinkLoss);
    let first = host.submit(&impatient).unwrap();
    host.advance(5 * SECOND);
    assert_eq!(failure(&host, first), Some(Failure::Expired));
    host.link_up();
    assert!(host.take_sent().is_empty());
    let second = host.submit(&impatient).unwrap();
    host.advance(6 * SECOND);
    assert!(host.outcome(second).is_none(), "its answer is awaited");
    host.link_down();
    host.advance(SECOND);
    assert_eq!(failure(&host, second), Some(Failure::OutcomeUnknown));
}

#[test]
fn an_unanswered_request_ends_after_its_own_or_the_default_time() {
    let mut host = online(options());
    let default = host.submit(&Sample::new(1)).unwrap();
    let quick = host
        .submit(&Sample::new(2).answer_within(5 * SECOND))
        .unwrap();
    host.advance(5 * SECOND - Duration::from_nanos(1));
    assert!(host.outcome(quick).is_none());
    host.advance(Duration::from_nanos(1));
    assert_eq!(failure(&host, quick), Some(Failure::Unanswered));
    assert!(host.outcome(default).is_none());
    host.advance(25 * SECOND);
    assert_eq!(failure(&host, default), Some(Failure::Unanswered));
}

#[test]
fn a_late_answer_is_counted_and_its_id_rests() {
    let mut host = online(options().max_request_id(1).unwrap());
    let first = host.submit(&Sample::new(1)).unwrap();
    let second = host.submit(&Sample::new(2)).unwrap();
    host.advance(30 * SECOND);
    assert_eq!(failure(&host, first), Some(Failure::Unanswered));
    host.receive("dcx/json/1/status", "");
    assert_eq!(host.statistics().late_answers, 1);
    assert_eq!(
        host.take_lines(),
        ["dcx/json/1 1"],
        "the second waits for the ID"
    );
    host.advance(60 * SECOND);
    assert_eq!(
        host.take_lines(),
        ["dcx/json/1 2"],
        "it rested for twice the time"
    );
    host.receive("dcx/json/1/status", "");
    assert!(is_ok(&host, second));
}

#[test]
fn a_resting_id_is_free_for_another_resource() {
    let mut host = online(options().max_request_id(1).unwrap());
    host.submit(&metadata::Keys).unwrap();
    host.advance(30 * SECOND);
    host.submit(&<metadata::Get>::all()).unwrap();
    assert_eq!(host.take_paths(), ["epmx/get/keys/1", "epmx/get/1"]);
}

#[test]
fn ids_rotate_and_go_on_above_99_while_few_of_those_are_free() {
    let options = options().max_in_flight(in_flight(1000));
    let mut host = online(options);
    for n in 0..=100 {
        host.submit(&Sample::new(n)).unwrap();
    }
    let expected = (1..=84).chain(100..=116);
    let expected: Vec<_> = expected.map(|id| format!("dcx/json/{id}")).collect();
    assert_eq!(host.take_paths(), expected);
    host.submit(&metadata::Keys).unwrap();
    assert_eq!(
        host.take_paths(),
        ["epmx/get/keys/1"],
        "each instance has its own"
    );
}

/// FACTS trap 11: after an outage most IDs rest, and a broker may hand an answer over twice.
#[test]
fn a_copy_of_an_answer_confirms_nothing_while_most_ids_rest() {
    let mut host = online(options().max_in_flight(in_flight(98)));
    let call = || Call::new(Service::Telemetry, "json").resend(Resend::Never);
    for _ in 0..98 {
        host.submit(&call()).unwrap();
    }
    host.relink();
    let first = host.submit(&call()).unwrap();
    let path = host.take_paths().pop().unwrap();
    host.receive(&format!("{path}/status"), "");
    assert!(is_ok(&host, first));
    let second = host.submit(&call()).unwrap();
    host.receive(&format!("{path}/status"), "");
    assert_eq!(host.outcome(second), None, "{path} was not its own");
}

#[test]
fn when_no_id_is_free_requests_wait() {
    let mut host = online(options().max_request_id(2).unwrap());
    for n in 1..=3 {
        host.submit(&Sample::new(n)).unwrap();
    }
    assert_eq!(host.take_paths(), ["dcx/json/1", "dcx/json/2"]);
    assert_eq!(host.endpoint.queue_len(), 1);
    host.receive("dcx/json/2/status", "");
    assert_eq!(host.take_lines(), ["dcx/json/2 3"]);
}

/// Each answer carries what its request sent; one in eleven is lost or comes when it is too late.
#[test]
fn answers_find_their_own_request_while_ids_wrap_ten_thousand_times() {
    let options = options().answer_within(Duration::from_millis(900)).unwrap();
    let mut host = online(options);
    let call = |n: u32| Call::new(Service::Metadata, "get").payload(n.to_string());
    let (mut late, mut wraps) = (Vec::new(), 0_u32);
    let mut number = 0_u32;
    while wraps < 10_000 {
        // A direct endpoint call skips the checks of the host, which come once per round below.
        let now = host.now();
        let mut ids = Vec::new();
        for _ in 0..33 {
            number += 1;
            ids.push((number, host.endpoint.submit(now, &call(number)).unwrap()));
        }
        for (sent, id) in ids {
            let message = host.endpoint.poll_message(now).unwrap();
            assert_eq!(message.payload, sent.to_string());
            assert_eq!(message.key.request(), id);
            wraps += u32::from(message.topic.ends_with("/1"));
            let status = format!("{}/status", message.topic);
            match sent % 11 {
                0 => late.push((status, sent)),
                _ => {
                    let _ = host
                        .endpoint
                        .handle_message(now, &status, sent.to_string().as_bytes());
                    let Some(Event::Completed { id: done, outcome }) = host.endpoint.poll_event()
                    else {
                        panic!("{sent} was answered");
                    };
                    assert_eq!(
                        (done, &**outcome.unwrap().payload()),
                        (id, sent.to_string().as_bytes())
                    );
                }
            }
        }
        host.clock.advance(Duration::from_secs(1));
        let now = host.now();
        host.endpoint.handle_timeout(now);
        for _ in &late {
            let event = host.endpoint.poll_event();
            let Some(Event::Completed { outcome, .. }) = event else {
                panic!("{event:?}");
            };
            assert_eq!(outcome, Err(Failure::Unanswered));
        }
        for (topic, sent) in late.drain(..) {
            let _ = host
                .endpoint
                .handle_message(now, &topic, sent.to_string().as_bytes());
            assert_eq!(host.endpoint.poll_event(), None, "nobody waits for it");
        }
    }
    assert_eq!(host.statistics().late_answers, u64::from(number / 11));
    assert_eq!(host.statistics().foreign_answers, 0);
}

#[test]
fn a_fixed_id_is_used_once_at_a_time() {
    let mut host = online(options());
    let first = host.submit(&rsx(234_531)).unwrap();
    assert_eq!(host.take_paths(), ["rsx/dcx/234531"]);
    assert_eq!(
        host.submit(&rsx(234_531)),
        Err(SubmitError::IdInUse(234_531))
    );
    host.receive(
        "rsx/dcx/234531/status",
        r#"{"requestId":234531,"statusCode":200}"#,
    );
    assert!(is_ok(&host, first));
    host.submit(&rsx(234_531)).expect("it is free again");
}

#[test]
fn an_answer_to_a_fixed_id_that_was_never_sent_is_foreign() {
    let mut host = EndpointHost::offline(options(), 1).unwrap();
    let id = host.submit(&rsx(7)).unwrap();
    host.receive("rsx/dcx/7/status", "{}");
    assert!(host.outcome(id).is_none());
    assert_eq!(host.statistics().foreign_answers, 1);
}

#[test]
fn a_request_is_cancelled_in_the_queue_and_in_flight() {
    let mut host = online(options());
    let flying = host.submit(&Sample::new(1)).unwrap();
    assert!(host.cancel(flying) && !host.cancel(flying));
    host.receive("dcx/json/1/status", "");
    assert_eq!(host.statistics().late_answers, 1);
    host.link_down();
    let queued = host.submit(&Sample::new(2)).unwrap();
    assert!(host.cancel(queued));
    host.link_up();
    assert_eq!(host.take_lines(), ["dcx/json/1 1"]);
    for id in [flying, queued] {
        assert_eq!(failure(&host, id), Some(Failure::Cancelled));
    }
}

#[test]
fn each_confirmation_has_its_own_end() {
    let mut host = online(options());
    let nothing = host
        .submit(&Sample::new(0).confirm(Confirm::Nothing))
        .unwrap();
    assert!(is_ok(&host, nothing));
    let taken = host
        .submit(&Sample::new(1).confirm(Confirm::Acknowledged))
        .unwrap();
    let answered = host.submit(&Sample::new(2).qos(QoS::AtLeastOnce)).unwrap();
    let sent = host.take_sent();
    let shown: Vec<_> = sent.iter().map(|m| (&*m.path, m.qos)).collect();
    let expected = [
        ("dcx/json", QoS::AtMostOnce),
        ("dcx/json", QoS::AtLeastOnce),
        ("dcx/json/1", QoS::AtLeastOnce),
    ];
    assert_eq!(shown, expected);
    host.acknowledge(sent[2].key);
    assert!(host.outcome(answered).is_none(), "PUBACK is no answer");
    host.acknowledge(sent[1].key);
    assert!(is_ok(&host, taken));
    host.receive("dcx/json/1/status", "");
    assert!(is_ok(&host, answered));
}

#[test]
fn an_answer_may_come_before_the_acknowledgement() {
    let mut host = online(options());
    let id = host.submit(&report(5)).unwrap();
    host.receive("cex/result/reboot/1/status", "");
    let reply = host.outcome(id).unwrap().as_ref().unwrap();
    assert_eq!(reply.confirmed(), Confirm::Answered);
    let key = host.take_sent()[0].key;
    host.acknowledge(key);
    host.receive("cex/result/reboot/1/status", "");
    assert_eq!(host.statistics().confirmed, 1);
}

#[test]
fn a_late_error_after_an_acknowledged_report_is_an_event() {
    let mut host = online(options());
    let id = host.submit(&report(5).and(6, CommandResult::ok())).unwrap();
    let key = host.take_sent()[0].key;
    host.acknowledge(key);
    assert!(is_ok(&host, id) && host.endpoint.is_idle());
    host.receive(
        "cex/result/reboot/1/error",
        r#"{"statusCode":404,"reasonPhrase":"gone"}"#,
    );
    let events = host.take_events();
    let [Event::ResultsRejected { commands, failure }] = &*events else {
        panic!("{events:?}");
    };
    let ids: Vec<_> = commands.iter().map(|key| key.id().as_i64()).collect();
    assert_eq!(ids, [Some(5), Some(6)]);
    assert_eq!(
        failure.to_string(),
        "rejected by the platform with status 404: gone"
    );
    host.receive("cex/result/reboot/1/error", "");
    assert!(host.take_events().is_empty(), "once");
}

#[test]
fn an_acknowledged_report_holds_its_id_until_no_error_can_come() {
    let mut host = online(options().max_request_id(1).unwrap());
    host.submit(&report(5)).unwrap();
    let key = host.take_sent()[0].key;
    host.acknowledge(key);
    host.submit(&report(6)).unwrap();
    host.advance(29 * SECOND);
    assert!(host.take_sent().is_empty());
    host.advance(61 * SECOND);
    assert_eq!(host.take_paths(), ["cex/result/reboot/1"]);
}

#[test]
fn duplicate_and_foreign_answers_end_nothing() {
    let mut host = online(options());
    let id = host.submit(&Sample::new(1)).unwrap();
    for path in [
        "dcx/json/2/status",
        "dcx/plain/1/status",
        "epmx/json/1/status",
        "zzz/json/1/error",
    ] {
        host.receive(path, "");
    }
    assert!(host.outcome(id).is_none());
    host.receive("dcx/json/1/status", "");
    host.receive("dcx/json/1/status", "");
    host.receive("dcx/json/1/error", "");
    assert!(is_ok(&host, id));
    assert_eq!(host.statistics().foreign_answers, 6);
}

#[test]
fn an_error_without_id_is_told_and_ends_nothing() {
    let mut host = online(options());
    let id = host.submit(&Sample::new(1)).unwrap();
    host.receive(
        "dcx/json/error",
        r#"{"statusCode":400,"reasonPhrase":"bad"}"#,
    );
    assert!(host.outcome(id).is_none());
    let failure = Failure::Rejected {
        status: Some(400),
        reason: "bad".into(),
    };
    let resource = "json".into();
    assert_eq!(
        host.take_events(),
        [Event::UnassignedError { resource, failure }]
    );
}

#[test]
fn what_is_too_large_is_refused_at_once() {
    let mut host = online(options().max_message(count(10)));
    host.submit(&Sample::new(1_234_567_890)).unwrap();
    let error = host.submit(&Sample::new(12_345_678_901_u64)).unwrap_err();
    assert_eq!(
        error,
        SubmitError::TooLarge {
            size: 11,
            limit: 10
        }
    );
}

#[test]
fn the_window_keeps_room_for_control() {
    let mut host = online(options().max_in_flight(in_flight(16)));
    for n in 0..20 {
        host.submit(&Sample::new(n)).unwrap();
    }
    assert_eq!(host.take_sent().len(), 14, "an eighth is kept");
    for _ in 0..3 {
        host.submit(&metadata::Keys).unwrap();
    }
    assert_eq!(host.take_sent().len(), 2, "the window is full");
    host.receive("epmx/get/keys/1/status", "[]");
    assert_eq!(host.take_paths(), ["epmx/get/keys/3"]);
    assert_eq!(host.endpoint.in_flight_len(), 16);
}

#[test]
fn a_drain_rate_spreads_telemetry_but_not_control() {
    let mut host = EndpointHost::offline(options().drain_rate(NonZeroU32::new(2)), 1).unwrap();
    for n in 0..3 {
        host.submit(&Sample::new(n)).unwrap();
    }
    host.submit(&metadata::Keys).unwrap();
    host.link_up();
    assert_eq!(host.take_paths(), ["epmx/get/keys/1", "dcx/json/1"]);
    host.advance(Duration::from_millis(499));
    assert!(host.take_sent().is_empty());
    host.advance(Duration::from_millis(1));
    assert_eq!(host.take_paths(), ["dcx/json/2"]);
    host.advance(SECOND);
    assert_eq!(host.take_paths(), ["dcx/json/3"]);
}

#[test]
fn reports_of_unknown_commands_are_bounded_like_all_control() {
    let options = options().queue(Class::Control, count(2), count(1000));
    let mut host = EndpointHost::offline(options, 1).unwrap();
    host.submit(&report(1)).unwrap();
    host.submit(&report(2)).unwrap();
    assert_eq!(
        host.submit(&report(3)),
        Err(SubmitError::QueueFull(Class::Control))
    );
}

#[test]
fn completions_that_nobody_reads_stop_new_requests() {
    let mut host = online(options());
    let now = host.now();
    let sample = Sample::new(1).confirm(Confirm::Nothing);
    let refused = (0..100_000).find_map(|_| {
        let result = host.endpoint.submit(now, &sample);
        let _ = host.endpoint.poll_message(now);
        result.err()
    });
    assert_eq!(refused, Some(SubmitError::QueueFull(Class::Bulk)));
    assert_eq!(host.statistics().events_lost, 0);
}
