//! One link: the client's transport, two pipes, and what is done to what goes through them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kaa_proto::platform::{LinkId, PlatformServer};

use super::meter::Meter;
use super::transport::{Shared, Sight, Wire};
use crate::dice::Dice;
use crate::packets;
use crate::pipe::{Arrival, Pieces, Pipe};
use crate::sniffer::{Packet, Seen, Sniffer};

/// A CONNACK that says that the server is not available: of all refusals the one that is soon retried.
const REFUSAL: [u8; 4] = [0x20, 2, 0, 3];

/// First bytes of packets.
const CONNACK: u8 = 0x20;
const SUBACK: u8 = 0x90;
const PUBLISH: u8 = 0x30;

/// How a link carries bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carriage {
    /// The least time that bytes take, one way.
    pub(super) latency: Duration,
    /// How much longer they may take, in milliseconds.
    pub(super) jitter: u64,
    /// In which pieces they are taken and handed over.
    pub(super) pieces: Pieces,
    /// What the sender's system takes before it says that it would block.
    pub(super) room: usize,
}

/// A link, with both of its ends.
#[derive(Debug)]
pub(super) struct Line {
    /// The platform's end, until it closed it.
    pub(super) server: Option<LinkId>,
    ends: Shared,
    carriage: Carriage,
    up: Pipe,
    down: Pipe,
    /// Nothing arrives earlier, so that nothing overtakes.
    up_at: Option<Instant>,
    down_at: Option<Instant>,
    /// After so many more bytes, both ways counted, the link is cut.
    pub(super) cut_after: Option<usize>,
    /// The platform closes it as soon as it has accepted the client.
    pub(super) is_kicked: bool,
    /// The platform refuses the client.
    pub(super) is_refused: bool,
    /// The refusal is the first that comes to the client: it knows then that it was refused.
    is_plainly_refused: bool,
    /// The platform has accepted the client.
    is_accepted: bool,
    /// The client has let go of its end, and this is known.
    is_forgotten: bool,
    /// The packets that the platform sends.
    packets: Sniffer,
    /// What is done to the next packets.
    pub(super) mischief: VecDeque<Mischief>,
    /// The messages that were made to come twice.
    copied: Vec<Seen>,
}

/// What is done to what the platform sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mischief {
    /// The next SUBACK refuses all it was asked for.
    RefuseSubscription,
    /// These bytes, which are no MQTT, come before the next packet.
    Spoil(Vec<u8>),
    /// The next message comes twice.
    Duplicate,
}

impl Line {
    /// A link that both ends know, and the client's end of it.
    pub(super) fn new(
        server: LinkId,
        carriage: Carriage,
        dice: Dice,
        meter: Meter,
    ) -> (Self, Wire) {
        let ends = Shared::new(carriage.room, carriage.pieces, dice);
        let pipe = || Pipe::new(Duration::ZERO, None);
        let line = Self {
            server: Some(server),
            ends: ends.clone(),
            carriage,
            up: pipe(),
            down: pipe(),
            up_at: None,
            down_at: None,
            cut_after: None,
            is_kicked: false,
            is_refused: false,
            is_plainly_refused: false,
            is_accepted: false,
            is_forgotten: false,
            packets: Sniffer::default(),
            mischief: VecDeque::new(),
            copied: Vec::new(),
        };
        (line, Wire::new(ends, meter))
    }

    /// Nothing goes through any more in these directions, and nobody is told.
    pub(super) const fn swallow(&mut self, up: bool, down: bool) {
        self.up.is_hole |= up;
        self.down.is_hole |= down;
    }

    /// What is on its way arrives.
    pub(super) const fn reopen(&mut self) {
        (self.up.is_hole, self.down.is_hole) = (false, false);
    }

    /// Takes what the client's end has written onto its way; whether there was anything.
    pub(super) fn take_up(&mut self, now: Instant, dice: &mut Dice) -> bool {
        if self.up.is_hole {
            // The system goes on repeating what it has, and takes no more than it has room for.
            return false;
        }
        let (bytes, is_over) = self.ends.lock().take_up();
        if bytes.is_empty() && !is_over {
            return false;
        }
        let at = self.arrival(now, self.up_at, dice);
        self.up_at = Some(at);
        if !bytes.is_empty() {
            self.up.push(at, Arrival::Bytes(bytes));
        }
        if is_over {
            self.up.push(at, Arrival::End);
        }
        true
    }

    /// Takes what the platform has written onto its way, with what is done to it; whether the link
    /// is to be closed now.
    pub(super) fn take_down(&mut self, now: Instant, bytes: &[u8], dice: &mut Dice) -> bool {
        let (mut out, mut is_accepted) = (Vec::new(), false);
        for packet in self.packets.packets(bytes) {
            is_accepted |= packet.first == CONNACK;
            self.meddle(&packet, &mut out);
        }
        self.is_accepted |= is_accepted;
        let at = self.arrival(now, self.down_at, dice);
        self.down_at = Some(at);
        if !out.is_empty() {
            self.down.push(at, Arrival::Bytes(out));
        }
        is_accepted && self.is_kicked
    }

    /// Somebody else's messages come through it.
    pub(super) fn inject(&mut self, now: Instant, bytes: Vec<u8>, dice: &mut Dice) {
        if self.server.is_some() {
            // Before CONNACK it is no MQTT, and what comes after it is not read.
            self.ends.lock().is_tainted |= !self.is_accepted;
            let at = self.arrival(now, self.down_at, dice);
            self.down_at = Some(at);
            self.down.push(at, Arrival::Bytes(bytes));
        }
    }

