//! Connections against bytes typed out by hand.

mod chaos;
mod draining;
mod eager;
mod flow;
mod fullness;
mod links;
mod recording;
mod shares;
mod suspicion;
mod wording;

use std::time::{Duration, Instant};

use super::*;
use crate::endpoint::{self, EndpointOptions, Subscriptions};
use crate::request::{Failure, Outcome, RequestExt, RequestId, Resend};
use crate::telemetry::Sample;

const CONNACK: &[u8] = b"\x20\x02\x00\x00";

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A connection, its driver and its clock. The server is the test.
struct Wire {
    connection: Connection,
    now: Instant,
    /// What was written and the test has not looked at.
    written: Vec<u8>,
    /// What was polled and the test has not looked at.
    events: Vec<Event>,
}

impl Wire {
    fn new(options: Options) -> Self {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        Self {
            connection: Connection::new(options, now, 7).unwrap(),
            now,
            written: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A connection with one endpoint, `v/tok`, that subscribes to nothing.
    fn with_one() -> (Self, EndpointKey) {
        let mut wire = Self::new(options());
        let key = wire.add("tok");
        (wire, key)
    }

    fn add(&mut self, token: &str) -> EndpointKey {
        let name = EndpointName::parse("v", token).unwrap();
        self.connection.add_endpoint(self.now, name).unwrap()
    }

    fn link(&self) -> LinkId {
        match self.connection.demand() {
            Demand::Dial(link)
            | Demand::Exchange(link)
            | Demand::HangUp(link)
            | Demand::Abandon(link) => link,
            Demand::Rest | Demand::Finished => panic!("there is no link"),
        }
    }

    /// One turn of the driver: all that is to be written is, and all events are polled.
    fn turn(&mut self) {
        let mut out = Vec::new();
        while self.connection.poll_transmit(self.now, &mut out) > 0 {
            let link = self.link();
            self.connection.handle_written(self.now, link, out.len());
            self.written.append(&mut out);
        }
        // What was written may have filled the window with messages that wait for too long.
        let due = self.connection.poll_timeout();
        if due.is_some_and(|at| at <= self.now) {
            self.connection.handle_timeout(self.now);
        }
        while let Some(event) = self.connection.poll_event() {
            self.events.push(event);
        }
        assert!(
            self.connection
                .poll_timeout()
                .is_none_or(|at| at > self.now)
        );
    }

    fn dial(&mut self) {
        while self.connection.demand() == Demand::Rest {
            let at = self.connection.poll_timeout().unwrap();
            self.pass(at - self.now);
        }
        let Demand::Dial(link) = self.connection.demand() else {
            panic!("no dial is wanted");
        };
        self.connection.handle_connected(self.now, link);
        self.turn();
        self.written.clear();
    }

    fn connect(&mut self) {
        self.dial();
        self.receive(CONNACK);
    }

    fn receive(&mut self, input: &[u8]) {
        let link = self.link();
        self.connection.handle_input(self.now, link, input);
        self.turn();
    }

    fn cut(&mut self) {
        let link = self.link();
        self.connection
            .handle_disconnected(self.now, link, LinkError::Eof);
        self.turn();
    }

    /// Lets time pass, and looks at the clock whenever the connection wants it to.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.connection.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.connection.handle_timeout(at);
            self.turn();
        }
        self.now = end;
        self.connection.handle_timeout(end);
        self.turn();
    }

    fn submit(&mut self, key: EndpointKey, sample: &str) -> RequestId {
        let id = self.connection.submit(self.now, key, &Sample::new(sample));
        self.turn();
        id.unwrap()
    }

    fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.written)
    }

    /// The outcomes of requests, in the order they came.
    fn take_outcomes(&mut self) -> Vec<(RequestId, Outcome)> {
        let events = std::mem::take(&mut self.events).into_iter();
        let outcomes = events.filter_map(|event| {
            if let Event::Endpoint {
                event: endpoint::Event::Completed { id, outcome },
                ..
            } = event
            {
                return Some((id, outcome));
            }
            None
        });
        outcomes.collect()
    }
}

fn silent() -> EndpointOptions {
    EndpointOptions::default().subscriptions(Subscriptions::None)
}

/// Endpoints subscribe to nothing, so that a test types only what it is about.
fn options() -> Options {
    Options::new("a").endpoint(silent())
}

/// A PUBLISH of QoS 0 with a short topic and payload.
fn message(topic: &str, payload: &str) -> Vec<u8> {
    let length = 2 + topic.len() + payload.len();
    let mut packet = vec![0x30, length as u8, 0, topic.len() as u8];
    packet.extend(topic.bytes().chain(payload.bytes()));
    packet
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
