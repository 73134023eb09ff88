//! The client's side of one link, from CONNECT to DISCONNECT.
//!
//! ```text
//!  Greeting ──CONNACK 0──► Connected ──disconnect──► Closing
//!     │                        │
//!     └── refusal, violation, ─┴─ time-out ──► Failed
//! ```
//!
//! Every phase but the last two has a deadline (`Connected` as long as there is a keep alive, and
//! while the window is full). In
//! `Closing` and `Failed` input is swallowed unread.
//!
//! Packets may follow CONNECT before CONNACK came ([`Session::speak_early`]); what comes in has to
//! begin with CONNACK all the same (MQTT-3.2.0-1).
//!
//! Not here: the bytes of packets (`publish`, `codec`), finding them (`reader`), the clock of the
//! link (`keep_alive`), dialing, and what becomes of messages when the link dies (`connection`).

use std::fmt;
use std::time::Instant;

use super::codec;
use super::connect::write_connect;
use super::error::{LinkFailure, PublishError, SubscribeError};
use super::event::Incoming;
use super::filter::{InvalidTopic, check_filter, check_topic};
use super::in_flight::Awaits;
use super::keep_alive::Due;
use super::options::{SessionError, SessionOptions};
use super::packet::{Accepts, Delivery, PacketType};
use super::publish::{publish_size, read_publish};
use super::reader::{Frame, Reader};
use super::trace;
use crate::QoS;
use crate::topic::MAX_TOPIC_LEN;

mod state;

pub use state::Traffic;
use state::{Phase, State};

/// The client's side of one link: bytes in, bytes out. See the [module](super) for the contract.
///
/// `K` is the caller's own key of a publish, subscribe or unsubscribe, which comes back with its
/// progress.
pub struct Session<K> {
    /// Finds packets.
    reader: Reader,
    /// Knows what they mean.
    state: State<K>,
}

impl<K: Copy> Session<K> {
    /// A session on a transport that has just been connected. CONNECT is already in the output.
    ///
    /// # Errors
    /// [`SessionError`] if an option is out of its range.
    pub fn new(now: Instant, options: &SessionOptions) -> Result<Self, SessionError> {
        options.check()?;
        let mut state = State::new(now, options);
        write_connect(state.output.buffer(), options);
        state.output.note_ours();
        trace::appended(PacketType::Connect, state.output.unwritten(), None);
        Ok(Self {
            reader: Reader::new(Accepts::CONNACK, options.max_packet_in),
            state,
        })
    }

    /// From now on takes messages and subscriptions although CONNACK has not come: "Clients are
    /// allowed to send Control Packets immediately after sending a CONNECT Packet" (MQTT 3.1.1,
    /// section 3.1.4). They are written behind CONNECT, in their order. A server that refuses CONNECT
    /// does not process them (MQTT-3.1.4-5); that the session is lost in any other way says nothing
    /// of what became of them.
    pub const fn speak_early(&mut self) {
        self.state.is_early = true;
    }

