//! The server's side of one link, for the local platform (feature `platform`; exempt from semver).
//!
//! A machine between bytes and events like the client's [`Session`](super::Session), driven the
//! same way. It acknowledges, answers PINGREQ and watches the keep alive by itself; who may
//! connect and what is granted is decided by its caller, and so is who gets which message. It
//! shares the packets with the client, and nothing that decides.
//!
//! ```text
//!  Awaiting ──CONNECT──► Deciding ──accept──► Connected ──DISCONNECT──► Closed
//!     │                     │                     │
//!     └─────── violation, refuse, time-out ───────┴──► Failed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use super::codec;
use super::error::PublishError;
use super::event::{Message, Oversize};
use super::filter::check_received_topic;
use super::output::Output;
use super::packet::{Accepts, Delivery, PacketId, PacketType, Publish};
use super::publish::{publish_size, read_id, read_publish, write_id, write_publish};
use super::reader::{Frame, Reader};
use super::refusal::ConnectRefusal;
use super::violation::Violation;
use crate::QoS;

mod connect;
mod event;
mod filters;

pub use connect::Connect;
pub use event::{Received, ServerFailure, ServerOptions, SubscribeId};
pub use filters::{Filters, RequestedFilters};

/// The server's side of one link: bytes in, bytes out.
#[derive(Clone)]
pub struct ServerSession {
    /// Finds packets.
    reader: Reader,
    /// Knows what they mean.
    state: State,
}

/// All but the reader, from which events borrow.
#[derive(Clone)]
struct State {
    /// Where the link stands.
    phase: Phase,
    /// Bytes on their way out.
    output: Output,
    /// Sent messages that wait, by packet identifier; at most [`ServerOptions::max_in_flight`].
    in_flight: BTreeMap<PacketId, PacketType>,
    /// The identifier given out last.
    last_id: u16,
    /// Identifiers of received QoS 2 messages until their PUBREL.
    unreleased: BTreeSet<PacketId>,
    /// One and a half times what the client promised; `None` if nothing.
    silence_allowed: Option<Duration>,
    /// When the last packet came.
    heard: Instant,
    /// The limits.
    options: ServerOptions,
}

/// Where the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet. Exits: `Deciding` with CONNECT; `Failed` with anything else, or at
    /// `deadline`.
    Awaiting { deadline: Instant },
    /// The caller decides, input waits. Exits: `Connected` by `accept`; `Failed` by `refuse` or
    /// at `deadline`.
    Deciding { deadline: Instant },
    /// The link is up. Exits: `Closed` with DISCONNECT; `Failed` on a violation or when the client
    /// is silent for too long.
    Connected,
    /// The client said goodbye. No exits: the caller closes.
    Closed,
    /// No exits: the caller writes what is left and closes.
    Failed(ServerFailure),
}

impl ServerSession {
    /// A session on a transport that has just been accepted.
    #[must_use]
    pub fn new(now: Instant, options: ServerOptions) -> Self {
        let deadline = now + options.connect_within.min(Duration::from_secs(3_600));
        Self {
            reader: Reader::new(Accepts::CONNECT, options.max_packet_in),
            state: State {
                phase: Phase::Awaiting { deadline },
                output: Output::default(),
                in_flight: BTreeMap::new(),
                last_id: 0,
                unreleased: BTreeSet::new(),
                silence_allowed: None,
                heard: now,
                options,
            },
        }
    }

