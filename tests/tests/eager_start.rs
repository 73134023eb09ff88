//! Links that are spoken on before CONNACK: what that saves, and what it must not cost.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::{Duration, Instant};

use kaa_proto::connection::{EndpointKey, Event, LinkError, LinkState, Options};
use kaa_proto::endpoint::{EndpointOptions, Observation, Subscriptions};
use kaa_proto::mqtt::{ConnectRefusal, Login};
use kaa_proto::names::CommandType;
use kaa_proto::platform::{Fixture, PlatformOptions, Secret, User, UserState};
use kaa_proto::request::{Failure, Request, RequestExt as _, RequestId, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device as _;
use kaa_tests::pair::{Dials, Pair};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// One way.
const LATENCY: Duration = Duration::from_millis(100);
const ROUND_TRIP: Duration = Duration::from_millis(200);

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;

fn options() -> Options {
    Options::new("device").eager_start(true)
}

fn sample(n: u32) -> impl Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

/// A device that has just begun to dial, far away from its platform.
fn waking(platform: PlatformOptions, options: Options) -> Pair {
    let mut pair = Pair::new(platform, options, 1).unwrap();
    pair.latency = LATENCY;
    pair
}

fn packets(pair: &mut Pair) -> Vec<u8> {
    let packets = pair.take_packets().into_iter();
    packets.map(|(kind, _)| kind).collect()
}

/// How long it takes from the transport to the end of a request.
fn confirmed_after(pair: &mut Pair, id: RequestId) -> Duration {
    let start = pair.now() + LATENCY;
    for _ in 0..10_000 {
        if let Some(outcome) = pair.outcome(id) {
            assert!(outcome.is_ok(), "{outcome:?}");
            return pair.now() - start;
        }
        pair.pass(Duration::from_millis(1));
    }
    panic!("{id:?} has not ended");
}

fn losses(pair: &Pair) -> Vec<LinkError> {
    let lost = pair
        .link_events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::LinkLost { error, .. } => Some(error.clone()),
            _ => None,
        });
    lost.collect()
}

#[test]
fn a_sample_that_waits_for_the_link_is_confirmed_after_one_flight_there_and_one_back() {
    let mut pair = waking(PlatformOptions::default(), options());
    let id = pair.submit(&sample(1)).unwrap();
    assert_eq!(confirmed_after(&mut pair, id), ROUND_TRIP);
    assert_eq!(packets(&mut pair), [CONNECT, SUBSCRIBE, PUBLISH]);
    let at: Vec<Instant> = pair.take_seen_at().iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [pair.now() - LATENCY]);
    assert_eq!(pair.connection.link_state(), LinkState::Up);
}

#[test]
fn without_the_option_it_takes_three_of_them() {
    let mut pair = waking(PlatformOptions::default(), Options::new("device"));
    let id = pair.submit(&sample(1)).unwrap();
    pair.pass(2 * LATENCY);
    assert_eq!(packets(&mut pair), [CONNECT]);
    pair.pass(LATENCY);
    assert_eq!(packets(&mut pair), [0; 0], "CONNACK comes now");
    pair.pass(ROUND_TRIP);
    assert_eq!(packets(&mut pair), [SUBSCRIBE], "SUBACK comes now");
    pair.pass(ROUND_TRIP);
    assert_eq!(packets(&mut pair), [PUBLISH]);
    assert!(pair.outcome(id).unwrap().is_ok());
    assert_eq!(pair.connection.statistics().early_links, 0);
}

#[test]
fn what_is_new_on_such_a_link_does_not_wait_for_its_suback_either() {
    let mut pair = waking(PlatformOptions::default(), options());
    pair.pass(SECOND);
    let id = pair.submit(&sample(1)).unwrap();
    pair.pass(ROUND_TRIP);
    assert!(pair.outcome(id).unwrap().is_ok());
    assert_eq!(packets(&mut pair), [CONNECT, SUBSCRIBE, PUBLISH]);
}

#[test]
fn what_is_observed_is_asked_for_in_the_first_flight_on_each_link() {
    let mut pair = waking(PlatformOptions::default(), options());
    let reboot = Observation::Commands(CommandType::new("reboot").unwrap());
    pair.observe(&reboot).unwrap();
    for _ in 0..2 {
        pair.pass(2 * MINUTE);
        assert_eq!(packets(&mut pair)[..3], [CONNECT, SUBSCRIBE, PUBLISH]);
        pair.cut();
    }
}

