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
#[derive(Clone)]
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
        let size = size(delivery);
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
            self.backlog_bytes -= size(delivery);
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

/// What a message counts for in the backlog, in bytes.
fn size(delivery: &Delivery) -> usize {
    delivery.topic.len() + delivery.payload.len()
}

#[cfg(test)]
mod tests {
    use super::super::platform::Recipients;
    use super::*;
    use crate::mqtt::server::Received;

    const TOPIC: &str = "a/topic";

    /// A link that has sent one message of QoS 1, so that its window is full.
    fn full() -> Link {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let options = ServerOptions {
            max_in_flight: 1,
            max_packet_out: 8 << 20,
            ..ServerOptions::default()
        };
        let mut link = Link::new(now, options);
        let mut connect = &b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01c"[..];
        let received = link.session.handle_input(now, &mut connect);
        assert!(matches!(received, Some(Received::Connect(_))));
        link.session.accept(now);
        assert!(link.send(&message(0), QoS::AtLeastOnce));
        assert!(link.backlog.is_empty());
        link
    }

    /// A message whose topic and payload take so many bytes more than the topic.
    fn message(payload: usize) -> Delivery {
        Delivery {
            recipients: Recipients {
                link: None,
                subscribers: true,
            },
            topic: TOPIC.into(),
            payload: vec![0; payload],
            qos: QoS::AtLeastOnce,
        }
    }

    /// The client acknowledges all that it gets, until there is no more.
    fn acknowledge(link: &mut Link) {
        loop {
            let mut out = Vec::new();
            let sent = link.session.poll_transmit(&mut out);
            link.session.handle_written(sent);
            // CONNACK may be in front.
            let publish = out.iter().position(|byte| *byte == 0x32);
            let Some(publish) = publish else { return };
            let topic = out[publish..]
                .windows(TOPIC.len())
                .position(|part| part == TOPIC.as_bytes());
            let id = publish + topic.unwrap() + TOPIC.len();
            let puback = [0x40, 2, out[id], out[id + 1]];
            #[allow(clippy::disallowed_methods, reason = "any instant will do")]
            let received = link.session.handle_input(Instant::now(), &mut &puback[..]);
            assert!(matches!(received, Some(Received::Acknowledged(_))));
            link.send_backlog();
            let size = |(waits, _): &(Delivery, QoS)| waits.topic.len() + waits.payload.len();
            let bytes: usize = link.backlog.iter().map(size).sum();
            assert_eq!(link.backlog_bytes, bytes);
        }
    }

    #[test]
    fn a_backlog_is_bounded_in_messages_and_half_of_it_stops_reading() {
        let mut link = full();
        for waiting in 0..MAX_BACKLOG {
            assert_eq!(link.wants_input(), waiting < MAX_BACKLOG / 2, "{waiting}");
            assert!(link.send(&message(0), QoS::AtLeastOnce), "{waiting}");
        }
        assert!(!link.send(&message(0), QoS::AtLeastOnce));
        link.stage = Stage::Ending;
        link.backlog.clear();
        assert!(!link.wants_input(), "it is over");
    }

    #[test]
    fn a_backlog_is_bounded_in_bytes_which_come_back_as_they_are_sent() {
        let mut link = full();
        let quarter = message(MAX_BACKLOG_BYTES / 4 - TOPIC.len());
        let before = link.held();
        for _ in 0..2 {
            for _ in 0..3 {
                assert!(link.send(&quarter, QoS::AtLeastOnce));
            }
            let over = message(MAX_BACKLOG_BYTES / 4 - TOPIC.len() + 1);
            assert!(!link.send(&over, QoS::AtLeastOnce));
            assert!(link.send(&quarter, QoS::AtLeastOnce), "to the last byte");
            assert!(!link.send(&message(0), QoS::AtLeastOnce));
            assert!(link.held() >= before + MAX_BACKLOG_BYTES);
            acknowledge(&mut link);
            assert_eq!((link.backlog.len(), link.backlog_bytes), (0, 0));
            assert!(
                link.send(&message(0), QoS::AtLeastOnce),
                "the window is full"
            );
        }
    }
}
