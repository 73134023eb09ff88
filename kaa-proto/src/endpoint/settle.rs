//! How requests end: each exactly once.

use std::time::Instant;

use super::flight::{Entry, Flight, Owner, Stage};
use super::ledger::{CommandKey, ResultEnd};
use super::trace;
use super::{Endpoint, Event, Observation, Record, Rest, rest_time};
use crate::request::{Confirm, Effect, Failure, Outcome, RequestId};

/// What the platform's answers say of an endpoint, whatever was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Regard {
    /// How often it served.
    pub(crate) served: u64,
    /// How often in a row it said that this endpoint may not ask: with status 401 or 403, and
    /// nothing was answered or acknowledged in between.
    pub(crate) denied: u32,
}

impl Endpoint {
    /// It is suspended for its denials: those to come are counted anew.
    #[cfg(feature = "connection")]
    pub(crate) const fn forget_denials(&mut self) {
        self.regard.denied = 0;
    }

    /// Ends a request that waits in the queue.
    pub(super) fn end_queued(&mut self, now: Instant, id: RequestId, failure: Failure) {
        if let Some(entry) = self.room.queue.remove(id) {
            let rest = Rest::after(&entry);
            self.end(now, entry, Err(failure), rest);
        }
    }

    /// Ends a request that waits in the queue, and is not to be sent any more: as `failure` if it
    /// certainly never was.
    pub(super) fn end_unsent(&mut self, now: Instant, id: RequestId, failure: Failure) {
        let entry = self.room.queue.find(id);
        if let Some(failure) = entry.map(|entry| entry.failure_unless_sent(failure)) {
            self.end_queued(now, id, failure);
        }
    }

    /// Ends a request that is in flight.
    pub(super) fn end_flight(&mut self, now: Instant, id: RequestId, outcome: Outcome, rest: Rest) {
        if let Some(Flight { entry, .. }) = self.room.flights.remove(id) {
            self.end(now, entry, outcome, rest);
        }
    }

    /// `answer_within` is over.
    pub(super) fn handle_no_answer(&mut self, now: Instant, id: RequestId) {
        let Some(Flight { entry, stage, .. }) = self.room.flights.remove(id) else {
            return;
        };
        match stage {
            Stage::Listening => {
                self.free_id(now, &entry, Rest::ForLateAnswer);
                self.recycle(entry);
                self.tidy_deadlines();
            }
            Stage::Emitted | Stage::Sent => {
                self.end(now, entry, Err(Failure::Unanswered), Rest::ForLateAnswer);
            }
        }
    }

    /// Ends a request that was taken out of where it was.
    pub(super) fn end(&mut self, now: Instant, entry: Box<Entry>, outcome: Outcome, rest: Rest) {
        trace::ended(now, &self.name, &entry, &outcome);
        self.free_id(now, &entry, rest);
        self.conclude(now, entry.id, &entry.owner, &entry.request.effect, outcome);
        self.recycle(entry);
        self.tidy_deadlines();
    }

    /// Draws the consequences of an end and tells who wants to know.
    pub(super) fn conclude(
        &mut self,
        now: Instant,
        id: RequestId,
        owner: &Owner,
        effect: &Effect,
        outcome: Outcome,
    ) {
        match &outcome {
            Ok(reply) => self.regard.handle_success(reply.confirmed()),
            Err(failure) => self.regard.handle(Some(failure)),
        }
        let before = self.journal.mark();
        self.apply(id, effect, &outcome);
        match owner {
            Owner::Caller => {
                self.counters.count(&outcome);
                // What was only closed is still to be done: its records bring it back.
                if outcome != Err(Failure::Closed) {
                    self.end_durable(id);
                }
                let mark = match effect {
                    // The commands in it were recorded when they passed the ledger.
                    Effect::Pending(_) => self.journal.mark(),
                    Effect::None
                    | Effect::Results(..)
                    | Effect::Applied(..)
                    | Effect::Current(_) => self.journal.mark_since(before),
                };
                let event = match self.take_restored(id) {
                    true => Event::RestoredCompleted { id, outcome },
                    false => Event::Completed { id, outcome },
                };
                self.tell(mark, event);
            }
            Owner::Observation(observation) => {
                self.handle_observed(now, observation, outcome.err());
            }
            Owner::Ledger | Owner::Nobody => {}
        }
    }

