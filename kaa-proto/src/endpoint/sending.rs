//! What goes out: which request is next, and what becomes of its message.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::flight::{Entry, Flight, MessageKey, Owner, Stage};
use super::ids::Holder;
use super::options::RESERVED_IN_FLIGHT;
use super::trace;
use super::{Endpoint, Message, Record, Rest};
use crate::QoS;
use crate::names::Extension;
use crate::request::{Class, Confirm, Failure, Reply, RequestId, Resend};
use crate::topic::Topic;

/// A message on its way out; its topic was written to the caller's buffer.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) key: MessageKey,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: QoS,
}

/// A request that may go now: the answer to [`Endpoint::next_ready`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    class: Class,
    id: RequestId,
}

impl Endpoint {
    /// The next message to be published: at once, in this order. Its time for an answer runs from
    /// now, so a host polls only while its MQTT client has room. `None` while the link is down, a
    /// subscription is not answered, or [`EndpointOptions::max_in_flight`] is reached.
    ///
    /// [`EndpointOptions::max_in_flight`]: super::EndpointOptions::max_in_flight
    pub fn poll_message(&mut self, now: Instant) -> Option<Message> {
        let mut topic = String::new();
        let ready = self.next_ready()?;
        let Outgoing { key, payload, qos } = self.next_message(now, ready, &mut topic)?;
        let payload = Bytes::copy_from_slice(payload);
        self.handle_sent(now, key);
        Some(Message {
            key,
            topic,
            payload,
            qos,
        })
    }

    /// PUBACK came for a message of QoS 1. It confirms requests with [`Confirm::Acknowledged`] and
    /// means nothing to others. One that comes twice or too late is ignored.
    pub fn handle_acknowledged(&mut self, now: Instant, key: MessageKey) {
        let now = self.advance(now);
        let id = key.request();
        let Some(flight) = self.room.flights.get(id) else {
            return;
        };
        if flight.stage == Stage::Listening
            || flight.entry.request.policy.confirm != Confirm::Acknowledged
        {
            return;
        }
        self.confirm(now, id, Confirm::Acknowledged, Bytes::new());
    }

    /// The host did not publish a message: it goes back to its place in the queue. As nobody has
    /// seen it, even one that may be sent only once is sent later. The next
    /// [`poll_message`](Self::poll_message) gives it out again, so a host waits until its MQTT
    /// client has room. One that nobody confirms ended when it was given out, and stays so.
    pub fn handle_not_sent(&mut self, now: Instant, key: MessageKey) {
        self.advance(now);
        if let Some(flight) = self.room.flights.get_open(key.request()) {
            flight.entry.was_sent = flight.sent_before;
            self.put_back(key.request());
        }
    }

    /// The last byte of a message was handed to the transport.
    pub(crate) fn handle_sent(&mut self, now: Instant, key: MessageKey) {
        let now = self.advance(now);
        let id = key.request();
        let Some(flight) = self.room.flights.get_open(id) else {
            return;
        };
        if flight.stage != Stage::Emitted {
            return;
        }
        flight.stage = Stage::Sent;
        flight.entry.was_sent = true;
        trace::sent(&self.name, flight);
        let (confirm, within) = (
            flight.entry.request.policy.confirm,
            flight.entry.answer_within,
        );
        match confirm {
            // A refusal would give it back.
            Confirm::Nothing if self.is_early => {}
            Confirm::Nothing => self.confirm(now, id, Confirm::Nothing, Bytes::new()),
            Confirm::Acknowledged | Confirm::Answered => {
                let answer_by = now + within;
                flight.answer_by = Some(answer_by);
                self.room.answers.set(answer_by, id);
            }
        }
    }

