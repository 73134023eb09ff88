//! A host for one `Endpoint`: it stands for the MQTT client, drains what the endpoint says, and
//! checks the endpoint's contract after every step.
//!
//! The endpoint is `demo-v1` / `JTjdbENzHh`. Paths are topics without these two and without the
//! prefix: `dcx/json/1/status` is `kp1/demo-v1/dcx/JTjdbENzHh/json/1/status`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kaa_proto::QoS;
use kaa_proto::endpoint::{
    CommandKey, Disposition, Endpoint, EndpointOptions, Event, Filter, FilterOutcome, Message,
    MessageKey, Observation, Record, Recovered, Statistics, Stored, Unfinished,
};
use kaa_proto::names::{EndpointName, NameError};
use kaa_proto::request::{Outcome, Request, RequestId, SubmitError};

use crate::clock::Clock;

/// What the host does with subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribing {
    /// Grants each at once.
    Grant,
    /// Refuses each at once.
    Refuse,
    /// Never answers.
    Ignore,
}

/// A message that the endpoint gave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its key.
    pub key: MessageKey,
    /// The whole topic.
    pub topic: String,
    /// The topic as a path, see the [module](self).
    pub path: String,
    /// The payload; what is not UTF-8 is replaced.
    pub payload: String,
    /// Its quality of service.
    pub qos: QoS,
}

/// A host of one endpoint.
#[derive(Debug)]
pub struct EndpointHost {
    /// The endpoint, for what the host has no method for. Call [`drain`](Self::drain) afterwards.
    pub endpoint: Endpoint,
    /// The time.
    pub clock: Clock,
    /// What becomes of subscriptions.
    pub subscribing: Subscribing,
    /// While set, messages stay in the endpoint.
    pub is_busy: bool,
    /// All filters so far, as `+path` and `-path`.
    pub filters: Vec<String>,
    /// All records so far, in their order.
    pub records: Vec<Record>,
    /// The messages since the last [`take_sent`](Self::take_sent).
    sent: Vec<Published>,
    /// The events since the last [`take_events`](Self::take_events), but completions.
    events: Vec<Event>,
    /// How each request ended, by its number in this run.
    outcomes: BTreeMap<RequestId, Outcome>,
    /// How each request of an earlier run ended, by its number.
    restored: BTreeMap<RequestId, Outcome>,
    /// Taken and not ended.
    open: BTreeSet<RequestId>,
    /// How many restored requests have not ended.
    restored_open: u64,
    /// Extension and wire ID of each message of an open request.
    wire_ids: BTreeMap<RequestId, (String, u32)>,
    /// Extension and wire ID of each observation, by resource.
    observed_ids: BTreeMap<String, (String, u32)>,
}

impl EndpointHost {
    /// A host without a link.
    ///
    /// # Errors
    /// Never; the name is valid.
    pub fn offline(options: EndpointOptions, seed: u64) -> Result<Self, NameError> {
        let name = EndpointName::parse("demo-v1", "JTjdbENzHh")?;
        Ok(Self {
            endpoint: Endpoint::new(name, options.into(), seed),
            clock: Clock::new(),
            subscribing: Subscribing::Grant,
            is_busy: false,
            filters: Vec::new(),
            records: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            outcomes: BTreeMap::new(),
            restored: BTreeMap::new(),
            open: BTreeSet::new(),
            restored_open: 0,
            wire_ids: BTreeMap::new(),
            observed_ids: BTreeMap::new(),
        })
    }

    /// A host with a link.
    ///
    /// # Errors
    /// Never; the name is valid.
    pub fn online(options: EndpointOptions, seed: u64) -> Result<Self, NameError> {
        let mut host = Self::offline(options, seed)?;
        host.link_up();
        Ok(host)
    }

