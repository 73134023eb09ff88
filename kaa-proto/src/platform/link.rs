//! One connection to the platform: its MQTT session, what waits for it, how it ends.

use std::collections::VecDeque;
use std::time::Instant;

use super::platform::Delivery;
use crate::mqtt::PublishError;
use crate::mqtt::server::{ServerOptions, ServerSession};
use crate::qos::QoS;

/// How many messages wait for a client that does not read or acknowledge. Further ones are
/// dropped: the extensions keep what must not be lost.
const MAX_BACKLOG: usize = 4_096;
/// How many bytes of them.
const MAX_BACKLOG_BYTES: usize = 16 << 20;
/// How much input is kept during a black hole. More than that ends the link.
const MAX_HELD: usize = 4 << 20;

/// What a link takes that has done nothing yet.
const OWN: usize = 1_024;

/// Where a link stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stage {
    /// It serves. Exits: `Ending` when the MQTT session is over; `Cut` when the platform closes it.
    Open,
    /// As `Open`, but its credentials are wrong: it is cut at its first PUBLISH (FACTS trap 32).
    /// Exits: as `Open`.
    Doomed,
    /// The host writes what is left and closes. No exits but its removal.
    Ending,
    /// The host closes at once. No exits but its removal.
    Cut,
}

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) session: ServerSession,
    pub(super) stage: Stage,
    /// The client identifier, once it is connected; empty if it gave none.
    pub(super) client_id: String,
    /// Messages that found the window or the output full, oldest first.
    backlog: VecDeque<(Delivery, QoS)>,
    /// The bytes of their topics and payloads.
    backlog_bytes: usize,
    /// Input that came during a black hole.
    held: Vec<u8>,
    /// Its part of what all links hold, when it was last looked at.
    pub(super) counted: usize,
}

impl Link {
    pub(super) fn new(now: Instant, options: ServerOptions) -> Self {
        Self {
            session: ServerSession::new(now, options),
            stage: Stage::Open,
            client_id: String::new(),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            held: Vec::new(),
            counted: 0,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Doomed)
    }

    /// Whether input should be read: not while too much is waiting to be written.
    pub(super) fn wants_input(&self) -> bool {
        self.is_open() && self.session.wants_input() && self.backlog.len() < MAX_BACKLOG / 2
    }

    /// Sends a message, or lets it wait behind others. `false` if it was dropped.
    pub(super) fn send(&mut self, delivery: &Delivery, qos: QoS) -> bool {
        if self.backlog.is_empty() {
            match self
                .session
                .publish(&delivery.topic, &delivery.payload, qos)
            {
                Ok(_) => return true,
                Err(PublishError::OutputFull | PublishError::WindowFull) => {}
                Err(_) => return false,
            }
        }
        let size = delivery.topic.len() + delivery.payload.len();
        if self.backlog.len() >= MAX_BACKLOG || self.backlog_bytes + size > MAX_BACKLOG_BYTES {
            return false;
        }
        self.backlog_bytes += size;
        self.backlog.push_back((delivery.clone(), qos));
        true
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn send_backlog(&mut self) {
        while let Some((delivery, qos)) = self.backlog.front() {
            let sent = self
                .session
                .publish(&delivery.topic, &delivery.payload, *qos);
            if matches!(
                sent,
                Err(PublishError::OutputFull | PublishError::WindowFull)
            ) {
                return;
            }
            self.backlog_bytes -= delivery.topic.len() + delivery.payload.len();
            self.backlog.pop_front();
        }
    }

    /// About what it holds, in bytes, its subscriptions aside.
    pub(super) fn held(&self) -> usize {
        OWN + 2 * self.client_id.len()
            + self.session.held()
            + self.backlog_bytes
            + self.backlog.capacity() * size_of::<(Delivery, QoS)>()
            + self.held.len()
    }

    /// It is to be closed at once: nothing of it is needed any more.
    pub(super) fn cut(&mut self, now: Instant) {
        *self = Self {
            client_id: std::mem::take(&mut self.client_id),
            stage: Stage::Cut,
            ..Self::new(now, ServerOptions::default())
        };
    }

    /// Keeps input for later. `false` if there is too much of it.
    pub(super) fn hold(&mut self, input: &[u8]) -> bool {
        let fits = self.held.len() + input.len() <= MAX_HELD;
        if fits {
            self.held.extend_from_slice(input);
        }
        fits
    }

    pub(super) fn take_held(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}
