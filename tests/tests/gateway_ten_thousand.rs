//! Ten thousand endpoints on one link.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use kaa_proto::connection::{EndpointKey, Options, Removal};
use kaa_proto::endpoint::{self, EndpointOptions, Observation, Subscriptions, WhenFull};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::PlatformOptions;
use kaa_proto::request::{Class, Failure, RequestExt, Resend, SubmitError};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device;
use kaa_tests::operations::reboot;
use kaa_tests::pair::{Dials, Pair};
use kaa_tests::pipe::Bandwidth;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const COUNT: u32 = 10_000;

/// MQTT's types of packets.
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;

fn sample(n: u32) -> impl kaa_proto::request::Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

fn fleet(pair: &mut Pair, count: u32) -> Vec<EndpointKey> {
    (0..count)
        .map(|n| pair.add(&format!("meter-{n:05}")))
        .collect()
}

fn statistics(pair: &Pair, key: EndpointKey) -> endpoint::Statistics {
    pair.connection.endpoint(key).unwrap().statistics()
}

fn gateway(subscriptions: Subscriptions) -> Pair {
    let endpoint = EndpointOptions::default().subscriptions(subscriptions);
    let options = Options::new("gateway").endpoint(endpoint);
    Pair::online_with(PlatformOptions::default(), options)
}

/// How many packets of a type there are, and the largest in bytes.
fn packets(packets: &[(u8, usize)], of: u8) -> (usize, usize) {
    let sizes = packets.iter().filter(|(kind, _)| *kind == of);
    let sizes: Vec<_> = sizes.map(|(_, size)| *size).collect();
    (sizes.len(), sizes.iter().copied().max().unwrap_or(0))
}

#[test]
fn all_are_served_over_link_losses_each_with_ids_and_statistics_of_its_own() {
    let mut pair = Pair::online();
    let keys = fleet(&mut pair, COUNT);
    for round in 0..3 {
        for key in &keys {
            pair.submit_of(*key, &sample(round)).unwrap();
        }
        pair.pass(SECOND);
        pair.cut();
        pair.pass(MINUTE);
    }
    assert_eq!(pair.open_len(), 0);
    for key in &keys {
        assert_eq!(statistics(&pair, *key).confirmed, 3);
    }
    let sum = pair.connection.statistics();
    assert_eq!((sum.requests.confirmed, sum.endpoints), (30_000, 10_001));
    assert_eq!((sum.links_lost, sum.losses.transport), (3, 3));
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for seen in pair.take_seen() {
        let levels: Vec<_> = seen.topic.split('/').map(String::from).collect();
        let [_, _, _, token, _, id] = &levels[..] else {
            continue;
        };
        ids.entry(token.clone()).or_default().insert(id.clone());
    }
    let first_three: BTreeSet<_> = ["1", "2", "3"].map(String::from).into();
    assert!(ids.len() == 10_000 && ids.values().all(|ids| *ids == first_three));
}

/// 20,000 filters of 40 and 41 bytes, or 10,000 of 27, each with 3 more.
#[test]
fn subscriptions_share_few_packets_however_many_endpoints_there_are() {
    let cases = [
        (Subscriptions::PerResource, 20_000 * 43 / 16_384),
        (Subscriptions::PerEndpoint, 10_000 * 30 / 16_384),
        (Subscriptions::None, 0),
    ];
    for (subscriptions, least) in cases {
        let mut pair = gateway(subscriptions);
        pair.dials = Dials::Fail;
        pair.cut();
        for key in fleet(&mut pair, COUNT) {
            pair.submit_of(key, &sample(1)).unwrap();
        }
        pair.dials = Dials::Succeed;
        pair.take_packets();
        pair.pass(3 * MINUTE);
        assert_eq!(pair.open_len(), 0, "{subscriptions:?}");
        let all = pair.take_packets();
        let (count, largest) = packets(&all, SUBSCRIBE);
        assert!(
            (least..=least + 8).contains(&count),
            "{count} packets, {subscriptions:?}"
        );
        assert!(largest <= 16_384, "{largest} bytes");
        assert_eq!(packets(&all, PUBLISH).0, 10_000);
    }
}

#[test]
fn no_subscribe_is_larger_than_the_packet_limit() {
    let options = Options::new("gateway").max_packet_out(512);
    let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
    for key in fleet(&mut pair, 1_000) {
        pair.submit_of(key, &sample(1)).unwrap();
    }
    pair.pass(MINUTE);
    assert_eq!(pair.open_len(), 0);
    let (count, largest) = packets(&pair.take_packets(), SUBSCRIBE);
    // Eleven filters in each.
    assert!((180..=200).contains(&count), "{count}");
    assert!((450..=512).contains(&largest), "{largest}");
}

