//! One bad endpoint among ten thousand: found, suspended, told, and the others served.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::connection::{EndpointKey, Event, LinkState, Options};
use kaa_proto::endpoint::{EndpointOptions, Observation, Subscriptions};
use kaa_proto::metadata;
use kaa_proto::mqtt::Login;
use kaa_proto::platform::{Fixture, PlatformOptions};
use kaa_proto::request::{
    Confirm, DecodeError, Failure, InvalidRequest, Offline, Reply, Request, RequestExt,
    RequestWriter, Resend,
};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device;
use kaa_tests::operations::reboot;
use kaa_tests::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn sample(n: u32) -> impl Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

/// A platform that knows all meters but this one, and treats that one as the switch says.
fn all_but(bad: u32, count: u32, switch: &str) -> PlatformOptions {
    let tokens = (0..count).filter(|n| *n != bad);
    let endpoints: Vec<_> = tokens.map(|n| format!(r#""meter-{n:05}": {{}}"#)).collect();
    let endpoints = endpoints.join(",");
    let fixture = format!(
        r#"{{"appVersions": {{"demo-v1": {{"endpoints": {{"JTjdbENzHh": {{}}, {endpoints}}}}}}}}}"#
    );
    let mut options = PlatformOptions {
        fixture: Some(Fixture::parse(&fixture).unwrap()),
        ..PlatformOptions::default()
    };
    options.switches.set("bad-token", switch).unwrap();
    options
}

/// A gateway with so many meters, each with a sample to send.
fn gateway(bad: u32, count: u32, switch: &str, options: Options) -> (Pair, Vec<EndpointKey>) {
    let mut pair = Pair::online_with(all_but(bad, count, switch), options);
    let keys: Vec<_> = (0..count)
        .map(|n| pair.add(&format!("meter-{n:05}")))
        .collect();
    for key in &keys {
        pair.submit_of(*key, &sample(1)).unwrap();
    }
    (pair, keys)
}

fn confirmed(pair: &Pair, key: EndpointKey) -> u64 {
    let endpoint = pair.connection.endpoint(key).unwrap();
    endpoint.statistics().confirmed
}

/// Who was suspended, by key and by the name that is shown.
fn suspended(pair: &Pair) -> Vec<(EndpointKey, String)> {
    let suspended = pair.link_events.iter().filter_map(|(_, event)| {
        let Event::Suspended { key, name } = event else {
            return None;
        };
        Some((*key, name.to_string()))
    });
    suspended.collect()
}

/// The bound: `kick_limit` links until the search begins, one for each halving, and one each for
/// what is tried again meanwhile.
const fn most_reconnects(count: u32) -> u64 {
    3 + (u32::BITS - count.leading_zeros()) as u64 + 3
}

/// FACTS trap 34.
#[test]
fn trap_34_one_of_ten_thousand_that_gets_the_link_dropped_is_found_with_few_reconnects() {
    for bad in [0, 7_777, 9_999] {
        let (mut pair, keys) = gateway(bad, 10_000, "disconnect", Options::new("gateway"));
        pair.pass(20 * MINUTE);
        let guilty = keys[bad as usize];
        assert_eq!(pair.open_len(), 1, "all but its own are confirmed");
        assert!(
            keys.iter()
                .all(|key| *key == guilty || confirmed(&pair, *key) == 1)
        );
        assert!(pair.connection.is_muted(guilty));
        let found = suspended(&pair);
        assert_eq!(found[0], (guilty, "demo-v1/met…".into()));
        assert!(found.iter().all(|(key, _)| *key == guilty));
        let statistics = pair.connection.statistics();
        let most = most_reconnects(10_000);
        assert!(statistics.links_lost <= most, "{}", statistics.links_lost);
        assert_eq!(statistics.losses.eof, statistics.links_lost);
        assert_eq!((statistics.suspended, statistics.queued), (1, 1));
    }
}

/// FACTS trap 34, where the platform has words for it.
#[test]
fn trap_34_one_of_ten_thousand_that_is_denied_is_suspended_without_a_reconnect() {
    for (switch, status) in [("401", 401), ("403", 403)] {
        let (mut pair, keys) = gateway(1_234, 10_000, switch, Options::new("gateway"));
        let guilty = keys[1_234];
        let refused: Vec<_> = (0..100)
            .map(|n| pair.submit_of(guilty, &sample(n)).unwrap())
            .collect();
        pair.pass(MINUTE);
        assert_eq!(suspended(&pair), [(guilty, "demo-v1/met…".into())]);
        assert!(pair.connection.is_muted(guilty));
        assert_eq!(pair.connection.statistics().links_lost, 0);
        assert!(
            keys.iter()
                .all(|key| *key == guilty || confirmed(&pair, *key) == 1)
        );
        let outcome = pair.outcome_of(guilty, refused[0]);
        let Some(Err(Failure::Rejected { status: given, .. })) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(*given, Some(status));
        // What it had not sent waits, and is sent when the platform knows it.
        let endpoint = pair.connection.endpoint(guilty).unwrap();
        let (rejected, waiting) = (endpoint.statistics().rejected, endpoint.queue_len() as u64);
        assert_eq!(rejected + waiting, 101);
        assert!(waiting > 30, "{waiting}");
        // Each probation costs three requests.
        pair.pass(60 * MINUTE);
        let endpoint = pair.connection.endpoint(guilty).unwrap();
        let tried = endpoint.statistics().rejected - rejected;
        assert!((6..=18).contains(&tried), "{tried} tried in an hour");
        let waiting = endpoint.queue_len();
        pair.restart_platform(all_but(99_999, 10_000, switch));
        pair.pass(30 * MINUTE);
        assert!(!pair.connection.is_muted(guilty));
        assert_eq!(
            (pair.open_len(), confirmed(&pair, guilty)),
            (0, waiting as u64)
        );
    }
}

#[test]
fn whoever_observes_only_is_suspended_when_it_is_denied() {
    let (mut pair, keys) = gateway(3, 8, "403", Options::new("gateway"));
    let observation = Observation::Commands(reboot());
    let now = pair.now();
    pair.connection.observe(now, keys[3], &observation).unwrap();
    pair.pass(5 * MINUTE);
    assert_eq!(suspended(&pair).len(), 1);
    assert!(pair.connection.is_muted(keys[3]));
}

#[test]
fn one_alone_and_one_that_is_served_in_between_are_not_suspended_for_denials() {
    let mut pair = Pair::online_with(all_but(0, 4, "401"), Options::new("gateway"));
    for n in 0..10 {
        pair.fault("error 401 of JTjdbENzHh");
        pair.submit(&sample(n)).unwrap();
        pair.pass(SECOND);
    }
    assert_eq!(
        (suspended(&pair).len(), pair.statistics().rejected),
        (0, 10)
    );
    let other = pair.add("meter-00001");
    pair.submit_of(other, &sample(1)).unwrap();
    pair.submit(&sample(1)).unwrap();
    pair.pass(SECOND);
    for n in 0..10 {
        pair.fault("error 401 of JTjdbENzHh times 2");
        for _ in 0..3 {
            pair.submit(&sample(n)).unwrap();
            pair.pass(SECOND);
        }
    }
    assert_eq!(
        (suspended(&pair).len(), pair.statistics().rejected),
        (0, 30)
    );
}

#[test]
fn a_new_login_ends_a_search_and_all_are_served() {
    let options = Options::new("gateway").login(Some(Login::new("old")));
    let (mut pair, _) = gateway(5, 64, "disconnect", options);
    let searching = |pair: &Pair| {
        let started = |(_, event): &(_, Event)| matches!(event, Event::SearchStarted { .. });
        pair.link_events.iter().any(started)
    };
    while !searching(&pair) || matches!(pair.connection.link_state(), LinkState::Up) {
        pair.pass(SECOND);
    }
    // The new login may speak for all.
    pair.restart_platform(all_but(99, 64, "disconnect"));
    let now = pair.now();
    pair.connection
        .set_login(now, Some(Login::new("new")))
        .unwrap();
    pair.pass(5 * SECOND);
    let ended = |(_, event): &(_, Event)| *event == Event::SearchEnded;
    assert!(pair.link_events.iter().any(ended));
    assert_eq!(pair.open_len(), 0);
    assert_eq!(suspended(&pair), []);
}

#[test]
fn a_suspended_endpoint_that_subscribes_to_nothing_is_silent_too() {
    let options = EndpointOptions::default().subscriptions(Subscriptions::None);
    let options = Options::new("gateway").endpoint(options);
    let (mut pair, keys) = gateway(2, 4, "403", options);
    for n in 0..5 {
        pair.submit_of(keys[2], &sample(n)).unwrap();
        pair.pass(SECOND);
    }
    pair.take_seen();
    pair.submit_of(keys[2], &sample(9)).unwrap();
    pair.pass(5 * MINUTE);
    assert!(pair.take_seen().is_empty());
}

/// A sample that is worthless later.
struct Now(u32);

impl Request for Now {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        Sample::new(self.0).encode(out)?;
        out.policy().offline = Offline::Drop;
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// They would be sent as if they were new, whenever the platform lets it speak again.
#[test]
fn what_is_not_to_wait_is_dropped_while_an_endpoint_is_suspended_on_a_live_link() {
    let (mut pair, keys) = gateway(2, 4, "403", Options::new("gateway"));
    let guilty = keys[2];
    let first: Vec<_> = (0..100)
        .map(|n| pair.submit_of(guilty, &Now(n)).unwrap())
        .collect();
    pair.pass(MINUTE);
    assert!(pair.connection.is_muted(guilty));
    assert_eq!(pair.connection.statistics().links_lost, 0);
    let ended = |pair: &Pair, id| pair.outcome_of(guilty, id).cloned();
    let dropped = |pair: &Pair, id| ended(pair, id) == Some(Err(Failure::Dropped));
    assert!(first.iter().all(|id| ended(&pair, *id).is_some()));
    let count = first.iter().filter(|id| dropped(&pair, **id)).count();
    assert!(count > 30, "{count}");
    let late = pair.submit_of(guilty, &Now(100)).unwrap();
    assert!(dropped(&pair, late));
    // When the platform knows it, it speaks as ever.
    pair.restart_platform(all_but(99, 4, "403"));
    pair.pass(30 * MINUTE);
    assert!(!pair.connection.is_muted(guilty));
    let again = pair.submit_of(guilty, &Now(101)).unwrap();
    pair.pass(SECOND);
    assert!(matches!(ended(&pair, again), Some(Ok(_))));
}

/// PUBACK says as well as an answer that an endpoint is let speak.
#[test]
fn denials_with_acknowledged_samples_in_between_are_not_in_a_row() {
    let (mut pair, _) = gateway(99, 3, "401", Options::new("gateway"));
    for n in 0..10 {
        pair.fault("error 403 epmx of JTjdbENzHh");
        pair.submit(&metadata::Keys).unwrap();
        pair.pass(SECOND);
        let sample = Sample::new(n).confirm(Confirm::Acknowledged);
        let sample = pair.submit(&sample).unwrap();
        pair.pass(SECOND);
        assert!(pair.outcome(sample).is_some_and(Result::is_ok));
    }
    assert_eq!(pair.statistics().rejected, 10);
    assert_eq!(suspended(&pair), []);
}

/// What is denied is asked for again first, at each probation.
#[test]
fn telemetry_of_who_may_not_observe_goes_out_at_the_next_probation() {
    for confirm in [Confirm::Acknowledged, Confirm::Answered] {
        let (mut pair, _) = gateway(99, 3, "401", Options::new("gateway"));
        pair.fault("error 403 cex of JTjdbENzHh always");
        pair.observe(&Observation::Commands(reboot())).unwrap();
        pair.pass(5 * MINUTE);
        assert!(pair.connection.is_muted(pair.key));
        let sample = Sample::new(1).confirm(confirm);
        let sample = pair.submit(&sample).unwrap();
        pair.pass(20 * MINUTE);
        let outcome = pair.outcome(sample);
        assert!(outcome.is_some_and(Result::is_ok), "{outcome:?}");
    }
}

#[test]
fn one_more_denial_after_a_probation_does_not_suspend_again() {
    let (mut pair, _) = gateway(99, 3, "401", Options::new("gateway"));
    let denied = |pair: &mut Pair| {
        pair.fault("error 403 epmx of JTjdbENzHh");
        pair.submit(&metadata::Keys).unwrap();
        pair.pass(SECOND);
    };
    (0..3).for_each(|_| denied(&mut pair));
    assert_eq!(suspended(&pair).len(), 1);
    pair.pass(30 * MINUTE);
    assert!(!pair.connection.is_muted(pair.key));
    (0..2).for_each(|_| denied(&mut pair));
    assert!(!pair.connection.is_muted(pair.key));
    denied(&mut pair);
    assert_eq!(suspended(&pair).len(), 2);
}

/// The platform denied everybody for a while.
#[test]
fn who_has_something_to_say_does_not_wait_for_the_probations_of_the_silent() {
    let (mut pair, keys) = gateway(99, 60, "401", Options::new("gateway"));
    pair.pass(MINUTE);
    pair.fault("error 403 dcx always");
    for key in &keys {
        for n in 0..3 {
            pair.submit_of(*key, &sample(n)).unwrap();
        }
    }
    pair.pass(MINUTE);
    assert_eq!(suspended(&pair).len(), 60);
    pair.fault("clear");
    let waiting: Vec<_> = keys.iter().step_by(20).copied().collect();
    for key in &waiting {
        pair.submit_of(*key, &sample(9)).unwrap();
    }
    // A retry comes after a quarter of an hour, and at most a quarter of that more.
    pair.pass(20 * MINUTE);
    let served = waiting.iter().filter(|key| confirmed(&pair, **key) == 2);
    assert_eq!(served.count(), waiting.len());
    assert_eq!(pair.connection.statistics().suspended, 0);
}
