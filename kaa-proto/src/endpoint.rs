#![doc = include_str!("endpoint/hosts.md")]

mod answer;
mod due;
#[cfg(feature = "connection")]
mod early;
mod event;
mod filters;
mod flight;
mod forgotten;
mod ids;
mod interrupted;
mod journal;
mod ledger;
mod observe;
mod options;
mod queue;
mod record;
mod record_json;
#[cfg(feature = "connection")]
mod rest;
mod restore;
mod sending;
mod settle;
mod snapshot;
mod storing;
mod submit;
mod trace;

pub use event::{Event, Statistics, Unfinished};
pub use filters::{Filter, FilterOutcome};
pub use flight::MessageKey;
pub use interrupted::WhenInterrupted;
pub use ledger::CommandKey;
pub use observe::Observation;
pub use options::{EndpointOptions, InvalidEndpointOptions, Subscriptions, WhenFull};
pub use record::{Record, ResultRecord, Stored};
pub use record_json::InvalidRecord;
#[cfg(feature = "connection")]
pub(crate) use rest::Room;
pub use restore::Recovered;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::due::Due;
use self::filters::{Filters, group};
use self::flight::{Entry, Flight, Flights, Owner, Stage};
use self::forgotten::Forgotten;
use self::ids::IdSpaces;
use self::journal::{Journal, Mark};
use self::ledger::Ledger;
use self::observe::{Reading, Standing};
use self::queue::Queue;
use self::settle::Regard;
use crate::QoS;
use crate::commands::{Command, CommandResult};
use crate::few::Few;
use crate::names::{CommandType, EndpointName};
use crate::request::{Failure, Offline, RequestId, SubmitError};
use crate::rng::Rng;
use crate::timers::Timers;
use crate::topic::Topic;

/// The Kaa machine of one endpoint. See the [module](self) for how it is driven.
///
/// Deterministic: the same seed and the same calls give the same messages and events.
pub struct Endpoint {
    name: EndpointName,
    options: Arc<EndpointOptions>,
    rng: Rng,
    /// The ID of the next request.
    next_id: RequestId,
    /// Between `handle_link_up` and `handle_link_down`.
    link_up: bool,
    /// The link is up, but the platform has not greeted us: see `early`.
    is_early: bool,
    /// No more requests are taken.
    closed: bool,
    /// The latest time seen: a clock that goes back is ignored.
    now: Option<Instant>,
    queue: Queue,
    /// What was given out and has not ended, by request.
    flights: Flights,
    /// Boxes of requests that ended, for those to come.
    #[allow(clippy::vec_box, reason = "what is kept is the boxes")]
    spare: Vec<Box<Entry>>,
    /// The request IDs in use, for each extension instance.
    spaces: IdSpaces,
    filters: Filters,
    /// What is observed.
    standing: Few<Observation, Standing>,
    /// What was read for configurations and software, by observation.
    readings: Few<Observation, Reading>,
    ledger: Ledger,
    /// What it forgot a short while ago.
    forgotten: Forgotten,
    events: VecDeque<Event>,
    journal: Journal,
    /// What an earlier run left, until the application has taken it.
    recovered: Option<restore::Found>,
    /// Until when requests may wait in the queue.
    expiries: Due,
    /// Until when flights may wait for their answers.
    answers: Due,
    /// All other deadlines.
    timers: Timers<Timer>,
    /// Whether the drain rate holds the bulk queue back; `Timer::Drain` ends it.
    bulk_held: bool,
    statistics: Statistics,
    /// What the platform thinks of it.
    regard: Regard,
}

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The host did not tell what became of this subscription.
    Filter(String),
    /// An observation is to be sent again.
    Refresh(Observation),
    /// The next bulk message may go.
    Drain,
}

/// Whom a message was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Disposition {
    /// For this endpoint; it was taken, even if it was then ignored.
    Taken,
    /// For somebody else.
    NotOurs,
}

/// A message to be published: once, at its QoS, not retained. `Debug` shortens the token and
/// shows the payload's length only.
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Message {
    /// To be given back with what became of it.
    pub key: MessageKey,
    /// The topic, with the whole token.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    /// 0 or 1.
    pub qos: QoS,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("key", &self.key)
            .field("topic", &crate::topic::shortened(&self.topic))
            .field("payload_len", &self.payload.len())
            .field("qos", &self.qos)
            .finish()
    }
}