#[test]
fn endpoints_come_and_go_at_run_time_and_leave_nothing_behind() {
    let mut pair = Pair::online();
    let keys = fleet(&mut pair, COUNT);
    for key in &keys {
        pair.submit_of(*key, &sample(1)).unwrap();
    }
    pair.pass(MINUTE);
    pair.take_packets();
    let now = pair.now();
    for (n, key) in keys.iter().enumerate().filter(|(n, _)| n % 2 == 0) {
        let removal = match n % 4 {
            0 => Removal::Discard,
            _ => Removal::Flush(MINUTE),
        };
        assert!(pair.connection.remove_endpoint(now, *key, removal));
    }
    pair.settle();
    pair.pass(MINUTE);
    assert_eq!(pair.connection.endpoints().count(), 5_001);
    let all = pair.take_packets();
    assert!((1..=40).contains(&packets(&all, UNSUBSCRIBE).0));
    // They come back under their old names, with keys and counters of their own.
    for n in (0..COUNT).step_by(2) {
        let key = pair.add(&format!("meter-{n:05}"));
        assert!(!keys.contains(&key));
        pair.submit_of(key, &sample(2)).unwrap();
    }
    pair.pass(MINUTE);
    assert_eq!(pair.open_len(), 0);
    let sum = pair.connection.statistics();
    // What the removed ones counted is kept.
    assert_eq!((sum.endpoints, sum.requests.confirmed), (10_001, 15_000));
    let name = EndpointName::parse("demo-v1", "meter-00002").unwrap();
    let again = pair.connection.find(&name).unwrap();
    assert_eq!(statistics(&pair, again).submitted, 1);
}

#[test]
fn each_endpoint_has_a_queue_of_its_own_size() {
    let mut pair = Pair::online();
    pair.dials = Dials::Fail;
    pair.cut();
    let size = |count| NonZeroUsize::new(count).unwrap();
    let now = pair.now();
    let mut add = |token: &str, count, when_full| {
        let name = EndpointName::parse("demo-v1", token).unwrap();
        let options = EndpointOptions::default()
            .queue(Class::Bulk, size(count), size(1_000_000))
            .bulk_when_full(when_full);
        pair.connection
            .add_endpoint_with(now, name, options)
            .unwrap()
    };
    let small = add("small", 2, WhenFull::DropOldest);
    let strict = add("strict", 3, WhenFull::Refuse);
    let large = add("large", 100, WhenFull::DropOldest);
    let first = pair.submit_of(small, &sample(0)).unwrap();
    for n in 1..10 {
        pair.submit_of(small, &sample(n)).unwrap();
        pair.submit_of(large, &sample(n)).unwrap();
        let taken = pair.submit_of(strict, &sample(n));
        let full = Err(SubmitError::QueueFull(Class::Bulk));
        assert!(if n <= 3 { taken.is_ok() } else { taken == full });
    }
    assert_eq!(pair.outcome_of(small, first), Some(&Err(Failure::Dropped)));
    let queued = |key| pair.connection.endpoint(key).unwrap().queue_len();
    assert_eq!([small, strict, large].map(queued), [2, 3, 9]);
    let sum = pair.connection.statistics();
    assert_eq!((sum.queued, sum.requests.dropped), (14, 8));
}

/// A gateway that observes commands for every endpoint, on a link of 2 Mbit/s.
fn observing(rate: u32) -> (Pair, Vec<EndpointKey>) {
    let options = Options::new("gateway").observe_rate(NonZeroU32::new(rate).unwrap());
    let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
    let bandwidth = Bandwidth {
        rate: 250_000,
        buffer: 16_384,
    };
    pair.bandwidth = Some(bandwidth);
    let keys = fleet(&mut pair, COUNT);
    for key in &keys {
        let (now, observation) = (pair.now(), Observation::Commands(reboot()));
        pair.connection.observe(now, *key, &observation).unwrap();
    }
    pair.settle();
    (pair, keys)
}

#[test]
fn what_ten_thousand_observe_before_the_first_link_is_asked_for_at_the_same_pace() {
    let (mut pair, _) = observing(200);
    pair.pass(2 * MINUTE);
    let mut of_second: BTreeMap<u64, u32> = BTreeMap::new();
    let seen = pair.take_seen_at();
    let start = seen[0].0;
    for (at, _) in &seen {
        *of_second.entry((*at - start).as_secs()).or_default() += 1;
    }
    assert_eq!(seen.len(), 10_000);
    let most = of_second.values().max().unwrap();
    assert!(*most <= 240, "{most} in a second");
}

