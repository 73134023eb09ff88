//! Observations: what the platform is asked to push, and goes on being asked for.
//!
//! An observation stands until it is taken back. It is sent again at each link-up and every
//! `refresh_observations`, always with the same request ID, on which the platform may answer
//! again and again (FACTS trap 9). A failed one is tried again with growing pauses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::flight::{Entry, Owner};
use super::trace;
use super::{Endpoint, Event, Rest, rest_time};
use crate::config::Configuration;
use crate::names::{CommandType, ConfigName};
use crate::request::{Effect, Failure, Prepared, RequestId, SubmitError};
use crate::{commands, config, software};

/// Something that the platform pushes when it changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Observation {
    /// Commands of a type.
    Commands(CommandType),
    /// The configuration of a name; `None` is the unnamed one.
    Configuration(Option<ConfigName>),
    /// Software updates.
    Software,
}

/// One observation.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Its request, while that is queued or in flight.
    pub(super) request: Option<RequestId>,
    /// Its ID in the topic, once it was sent.
    pub(super) wire_id: Option<u32>,
    /// How often in a row it failed.
    failures: u32,
    /// When it is sent again.
    refresh_at: Option<Instant>,
    /// Whether it is confirmed, so that the next confirmation is no news.
    pub(super) is_live: bool,
    /// Whether it was asked for on this link.
    pub(super) is_asked: bool,
}

/// What was read for a configuration or for software.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The identifier that the application reported as applied, and the platform confirmed.
    pub(super) applied: Option<Arc<str>>,
    /// The identifier that was last surfaced; empty for "none assigned".
    pub(super) surfaced: Option<Arc<str>>,
    /// Whoever read something else than what is applied went, and may have acted on it.
    is_left: bool,
    /// When the application said which software runs, in the order of the requests: what was reported
    /// before that is older.
    said_at: Option<RequestId>,
    /// What the application has not read yet: the newest only.
    pub(super) unread: Option<Unread>,
    /// The configuration that was last surfaced, if the good ones are kept.
    pub(super) assigned: Option<Configuration>,
    /// The one that is applied.
    pub(super) good: Option<Configuration>,
}

impl Reading {
    /// Something is told to whoever observes it.
    pub(super) fn surface(&mut self, id: Arc<str>, unread: Unread) {
        self.surfaced = Some(id);
        self.unread = Some(unread);
        self.is_left = false;
    }

    /// The platform confirmed that this is applied.
    pub(super) fn apply(&mut self, id: Arc<str>) {
        self.applied = Some(id);
        self.is_left = false;
    }

    /// The configuration of this identifier, if it is kept.
    pub(super) fn kept(&self, id: &str) -> Option<&Configuration> {
        let mut kept = [&self.assigned, &self.good].into_iter().flatten();
        kept.find(|configuration| configuration.config_id() == id)
    }

    /// Whether the device is at what is applied, as far as is known: it was told of nothing else
    /// since.
    fn is_at_applied(&self) -> bool {
        !self.is_left
            && self
                .surfaced
                .as_ref()
                .is_none_or(|id| Some(id) == self.applied.as_ref())
    }
}

/// A state that was pushed and not read.
#[derive(Debug)]
pub(super) enum Unread {
    Configuration(config::Answer),
    Software(software::Answer),
}

/// The first pause after a failed observation.
const RETRY_FIRST: Duration = Duration::from_secs(30);

/// More would be a mistake: each is a message at every link-up.
const MAX_OBSERVATIONS: usize = 256;

impl Endpoint {
    /// Observes something until [`unobserve`](Self::unobserve). Asking twice is harmless.
    ///
    /// # Errors
    /// [`SubmitError::QueueFull`] when 256 things are observed, [`SubmitError::Closed`] after
    /// [`close`](Self::close).
    pub fn observe(&mut self, now: Instant, observation: &Observation) -> Result<(), SubmitError> {
        self.advance(now);
        if self.closed {
            return Err(SubmitError::Closed);
        }
        if self.standing.contains_key(observation) {
            return Ok(());
        }
        if self.standing.len() >= MAX_OBSERVATIONS {
            return Err(SubmitError::QueueFull(crate::request::Class::Control));
        }
        self.standing.get_or_default(observation.clone());
        if self.link_up {
            self.issue(observation);
        }
        Ok(())
    }

