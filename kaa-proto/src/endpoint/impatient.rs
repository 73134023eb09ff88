//! Requests that are worthless later: they do not wait where nothing can be sent.

use std::time::Instant;

use super::Endpoint;
use super::flight::Entry;
use crate::request::{Failure, Offline, Prepared};

impl Endpoint {
    /// Nothing is sent of it on this link until it is told once more that the link is up. What is in
    /// flight may still be answered.
    #[cfg(feature = "connection")]
    pub(crate) fn handle_suspended(&mut self, now: Instant) {
        let now = self.advance(now);
        if self.link_up {
            self.is_suspended = true;
            self.drop_impatient(now);
        }
    }

    /// Whether a request is not to wait, and nothing can be sent.
    pub(super) fn is_unwanted(&self, request: &Prepared) -> bool {
        let may_send = self.link_up && !self.is_suspended;
        !may_send && request.policy.offline == Offline::Drop
    }

    /// Nothing can be sent any more: ends those that are not to wait for the next link.
    pub(super) fn drop_impatient(&mut self, now: Instant) {
        let is_impatient = |entry: &&Entry| entry.request.policy.offline == Offline::Drop;
        let queue = &self.room.queue;
        let waiting = queue.bulk.iter().chain(queue.control.iter());
        let dropped: Vec<_> = waiting
            .filter(is_impatient)
            .map(|entry| (entry.id, entry.failure_unless_sent(Failure::Dropped)))
            .collect();
        for (id, failure) in dropped {
            self.end_queued(now, id, failure);
        }
    }
}