#[test]
fn what_is_observed_on_a_live_link_does_not_wait_for_what_stood_before() {
    let options = Options::new("gateway").observe_rate(NonZeroU32::MIN);
    let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
    for key in fleet(&mut pair, 100) {
        let now = pair.now();
        let observation = Observation::Configuration(None);
        pair.connection.observe(now, key, &observation).unwrap();
    }
    pair.pass(5 * SECOND);
    pair.take_seen();
    for n in 0..50 {
        let name = EndpointName::parse("demo-v1", &format!("late-{n:05}")).unwrap();
        let now = pair.now();
        // The driver has no turn in between.
        let key = pair.connection.add_endpoint(now, name).unwrap();
        let connection = &mut pair.connection;
        match n % 2 {
            0 => connection.observe(now, key, &Observation::Commands(reboot())),
            _ => connection.observe_software(now, key, "1.0"),
        }
        .unwrap();
    }
    pair.pass(SECOND / 5);
    let seen = pair.take_seen().into_iter();
    let late = seen.filter(|seen| seen.topic.contains("/late-"));
    let late: BTreeSet<_> = late
        .filter(|seen| {
            seen.payload
                .windows(14)
                .any(|part| part == br#""observe":true"#)
        })
        .map(|seen| seen.topic)
        .collect();
    assert_eq!(late.len(), 50, "{late:?}");
    // On the next link they wait with the others.
    pair.cut();
    pair.pass(5 * SECOND);
    let seen = pair.take_seen().into_iter();
    let seen = seen.filter(|seen| seen.topic.contains("/late-"));
    assert_eq!(seen.count(), 0);
}

#[test]
fn ten_thousand_observe_again_at_their_pace_and_telemetry_does_not_wait_for_it() {
    let (mut pair, keys) = observing(200);
    pair.pass(2 * MINUTE);
    pair.take_seen();
    pair.cut();
    while pair.connection.statistics().links_up < 2 {
        pair.pass(SECOND / 10);
    }
    let start = pair.now();
    // The last endpoint has something to say, again and again.
    let last = keys[9_999];
    let mut longest = Duration::ZERO;
    for n in 0..60 {
        let begun = pair.now();
        let id = pair.submit_of(last, &sample(n)).unwrap();
        while pair.outcome_of(last, id).is_none() {
            pair.pass(SECOND / 100);
        }
        if n > 0 {
            longest = longest.max(pair.now() - begun);
        }
        pair.pass((begun + SECOND).saturating_duration_since(pair.now()));
    }
    assert!(longest < SECOND / 5, "{longest:?}");
    let mut of_second: BTreeMap<u64, u32> = BTreeMap::new();
    let mut tokens = BTreeSet::new();
    for (at, seen) in pair.take_seen_at() {
        if seen.topic.contains("/command/reboot/") {
            *of_second.entry((at - start).as_secs()).or_default() += 1;
            tokens.insert(seen.topic);
        }
    }
    assert_eq!(tokens.len(), 10_000, "every endpoint observes again");
    let most = of_second.values().max().unwrap();
    assert!(*most <= 240, "{most} in a second");
    let last = of_second.keys().last().unwrap();
    assert!((49..=54).contains(last), "the last one after {last} s");
}

#[test]
fn every_endpoint_observes_again_on_every_link_at_any_pace() {
    for rate in [1, 7, 5_000] {
        let options = Options::new("gateway").observe_rate(NonZeroU32::new(rate).unwrap());
        let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
        for key in fleet(&mut pair, 20) {
            let now = pair.now();
            for observation in [
                Observation::Commands(reboot()),
                Observation::Configuration(None),
            ] {
                pair.connection.observe(now, key, &observation).unwrap();
            }
        }
        for _ in 0..3 {
            pair.pass(2 * MINUTE);
            let mut topics: Vec<_> = pair
                .take_seen()
                .into_iter()
                .map(|seen| seen.topic)
                .collect();
            assert_eq!(topics.len(), 40, "rate {rate}");
            topics.sort();
            topics.dedup();
            assert_eq!(topics.len(), 40, "rate {rate}: each once");
            pair.cut();
        }
    }
}

#[test]
fn what_is_observed_while_its_endpoint_waits_for_its_turn_is_asked_for_once() {
    let options = Options::new("gateway").observe_rate(NonZeroU32::MIN);
    let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
    let keys = fleet(&mut pair, 20);
    let observe = |pair: &mut Pair, key, observation: &Observation| {
        let now = pair.now();
        pair.connection.observe(now, key, observation).unwrap();
        pair.settle();
    };
    for key in &keys {
        observe(&mut pair, *key, &Observation::Commands(reboot()));
    }
    pair.pass(5 * SECOND);
    pair.take_seen();
    observe(&mut pair, keys[19], &Observation::Configuration(None));
    pair.pass(SECOND / 10);
    let topics = |pair: &mut Pair| {
        let seen = pair.take_seen().into_iter();
        let topics = seen.map(|seen| seen.topic);
        topics
            .filter(|topic| topic.contains("/meter-00019/"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        topics(&mut pair),
        ["kp1/demo-v1/cmx/meter-00019/config/json/1"]
    );
    pair.pass(MINUTE);
    assert_eq!(
        topics(&mut pair),
        ["kp1/demo-v1/cex/meter-00019/command/reboot/1"]
    );
}
