//! A life of a durable endpoint with something of everything, and the world at every point of it.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeSet;
use std::time::Instant;

use kaa_proto::commands::{CommandId, CommandResult};
use kaa_proto::endpoint::{
    CommandKey, Endpoint, EndpointOptions, Event, Message, Observation, Record, Subscriptions,
};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::request::{Request, RequestExt as _, RequestId, Resend};
use kaa_proto::telemetry::Sample;
use kaa_proto::{config, software};

use crate::clock::Clock;
use crate::endpoint_host::EndpointHost;

/// Of a durable endpoint.
#[must_use]
pub fn options() -> EndpointOptions {
    EndpointOptions::default()
        .subscriptions(Subscriptions::None)
        .durable(true)
}

/// A durable endpoint without a link.
///
/// # Panics
/// Never.
#[must_use]
pub fn offline() -> EndpointHost {
    EndpointHost::offline(options(), 1).unwrap()
}

/// A command of the type `reboot`.
///
/// # Panics
/// Never.
#[must_use]
pub fn key(id: i64) -> CommandKey {
    CommandKey::new(CommandType::new("reboot").unwrap(), CommandId::from(id))
}

/// The observation of the type `reboot`.
///
/// # Panics
/// Never.
#[must_use]
pub fn reboot() -> Observation {
    Observation::Commands(CommandType::new("reboot").unwrap())
}

/// A sample that may be sent again.
#[must_use]
pub fn kept(n: u32) -> impl Request {
    Sample::new(n).resend(Resend::AfterLinkLoss).durable()
}

/// A sample that may be sent only once.
#[must_use]
pub fn once(n: u32) -> impl Request {
    Sample::new(n).durable()
}

/// What has left an endpoint before its power went: a store, and what the world has seen.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The records that are stored.
    pub store: Vec<Record>,
    /// Payloads of published messages.
    pub sent: BTreeSet<String>,
    /// Requests whose end the application was told.
    pub told: BTreeSet<RequestId>,
    /// Commands that the application has read.
    pub read: BTreeSet<CommandKey>,
}

/// An endpoint whose power goes at every point at which something leaves it.
#[derive(Debug)]
pub struct Run {
    /// The endpoint.
    pub endpoint: Endpoint,
    clock: Clock,
    /// The world as it is.
    pub world: World,
    /// The world at each of these points.
    pub crashes: Vec<World>,
    /// The report of the applied configuration.
    pub applied: Option<RequestId>,
    /// The report of the current version.
    pub current: Option<RequestId>,
    /// The point at which its store fails.
    loses_at: Option<usize>,
}

impl Default for Run {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// An endpoint without a link.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn new() -> Self {
        let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
        let (endpoint, clock) = (Endpoint::new(name, options().into(), 1), Clock::new());
        let (world, crashes) = (World::default(), Vec::new());
        Self {
            endpoint,
            clock,
            world,
            crashes,
            applied: None,
            current: None,
            loses_at: None,
        }
    }

    /// The time it is.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Submits a request.
    ///
    /// # Panics
    /// It is refused.
    pub fn submit(&mut self, request: &impl Request) -> RequestId {
        let id = self.endpoint.submit(self.now(), request).unwrap();
        self.drain();
        id
    }

    /// A message arrives.
    ///
    /// # Panics
    /// The path has one level.
    pub fn receive(&mut self, path: &str, payload: &str) {
        let (extension, rest) = path.split_once('/').unwrap();
        let topic = format!("kp1/demo-v1/{extension}/JTjdbENzHh/{rest}");
        let _ = self
            .endpoint
            .handle_message(self.now(), &topic, payload.as_bytes());
        self.drain();
    }

    /// Takes all that the endpoint has to say.
    ///
    /// # Panics
    /// A payload is not UTF-8.
    pub fn drain(&mut self) {
        let now = self.now();
        self.point();
        loop {
            if let Some(record) = self.endpoint.poll_record() {
                self.world.store.push(record);
                self.endpoint.handle_stored(now, 1);
            } else if let Some(message) = self.endpoint.poll_message(now) {
                let Message { payload, .. } = message;
                self.world
                    .sent
                    .insert(String::from_utf8(payload.to_vec()).unwrap());
            } else if let Some(event) = self.endpoint.poll_event() {
                if let Event::Completed { id, .. } = event {
                    self.world.told.insert(id);
                }
            } else if let Some(command) = self.endpoint.poll_command(|_| true) {
                self.world.read.insert(CommandKey::from(&command));
            } else {
                return;
            }
            self.point();
        }
    }

    fn point(&mut self) {
        self.crashes.push(self.world.clone());
        if self.loses_at == Some(self.crashes.len()) {
            self.endpoint.handle_store_lost(self.now());
        }
    }
}

/// A life with something of everything that is durable. Commands 1 and 2 are surfaced, 1 is
/// answered.
///
/// # Panics
/// The endpoint refuses something.
#[must_use]
pub fn life() -> Run {
    live(Run::new())
}

/// As [`life`], of an endpoint whose store fails at this point.
///
/// # Panics
/// As [`life`].
#[must_use]
pub fn life_without_store_from(point: usize) -> Run {
    let mut run = Run::new();
    run.loses_at = Some(point);
    live(run)
}

fn live(mut run: Run) -> Run {
    run.endpoint.handle_link_up(run.now());
    run.endpoint.observe(run.now(), &reboot()).unwrap();
    run.submit(&kept(1));
    run.submit(&once(2));
    run.receive("dcx/json/1/status", "");
    run.receive("cex/command/reboot/1/status", r#"[{"id":1},{"id":2}]"#);
    let now = run.now();
    run.endpoint
        .respond(now, &key(1), CommandResult::ok())
        .unwrap();
    run.drain();
    run.receive("cex/result/reboot/2/status", "");
    run.applied = Some(run.submit(&config::Applied::new("a")));
    run.receive("cmx/applied/json/1/status", "");
    run.current = Some(run.submit(&software::ReportCurrent::new("1.0.0")));
    run.receive("cmx_ota/applied/json/1/status", "");
    run.endpoint.handle_link_down(now);
    run.submit(&once(3));
    run.submit(&kept(4));
    run.endpoint.handle_link_up(now);
    run.drain();
    run
}

/// What a store gives back of what was put into it.
///
/// # Panics
/// A record cannot be read back.
#[must_use]
pub fn stored(records: &[Record]) -> Vec<Record> {
    let lines = records.iter().map(Record::to_json);
    lines
        .map(|line| Record::from_json(&line).unwrap())
        .collect()
}
