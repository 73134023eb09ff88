//! Links that come and go: what is sent again, what is not, and subscriptions.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::endpoint::{
    EndpointOptions, Event, Filter, FilterOutcome, Observation, Subscriptions,
};
use kaa_proto::names::{CommandType, Extension, Metric};
use kaa_proto::raw::Call;
use kaa_proto::request::{Confirm, Failure, RequestExt, RequestId, Resend, Service, SubmitError};
use kaa_proto::telemetry::{Plain, Sample};
use kaa_proto::{config, metadata, upload};
use kaa_tests::endpoint_host::{EndpointHost, Subscribing};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn options() -> EndpointOptions {
    EndpointOptions::default().subscriptions(Subscriptions::None)
}

fn online() -> EndpointHost {
    EndpointHost::online(options(), 1).unwrap()
}

fn per_resource(subscribing: Subscribing) -> EndpointHost {
    let mut host = EndpointHost::offline(EndpointOptions::default(), 1).unwrap();
    host.subscribing = subscribing;
    host.link_up();
    host
}

fn failure(host: &EndpointHost, id: RequestId) -> Option<Failure> {
    host.outcome(id)?.clone().err()
}

fn is_ok(host: &EndpointHost, id: RequestId) -> bool {
    host.outcome(id).is_some_and(Result::is_ok)
}

fn kept(n: u32) -> impl kaa_proto::request::Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

fn reboot() -> Observation {
    Observation::Commands(CommandType::new("reboot").unwrap())
}

#[test]
fn what_is_queued_stays_queued() {
    let mut host = EndpointHost::offline(options(), 1).unwrap();
    host.submit(&Sample::new(1)).unwrap();
    host.link_down();
    host.relink();
    assert_eq!(host.take_lines(), ["dcx/json/1 1"]);
}

#[test]
fn what_was_sent_and_may_be_sent_once_ends_unknown() {
    let mut host = online();
    let id = host.submit(&Sample::new(1)).unwrap();
    host.relink();
    assert_eq!(failure(&host, id), Some(Failure::OutcomeUnknown));
    assert_eq!(host.take_lines(), ["dcx/json/1 1"]);
    host.receive("dcx/json/1/status", "");
    assert_eq!(host.statistics().late_answers, 1);
    host.submit(&Sample::new(2)).unwrap();
    assert_eq!(
        host.take_lines(),
        ["dcx/json/2 2"],
        "the ID rests, the next one has its turn"
    );
}

#[test]
fn what_may_be_sent_again_is_the_same_message_in_the_same_order() {
    let mut host = online();
    for n in 1..=3 {
        host.submit(&kept(n)).unwrap();
    }
    let keys = host.submit(&metadata::Keys).unwrap();
    let before = host.take_lines();
    host.receive("dcx/json/2/status", "");
    host.link_down();
    host.submit(&kept(4)).unwrap();
    host.link_up();
    assert_eq!(
        before,
        [
            "dcx/json/1 1",
            "dcx/json/2 2",
            "dcx/json/3 3",
            "epmx/get/keys/1 "
        ]
    );
    let again = [
        "epmx/get/keys/1 ",
        "dcx/json/1 1",
        "dcx/json/3 3",
        "dcx/json/4 4",
    ];
    assert_eq!(host.take_lines(), again);
    assert_eq!(host.statistics().resent, 3);
    host.receive("epmx/get/keys/1/status", "[]");
    assert!(is_ok(&host, keys));
}

#[test]
fn a_late_answer_to_a_request_that_waits_to_be_sent_again_is_right() {
    let mut host = online();
    let id = host.submit(&kept(1)).unwrap();
    let _ = host.take_sent();
    host.is_busy = true;
    host.relink();
    host.receive("dcx/json/1/status", "");
    assert!(is_ok(&host, id));
    host.is_busy = false;
    host.drain();
    assert!(host.take_sent().is_empty());
}

#[test]
fn what_was_sent_twice_may_be_answered_twice_and_its_id_rests() {
    let options = options().max_request_id(1).unwrap();
    let mut host = EndpointHost::online(options, 1).unwrap();
    let id = host.submit(&kept(1)).unwrap();
    host.relink();
    host.submit(&kept(2)).unwrap();
    host.receive("dcx/json/1/status", "");
    assert!(is_ok(&host, id));
    host.receive("dcx/json/1/status", "");
    assert_eq!(host.statistics().late_answers, 1);
    assert_eq!(host.take_lines(), ["dcx/json/1 1", "dcx/json/1 1"]);
    host.advance(60 * SECOND);
    assert_eq!(host.take_lines(), ["dcx/json/1 2"]);
}