/// The platform answers only who has subscribed, so each SUBSCRIBE came before the request.
#[test]
fn thousands_of_endpoints_subscribe_before_they_speak() {
    let mut platform = PlatformOptions::default();
    platform.switches.set("delivery", "subscription").unwrap();
    let mut pair = waking(platform, options());
    let keys: Vec<_> = (0..2_000).map(|n| pair.add(&format!("m{n:05}"))).collect();
    let asked: Vec<_> = keys
        .iter()
        .map(|key| (*key, pair.submit_of(*key, &sample(1)).unwrap()))
        .collect();
    pair.pass(2 * LATENCY);
    let first = packets(&mut pair);
    let published = first.iter().filter(|kind| **kind == PUBLISH).count();
    assert!(
        first.len() > 100 && published <= 100,
        "a window: {published}"
    );
    pair.pass(MINUTE);
    for (key, id) in asked {
        assert!(pair.outcome_of(key, id).unwrap().is_ok());
    }
    assert_eq!(pair.connection.statistics().requests.resent, 0);
}

#[test]
fn more_than_a_window_leaves_a_window_early_and_the_rest_in_its_order() {
    let mut pair = waking(PlatformOptions::default(), options().window(8));
    for n in 0..40 {
        pair.submit(&sample(n)).unwrap();
    }
    pair.pass(2 * LATENCY);
    let early = pair.take_seen();
    assert_eq!(early.len(), 8);
    pair.pass(10 * SECOND);
    let payloads = early.into_iter().chain(pair.take_seen());
    let numbers: Vec<u32> = payloads
        .map(|seen| String::from_utf8(seen.payload).unwrap().parse().unwrap())
        .collect();
    assert!(numbers.into_iter().eq(0..40));
    assert_eq!(pair.open_len(), 0);
}

/// A platform that knows `gateway@t` by this password.
fn guarded() -> PlatformOptions {
    let user = User {
        name: "gateway@t".into(),
        password: Secret::new("right"),
        state: UserState::Active,
    };
    PlatformOptions {
        users: vec![user],
        ..PlatformOptions::default()
    }
}

fn login(password: &str) -> Option<Login> {
    Some(Login::new("gateway@t").with_password(password))
}

#[test]
fn a_refusal_loses_nothing_and_costs_one_flight_however_often_it_is_repeated() {
    let mut pair = waking(guarded(), options().login(login("wrong")));
    let once = pair.submit(&Sample::new(1)).unwrap();
    let again = pair.submit(&sample(2)).unwrap();
    pair.pass(SECOND);
    let refused = LinkError::Refused(ConnectRefusal::BadLogin);
    assert_eq!(losses(&pair), std::slice::from_ref(&refused));
    assert_eq!(packets(&mut pair), [CONNECT, SUBSCRIBE, PUBLISH, PUBLISH]);
    pair.pass(60 * MINUTE);
    assert!(losses(&pair).len() > 2);
    assert!(packets(&mut pair).iter().all(|kind| *kind == CONNECT));
    assert!(pair.outcome(once).is_none() && pair.outcome(again).is_none());
    assert!(pair.snapshot().is_none_or(|seen| seen.samples == 0));
    let now = pair.now();
    pair.connection.set_login(now, login("right")).unwrap();
    pair.pass(SECOND);
    assert!(pair.outcome(once).unwrap().is_ok() && pair.outcome(again).unwrap().is_ok());
    assert_eq!(pair.snapshot().unwrap().samples, 2);
    assert_eq!(pair.connection.statistics().requests.resent, 0);
}

#[test]
fn a_refused_request_keeps_its_time_in_the_queue() {
    let mut pair = waking(guarded(), options().login(login("wrong")));
    let hasty = pair.submit(&Sample::new(1).expires_after(MINUTE)).unwrap();
    pair.pass(MINUTE - SECOND);
    assert_eq!(pair.outcome(hasty), None);
    pair.pass(SECOND);
    assert_eq!(pair.outcome(hasty), Some(&Err(Failure::Expired)));
}

#[test]
fn a_link_that_dies_before_connack_is_the_only_one_that_costs_an_outcome() {
    let mut pair = waking(PlatformOptions::default(), options());
    let once = pair.submit(&Sample::new(1)).unwrap();
    let again = pair.submit(&sample(2)).unwrap();
    pair.pass(LATENCY + LATENCY / 2);
    pair.cut();
    assert_eq!(pair.outcome(once), Some(&Err(Failure::OutcomeUnknown)));
    assert_eq!(pair.outcome(again), None);
    let later = pair.submit(&Sample::new(3)).unwrap();
    for _ in 0..5 {
        // The network takes dials, and nothing comes of them.
        pair.pass(MINUTE);
        pair.black_hole(true, true);
    }
    pair.pass(3 * MINUTE);
    assert!(pair.outcome(later).unwrap().is_ok() && pair.outcome(again).unwrap().is_ok());
    assert_eq!(pair.connection.statistics().requests.outcome_unknown, 1);
}

