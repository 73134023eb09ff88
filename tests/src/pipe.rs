//! A simulated network: one direction of a byte stream each, with latency, pieces, and holes.

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

/// One direction of a link. Bytes keep their order and arrive after the latency.
#[derive(Debug)]
pub struct Pipe {
    latency: Duration,
    /// What is on the way, and when it arrives.
    moving: VecDeque<(Instant, Arrival)>,
    /// Arrived bytes of which the last pieces are not taken yet.
    rest: VecDeque<u8>,
    /// While set, nothing comes out, and nothing is lost: the sender goes on repeating it.
    pub is_hole: bool,
}

impl Pipe {
    /// An empty pipe.
    #[must_use]
    pub const fn new(latency: Duration) -> Self {
        Self {
            latency,
            moving: VecDeque::new(),
            rest: VecDeque::new(),
            is_hole: false,
        }
    }

    /// Puts something in.
    pub fn push(&mut self, now: Instant, arrival: Arrival) {
        self.moving.push_back((now + self.latency, arrival));
    }

    /// What has arrived by now, at most `most` bytes in a piece.
    pub fn pop(&mut self, now: Instant, pieces: Pieces, dice: &mut Dice) -> Option<Arrival> {
        if self.is_hole {
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
        (!self.is_hole).then_some(*at)
    }
}
