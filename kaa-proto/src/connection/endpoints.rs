//! The endpoints of a connection: adding, removing, and what applications ask of them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::changes::Totals;
use super::event::Event;
use super::options::MAX_PUBLISH_OVERHEAD;
use super::slab::EndpointKey;
use super::wakeups::Wakeup;
use super::{Connection, Deadline, trace};
use crate::QoS;
use crate::commands::{Command, CommandResult};
use crate::endpoint::{
    CommandKey, Endpoint, EndpointOptions, Filter, Observation, Recovered, Stored,
};
use crate::names::{CommandType, ConfigName, EndpointName};
use crate::request::{Class, Offline, Prepared, Request, RequestId, SubmitError};
use crate::timers::later;
use crate::topic::MAX_TOPIC_LEN;
use crate::{config, software};

/// An endpoint, and what the connection keeps beside it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) endpoint: Endpoint,
    /// Whether it was told of the link.
    pub(super) is_up: bool,
    /// Whether it stands in `filtering`.
    pub(super) is_filtering: bool,
    /// Whether it stands in `eventful`.
    pub(super) is_eventful: bool,
    /// Whether it stands in `recording`.
    pub(super) is_recording: bool,
    /// Whether it is to be removed when it is idle.
    pub(super) is_leaving: bool,
    /// Whether it stands in `changed`.
    pub(super) is_changed: bool,
    /// When it has something to do.
    pub(super) wakeup: Wakeup,
    /// Its part of the totals.
    pub(super) counted: Totals,
}

impl Slot {
    /// Whether its endpoint would say something now if it might.
    pub(super) fn has_words(&self) -> bool {
        let endpoint = &self.endpoint;
        endpoint.queue_len() > 0 || endpoint.has_filters() || endpoint.has_to_observe()
    }

    /// Whether its endpoint leaves records.
    pub(super) fn is_durable(&self) -> bool {
        self.endpoint.options().leaves_records()
    }
}

/// How an endpoint leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// When its requests have ended, or after this time: what is left then ends as
    /// [`Closed`](crate::request::Failure::Closed). It observes nothing and takes no more requests
    /// meanwhile; adding it again takes the removal back. More than ten years count as ten.
    Flush(Duration),
    /// At once.
    Discard,
}

/// Why an endpoint was not added. Nothing else is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddError {
    /// There is one of this name: two would answer each other's commands.
    NameTaken(EndpointKey),
    /// There are as many as [`Options::max_endpoints`](super::Options::max_endpoints) allows.
    TooMany,
    /// The connection is closing or closed.
    Closed,
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NameTaken(_) => "there is an endpoint of this name",
            Self::TooMany => "there are too many endpoints",
            Self::Closed => "the client is closed",
        })
    }
}

impl std::error::Error for AddError {}

impl Connection {
    /// Adds an endpoint with the options of [`Options::endpoint`](super::Options::endpoint).
    ///
    /// Once an endpoint was removed, the request IDs of all that are added begin anywhere, as with
    /// [`EndpointOptions::spread_request_ids`]: a late answer to one that was removed would
    /// otherwise confirm the first request of its successor (FACTS trap 13).
    ///
    /// One of this name that is still leaving ([`Removal::Flush`]) stays instead, as a device does
    /// that comes back at once: under its key, with its options, queue, request IDs and counters,
    /// and without an [`Event::EndpointRemoved`]. What it had observed is to be observed anew.
    ///
    /// # Errors
    /// [`AddError`].
    pub fn add_endpoint(
        &mut self,
        now: Instant,
        name: EndpointName,
    ) -> Result<EndpointKey, AddError> {
        let options = Arc::clone(&self.options.endpoint);
        self.add(now, name, options)
    }

    /// Adds an endpoint with options of its own, which have no effect on one that was leaving.
    ///
    /// # Errors
    /// [`AddError`].
    pub fn add_endpoint_with(
        &mut self,
        now: Instant,
        name: EndpointName,
        mut options: EndpointOptions,
    ) -> Result<EndpointKey, AddError> {
        // This session never sends a message again by itself, so QoS 1 does no harm.
        options.default_qos(QoS::AtLeastOnce);
        options.limit_publish(self.options.max_publish());
        if self.has_removed {
            options = options.spread_request_ids(true);
        }
        self.add(now, name, Arc::new(options))
    }