    /// Observes software updates, and says before each observation that `current` is the version
    /// that runs: the platform decides by it what to offer (FACTS trap 30).
    ///
    /// # Errors
    /// As [`observe`](Self::observe); [`SubmitError::Invalid`] if `current` is empty.
    pub fn observe_software(&mut self, now: Instant, current: &str) -> Result<(), SubmitError> {
        let report = Prepared::new(&software::ReportCurrent::new(current))?;
        let stood = self.standing.contains_key(&Observation::Software);
        let reading = self.readings.get_or_default(Observation::Software);
        let before = (reading.applied.replace(current.into()), reading.said_at);
        let is_news = before.0.as_deref() != Some(current);
        if is_news {
            reading.said_at = Some(self.next_id);
        }
        if let Err(error) = self.observe(now, &Observation::Software) {
            let reading = self.readings.get_or_default(Observation::Software);
            (reading.applied, reading.said_at) = before;
            return Err(error);
        }
        if stood && is_news && self.link_up {
            self.say(report);
        }
        Ok(())
    }

    /// Takes an observation back. Commands that were not read are given back to the platform; a
    /// configuration or software update that was not read stays readable. `false` if it did not
    /// stand.
    pub fn unobserve(&mut self, now: Instant, observation: &Observation) -> bool {
        let now = self.advance(now);
        let Some(standing) = self.standing.remove(observation) else {
            return false;
        };
        self.find_next_refresh();
        if let Observation::Commands(command_type) = observation {
            self.release_unread(command_type);
            self.ask_for_held();
        }
        self.forget_surfaced(observation);
        let request = self.prepare(observation, false);
        let mut was_asked = standing.wire_id.is_some();
        if let Some(entry) = standing.request.and_then(|id| self.take_out(id, |_| true)) {
            was_asked |= entry.was_sent;
            self.tidy_deadlines();
            self.free_id(now, &entry, Rest::ForLateAnswer);
        } else if let Some(wire_id) = standing.wire_id {
            self.rest_id(now, request.clone(), wire_id);
        }
        if self.link_up && was_asked {
            self.say(request);
        }
        true
    }

    /// Whether something is observed that was not asked for on this link.
    #[cfg(feature = "connection")]
    pub(crate) fn has_to_observe(&self) -> bool {
        self.standing.iter().any(|(_, standing)| !standing.is_asked)
    }

    /// Whether something is observed.
    #[must_use]
    pub fn is_observed(&self, observation: &Observation) -> bool {
        self.standing.contains_key(observation)
    }

    /// The configuration of this name, if there is a new one to read: never
    /// [`NotModified`](config::Answer::NotModified). Of several that came, the newest.
    pub fn poll_configuration(&mut self, name: Option<&ConfigName>) -> Option<config::Answer> {
        match self.take_unread(&Observation::Configuration(name.cloned()))? {
            Unread::Configuration(answer) => Some(answer),
            Unread::Software(_) => None,
        }
    }

    /// The last good configuration of this name, at hand before the platform is reached: the one
    /// that was observed, reported as applied, and confirmed as such, by this run of the program or
    /// an earlier one. With [`EndpointOptions::keep_configurations`] only.
    ///
    /// [`EndpointOptions::keep_configurations`]: super::EndpointOptions::keep_configurations
    #[must_use]
    pub fn applied_configuration(&self, name: Option<&ConfigName>) -> Option<&Configuration> {
        let observation = Observation::Configuration(name.cloned());
        self.readings.get(&observation)?.good.as_ref()
    }

    /// The software update, if there is a new one to read.
    pub fn poll_software(&mut self) -> Option<software::Answer> {
        match self.take_unread(&Observation::Software)? {
            Unread::Software(answer) => Some(answer),
            Unread::Configuration(_) => None,
        }
    }