    /// Takes packets off the front of `input` until one has something to say to the caller. Call
    /// it until it returns `None`: then all of the input is used up. After a
    /// [`Received::Connect`] call [`accept`](Self::accept) or [`refuse`](Self::refuse) first; no
    /// input is used up before that.
    #[allow(
        single_use_lifetimes,
        reason = "the input must outlive the event, not the borrow of the session"
    )]
    pub fn handle_input<'a, 'i: 'a>(
        &'a mut self,
        now: Instant,
        input: &mut &'i [u8],
    ) -> Option<Received<'a>> {
        loop {
            match self.state.phase {
                Phase::Awaiting { .. } | Phase::Connected => {}
                Phase::Deciding { .. } => return None,
                Phase::Closed | Phase::Failed(_) => {
                    *input = &[];
                    return None;
                }
            }
            let frame = match self.reader.next(input) {
                Ok(frame) => frame?,
                Err(violation) => return Some(self.state.violated(violation)),
            };
            self.state.heard = now;
            let packet = frame.head.packet;
            if matches!(
                packet,
                PacketType::Connect
                    | PacketType::Publish
                    | PacketType::Subscribe
                    | PacketType::Unsubscribe
            ) {
                return Some(self.receive_borrowed(&frame));
            }
            match self.state.receive(packet, self.reader.content(&frame)) {
                Ok(None) => {}
                Ok(Some(received)) => return Some(received),
                Err(violation) => return Some(self.state.violated(violation)),
            }
        }
    }

    /// Lets the client in that sent the CONNECT.
    pub fn accept(&mut self, now: Instant) {
        if matches!(self.state.phase, Phase::Deciding { .. }) {
            self.state.send_connack(None);
            self.state.phase = Phase::Connected;
            self.state.heard = now;
            self.reader.accept(Accepts::FROM_CLIENT);
        }
    }

    /// Refuses the client that sent the CONNECT.
    pub fn refuse(&mut self, refusal: ConnectRefusal) {
        if matches!(self.state.phase, Phase::Deciding { .. }) {
            self.state.send_connack(Some(refusal));
            self.state.phase = Phase::Failed(ServerFailure::Refused(refusal));
        }
    }

    /// Answers a SUBSCRIBE: for each filter the QoS that is granted, or `None` to refuse it. What
    /// is missing is refused, what is too much does not count.
    #[allow(clippy::needless_pass_by_value, reason = "it is answered once")]
    pub fn grant(&mut self, id: SubscribeId, granted: &[Option<QoS>]) {
        if self.is_connected() {
            let all = (0..id.filters).map(|index| granted.get(index).copied().flatten());
            codec::write_suback(self.state.output.buffer(), id.id, all);
        }
    }

    /// Sends a message to the client, and returns its packet identifier, which comes back with
    /// [`Received::Acknowledged`]; `None` at QoS 0.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was written. Control characters are allowed in the topic.
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        qos: QoS,
    ) -> Result<Option<u16>, PublishError> {
        if !self.is_connected() {
            return Err(PublishError::NotConnected);
        }
        let state = &mut self.state;
        check_received_topic(topic).map_err(PublishError::BadTopic)?;
        let (size, limit) = (
            publish_size(topic, payload, qos).unwrap_or(usize::MAX),
            state.options.max_packet_out,
        );
        if size > limit {
            return Err(PublishError::TooLarge { size, limit });
        }
        if state.output.unwritten() >= state.options.high_water {
            return Err(PublishError::OutputFull);
        }
        let delivery = state.delivery(qos).ok_or(PublishError::WindowFull)?;
        write_publish(state.output.buffer(), topic, payload, delivery);
        Ok(delivery.id().map(PacketId::get))
    }

    /// `n` more bytes, of those that [`poll_transmit`](Self::poll_transmit) moved, were handed to
    /// the transport.
    pub fn handle_written(&mut self, n: usize) {
        self.state.output.handle_written(n);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| deadline > now) {
            return;
        }
        self.state.phase = Phase::Failed(match self.state.phase {
            Phase::Connected => ServerFailure::KeepAliveTimeout,
            Phase::Awaiting { .. } | Phase::Deciding { .. } => ServerFailure::NoConnect,
            Phase::Closed | Phase::Failed(_) => return,
        });
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state.phase {
            Phase::Awaiting { deadline } | Phase::Deciding { deadline } => Some(deadline),
            Phase::Connected => Some(self.state.heard + self.state.silence_allowed?),
            Phase::Closed | Phase::Failed(_) => None,
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

    /// About what the session holds in memory, in bytes: a packet that has not come whole, what was not
    /// written, and what was not acknowledged.
    #[must_use]
    pub fn held(&self) -> usize {
        const IDENTIFIER: usize = 16;
        let identifiers = self.state.in_flight.len() + self.state.unreleased.len();
        self.reader.held() + self.state.output.held() + IDENTIFIER * identifiers
    }

    /// Whether input should be read: not while the output is over its high-water mark.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.unwritten() < self.state.options.high_water
    }

    /// How many messages of QoS 1 and 2 the client has not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.in_flight.len()
    }

    /// Whether the client was accepted and the link is still up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state.phase == Phase::Connected
    }

    /// Whether the link is over, be it by DISCONNECT or by a failure: write what is left, close.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state.phase, Phase::Closed | Phase::Failed(_))
    }

    /// Why the link is over, if not by DISCONNECT.
    #[must_use]
    pub const fn failure(&self) -> Option<ServerFailure> {
        match self.state.phase {
            Phase::Failed(failure) => Some(failure),
            Phase::Awaiting { .. } | Phase::Deciding { .. } | Phase::Connected | Phase::Closed => {
                None
            }
        }
    }

    /// The packets whose events borrow from the input.
    fn receive_borrowed<'a>(&'a mut self, frame: &Frame<'a>) -> Received<'a> {
        let content = self.reader.content(frame);
        let (head, state) = (frame.head, &mut self.state);
        let received = if head.packet == PacketType::Publish {
            let oversize = frame.is_oversize().then_some(head.size);
            read_publish(head.first, content)
                .map(|publish| state.receive_publish(publish, oversize))
        } else if head.packet == PacketType::Connect {
            connect::read_connect(content).map(|connect| state.receive_connect(connect))
        } else if head.packet == PacketType::Subscribe {
            filters::read_subscribe(content)
                .map(|(id, filters)| Received::Subscribe { id, filters })
        } else {
            filters::read_unsubscribe(content).map(|(id, filters)| {
                state.send_id(PacketType::UnsubAck, id);
                Received::Unsubscribe(filters)
            })
        };
        received.unwrap_or_else(|violation| state.violated(violation))
    }
}

