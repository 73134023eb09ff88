//! An endpoint and a platform over topics and payloads, on a simulated clock. The contract of the
//! endpoint is checked after every step by its host.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kaa_proto::commands::{Command, CommandResult};
use kaa_proto::endpoint::{
    CommandKey, EndpointOptions, Event, MessageKey, Observation, Statistics,
};
use kaa_proto::names::ConfigName;
use kaa_proto::platform::{self, Delivery, LinkId, Platform, PlatformOptions};
use kaa_proto::request::{Outcome, Request, RequestId, SubmitError};
use kaa_proto::{QoS, config, software};

use crate::device::Device;
use crate::endpoint_host::{EndpointHost, Published};
use crate::sniffer::Seen;
use crate::wire_ids::WireIds;

/// How long a message takes, one way.
const LATENCY: Duration = Duration::from_millis(10);

/// How long it takes to connect again.
const RECONNECT: Duration = Duration::from_secs(1);

/// What is on its way.
#[derive(Debug)]
enum Moving {
    /// To the platform.
    Request(Published),
    /// To the endpoint.
    Answer(String, Vec<u8>),
    /// To the endpoint.
    Ack(MessageKey),
}

/// An endpoint and a platform.
#[derive(Debug)]
pub struct PairA {
    /// The endpoint.
    pub host: EndpointHost,
    /// The platform.
    platform: Platform,
    /// The link, if there is one.
    link: Option<LinkId>,
    /// How many there were.
    links: u64,
    /// When the link comes back.
    back_at: Option<Instant>,
    /// What is on its way, and when it arrives.
    moving: VecDeque<(Instant, Moving)>,
    wire_ids: WireIds,
    seen: Vec<Seen>,
    log: Vec<platform::Event>,
}

impl PairA {
    /// A pair with the default options that has connected.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn online() -> Self {
        Self::online_with(PlatformOptions::default(), EndpointOptions::default())
    }

    /// A pair that has connected.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn online_with(platform: PlatformOptions, options: EndpointOptions) -> Self {
        let Ok(host) = EndpointHost::offline(options, 1) else {
            panic!("the name is valid");
        };
        let mut pair = Self {
            host,
            platform: Platform::new(platform, 1),
            link: None,
            links: 0,
            back_at: None,
            moving: VecDeque::new(),
            wire_ids: WireIds::new(Duration::from_secs(30)),
            seen: Vec::new(),
            log: Vec::new(),
        };
        pair.connect();
        pair
    }

    /// The link is lost; it comes back after a second.
    pub fn cut(&mut self) {
        let now = self.now();
        if let Some(link) = self.link.take() {
            self.platform.handle_link_closed(now, link);
            self.moving.clear();
            self.back_at = Some(now + RECONNECT);
            self.host.link_down();
        }
    }

    fn connect(&mut self) {
        self.links += 1;
        self.back_at = None;
        let link = LinkId::new(self.links);
        self.link = Some(link);
        self.platform.handle_link_opened(self.host.now(), link);
        self.host.link_up();
        self.settle();
    }

    /// Does all that can be done without time passing.
    fn settle(&mut self) {
        let now = self.host.now();
        self.host.drain();
        for published in self.host.take_sent() {
            if self.link.is_some() {
                self.moving
                    .push_back((now + LATENCY, Moving::Request(published)));
            }
        }
        while let Some(delivery) = self.platform.poll_delivery() {
            if self.gets(&delivery) {
                let answer = Moving::Answer(delivery.topic, delivery.payload);
                self.moving.push_back((now + LATENCY, answer));
            }
        }
        while let Some(link) = self.platform.poll_hang_up() {
            if self.link == Some(link) {
                self.cut();
            }
        }
        while let Some(event) = self.platform.poll_event() {
            self.log.push(event);
        }
    }

    /// Whether a delivery is for our link.
    fn gets(&self, delivery: &Delivery) -> bool {
        let Some(link) = self.link else {
            return false;
        };
        let levels: Vec<_> = delivery.topic.split('/').collect();
        let path = [&levels[2..3], &levels[4..]].concat();
        let matches = |filter: &String| {
            let filter = filter.strip_prefix('+').unwrap_or("");
            let filter: Vec<_> = filter.split('/').collect();
            match filter.strip_suffix(&["#"]) {
                Some(start) => path.starts_with(start),
                None => {
                    let same = |(a, b): (&&str, &&str)| *a == "+" || a == b;
                    filter.len() == path.len() && filter.iter().zip(&path).all(same)
                }
            }
        };
        let recipients = delivery.recipients;
        recipients.link == Some(link)
            || recipients.subscribers && self.host.filters.iter().any(matches)
    }

    fn arrive(&mut self, moving: Moving) {
        let now = self.host.now();
        match moving {
            Moving::Ack(key) => self.host.acknowledge(key),
            Moving::Answer(topic, payload) => {
                self.wire_ids.handle_answer(&topic);
                let _ = self.host.receive_raw(&topic, &payload);
            }
            Moving::Request(published) => {
                let Some(link) = self.link else {
                    return;
                };
                let seen = Seen {
                    topic: published.topic,
                    payload: published.payload.into_bytes(),
                    qos: published.qos as u8,
                };
                let links = usize::try_from(self.links).unwrap_or_default();
                self.wire_ids.check(now, links, &seen);
                let (topic, payload) = (&seen.topic, &seen.payload);
                self.platform
                    .handle_message(now, link, topic, payload, published.qos);
                if published.qos == QoS::AtLeastOnce {
                    let ack = Moving::Ack(published.key);
                    self.moving.push_back((now + LATENCY, ack));
                }
                self.seen.push(seen);
            }
        }
        self.settle();
    }
}

