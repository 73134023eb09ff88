//! How requests are taken.

use std::time::{Duration, Instant};

use super::flight::{Entry, Owner};
use super::ids::{Holder, IdSpace};
use super::options::{Subscriptions, WhenFull};
use super::queue::Admission;
use super::trace::{self, Life};
use super::{
    CommandKey, Endpoint, Event, MAX_UNPOLLED_EVENTS, Observation, Record, Rest, ResultRecord,
    group,
};
use crate::QoS;
use crate::names::Extension;
use crate::request::{
    Class, Confirm, Effect, Failure, Prepared, Request, RequestId, StoredResult, SubmitError,
};
use crate::topic::{MAX_REST, MAX_TOPIC_LEN};

/// So many boxes of requests that ended are kept, with payloads of so many bytes.
const MAX_SPARE: usize = 64;
const MAX_SPARE_PAYLOAD: usize = 1_024;

impl Endpoint {
    /// Takes a request.
    ///
    /// Its end comes as [`Event::Completed`], exactly once.
    ///
    /// # Errors
    /// [`SubmitError`] says why it was not taken; nothing else is affected then.
    pub fn submit<R: Request + ?Sized>(
        &mut self,
        now: Instant,
        request: &R,
    ) -> Result<RequestId, SubmitError> {
        let blank = self.blank();
        self.submit_prepared(now, Prepared::reusing(blank, request)?)
    }

