//! A simulated network: one direction of a byte stream each, with latency, pieces, bandwidth, and
//! holes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::dice::Dice;

/// In which pieces bytes are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// All that is there.
    Whole,
    /// At most so many bytes.
    UpTo(usize),
    /// From one byte to so many, by chance.
    Random(usize),
}

impl Pieces {
    /// How many of `available` bytes go now.
    pub fn take(self, dice: &mut Dice, available: usize) -> usize {
        match self {
            Self::Whole => available,
            Self::UpTo(most) => available.min(most),
            Self::Random(most) => available.min(dice.length(most)),
        }
    }
}

/// What comes out of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Bytes, in one piece.
    Bytes(Vec<u8>),
    /// Nothing will come any more.
    End,
}

/// How much a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes a second.
    pub rate: u32,
    /// What the sender's system takes before it is carried, in bytes.
    pub buffer: usize,
}

impl Bandwidth {
    /// How long so many bytes take.
    #[must_use]
    pub fn time_of(self, bytes: usize) -> Duration {
        Duration::from_secs(1) * u32::try_from(bytes).unwrap_or(u32::MAX) / self.rate
    }
}

/// What is carried as one, in bytes, where there is a bandwidth.
const SEGMENT: usize = 256;

/// One direction of a link. Bytes keep their order and arrive after the latency.
#[derive(Debug)]
pub struct Pipe {
    latency: Duration,
    /// `None` carries everything at once.
    bandwidth: Option<Bandwidth>,
    /// When all that was put in is on its way.
    idle_at: Option<Instant>,
    /// What is on the way, and when it arrives.
    moving: VecDeque<(Instant, Arrival)>,
    /// Arrived bytes of which the last pieces are not taken yet.
    rest: VecDeque<u8>,
    /// While set, nothing comes out, and nothing is lost: the sender goes on repeating it.
    pub is_hole: bool,
    /// Once set, nothing comes out any more: bytes are missing, and what follows would make no sense.
    pub is_dead: bool,
}

impl Pipe {
    /// An empty pipe.
    #[must_use]
    pub const fn new(latency: Duration, bandwidth: Option<Bandwidth>) -> Self {
        Self {
            latency,
            bandwidth,
            idle_at: None,
            moving: VecDeque::new(),
            rest: VecDeque::new(),
            is_hole: false,
            is_dead: false,
        }
    }

    /// Puts something in.
    pub fn push(&mut self, now: Instant, arrival: Arrival) {
        let Some(bandwidth) = self.bandwidth else {
            self.moving.push_back((now + self.latency, arrival));
            return;
        };
        let mut gone = self.idle_at.map_or(now, |at| at.max(now));
        match arrival {
            Arrival::End => self.moving.push_back((gone + self.latency, Arrival::End)),
            Arrival::Bytes(bytes) => {
                for segment in bytes.chunks(SEGMENT) {
                    gone += bandwidth.time_of(segment.len());
                    let segment = Arrival::Bytes(segment.to_vec());
                    self.moving.push_back((gone + self.latency, segment));
                }
            }
        }
        self.idle_at = Some(gone);
    }

    /// How many bytes the sender's system takes now.
    #[must_use]
    pub fn room(&self, now: Instant) -> usize {
        let Some(bandwidth) = self.bandwidth else {
            return usize::MAX;
        };
        let busy = self.idle_at.map(|at| at.saturating_duration_since(now));
        let waiting = busy.unwrap_or_default().as_nanos() * u128::from(bandwidth.rate);
        let waiting = usize::try_from(waiting / 1_000_000_000).unwrap_or(usize::MAX);
        bandwidth.buffer.saturating_sub(waiting)
    }

    /// When half of the sender's buffer is free.
    #[must_use]
    pub fn next_room(&self) -> Option<Instant> {
        let half = self.bandwidth?.time_of(self.bandwidth?.buffer / 2);
        self.idle_at?.checked_sub(half)
    }

    /// What has arrived by now, at most `most` bytes in a piece.
    pub fn pop(&mut self, now: Instant, pieces: Pieces, dice: &mut Dice) -> Option<Arrival> {
        if self.is_hole || self.is_dead {
            return None;
        }
        while let Some((_, Arrival::Bytes(bytes))) =
            self.moving.front().filter(|(at, _)| *at <= now)
        {
            self.rest.extend(bytes);
            self.moving.pop_front();
        }
        if self.rest.is_empty() {
            let (at, _) = self.moving.front()?;
            return (*at <= now)
                .then(|| self.moving.pop_front())
                .flatten()
                .map(|(_, end)| end);
        }
        let taken = pieces.take(dice, self.rest.len());
        Some(Arrival::Bytes(self.rest.drain(..taken).collect()))
    }

    /// When something arrives next.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        let (at, _) = self.moving.front()?;
        (!self.is_hole && !self.is_dead).then_some(*at)
    }

    /// Whether something has arrived by now.
    #[must_use]
    pub fn has_arrived(&self, now: Instant) -> bool {
        let is_due = self.moving.front().is_some_and(|(at, _)| *at <= now);
        !self.is_hole && (is_due || !self.rest.is_empty())
    }
}