#[test]
fn time_without_a_link_does_not_count() {
    let mut host = online();
    let id = host.submit(&kept(1)).unwrap();
    host.advance(29 * SECOND);
    host.link_down();
    host.advance(3600 * SECOND);
    host.link_up();
    host.advance(29 * SECOND);
    assert!(host.outcome(id).is_none());
    host.advance(SECOND);
    assert_eq!(failure(&host, id), Some(Failure::Unanswered));
}

#[test]
fn a_refused_message_was_never_sent() {
    let mut host = online();
    let id = host
        .submit(&Sample::new(1).expires_after(10 * SECOND))
        .unwrap();
    let key = host.take_sent()[0].key;
    host.is_busy = true;
    let now = host.now();
    host.endpoint.handle_not_sent(now, key);
    host.drain();
    host.relink();
    assert!(
        host.outcome(id).is_none(),
        "not even what may be sent once is lost"
    );
    assert_eq!(host.endpoint.queue_len(), 1);
    host.is_busy = false;
    host.drain();
    assert_eq!(host.take_lines(), ["dcx/json/1 1"]);

    let key = host
        .submit(&Sample::new(2).expires_after(10 * SECOND))
        .unwrap();
    let message = host.take_sent()[0].key;
    assert_eq!(message.request(), key);
    host.is_busy = true;
    let now = host.now();
    host.endpoint.handle_not_sent(now, message);
    host.drain();
    host.advance(10 * SECOND);
    assert_eq!(failure(&host, key), Some(Failure::Expired));
}

#[test]
fn a_refused_message_keeps_its_place() {
    let mut host = online();
    for n in 1..=2 {
        host.submit(&Sample::new(n)).unwrap();
    }
    let sent = host.take_sent();
    let now = host.now();
    for message in sent {
        host.endpoint.handle_not_sent(now, message.key);
    }
    host.drain();
    assert_eq!(host.take_lines(), ["dcx/json/1 1", "dcx/json/2 2"]);
}

#[test]
fn writes_keep_their_order_over_a_link_loss() {
    let mut host = online();
    for n in 1..=2 {
        host.submit(&metadata::Merge::new(json!({ "a": n })))
            .unwrap();
    }
    host.relink();
    assert_eq!(
        host.take_lines(),
        [
            "epmx/update/keys/1 {\"a\":1}",
            "epmx/update/keys/1 {\"a\":1}"
        ]
    );
    host.receive("epmx/update/keys/1/status", "");
    assert_eq!(host.take_lines(), ["epmx/update/keys/2 {\"a\":2}"]);
}

#[test]
fn plain_numbers_do_not_wait_for_a_link() {
    let mut host = online();
    host.is_busy = true;
    let plain = || Plain::new(Metric::new("t").unwrap(), 1.0);
    let waiting = host.submit(&plain()).unwrap();
    host.is_busy = false;
    let answered = plain()
        .confirm(Confirm::Answered)
        .resend(Resend::AfterLinkLoss);
    host.link_down();
    assert_eq!(failure(&host, waiting), Some(Failure::Dropped));
    host.link_up();
    let sent = host.submit(&answered).unwrap();
    host.link_down();
    assert_eq!(
        failure(&host, sent),
        Some(Failure::OutcomeUnknown),
        "it was sent"
    );
}

#[test]
fn one_cut_with_all_ids_in_flight_does_not_stall() {
    for resend in [Resend::Never, Resend::AfterLinkLoss] {
        let options = options()
            .max_in_flight(std::num::NonZeroU16::new(500).unwrap())
            .max_request_id(99)
            .unwrap();
        let mut host = EndpointHost::online(options, 1).unwrap();
        let mut ids = Vec::new();
        for n in 0..120 {
            ids.push(host.submit(&Sample::new(n).resend(resend)).unwrap());
        }
        assert_eq!(host.take_sent().len(), 99);
        host.relink();
        host.advance(61 * SECOND);
        for _ in 0..10 {
            for message in host.take_sent() {
                let _ = host.receive_raw(&format!("{}/status", message.topic), b"");
            }
            host.advance(60 * SECOND);
        }
        assert!(host.endpoint.is_idle(), "{resend:?}");
        let unknown = ids
            .iter()
            .filter(|id| failure(&host, **id) == Some(Failure::OutcomeUnknown));
        assert_eq!(
            unknown.count(),
            if resend == Resend::Never { 99 } else { 0 }
        );
    }
}

