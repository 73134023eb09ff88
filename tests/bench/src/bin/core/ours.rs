//! Ours.

use std::time::{Duration, Instant};

use kaa_proto::connection::{Connection, Demand, EndpointKey, Event, LinkError, LinkId, Options};
use kaa_proto::endpoint::{self, EndpointOptions, Observation, Subscriptions};
use kaa_proto::names::EndpointName;
use kaa_proto::request::RequestId;
use kaa_proto::telemetry::Sample;
use serde_json::value::RawValue;

use crate::exchange::{Client, SAMPLE};

/// A connection that is up, with endpoints that send in turn.
pub(crate) struct Gateway {
    now: Instant,
    connection: Connection,
    link: LinkId,
    endpoints: Vec<EndpointKey>,
    next: usize,
    sample: Box<RawValue>,
}

impl Gateway {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self::with(endpoints, |options| options, |endpoint| endpoint)
    }

    /// One with options of its own.
    pub(crate) fn with(
        endpoints: usize,
        options: impl FnOnce(Options) -> Options,
        endpoint: impl FnOnce(EndpointOptions) -> EndpointOptions,
    ) -> Self {
        #[allow(clippy::disallowed_methods, reason = "a beginning")]
        let now = Instant::now();
        let of_all = endpoint(EndpointOptions::default().subscriptions(Subscriptions::None));
        let of_link = options(Options::new("bench").max_endpoints(endpoints));
        let options = of_link.endpoint(of_all);
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

    /// The name of an endpoint, with a token of ten characters.
    pub(crate) fn name(n: usize) -> EndpointName {
        EndpointName::parse("demo-v1", &format!("{:07}-{:02}", n / 100, n % 100)).unwrap()
    }

    pub(crate) fn join(&mut self, name: EndpointName) {
        self.connection.add_endpoint(self.now, name).unwrap();
    }

    /// Lets an endpoint observe something.
    pub(crate) fn observe(&mut self, place: usize, observation: &Observation) {
        let key = self.endpoints[place];
        self.connection.observe(self.now, key, observation).unwrap();
    }

    /// Submits a sample of the next endpoint.
    pub(crate) fn submit_one(&mut self) -> RequestId {
        let endpoint = self.endpoints[self.next];
        self.next = (self.next + 1) % self.endpoints.len();
        let sample = Sample::new(&*self.sample);
        self.connection.submit(self.now, endpoint, &sample).unwrap()
    }

    /// Takes one of the first endpoint back.
    pub(crate) fn cancel(&mut self, id: RequestId) -> bool {
        let is_cancelled = self.connection.cancel(self.now, self.endpoints[0], id);
        while self.connection.poll_event().is_some() {}
        is_cancelled
    }

    pub(crate) fn lose_link(&mut self) {
        self.connection
            .handle_disconnected(self.now, self.link, LinkError::Eof);
    }

    /// Writes what there is to write now.
    pub(crate) fn settle_at_once(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// Writes until there is nothing more to write for now; what was written.
    pub(crate) fn settle(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..8 {
            self.write(&mut out);
            self.pass(Duration::from_millis(1));
        }
        out
    }

    /// So much time passes that no answer comes any more, and IDs still rest.
    pub(crate) fn pass_answer_time(&mut self) {
        let deadline = self.connection.endpoint(self.endpoints[0]);
        let deadline = deadline.and_then(|endpoint| endpoint.poll_timeout());
        self.now = deadline.unwrap_or(self.now).max(self.now);
        self.connection.handle_timeout(self.now);
        while self.connection.poll_event().is_some() {}
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.handle_timeout(self.now);
    }
}

impl Client for Gateway {
    fn submit(&mut self) {
        self.submit_one();
    }

    fn write(&mut self, out: &mut Vec<u8>) {
        let bytes = self.connection.poll_transmit(self.now, out);
        self.connection.handle_written(self.now, self.link, bytes);
    }

    fn read(&mut self, answers: &[u8]) -> usize {
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
