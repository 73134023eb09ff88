//! The subscriptions of all endpoints, in few packets.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::slab::EndpointKey;
use super::{Connection, Deadline, Ticket};
use crate::QoS;
use crate::endpoint::{Filter, FilterOutcome};
use crate::mqtt::{Granted, Session, SubscribeError};

/// How long SUBACK may take. What needs the subscriptions is sent all the same then: the platform
/// delivers answers without them (FACTS trap 17).
const SUBACK_WITHIN: Duration = Duration::from_secs(30);

/// Fixed header and packet identifier.
const OVERHEAD: usize = 5 + 2;

/// Length and QoS beside a filter.
const FILTER_OVERHEAD: usize = 2 + 1;

/// How many filters wait to be taken back, for each endpoint that there was at once. A server that
/// never answers UNSUBSCRIBE would have them pile up for as long as its link lives; what is beyond
/// stays subscribed until then, and what comes of it is counted as stray.
const FAREWELLS_EACH: usize = 64;

/// A filter and whose it is.
type Wanted = (EndpointKey, String);

/// What is on its way; nothing without a link.
#[derive(Default)]
pub(super) struct Subscribing {
    /// Filters that were taken from endpoints, for the next packet: as much as one holds, and the
    /// rest of one endpoint's.
    wanted: VecDeque<Wanted>,
    /// Their bytes in the packet.
    wanted_bytes: usize,
    /// The filters of each unanswered SUBSCRIBE, in their order in it.
    unanswered: BTreeMap<u64, Vec<Wanted>>,
    /// The number of the last SUBSCRIBE.
    number: u64,
    /// Filters that are not needed any more, up to a bound. None of them is in `wanted`.
    farewells: BTreeSet<String>,
}

impl Subscribing {
    /// Unsubscribes when there is time, for as many endpoints as there were at once. What was not
    /// subscribed to yet will not be.
    pub(super) fn say_farewell(&mut self, filter: String, endpoints: usize) {
        self.wanted.retain(|(_, wanted)| *wanted != filter);
        let bytes = |(_, filter): &Wanted| filter.len() + FILTER_OVERHEAD;
        self.wanted_bytes = self.wanted.iter().map(bytes).sum();
        if self.farewells.len() < endpoints.saturating_mul(FAREWELLS_EACH) {
            self.farewells.insert(filter);
        }
    }

    /// How many filters wait to be taken back.
    #[cfg(test)]
    pub(super) fn farewells(&self) -> usize {
        self.farewells.len()
    }

    /// Forgets all, and says which numbers were unanswered.
    pub(super) fn clear(&mut self) -> Vec<u64> {
        self.wanted.clear();
        self.wanted_bytes = 0;
        self.farewells.clear();
        std::mem::take(&mut self.unanswered).into_keys().collect()
    }

    /// Subscribes when there is time. A farewell that was not said yet will not be: after the
    /// SUBSCRIBE it would take away what is wanted.
    fn want(&mut self, wanted: Wanted) {
        self.farewells.remove(&wanted.1);
        self.wanted_bytes += wanted.1.len() + FILTER_OVERHEAD;
        self.wanted.push_back(wanted);
    }

    /// Takes as many filters as fit into `limit` bytes, at least one.
    fn next_batch(&mut self, limit: usize) -> Vec<Wanted> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some((_, filter)) = self.wanted.front() {
            let more = filter.len() + FILTER_OVERHEAD;
            if !batch.is_empty() && bytes + more > limit {
                break;
            }
            bytes += more;
            batch.extend(self.wanted.pop_front());
        }
        self.wanted_bytes -= bytes;
        batch
    }

    /// Puts a batch back to the front.
    fn put_back(&mut self, batch: Vec<Wanted>) {
        for (key, filter) in batch.into_iter().rev() {
            self.wanted_bytes += filter.len() + FILTER_OVERHEAD;
            self.wanted.push_front((key, filter));
        }
    }
}

impl Connection {
    /// Encodes one UNSUBSCRIBE and one SUBSCRIBE, if there is anything for them; whether there
    /// was. In this order, because a name may be added again right after it was removed.
    pub(super) fn subscribe(&mut self, now: Instant, session: &mut Session<Ticket>) -> bool {
        let limit = self.options.session.max_packet_out;
        let limit = limit.min(self.options.session.high_water);
        // A packet holds one filter at least.
        let limit = limit.saturating_sub(OVERHEAD).max(1);
        self.gather(now, limit);
        let unsubscribed = self.has_room(session) && self.unsubscribe_batch(session, limit);
        let subscribed = self.has_room(session) && self.subscribe_batch(now, session, limit);
        unsubscribed || subscribed
    }

    /// The answer to a SUBSCRIBE.
    pub(super) fn handle_suback(&mut self, now: Instant, number: u64, granted: Granted<'_>) {
        self.timers.clear(&Deadline::SubAck(number));
        let batch = self.subscribing.unanswered.remove(&number);
        for (wanted, result) in batch.into_iter().flatten().zip(granted.iter()) {
            let outcome = match result {
                Ok(_) => FilterOutcome::Granted,
                Err(_) => FilterOutcome::Refused,
            };
            self.tell_outcome(now, &wanted, outcome);
        }
    }

    /// There was no answer to a SUBSCRIBE in time.
    pub(super) fn handle_no_suback(&mut self, now: Instant, number: u64) {
        let batch = self.subscribing.unanswered.remove(&number);
        let batch = batch.unwrap_or_default();
        self.statistics.subscriptions_unanswered += batch.len() as u64;
        self.refuse(now, &batch);
    }