    /// Takes a request out of the queue or out of flight, if it has not ended.
    pub(super) fn take_out(
        &mut self,
        id: RequestId,
        ours: impl Fn(&Entry) -> bool,
    ) -> Option<Box<Entry>> {
        let open = |flight: &Flight| flight.stage != Stage::Listening && ours(&flight.entry);
        if self.room.flights.get(id).is_some_and(open) {
            return self.room.flights.remove(id).map(Flight::into_entry);
        }
        match self.room.queue.find(id).is_some_and(&ours) {
            true => self.room.queue.remove(id),
            false => None,
        }
    }

    /// What the end of a request means for the endpoint's own state.
    fn apply(&mut self, id: RequestId, effect: &Effect, outcome: &Outcome) {
        let confirmed = outcome.is_ok();
        match effect {
            Effect::Results(command_type, results) => {
                let end = result_end(outcome);
                for result in results {
                    let key = CommandKey::new(command_type.clone(), result.id.clone());
                    if self.ledger.handle_result_end(&key, end) {
                        self.record(|| Record::ResultTaken(key));
                    }
                }
                self.ask_for_held();
            }
            Effect::Applied(name, config_id, reported) if confirmed => {
                let observation = Observation::Configuration(name.clone());
                let reading = self.readings.get_or_default(observation);
                reading.apply(config_id.clone());
                let reported = reported.as_deref().cloned();
                let good = reported.or_else(|| reading.kept(config_id).cloned());
                reading.good.clone_from(&good);
                if let Some(good) = good {
                    self.record(|| Record::Configuration(good));
                }
                self.record(|| Record::Applied(name.clone(), config_id.clone()));
            }
            Effect::Current(version) if confirmed && self.is_newest_version(id) => {
                self.record(|| Record::Current(version.clone()));
                let reading = self.readings.get_or_default(Observation::Software);
                reading.apply(version.clone());
            }
            Effect::None | Effect::Pending(_) | Effect::Applied(..) | Effect::Current(_) => {}
        }
    }

    /// Frees the request ID of an entry. That of an observation stays with it.
    pub(super) fn free_id(&mut self, now: Instant, entry: &Entry, rest: Rest) {
        let Some(wire_id) = entry.wire_id else { return };
        if let Owner::Observation(observation) = &entry.owner {
            if let Some(standing) = self.standing.get_mut(observation) {
                standing.wire_id = Some(wire_id);
                return;
            }
        }
        if let Some(space) = self.spaces.get_mut(entry.extension.as_str()) {
            let until = (rest == Rest::ForLateAnswer).then(|| now + rest_time(entry));
            space.release(wire_id, &entry.request.resource, until);
        }
    }
}

/// What the end of a message with results says of these.
fn result_end(outcome: &Outcome) -> ResultEnd {
    match outcome {
        Ok(reply) if reply.confirmed() == Confirm::Answered => ResultEnd::Answered,
        Ok(_) => ResultEnd::Acknowledged,
        Err(Failure::Rejected { .. }) => ResultEnd::Refused,
        Err(_) => ResultEnd::Unknown,
    }
}

impl Regard {
    /// The platform served, or a request failed.
    pub(super) const fn handle(&mut self, failure: Option<&Failure>) {
        match failure {
            None => {
                self.served += 1;
                self.denied = 0;
            }
            Some(Failure::Rejected {
                status: Some(401 | 403),
                ..
            }) => self.denied = self.denied.saturating_add(1),
            Some(_) => {}
        }
    }

    /// A request succeeded, by that confirmation. PUBACK serves nobody, but tells that not all it
    /// says is denied.
    const fn handle_success(&mut self, by: Confirm) {
        match by {
            Confirm::Answered => self.handle(None),
            Confirm::Acknowledged => self.denied = 0,
            Confirm::Nothing => {}
        }
    }
}
