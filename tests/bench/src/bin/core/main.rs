//! One piece of work of the core, done so many times: `core CASE COUNT [LENGTH]`. The script `counts` runs it
//! under callgrind, which counts what happens in [`measured`] only; without callgrind it prints how
//! many times the work was done, and the allocations there.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what cannot go on has failed, and the rest is its output"
)]

mod codec;
mod exchange;
mod kernel;
mod ours;
#[cfg(feature = "peers")]
mod peers;
mod scale;
mod wire;

use std::env;

use exchange::Exchanges;
use ours::Gateway;

/// A piece of work.
trait Case {
    /// How many times a round does the work.
    const TIMES: u64;

    /// Prepares what is needed, and does the work in [`Meter::measure`].
    fn round(&mut self, meter: &mut Meter);
}

/// What the work allocated.
#[derive(Default)]
struct Meter {
    allocations: u64,
    bytes: u64,
}

impl Meter {
    fn measure(&mut self, work: impl FnOnce()) {
        let info = allocation_counter::measure(|| measured(work));
        self.allocations += info.count_total;
        self.bytes += info.bytes_total;
    }
}

/// What callgrind looks at.
#[inline(never)]
fn measured(work: impl FnOnce()) {
    work();
}

/// Does the work so many times.
fn run<C: Case>(mut case: C, count: u64) {
    let mut meter = Meter::default();
    let rounds = count.div_ceil(C::TIMES);
    for _ in 0..rounds {
        case.round(&mut meter);
    }
    let Meter { allocations, bytes } = meter;
    println!("{} {allocations} {bytes}", rounds * C::TIMES);
}

fn main() {
    let mut words = env::args().skip(1);
    let case = words.next().expect("a case");
    let count: u64 = words.next().and_then(|n| n.parse().ok()).expect("a count");
    let length = words.next().and_then(|n| n.parse().ok()).unwrap_or(1);
    match &*case {
        "kernel" => run(kernel::Kernel, count),
        "confirmed_exchange" => run(Exchanges::new(Gateway::new(1)), count),
        // Each endpoint has spoken before.
        "gateway" => {
            let rounds = scale::ENDPOINTS / Exchanges::<Gateway>::TIMES as usize + 1;
            run(
                Exchanges::after(rounds, Gateway::new(scale::ENDPOINTS)),
                count,
            );
        }
        #[cfg(feature = "peers")]
        "rumqttc" => run(Exchanges::new(peers::Rumqttc::new()), count),
        #[cfg(feature = "peers")]
        "mqtt_protocol_core" => run(Exchanges::new(peers::ProtocolCore::new()), count),
        "bytes_per_idle_endpoint" => scale::print_bytes_per_idle_endpoint(),
        "join" => run(scale::Join::new(length), count),
        "queued" => run(scale::Queued::new(length), count),
        "in_flight" => run(scale::in_flight(length), count),
        "observations" => run(scale::observations(length), count),
        "tombstones" => run(scale::tombstones(length), count),
        "encode_publish" => run(codec::EncodePublish(codec::Link::new()), count),
        "decode_puback" => run(codec::DecodePubAck(codec::Link::new()), count),
        "decode_status" => run(codec::DecodeStatus(codec::Link::new()), count),
        _ => panic!("there is no case {case}"),
    }
}