    /// Removes an endpoint; [`Event::EndpointRemoved`] tells when it is gone, with what it had
    /// not done. `false` if there is none, or if it is leaving already.
    pub fn remove_endpoint(&mut self, now: Instant, key: EndpointKey, removal: Removal) -> bool {
        let now = self.advance(now);
        let Some(slot) = self.slots.get_mut(key) else {
            return false;
        };
        let was_leaving = std::mem::replace(&mut slot.is_leaving, true);
        match removal {
            Removal::Discard => self.discard(now, key),
            Removal::Flush(_) if was_leaving => return false,
            Removal::Flush(time) if time.is_zero() => self.discard(now, key),
            Removal::Flush(time) => {
                self.timers.set(Deadline::Removal(key), later(now, time));
                self.with(key, |endpoint| endpoint.wind_down(now));
            }
        }
        self.follow_up(now);
        true
    }

    /// Takes a request of an endpoint. Its end comes as
    /// [`endpoint::Event::Completed`](crate::endpoint::Event::Completed), exactly once.
    ///
    /// # Errors
    /// [`SubmitError`] says why it was not taken; nothing else is affected then.
    pub fn submit<R: Request + ?Sized>(
        &mut self,
        now: Instant,
        key: EndpointKey,
        request: &R,
    ) -> Result<RequestId, SubmitError> {
        self.give_room(key);
        let blank = self.blank(key);
        self.submit_prepared(now, key, Prepared::reusing(blank, request)?)
    }

    /// What is left of a request that ended, for one to come.
    pub(crate) fn blank(&mut self, key: EndpointKey) -> Prepared {
        let slot = self.slots.get_mut(key);
        slot.map_or_else(Prepared::blank, |slot| slot.endpoint.blank())
    }

