//! What the store is told, and what it says.

use std::time::Instant;

use super::{Endpoint, Event, Journal, Record};
use crate::names::CommandType;
use crate::request::RequestId;

impl Endpoint {
    /// The next fact to be stored, if the endpoint is durable. What it guards comes out when
    /// [`handle_stored`](Self::handle_stored) says that it is kept.
    pub fn poll_record(&mut self) -> Option<Record> {
        if !self.journal.has_some() {
            self.record_sent();
        }
        self.journal.there()?.poll()
    }

    /// The next record there is, without making more.
    #[cfg(feature = "connection")]
    pub(crate) fn take_record(&mut self) -> Option<Record> {
        self.journal.there()?.poll()
    }

    /// Whether there may be records to be polled.
    #[cfg(feature = "connection")]
    pub(crate) fn may_record(&self) -> bool {
        self.journal.is_on() || self.journal.has_some()
    }

    /// Whether there are records to be polled.
    #[cfg(feature = "connection")]
    pub(crate) fn has_records(&self) -> bool {
        self.journal.has_some()
    }

    /// Whether a durable request that has not ended is known to be stored.
    #[cfg(feature = "client")]
    pub(crate) fn has_stored(&self, id: RequestId) -> bool {
        self.journal.has_stored(id)
    }

    /// Takes the events that wait for records: they are held back elsewhere.
    #[cfg(feature = "connection")]
    pub(crate) fn take_held(&mut self) -> Vec<Event> {
        let journal = self.journal.there();
        journal.map(Journal::take_held).unwrap_or_default()
    }

    /// How many records were polled and not yet told as stored.
    #[must_use]
    pub fn unstored_len(&self) -> usize {
        self.journal.outstanding()
    }

    /// How many durable requests have not ended, and what they take in bytes of resource and
    /// payload.
    #[must_use]
    pub fn durable_len(&self) -> (usize, usize) {
        self.journal.requests()
    }

    /// The oldest `n` records that were polled and not yet told are stored: what they guard comes
    /// out. More than there are count as all.
    pub fn handle_stored(&mut self, now: Instant, n: usize) {
        self.advance(now);
        let journal = self.journal.there();
        let out = journal.map(|journal| journal.handle_stored(n));
        self.let_out(out.unwrap_or_default());
    }

    /// The store failed: what was recorded and is not stored will not be. The endpoint goes on in
    /// memory. What waited for the store comes out, [`Event::NotStored`] tells of each durable
    /// request that may not survive a crash, and nothing is recorded until a
    /// [`snapshot`](Self::snapshot) is taken.
    ///
    /// A crash now takes the endpoint back to what was stored last: requests that were confirmed
    /// since may be sent again, and commands that were surfaced since are new again.
    pub fn handle_store_lost(&mut self, now: Instant) {
        self.advance(now);
        let out = self.journal.there().map(Journal::handle_lost);
        self.let_out(out.unwrap_or_default());
    }

    /// A durable request ended, or its end is known to the application; nothing for others.
    pub(super) fn end_durable(&mut self, id: RequestId) {
        if let Some(journal) = self.journal.there() {
            journal.end(id);
        }
    }

    /// Whether a request is of an earlier run; asked once, when it ends.
    pub(super) fn take_restored(&mut self, id: RequestId) -> bool {
        let journal = self.journal.there();
        journal.is_some_and(|journal| journal.take_restored(id))
    }

    /// Gives the commands of a type back that nobody has read.
    pub(super) fn release_unread(&mut self, command_type: &CommandType) {
        let ledger = self.ledger.there();
        let released = ledger.map(|ledger| ledger.release_unread(command_type));
        for (key, times) in released.into_iter().flatten() {
            self.record_release(&key, times);
        }
    }

    fn let_out(&mut self, events: Vec<Event>) {
        for event in events {
            // Of each request there are as many as it has stages.
            match event.is_end() || matches!(event, Event::Stored(_)) {
                true => self.room.events.push_back(event),
                false => self.notify(event),
            }
        }
    }

    /// What nobody has touched is left to the next run as such: requests that were not sent, commands
    /// that were not read.
    pub(crate) fn leave_for_later(&mut self) {
        self.record_unsent();
        for command_type in self.ledger.unread_types() {
            self.release_unread(&command_type);
        }
    }
}
