//! Taking back what a store kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::flight::Owner;
use super::ids::Holder;
use super::trace;
use super::{CommandKey, Endpoint, Event, Observation, Record, ResultRecord, Stored, Unfinished};
use crate::config::Configuration;
use crate::names::ConfigName;
use crate::request::{Failure, Offline, Prepared, RequestId, Resend};

/// What an earlier run of the program left behind: the account at start-up, as
/// `Connection::close` gives one at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// Requests that go on, in their order; each ends with an [`Event::RestoredCompleted`].
    pub resumed: Vec<Unfinished>,
    /// Requests that may have been sent and may not be sent again: nobody knows whether the platform
    /// processed them. They have ended, as [`Failure::OutcomeUnknown`].
    pub unknown: Vec<Unfinished>,
    /// Commands that the application had not answered. Each is treated as
    /// [`WhenInterrupted`](super::WhenInterrupted) says, if the platform still offers it; it is
    /// forgotten once the platform lists what is outstanding, and does not name it.
    pub interrupted: Vec<CommandKey>,
    /// Commands whose results are known, and sent again if the platform offers them again.
    pub finished: Vec<CommandKey>,
}

/// What was found, and the requests to be handed over.
#[derive(Debug)]
pub(super) struct Found {
    account: Recovered,
    pub(super) unknown: Vec<(RequestId, Prepared, Duration)>,
}

impl Endpoint {
    /// Takes the records of earlier runs, in the order in which they came. To be called before
    /// anything else. The records stay as they are in the store; new ones come after them.
    ///
    /// Requests that had not ended are queued again in their order, under their numbers and with
    /// their time in the queue counted on, and end as [`Event::RestoredCompleted`]. One that may
    /// have been sent and may not be sent again has ended as [`Failure::OutcomeUnknown`], and waits
    /// in [`take_recovered`](Self::take_recovered). Commands that were in progress are treated as
    /// [`EndpointOptions::interrupted`](super::EndpointOptions::interrupted) says when the platform
    /// offers them again.
    pub fn restore<S: Into<Stored>>(&mut self, now: Instant, records: impl IntoIterator<Item = S>) {
        let now = self.advance(now);
        let mut past = Past::default();
        for (place, stored) in records.into_iter().enumerate() {
            past.apply(place, stored.into());
        }
        self.next_id = self.next_id.max(past.reached.unwrap_or(RequestId::FIRST));
        let mut account = Recovered::default();
        let mut unknown = Vec::new();
        self.restore_readings(past.applied, past.current, past.good);
        for (key, times) in past.surfaced {
            account.interrupted.push(key.clone());
            self.ledger.restore_in_progress(key, times);
        }
        let mut finished: Vec<_> = past.finished.into_iter().collect();
        finished.sort_by_key(|(_, (place, ..))| *place);
        for (key, (_, result, taken)) in finished {
            account.finished.push(key.clone());
            self.ledger.restore_finished(key, result.0, taken);
        }
        for (id, request) in past.requests {
            self.counters.submitted += 1;
            let Accepted { request, sent, age } = request;
            let may_repeat = request.policy.resend == Resend::AfterLinkLoss;
            let told = Unfinished {
                id,
                service: request.service.clone(),
                resource: request.resource().to_owned(),
                payload: Bytes::copy_from_slice(&request.payload),
                sent: sent || may_repeat,
                stored: true,
            };
            if sent && !may_repeat {
                self.counters.count(&Err(Failure::OutcomeUnknown));
                self.journal.restore(id, size(&request));
                account.unknown.push(told);
                unknown.push((id, request, age));
            } else {
                account.resumed.push(told);
                self.restore_request(now, id, request, age);
            }
        }
        if account != Recovered::default() {
            self.recovered = Some(Box::new(Found { account, unknown }));
            self.notify(Event::Recovered);
        }
    }

