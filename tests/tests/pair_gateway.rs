//! Many endpoints on one link.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kaa_proto::connection::{EndpointKey, Event, Options, Removal};
use kaa_proto::endpoint::{EndpointOptions, Observation};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{Fixture, PlatformOptions};
use kaa_proto::request::{RequestExt, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device;
use kaa_tests::operations::reboot;
use kaa_tests::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn sample(n: u32) -> impl kaa_proto::request::Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

fn fleet(pair: &mut Pair, count: u32) -> Vec<EndpointKey> {
    (0..count)
        .map(|n| pair.add(&format!("meter-{n:03}")))
        .collect()
}

fn confirmed(pair: &Pair, key: EndpointKey) -> u64 {
    pair.connection
        .endpoint(key)
        .unwrap()
        .statistics()
        .confirmed
}

fn samples(pair: &Pair, n: u32) -> u64 {
    let name = EndpointName::parse("demo-v1", &format!("meter-{n:03}")).unwrap();
    pair.platform()
        .state(&name)
        .map_or(0, |state| state.samples)
}

#[test]
fn two_hundred_endpoints_are_all_served_each_with_ids_of_its_own() {
    let mut pair = Pair::online();
    let keys = fleet(&mut pair, 200);
    for round in 0..3 {
        for key in &keys {
            pair.submit_of(*key, &sample(round)).unwrap();
        }
    }
    pair.pass(MINUTE);
    assert_eq!(pair.open_len(), 0);
    for (n, key) in (0..).zip(&keys) {
        assert_eq!((confirmed(&pair, *key), samples(&pair, n)), (3, 3), "{n}");
    }
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for seen in pair.take_seen() {
        let levels: Vec<_> = seen.topic.split('/').map(String::from).collect();
        let [_, _, _, token, _, id] = &levels[..] else {
            continue;
        };
        ids.entry(token.clone()).or_default().insert(id.clone());
    }
    let first_three: BTreeSet<_> = ["1", "2", "3"].map(String::from).into();
    assert_eq!(ids.len(), 200);
    assert!(ids.values().all(|ids| *ids == first_three));
}

#[test]
fn a_chatty_endpoint_does_not_hold_back_the_others() {
    let mut pair = Pair::online();
    let keys = fleet(&mut pair, 20);
    for n in 0..2_000 {
        pair.submit_of(keys[0], &sample(n)).unwrap();
    }
    let start = pair.now();
    let quiet: Vec<_> = keys[1..]
        .iter()
        .map(|key| (*key, pair.submit_of(*key, &sample(0)).unwrap()))
        .collect();
    while quiet
        .iter()
        .any(|(key, id)| pair.outcome_of(*key, *id).is_none())
    {
        pair.pass(SECOND / 100);
    }
    let waited = pair.now() - start;
    assert!(waited < SECOND, "{waited:?}");
    assert!(
        confirmed(&pair, keys[0]) < 1_500,
        "they did not wait for it"
    );
    pair.pass(MINUTE);
    assert_eq!(confirmed(&pair, keys[0]), 2_000);
}

#[test]
fn two_hundred_endpoints_survive_link_losses() {
    let mut pair = Pair::online();
    let keys = fleet(&mut pair, 200);
    for round in 0..5 {
        for key in &keys {
            pair.submit_of(*key, &sample(round)).unwrap();
        }
        pair.pass(SECOND / 50);
        pair.cut();
        pair.pass(MINUTE);
    }
    pair.pass(5 * MINUTE);
    assert_eq!(pair.open_len(), 0);
    assert!(keys.iter().all(|key| confirmed(&pair, *key) == 5));
}

/// A platform that knows all meters but this one, and drops the link at its first word.
fn all_but(bad: u32, count: u32) -> PlatformOptions {
    let tokens = (0..count).filter(|n| *n != bad);
    let endpoints: Vec<_> = tokens.map(|n| format!(r#""meter-{n:03}": {{}}"#)).collect();
    let endpoints = endpoints.join(",");
    let fixture = format!(
        r#"{{"appVersions": {{"demo-v1": {{"endpoints": {{"JTjdbENzHh": {{}}, {endpoints}}}}}}}}}"#
    );
    let mut options = PlatformOptions {
        fixture: Some(Fixture::parse(&fixture).unwrap()),
        ..PlatformOptions::default()
    };
    options.switches.set("bad-token", "disconnect").unwrap();
    options
}

/// FACTS trap 34.
#[test]
fn trap_34_one_bad_token_among_64_is_found_by_halves_suspended_and_told() {
    for bad in [0, 13, 63] {
        let mut pair = Pair::online_with(all_but(bad, 64), Options::new("gateway"));
        let keys = fleet(&mut pair, 64);
        for key in &keys {
            pair.submit_of(*key, &sample(1)).unwrap();
        }
        pair.pass(15 * MINUTE);
        for (n, key) in (0..64).zip(&keys).filter(|(n, _)| *n != bad) {
            assert_eq!(confirmed(&pair, *key), 1, "{n}");
        }
        let guilty = keys[bad as usize];
        assert_eq!(pair.open_len(), 1);
        assert!(pair.connection.is_muted(guilty));
        let suspended = pair.link_events.iter().filter_map(|(_, event)| {
            let Event::Suspended { key, name } = event else {
                return None;
            };
            Some((*key, name.to_string()))
        });
        let suspended: Vec<_> = suspended.collect();
        assert_eq!(suspended[0], (guilty, "demo-v1/met…".into()));
        assert!(suspended.iter().all(|(key, _)| *key == guilty));
        let lost = pair.connection.statistics().links_lost;
        assert!(lost <= 3 + 6 + 2, "{lost} links were lost");
        // The others go on meanwhile.
        for key in keys.iter().filter(|key| **key != guilty) {
            pair.submit_of(*key, &sample(2)).unwrap();
        }
        pair.pass(MINUTE);
        assert_eq!(pair.open_len(), 1);
    }
}

#[test]
fn a_suspended_endpoint_is_served_when_the_platform_knows_it_at_last() {
    let mut pair = Pair::online_with(all_but(5, 16), Options::new("gateway"));
    let keys = fleet(&mut pair, 16);
    for key in &keys {
        pair.submit_of(*key, &sample(1)).unwrap();
    }
    pair.pass(15 * MINUTE);
    assert!(pair.connection.is_muted(keys[5]));
    pair.restart_platform(all_but(99, 16));
    pair.pass(60 * MINUTE);
    assert!(!pair.connection.is_muted(keys[5]));
    assert_eq!((pair.open_len(), confirmed(&pair, keys[5])), (0, 1));
    let resumed =
        |(_, event): &(_, Event)| matches!(event, Event::Resumed { key, .. } if *key == keys[5]);
    assert!(pair.link_events.iter().any(resumed));
}

/// Request IDs are few, and each time two are taken by observations.
#[test]
fn an_endpoint_that_comes_back_while_it_leaves_observes_anew() {
    let endpoint = EndpointOptions::default().max_request_id(12).unwrap();
    let options = Options::new("gateway").endpoint(endpoint);
    let mut pair = Pair::online_with(PlatformOptions::default(), options);
    pair.fault("lose dcx always");
    let (key, name) = (
        pair.add("meter-000"),
        EndpointName::parse("demo-v1", "meter-000").unwrap(),
    );
    let observations = [
        Observation::Commands(reboot()),
        Observation::Configuration(None),
    ];
    pair.operate(|platform, now| {
        let config = serde_json::json!({"interval": 5});
        platform.set_configuration(now, &name, None, config)
    })
    .unwrap();
    for round in 0..10 {
        let now = pair.now();
        for observation in &observations {
            pair.connection.observe(now, key, observation).unwrap();
        }
        pair.submit_of(key, &sample(round)).unwrap();
        pair.pass(SECOND);
        let config = pair.connection.poll_configuration(key, None);
        assert!(config.is_some(), "round {round}");
        pair.operate(|platform, now| platform.command(now, &name, &reboot(), None))
            .unwrap();
        pair.pass(SECOND);
        let command = pair.connection.poll_command(key, |_| true);
        assert!(command.is_some(), "round {round}");

        let (now, flush) = (pair.now(), Removal::Flush(MINUTE));
        assert!(pair.connection.remove_endpoint(now, key, flush));
        let [commands, configuration] = &observations;
        let endpoint = pair.connection.endpoint(key).unwrap();
        assert!(!endpoint.is_observed(commands) && !endpoint.is_observed(configuration));
        pair.pass(SECOND);
        assert_eq!(pair.add("meter-000"), key);
        pair.pass(2 * MINUTE);
    }
    assert_eq!(
        pair.connection
            .endpoint(key)
            .unwrap()
            .statistics()
            .submitted,
        10
    );
}
