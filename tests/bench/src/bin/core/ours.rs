//! Ours.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kaa_proto::connection::{Connection, Demand, EndpointKey, Event, LinkId, Options};
use kaa_proto::endpoint::{self, EndpointOptions, Observation, Subscriptions};
use kaa_proto::names::EndpointName;
use kaa_proto::telemetry::Sample;
use serde_json::value::RawValue;

use crate::exchange::{Client, SAMPLE};

/// A connection that is up, with endpoints that send in turn.
pub(crate) struct Gateway {
    pub(crate) now: Instant,
    pub(crate) connection: Connection,
    link: LinkId,
    endpoints: Vec<EndpointKey>,
    next: usize,
    sample: Box<RawValue>,
}

impl Gateway {
    pub(crate) fn new(endpoints: usize) -> Self {
        #[allow(clippy::disallowed_methods, reason = "a beginning")]
        let now = Instant::now();
        let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
        let options = Options::new("bench")
            .max_endpoints(endpoints)
            .endpoint(endpoint);
        let mut connection = Connection::new(options, now, 1).unwrap();
        let endpoints: Vec<_> = (0..endpoints)
            .map(|n| {
                let name =
                    EndpointName::parse("demo-v1", &format!("{:07}-{:02}", n / 100, n % 100));
                connection.add_endpoint(now, name.unwrap()).unwrap()
            })
            .collect();
        let Demand::Dial(link) = connection.demand() else {
            panic!("it dials")
        };
        connection.handle_connected(now, link);
        let mut gateway = Self {
            now,
            connection,
            link,
            endpoints,
            next: 0,
            sample: RawValue::from_string(SAMPLE.into()).unwrap(),
        };
        gateway.settle();
        gateway
            .connection
            .handle_input(now, link, b"\x20\x02\x00\x00");
        gateway.settle();
        gateway
    }

    /// Lets an endpoint observe something.
    pub(crate) fn observe(&mut self, place: usize, observation: &Observation) {
        let key = self.endpoints[place];
        self.connection.observe(self.now, key, observation).unwrap();
    }

    /// Writes until there is nothing more to write; what was written.
    pub(crate) fn settle(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let before = out.len();
            self.write(&mut out);
            if out.len() == before && self.connection.poll_timeout() > Some(self.now) {
                return out;
            }
            if out.len() == before {
                self.now += Duration::from_millis(1);
                self.connection.handle_timeout(self.now);
            }
        }
    }

    /// The time passes.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }
}

impl Client for Gateway {
    fn submit(&mut self) {
        let endpoint = self.endpoints[self.next];
        self.next = (self.next + 1) % self.endpoints.len();
        let sample = Sample::new(&*self.sample);
        self.connection.submit(self.now, endpoint, &sample).unwrap();
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let bytes = self.connection.poll_transmit(self.now, out);
        self.connection.handle_written(self.now, self.link, bytes);
    }

    fn read(&mut self, answers: &Bytes) -> usize {
        self.now += Duration::from_millis(1);
        self.connection.handle_input(self.now, self.link, answers);
        let mut confirmed = 0;
        while let Some(event) = self.connection.poll_event() {
            if let Event::Endpoint {
                event: endpoint::Event::Completed { outcome: Ok(_), .. },
                ..
            } = event
            {
                confirmed += 1;
            }
        }
        confirmed
    }
}