    /// Takes a request that was encoded before, on another thread perhaps.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_prepared(
        &mut self,
        now: Instant,
        key: EndpointKey,
        request: Prepared,
    ) -> Result<RequestId, SubmitError> {
        self.admit(key, &request)?;
        self.give_room(key);
        if request.policy().offline == Offline::Drop {
            // An endpoint that was not told of the link yet would drop it.
            self.tell_arrival_early(now, key);
        }
        let has_room = self.has_durable_room(key, &request);
        self.ask(now, key, |endpoint, now| {
            endpoint.submit_kept(now, request, has_room)
        })?
    }

    /// Takes a request back: [`Endpoint::cancel`].
    pub fn cancel(&mut self, now: Instant, key: EndpointKey, id: RequestId) -> bool {
        self.ask(now, key, |endpoint, now| endpoint.cancel(now, id))
            .unwrap_or(false)
    }

    /// Observes something until taken back: [`Endpoint::observe`]. While the link is up it is asked
    /// for at once; what is observed before waits for its turn on each new link
    /// ([`Options::observe_rate`](super::Options::observe_rate)).
    ///
    /// # Errors
    /// [`SubmitError`] says why it is not observed.
    pub fn observe(
        &mut self,
        now: Instant,
        key: EndpointKey,
        observation: &Observation,
    ) -> Result<(), SubmitError> {
        self.check_open(key)?;
        self.tell_arrival_early(now, key);
        self.ask(now, key, |endpoint, now| endpoint.observe(now, observation))?
    }

    /// Observes software updates: [`Endpoint::observe_software`], as soon as
    /// [`observe`](Self::observe) does.
    ///
    /// # Errors
    /// [`SubmitError`] says why they are not observed.
    pub fn observe_software(
        &mut self,
        now: Instant,
        key: EndpointKey,
        current: &str,
    ) -> Result<(), SubmitError> {
        self.check_open(key)?;
        self.tell_arrival_early(now, key);
        self.ask(now, key, |endpoint, now| {
            endpoint.observe_software(now, current)
        })?
    }

    /// Takes an observation back: [`Endpoint::unobserve`].
    pub fn unobserve(&mut self, now: Instant, key: EndpointKey, observation: &Observation) -> bool {
        self.ask(now, key, |endpoint, now| {
            endpoint.unobserve(now, observation)
        })
        .unwrap_or(false)
    }

    /// Answers a command: [`Endpoint::respond`]. As there, a full queue is no reason to refuse it.
    ///
    /// # Errors
    /// [`SubmitError`] says why the result was not taken, such as one that no packet holds; the
    /// command stays in progress.
    pub fn respond(
        &mut self,
        now: Instant,
        key: EndpointKey,
        command: &CommandKey,
        result: CommandResult,
    ) -> Result<RequestId, SubmitError> {
        self.respond_prepared(now, key, Prepared::new(&command.report(result))?)
    }

    /// As [`respond`](Self::respond), for a report that was encoded before.
    pub(crate) fn respond_prepared(
        &mut self,
        now: Instant,
        key: EndpointKey,
        request: Prepared,
    ) -> Result<RequestId, SubmitError> {
        // Also while closing: without its result the command would be run again by the next run.
        if self.account.is_some() {
            return Err(SubmitError::Closed);
        }
        let slot = self.slots.get(key).ok_or(SubmitError::UnknownEndpoint)?;
        self.measure(slot, &request)?;
        self.ask(now, key, |endpoint, now| {
            endpoint.submit_prepared(now, request)
        })?
    }

    /// Gives a command back unanswered: [`Endpoint::release`].
    pub fn release(&mut self, now: Instant, key: EndpointKey, command: &CommandKey) {
        // An endpoint that is gone has no commands.
        let _ = self.ask(now, key, |endpoint, now| endpoint.release(now, command));
    }

    /// The next command to be read: [`Endpoint::poll_command`].
    pub fn poll_command(
        &mut self,
        key: EndpointKey,
        wanted: impl Fn(&CommandType) -> bool,
    ) -> Option<Command> {
        self.take(key, |endpoint| endpoint.poll_command(wanted))?
    }

    /// The configuration to be read: [`Endpoint::poll_configuration`].
    pub fn poll_configuration(
        &mut self,
        key: EndpointKey,
        name: Option<&ConfigName>,
    ) -> Option<config::Answer> {
        self.take(key, |endpoint| endpoint.poll_configuration(name))?
    }

    /// The software update to be read: [`Endpoint::poll_software`].
    pub fn poll_software(&mut self, key: EndpointKey) -> Option<software::Answer> {
        self.take(key, Endpoint::poll_software)?
    }

    /// Takes back what a store kept of an endpoint that was just added: [`Endpoint::restore`].
    /// `false` if there is no such endpoint.
    pub fn restore<S: Into<Stored>>(
        &mut self,
        now: Instant,
        key: EndpointKey,
        records: impl IntoIterator<Item = S>,
    ) -> bool {
        let is_on_its_way = self.has_last_records();
        let restore = |endpoint: &mut Endpoint, now| {
            endpoint.restore(now, records);
            if is_on_its_way {
                endpoint.await_last_records();
            }
        };
        self.ask(now, key, restore).is_ok()
    }

    /// What an earlier run of the program left behind of an endpoint, once:
    /// [`Endpoint::take_recovered`].
    pub fn take_recovered(&mut self, now: Instant, key: EndpointKey) -> Option<Recovered> {
        self.ask(now, key, |endpoint, now| endpoint.take_recovered(now))
            .ok()?
    }

    fn add(
        &mut self,
        now: Instant,
        name: EndpointName,
        options: Arc<EndpointOptions>,
    ) -> Result<EndpointKey, AddError> {
        let now = self.advance(now);
        if self.is_closed() {
            return Err(AddError::Closed);
        }
        if let Some(key) = self.find(&name) {
            return self.stay(key);
        }
        if self.slots.len() >= self.options.max_endpoints {
            return Err(AddError::TooMany);
        }
        let seed = self.rng.next_u64();
        let slot = Slot {
            endpoint: Endpoint::new(name, options, seed),
            is_up: false,
            is_filtering: false,
            is_eventful: false,
            is_recording: false,
            is_leaving: false,
            is_changed: false,
            wakeup: Wakeup::default(),
            counted: Totals::default(),
        };
        let key = self.slots.insert(slot).ok_or(AddError::TooMany)?;
        if let Some(slot) = self.slots.get(key) {
            self.directory.insert(slot.endpoint.name(), key);
            trace::added(slot.endpoint.name());
        }
        self.suspects.add(key);
        self.schedule.handle_count(self.slots.len());
        self.begin_storing(now, key);
        self.look_at_changed();
        if self.may_speak() {
            self.arrivals.push_back(key);
        }
        Ok(key)
    }

    /// Takes the removal of an endpoint back, if it is leaving.
    fn stay(&mut self, key: EndpointKey) -> Result<EndpointKey, AddError> {
        match self.slots.get_mut(key) {
            Some(slot) if slot.is_leaving => {
                slot.is_leaving = false;
                trace::stays(slot.endpoint.name());
                self.timers.clear(&Deadline::Removal(key));
                Ok(key)
            }
            _ => Err(AddError::NameTaken(key)),
        }
    }

    /// A verb on one endpoint.
    fn ask<T>(
        &mut self,
        now: Instant,
        key: EndpointKey,
        verb: impl FnOnce(&mut Endpoint, Instant) -> T,
    ) -> Result<T, SubmitError> {
        let now = self.advance(now);
        let answer = self.with(key, |endpoint| verb(endpoint, now));
        self.follow_up(now);
        answer.ok_or(SubmitError::UnknownEndpoint)
    }

    /// Takes something out of an endpoint.
    fn take<T>(&mut self, key: EndpointKey, take: impl FnOnce(&mut Endpoint) -> T) -> Option<T> {
        let taken = self.with(key, take);
        self.look_at_changed();
        taken
    }

    /// Does something with an endpoint, and takes note of what it changed.
    pub(super) fn with<T>(
        &mut self,
        key: EndpointKey,
        change: impl FnOnce(&mut Endpoint) -> T,
    ) -> Option<T> {
        let answer = change(&mut self.slots.get_mut(key)?.endpoint);
        self.touch(key);
        Some(answer)
    }

    /// Removes an endpoint, with all that is left of it.
    pub(super) fn discard(&mut self, now: Instant, key: EndpointKey) {
        let Some(mut slot) = self.slots.remove(key) else {
            return;
        };
        if !std::mem::replace(&mut self.has_removed, true) {
            self.options.spread_request_ids();
        }
        let name = slot.endpoint.name().clone();
        let is_durable = slot.is_durable();
        if is_durable {
            self.part_with(now, &mut slot.endpoint);
        }
        let unfinished = slot.endpoint.close(now);
        trace::removed(&name, unfinished.len());
        self.directory.remove(&name);
        self.suspects.remove(key);
        self.schedule.handle_count(self.slots.len());
        self.schedule.remove(key);
        self.tidy_wakeups();
        self.timers.clear(&Deadline::Removal(key));
        self.totals.replace(slot.counted, Totals::default());
        self.retired.add(&slot.endpoint.statistics());
        while let Some(filter) = slot.endpoint.poll_filter(now) {
            if let Filter::Unsubscribe(filter) = filter {
                self.subscribing.say_farewell(filter, self.slots.most());
            }
        }
        while let Some(event) = slot.endpoint.poll_event() {
            self.events.push_back(Event::Endpoint { key, event });
        }
        let held = slot.endpoint.take_held().into_iter();
        let held = held.map(|event| Event::Endpoint { key, event });
        let removed = Event::EndpointRemoved { key, unfinished };
        match is_durable {
            true => self.tell_last(held.chain([removed])),
            false => self.events.push_back(removed),
        }
    }

    fn check_open(&self, key: EndpointKey) -> Result<&Slot, SubmitError> {
        if self.is_closed() {
            return Err(SubmitError::Closed);
        }
        let slot = self.slots.get(key).filter(|slot| !slot.is_leaving);
        slot.ok_or(SubmitError::UnknownEndpoint)
    }

    /// Whether a packet can hold a request; how many bytes its payload has.
    fn measure(&self, slot: &Slot, request: &Prepared) -> Result<usize, SubmitError> {
        let extension = slot.endpoint.options().instances.of(request.service());
        let name = slot.endpoint.name();
        let (version, token) = (name.app_version().as_str(), name.token().as_str());
        let topic = MAX_TOPIC_OVERHEAD
            + version.len()
            + extension.as_str().len()
            + token.len()
            + request.resource().len();
        if topic > MAX_TOPIC_LEN {
            return Err(SubmitError::TooLarge {
                size: topic,
                limit: MAX_TOPIC_LEN,
            });
        }
        let payload = request.payload().len();
        let size = MAX_PUBLISH_OVERHEAD + topic + payload;
        let limit = self.options.session.max_packet_out;
        if size > limit {
            return Err(SubmitError::TooLarge { size, limit });
        }
        Ok(payload)
    }

    /// Whether the connection has room for a request; its endpoint may have none all the same.
    fn admit(&self, key: EndpointKey, request: &Prepared) -> Result<(), SubmitError> {
        let payload = self.measure(self.check_open(key)?, request)?;
        let class = request.policy().class;
        let room = |max: usize| match class {
            Class::Control => max,
            Class::Bulk => max - max / 8,
        };
        let bytes = self.totals.queued_bytes + payload + request.resource().len();
        if self.totals.queued >= room(self.options.max_queued)
            || bytes > room(self.options.max_queued_bytes)
        {
            return Err(SubmitError::QueueFull(class));
        }
        Ok(())
    }
}

/// `kp1/`, four slashes and an ID of ten digits.
const MAX_TOPIC_OVERHEAD: usize = 4 + 4 + 10;
