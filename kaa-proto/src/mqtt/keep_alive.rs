//! When to ask the server whether it is there, and when to give it up.
//!
//! A PINGREQ is due one interval after the last byte out or the last byte in, whichever is
//! earlier: one side's traffic says nothing about the other direction, and a device that only
//! sends would otherwise never learn that nobody listens. PINGRESP must come within half an
//! interval of the PINGREQ, or of the last byte that came after it: a long message ahead of it on
//! a slow link is no dead link. Either way a dead link is found within one and a half intervals of
//! its last byte. But a message that comes slower than any link is none: else a byte now and then
//! would keep the client from everything behind it for as long as a packet can be.
//!
//! Nobody can answer a PINGREQ that still waits behind a long message of our own. Until it is
//! written, bytes that go out are the sign of life, no slower than any link. What then lies in the
//! transport takes its time too, so the answer is waited for as much longer as the PINGREQ took to
//! be written. And a server that talks on but takes nothing for one and a half intervals is as good
//! as dead: what waits would wait for ever.

use std::time::{Duration, Instant};

/// The clock of one link.
#[derive(Clone, Debug)]
pub(super) struct KeepAlive {
    /// `None`: the client never asks.
    interval: Option<Duration>,
    /// When bytes were last handed to the transport.
    sent: Instant,
    /// How many were.
    written: u64,
    /// Since when others wait and none was handed over; `None` if none wait, or none were seen to.
    stuck: Option<Instant>,
    /// When bytes last came.
    heard: Instant,
    /// When a packet last came whole.
    whole: Instant,
    /// How many bytes came since then.
    begun: usize,
    /// The PINGREQ that was not answered yet.
    question: Option<Question>,
}

/// A PINGREQ.
#[derive(Clone, Debug)]
struct Question {
    /// When it was appended to the output.
    asked: Instant,
    /// How many bytes had been written then.
    before: u64,
    /// The place behind its last byte.
    end: u64,
    /// When that was handed to the transport.
    written: Option<Instant>,
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
            written: 0,
            stuck: None,
            heard: now,
            whole: now,
            begun: 0,
            question: None,
        }
    }

    /// More bytes were handed to the transport: `written` since the link began.
    pub(super) fn handle_sent(&mut self, now: Instant, written: u64) {
        self.sent = self.sent.max(now);
        self.written = written;
        self.stuck = None;
        let asked = self.question.as_mut();
        if let Some(question) = asked.filter(|question| question.end <= written) {
            question.written.get_or_insert(self.sent);
        }
    }

    /// Bytes wait to be handed to the transport.
    pub(super) fn handle_waiting(&mut self, now: Instant) {
        self.stuck.get_or_insert(now);
    }

    /// A PINGREQ was appended to the output, where it ends at `end`.
    pub(super) fn handle_asked(&mut self, now: Instant, end: u64) {
        self.question = Some(Question {
            asked: now,
            before: self.written,
            end,
            written: None,
        });
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

    /// PINGRESP came. One that nobody asked for is harmless, and what was not written cannot be
    /// answered.
    pub(super) fn handle_answer(&mut self) {
        self.question.take_if(|asked| asked.written.is_some());
    }

    /// When something will be due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let interval = self.interval?;
        let Some(question) = &self.question else {
            return Some(self.sent.min(self.heard) + interval);
        };
        let (answer, silence) = (interval / 2, interval + interval / 2);
        let Some(written) = question.written else {
            let moved = time_of(self.written - question.before);
            let slowest = question.asked + silence + moved;
            return Some(slowest.min((question.asked + answer).max(self.sent + silence)));
        };
        let asked = written + answer + (written - question.asked);
        let latest = asked.max(self.whole + answer) + time_of(self.begun as u64);
        let latest = latest.min(asked.max(self.heard + answer));
        let stuck = self.stuck.map(|since| since + silence);
        Some(stuck.map_or(latest, |stuck| stuck.min(latest)))
    }

    /// What is due at `now`.
    pub(super) fn poll(&self, now: Instant) -> Option<Due> {
        if self.deadline()? > now {
            return None;
        }
        Some(match self.question {
            Some(_) => Due::Dead,
            None => Due::Ping,
        })
    }
}

/// How long so many bytes may take.
const fn time_of(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}