    /// Takes packets off the front of `input` until one has something to say to the caller. Call
    /// it until it returns `None`: then all of the input is used up.
    #[allow(
        single_use_lifetimes,
        reason = "the input must outlive the event, not the borrow of the session"
    )]
    pub fn handle_input<'a, 'i: 'a>(
        &'a mut self,
        now: Instant,
        input: &mut &'i [u8],
    ) -> Option<Incoming<'a, K>> {
        if !input.is_empty() {
            self.state.keep_alive.handle_heard(now);
        }
        loop {
            if matches!(self.state.phase, Phase::Closing | Phase::Failed(_)) {
                *input = &[];
                return None;
            }
            let before = input.len();
            let found = self.reader.next(input);
            let taken = before - input.len();
            self.state.traffic.bytes_in += taken as u64;
            let frame = match found {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    self.state.keep_alive.handle_begun(taken);
                    self.state.look_at_output(now);
                    return None;
                }
                Err(violation) => return Some(self.state.violated(violation)),
            };
            self.state.keep_alive.handle_whole(now);
            self.state.traffic.packets_in += 1;
            trace::received(&frame.head, self.reader.content(&frame));
            let packet = frame.head.packet;
            if packet == PacketType::Publish {
                return Some(self.receive_publish(&frame));
            }
            if packet == PacketType::SubAck {
                return Some(self.receive_suback(&frame));
            }
            match self.state.receive(packet, self.reader.content(&frame)) {
                Ok(None) => {}
                Ok(Some(incoming)) => {
                    if self.state.phase == Phase::Connected {
                        self.reader.accept(Accepts::FROM_SERVER);
                    }
                    return Some(incoming);
                }
                Err(violation) => return Some(self.state.violated(violation)),
            }
        }
    }

    /// `n` more bytes, of those that [`Session::poll_transmit`] moved, were handed to the
    /// transport. Report them before the input that may answer them.
    pub fn handle_written(&mut self, now: Instant, n: usize) {
        let state = &mut self.state;
        let before = state.output.written();
        state.output.handle_written(n);
        let written = state.output.written();
        state.stall.handle_written(now, written);
        if written > before {
            state.keep_alive.handle_sent(now, written);
        }
        state.look_at_output(now);
        if state.output.unwritten() == 0 && state.in_flight.is_empty() {
            state.output.shrink();
        }
    }

    /// The key of the next publish, in the order they were made, whose last byte was handed to
    /// the transport. Always before its [`Incoming::Acknowledged`].
    pub fn poll_written(&mut self) -> Option<K> {
        let state = &mut self.state;
        let &(end, key) = state.unwritten.front()?;
        if end > state.output.written() {
            return None;
        }
        state.unwritten.pop_front();
        Some(key)
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let state = &mut self.state;
        state.look_at_output(now);
        match state.phase {
            Phase::Greeting { deadline } if deadline <= now => {
                state.fail(LinkFailure::NoConnAck);
            }
            Phase::Connected if state.stall_deadline().is_some_and(|at| at <= now) => {
                state.fail(LinkFailure::Unacknowledged);
            }
            Phase::Connected => match state.keep_alive.poll(now) {
                Some(Due::Ping) => {
                    state.send_bare(PacketType::PingReq);
                    state.keep_alive.handle_asked(now, state.output.end());
                }
                Some(Due::Dead) => state.fail(LinkFailure::KeepAliveTimeout),
                None => {}
            },
            Phase::Greeting { .. } | Phase::Closing | Phase::Failed(_) => {}
        }
    }

    /// When [`Session::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state.phase {
            Phase::Greeting { deadline } => Some(deadline),
            Phase::Connected => {
                let deadlines = [
                    self.state.keep_alive.deadline(),
                    self.state.stall_deadline(),
                ];
                deadlines.into_iter().flatten().min()
            }
            Phase::Closing | Phase::Failed(_) => None,
        }
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was written and the key does not come back.
    pub fn publish(
        &mut self,
        key: K,
        topic: &str,
        payload: &[u8],
        qos: QoS,
    ) -> Result<(), PublishError> {
        if !self.state.may_speak() {
            return Err(PublishError::NotConnected);
        }
        check_topic(topic).map_err(PublishError::BadTopic)?;
        self.publish_to_valid(key, topic, payload, qos)
    }

    /// As [`publish`](Self::publish), to a topic that is made of checked names.
    pub(crate) fn publish_to_valid(
        &mut self,
        key: K,
        topic: &str,
        payload: &[u8],
        qos: QoS,
    ) -> Result<(), PublishError> {
        let state = &mut self.state;
        if !state.may_speak() {
            return Err(PublishError::NotConnected);
        }
        if topic.len() > MAX_TOPIC_LEN {
            return Err(PublishError::BadTopic(InvalidTopic::TooLong));
        }
        let (size, limit) = (publish_size(topic, payload, qos), state.max_packet_out);
        if size.is_none_or(|size| size > limit) {
            let size = size.unwrap_or(usize::MAX);
            return Err(PublishError::TooLarge { size, limit });
        }
        if state.is_output_full() {
            return Err(PublishError::OutputFull);
        }
        let id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                let free = state.in_flight.publishes() < state.max_in_flight;
                let id = free.then(|| state.in_flight.next_id()).flatten();
                Some(id.ok_or(PublishError::WindowFull)?)
            }
        };
        state.publish(key, topic, payload, Delivery::new(qos, id));
        Ok(())
    }

    /// Subscribes to all of `filters` with one packet.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was written and the key does not come back.
    pub fn subscribe(&mut self, key: K, filters: &[(&str, QoS)]) -> Result<(), SubscribeError> {
        let checked = check_filters(filters.iter().map(|&(filter, _)| filter));
        let awaits = Awaits::SubAck {
            filters: filters.len(),
        };
        let size = codec::subscribe_size(filters);
        self.state.request(key, checked, size, awaits, |out, id| {
            codec::write_subscribe(out, id, filters)
        })
    }

    /// Whether so many SUBSCRIBE and UNSUBSCRIBE are unanswered that no more are taken.
    #[must_use]
    pub fn is_subscribing_full(&self) -> bool {
        self.state.in_flight.requests() >= self.state.max_in_flight
    }

    /// Unsubscribes from all of `filters` with one packet.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was written and the key does not come back.
    pub fn unsubscribe(&mut self, key: K, filters: &[&str]) -> Result<(), SubscribeError> {
        let checked = check_filters(filters.iter().copied());
        let size = codec::unsubscribe_size(filters);
        self.state
            .request(key, checked, size, Awaits::UnsubAck, |out, id| {
                codec::write_unsubscribe(out, id, filters)
            })
    }

    /// Says goodbye: DISCONNECT is the last packet, and input is swallowed from now on
    /// (MQTT-3.14.4-2). Write what is left, then close the transport.
    pub fn disconnect(&mut self) {
        if matches!(self.state.phase, Phase::Greeting { .. } | Phase::Connected) {
            self.state.send_bare(PacketType::Disconnect);
            self.state.phase = Phase::Closing;
        }
    }

    /// Moves all pending output to the end of `out`; returns how many bytes that were.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> usize {
        self.state.output.take(out)
    }

    /// How many bytes were appended and not yet reported as written.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.state.output.unwritten()
    }

    /// Whether input should be read, which may have to be acknowledged: not while as many bytes
    /// of acknowledgements are unwritten as the high-water mark says, nor while all together are
    /// as many as that and the largest packet. A large message alone does not forbid it: what is
    /// read may be the sign of life of a slow link.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        let State {
            output,
            high_water,
            max_packet_out,
            ..
        } = &self.state;
        output.unwritten_answers() < *high_water
            && output.unwritten() < high_water.saturating_add(*max_packet_out)
    }

    /// How many messages of QoS 1 or 2 may still be begun.
    #[must_use]
    pub fn window(&self) -> usize {
        match self.state.may_speak() {
            true => self.state.max_in_flight - self.in_flight(),
            false => 0,
        }
    }

    /// How many messages of QoS 1 and 2 are unacknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.publishes()
    }

    /// Whether the link is up: CONNACK came, and neither `disconnect` nor a failure.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state.phase == Phase::Connected
    }

    /// Why the link is over, if it is.
    #[must_use]
    pub const fn failure(&self) -> Option<LinkFailure> {
        match self.state.phase {
            Phase::Failed(failure) => Some(failure),
            Phase::Greeting { .. } | Phase::Connected | Phase::Closing => None,
        }
    }

    /// What went through so far.
    #[must_use]
    pub const fn traffic(&self) -> Traffic {
        Traffic {
            bytes_out: self.state.output.written(),
            ..self.state.traffic
        }
    }

    fn receive_publish<'a>(&'a mut self, frame: &Frame<'a>) -> Incoming<'a, K> {
        let size = frame.is_oversize().then_some(frame.head.size);
        match read_publish(frame.head.first, self.reader.content(frame)) {
            Ok(publish) => self.state.receive_publish(publish, size),
            Err(violation) => self.state.violated(violation),
        }
    }

    fn receive_suback<'a>(&'a mut self, frame: &Frame<'a>) -> Incoming<'a, K> {
        codec::read_suback(self.reader.content(frame))
            .and_then(|(id, codes)| self.state.receive_suback(id, codes))
            .unwrap_or_else(|violation| self.state.violated(violation))
    }
}

