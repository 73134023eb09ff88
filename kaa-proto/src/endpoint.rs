#![doc = include_str!("endpoint/hosts.md")]

mod answer;
mod base64;
mod counters;
mod due;
#[cfg(feature = "connection")]
mod early;
mod event;
mod filters;
mod flight;
mod forgotten;
mod ids;
mod impatient;
mod interrupted;
mod journal;
mod ledger;
mod listening;
mod observe;
mod options;
mod outstanding;
mod queue;
mod record;
mod record_json;
mod restore;
mod room;
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
pub use restore::Recovered;
pub(crate) use room::Room;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::counters::Counters;
use self::due::Due;
use self::filters::{Filters, group};
use self::flight::{Entry, Owner, Stage};
use self::forgotten::Forgotten;
use self::ids::IdSpaces;
use self::journal::{Journal, Mark};
use self::ledger::Ledger;
use self::observe::{Reading, Standing};
use self::settle::Regard;
use crate::QoS;
use crate::commands::{Command, CommandResult};
use crate::few::Few;
use crate::names::{CommandType, EndpointName};
use crate::rare::Rare;
use crate::request::{Failure, RequestId, SubmitError};
use crate::rng::Rng;
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
    /// The link is up, and the host gives out nothing of this endpoint: see `impatient`.
    is_suspended: bool,
    /// No more requests are taken.
    closed: bool,
    /// The latest time seen: a clock that goes back is ignored.
    now: Option<Instant>,
    /// The requests that have not ended.
    room: Rare<Room>,
    /// The request IDs in use, for each extension instance.
    spaces: IdSpaces,
    filters: Rare<Filters>,
    /// What is observed.
    standing: Few<Observation, Standing>,
    /// What was read for configurations and software, by observation.
    readings: Few<Observation, Reading>,
    ledger: Rare<Ledger>,
    /// What it forgot a short while ago.
    forgotten: Rare<Forgotten>,
    journal: Rare<Journal>,
    /// What an earlier run left, until the application has taken it.
    recovered: Option<Box<restore::Found>>,
    /// When the first observation is to be sent again.
    refresh_at: Option<Instant>,
    counters: Counters,
    /// What the platform thinks of it.
    regard: Regard,
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
            journal: match options.durable {
                true => Box::new(Journal::new(true)).into(),
                false => Rare::default(),
            },
            options,
            rng: Rng::new(seed),
            next_id: RequestId::FIRST,
            link_up: false,
            is_early: false,
            is_suspended: false,
            closed: false,
            now: None,
            room: Rare::default(),
            spaces: IdSpaces::default(),
            filters: Rare::default(),
            standing: Few::default(),
            readings: Few::default(),
            ledger: Rare::default(),
            forgotten: Rare::default(),
            recovered: None,
            refresh_at: None,
            counters: Counters::default(),
            regard: Regard::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &EndpointName {
        &self.name
    }

    /// Its options.
    #[cfg(feature = "connection")]
    pub(crate) fn options(&self) -> &EndpointOptions {
        &self.options
    }

    /// What it has seen.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.all()
    }

    /// How many requests were confirmed.
    #[cfg(feature = "connection")]
    pub(crate) const fn confirmed(&self) -> u64 {
        self.counters.confirmed
    }

    #[cfg(feature = "connection")]
    pub(crate) const fn regard(&self) -> Regard {
        self.regard
    }

    /// How many requests wait to be sent.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.room.queue.len()
    }

    /// What the waiting requests take, in bytes of resource and payload.
    #[must_use]
    pub fn queue_bytes(&self) -> usize {
        self.room.queue.bytes()
    }

    /// How many requests are sent and not yet confirmed.
    #[must_use]
    pub fn in_flight_len(&self) -> usize {
        self.room.flights.open_len()
    }

    /// Whether nothing is queued and nothing is in flight. Observations that stand do not count.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.room.queue.len() == 0 && self.in_flight_len() == 0
    }

    /// Prepares for [`close`](Self::close): nothing is observed any more, so that nothing but what
    /// the application asked for is waited for. Commands in its hands can still be answered; new
    /// ones are left with the platform. It may observe again, as if it never had.
    #[cfg(feature = "connection")]
    pub(crate) fn wind_down(&mut self, now: Instant) {
        let now = self.advance(now);
        self.forget_observations(now);
        let ours = |entry: &Entry| matches!(entry.owner, Owner::Observation(_) | Owner::Nobody);
        let own = self.room.entries().filter(|entry| ours(entry));
        let own: Vec<_> = own.map(|entry| entry.id).collect();
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
        let ledger = self.ledger.there();
        if let Some(times) = ledger.and_then(|ledger| ledger.release(command)) {
            trace::released(&self.name, command);
            self.record_release(command, times);
            self.ask_for_held();
        }
    }

    /// The next command to be read, of the types that `wanted` accepts.
    pub fn poll_command(&mut self, wanted: impl Fn(&CommandType) -> bool) -> Option<Command> {
        let command = self
            .ledger
            .there()?
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
        self.refresh_at = None;
        if let Some(filters) = self.filters.there() {
            filters.withdraw();
        }
        let mut entries = self.room.there().map(Room::drain).unwrap_or_default();
        entries.sort_by_key(|entry| entry.id);
        let callers = entries.iter().map(|entry| &**entry);
        let callers = callers.filter(|entry| entry.owner == Owner::Caller);
        let unfinished = callers.map(|entry| unfinished(entry, &self.journal));
        let unfinished = unfinished.collect();
        for entry in entries {
            self.end(now, entry, Err(Failure::Closed), Rest::None);
        }
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
        self.is_suspended = false;
        if std::mem::replace(&mut self.link_up, true) {
            return;
        }
        if let Some(ledger) = self.ledger.there() {
            ledger.handle_link_up();
        }
        // Only what is needed now is subscribed to, not what was needed once.
        self.filters = Rare::default();
        let mode = self.options.subscriptions;
        for entry in self.room.entries() {
            if entry.request.with_id && mode != Subscriptions::None {
                self.filters.need(mode, &self.name, &group(entry));
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
        let flights = self.room.flights.iter();
        let gone: Vec<_> = flights.map(|(id, flight)| (id, flight.stage)).collect();
        for (id, stage) in gone {
            match stage {
                Stage::Emitted => self.put_back(id),
                Stage::Sent => self.lose(now, id),
                Stage::Listening => {}
            }
        }
        self.record_unsent();
        self.drop_impatient(now);
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
        let filters = self.filters.there();
        if !filters.is_some_and(|filters| filters.handle(filter)) {
            return;
        }
        if outcome == FilterOutcome::Refused {
            self.notify(refused(filter));
        }
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) named. It may be called at any
    /// time: what is not due stays.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.spaces.handle_timeout(now);
        while let Some(id) = self.pop_due(now, |room| &mut room.expiries) {
            self.end_unsent(now, id, Failure::Expired);
        }
        while let Some(id) = self.pop_due(now, |room| &mut room.answers) {
            self.handle_no_answer(now, id);
        }
        for filter in self.unanswered_filters(now) {
            self.handle_filter(now, &filter, FilterOutcome::Refused);
        }
        self.refresh(now);
        if let Some(room) = self.room.there() {
            room.bulk_from.take_if(|at| *at <= now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next, or later. Every other
    /// call may change it. `None`: there is nothing to wait for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of = |due: &Due| due.first().map(|(at, _)| at);
        let deadlines = [
            of(&self.room.answers),
            of(&self.room.expiries),
            self.refresh_at,
            self.filters_by(),
            self.room.bulk_from,
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
        self.filters.there()?.poll(now + self.options.answer_within)
    }

    /// When the first subscription counts as not answered.
    fn filters_by(&self) -> Option<Instant> {
        self.link_up.then(|| self.filters.poll_timeout()).flatten()
    }

    /// The subscriptions that were not answered in time.
    fn unanswered_filters(&self, now: Instant) -> Vec<String> {
        match self.link_up {
            true => self.filters.unanswered(now),
            false => Vec::new(),
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.room.there()?.events.pop_front()
    }

    /// Whether there are events.
    #[cfg(feature = "connection")]
    pub(crate) fn has_events(&self) -> bool {
        !self.room.events.is_empty()
    }

    /// Whether there are subscriptions to make or to take back.
    #[cfg(feature = "connection")]
    pub(crate) fn has_filters(&self) -> bool {
        self.filters.has_some()
    }

    /// The time it is: never earlier than it was.
    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |before| before.max(now));
        self.now = Some(now);
        now
    }

    fn record(&mut self, record: impl FnOnce() -> Record) {
        if let Some(journal) = self.journal.there() {
            journal.record(record);
        }
    }

    /// Keeps an event back until `mark` is stored; gives it back if it need not wait.
    fn hold(&mut self, mark: Mark, event: Event) -> Option<Event> {
        match self.journal.there() {
            Some(journal) => journal.hold(mark, event),
            None => Some(event),
        }
    }

    /// Tells something that must not be known before `mark` is stored.
    fn tell(&mut self, mark: Mark, event: Event) {
        if let Some(event) = self.hold(mark, event) {
            self.room.events.push_back(event);
        }
    }

    /// Tells something that is no completion.
    fn notify(&mut self, event: Event) {
        trace::notified(&self.name, &event);
        if matches!(event, Event::NotStored(_)) {
            self.counters.others.not_stored += 1;
        }
        match self.room.events.len() < MAX_UNPOLLED_EVENTS {
            true => self.room.events.push_back(event),
            false => self.counters.others.events_lost += 1,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("link_up", &self.link_up)
            .field("queued", &self.room.queue.len())
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