impl State {
    fn receive_connect<'a>(&mut self, connect: Connect<'a>) -> Received<'a> {
        if let Phase::Awaiting { deadline } = self.phase {
            self.phase = Phase::Deciding { deadline };
        }
        let promised = Duration::from_secs(connect.keep_alive.into());
        self.silence_allowed = (!promised.is_zero()).then_some(promised * 3 / 2);
        Received::Connect(connect)
    }

    fn receive_publish<'a>(
        &mut self,
        publish: Publish<'a>,
        oversize: Option<usize>,
    ) -> Received<'a> {
        match publish.delivery {
            Delivery::Forgotten => {}
            Delivery::Acknowledged(id) => self.send_id(PacketType::PubAck, id),
            Delivery::Assured(id) => {
                self.send_id(PacketType::PubRec, id);
                if !self.unreleased.insert(id) {
                    return unexpected(PacketType::Publish, id);
                }
            }
        }
        let (topic, qos) = (publish.topic, publish.delivery.qos());
        match oversize {
            Some(size) => Received::Oversize(Oversize { topic, size, qos }),
            None => Received::Publish(Message {
                topic,
                payload: publish.payload,
                qos,
                dup: publish.dup,
                retain: publish.retain,
            }),
        }
    }

    /// The packets whose events borrow nothing.
    fn receive(
        &mut self,
        packet: PacketType,
        content: &[u8],
    ) -> Result<Option<Received<'static>>, Violation> {
        if packet == PacketType::PingReq {
            codec::write_bare(self.output.buffer(), PacketType::PingResp);
            return Ok(None);
        }
        if packet == PacketType::Disconnect {
            self.phase = Phase::Closed;
            return Ok(Some(Received::Disconnect));
        }
        let id = read_id(packet, content)?;
        if packet == PacketType::PubRel {
            self.send_id(PacketType::PubComp, id);
            let held = self.unreleased.remove(&id);
            return Ok((!held).then(|| unexpected(packet, id)));
        }
        if self.in_flight.get(&id) != Some(&packet) {
            return Ok(Some(unexpected(packet, id)));
        }
        if packet == PacketType::PubRec {
            self.in_flight.insert(id, PacketType::PubComp);
            self.send_id(PacketType::PubRel, id);
            return Ok(None);
        }
        self.in_flight.remove(&id);
        Ok(Some(Received::Acknowledged(id.get())))
    }

    /// Takes a packet identifier for a message, if one is needed; `None` when none is to be had.
    fn delivery(&mut self, qos: QoS) -> Option<Delivery> {
        let awaited = match qos {
            QoS::AtMostOnce => return Some(Delivery::Forgotten),
            QoS::AtLeastOnce => PacketType::PubAck,
            QoS::ExactlyOnce => PacketType::PubRec,
        };
        if self.in_flight.len() >= self.options.max_in_flight.into() {
            return None;
        }
        let id = (1..=u16::MAX)
            .filter_map(|step| PacketId::new(self.last_id.wrapping_add(step)))
            .find(|id| !self.in_flight.contains_key(id))?;
        self.last_id = id.get();
        self.in_flight.insert(id, awaited);
        Some(Delivery::new(qos, Some(id)))
    }

    fn send_connack(&mut self, refusal: Option<ConnectRefusal>) {
        codec::write_connack(self.output.buffer(), refusal);
    }

    fn send_id(&mut self, packet: PacketType, id: PacketId) {
        write_id(self.output.buffer(), packet, id);
    }

    fn violated(&mut self, violation: Violation) -> Received<'static> {
        // Only these two are answered before the link is closed.
        if matches!(violation, Violation::ProtocolLevel(_)) {
            self.send_connack(Some(ConnectRefusal::ProtocolVersion));
        } else if violation == Violation::NoClientId {
            self.send_connack(Some(ConnectRefusal::ClientId));
        }
        self.phase = Phase::Failed(ServerFailure::Violation(violation));
        Received::Failed(violation)
    }
}