    /// Takes a request that was encoded before, on another thread perhaps.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn submit_prepared(
        &mut self,
        now: Instant,
        request: Prepared,
    ) -> Result<RequestId, SubmitError> {
        self.submit_kept(now, request, true)
    }

    /// As [`submit_prepared`](Self::submit_prepared); without `has_room` in the store a durable
    /// request is kept in memory only.
    pub(crate) fn submit_kept(
        &mut self,
        now: Instant,
        mut request: Prepared,
        has_room: bool,
    ) -> Result<RequestId, SubmitError> {
        let now = self.advance(now);
        if self.closed {
            return Err(SubmitError::Closed);
        }
        let unwanted = self.is_unwanted(&request);
        let dropped = self.admit(&request, unwanted)?;
        let id = self.next_id;
        self.attach_configuration(&mut request);
        let mut entry = self.entry(request, Owner::Caller);
        if let Some(wire_id) = entry.wire_id {
            let space = self.space(&entry.extension);
            if !space.take(wire_id, Holder::Request(id)) {
                return Err(SubmitError::IdInUse(wire_id));
            }
        }
        self.next_id = id.next();
        self.counters.submitted += 1;
        trace::submitted(self.now, &self.name, &mut entry);
        for oldest in dropped {
            self.end_unsent(now, oldest, Failure::Dropped);
        }
        let before = self.journal.mark();
        if self.is_durable(&entry.request) {
            self.accept_durable(&entry, has_room);
        }
        if let Effect::Results(command_type, results) = &entry.request.effect {
            for result in results {
                let key = CommandKey::new(command_type.clone(), result.id.clone());
                if !self.ledger.is_known(&key) {
                    self.make_room();
                }
                trace::answered(&self.name, &key);
                let max = self.options.max_commands;
                if self.ledger.finish(command_type, result, max) {
                    self.record(|| Record::Finished(key, ResultRecord(result.clone())));
                }
            }
        }
        entry.guard = self.journal.mark_since(before);
        if unwanted {
            self.end(now, entry, Err(Failure::Dropped), Rest::None);
            return Ok(id);
        }
        entry.expires_at = entry.request.policy.expires_after.map(|time| now + time);
        self.enqueue(entry);
        Ok(id)
    }

    /// The request IDs of an extension instance.
    pub(super) fn space(&mut self, extension: &Extension) -> &mut IdSpace {
        let (spread, rng) = (self.options.spread_request_ids, &mut self.rng);
        self.spaces.get_or_insert(extension, || match spread {
            true => IdSpace::starting_after(rng),
            false => IdSpace::default(),
        })
    }

    /// Finds room for a request of the application, and says which older ones must go for it.
    /// One that is `unwanted` ends at once and needs none.
    fn admit(&self, request: &Prepared, unwanted: bool) -> Result<Vec<RequestId>, SubmitError> {
        let (size, limit) = (request.payload.len(), self.options.max_message);
        if size > limit {
            return Err(SubmitError::TooLarge { size, limit });
        }
        let extension = self.options.instances.of(&request.service).as_str();
        let name = self.name.app_version().as_str().len() + self.name.token().as_str().len();
        let size = name + extension.len() + request.resource.len() + MAX_REST;
        if size > MAX_TOPIC_LEN {
            let limit = MAX_TOPIC_LEN;
            return Err(SubmitError::TooLarge { size, limit });
        }
        let class = request.policy.class;
        // The result of a command must not be lost for want of room; the ledger bounds how many
        // commands are in progress.
        if let Effect::Results(command_type, results) = &request.effect {
            let in_progress = |result: &StoredResult| {
                let key = CommandKey::new(command_type.clone(), result.id.clone());
                self.ledger.is_in_progress(&key)
            };
            if !results.is_empty() && results.iter().all(in_progress) {
                return Ok(Vec::new());
            }
        }
        if self.room.events.len() + self.journal.held_len() >= MAX_UNPOLLED_EVENTS {
            return Err(SubmitError::QueueFull(class));
        }
        if unwanted {
            return Ok(Vec::new());
        }
        let size = request.payload.len() + request.resource.len();
        let admission = match class {
            Class::Control => {
                let bound = &self.options.control;
                self.room.queue.control.admit(size, bound, WhenFull::Refuse)
            }
            Class::Bulk => {
                let bound = &self.options.bulk;
                self.room
                    .queue
                    .bulk
                    .admit(size, bound, self.options.bulk_when_full)
            }
        };
        match admission {
            Admission::Dropping(oldest) => Ok(oldest),
            Admission::Full => Err(SubmitError::QueueFull(class)),
        }
    }

    /// A request with all that the endpoint adds to it, under the next ID.
    pub(super) fn entry(&mut self, request: Prepared, owner: Owner) -> Box<Entry> {
        let policy = &request.policy;
        let qos = policy.qos.or(self.options.qos).unwrap_or_default();
        let qos = match policy.confirm {
            // Only then there is a PUBACK.
            Confirm::Acknowledged => qos.max(QoS::AtLeastOnce),
            Confirm::Nothing => policy.qos.unwrap_or_default(),
            Confirm::Answered => qos,
        };
        let entry = Entry {
            id: self.next_id,
            extension: self.options.instances.of(&request.service).clone(),
            qos,
            answer_within: policy.answer_within.unwrap_or(self.options.answer_within),
            owner,
            wire_id: request.fixed_id,
            was_sent: false,
            expires_at: None,
            sent_recorded: false,
            in_doubt: false,
            guard: 0,
            since: self.now,
            age: Duration::ZERO,
            life: Life::default(),
            request,
        };
        match self.room.spare.pop() {
            Some(mut spare) => {
                *spare = entry;
                spare
            }
            None => Box::new(entry),
        }
    }

    /// Keeps the box of a request that ended, and the buffer in it.
    pub(super) fn recycle(&mut self, mut entry: Box<Entry>) {
        entry.owner = Owner::Nobody;
        entry.life = Life::default();
        entry.request.effect = Effect::None;
        if self.room.spare.len() < MAX_SPARE
            && entry.request.payload.capacity() <= MAX_SPARE_PAYLOAD
        {
            self.room.spare.push(entry);
        }
    }

    /// A request to be written, whose buffers were used before where there are such.
    pub(crate) fn blank(&mut self) -> Prepared {
        let spare = self.room.there().and_then(|room| room.spare.last_mut());
        let used = spare.map(|spare| std::mem::replace(&mut spare.request, Prepared::blank()));
        used.unwrap_or_else(Prepared::blank)
    }

    pub(super) fn enqueue(&mut self, entry: Box<Entry>) {
        let mode = self.options.subscriptions;
        if entry.request.with_id && mode != Subscriptions::None {
            self.filters.need(mode, &self.name, &group(&entry));
        }
        self.wait_in_queue(entry.expires_at, entry.id);
        self.room.queue.lane(entry.request.policy.class).push(entry);
    }

    /// Notes until when a request may wait in the queue.
    pub(super) fn wait_in_queue(&mut self, expires_at: Option<Instant>, id: RequestId) {
        if let Some(at) = expires_at {
            self.room.expiries.set(at, id);
        }
    }

    /// Whether a request is to survive a crash. One for commands does not: who asked for them is gone
    /// then, and nobody would run what the answer brings.
    pub(crate) fn is_durable(&self, request: &Prepared) -> bool {
        let policy = &request.policy;
        let of_class = self.options.is_durable(policy.class);
        let brings_commands = matches!(request.effect, Effect::Pending(_));
        self.options.durable && policy.durable.unwrap_or(of_class) && !brings_commands
    }

    /// A report of what is applied keeps that at hand until it is confirmed: another configuration may
    /// be pushed meanwhile.
    fn attach_configuration(&self, request: &mut Prepared) {
        if let Effect::Applied(name, id, reported) = &mut request.effect {
            let observation = Observation::Configuration(name.clone());
            let reading = self.readings.get(&observation);
            let kept = reading.and_then(|reading| reading.kept(id));
            *reported = kept.cloned().map(Box::new);
        }
    }

    fn accept_durable(&mut self, entry: &Entry, has_room: bool) {
        let id = entry.id;
        let refused = match has_room {
            true => {
                let record = || Record::Accepted(id, entry.request.clone());
                self.journal.accept(id, entry.size(), record)
            }
            false => Some(Event::NotStored(id)),
        };
        if let Some(event) = refused {
            self.notify(event);
        }
    }
}
