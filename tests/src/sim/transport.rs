//! The client's end of a link.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kaa_proto::client::Transport;

use super::meter::Meter;
use crate::dice::Dice;
use crate::pipe::Pieces;
use crate::sniffer::{Packet, Seen, Sniffer};

/// First byte of a PUBACK.
const PUBACK: u8 = 0x40;

/// What a driver reads from and writes to.
#[derive(Debug)]
pub(super) struct Wire {
    ends: Shared,
    /// What it takes itself is not the client's.
    meter: Meter,
}

/// What the client's end saw since it was asked last.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Messages whose last byte it handed over.
    pub(super) sent: Vec<Seen>,
    /// Messages whose last byte it took.
    pub(super) received: Vec<Seen>,
    /// Messages that it handed over, and whose PUBACK it took.
    pub(super) acknowledged: Vec<Seen>,
    /// Such that may have come after something that is no MQTT: perhaps nobody looked at them.
    pub(super) doubtful: Vec<Seen>,
    /// The most that waited to be taken by it, in bytes.
    pub(super) waiting: usize,
    /// How often it was read from or written to.
    pub(super) calls: u64,
}

/// What the client's end and the network share.
#[derive(Clone, Debug)]
pub(super) struct Shared(Arc<Mutex<Ends>>);

#[derive(Debug)]
pub(super) struct Ends {
    /// What the client has written and the network has not taken.
    to_server: Vec<u8>,
    /// What has arrived and the client has not read.
    pub(super) to_client: VecDeque<u8>,
    /// The platform has closed.
    pub(super) is_over: bool,
    /// The link was cut.
    pub(super) is_broken: bool,
    /// Something that is no MQTT is on its way to the client: nobody knows what comes after it.
    pub(super) is_tainted: bool,
    room: usize,
    pieces: Pieces,
    dice: Dice,
    /// How many bytes the client has read.
    taken: usize,
    /// The client has closed its direction.
    is_closed: bool,
    /// The network knows.
    is_close_told: bool,
    /// The last read would have blocked.
    wants_read: bool,
    /// The last write would have blocked.
    wants_write: bool,
    written: Sniffer,
    read: Sniffer,
    /// What it handed over and no PUBACK came for, by packet identifier.
    unacknowledged: BTreeMap<u16, Seen>,
    sight: Sight,
}

impl Shared {
    pub(super) fn new(room: usize, pieces: Pieces, dice: Dice) -> Self {
        Self(Arc::new(Mutex::new(Ends {
            to_server: Vec::new(),
            to_client: VecDeque::new(),
            is_over: false,
            is_broken: false,
            is_tainted: false,
            room,
            pieces,
            dice,
            taken: 0,
            is_closed: false,
            is_close_told: false,
            wants_read: false,
            wants_write: false,
            written: Sniffer::default(),
            read: Sniffer::default(),
            unacknowledged: BTreeMap::new(),
            sight: Sight::default(),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is no other end.
    pub(super) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

impl Ends {
    /// What the client has written, and whether it has closed since the last call.
    pub(super) fn take_up(&mut self) -> (Vec<u8>, bool) {
        let is_over = self.is_closed && !self.is_close_told;
        self.is_close_told |= self.is_closed;
        (std::mem::take(&mut self.to_server), is_over)
    }

    /// The client's direction ends.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    pub(super) fn has_up(&self) -> bool {
        !self.to_server.is_empty() || self.is_closed && !self.is_close_told
    }

    /// The client looks anew at what it can do.
    pub(super) const fn begin_turn(&mut self) {
        (self.wants_read, self.wants_write) = (false, false);
    }

    /// Whether the client waits for something that is there now.
    pub(super) fn wants_turn(&self) -> bool {
        let is_readable = !self.to_client.is_empty() || self.is_over || self.is_broken;
        let is_writable = self.to_server.len() < self.room || self.is_broken;
        self.wants_read && is_readable || self.wants_write && is_writable
    }

    /// Whether the client has handed over a part of a packet.
    pub(super) fn is_partial(&self) -> bool {
        self.written.is_partial()
    }

    /// How many bytes the client has read.
    pub(super) const fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn take_sight(&mut self) -> Sight {
        std::mem::take(&mut self.sight)
    }

    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        self.sight.calls += 1;
        if self.is_broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.wants_read = self.to_client.is_empty() && !self.is_over;
        if self.wants_read {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.to_client.is_empty() {
            return Ok(0);
        }
        let most = self.to_client.len().min(block.len());
        let count = self.pieces.take(&mut self.dice, most);
        let count = io::Read::read(&mut self.to_client, &mut block[..count])?;
        self.taken += count;
        for packet in self.read.packets(&block[..count]) {
            self.see_received(&packet);
        }
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sight.calls += 1;
        self.sight.waiting = self.sight.waiting.max(bytes.len());
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = self.room.saturating_sub(self.to_server.len());
        self.wants_write = room == 0;
        if self.wants_write {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.pieces.take(&mut self.dice, bytes.len().min(room));
        self.to_server.extend(&bytes[..count]);
        for packet in self.written.packets(&bytes[..count]) {
            self.see_sent(&packet);
        }
        Ok(count)
    }

    /// The client has handed over the last byte of a packet.
    fn see_sent(&mut self, packet: &Packet) {
        let Some(seen) = packet.message() else {
            return;
        };
        if let Some(id) = identifier(packet, 2 + seen.topic.len()).filter(|_| seen.qos > 0) {
            self.unacknowledged.insert(id, seen.clone());
        }
        self.sight.sent.push(seen);
    }

    /// The client has taken the last byte of a packet.
    fn see_received(&mut self, packet: &Packet) {
        if packet.first == PUBACK {
            let id = identifier(packet, 0);
            let acknowledged = id.and_then(|id| self.unacknowledged.remove(&id));
            self.sight.acknowledged.extend(acknowledged);
        }
        match self.is_tainted {
            true => self.sight.doubtful.extend(packet.message()),
            false => self.sight.received.extend(packet.message()),
        }
    }
}

/// The packet identifier that stands there.
fn identifier(packet: &Packet, at: usize) -> Option<u16> {
    let bytes = packet.body.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

impl Wire {
    pub(super) const fn new(ends: Shared, meter: Meter) -> Self {
        Self { ends, meter }
    }
}

impl Transport for Wire {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        self.meter.aside(|| self.ends.lock().read(block))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.meter.aside(|| self.ends.lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.ends.lock().close();
        Ok(())
    }
}