/// What came and what is on its way out may hold a login, so neither is shown.
impl fmt::Debug for ServerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSession")
            .field("phase", &self.state.phase)
            .finish_non_exhaustive()
    }
}

const fn unexpected(packet: PacketType, id: PacketId) -> Received<'static> {
    Received::Unexpected {
        packet,
        id: id.get(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    /// A session that is up, with nothing to write.
    fn session(options: ServerOptions) -> ServerSession {
        let mut session = ServerSession::new(now(), options);
        let mut connect = &b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c"[..];
        let received = session.handle_input(now(), &mut connect);
        assert!(matches!(received, Some(Received::Connect(_))));
        session.accept(now());
        write(&mut session);
        session
    }

    fn write(session: &mut ServerSession) {
        let sent = session.poll_transmit(&mut Vec::new());
        session.handle_written(sent);
        assert_eq!(session.unwritten(), 0);
    }

    fn receive(session: &mut ServerSession, mut packet: &[u8]) {
        let _ = session.handle_input(now(), &mut packet);
        assert!(packet.is_empty());
    }

    #[test]
    fn what_a_session_holds_is_what_waits_what_is_not_acknowledged_and_what_came_in_part() {
        let mut session = session(ServerOptions::default());
        let before = session.held();
        for _ in 0..5 {
            session.publish("a", &[0; 100], QoS::AtLeastOnce).unwrap();
        }
        assert!(session.held() >= before + 500);
        write(&mut session);
        assert_eq!(session.held(), before + 5 * 16);
        for id in 1..=3 {
            receive(&mut session, &[0x34, 5, 0, 1, b'a', 0, id]);
        }
        write(&mut session);
        assert_eq!(session.held(), before + (5 + 3) * 16);
        for id in 1..=5 {
            receive(&mut session, &[0x40, 2, 0, id]);
        }
        write(&mut session);
        assert_eq!(session.held(), before + 3 * 16);
        let begun = [&b"\x30\xe8\x07\0\x01a"[..], &[0; 497]].concat();
        receive(&mut session, &begun);
        assert!(session.held() >= before + 3 * 16 + 500);
    }

    #[test]
    fn input_is_not_read_while_as_much_is_unwritten_as_may_be() {
        let packet = publish_size("a", &[0; 50], QoS::AtMostOnce).unwrap();
        for (high_water, wants) in [(packet - 1, false), (packet, false), (packet + 1, true)] {
            let mut session = session(ServerOptions {
                high_water,
                ..ServerOptions::default()
            });
            assert!(session.wants_input());
            session.publish("a", &[0; 50], QoS::AtMostOnce).unwrap();
            assert_eq!(session.unwritten(), packet);
            assert_eq!(session.wants_input(), wants, "{high_water}");
        }
    }
}