impl Device for PairA {
    fn now(&self) -> Instant {
        self.host.now()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        loop {
            let deadlines = [
                self.host.endpoint.poll_timeout(),
                self.platform.poll_timeout(),
                self.back_at,
                self.moving.front().map(|(at, _)| *at),
            ];
            let next = deadlines.into_iter().flatten().min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            self.host.clock.advance_to(at);
            let now = self.now();
            self.host.endpoint.handle_timeout(now);
            self.platform.handle_timeout(now);
            if self.back_at.is_some_and(|at| at <= now) {
                self.connect();
            }
            self.settle();
            if self.moving.front().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, moving)) = self.moving.pop_front() {
                    self.arrive(moving);
                }
            }
        }
        self.host.clock.advance_to(end);
        self.settle();
    }

    fn submit<R: Request>(&mut self, request: &R) -> Result<RequestId, SubmitError> {
        let result = self.host.submit(request);
        self.settle();
        result
    }

    fn outcome(&self, id: RequestId) -> Option<&Outcome> {
        self.host.outcome(id)
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), SubmitError> {
        let result = self.host.observe(observation);
        self.settle();
        result
    }

    fn observe_software(&mut self, current: &str) -> Result<(), SubmitError> {
        let now = self.now();
        let result = self.host.endpoint.observe_software(now, current);
        self.settle();
        result
    }

    fn unobserve(&mut self, observation: &Observation) -> bool {
        let stood = self.host.unobserve(observation);
        self.settle();
        stood
    }

    fn poll_command(&mut self) -> Option<Command> {
        let command = self.host.endpoint.poll_command(|_| true);
        self.settle();
        command
    }

    fn poll_configuration(&mut self, name: Option<&ConfigName>) -> Option<config::Answer> {
        self.host.endpoint.poll_configuration(name)
    }

    fn poll_software(&mut self) -> Option<software::Answer> {
        self.host.endpoint.poll_software()
    }

    fn respond(
        &mut self,
        command: &CommandKey,
        result: CommandResult,
    ) -> Result<RequestId, SubmitError> {
        let result = self.host.respond(command, result);
        self.settle();
        result
    }

    fn statistics(&self) -> Statistics {
        self.host.statistics()
    }

    fn take_events(&mut self) -> Vec<Event> {
        self.host.take_events()
    }

    fn take_seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    fn take_log(&mut self) -> Vec<platform::Event> {
        self.settle();
        std::mem::take(&mut self.log)
    }

    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn operate<T>(&mut self, verb: impl FnOnce(&mut Platform, Instant) -> T) -> T {
        let now = self.now();
        let result = verb(&mut self.platform, now);
        self.settle();
        result
    }
}