    /// What an earlier run left behind, until it is [taken](Self::take_recovered): it stays as it is,
    /// and the next run finds it again. `None` if there is nothing, or it was taken.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.recovered.as_ref().map(|found| &found.account)
    }

    /// What an earlier run left behind, once: the caller knows of it then, and the requests with an
    /// unknown outcome are no longer kept. Until that is stored every further run finds them again.
    /// A caller that must not lose one deals with what [`recovered`](Self::recovered) shows, and takes
    /// it after that.
    pub fn take_recovered(&mut self, now: Instant) -> Option<Recovered> {
        self.advance(now);
        let found = self.recovered.take()?;
        for (id, ..) in &found.unknown {
            self.take_restored(*id);
            self.end_durable(*id);
        }
        Some(found.account)
    }

    /// The requests of an earlier run that go on, until the account was taken.
    #[cfg(feature = "client")]
    pub(crate) fn resumed(&self) -> impl Iterator<Item = RequestId> + '_ {
        let found = self.recovered.iter();
        found.flat_map(|found| found.account.resumed.iter().map(|request| request.id))
    }

    /// What was restored came from memory, and its records are still on their way to the store, before
    /// all that are made from now on: it waits for them.
    #[cfg(feature = "connection")]
    pub(crate) fn await_last_records(&mut self) {
        let next = self.next_id;
        self.record(|| Record::Reached(next));
        let mark = self.journal.mark();
        let journal = self.journal.there();
        let restored = journal.map(|journal| journal.await_restored());
        for id in restored.into_iter().flatten() {
            if let Some(entry) = self.room.queue.find_mut(id) {
                entry.guard = mark;
            }
        }
        if let Some(found) = &mut self.recovered {
            let account = &mut found.account;
            let told = account.resumed.iter_mut().chain(&mut account.unknown);
            told.for_each(|request| request.stored = false);
        }
    }

    fn restore_request(&mut self, now: Instant, id: RequestId, request: Prepared, age: Duration) {
        // One that may be sent only once was not sent: there would be a record.
        let in_doubt = request.policy.resend == Resend::AfterLinkLoss;
        let mut entry = self.entry(request, Owner::Caller);
        entry.id = id;
        entry.in_doubt = in_doubt;
        entry.age = age;
        self.journal.restore(id, entry.size());
        trace::submitted(self.now, &self.name, &mut entry);
        if let Some(wire_id) = entry.wire_id {
            let space = self.space(&entry.extension);
            let _ = space.take(wire_id, Holder::Request(id));
        }
        let left = |time: Duration| now + time.saturating_sub(age);
        entry.expires_at = match entry.request.policy.offline {
            Offline::Queue => entry.request.policy.expires_after.map(left),
            // Its time was the link of an earlier run.
            Offline::Drop => Some(now),
        };
        self.enqueue(entry);
    }

    fn restore_readings(
        &mut self,
        applied: BTreeMap<Option<ConfigName>, Arc<str>>,
        current: Option<Arc<str>>,
        good: BTreeMap<Option<ConfigName>, Configuration>,
    ) {
        for (name, id) in applied {
            let observation = Observation::Configuration(name);
            let reading = self.readings.get_or_default(observation);
            // It is no news, should the platform push it unasked.
            reading.surfaced = Some(Arc::clone(&id));
            reading.applied = Some(id);
        }
        for (name, configuration) in good {
            let observation = Observation::Configuration(name);
            let reading = self.readings.get_or_default(observation);
            // One without the report that it is applied was not confirmed.
            let is_applied = reading.applied.as_deref() == Some(configuration.config_id());
            reading.good = is_applied.then_some(configuration);
        }
        if let Some(version) = current {
            // Another one may run by now, and this be the one to go back to.
            let reading = self.readings.get_or_default(Observation::Software);
            reading.applied = Some(version);
        }
    }
}

fn size(request: &Prepared) -> usize {
    request.resource().len() + request.payload().len()
}

/// What the records of earlier runs come to.
#[derive(Default)]
struct Past {
    /// The ID of the next request.
    reached: Option<RequestId>,
    requests: BTreeMap<RequestId, Accepted>,
    /// Commands in progress, and how often each was surfaced.
    surfaced: BTreeMap<CommandKey, u32>,
    /// With the place of the record, the result, and whether the platform took it.
    finished: BTreeMap<CommandKey, (usize, ResultRecord, bool)>,
    applied: BTreeMap<Option<ConfigName>, Arc<str>>,
    current: Option<Arc<str>>,
    good: BTreeMap<Option<ConfigName>, Configuration>,
}

struct Accepted {
    request: Prepared,
    sent: bool,
    age: Duration,
}

impl Past {
    fn apply(&mut self, place: usize, stored: Stored) {
        let Stored { record, age } = stored;
        match record {
            Record::Reached(id) => self.reached = self.reached.max(Some(id)),
            Record::Accepted(id, request) => {
                self.reached = self.reached.max(Some(id.next()));
                let sent = false;
                self.requests.insert(id, Accepted { request, sent, age });
            }
            Record::Sent(id) => {
                if let Some(request) = self.requests.get_mut(&id) {
                    request.sent = true;
                }
            }
            Record::Unsent(id) => {
                if let Some(request) = self.requests.get_mut(&id) {
                    request.sent = false;
                }
            }
            Record::Ended(id) => drop(self.requests.remove(&id)),
            Record::Surfaced(key) => {
                self.finished.remove(&key);
                let times = self.surfaced.entry(key).or_default();
                *times = times.saturating_add(1);
            }
            Record::Forgotten(key) => {
                self.surfaced.remove(&key);
                self.finished.remove(&key);
            }
            Record::Finished(key, result) => {
                self.surfaced.remove(&key);
                self.finished.insert(key, (place, result, false));
            }
            Record::ResultTaken(key) => {
                if let Some((_, _, taken)) = self.finished.get_mut(&key) {
                    *taken = true;
                }
            }
            Record::Applied(name, id) => drop(self.applied.insert(name, id)),
            Record::Current(version) => self.current = Some(version),
            Record::Configuration(configuration) => {
                let name = configuration.name().cloned();
                self.good.insert(name, configuration);
            }
        }
    }
}
