//! Bytes out: who is told of the link, what is subscribed to, whose message goes, and when.
//!
//! Nothing is encoded before the transport can take it: while the unwritten output is over its
//! high-water mark, and while the in-flight window is full, everything waits in the queues of the
//! endpoints. That is the path of back-pressure from the socket to the application.

use std::time::{Duration, Instant};

use super::link::LinkId;
use super::slab::EndpointKey;
use super::{Connection, Deadline, Ticket};
use crate::QoS;
use crate::mqtt::{PublishError, Session};

/// How many endpoints are told of the link before others get their turn: enough for a SUBSCRIBE of
/// full size.
const ARRIVALS_AT_ONCE: usize = 512;

/// How many endpoints are told of the link in one call, even if they have nothing to say.
const ARRIVALS_PER_CALL: usize = 1_024;

/// The pause after so many.
const ARRIVALS_PAUSE: Duration = Duration::from_millis(1);

/// How long acknowledgements may stay away before a window that is not half free is used again:
/// longer than between those of one batch, much shorter than a round trip, which would be lost.
const PATIENCE: Duration = Duration::from_millis(2);

/// Holds messages back while a full window drains to its half, so that they go in batches: one
/// write for many messages. It never holds back a lone message, because only a full window makes
/// it hold, and only as long as acknowledgements keep coming.
#[derive(Debug)]
pub(super) struct Refill {
    window: usize,
    is_held: bool,
}

impl Refill {
    pub(super) const fn new(window: usize) -> Self {
        Self {
            window,
            is_held: false,
        }
    }

    /// Acknowledgements stay away: goes on with what is free.
    pub(super) const fn lapse(&mut self) {
        self.is_held = false;
    }

    /// Whether one more message may go.
    const fn allows(&mut self, in_flight: usize) -> bool {
        if in_flight >= self.window {
            self.is_held = true;
            return false;
        }
        if self.is_held && in_flight > self.window / 2 {
            return false;
        }
        self.is_held = false;
        true
    }
}

