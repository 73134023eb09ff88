//! What a session knows, and what it does with a packet.

use std::collections::VecDeque;
use std::time::Instant;

use crate::mqtt::codec;
use crate::mqtt::error::{LinkFailure, SubscribeError};
use crate::mqtt::event::{Granted, Incoming, Message, Oversize};
use crate::mqtt::in_flight::{Awaits, Entry, InFlight};
use crate::mqtt::keep_alive::KeepAlive;
use crate::mqtt::options::SessionOptions;
use crate::mqtt::output::Output;
use crate::mqtt::packet::{Delivery, PacketId, PacketType, Publish};
use crate::mqtt::publish::{read_id, write_id, write_publish};
use crate::mqtt::stall::Stall;
use crate::mqtt::trace;
use crate::mqtt::violation::Violation;

/// All but the reader, from which events borrow.
#[derive(Clone)]
pub(super) struct State<K> {
    /// Where the link stands.
    pub(super) phase: Phase,
    /// Whether something may be sent before CONNACK came.
    pub(super) is_early: bool,
    /// Bytes on their way out.
    pub(super) output: Output,
    /// What waits for an acknowledgement.
    pub(super) in_flight: InFlight<K>,
    /// Publishes that were not written whole: the place behind their last byte, and their key. In
    /// that order.
    pub(super) unwritten: VecDeque<(u64, K)>,
    /// Packet identifiers of received QoS 2 messages until their PUBREL, sorted: by their nature
    /// at most 65,535.
    pub(super) unreleased: Vec<PacketId>,
    /// When to ping.
    pub(super) keep_alive: KeepAlive,
    /// Whether acknowledgements come.
    pub(super) stall: Stall,
    /// See [`SessionOptions::max_packet_out`].
    pub(super) max_packet_out: usize,
    /// See [`SessionOptions::max_in_flight`].
    pub(super) max_in_flight: usize,
    /// See [`SessionOptions::high_water`].
    pub(super) high_water: usize,
    /// What went through.
    pub(super) traffic: Traffic,
}

/// Where the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// CONNECT is under way.
    ///
    /// Exits: `Connected` on CONNACK 0; `Failed` on any other one, a violation, or at `deadline`;
    /// `Closing` by `disconnect`.
    Greeting { deadline: Instant },
    /// The link is up.
    ///
    /// Exits: `Closing` by `disconnect`; `Failed` on a violation, when the keep alive says so, or
    /// when acknowledgements stay away.
    Connected,
    /// DISCONNECT was appended, and nothing is after it. No exits: the caller closes.
    Closing,
    /// No exits: the caller closes.
    Failed(LinkFailure),
}

/// What went through one link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that were received whole.
    pub packets_in: u64,
    /// Packets that were appended to the output.
    pub packets_out: u64,
    /// Bytes of input that were used up.
    pub bytes_in: u64,
    /// Bytes that were handed to the transport.
    pub bytes_out: u64,
}

impl<K: Copy> State<K> {
    pub(super) fn new(now: Instant, options: &SessionOptions) -> Self {
        Self {
            phase: Phase::Greeting {
                deadline: now + options.connack_within,
            },
            is_early: false,
            output: Output::default(),
            in_flight: InFlight::new(),
            unwritten: VecDeque::new(),
            unreleased: Vec::new(),
            keep_alive: KeepAlive::new(options.keep_alive, now),
            stall: Stall::new(options.acknowledge_within),
            max_packet_out: options.max_packet_out,
            max_in_flight: options.max_in_flight.into(),
            high_water: options.high_water,
            // The CONNECT.
            traffic: Traffic {
                packets_out: 1,
                ..Traffic::default()
            },
        }
    }

    /// Whether something new may be begun at all.
    pub(super) fn may_speak(&self) -> bool {
        match self.phase {
            Phase::Greeting { .. } => self.is_early,
            Phase::Connected => true,
            Phase::Closing | Phase::Failed(_) => false,
        }
    }

    /// Takes note of bytes that wait to be written.
    pub(super) fn look_at_output(&mut self, now: Instant) {
        if self.output.unwritten() > 0 {
            self.keep_alive.handle_waiting(now);
        }
    }

    /// Whether nothing new is to be begun. A publish takes more than one byte, so the keys alone
    /// are too many only if the caller does not ask for them.
    pub(super) fn is_output_full(&self) -> bool {
        self.output.unwritten().max(self.unwritten.len()) >= self.high_water
    }

    /// Until when the oldest message is to be acknowledged; `None` while more may be sent.
    pub(super) fn stall_deadline(&self) -> Option<Instant> {
        match self.in_flight.publishes() < self.max_in_flight {
            true => None,
            false => self.stall.deadline(),
        }
    }

    /// Appends a PUBLISH that was found to be allowed.
    pub(super) fn publish(&mut self, key: K, topic: &str, payload: &[u8], delivery: Delivery) {
        write_publish(self.output.buffer(), topic, payload, delivery);
        self.output.note_ours();
        self.traffic.packets_out += 1;
        let end = self.output.end();
        trace::published(topic, payload, delivery);
        self.unwritten.push_back((end, key));
        let (id, awaits) = match delivery {
            Delivery::Forgotten => return,
            Delivery::Acknowledged(id) => (id, Awaits::PubAck),
            Delivery::Assured(id) => (id, Awaits::PubRec),
        };
        self.stall.begin(end);
        self.in_flight.insert(Entry {
            id,
            awaits,
            end,
            key,
        });
    }