    /// Asks for all that is observed and was not asked for on this link yet; returns how many
    /// that were.
    pub(crate) fn observe_again(&mut self, now: Instant) -> usize {
        self.advance(now);
        if !self.link_up {
            return 0;
        }
        let standing = self.standing.iter();
        let silent = standing.filter(|(_, standing)| !standing.is_asked);
        let silent: Vec<_> = silent.map(|(observation, _)| observation.clone()).collect();
        for observation in &silent {
            self.issue(observation);
        }
        silent.len()
    }

    /// Sends an observation, unless its message is on the way already.
    pub(super) fn issue(&mut self, observation: &Observation) {
        let Some(standing) = self.standing.get_mut(observation) else {
            return;
        };
        standing.is_asked = true;
        let (wire_id, busy) = (standing.wire_id, standing.request.is_some());
        if busy {
            return;
        }
        if standing.refresh_at.take().is_some() {
            self.find_next_refresh();
        }
        if *observation == Observation::Software && !self.is_version_under_way() {
            let applied = self
                .readings
                .get(observation)
                .and_then(|r| r.applied.clone());
            let report =
                applied.map(|version| Prepared::new(&software::ReportCurrent::new(&*version)));
            if let Some(Ok(report)) = report {
                self.say(report);
            }
        }
        let request = self.prepare(observation, true);
        let id = self.push_own(request, Owner::Observation(observation.clone()), wire_id);
        if let Some(standing) = self.standing.get_mut(observation) {
            standing.request = Some(id);
        }
    }

    /// Whether the application's own report of the version has not ended: another would come after
    /// it, and say what was before.
    fn is_version_under_way(&self) -> bool {
        let mut entries = self.room.entries();
        entries.any(|entry| {
            let is_report = matches!(entry.request.effect, Effect::Current(_));
            is_report && entry.owner == Owner::Caller && self.is_newest_version(entry.id)
        })
    }

    /// Whether the application has not said another version since this was to be reported.
    pub(super) fn is_newest_version(&self, report: RequestId) -> bool {
        let reading = self.readings.get(&Observation::Software);
        let said_at = reading.and_then(|reading| reading.said_at);
        said_at.is_none_or(|said_at| said_at <= report)
    }

    /// The message of an observation ended: with an answer, or with a failure.
    pub(super) fn handle_observed(
        &mut self,
        now: Instant,
        observation: &Observation,
        failure: Option<Failure>,
    ) {
        let Some(standing) = self.standing.get_mut(observation) else {
            return;
        };
        standing.request = None;
        let refresh = self.options.refresh_observations;
        let was_live = standing.is_live;
        standing.is_live = failure.is_none();
        let pause = match &failure {
            None => {
                standing.failures = 0;
                refresh.saturating_sub(self.rng.between(Duration::ZERO, refresh / 10))
            }
            Some(_) => {
                let doubled = RETRY_FIRST.saturating_mul(1 << standing.failures.min(16));
                standing.failures = standing.failures.saturating_add(1);
                let pause = doubled.min(refresh);
                pause.saturating_sub(self.rng.between(Duration::ZERO, pause / 10))
            }
        };
        standing.refresh_at = Some(now + pause);
        self.find_next_refresh();
        match failure {
            Some(failure) => {
                let observation = observation.clone();
                self.notify(Event::ObservationFailed {
                    observation,
                    failure,
                });
            }
            None if !was_live => self.notify(Event::Observed(observation.clone())),
            None => {}
        }
    }

    /// Sends those again whose time has come.
    pub(super) fn refresh(&mut self, now: Instant) {
        if self.refresh_at.is_none_or(|at| at > now) {
            return;
        }
        let mut due = Vec::new();
        for (observation, standing) in self.standing.iter_mut() {
            if standing.refresh_at.take_if(|at| *at <= now).is_some() {
                due.push(observation.clone());
            }
        }
        self.find_next_refresh();
        if self.link_up {
            due.iter().for_each(|observation| self.issue(observation));
        }
    }

    fn find_next_refresh(&mut self) {
        let standing = self.standing.iter();
        self.refresh_at = standing
            .filter_map(|(_, standing)| standing.refresh_at)
            .min();
    }