impl Connection {
    /// Appends to `out` what is to be written now; returns how many bytes that are. More comes
    /// when these are reported by [`handle_written`](Self::handle_written).
    ///
    /// `out` belongs to the link in the demand: empty it when that changes.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> usize {
        let _link = self.link.enter();
        let now = self.advance(now);
        let Some(mut session) = self.session.take() else {
            return 0;
        };
        if self.may_speak() {
            self.fill(now, &mut session);
        }
        self.session = Some(session);
        match self.is_closing() {
            // One that could not be sent may have been the last.
            true => self.follow_up(now),
            false => self.look_at_changed(),
        }
        let session = self.session.as_mut();
        session.map_or(0, |session| session.poll_transmit(out))
    }

    /// `n` more bytes of `link`, of those that [`poll_transmit`](Self::poll_transmit) gave, were
    /// handed to the transport.
    pub fn handle_written(&mut self, now: Instant, link: LinkId, n: usize) {
        let _link = self.link.enter();
        let now = self.advance(now);
        if link != self.link.id() {
            return;
        }
        let Some(mut session) = self.session.take() else {
            return;
        };
        session.handle_written(now, n);
        while let Some(ticket) = session.poll_written() {
            if let Ticket::Message(key, message) = ticket {
                self.with(key, |endpoint| endpoint.handle_sent(now, message));
            }
        }
        self.session = Some(session);
        self.follow_up(now);
    }

    /// A message was acknowledged. If others wait for the window to drain, they do not for long.
    pub(super) fn handle_window_moved(&mut self, now: Instant) {
        if self.refill.is_held {
            self.timers.set(Deadline::Refill, now + PATIENCE);
        }
    }

    /// Gives shares of the window back that nobody acknowledges.
    pub(super) fn look_at_shares(&mut self, now: Instant) {
        let within = self.options.session.acknowledge_within;
        let next = self.schedule.lapse(now, within);
        self.timers.set(Deadline::Shares, next);
    }

    /// Encodes up to the high-water mark.
    fn fill(&mut self, now: Instant, session: &mut Session<Ticket>) {
        let mut left = ARRIVALS_PER_CALL;
        while self.has_room(session) {
            let arrived = self.tell_arrivals(now, left.min(ARRIVALS_AT_ONCE));
            left -= arrived;
            self.observe_again(now);
            self.look_at_changed();
            let subscribed = self.subscribe(now, session);
            let published = self.publish(now, session);
            if arrived == 0 && !subscribed && !published {
                break;
            }
        }
        let pause = left == 0 && !self.arrivals.is_empty() && self.has_room(session);
        let pause = pause.then(|| now + ARRIVALS_PAUSE);
        self.timers.set(Deadline::Arrivals, pause);
    }

    pub(super) fn has_room(&self, session: &Session<Ticket>) -> bool {
        session.unwritten() < self.options.session.high_water
    }

    /// Tells some endpoints that the link is up; returns how many were looked at.
    fn tell_arrivals(&mut self, now: Instant, most: usize) -> usize {
        let some = self.arrivals.len().min(most);
        for _ in 0..some {
            let Some(key) = self.arrivals.pop_front() else {
                break;
            };
            self.tell_arrival(now, key);
        }
        some
    }

    /// Tells an endpoint that the link is up, if it is, though its turn has not come: what is asked
    /// of it now is not to wait for that, nor for what was observed before.
    pub(super) fn tell_arrival_early(&mut self, now: Instant, key: EndpointKey) {
        if self.may_speak() {
            let now = self.advance(now);
            self.tell_arrival(now, key);
        }
    }

    /// Tells an endpoint that the link is up, which it is, or that it may speak before that.
    fn tell_arrival(&mut self, now: Instant, key: EndpointKey) {
        let is_up = self.is_up();
        // Who is muted comes again when it is released.
        if !self.suspects.may_speak(key) {
            return;
        }
        if let Some(slot) = self.slots.get_mut(key) {
            if !std::mem::replace(&mut slot.is_up, true) {
                match is_up {
                    true => slot.endpoint.handle_link_up_unobserved(now),
                    false => slot.endpoint.handle_link_begun(now),
                }
                if slot.endpoint.has_to_observe() {
                    self.observing.push_back(key);
                }
                self.touch(key);
            }
        }
    }

    /// Lets some endpoints observe again, as many as the rate allows.
    fn observe_again(&mut self, now: Instant) {
        if self.timers.is_set(&Deadline::Observing) {
            return;
        }
        let rate = self.options.observe_rate.get();
        let (most, mut asked) = (rate.div_ceil(10), 0);
        while asked < most {
            let Some(key) = self.observing.pop_front() else {
                break;
            };
            let some = self.with(key, |endpoint| endpoint.observe_again(now));
            asked += u32::try_from(some.unwrap_or_default()).unwrap_or(u32::MAX);
        }
        if asked > 0 {
            let pause = Duration::from_secs(1) * asked / rate;
            self.timers.set(Deadline::Observing, now + pause);
        }
    }

    /// Encodes messages, whoever's turn it is; whether there were any.
    fn publish(&mut self, now: Instant, session: &mut Session<Ticket>) -> bool {
        self.look_at_changed();
        let mut any = false;
        while self.has_room(session) && self.refill.allows(session.in_flight()) {
            let (slots, suspects) = (&self.slots, &self.suspects);
            let mut ready = None;
            let has_message = |key| {
                let slot = slots.get(key).filter(|slot| slot.is_up);
                ready = slot.and_then(|slot| {
                    let may_wait = slot.endpoint.in_flight_len() > 0;
                    let next = slot.endpoint.next_ready();
                    next.filter(|_| !(may_wait && suspects.is_on_probation(key)))
                });
                ready.is_some()
            };
            let Some(key) = self.schedule.next(has_message) else {
                break;
            };
            let (Some(slot), Some(ready)) = (self.slots.get_mut(key), ready) else {
                break;
            };
            let outgoing = slot.endpoint.next_message(now, ready, &mut self.topic);
            let Some(outgoing) = outgoing else {
                // It had one just now, so this cannot be; if it is, others have their turn.
                self.touch(key);
                continue;
            };
            let ticket = Ticket::Message(key, outgoing.key);
            let message = outgoing.key;
            let published =
                session.publish_to_valid(ticket, &self.topic, outgoing.payload, outgoing.qos);
            match published {
                Ok(()) => {
                    any = true;
                    let bytes = self.topic.len() + outgoing.payload.len();
                    let enters_window = outgoing.qos != QoS::AtMostOnce;
                    let holds = self.schedule.sent(now, key, bytes, enters_window);
                    if holds && !self.timers.is_set(&Deadline::Shares) {
                        let until = now + self.options.session.acknowledge_within;
                        self.timers.set(Deadline::Shares, until);
                    }
                    self.suspects.handle_spoke(key);
                    self.statistics.messages_out += 1;
                }
                Err(
                    PublishError::WindowFull
                    | PublishError::OutputFull
                    | PublishError::NotConnected,
                ) => {
                    self.with(key, |endpoint| endpoint.handle_not_sent(now, message));
                    break;
                }
                // Requests are measured at submit, so this one was restored, or is the
                // endpoint's own. It must not come again and again: the former ends at once, the
                // latter as nobody answers it.
                Err(PublishError::TooLarge { .. } | PublishError::BadTopic(_)) => {
                    any = true;
                    self.statistics.unsendable += 1;
                    self.with(key, |endpoint| {
                        if !endpoint.cancel(now, message.request()) {
                            endpoint.handle_sent(now, message);
                        }
                    });
                }
            }
            self.touch(key);
        }
        if !self.refill.is_held {
            self.timers.clear(&Deadline::Refill);
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_is_used_again_when_half_of_it_is_free() {
        let mut refill = Refill::new(100);
        assert!(refill.allows(99));
        assert!(!refill.allows(100));
        assert!(!refill.allows(99) && !refill.allows(51));
        assert!(refill.allows(50) && refill.allows(99));
    }

    #[test]
    fn what_is_free_is_used_when_acknowledgements_stay_away() {
        let mut refill = Refill::new(100);
        assert!(!refill.allows(100) && !refill.allows(80));
        refill.lapse();
        assert!(refill.allows(80));
    }

    #[test]
    fn a_window_of_one_is_used_as_soon_as_it_is_free() {
        let mut refill = Refill::new(1);
        assert!(refill.allows(0) && !refill.allows(1) && refill.allows(0));
    }
}
