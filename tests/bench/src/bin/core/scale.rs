//! What many endpoints cost.

use std::num::{NonZeroU16, NonZeroUsize};

use kaa_proto::connection::Options;
use kaa_proto::endpoint::{EndpointOptions, Observation};
use kaa_proto::request::Class;

use crate::exchange::{Client as _, Exchanges};
use crate::ours::Gateway;
use crate::wire::{self, Platform};
use crate::{Case, Meter};

/// How many there are on a large gateway.
pub(crate) const ENDPOINTS: usize = 100_000;

/// One endpoint joins a connection.
pub(crate) struct Join {
    gateway: Gateway,
    next: usize,
}

impl Join {
    pub(crate) fn new(length: usize) -> Self {
        let gateway = Gateway::with(length, |options| options.max_endpoints(ENDPOINTS * 2), same);
        Self {
            gateway,
            next: length,
        }
    }
}

impl Case for Join {
    const TIMES: u64 = 1;

    fn round(&mut self, meter: &mut Meter) {
        let name = Gateway::name(self.next);
        self.next += 1;
        meter.measure(|| self.gateway.join(name));
    }
}

/// One sample is submitted and taken back while so many wait for a link.
pub(crate) struct Queued(Gateway);

impl Queued {
    pub(crate) fn new(length: usize) -> Self {
        let room = |n: usize| NonZeroUsize::new(n).unwrap();
        let options = |options: Options| options.max_queued(length * 2 + 100, 1 << 30);
        let endpoint = |endpoint: EndpointOptions| {
            endpoint.queue(Class::Bulk, room(length * 2 + 100), room(1 << 30))
        };
        let mut gateway = Gateway::with(1, options, endpoint);
        gateway.lose_link();
        (0..length).for_each(|_| gateway.submit());
        Self(gateway)
    }
}

impl Case for Queued {
    const TIMES: u64 = 1;

    fn round(&mut self, meter: &mut Meter) {
        meter.measure(|| {
            let id = self.0.submit_one();
            assert!(self.0.cancel(id));
        });
    }
}

/// One exchange while so many others wait for their answers.
pub(crate) fn in_flight(length: usize) -> Exchanges<Gateway> {
    let window = u16::try_from(length * 2 + 200).unwrap();
    let most = NonZeroU16::new(window).unwrap();
    let options = |options: Options| options.window(window).max_queued(200_000, 1 << 30);
    let endpoint = |endpoint: EndpointOptions| endpoint.max_in_flight(most);
    let mut gateway = Gateway::with(1, options, endpoint);
    for _ in 0..length {
        gateway.submit();
        gateway.settle_at_once();
    }
    Exchanges::new(gateway)
}

/// One exchange on a connection with so many observations.
pub(crate) fn observations(length: usize) -> Exchanges<Gateway> {
    Exchanges::new(idle(length))
}

/// One exchange while so many IDs rest because nobody answered them.
pub(crate) fn tombstones(length: usize) -> Exchanges<Gateway> {
    let endpoint = |endpoint: EndpointOptions| endpoint.max_request_id(1_000_000).unwrap();
    let mut gateway = Gateway::with(1, same, endpoint);
    let mut left = length;
    while left > 0 {
        let some = left.min(50);
        (0..some).for_each(|_| gateway.submit());
        let sent = gateway.settle_at_once();
        gateway.read(&wire::acknowledge(&sent));
        gateway.pass_answer_time();
        left -= some;
    }
    Exchanges::new(gateway)
}

const fn same<T>(options: T) -> T {
    options
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
