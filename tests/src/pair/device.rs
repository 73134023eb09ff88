//! A pair as a device with its platform.

use std::time::{Duration, Instant};

use kaa_proto::commands::{Command, CommandResult};
use kaa_proto::endpoint::{self, CommandKey, Observation, Statistics};
use kaa_proto::names::ConfigName;
use kaa_proto::platform::{self, Platform};
use kaa_proto::request::{Outcome, Request, RequestId, SubmitError};
use kaa_proto::{config, software};

use super::Pair;
use crate::device::Device;
use crate::sniffer::Seen;

impl Device for Pair {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        let mut steps = 0;
        while let Some(at) = self.next_instant().filter(|at| *at <= end) {
            // What is due now and stays due would be a loop.
            steps = if at > self.now() { 0 } else { steps + 1 };
            assert!(steps < 1_000, "time does not pass");
            self.clock.advance_to(at);
            let now = self.now();
            self.connection.handle_timeout(now);
            self.server.handle_timeout(now);
            let next = self.server.poll_timeout();
            assert!(next.is_none_or(|next| next > now), "the platform's lies");
            self.settle();
        }
        self.clock.advance_to(end);
        self.settle();
    }

    fn submit<R: Request>(&mut self, request: &R) -> Result<RequestId, SubmitError> {
        self.submit_of(self.key, request)
    }

    fn outcome(&self, id: RequestId) -> Option<&Outcome> {
        self.outcome_of(self.key, id)
    }

    fn observe(&mut self, observation: &Observation) -> Result<(), SubmitError> {
        let now = self.now();
        let result = self.connection.observe(now, self.key, observation);
        self.settle();
        result
    }

    fn observe_software(&mut self, current: &str) -> Result<(), SubmitError> {
        let now = self.now();
        let result = self.connection.observe_software(now, self.key, current);
        self.settle();
        result
    }

    fn unobserve(&mut self, observation: &Observation) -> bool {
        let now = self.now();
        let stood = self.connection.unobserve(now, self.key, observation);
        self.settle();
        stood
    }

    fn poll_command(&mut self) -> Option<Command> {
        let command = self.connection.poll_command(self.key, |_| true);
        self.settle();
        command
    }

    fn poll_configuration(&mut self, name: Option<&ConfigName>) -> Option<config::Answer> {
        self.connection.poll_configuration(self.key, name)
    }

    fn poll_software(&mut self) -> Option<software::Answer> {
        self.connection.poll_software(self.key)
    }

    fn respond(
        &mut self,
        command: &CommandKey,
        result: CommandResult,
    ) -> Result<RequestId, SubmitError> {
        let now = self.now();
        let result = self.connection.respond(now, self.key, command, result);
        self.accept(self.key, result)
    }

    fn statistics(&self) -> Statistics {
        let endpoint = self.connection.endpoint(self.key);
        endpoint.map_or_else(Statistics::default, |endpoint| endpoint.statistics())
    }

    fn take_events(&mut self) -> Vec<endpoint::Event> {
        let events = std::mem::take(&mut self.events).into_iter();
        events.map(|(_, event)| event).collect()
    }

    fn take_seen(&mut self) -> Vec<Seen> {
        let seen = self.take_seen_at().into_iter();
        seen.map(|(_, seen)| seen).collect()
    }

    fn take_log(&mut self) -> Vec<platform::Event> {
        self.collect();
        std::mem::take(&mut self.log)
    }

    fn platform(&self) -> &Platform {
        self.server.platform()
    }

    fn operate<T>(&mut self, verb: impl FnOnce(&mut Platform, Instant) -> T) -> T {
        let now = self.now();
        let result = self.server.operate(now, |platform| verb(platform, now));
        self.settle();
        result
    }
}
