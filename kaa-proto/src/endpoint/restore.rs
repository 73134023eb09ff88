//! Taking back what a store kept.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::flight::Owner;
use super::ids::Holder;
use super::trace;
use super::{CommandKey, Endpoint, Event, Observation, Record, ResultRecord, Timer};
use crate::request::{Failure, Prepared, RequestId, Resend};

impl Endpoint {
    /// Takes the records of an earlier run, in the order in which they came. To be called before
    /// anything else.
    ///
    /// Requests that had not ended are queued again in their order, and end as
    /// [`Event::RestoredCompleted`] with their old number. One that had been sent and may not be
    /// sent again ends as [`Failure::OutcomeUnknown`]. Commands that were in progress are
    /// surfaced once more, marked as interrupted, when the platform offers them again. The
    /// requests get new records: a host replaces the old ones by what it polls now.
    pub fn restore(&mut self, now: Instant, records: impl IntoIterator<Item = Record>) {
        let now = self.advance(now);
        let mut requests: BTreeMap<RequestId, (Prepared, bool)> = BTreeMap::new();
        let mut commands = Commands::default();
        for (place, record) in records.into_iter().enumerate() {
            match record {
                Record::Accepted(id, request) => {
                    requests.insert(id, (request, false));
                }
                Record::Sent(id) => {
                    if let Some((_, sent)) = requests.get_mut(&id) {
                        *sent = true;
                    }
                }
                Record::Ended(id) => {
                    requests.remove(&id);
                }
                Record::Surfaced(key) => {
                    commands.finished.remove(&key);
                    commands.in_progress.insert(key);
                }
                Record::Forgotten(key) => {
                    commands.in_progress.remove(&key);
                    commands.finished.remove(&key);
                }
                Record::Finished(key, result) => {
                    commands.in_progress.remove(&key);
                    commands.finished.insert(key, (place, result, false));
                }
                Record::ResultTaken(key) => {
                    if let Some((_, _, taken)) = commands.finished.get_mut(&key) {
                        *taken = true;
                    }
                }
                Record::Applied(name, id) => {
                    let observation = Observation::Configuration(name);
                    self.readings.entry(observation).or_default().applied = Some(id);
                }
                Record::Current(version) => {
                    self.readings
                        .entry(Observation::Software)
                        .or_default()
                        .applied = Some(version);
                }
            }
        }
        self.record_readings();
        self.restore_commands(commands);
        for (old, (request, sent)) in requests {
            self.restore_request(now, old, request, sent);
        }
    }

    fn restore_request(&mut self, now: Instant, old: RequestId, request: Prepared, sent: bool) {
        self.statistics.submitted += 1;
        if sent && request.policy.resend == Resend::Never {
            let outcome = Err(Failure::OutcomeUnknown);
            self.statistics.count(&outcome);
            self.events
                .push_back(Event::RestoredCompleted { id: old, outcome });
            return;
        }
        let mut entry = self.entry(request, Owner::Caller);
        let id = entry.id;
        self.next_id = id.next();
        self.restored.insert(id, old);
        trace::submitted(self.now, &self.name, &mut entry);
        self.record_accepted(&entry);
        if let Some(wire_id) = entry.wire_id {
            let space = self.space(&entry.extension);
            let _ = space.take(wire_id, Holder::Request(id));
        }
        entry.was_sent = sent;
        if sent {
            entry.sent_recorded = self.recorded.contains(&id);
            self.record(|| Record::Sent(id));
        } else {
            entry.expires_at = entry.request.policy.expires_after.map(|time| now + time);
            self.timers.set(Timer::Expiry(id), entry.expires_at);
        }
        self.enqueue(entry);
    }

    fn restore_commands(&mut self, commands: Commands) {
        for key in commands.in_progress {
            self.record(|| Record::Surfaced(key.clone()));
            self.ledger.restore_in_progress(key);
        }
        let mut finished: Vec<_> = commands.finished.into_iter().collect();
        finished.sort_by_key(|(_, (place, ..))| *place);
        for (key, (_, result, taken)) in finished {
            self.record(|| Record::Finished(key.clone(), result.clone()));
            if taken {
                self.record(|| Record::ResultTaken(key.clone()));
            }
            self.ledger.restore_finished(key, result.0, taken);
        }
    }

    /// What was applied, as new records.
    fn record_readings(&mut self) {
        let mut records = Vec::new();
        for (observation, reading) in &self.readings {
            let Some(applied) = reading.applied.clone() else {
                continue;
            };
            match observation {
                Observation::Configuration(name) => {
                    records.push(Record::Applied(name.clone(), applied));
                }
                Observation::Software => records.push(Record::Current(applied)),
                Observation::Commands(_) => {}
            }
        }
        for record in records {
            self.record(|| record);
        }
    }
}

/// The commands of an earlier run.
#[derive(Default)]
struct Commands {
    in_progress: BTreeSet<CommandKey>,
    /// With the place of the record, the result, and whether the platform took it.
    finished: BTreeMap<CommandKey, (usize, ResultRecord, bool)>,
}