    /// Says that nothing of what comes is processed, and closes the platform's end.
    pub(super) fn refuse(&mut self, now: Instant, dice: &mut Dice) {
        // What came before it ended the link for the client, which has read no refusal then.
        self.is_plainly_refused = !self.ends.lock().is_tainted;
        self.inject(now, REFUSAL.to_vec(), dice);
        self.close_down(now);
    }

    /// Whether the client knows that it was refused.
    pub(super) fn is_known_refused(&self) -> bool {
        self.is_plainly_refused && self.ends.lock().taken() == REFUSAL.len()
    }

    /// The platform closes its end.
    pub(super) fn close_down(&mut self, now: Instant) {
        self.server = None;
        let at = self.down_at.map_or(now, |at| at.max(now));
        self.down.push(at, Arrival::End);
    }

    fn arrival(&self, now: Instant, after: Option<Instant>, dice: &mut Dice) -> Instant {
        let jitter = Duration::from_millis(dice.below(self.carriage.jitter + 1));
        let at = now + self.carriage.latency + jitter;
        after.map_or(at, |after| at.max(after))
    }

    fn meddle(&mut self, packet: &Packet, out: &mut Vec<u8>) {
        let mut body = packet.body.clone();
        let is_message = packet.first & 0xf0 == PUBLISH;
        let mut copies = 1;
        match self.mischief.front() {
            Some(Mischief::RefuseSubscription) if packet.first == SUBACK => {
                body.iter_mut().skip(2).for_each(|code| *code = 0x80);
                self.mischief.pop_front();
            }
            Some(Mischief::Spoil(bytes)) => {
                out.extend(bytes);
                self.mischief.pop_front();
                self.ends.lock().is_tainted = true;
            }
            Some(Mischief::Duplicate) if is_message => {
                copies = 2;
                self.copied.extend(packet.message());
                self.mischief.pop_front();
            }
            Some(Mischief::RefuseSubscription | Mischief::Duplicate) | None => {}
        }
        for _ in 0..copies {
            out.extend(packets::packet(packet.first, &body));
        }
    }

    /// Bytes for the platform that have arrived.
    pub(super) fn arrived_up(&mut self, now: Instant, dice: &mut Dice) -> Option<Arrival> {
        let arrival = self.up.pop(now, self.carriage.pieces, dice)?;
        Some(self.carry(arrival))
    }

    /// Hands the client's end what has arrived; whether there was anything.
    pub(super) fn arrive_down(&mut self, now: Instant, dice: &mut Dice) -> bool {
        let Some(arrival) = self.down.pop(now, self.carriage.pieces, dice) else {
            return false;
        };
        let arrival = self.carry(arrival);
        let mut ends = self.ends.lock();
        match arrival {
            Arrival::Bytes(bytes) => ends.to_client.extend(bytes),
            Arrival::End => ends.is_over = true,
        }
        true
    }

    fn carry(&mut self, arrival: Arrival) -> Arrival {
        let Arrival::Bytes(mut bytes) = arrival else {
            return arrival;
        };
        if let Some(left) = &mut self.cut_after {
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        Arrival::Bytes(bytes)
    }

    /// Whether it is to be cut now.
    pub(super) fn is_cut(&self) -> bool {
        self.cut_after == Some(0)
    }

    /// The client's end breaks, what it has not read is lost.
    pub(super) fn cut(&self) {
        self.ends.lock().is_broken = true;
    }

    /// Whether bytes have arrived for the platform, and it reads.
    pub(super) fn is_up_due(&self, now: Instant, server: &PlatformServer) -> bool {
        self.is_read(server) && self.up.has_arrived(now)
    }

    /// Whether bytes have arrived for the client.
    pub(super) fn is_down_due(&self, now: Instant) -> bool {
        !self.is_forgotten && self.down.has_arrived(now)
    }

    /// When bytes arrive for the platform, if it reads.
    pub(super) fn next_up(&self, server: &PlatformServer) -> Option<Instant> {
        self.up.next_arrival().filter(|_| self.is_read(server))
    }

    fn is_read(&self, server: &PlatformServer) -> bool {
        self.server.is_some_and(|link| server.wants_input(link))
    }

    /// When bytes arrive for the client.
    pub(super) fn next_down(&self) -> Option<Instant> {
        self.down.next_arrival().filter(|_| !self.is_forgotten)
    }

    /// The client is turned: it waits only for what it finds wanting now.
    pub(super) fn begin_turn(&self) {
        self.ends.lock().begin_turn();
    }

    /// Whether the client's end waits for something that is there now.
    pub(super) fn wants_turn(&self) -> bool {
        self.ends.lock().wants_turn()
    }

    /// Whether the client's end has written or closed.
    pub(super) fn has_up(&self) -> bool {
        !self.up.is_hole && self.ends.lock().has_up()
    }

    /// If the client has let go of its end, the system closes it; whether that is new.
    pub(super) fn forget(&mut self) -> bool {
        let is_new = self.ends.is_alone() && !self.is_forgotten;
        self.is_forgotten |= is_new;
        if is_new {
            self.ends.lock().close();
        }
        is_new
    }

    /// Whether the client has let go of its end.
    pub(super) const fn is_forgotten(&self) -> bool {
        self.is_forgotten
    }

    /// Whether the client's end handed over a part of a packet.
    pub(super) fn is_partial(&self) -> bool {
        self.ends.lock().is_partial()
    }

    /// The messages that were made to come twice since the last call.
    pub(super) fn take_copied(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.copied)
    }

    /// What the client's end saw since the last call.
    pub(super) fn take_sight(&self) -> Sight {
        self.ends.lock().take_sight()
    }
}
