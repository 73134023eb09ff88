//! When to ask the server whether it is there, and when to give it up.
//!
//! A PINGREQ is due one interval after the last byte out or the last byte in, whichever is
//! earlier: one side's traffic says nothing about the other direction, and a device that only
//! sends would otherwise never learn that nobody listens. PINGRESP must come within half an
//! interval of the PINGREQ, or of the last byte that came after it: a long message ahead of it on
//! a slow link is no dead link. Either way a dead link is found within one and a half intervals of
//! its last byte. But a message that comes slower than any link is none: else a byte now and then
//! would keep the client from everything behind it for as long as a packet can be.

use std::time::{Duration, Instant};

/// The clock of one link.
#[derive(Clone, Debug)]
pub(super) struct KeepAlive {
    /// `None`: the client never asks.
    interval: Option<Duration>,
    /// When bytes were last handed to the transport.
    sent: Instant,
    /// When bytes last came.
    heard: Instant,
    /// When a packet last came whole.
    whole: Instant,
    /// How many bytes came since then.
    begun: usize,
    /// When the PINGREQ went out that was not answered yet.
    asked: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A PINGREQ is to be sent.
    Ping,
    /// The server did not answer: the link is dead.
    Dead,
}

/// The slowest link that there is, in bytes a second: a quarter of what the slowest ones promise
/// (NB-IoT at the edge of a cell).
const SLOWEST: u64 = 8;

impl KeepAlive {
    pub(super) const fn new(interval: Option<Duration>, now: Instant) -> Self {
        Self {
            interval,
            sent: now,
            heard: now,
            whole: now,
            begun: 0,
            asked: None,
        }
    }

    pub(super) fn handle_sent(&mut self, now: Instant) {
        self.sent = self.sent.max(now);
    }

    pub(super) fn handle_heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// So many bytes of a packet came that is not whole yet.
    pub(super) const fn handle_begun(&mut self, bytes: usize) {
        self.begun = self.begun.saturating_add(bytes);
    }

    /// A packet came whole.
    pub(super) fn handle_whole(&mut self, now: Instant) {
        self.whole = self.whole.max(now);
        self.begun = 0;
    }

    /// When bytes last came.
    pub(super) const fn heard(&self) -> Instant {
        self.heard
    }

    /// PINGRESP came. One that nobody asked for is harmless.
    pub(super) const fn handle_answer(&mut self) {
        self.asked = None;
    }

    /// When something will be due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let interval = self.interval?;
        Some(match self.asked {
            None => self.sent.min(self.heard) + interval,
            Some(asked) => {
                let begun = Duration::from_secs(self.begun as u64 / SLOWEST);
                let latest = asked.max(self.whole) + interval / 2 + begun;
                latest.min(asked.max(self.heard) + interval / 2)
            }
        })
    }

    /// What is due at `now`. A PINGREQ counts as sent with this answer.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Due> {
        if self.deadline()? > now {
            return None;
        }
        if self.asked.is_some() {
            return Some(Due::Dead);
        }
        self.asked = Some(now);
        Some(Due::Ping)
    }
}
