//! When to ask the server whether it is there, and when to give it up.
//!
//! A PINGREQ is due one interval after the last byte out or the last byte in, whichever is
//! earlier: one side's traffic says nothing about the other direction, and a device that only
//! sends would otherwise never learn that nobody listens. PINGRESP must come within half an
//! interval of the PINGREQ, or of the last byte that came after it: a long message ahead of it on
//! a slow link is no dead link. Either way a dead link is found within one and a half intervals of
//! its last byte.

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

impl KeepAlive {
    pub(super) const fn new(interval: Option<Duration>, now: Instant) -> Self {
        Self {
            interval,
            sent: now,
            heard: now,
            asked: None,
        }
    }

    pub(super) fn handle_sent(&mut self, now: Instant) {
        self.sent = self.sent.max(now);
    }

    pub(super) fn handle_heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
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
            Some(asked) => asked.max(self.heard) + interval / 2,
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
