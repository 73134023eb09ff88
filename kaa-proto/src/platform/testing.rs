//! A platform on a bench: a link, a clock, and what came out.

use std::time::{Duration, Instant};

use super::fixture::Fixture;
use super::operator::Snapshot;
use super::options::{LinkId, PlatformOptions};
use super::platform::{Delivery, Platform};
use super::{Fault, Recipients};
use crate::names::{CommandType, EndpointName};
use crate::qos::QoS;

pub(super) const LINK: LinkId = LinkId::new(1);

pub(super) struct Bench {
    pub(super) platform: Platform,
    now: Instant,
    /// The lines of all events so far.
    lines: Vec<String>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    pub(super) fn with(switches: &[(&str, &str)]) -> Self {
        Self::build(None, switches)
    }

    pub(super) fn with_fixture(fixture: &str, switches: &[(&str, &str)]) -> Self {
        Self::build(Some(Fixture::parse(fixture).unwrap()), switches)
    }

    pub(super) const fn now(&self) -> Instant {
        self.now
    }

    pub(super) fn publish(&mut self, topic: &str, payload: &str) {
        self.publish_on(LINK, topic, payload);
    }

    pub(super) fn publish_on(&mut self, link: LinkId, topic: &str, payload: &str) {
        let payload = payload.as_bytes();
        self.platform
            .handle_message(self.now, link, topic, payload, QoS::AtLeastOnce);
    }

    /// The next delivery, which there must be.
    pub(super) fn delivery(&mut self) -> Delivery {
        self.platform.poll_delivery().expect("nothing is delivered")
    }

    /// Topic and payload of the only delivery.
    pub(super) fn answer(&mut self) -> (String, String) {
        let Delivery { topic, payload, .. } = self.delivery();
        let more = self.platform.poll_delivery();
        assert_eq!(more, None, "more than one delivery");
        (topic, String::from_utf8(payload).unwrap())
    }

    /// Topics and payloads of all deliveries.
    pub(super) fn drain(&mut self) -> Vec<(String, String)> {
        std::iter::from_fn(|| self.platform.poll_delivery())
            .map(|d| (d.topic, String::from_utf8(d.payload).unwrap()))
            .collect()
    }

    pub(super) fn recipients(&mut self) -> Recipients {
        self.delivery().recipients
    }

    pub(super) fn is_silent(&mut self) -> bool {
        self.drain().is_empty()
    }

    /// Whether an event so far reads like this.
    pub(super) fn saw(&mut self, line: &str) -> bool {
        while let Some(event) = self.platform.poll_event() {
            self.lines.push(event.to_string());
        }
        self.lines.iter().any(|l| l.contains(line))
    }

    /// Steps from deadline to deadline, each of which must be kept.
    pub(super) fn advance(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.platform.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.platform.handle_timeout(self.now);
            let next = self.platform.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "poll_timeout lies");
        }
        self.now = end;
        self.platform.handle_timeout(end);
    }

    pub(super) fn fault(&mut self, words: &str) {
        let words: Vec<_> = words.split_whitespace().collect();
        self.platform.fault(self.now, Fault::parse(&words).unwrap());
    }

    pub(super) fn command(
        &mut self,
        name: &EndpointName,
        of_type: &str,
        payload: Option<&str>,
    ) -> i64 {
        let payload = payload.map(|json| serde_json::from_str(json).unwrap());
        let of_type = CommandType::new(of_type).unwrap();
        self.platform
            .command(self.now, name, &of_type, payload)
            .unwrap()
    }

    pub(super) fn snapshot(&self, version: &str, token: &str) -> Snapshot {
        let name = EndpointName::parse(version, token).unwrap();
        self.platform.state(&name).unwrap()
    }

    fn build(fixture: Option<Fixture>, switches: &[(&str, &str)]) -> Self {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut options = PlatformOptions {
            fixture,
            ..PlatformOptions::default()
        };
        for (name, value) in switches {
            options.switches.set(name, value).unwrap();
        }
        let mut platform = Platform::new(options, 7);
        platform.handle_link_opened(now, LINK);
        Self {
            platform,
            now,
            lines: Vec::new(),
        }
    }
}