    /// Takes filters from endpoints, as many as a packet holds.
    fn gather(&mut self, now: Instant, limit: usize) {
        let endpoints = self.slots.most();
        while self.subscribing.wanted_bytes < limit {
            let Some(key) = self.filtering.pop_front() else {
                break;
            };
            let Some(slot) = self.slots.get_mut(key) else {
                continue;
            };
            slot.is_filtering = false;
            if !slot.is_up {
                continue;
            }
            let mut any = false;
            while let Some(filter) = slot.endpoint.poll_filter(now) {
                any = true;
                match filter {
                    Filter::Subscribe(filter) => self.subscribing.want((key, filter)),
                    Filter::Unsubscribe(filter) => {
                        self.subscribing.say_farewell(filter, endpoints);
                    }
                }
            }
            if any {
                // It set a deadline for the answer.
                let deadline = slot.endpoint.poll_timeout();
                self.wake_at(key, deadline);
            }
        }
    }

    fn subscribe_batch(
        &mut self,
        now: Instant,
        session: &mut Session<Ticket>,
        limit: usize,
    ) -> bool {
        // A whole batch is not made up to be put back.
        if session.is_subscribing_full() && !self.subscribing.unanswered.is_empty() {
            return false;
        }
        let batch = self.subscribing.next_batch(limit);
        if batch.is_empty() {
            return false;
        }
        let number = self.subscribing.number + 1;
        let filters: Vec<_> = batch
            .iter()
            .map(|(_, filter)| (filter.as_str(), QoS::AtLeastOnce))
            .collect();
        match session.subscribe(Ticket::Subscribe(number), &filters) {
            Ok(()) => {
                for (key, filter) in &batch {
                    self.suspects.handle_spoke(*key);
                    if self.eager.is_on() {
                        self.with(*key, |endpoint| endpoint.handle_filter_ahead(now, filter));
                    }
                }
                self.subscribing.number = number;
                self.subscribing.unanswered.insert(number, batch);
                let deadline = now + SUBACK_WITHIN;
                self.timers.set(Deadline::SubAck(number), deadline);
                true
            }
            // Answers are still awaited: later.
            Err(SubscribeError::WindowFull) if !self.subscribing.unanswered.is_empty() => {
                self.subscribing.put_back(batch);
                false
            }
            Err(SubscribeError::OutputFull | SubscribeError::NotConnected) => {
                self.subscribing.put_back(batch);
                false
            }
            // A server that answers none is not asked any more; a filter that no packet holds
            // cannot be asked for.
            Err(
                SubscribeError::WindowFull
                | SubscribeError::TooLarge { .. }
                | SubscribeError::NoFilters
                | SubscribeError::BadFilter { .. },
            ) => {
                self.refuse(now, &batch);
                true
            }
        }
    }

    fn unsubscribe_batch(&mut self, session: &mut Session<Ticket>, limit: usize) -> bool {
        let farewells = &mut self.subscribing.farewells;
        let mut bytes = 0;
        let fitting = farewells.iter().take_while(|filter| {
            bytes += filter.len() + FILTER_OVERHEAD;
            bytes <= limit
        });
        let count = fitting.count().max(1).min(farewells.len());
        let filters: Vec<_> = farewells.iter().take(count).map(String::as_str).collect();
        if filters.is_empty() {
            return false;
        }
        match session.unsubscribe(Ticket::Unsubscribe, &filters) {
            Err(
                SubscribeError::WindowFull
                | SubscribeError::OutputFull
                | SubscribeError::NotConnected,
            ) => false,
            // What cannot be taken back stays; its messages are counted as strays.
            Ok(())
            | Err(
                SubscribeError::TooLarge { .. }
                | SubscribeError::NoFilters
                | SubscribeError::BadFilter { .. },
            ) => {
                (0..count).for_each(|_| drop(farewells.pop_first()));
                true
            }
        }
    }

    fn refuse(&mut self, now: Instant, batch: &[Wanted]) {
        for wanted in batch {
            self.tell_outcome(now, wanted, FilterOutcome::Refused);
        }
    }

    fn tell_outcome(&mut self, now: Instant, (key, filter): &Wanted, outcome: FilterOutcome) {
        self.with(*key, |endpoint| {
            endpoint.handle_filter(now, filter, outcome);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::slab::Slab;

    #[test]
    fn a_filter_that_is_wanted_again_is_not_taken_back_and_the_other_way_round() {
        let key = Slab::default().insert(()).unwrap();
        let mut subscribing = Subscribing::default();
        subscribing.say_farewell("a".into(), 1);
        subscribing.say_farewell("b".into(), 1);
        subscribing.want((key, "a".into()));
        assert!(subscribing.farewells.iter().eq(["b"]));
        subscribing.say_farewell("a".into(), 1);
        assert!(subscribing.wanted.is_empty() && subscribing.wanted_bytes == 0);
        assert!(subscribing.farewells.iter().eq(["a", "b"]));
    }

    #[test]
    fn a_batch_holds_what_fits_and_at_least_one() {
        let key = Slab::default().insert(()).unwrap();
        let mut subscribing = Subscribing::default();
        for length in [7, 7, 7, 40] {
            subscribing.want((key, "x".repeat(length)));
        }
        let lengths = |batch: &[Wanted]| batch.iter().map(|(_, f)| f.len()).collect::<Vec<_>>();
        let batch = subscribing.next_batch(20);
        assert_eq!(lengths(&batch), [7, 7]);
        subscribing.put_back(batch);
        assert_eq!(subscribing.wanted_bytes, 73);
        assert_eq!(lengths(&subscribing.next_batch(30)), [7, 7, 7]);
        assert_eq!(lengths(&subscribing.next_batch(30)), [40]);
        assert!(subscribing.next_batch(30).is_empty());
        assert_eq!(subscribing.wanted_bytes, 0);
    }
}
