//! What many endpoints cost.

use std::hint::black_box;

use kaa_proto::endpoint::Observation;

use crate::exchange::Client as _;
use crate::ours::Gateway;
use crate::wire::Platform;
use crate::{Case, Meter};

/// How many there are on a large gateway.
pub(crate) const ENDPOINTS: usize = 100_000;

/// So many endpoints join a connection at once: a round is all of them.
pub(crate) struct Join(pub(crate) u64);

impl Case for Join {
    const TIMES: u64 = 1;

    /// The first round joins them all, the others none.
    fn round(&mut self, meter: &mut Meter) {
        let count = std::mem::take(&mut self.0) as usize;
        if count > 0 {
            meter.measure(|| drop(black_box(Gateway::new(count))));
        }
    }
}

/// What the heap holds of a connection for each of its endpoints, each of which observes its
/// configuration and has got the answer.
pub(crate) fn print_bytes_per_idle_endpoint() {
    let mut held = Vec::new();
    for count in [1_000, ENDPOINTS] {
        let mut gateway = None;
        let info = allocation_counter::measure(|| gateway = Some(idle(count)));
        held.push(info.bytes_current);
        drop(gateway);
    }
    let endpoints = ENDPOINTS as i64 - 1_000;
    println!("{}", (held[1] - held[0]) / endpoints);
}

fn idle(count: usize) -> Gateway {
    let mut gateway = Gateway::new(count);
    let observation = Observation::Configuration(None);
    let mut platform = Platform::default();
    for place in 0..count {
        gateway.observe(place, &observation);
        let mut sent = gateway.settle();
        // A platform that has none assigned.
        while !sent.is_empty() {
            let answers = platform.answer_with(&sent, b"{}");
            gateway.read(&answers);
            sent = gateway.settle();
        }
    }
    gateway
}