    /// Asks again for the commands that there was no room for.
    pub(super) fn ask_for_held(&mut self) {
        let (max, unread) = (self.options.max_commands, self.options.max_unread_commands);
        let bytes = self.options.max_unread_bytes;
        let ledger = self.ledger.there();
        let held = ledger.map(|ledger| ledger.take_held(max, unread, bytes));
        for command_type in held.into_iter().flatten() {
            if self.link_up {
                self.issue(&Observation::Commands(command_type));
            }
        }
    }

    /// Says what nobody waits for. What was said before of the same, and still waits, would hold it up,
    /// and pile up where nothing can be sent or nothing is answered.
    fn say(&mut self, request: Prepared) {
        let is_earlier = |entry: &&Entry| {
            entry.owner == Owner::Nobody
                && entry.request.service == request.service
                && entry.request.resource() == request.resource()
        };
        let earlier = self.room.queue.control.iter().filter(is_earlier);
        let earlier: Vec<_> = earlier.map(|entry| entry.id).collect();
        for id in earlier {
            if let Some(now) = self.now {
                self.end_queued(now, id, Failure::Cancelled);
            }
        }
        self.push_own(request, Owner::Nobody, None);
    }

    /// Queues a message of the endpoint's own, beside the bounds: there are at most three for
    /// each observation, and one that asks what is outstanding.
    pub(super) fn push_own(
        &mut self,
        request: Prepared,
        owner: Owner,
        wire_id: Option<u32>,
    ) -> RequestId {
        // A result is stored before it is sent.
        let guard = match owner {
            Owner::Ledger => self.journal.mark(),
            Owner::Caller | Owner::Observation(_) | Owner::Nobody => 0,
        };
        let mut entry = self.entry(request, owner);
        entry.wire_id = wire_id;
        entry.guard = guard;
        let id = entry.id;
        trace::submitted(self.now, &self.name, &mut entry);
        self.next_id = id.next();
        self.enqueue(entry);
        id
    }

    /// Takes all observations back, and tells nobody: the endpoint leaves. What was not read stays
    /// readable.
    #[cfg(feature = "connection")]
    pub(super) fn forget_observations(&mut self, now: Instant) {
        self.refresh_at = None;
        for (observation, standing) in std::mem::take(&mut self.standing).into_iter() {
            self.forget_surfaced(&observation);
            // While there is a request, that has the ID.
            if let (None, Some(wire_id)) = (standing.request, standing.wire_id) {
                let request = self.prepare(&observation, false);
                self.rest_id(now, request, wire_id);
            }
        }
    }

    /// Whoever observes it again has not seen it, unless it is applied.
    fn forget_surfaced(&mut self, observation: &Observation) {
        if let Some(reading) = self.readings.get_mut(observation) {
            if reading.surfaced != reading.applied && reading.surfaced.take().is_some() {
                reading.is_left = true;
            }
        }
    }

    /// The ID of what was observed by such a request is free when no answer can come any more.
    fn rest_id(&mut self, now: Instant, request: Prepared, wire_id: u32) {
        let entry = self.entry(request, Owner::Nobody);
        if let Some(space) = self.spaces.get_mut(entry.extension.as_str()) {
            let until = Some(now + rest_time(&entry));
            space.release(wire_id, &entry.request.resource, until);
        }
    }

    fn prepare(&self, observation: &Observation, observe: bool) -> Prepared {
        let reading = self.readings.get(observation);
        let applied = reading.and_then(|reading| reading.applied.as_deref());
        match observation {
            Observation::Commands(command_type) => commands::observe(command_type, observe),
            Observation::Configuration(name) => {
                // The platform is silent about the one that is named. What answers the end of an
                // observation nobody reads.
                let is_at = !observe || reading.is_some_and(Reading::is_at_applied);
                config::observe(name.as_ref(), applied.filter(|_| is_at), observe)
            }
            Observation::Software => software::observe(applied, observe),
        }
    }

    fn take_unread(&mut self, observation: &Observation) -> Option<Unread> {
        self.readings.get_mut(observation)?.unread.take()
    }
}