#[test]
fn the_allocator_goes_on_after_a_reconnect() {
    let mut host = online();
    host.submit(&Sample::new(1)).unwrap();
    host.receive("dcx/json/1/status", "");
    host.relink();
    host.submit(&Sample::new(2)).unwrap();
    assert_eq!(host.take_paths(), ["dcx/json/1", "dcx/json/2"]);
}

#[test]
fn subscriptions_come_before_what_needs_them() {
    let mut host = per_resource(Subscribing::Ignore);
    host.submit(&Sample::new(1)).unwrap();
    assert_eq!(host.filters, ["+dcx/json/+/error", "+dcx/json/+/status"]);
    host.submit(&Sample::new(2).confirm(Confirm::Nothing))
        .unwrap();
    assert!(host.take_sent().is_empty(), "order holds");
    let now = host.now();
    let granted = FilterOutcome::Granted;
    host.endpoint
        .handle_filter(now, "kp1/demo-v1/dcx/JTjdbENzHh/json/+/error", granted);
    host.drain();
    assert!(host.take_sent().is_empty(), "one is not all");
    host.endpoint
        .handle_filter(now, "kp1/demo-v1/dcx/JTjdbENzHh/json/+/status", granted);
    host.drain();
    assert_eq!(host.take_lines(), ["dcx/json/1 1", "dcx/json 2"]);
}

#[test]
fn what_has_no_id_needs_no_subscription() {
    let mut host = per_resource(Subscribing::Ignore);
    host.submit(&Sample::new(1).confirm(Confirm::Nothing))
        .unwrap();
    assert_eq!(host.take_lines(), ["dcx/json 1"]);
    assert!(host.filters.is_empty());
}

#[test]
fn a_refused_subscription_is_told_and_blocks_nothing() {
    let mut host = per_resource(Subscribing::Refuse);
    let id = host.submit(&upload::GetToken).unwrap();
    assert_eq!(host.take_paths(), ["bcx/token/1"]);
    let refused = |filter: &str| Event::SubscriptionRefused {
        filter: filter.into(),
    };
    let expected = [
        refused("kp1/demo-v1/bcx/JTj…/token/+/error"),
        refused("kp1/demo-v1/bcx/JTj…/token/+/status"),
    ];
    assert_eq!(host.take_events(), expected);
    host.receive("bcx/token/1/status", "{}");
    assert!(is_ok(&host, id));
    // The next link is asked again.
    let asked = std::mem::take(&mut host.filters);
    host.link_down();
    host.submit(&upload::GetToken).unwrap();
    host.link_up();
    assert_eq!(asked, ["+bcx/token/+/error", "+bcx/token/+/status"]);
    assert_eq!(host.filters, asked);
}

#[test]
fn a_subscription_without_an_answer_is_given_up_after_its_own_time() {
    let mut host = per_resource(Subscribing::Ignore);
    let start = host.now();
    host.submit(&Sample::new(1)).unwrap();
    assert_eq!(host.endpoint.poll_timeout(), Some(start + 30 * SECOND));
    host.advance(20 * SECOND);
    host.submit(&upload::GetToken).unwrap();
    let first = host.endpoint.poll_timeout();
    assert_eq!(first, Some(start + 30 * SECOND), "the first one is due");
    host.advance(10 * SECOND);
    assert_eq!(host.take_paths(), ["dcx/json/1"]);
    assert_eq!(host.take_events().len(), 2);
    host.advance(20 * SECOND);
    assert_eq!(host.take_paths(), ["bcx/token/1"]);
    let now = host.now();
    let late = FilterOutcome::Refused;
    host.endpoint
        .handle_filter(now, "kp1/demo-v1/bcx/JTjdbENzHh/token/+/error", late);
    assert_eq!(
        host.take_events().len(),
        2,
        "the late answer is not told again"
    );
}

#[test]
fn each_link_is_subscribed_to_anew_before_anything_is_sent_again() {
    let mut host = per_resource(Subscribing::Grant);
    host.submit(&kept(1)).unwrap();
    host.observe(&reboot()).unwrap();
    let filters = [
        "+cex/command/+/+/error",
        "+cex/command/+/+/status",
        "+cex/command/+/status",
        "+dcx/json/+/error",
        "+dcx/json/+/status",
    ];
    let mut all = std::mem::take(&mut host.filters);
    all.sort();
    assert_eq!(all, filters);
    let _ = host.take_sent();
    host.link_down();
    host.subscribing = Subscribing::Ignore;
    host.link_up();
    assert_eq!(host.filters, filters);
    assert!(host.take_sent().is_empty());
    host.advance(30 * SECOND);
    assert_eq!(
        host.take_lines(),
        ["cex/command/reboot/1 {\"observe\":true}", "dcx/json/1 1"]
    );
}