    /// The time it is.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The endpoint's counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.endpoint.statistics()
    }

    /// Submits a request.
    ///
    /// # Errors
    /// The endpoint's.
    pub fn submit<R: Request + ?Sized>(&mut self, request: &R) -> Result<RequestId, SubmitError> {
        let result = self.endpoint.submit(self.now(), request);
        self.accept(&result);
        result
    }

    /// Answers a command.
    ///
    /// # Errors
    /// The endpoint's.
    pub fn respond(
        &mut self,
        command: &CommandKey,
        result: kaa_proto::commands::CommandResult,
    ) -> Result<RequestId, SubmitError> {
        let result = self.endpoint.respond(self.now(), command, result);
        self.accept(&result);
        result
    }

    fn accept(&mut self, result: &Result<RequestId, SubmitError>) {
        if let Ok(id) = result {
            assert!(self.open.insert(*id), "{id:?} was given twice");
        }
        self.drain();
    }

    /// Observes something.
    ///
    /// # Errors
    /// The endpoint's.
    pub fn observe(&mut self, observation: &Observation) -> Result<(), SubmitError> {
        let result = self.endpoint.observe(self.now(), observation);
        self.drain();
        result
    }

    /// Takes an observation back.
    pub fn unobserve(&mut self, observation: &Observation) -> bool {
        let stood = self.endpoint.unobserve(self.now(), observation);
        if let Some(resource) = resource(observation) {
            self.observed_ids.remove(&resource);
        }
        self.drain();
        stood
    }

    /// Cancels a request.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let taken = self.endpoint.cancel(self.now(), id);
        self.drain();
        taken
    }

    /// Takes the records of an earlier run.
    pub fn restore<S: Into<Stored>>(&mut self, records: impl IntoIterator<Item = S>) {
        self.endpoint.restore(self.now(), records);
        self.restored_open = self.statistics().submitted - self.statistics().ended();
        self.drain();
    }

    /// What an earlier run left behind.
    pub fn take_recovered(&mut self) -> Recovered {
        let recovered = self.endpoint.take_recovered(self.now());
        self.drain();
        recovered.unwrap_or_default()
    }

    /// The link is up.
    pub fn link_up(&mut self) {
        self.endpoint.handle_link_up(self.now());
        self.drain();
    }

    /// The link is lost.
    pub fn link_down(&mut self) {
        self.endpoint.handle_link_down(self.now());
        self.drain();
    }

    /// The link is lost, and there is a new one.
    pub fn relink(&mut self) {
        self.link_down();
        self.link_up();
    }

    /// PUBACK came.
    pub fn acknowledge(&mut self, key: MessageKey) {
        self.endpoint.handle_acknowledged(self.now(), key);
        self.drain();
    }

    /// Closes the endpoint.
    pub fn close(&mut self) -> Vec<Unfinished> {
        let unfinished = self.endpoint.close(self.now());
        self.drain();
        unfinished
    }

    /// A message arrives on a path, see the [module](self).
    pub fn receive(&mut self, path: &str, payload: &str) {
        let (extension, rest) = path.split_once('/').unwrap_or((path, ""));
        let topic = format!("kp1/demo-v1/{extension}/JTjdbENzHh/{rest}");
        let disposition = self.receive_raw(&topic, payload.as_bytes());
        assert_eq!(disposition, Disposition::Taken, "{path}");
    }

    /// A message arrives.
    pub fn receive_raw(&mut self, topic: &str, payload: &[u8]) -> Disposition {
        let disposition = self.endpoint.handle_message(self.now(), topic, payload);
        self.drain();
        disposition
    }

    /// Lets time pass, and wakes the endpoint whenever it asked to be woken.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now() + by;
        while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= until) {
            self.clock.advance_to(due);
            self.endpoint.handle_timeout(self.now());
            self.drain();
        }
        self.clock.advance_to(until);
        self.drain();
    }

    /// The messages since the last call.
    pub fn take_sent(&mut self) -> Vec<Published> {
        std::mem::take(&mut self.sent)
    }

    /// The paths of the messages since the last call.
    pub fn take_paths(&mut self) -> Vec<String> {
        self.take_sent()
            .into_iter()
            .map(|message| message.path)
            .collect()
    }

    /// Path and payload of the messages since the last call, with a space between.
    pub fn take_lines(&mut self) -> Vec<String> {
        let line = |message: Published| format!("{} {}", message.path, message.payload);
        self.take_sent().into_iter().map(line).collect()
    }

    /// The events since the last call, but completions.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// How a request ended, if it did.
    #[must_use]
    pub fn outcome(&self, id: RequestId) -> Option<&Outcome> {
        self.outcomes.get(&id)
    }

    /// How each restored request ended, by its number.
    #[must_use]
    pub const fn restored_outcomes(&self) -> &BTreeMap<RequestId, Outcome> {
        &self.restored
    }

    /// Takes all that the endpoint has to say, then checks its contract.
    pub fn drain(&mut self) {
        while self.drain_once() {}
        self.check();
    }

    /// One round; whether there was anything.
    fn drain_once(&mut self) -> bool {
        let now = self.now();
        let mut any = false;
        while let Some(record) = self.endpoint.poll_record() {
            self.records.push(record);
            any = true;
        }
        self.endpoint
            .handle_stored(now, self.endpoint.unstored_len());
        // Before the messages: an ID is in use until the end of its request is known.
        while let Some(event) = self.endpoint.poll_event() {
            self.handle_event(event);
            any = true;
        }
        while let Some(filter) = self.endpoint.poll_filter(now) {
            self.handle_filter(&filter);
            any = true;
        }
        while let Some(message) = (!self.is_busy)
            .then(|| self.endpoint.poll_message(now))
            .flatten()
        {
            self.handle_message(&message);
            any = true;
        }
        any
    }

    fn handle_filter(&mut self, filter: &Filter) {
        let filter = match filter {
            Filter::Unsubscribe(filter) => {
                self.filters.push(format!("-{}", path(filter)));
                return;
            }
            Filter::Subscribe(filter) => filter,
        };
        self.filters.push(format!("+{}", path(filter)));
        let outcome = match self.subscribing {
            Subscribing::Grant => FilterOutcome::Granted,
            Subscribing::Refuse => FilterOutcome::Refused,
            Subscribing::Ignore => return,
        };
        self.endpoint.handle_filter(self.now(), filter, outcome);
    }

    fn handle_message(&mut self, message: &Message) {
        let path = path(&message.topic);
        let payload = String::from_utf8_lossy(&message.payload).into_owned();
        self.check_wire_id(message.key.request(), &path, &payload);
        self.sent.push(Published {
            key: message.key,
            topic: message.topic.clone(),
            path,
            payload,
            qos: message.qos,
        });
    }

    /// Wire IDs are never 0, and never in use twice within an extension instance.
    fn check_wire_id(&mut self, id: RequestId, path: &str, payload: &str) {
        let (resource, last) = path.rsplit_once('/').unwrap_or((path, ""));
        let Ok(wire_id) = last.parse::<u32>() else {
            return;
        };
        assert_ne!(wire_id, 0, "{path}");
        let extension = path.split('/').next().unwrap_or_default();
        let used = (extension.to_owned(), wire_id);
        let mut others = self.wire_ids.iter().filter(|(other, _)| **other != id);
        assert!(others.all(|(_, other)| *other != used), "{path} is in use");
        let mut observed = self.observed_ids.iter();
        assert!(
            observed.all(|(other, taken)| other == resource || *taken != used),
            "{path} is observed"
        );
        if payload.contains("\"observe\":true") {
            self.observed_ids.insert(resource.to_owned(), used);
        } else if self.open.contains(&id) {
            self.wire_ids.insert(id, used);
        }
    }

    fn handle_event(&mut self, event: Event) {
        #[allow(
            clippy::wildcard_enum_match_arm,
            reason = "all others are kept as they are"
        )]
        match event {
            Event::Completed { id, outcome } => {
                assert!(
                    self.open.remove(&id),
                    "{id:?} ended twice or was never taken"
                );
                self.wire_ids.remove(&id);
                self.outcomes.insert(id, outcome);
            }
            Event::RestoredCompleted { id, outcome } => {
                let before = self.restored.insert(id, outcome);
                assert!(
                    before.is_none() && self.restored_open > 0,
                    "{id:?} ended twice"
                );
                self.restored_open -= 1;
            }
            other => self.events.push(other),
        }
    }

    /// The contract that holds after every step.
    fn check(&mut self) {
        let now = self.now();
        self.endpoint.handle_timeout(now);
        while self.drain_once() {}
        let (next, seen) = (self.endpoint.poll_timeout(), self.statistics());
        assert!(next.is_none_or(|next| next > now), "poll_timeout lies");
        self.endpoint.handle_timeout(now);
        assert!(!self.drain_once(), "a second handle_timeout did something");
        assert_eq!(self.endpoint.poll_timeout(), next);
        assert_eq!(self.statistics(), seen);

        let open = self.open.len() as u64 + self.restored_open;
        assert_eq!(seen.submitted - seen.ended(), open, "the account is wrong");
        let held = self.endpoint.queue_len() + self.endpoint.in_flight_len();
        assert!(
            open <= held as u64,
            "{open} requests are open, {held} are held"
        );
        assert_eq!(self.endpoint.is_idle(), held == 0);
    }
}

/// The path that an observation asks for, without its request ID.
fn resource(observation: &Observation) -> Option<String> {
    #[allow(clippy::wildcard_enum_match_arm, reason = "kinds may be added")]
    match observation {
        Observation::Commands(command_type) => Some(format!("cex/command/{command_type}")),
        Observation::Configuration(None) => Some(String::from("cmx/config/json")),
        Observation::Configuration(Some(name)) => Some(format!("cmx/config/json/{name}")),
        Observation::Software => Some(String::from("cmx_ota/config/json")),
        _ => None,
    }
}

/// A topic or a filter without prefix, application version and token.
fn path(topic: &str) -> String {
    let mut levels = topic.split('/').skip(2);
    let extension = levels.next().unwrap_or_default();
    let rest: Vec<_> = levels.skip(1).collect();
    std::iter::once(extension)
        .chain(rest)
        .collect::<Vec<_>>()
        .join("/")
}