    /// Acknowledges a message, and says whether it is to be delivered: not if it was before.
    pub(super) fn receive_publish<'a>(
        &mut self,
        publish: Publish<'a>,
        oversize: Option<usize>,
    ) -> Incoming<'a, K> {
        match publish.delivery {
            Delivery::Forgotten => {}
            Delivery::Acknowledged(id) => self.send_id(PacketType::PubAck, id),
            Delivery::Assured(id) => {
                self.send_id(PacketType::PubRec, id);
                match self.unreleased.binary_search(&id) {
                    Ok(_) => return unexpected(PacketType::Publish, id),
                    Err(place) => self.unreleased.insert(place, id),
                }
            }
        }
        let (topic, qos) = (publish.topic, publish.delivery.qos());
        match oversize {
            Some(size) => Incoming::Oversize(Oversize { topic, size, qos }),
            None => Incoming::Message(Message {
                topic,
                payload: publish.payload,
                qos,
                dup: publish.dup,
                retain: publish.retain,
            }),
        }
    }

    pub(super) fn receive_suback<'a>(
        &mut self,
        id: PacketId,
        codes: &'a [u8],
    ) -> Result<Incoming<'a, K>, Violation> {
        let written = self.output.written();
        let Some(entry) = self.in_flight.settle(id, PacketType::SubAck, written) else {
            return Ok(unexpected(PacketType::SubAck, id));
        };
        let codes_len = codes.len();
        if let Awaits::SubAck { filters } = entry.awaits {
            if filters != codes_len {
                return Err(Violation::SubAckCount {
                    filters,
                    codes: codes_len,
                });
            }
        }
        Ok(Incoming::Subscribed {
            key: entry.key,
            granted: Granted::new(codes),
        })
    }

    /// All packets whose events borrow nothing from the input.
    pub(super) fn receive(
        &mut self,
        packet: PacketType,
        content: &[u8],
    ) -> Result<Option<Incoming<'static, K>>, Violation> {
        if packet == PacketType::ConnAck {
            return self.receive_connack(content).map(Some);
        }
        if packet == PacketType::PingResp {
            self.keep_alive.handle_answer();
            return Ok(None);
        }
        let id = if packet == PacketType::UnsubAck {
            codec::read_unsuback(content)?
        } else {
            read_id(packet, content)?
        };
        if packet == PacketType::PubRel {
            self.send_id(PacketType::PubComp, id);
            return Ok(match self.unreleased.binary_search(&id) {
                Ok(place) => {
                    self.unreleased.remove(place);
                    None
                }
                Err(_) => Some(unexpected(packet, id)),
            });
        }
        let written = self.output.written();
        let Some(entry) = self.in_flight.settle(id, packet, written) else {
            return Ok(Some(unexpected(packet, id)));
        };
        if entry.awaits == Awaits::PubRec {
            self.send_id(PacketType::PubRel, id);
            self.in_flight.insert_again(Entry {
                awaits: Awaits::PubComp,
                ..entry
            });
            return Ok(None);
        }
        if packet == PacketType::UnsubAck {
            return Ok(Some(Incoming::Unsubscribed(entry.key)));
        }
        self.stall.end(self.keep_alive.heard(), entry.end);
        Ok(Some(Incoming::Acknowledged(entry.key)))
    }

    fn receive_connack(&mut self, content: &[u8]) -> Result<Incoming<'static, K>, Violation> {
        let Err(refusal) = codec::read_connack(content)? else {
            self.phase = Phase::Connected;
            // What was sent early could not be acknowledged before.
            self.stall.begin_anew(self.keep_alive.heard());
            return Ok(Incoming::Connected);
        };
        self.fail(LinkFailure::Refused(refusal));
        Ok(Incoming::Refused(refusal))
    }

    /// SUBSCRIBE and UNSUBSCRIBE.
    pub(super) fn request(
        &mut self,
        key: K,
        checked: Result<(), SubscribeError>,
        size: usize,
        awaits: Awaits,
        write: impl FnOnce(&mut Vec<u8>, PacketId) -> Result<(), codec::Unwritable>,
    ) -> Result<(), SubscribeError> {
        if !self.may_speak() {
            return Err(SubscribeError::NotConnected);
        }
        checked?;
        let limit = self.max_packet_out;
        let too_large = SubscribeError::TooLarge { size, limit };
        if size > limit {
            return Err(too_large);
        }
        if self.is_output_full() {
            return Err(SubscribeError::OutputFull);
        }
        let free = self.in_flight.requests() < self.max_in_flight;
        let id = free.then(|| self.in_flight.next_id()).flatten();
        let id = id.ok_or(SubscribeError::WindowFull)?;
        write(self.output.buffer(), id).map_err(|codec::Unwritable| too_large)?;
        self.output.note_ours();
        self.traffic.packets_out += 1;
        let end = self.output.end();
        trace::requested(awaits, size, id);
        self.in_flight.insert(Entry {
            id,
            awaits,
            end,
            key,
        });
        Ok(())
    }

    fn send_id(&mut self, packet: PacketType, id: PacketId) {
        write_id(self.output.buffer(), packet, id);
        trace::appended(packet, 4, Some(id));
        self.traffic.packets_out += 1;
    }

    pub(super) fn send_bare(&mut self, packet: PacketType) {
        codec::write_bare(self.output.buffer(), packet);
        trace::appended(packet, 2, None);
        self.traffic.packets_out += 1;
    }

    pub(super) fn violated(&mut self, violation: Violation) -> Incoming<'static, K> {
        self.fail(LinkFailure::Violation(violation));
        Incoming::Failed(violation)
    }

    pub(super) fn fail(&mut self, failure: LinkFailure) {
        self.phase = Phase::Failed(failure);
        self.output.clear();
    }
}

const fn unexpected<K>(packet: PacketType, id: PacketId) -> Incoming<'static, K> {
    Incoming::Unexpected {
        packet,
        id: id.get(),
    }
}