/// The options hold a login and the output a CONNECT with it, so neither is shown.
impl<K> fmt::Debug for Session<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("phase", &self.state.phase)
            .field("traffic", &self.state.traffic)
            .finish_non_exhaustive()
    }
}

fn check_filters(filters: impl Iterator<Item: AsRef<str>>) -> Result<(), SubscribeError> {
    let mut none = true;
    for (index, filter) in filters.enumerate() {
        none = false;
        let bad = |problem: InvalidTopic| SubscribeError::BadFilter { index, problem };
        check_filter(filter.as_ref()).map_err(bad)?;
    }
    match none {
        true => Err(SubscribeError::NoFilters),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    /// Publishes a message, and writes all there is.
    fn send(session: &mut Session<u32>, bytes: usize, qos: QoS) {
        session.publish(1, "a", &vec![0; bytes], qos).unwrap();
        // Somebody else's buffer is filled up, so that the session keeps its own.
        let sent = session.poll_transmit(&mut vec![0]);
        session.handle_written(now(), sent);
        assert_eq!(session.poll_written(), Some(1));
    }

    #[test]
    fn the_room_of_a_large_message_is_kept_while_there_is_traffic_and_then_given_back() {
        let mut session = Session::new(now(), &SessionOptions::new("c")).unwrap();
        let mut connack = &b"\x20\x02\0\0"[..];
        let incoming = session.handle_input(now(), &mut connack);
        assert_eq!(incoming, Some(Incoming::Connected));
        send(&mut session, 10_000, QoS::AtLeastOnce);
        assert!(session.state.output.buffer().capacity() >= 10_000);
        let mut puback = &b"\x40\x02\0\x01"[..];
        let incoming = session.handle_input(now(), &mut puback);
        assert!(matches!(incoming, Some(Incoming::Acknowledged { .. })));
        send(&mut session, 10, QoS::AtMostOnce);
        assert!(session.state.output.buffer().capacity() < 10_000);
    }
}
