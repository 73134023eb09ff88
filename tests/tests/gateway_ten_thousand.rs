//! Ten thousand endpoints on one link.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::connection::{EndpointKey, Options};
use kaa_proto::platform::PlatformOptions;
use kaa_proto::request::{RequestExt, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device;
use kaa_tests::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const COUNT: u32 = 10_000;

fn sample(n: u32) -> impl kaa_proto::request::Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

fn fleet(pair: &mut Pair, count: u32) -> Vec<EndpointKey> {
    (0..count)
        .map(|n| pair.add(&format!("meter-{n:05}")))
        .collect()
}

#[test]
fn baseline() {
    let t = std::time::Instant::now();
    let mut pair = Pair::online();
    let keys = fleet(&mut pair, COUNT);
    eprintln!("added {:?}", t.elapsed());
    for round in 0..3 {
        for key in &keys {
            pair.submit_of(*key, &sample(round)).unwrap();
        }
        eprintln!("submitted {:?}", t.elapsed());
        pair.pass(MINUTE);
        eprintln!("passed {:?}", t.elapsed());
    }
    assert_eq!(pair.open_len(), 0);
    let packets = pair.take_packets();
    eprintln!(
        "{} subscribes {}",
        packets.len(),
        packets.iter().filter(|p| p.0 == 8).count()
    );
    for key in &keys {
        pair.submit_of(*key, &sample(9)).unwrap();
    }
    pair.cut();
    pair.pass(MINUTE);
    eprintln!("cut {:?}", t.elapsed());
    let packets = pair.take_packets();
    eprintln!(
        "{} subscribes {}",
        packets.len(),
        packets.iter().filter(|p| p.0 == 8).count()
    );
    let _ = (SECOND, PlatformOptions::default(), Options::new("x"));
}
