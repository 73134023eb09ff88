//! All that must survive a crash, written down at once.

use std::time::{Duration, Instant};

use super::flight::{Entry, Stage};
use super::{Endpoint, Observation, Record, ResultRecord, Stored};
use crate::request::{RequestId, Resend};

impl Endpoint {
    /// All that is needed of the records so far, to be stored in place of them: to make a store
    /// smaller, or a new one after [`handle_store_lost`](Self::handle_store_lost). It stands for
    /// everything that was recorded before; records that were not polled are in it.
    ///
    /// It counts as one more record that was polled, after all before: once it is stored, tell
    /// [`handle_stored`](Self::handle_stored) with what [`unstored_len`](Self::unstored_len) says
    /// right after this call. To be taken before [`close`](Self::close), and only from a durable
    /// endpoint.
    pub fn snapshot(&mut self, now: Instant) -> Vec<Stored> {
        let now = self.advance(now);
        let mut records: Vec<Stored> = vec![Record::Reached(self.next_id).into()];
        for (observation, reading) in self.readings.iter() {
            let good = reading.good.clone();
            records.extend(good.map(|good| Record::Configuration(good).into()));
            let Some(applied) = reading.applied.clone() else {
                continue;
            };
            match observation {
                Observation::Configuration(name) => {
                    records.push(Record::Applied(name.clone(), applied).into());
                }
                Observation::Software => records.push(Record::Current(applied).into()),
                Observation::Commands(_) => {}
            }
        }
        for (key, times) in self.ledger.surfaced() {
            records.extend((0..times).map(|_| Record::Surfaced(key.clone()).into()));
        }
        for (key, result, taken) in self.ledger.results() {
            records.push(Record::Finished(key.clone(), ResultRecord(result)).into());
            if taken {
                records.push(Record::ResultTaken(key).into());
            }
        }
        self.write_requests(now, &mut records);
        self.journal.begin_anew();
        // It is not among them that what waits may have been sent.
        let Some(room) = self.room.there() else {
            return records;
        };
        for entry in room.queue.iter_mut() {
            entry.sent_recorded &= entry.was_sent;
        }
        // Of what may have been sent it is.
        for entry in room.flights.open_entries() {
            let is_once = entry.request.policy.resend == Resend::Never;
            entry.sent_recorded |= is_once && self.journal.is_durable(entry.id);
        }
        records
    }

    /// The durable requests, in their order.
    fn write_requests(&self, now: Instant, records: &mut Vec<Stored>) {
        let queued = self
            .room
            .queue
            .control
            .iter()
            .chain(self.room.queue.bulk.iter());
        let flights = self.room.flights.iter().map(|(_, flight)| flight);
        let flights = flights.filter(|flight| flight.stage != Stage::Listening);
        let mut open: Vec<(&Entry, bool)> = queued.map(|entry| (entry, false)).collect();
        open.extend(flights.map(|flight| (&*flight.entry, true)));
        open.retain(|(entry, _)| self.journal.is_durable(entry.id));
        open.sort_by_key(|(entry, _)| entry.id);
        let unknown = self.recovered.iter().flat_map(|found| &found.unknown);
        for (id, request, age) in unknown {
            write(records, *id, request, *age, true);
        }
        for (entry, is_out) in open {
            let sent = entry.was_sent || is_out;
            let may_repeat = entry.request.policy.resend == Resend::AfterLinkLoss;
            let age = entry.age(now);
            write(records, entry.id, &entry.request, age, sent && !may_repeat);
        }
    }
}

fn write(
    records: &mut Vec<Stored>,
    id: RequestId,
    request: &crate::request::Prepared,
    age: Duration,
    sent: bool,
) {
    let record = Record::Accepted(id, request.clone());
    records.push(Stored { record, age });
    if sent {
        records.push(Record::Sent(id).into());
    }
}
