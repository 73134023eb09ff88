//! What changed in endpoints, and what that means for the connection: sums, deadlines, turns.

use super::Connection;
use super::slab::EndpointKey;

/// Sums over endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Those with requests that have not ended.
    pub(super) busy: usize,
    /// Queued requests.
    pub(super) queued: usize,
    /// Their bytes.
    pub(super) queued_bytes: usize,
    /// Durable requests that have not ended.
    pub(super) durable: usize,
    /// Their bytes.
    pub(super) durable_bytes: usize,
}

/// A connection of more endpoints than this takes the room of idle ones back, and keeps it for so many.
const MANY: usize = 64;

impl Connection {
    /// Something changed in an endpoint: it is looked at before anything depends on that, once for
    /// many changes.
    pub(super) fn touch(&mut self, key: EndpointKey) {
        if let Some(slot) = self.slots.get_mut(key) {
            if !std::mem::replace(&mut slot.is_changed, true) {
                self.changed.push(key);
            }
        }
    }

    /// Takes note of what changed in endpoints.
    pub(super) fn look_at_changed(&mut self) {
        while !self.changed.is_empty() {
            let mut changed = std::mem::take(&mut self.changed);
            for key in changed.drain(..) {
                self.look_at(key);
            }
            if self.changed.is_empty() {
                self.changed = changed;
            }
        }
    }

    fn look_at(&mut self, key: EndpointKey) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        slot.is_changed = false;
        let endpoint = &slot.endpoint;
        let is_idle = endpoint.is_idle();
        let is_leaving = slot.is_leaving;
        let deadline = endpoint.poll_timeout();
        let (durable, durable_bytes) = endpoint.durable_len();
        let counted = Totals {
            durable,
            durable_bytes,
            busy: usize::from(!is_idle),
            queued: endpoint.queue_len(),
            queued_bytes: endpoint.queue_bytes(),
        };
        let before = std::mem::replace(&mut slot.counted, counted);
        self.totals.replace(before, counted);
        if slot.is_up {
            // Whether it may go is asked when it is its turn.
            if counted.queued > 0 {
                self.schedule.wake(key);
            }
            if endpoint.has_filters() && !std::mem::replace(&mut slot.is_filtering, true) {
                self.filtering.push_back(key);
            }
        }
        if endpoint.has_events() && !std::mem::replace(&mut slot.is_eventful, true) {
            self.eventful.push_back(key);
        }
        if endpoint.may_record() && !std::mem::replace(&mut slot.is_recording, true) {
            self.recording.push_back(key);
        }
        self.wake_at(key, deadline);
        if is_leaving && is_idle {
            self.discard(self.now, key);
        } else if is_idle && self.has_many() {
            self.take_room_back(key);
        }
    }

    /// Whether an idle endpoint is to take as little room as it can.
    pub(super) fn has_many(&self) -> bool {
        self.slots.len() > MANY
    }

    /// Takes the room of an endpoint that is idle, for the next one that speaks.
    pub(super) fn take_room_back(&mut self, key: EndpointKey) {
        let slot = self.slots.get_mut(key).filter(|slot| !slot.is_eventful);
        if let Some(room) = slot.and_then(|slot| slot.endpoint.give_room()) {
            if self.rooms.len() < MANY {
                self.rooms.push(room);
            }
        }
    }

    /// Gives room to an endpoint that is about to speak and has none.
    pub(super) fn give_room(&mut self, key: EndpointKey) {
        if let Some(slot) = self.slots.get_mut(key) {
            if slot.endpoint.wants_room() {
                if let Some(room) = self.rooms.pop() {
                    slot.endpoint.take_room(room);
                }
            }
        }
    }
}

impl Totals {
    /// Counts `after` in place of `before`.
    pub(super) const fn replace(&mut self, before: Self, after: Self) {
        self.busy = self.busy - before.busy + after.busy;
        self.queued = self.queued - before.queued + after.queued;
        self.queued_bytes = self.queued_bytes - before.queued_bytes + after.queued_bytes;
        self.durable = self.durable - before.durable + after.durable;
        self.durable_bytes = self.durable_bytes - before.durable_bytes + after.durable_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_endpoint_has_is_replaced_in_the_sum_of_all() {
        let totals = |busy, queued, queued_bytes, durable, durable_bytes| Totals {
            busy,
            queued,
            queued_bytes,
            durable,
            durable_bytes,
        };
        let mut sum = totals(10, 20, 300, 40, 500);
        sum.replace(totals(1, 2, 3, 4, 5), totals(3, 7, 11, 13, 17));
        assert_eq!(sum, totals(12, 25, 308, 49, 512));
    }
}