#[test]
fn no_connack_in_time_is_told_as_without_the_option() {
    let mut pair = waking(PlatformOptions::default(), options());
    let once = pair.submit(&Sample::new(1)).unwrap();
    pair.pass(LATENCY);
    pair.black_hole(true, true);
    pair.pass(10 * SECOND - Duration::from_millis(1));
    assert_eq!(losses(&pair), []);
    pair.pass(Duration::from_millis(1));
    assert_eq!(losses(&pair), [LinkError::NoConnAck]);
    assert_eq!(pair.outcome(once), Some(&Err(Failure::OutcomeUnknown)));
}

#[test]
fn delays_between_dials_grow_as_without_the_option() {
    let dials = |options: Options| {
        let mut pair = waking(PlatformOptions::default(), options);
        pair.submit(&sample(1)).unwrap();
        for _ in 0..600 {
            pair.pass(SECOND);
            if pair.connection.link_state() == LinkState::Greeting {
                pair.cut();
            }
        }
        pair.connection.statistics().dials
    };
    // The first link comes up in either case, or is cut at the same time.
    assert_eq!(dials(options()), dials(Options::new("device")));
}

/// A gateway with meters of which the platform does not know one, and drops the link over it.
fn gateway(bad: u32, count: u32) -> (Pair, Vec<EndpointKey>) {
    let tokens = (0..count).filter(|n| *n != bad);
    let known: Vec<_> = tokens.map(|n| format!(r#""m{n}": {{}}"#)).collect();
    let fixture = format!(
        r#"{{"appVersions": {{"demo-v1": {{"endpoints": {{"JTjdbENzHh": {{}}, {}}}}}}}}}"#,
        known.join(",")
    );
    let mut platform = PlatformOptions {
        fixture: Some(Fixture::parse(&fixture).unwrap()),
        ..PlatformOptions::default()
    };
    platform.switches.set("bad-token", "disconnect").unwrap();
    let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
    let mut pair = waking(platform, options().endpoint(endpoint));
    let keys: Vec<_> = (0..count).map(|n| pair.add(&format!("m{n}"))).collect();
    for key in &keys {
        pair.submit_of(*key, &sample(1)).unwrap();
    }
    (pair, keys)
}

/// FACTS trap 34.
#[test]
fn the_endpoint_that_gets_the_link_dropped_is_found_and_the_others_are_served() {
    for bad in [0, 77, 199] {
        let (mut pair, keys) = gateway(bad, 200);
        pair.pass(30 * MINUTE);
        let guilty = keys[bad as usize];
        assert_eq!(pair.open_len(), 1, "all but its own are confirmed");
        let suspended = |(_, event): &(Instant, Event)| match event {
            Event::Suspended { key, .. } => Some(*key),
            _ => None,
        };
        let suspended: Vec<_> = pair.link_events.iter().filter_map(suspended).collect();
        assert!(!suspended.is_empty() && suspended.iter().all(|key| *key == guilty));
    }
}

/// Whoever hangs up at once may do so before its CONNACK is read: nobody is at fault for that.
#[test]
fn a_network_that_drops_early_links_suspends_nobody() {
    let (mut pair, keys) = gateway(1_000, 50);
    for _ in 0..40 {
        while pair.connection.link_state() != LinkState::Greeting {
            pair.pass(LATENCY / 2);
        }
        pair.pass(LATENCY / 2);
        pair.cut();
    }
    pair.pass(10 * MINUTE);
    assert!(keys.iter().all(|key| !pair.connection.is_muted(*key)));
    assert_eq!(pair.connection.statistics().suspensions, 0);
    assert_eq!(pair.open_len(), 0);
}

#[test]
fn dials_that_fail_do_not_make_links_wait() {
    let mut pair = waking(PlatformOptions::default(), options());
    pair.dials = Dials::Fail;
    let once = pair.submit(&Sample::new(1)).unwrap();
    pair.pass(10 * MINUTE);
    pair.dials = Dials::Succeed;
    pair.pass(5 * MINUTE);
    assert!(pair.outcome(once).unwrap().is_ok());
    assert_eq!(pair.connection.statistics().early_links, 1);
}
