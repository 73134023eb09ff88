//! What a connection counts is what happened.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::connection::{Event, LinkError, Losses, Options, Removal};
use kaa_proto::mqtt::Login;
use kaa_proto::platform::{PlatformOptions, Secret, User, UserState};
use kaa_proto::request::{RequestExt, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device;
use kaa_tests::pair::{Dials, Pair};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn traffic_is_what_went_over_the_wire() {
    let mut pair = Pair::online();
    for n in 0..50 {
        pair.submit(&Sample::new(n)).unwrap();
    }
    pair.pass(SECOND);
    pair.cut();
    pair.pass(5 * MINUTE);
    let statistics = pair.connection.statistics();
    let traffic = statistics.traffic;
    assert_eq!(traffic.bytes_in + traffic.bytes_out, pair.carried as u64);
    let packets = pair.take_packets();
    assert_eq!(traffic.packets_out, packets.len() as u64);
    let bytes: usize = packets.iter().map(|(_, size)| size).sum();
    assert_eq!(traffic.bytes_out, bytes as u64);
    let published = packets.iter().filter(|(kind, _)| *kind == 3).count() as u64;
    assert_eq!((statistics.messages_out, published), (50, 50));
    // CONNACK twice, SUBACK, PUBACK and an answer for each sample, and pings.
    assert_eq!(statistics.messages_in, 50);
    assert!((103..=110).contains(&traffic.packets_in), "{traffic:?}");
    let last = statistics.last_confirmed.unwrap();
    assert!(last < pair.now() - 5 * MINUTE, "before the cut");
}

#[test]
fn every_link_that_ends_is_counted_by_its_cause() {
    let user = User {
        name: "me".into(),
        password: Secret::new("right"),
        state: UserState::Active,
    };
    let platform = || PlatformOptions {
        users: vec![user.clone()],
        ..PlatformOptions::default()
    };
    let login = |password: &str| Some(Login::new("me").with_password(password));
    let options = Options::new("device").login(login("right"));
    let mut pair = Pair::online_with(platform(), options);
    let again = |pair: &mut Pair| {
        let now = pair.now();
        pair.dials = Dials::Succeed;
        pair.connection.dial_now(now);
        pair.pass(40 * SECOND);
    };
    // The transport, twice.
    for _ in 0..2 {
        pair.cut();
        again(&mut pair);
    }
    pair.restart_platform(platform());
    again(&mut pair);
    pair.black_hole(false, true);
    pair.pass(91 * SECOND);
    again(&mut pair);
    pair.dials = Dials::Hang;
    pair.cut();
    pair.connection.dial_now(pair.now());
    pair.pass(20 * SECOND);
    pair.dials = Dials::Fail;
    pair.connection.dial_now(pair.now());
    pair.pass(SECOND / 10);
    let now = pair.now();
    pair.connection.set_login(now, login("wrong")).unwrap();
    again(&mut pair);
    let now = pair.now();
    pair.connection.set_login(now, login("right")).unwrap();
    again(&mut pair);
    let now = pair.now();
    pair.connection.close(now, SECOND);
    pair.pass(SECOND);

    let statistics = pair.connection.statistics();
    let Losses {
        transport,
        eof,
        keep_alive_timeout,
        dial_timeout,
        dial,
        refused,
        closed,
        ..
    } = statistics.losses;
    assert_eq!((transport, eof, keep_alive_timeout), (3, 1, 1));
    assert_eq!((dial_timeout, refused, closed), (1, 1, 1));
    assert!(dial >= 1);
    let lost = pair.link_events.iter().filter_map(|(_, event)| {
        let Event::LinkLost { error, .. } = event else {
            return None;
        };
        Some(error)
    });
    let lost: Vec<_> = lost.collect();
    assert_eq!(statistics.losses.total(), lost.len() as u64);
    assert_eq!(statistics.dials, statistics.losses.total());
    assert_eq!(statistics.links_up, statistics.links_lost + closed);
    let dials = lost
        .iter()
        .filter(|error| matches!(error, LinkError::Dial(_)));
    assert_eq!(dials.count() as u64, dial);
}

#[test]
fn the_requests_of_all_endpoints_are_counted_by_outcome_also_of_removed_ones() {
    let mut pair = Pair::online();
    let keys = ["a", "b", "c"].map(|token| pair.add(token));
    let [a, b, c] = keys;
    let sample = |n: u32| Sample::new(n).resend(Resend::Never);
    pair.submit_of(a, &sample(1)).unwrap();
    pair.submit_of(b, &sample(2)).unwrap();
    pair.pass(SECOND);
    pair.fault("error 500 of a");
    pair.submit_of(a, &sample(3)).unwrap();
    pair.pass(SECOND);
    pair.fault("lose of b");
    pair.submit_of(b, &sample(4)).unwrap();
    pair.pass(31 * SECOND);
    pair.fault("duplicate 3 of c");
    pair.submit_of(c, &sample(5)).unwrap();
    pair.pass(SECOND);
    pair.fault("lose of c");
    pair.submit_of(c, &sample(6)).unwrap();
    pair.pass(SECOND);
    pair.dials = Dials::Fail;
    pair.cut();
    pair.submit_of(a, &sample(7).expires_after(SECOND)).unwrap();
    let cancelled = pair.submit_of(a, &sample(8)).unwrap();
    pair.submit_of(b, &sample(9)).unwrap();
    pair.submit_of(c, &Sample::new("queued")).unwrap();
    pair.pass(2 * SECOND);
    let now = pair.now();
    assert!(pair.connection.cancel(now, a, cancelled));
    assert!(pair.connection.remove_endpoint(now, b, Removal::Discard));
    pair.settle();

    let statistics = pair.connection.statistics();
    let requests = &statistics.requests;
    assert_eq!((requests.submitted, requests.ended()), (10, 9));
    assert_eq!((requests.confirmed, requests.rejected), (3, 1));
    assert_eq!((requests.unanswered, requests.outcome_unknown), (1, 1));
    assert_eq!(
        (requests.expired, requests.cancelled, requests.closed),
        (1, 1, 1)
    );
    assert_eq!((requests.foreign_answers, requests.late_answers), (2, 0));
    assert_eq!((statistics.queued, statistics.in_flight), (1, 0));
    // "queued" with its quotes, and the resource `json`.
    assert_eq!(statistics.queued_bytes, 8 + 4);
    assert_eq!((statistics.endpoints, statistics.suspended), (3, 0));
}
