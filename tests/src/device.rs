//! What a scenario needs of a device and its platform, whichever way they are wired.

use std::time::{Duration, Instant};

use kaa_proto::commands::{Command, CommandResult};
use kaa_proto::endpoint::{CommandKey, Event, Observation, Statistics};
use kaa_proto::names::{ConfigName, EndpointName};
use kaa_proto::platform::{self, Fault, Platform, Snapshot};
use kaa_proto::request::{Failure, Outcome, Request, RequestId, SubmitError};
use kaa_proto::{config, software};

use crate::sniffer::Seen;

/// One device, `demo-v1` / `JTjdbENzHh`, and its platform.
pub trait Device {
    /// The time it is.
    fn now(&self) -> Instant;
    /// Lets time pass.
    fn pass(&mut self, time: Duration);
    /// Submits a request.
    ///
    /// # Errors
    /// The device's.
    fn submit<R: Request>(&mut self, request: &R) -> Result<RequestId, SubmitError>;
    /// How a request ended, if it did.
    fn outcome(&self, id: RequestId) -> Option<&Outcome>;
    /// Observes something.
    ///
    /// # Errors
    /// The device's.
    fn observe(&mut self, observation: &Observation) -> Result<(), SubmitError>;
    /// Observes software, running this version.
    ///
    /// # Errors
    /// The device's.
    fn observe_software(&mut self, current: &str) -> Result<(), SubmitError>;
    /// Takes an observation back.
    fn unobserve(&mut self, observation: &Observation) -> bool;
    /// The next command to be read.
    fn poll_command(&mut self) -> Option<Command>;
    /// The configuration to be read.
    fn poll_configuration(&mut self, name: Option<&ConfigName>) -> Option<config::Answer>;
    /// The software update to be read.
    fn poll_software(&mut self) -> Option<software::Answer>;
    /// Answers a command.
    ///
    /// # Errors
    /// The device's.
    fn respond(
        &mut self,
        command: &CommandKey,
        result: CommandResult,
    ) -> Result<RequestId, SubmitError>;
    /// The counters of the endpoint.
    fn statistics(&self) -> Statistics;
    /// The events of the endpoint since the last call, but completions.
    fn take_events(&mut self) -> Vec<Event>;
    /// The messages that reached the platform since the last call.
    fn take_seen(&mut self) -> Vec<Seen>;
    /// What the platform noted since the last call.
    fn take_log(&mut self) -> Vec<platform::Event>;
    /// The platform, to look at.
    fn platform(&self) -> &Platform;
    /// Lets an operator act.
    fn operate<T>(&mut self, verb: impl FnOnce(&mut Platform, Instant) -> T) -> T;

    /// Submits a request, lets time pass until it ends, up to a quarter of an hour, and decodes.
    ///
    /// # Errors
    /// How it ended otherwise.
    ///
    /// # Panics
    /// If it was not taken, or has not ended.
    fn ask<R: Request>(&mut self, request: &R) -> Result<R::Response, Failure> {
        let id = match self.submit(request) {
            Ok(id) => id,
            Err(error) => panic!("not taken: {error}"),
        };
        for _ in 0..9_000 {
            if let Some(outcome) = self.outcome(id) {
                let reply = outcome.as_ref().map_err(Clone::clone)?;
                return Ok(R::decode(reply)?);
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("{id:?} has not ended");
    }

    /// Sets a fault, in the words of [`Fault::parse`].
    ///
    /// # Panics
    /// If there is no such fault.
    fn fault(&mut self, words: &str) {
        let words: Vec<_> = words.split(' ').collect();
        match Fault::parse(&words) {
            Ok(fault) => self.operate(|platform, now| platform.fault(now, fault)),
            Err(error) => panic!("{error}"),
        }
    }

    /// What the platform knows of the device.
    fn snapshot(&self) -> Option<Snapshot> {
        let name = name().ok()?;
        self.platform().state(&name)
    }

    /// What the platform noted since the last call: the names of the kinds.
    fn take_log_names(&mut self) -> Vec<&'static str> {
        self.take_log()
            .iter()
            .map(|event| event.kind.name())
            .collect()
    }
}

/// The name of the device.
///
/// # Errors
/// Never; it is valid.
pub fn name() -> Result<EndpointName, kaa_proto::names::NameError> {
    EndpointName::parse("demo-v1", "JTjdbENzHh")
}
