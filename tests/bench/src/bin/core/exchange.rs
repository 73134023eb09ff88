//! The confirmed exchange: a sample of 64 bytes that is serialised already → PUBLISH; PUBACK and
//! `/status` in → PUBACK; its completion is taken. Fifteen at a time, and one is always left over: it
//! is never idle, and sixteen are in flight.

use std::time::{Duration, Instant};

use kaa_proto::connection::{Connection, Demand, EndpointKey, Event, LinkId, Options};
use kaa_proto::endpoint::{self, EndpointOptions, Subscriptions};
use kaa_proto::names::EndpointName;
use kaa_proto::telemetry::Sample;
use serde_json::value::RawValue;

use crate::wire::{self, Platform};
use crate::{Case, Meter};

/// 64 bytes.
const SAMPLE: &str = r#"{"ts":1795341600000,"temperature":21.5,"humidity":40,"door":"n"}"#;

/// Exchanges of endpoints in turn.
pub(crate) struct Exchanges {
    now: Instant,
    connection: Connection,
    link: LinkId,
    endpoints: Vec<EndpointKey>,
    next: usize,
    sample: Box<RawValue>,
    platform: Platform,
    /// What is answered in the next round.
    left_over: Vec<u8>,
    out: Vec<u8>,
    confirmed: usize,
}

impl Exchanges {
    pub(crate) fn new(endpoints: usize) -> Self {
        #[allow(clippy::disallowed_methods, reason = "a beginning")]
        let now = Instant::now();
        let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
        let options = Options::new("bench")
            .max_endpoints(endpoints)
            .endpoint(endpoint);
        let mut connection = Connection::new(options, now, 1).unwrap();
        let name = |n| EndpointName::parse("demo-v1", &format!("{n:010}")).unwrap();
        let endpoints = (0..endpoints)
            .map(|n| connection.add_endpoint(now, name(n)))
            .collect::<Result<_, _>>()
            .unwrap();
        let Demand::Dial(link) = connection.demand() else {
            panic!("it dials")
        };
        connection.handle_connected(now, link);
        let mut exchanges = Self {
            now,
            connection,
            link,
            endpoints,
            next: 0,
            sample: RawValue::from_string(SAMPLE.into()).unwrap(),
            platform: Platform::default(),
            left_over: Vec::new(),
            out: Vec::new(),
            confirmed: 0,
        };
        exchanges.write();
        exchanges
            .connection
            .handle_input(now, link, b"\x20\x02\x00\x00");
        while exchanges.write() > 0 {}
        exchanges.submit();
        exchanges.write();
        exchanges.left_over.clone_from(&exchanges.out);
        for _ in 0..200 {
            exchanges.round(&mut Meter::default());
        }
        exchanges
    }

    /// Hands over what it has to send.
    fn write(&mut self) -> usize {
        self.out.clear();
        let bytes = self.connection.poll_transmit(self.now, &mut self.out);
        self.connection.handle_written(self.now, self.link, bytes);
        bytes
    }

    /// Submits samples, and hands over their packets.
    fn send(&mut self) {
        for _ in 0..Self::TIMES {
            self.submit();
        }
        self.write();
    }

    fn submit(&mut self) {
        let endpoint = self.endpoints[self.next];
        self.next = (self.next + 1) % self.endpoints.len();
        let sample = Sample::new(&*self.sample);
        self.connection.submit(self.now, endpoint, &sample).unwrap();
    }

    /// Takes the answers, and what became of the samples.
    fn receive(&mut self, answers: &[u8]) {
        self.connection.handle_input(self.now, self.link, answers);
        self.write();
        while let Some(event) = self.connection.poll_event() {
            if let Event::Endpoint {
                event: endpoint::Event::Completed { outcome: Ok(_), .. },
                ..
            } = event
            {
                self.confirmed += 1;
            }
        }
    }
}

impl Case for Exchanges {
    const TIMES: u64 = 15;

    fn round(&mut self, meter: &mut Meter) {
        self.now += Duration::from_millis(1);
        self.confirmed = 0;
        meter.measure(|| self.send());
        let last = wire::start_of_last(&self.out);
        self.left_over.extend_from_slice(&self.out[..last]);
        let answers = self.platform.answer(&self.left_over);
        self.left_over.clear();
        self.left_over.extend_from_slice(&self.out[last..]);
        meter.measure(|| self.receive(&answers));
        assert_eq!(self.confirmed, 15);
    }
}