    /// Gives the next message out, which is ready, and writes its topic.
    pub(crate) fn next_message(
        &mut self,
        now: Instant,
        Ready { class, id }: Ready,
        topic: &mut String,
    ) -> Option<Outgoing<'_>> {
        let now = self.advance(now);
        let mut entry = self.room.queue.lane(class).remove(id)?;
        if entry.request.with_id && entry.wire_id.is_none() {
            entry.wire_id = self.allocate(&entry);
        }
        topic.clear();
        Topic::of_valid(&self.name, &entry.extension, &entry.request.resource)
            .with_id(entry.wire_id)
            .write_to(topic);
        self.counters.messages += 1;
        if entry.was_sent {
            self.counters.others.resent += 1;
        }
        if class == Class::Bulk {
            self.hold_bulk(now);
        }
        if entry.expires_at.is_some() {
            self.tidy_deadlines();
        }
        let Flight { entry, .. } = self.room.flights.insert(Flight::new(entry))?;
        Some(Outgoing {
            key: MessageKey(id),
            payload: &entry.request.payload,
            qos: entry.qos,
        })
    }

    /// Whether a record must say that a request may have been sent, before it is: what may be sent
    /// again after a crash needs none.
    fn must_record_sent(&self, entry: &Entry) -> bool {
        self.journal.is_on()
            && entry.request.policy.resend == Resend::Never
            && !entry.sent_recorded
            && self.journal.is_durable(entry.id)
    }

    /// Records that the next requests may have been sent: as many as may be in flight, so that one
    /// commit lets all of them go.
    pub(super) fn record_sent(&mut self) {
        if !self.link_up || !self.journal.is_on() || self.journal.requests().0 == 0 {
            return;
        }
        let room = self
            .options
            .max_in_flight
            .saturating_sub(self.in_flight_len());
        let (control, bulk) = (self.room.queue.control.iter(), self.room.queue.bulk.iter());
        // Those that wait for something else count too: their turn comes in their order.
        let of = |entry: &&Entry| self.must_record_sent(entry);
        let next = control
            .filter(of)
            .take(room)
            .chain(bulk.take(room).filter(of));
        let next: Vec<_> = next
            .map(|entry| (entry.request.policy.class, entry.id))
            .collect();
        for (class, id) in next {
            self.record(|| Record::Sent(id));
            let mark = self.journal.mark();
            if let Some(entry) = self.room.queue.lane(class).find_mut(id) {
                entry.sent_recorded = true;
                entry.guard = mark;
            }
        }
    }

    /// What waits is not sent for now: the records that it might be are taken back, so that a crash
    /// finds it as what it is.
    pub(super) fn record_unsent(&mut self) {
        let room = self.room.there();
        for entry in room.into_iter().flat_map(|room| room.queue.iter_mut()) {
            if !entry.was_sent && std::mem::replace(&mut entry.sent_recorded, false) {
                self.journal.record(|| Record::Unsent(entry.id));
            }
        }
    }

    /// Takes a message's request back to its place in the queue, as if it had not been sent.
    pub(super) fn put_back(&mut self, id: RequestId) {
        let Some(Flight { entry, .. }) = self.room.flights.remove(id) else {
            return;
        };
        trace::put_back(&self.name, &entry);
        self.tidy_deadlines();
        self.wait_in_queue(entry.expires_at, id);
        self.room
            .queue
            .lane(entry.request.policy.class)
            .put_back(entry);
    }

    /// The link died with a request sent and not confirmed.
    pub(super) fn lose(&mut self, now: Instant, id: RequestId) {
        let Some(flight) = self.room.flights.get(id) else {
            return;
        };
        match flight.entry.request.policy.resend {
            Resend::AfterLinkLoss => self.put_back(id),
            Resend::Never => {
                self.end_flight(now, id, Err(Failure::OutcomeUnknown), Rest::ForLateAnswer);
            }
        }
    }

    /// Ends a request with its confirmation.
    pub(super) fn confirm(&mut self, now: Instant, id: RequestId, by: Confirm, payload: Bytes) {
        let Some(flight) = self.room.flights.get(id) else {
            return;
        };
        let reply = Reply::new(by, flight.entry.request.resource.clone(), payload);
        if by == Confirm::Acknowledged && flight.entry.wire_id.is_some() {
            return self.end_listening(now, id, reply);
        }
        self.end_flight(now, id, Ok(reply), Rest::None);
    }

    fn allocate(&mut self, entry: &Entry) -> Option<u32> {
        let holder = match &entry.owner {
            Owner::Observation(observation) => Holder::Observation(observation.clone()),
            Owner::Caller | Owner::Ledger | Owner::Nobody => Holder::Request(entry.id),
        };
        let max = self.options.max_request_id;
        self.space(&entry.extension)
            .allocate(&entry.request.resource, max, holder)
    }

    /// The request that goes next: control before bulk.
    pub(crate) fn next_ready(&self) -> Option<Ready> {
        if !self.link_up {
            return None;
        }
        let (in_flight, max) = (self.in_flight_len(), self.options.max_in_flight);
        if in_flight >= max {
            return None;
        }
        if let Some(id) = self.next_control() {
            let class = Class::Control;
            return Some(Ready { class, id });
        }
        let reserved = RESERVED_IN_FLIGHT.min(max / 8);
        if self.room.bulk_from.is_some() || in_flight >= max - reserved {
            return None;
        }
        let first = self.room.queue.bulk.first()?;
        let (class, id) = (Class::Bulk, first.id);
        self.is_ready(first).then_some(Ready { class, id })
    }

    /// The first control request that need not wait; one that must holds back those of its
    /// extension instance only.
    fn next_control(&self) -> Option<RequestId> {
        let mut waiting: BTreeSet<&Extension> = BTreeSet::new();
        for entry in self.room.queue.control.iter() {
            if waiting.contains(&entry.extension) {
                continue;
            }
            if self.is_ready(entry) {
                return Some(entry.id);
            }
            waiting.insert(&entry.extension);
        }
        None
    }

    /// Whether a request has all that it needs to go: its subscriptions, its turn, an ID.
    fn is_ready(&self, entry: &Entry) -> bool {
        let has_id = || {
            let space = self.spaces.get(entry.extension.as_str());
            let max = self.options.max_request_id;
            space.is_none_or(|space| space.has_free(&entry.request.resource, max))
        };
        let is_subscribed = || self.filters.is_settled(entry);
        self.journal.is_stored(entry.guard)
            && !self.must_record_sent(entry)
            && self.serial_is_free(entry)
            && !(self.is_early && entry.request.serial)
            && (!entry.request.with_id || is_subscribed() && (entry.wire_id.is_some() || has_id()))
    }

    /// Writes go one at a time: a resend could otherwise restore an old value.
    fn serial_is_free(&self, entry: &Entry) -> bool {
        let in_the_way = |(_, flight): (_, &Flight)| {
            flight.entry.request.serial
                && flight.stage != Stage::Listening
                && flight.entry.extension == entry.extension
        };
        !entry.request.serial || !self.room.flights.iter().any(in_the_way)
    }

    fn hold_bulk(&mut self, now: Instant) {
        if let Some(rate) = self.options.drain_rate {
            self.room.bulk_from = Some(now + Duration::from_secs(1) / rate.get());
        }
    }
}