/// Events beyond this are not kept: notices are lost and counted, requests are not taken.
const MAX_UNPOLLED_EVENTS: usize = 16_384;

impl Endpoint {
    /// An endpoint that has said nothing yet. `seed` spreads its refreshes in time.
    #[must_use]
    pub fn new(name: EndpointName, options: Arc<EndpointOptions>, seed: u64) -> Self {
        Self {
            name,
            journal: Journal::new(options.durable),
            options,
            rng: Rng::new(seed),
            next_id: RequestId::FIRST,
            link_up: false,
            is_early: false,
            closed: false,
            now: None,
            queue: Queue::default(),
            flights: Flights::default(),
            spare: Vec::new(),
            spaces: IdSpaces::default(),
            filters: Filters::default(),
            standing: Few::default(),
            readings: Few::default(),
            ledger: Ledger::default(),
            forgotten: Forgotten::default(),
            events: VecDeque::new(),
            recovered: None,
            expiries: Due::default(),
            answers: Due::default(),
            timers: Timers::default(),
            bulk_held: false,
            statistics: Statistics::default(),
            regard: Regard::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &EndpointName {
        &self.name
    }

    /// What it has seen.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    #[cfg(feature = "connection")]
    pub(crate) const fn regard(&self) -> Regard {
        self.regard
    }

    /// How many requests wait to be sent.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// What the waiting requests take, in bytes of resource and payload.
    #[must_use]
    pub const fn queue_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// How many requests are sent and not yet confirmed.
    #[must_use]
    pub fn in_flight_len(&self) -> usize {
        self.flights.open_len()
    }

    /// Whether nothing is queued and nothing is in flight. Observations that stand do not count.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.len() == 0 && self.in_flight_len() == 0
    }

    /// Prepares for [`close`](Self::close): nothing is observed any more, so that nothing but what
    /// the application asked for is waited for. Commands in its hands can still be answered; new
    /// ones are left with the platform. It may observe again, as if it never had.
    #[cfg(feature = "connection")]
    pub(crate) fn wind_down(&mut self, now: Instant) {
        let now = self.advance(now);
        self.forget_observations(now);
        let ours = |entry: &Entry| matches!(entry.owner, Owner::Observation(_) | Owner::Nobody);
        let queued = self.queue.bulk.iter().chain(self.queue.control.iter());
        let flights = self.flights.iter().map(|(_, flight)| &*flight.entry);
        let own: Vec<_> = queued.chain(flights).filter(|entry| ours(entry)).collect();
        let own: Vec<_> = own.iter().map(|entry| entry.id).collect();
        for id in own {
            if let Some(entry) = self.take_out(id, ours) {
                self.end(now, entry, Err(Failure::Closed), Rest::ForLateAnswer);
            }
        }
    }

    /// Takes a request back. It ends as [`Failure::Cancelled`]; if it had been sent, it may have
    /// been processed. `false` if it has ended already.
    pub fn cancel(&mut self, now: Instant, id: RequestId) -> bool {
        let now = self.advance(now);
        let Some(entry) = self.take_out(id, |entry| entry.owner == Owner::Caller) else {
            return false;
        };
        let rest = Rest::after(&entry);
        self.end(now, entry, Err(Failure::Cancelled), rest);
        true
    }

    /// Answers a command. The result is kept: if the platform offers the command again, it is
    /// sent again.
    ///
    /// It is taken even when the control queue is full: there are never more of them than
    /// [`EndpointOptions::max_commands`].
    ///
    /// # Errors
    /// [`SubmitError`] if the result is too large, or the endpoint is closed; the command stays
    /// in progress.
    pub fn respond(
        &mut self,
        now: Instant,
        command: &CommandKey,
        result: CommandResult,
    ) -> Result<RequestId, SubmitError> {
        self.submit(now, &command.report(result))
    }

    /// Gives a command back unanswered: the next delivery surfaces it again.
    pub fn release(&mut self, now: Instant, command: &CommandKey) {
        self.advance(now);
        if let Some(times) = self.ledger.release(command) {
            trace::released(&self.name, command);
            self.record_release(command, times);
            self.ask_for_held();
        }
    }

    /// The next command to be read, of the types that `wanted` accepts.
    pub fn poll_command(&mut self, wanted: impl Fn(&CommandType) -> bool) -> Option<Command> {
        let command = self
            .ledger
            .poll(wanted, |mark| self.journal.is_stored(mark))?;
        self.ask_for_held();
        Some(command)
    }

    /// Ends everything: what is queued or in flight ends as [`Failure::Closed`], and no more
    /// requests are taken. Returns what was not confirmed, the application's requests only.
    /// The records of durable ones stay good: [`restore`](Self::restore) brings them back.
    pub fn close(&mut self, now: Instant) -> Vec<Unfinished> {
        let now = self.advance(now);
        self.closed = true;
        self.leave_for_later();
        self.standing.clear();
        self.filters.withdraw();
        let queued: Vec<_> = self.queue.drain().collect();
        let flights = self.flights.drain();
        let open = flights.filter(|flight| flight.stage != Stage::Listening);
        let mut entries: Vec<_> = open.map(Flight::into_entry).chain(queued).collect();
        entries.sort_by_key(|entry| entry.id);
        let callers = entries.iter().map(|entry| &**entry);
        let callers = callers.filter(|entry| entry.owner == Owner::Caller);
        let unfinished = callers.map(|entry| unfinished(entry, &self.journal));
        let unfinished = unfinished.collect();
        for entry in entries {
            self.end(now, entry, Err(Failure::Closed), Rest::None);
        }
        (self.expiries, self.answers) = (Due::default(), Due::default());
        self.timers = Timers::default();
        unfinished
    }

    /// The MQTT session is up, and nothing is subscribed on it yet. Everything that is observed is
    /// asked for again. Ignored while the link is up already: the loss of the session before must
    /// have been told by [`handle_link_down`](Self::handle_link_down).
    pub fn handle_link_up(&mut self, now: Instant) {
        self.handle_link_up_unobserved(now);
        self.observe_again(now);
    }

    /// As [`handle_link_up`](Self::handle_link_up); what is observed is asked for by
    /// [`observe_again`](Self::observe_again), when its turn has come.
    pub(crate) fn handle_link_up_unobserved(&mut self, now: Instant) {
        self.advance(now);
        if std::mem::replace(&mut self.link_up, true) {
            return;
        }
        // Only what is needed now is subscribed to, not what was needed once.
        self.filters = Filters::default();
        let queued = self.queue.bulk.iter().chain(self.queue.control.iter());
        let listening = self.flights.iter().map(|(_, flight)| &*flight.entry);
        for entry in queued.chain(listening) {
            if entry.request.with_id {
                self.filters
                    .need(self.options.subscriptions, &self.name, &group(entry));
            }
        }
        for (_, standing) in self.standing.iter_mut() {
            standing.is_live = false;
            standing.is_asked = false;
        }
    }

    /// The MQTT session is lost. What may be sent again goes back to its place in the queue,
    /// with its ID; the rest of what was sent ends as [`Failure::OutcomeUnknown`]. From now on the
    /// host's MQTT client must not send any of it by itself. Ignored while the link is down.
    pub fn handle_link_down(&mut self, now: Instant) {
        let now = self.advance(now);
        if !std::mem::replace(&mut self.link_up, false) {
            return;
        }
        self.is_early = false;
        for filter in self.filters.asked() {
            self.timers.clear(&Timer::Filter(filter.clone()));
        }
        self.record_unsent();
        let flights = self.flights.iter();
        let gone: Vec<_> = flights.map(|(id, flight)| (id, flight.stage)).collect();
        for (id, stage) in gone {
            match stage {
                Stage::Emitted => self.put_back(id),
                Stage::Sent => self.lose(now, id),
                Stage::Listening => {}
            }
        }
        let impatient = |entry: &&Entry| entry.request.policy.offline == Offline::Drop;
        let waiting = self.queue.bulk.iter().chain(self.queue.control.iter());
        let failure = |entry: &Entry| entry.failure_unless_sent(Failure::Dropped);
        let dropped: Vec<_> = waiting
            .filter(impatient)
            .map(|entry| (entry.id, failure(entry)))
            .collect();
        for (id, failure) in dropped {
            self.end_queued(now, id, failure);
        }
    }

    /// A message arrived. Anything may: what cannot be used is counted and ignored, echoes of own
    /// requests and second deliveries too. The host leaves out retained ones.
    pub fn handle_message(&mut self, now: Instant, topic: &str, payload: &[u8]) -> Disposition {
        let Ok(topic) = Topic::parse(topic) else {
            return Disposition::NotOurs;
        };
        if topic.app_version() != self.name.app_version().as_str()
            || topic.token() != self.name.token().as_str()
        {
            self.advance(now);
            return Disposition::NotOurs;
        }
        self.handle_topic(now, &topic, payload);
        Disposition::Taken
    }

    /// What became of a subscription: the SUBACK, or that it could not be made. The host's answer
    /// may come late or never: after `answer_within` the endpoint goes on without it. `filter` is
    /// the text of [`Filter::Subscribe`]; one that is not asked for is ignored.
    pub fn handle_filter(&mut self, now: Instant, filter: &str, outcome: FilterOutcome) {
        self.advance(now);
        if !self.filters.handle(filter) {
            return;
        }
        self.timers.clear(&Timer::Filter(filter.to_owned()));
        if outcome == FilterOutcome::Refused {
            self.notify(refused(filter));
        }
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) named. It may be called at any
    /// time: what is not due stays.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.spaces.handle_timeout(now);
        while let Some(id) = self.expiries.pop_due(now) {
            self.end_unsent(now, id, Failure::Expired);
        }
        while let Some(id) = self.answers.pop_due(now) {
            self.handle_no_answer(now, id);
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Filter(filter) => self.handle_filter(now, &filter, FilterOutcome::Refused),
                Timer::Refresh(observation) => {
                    if self.link_up {
                        self.issue(&observation);
                    }
                }
                Timer::Drain => self.bulk_held = false,
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, or later. Every other
    /// call may change it. `None`: there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of = |due: &Due| due.first().map(|(at, _)| at);
        let deadlines = [
            of(&self.answers),
            of(&self.expiries),
            self.timers.next(),
            self.spaces.poll_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next subscription to make or to take back. `None` while the link is down. What is taken
    /// back comes after [`close`](Self::close) only.
    pub fn poll_filter(&mut self, now: Instant) -> Option<Filter> {
        let now = self.advance(now);
        if !self.link_up {
            return None;
        }
        let filter = self.filters.poll()?;
        if let Filter::Subscribe(filter) = &filter {
            let deadline = now + self.options.answer_within;
            self.timers.set(Timer::Filter(filter.clone()), deadline);
        }
        Some(filter)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether there are events.
    #[cfg(feature = "connection")]
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether there are subscriptions to make or to take back.
    #[cfg(feature = "connection")]
    pub(crate) const fn has_filters(&self) -> bool {
        self.filters.has_some()
    }

    /// The time it is: never earlier than it was.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |before| before.max(now));
        self.now = Some(now);
        now
    }

    fn record(&mut self, record: impl FnOnce() -> Record) {
        self.journal.record(record);
    }

    /// Tells something that must not be known before `mark` is stored.
    fn tell(&mut self, mark: Mark, event: Event) {
        self.events.extend(self.journal.hold(mark, event));
    }

    /// Tells something that is no completion.
    fn notify(&mut self, event: Event) {
        trace::notified(&self.name, &event);
        self.statistics.not_stored += u64::from(matches!(event, Event::NotStored(_)));
        match self.events.len() < MAX_UNPOLLED_EVENTS {
            true => self.events.push_back(event),
            false => self.statistics.events_lost += 1,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("link_up", &self.link_up)
            .field("queued", &self.queue.len())
            .field("in_flight", &self.in_flight_len())
            .field("observations", &self.standing.len())
            .finish_non_exhaustive()
    }
}

/// When the ID of a request that ended may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// At once: no answer can come any more.
    None,
    /// After a while: an answer may still come.
    ForLateAnswer,
}

impl Rest {
    /// For a request that nobody waits for any more.
    const fn after(entry: &Entry) -> Self {
        match entry.may_have_been_sent() {
            true => Self::ForLateAnswer,
            false => Self::None,
        }
    }
}

fn refused(filter: &str) -> Event {
    Event::SubscriptionRefused {
        filter: crate::topic::shortened(filter),
    }
}

fn unfinished(entry: &Entry, journal: &Journal) -> Unfinished {
    Unfinished {
        id: entry.id,
        stored: journal.has_stored(entry.id),
        service: entry.request.service.clone(),
        resource: entry.request.resource().to_owned(),
        payload: Bytes::copy_from_slice(&entry.request.payload),
        sent: entry.may_have_been_sent(),
    }
}

/// How long an ID rests after its request ended without an answer.
const fn rest_time(entry: &Entry) -> Duration {
    entry.answer_within.saturating_mul(2)
}
