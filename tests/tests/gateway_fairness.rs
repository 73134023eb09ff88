//! One endpoint floods the link, the others send one request a second.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test, and the figures are of interest"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kaa_proto::connection::{EndpointKey, Options};
use kaa_proto::endpoint::{EndpointOptions, Subscriptions};
use kaa_proto::platform::PlatformOptions;
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device;
use kaa_tests::pair::{Dials, Pair};
use kaa_tests::pipe::Bandwidth;

const SECOND: Duration = Duration::from_secs(1);

/// 2 Mbit/s, a mobile uplink, and what an operating system takes before it says that it is full.
const SLOW: Bandwidth = Bandwidth {
    rate: 250_000,
    buffer: 16_384,
};

/// 10 Mbit/s.
const FAST: Bandwidth = Bandwidth {
    rate: 1_250_000,
    buffer: 16_384,
};

/// The default of the option.
const HIGH_WATER: usize = 16_384;

/// One way.
const LATENCY: Duration = Duration::from_millis(20);

/// How the quiet ones send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    /// All at the same moment of each second, as after polling a field bus.
    Together,
    /// Spread evenly over the second.
    Spread,
}

/// The queueing times, from submit to the first byte on the wire, of 999 endpoints that send one
/// request a second for five seconds, sorted.
fn queueing_times(line: Bandwidth, beat: Beat, flood: Option<usize>) -> Vec<Duration> {
    let options = Options::new("gateway");
    let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
    (pair.bandwidth, pair.latency) = (Some(line), LATENCY);
    let quiet: Vec<EndpointKey> = (0..999)
        .map(|n| pair.add(&format!("meter-{n:03}")))
        .collect();
    // Everybody has subscribed before it begins.
    for key in quiet.iter().chain([&pair.key.clone()]) {
        pair.submit_of(*key, &Sample::new("warm")).unwrap();
    }
    pair.pass(30 * SECOND);
    assert_eq!(pair.open_len(), 0);
    pair.take_seen();
    let mut submitted: BTreeMap<String, Instant> = BTreeMap::new();
    let start = pair.now();
    for second in 0..5 {
        for (n, key) in (0..).zip(&quiet) {
            if beat == Beat::Spread {
                let at = start + second * SECOND + n * SECOND / 999;
                pair.pass(at - pair.now());
            }
            if n % 50 == 0 {
                top_up(&mut pair, flood);
            }
            let text = format!("{second:04}-{n:03}");
            pair.submit_of(*key, &Sample::new(&text)).unwrap();
            submitted.insert(format!("\"{text}\""), pair.now());
        }
        while pair.now() < start + (second + 1) * SECOND {
            top_up(&mut pair, flood);
            let rest = start + (second + 1) * SECOND - pair.now();
            pair.pass(rest.min(SECOND / 50));
        }
    }
    pair.pass(10 * SECOND);
    let mut times: Vec<_> = pair
        .take_seen_at()
        .iter()
        .filter_map(|(at, seen)| {
            let begun = submitted.remove(&String::from_utf8(seen.payload.clone()).unwrap())?;
            let size = 2 + 2 + seen.topic.len() + 2 + seen.payload.len();
            Some((*at - LATENCY - line.time_of(size)).saturating_duration_since(begun))
        })
        .collect();
    assert!(submitted.is_empty(), "all were sent");
    times.sort();
    times
}

/// The flood never ends: there are always many requests in its queue.
fn top_up(pair: &mut Pair, flood: Option<usize>) {
    let Some(size) = flood else {
        return;
    };
    let queued = pair.connection.endpoint(pair.key).unwrap().queue_len();
    for _ in queued..300 {
        pair.submit(&Sample::new("x".repeat(size))).unwrap();
    }
}

/// The 99th percentiles without and with a flood of messages of so many bytes.
fn compare(line: Bandwidth, beat: Beat, flood: usize) -> (Duration, Duration) {
    let p99 = |flood| {
        let times = queueing_times(line, beat, flood);
        times[times.len() * 99 / 100]
    };
    let (calm, flooded) = (p99(None), p99(Some(flood)));
    println!("{line:?} {beat:?}, flood of {flood} bytes: {calm:?} -> {flooded:?}");
    (calm, flooded)
}

#[test]
fn a_flood_moves_the_99th_percentile_of_999_others_by_less_than_a_tenth() {
    for (line, flood) in [(SLOW, 8), (SLOW, 100), (FAST, 8)] {
        let (calm, flooded) = compare(line, Beat::Together, flood);
        assert!(calm > SECOND / 10, "they compete: {calm:?}");
        assert!(flooded <= calm * 11 / 10, "{calm:?} -> {flooded:?}");
    }
}

#[test]
fn those_who_speak_one_after_the_other_hardly_notice_a_flood() {
    let (calm, flooded) = compare(FAST, Beat::Spread, 100);
    assert!(flooded < calm + SECOND / 1_000, "{calm:?} -> {flooded:?}");
}

/// What was written cannot be overtaken.
#[test]
fn a_flood_of_large_messages_costs_no_more_than_what_the_buffers_hold() {
    let (calm, flooded) = compare(SLOW, Beat::Together, 1_000);
    let buffers = SLOW.time_of(SLOW.buffer + HIGH_WATER);
    assert!(flooded <= calm + buffers, "{calm:?} -> {flooded:?}");
}

#[test]
fn large_and_small_messages_share_the_link_by_their_bytes() {
    let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
    let options = Options::new("gateway").endpoint(endpoint);
    let options = options.window(400).high_water(1 << 20);
    let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
    pair.dials = Dials::Fail;
    let [large, small] = ["large", "small"].map(|token| pair.add(token));
    for _ in 0..60 {
        for (key, size) in [(large, 1_000), (small, 100)] {
            pair.submit_of(key, &Sample::new("x".repeat(size))).unwrap();
        }
    }
    pair.dials = Dials::Succeed;
    pair.pass(60 * SECOND);
    let seen = pair.take_seen();
    let first = seen.iter().take(40);
    let of_large = first.filter(|seen| seen.topic.contains("/large/")).count();
    // Each message counts for 256 bytes more: 1,286 to 386.
    assert!((8..=11).contains(&of_large), "{of_large} of 40");
}