#[test]
fn a_new_link_is_not_subscribed_to_what_was_needed_once() {
    let mut host = per_resource(Subscribing::Grant);
    host.submit(&upload::GetToken).unwrap();
    host.receive("bcx/token/1/status", "{}");
    host.submit(&kept(1)).unwrap();
    host.link_down();
    host.filters.clear();
    host.link_up();
    assert_eq!(host.filters, ["+dcx/json/+/error", "+dcx/json/+/status"]);
    host.filters.clear();
    host.submit(&upload::GetToken).unwrap();
    assert_eq!(host.filters, ["+bcx/token/+/error", "+bcx/token/+/status"]);
}

#[test]
fn an_answer_to_a_subscription_of_the_old_link_counts_for_nothing() {
    let mut host = per_resource(Subscribing::Ignore);
    host.submit(&Sample::new(1)).unwrap();
    host.link_down();
    let now = host.now();
    for filter in ["json/+/error", "json/+/status"] {
        let filter = format!("kp1/demo-v1/dcx/JTjdbENzHh/{filter}");
        host.endpoint
            .handle_filter(now, &filter, FilterOutcome::Granted);
    }
    host.link_up();
    assert!(host.take_sent().is_empty());
}

#[test]
fn each_mode_has_its_filters() {
    let tsx = || Call::new(Service::Other(Extension::new("tsx").unwrap()), "");
    let cases: [(_, &[&str]); 3] = [
        (
            Subscriptions::PerResource,
            &[
                "+cmx/config/json/+/error",
                "+cmx/config/json/+/status",
                "+cmx/config/json/status",
                "+tsx/#",
            ],
        ),
        (Subscriptions::PerEndpoint, &["++/#"]),
        (Subscriptions::None, &[]),
    ];
    for (mode, expected) in cases {
        let options = EndpointOptions::default().subscriptions(mode);
        let mut host = EndpointHost::online(options, 1).unwrap();
        host.submit(&config::Get::new()).unwrap();
        host.submit(&tsx()).unwrap();
        assert_eq!(host.filters, expected, "{mode:?}");
        assert_eq!(host.take_paths(), ["cmx/config/json/1", "tsx/1"]);
    }
}

#[test]
fn closing_gives_an_exact_account() {
    let mut host = per_resource(Subscribing::Grant);
    host.observe(&reboot()).unwrap();
    let answered = host.submit(&Sample::new(1)).unwrap();
    host.receive("dcx/json/1/status", "");
    let sent = host.submit(&Sample::new(2)).unwrap();
    host.is_busy = true;
    let queued = host.submit(&metadata::Keys).unwrap();
    let unfinished = host.close();
    let account: Vec<_> = unfinished
        .iter()
        .map(|u| (u.id, &*u.resource, &u.payload[..], u.sent))
        .collect();
    assert_eq!(
        account,
        [
            (sent, "json", &b"2"[..], true),
            (queued, "get/keys", b"", false)
        ]
    );
    assert!(is_ok(&host, answered));
    for id in [sent, queued] {
        assert_eq!(failure(&host, id), Some(Failure::Closed));
    }
    assert_eq!(host.submit(&Sample::new(3)), Err(SubmitError::Closed));
    assert_eq!(host.observe(&reboot()), Err(SubmitError::Closed));
    assert!(host.endpoint.is_idle() && !host.endpoint.is_observed(&reboot()));
    assert!(host.filters.contains(&String::from("-dcx/json/+/status")));
    let filters = host.filters.len();
    host.relink();
    assert_eq!(
        host.filters.len(),
        filters,
        "nothing is subscribed to again"
    );
    assert_eq!(host.close(), []);
}

#[test]
fn filters_are_offered_only_while_there_is_a_link() {
    let mut host = EndpointHost::offline(EndpointOptions::default(), 1).unwrap();
    host.submit(&upload::GetToken).unwrap();
    assert!(host.filters.is_empty());
    host.link_up();
    assert_eq!(host.filters.len(), 2);
    let now = host.now();
    assert_eq!(host.endpoint.poll_filter(now), None::<Filter>);
}

#[test]
fn what_is_taken_back_before_there_is_a_link_is_not_subscribed_to() {
    let mut host = EndpointHost::offline(EndpointOptions::default(), 1).unwrap();
    let id = host.submit(&upload::GetToken).unwrap();
    host.observe(&reboot()).unwrap();
    assert!(host.cancel(id));
    assert!(host.unobserve(&reboot()));
    host.link_up();
    assert!(host.filters.is_empty(), "{:?}", host.filters);
}
