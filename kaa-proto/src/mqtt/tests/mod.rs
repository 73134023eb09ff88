//! The public side of the session, on a simulated clock.

mod client;
mod encoding;
mod keep_alive;
mod pieces;
#[cfg(feature = "platform")]
mod server;
mod strictness;
mod vectors;
mod wording;

use std::time::{Duration, Instant};

use super::{Incoming, Session, SessionOptions};
use crate::QoS;

/// CONNACK with return code 0.
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

fn start() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "any instant will do")]
    Instant::now()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn options() -> SessionOptions {
    SessionOptions::new("device-1")
}

/// A client session, its clock, and a transport that takes everything at once.
struct Link {
    session: Session<u32>,
    now: Instant,
}

impl Link {
    fn new(options: &SessionOptions) -> Self {
        let now = start();
        let session = Session::new(now, options).unwrap();
        Self { session, now }
    }

    /// CONNECT was written, CONNACK came.
    fn connected(options: &SessionOptions) -> Self {
        let mut link = Self::new(options);
        link.sent();
        assert_eq!(link.feed(CONNACK), ["connected"]);
        link
    }

    /// Feeds `input` at once; what came of it.
    fn feed(&mut self, mut input: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(incoming) = self.session.handle_input(self.now, &mut input) {
            seen.push(show(&incoming));
        }
        assert!(input.is_empty(), "input was left over");
        seen
    }

    /// Transmits and writes all output; the bytes.
    fn sent(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let len = self.session.poll_transmit(&mut out);
        assert_eq!(len, out.len());
        self.session.handle_written(self.now, len);
        out
    }

    /// The keys of what was written whole.
    fn written(&mut self) -> Vec<u32> {
        std::iter::from_fn(|| self.session.poll_written()).collect()
    }

    fn publish(&mut self, key: u32, qos: QoS) {
        self.session.publish(key, "a/b", b"hi", qos).unwrap();
    }

    /// Moves the clock and handles the time-out.
    fn advance(&mut self, by: Duration) {
        self.now += by;
        self.session.handle_timeout(self.now);
        let next = self.session.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "poll_timeout lied");
    }
}

/// An event in words, with all that it says.
fn show(incoming: &Incoming<'_, u32>) -> String {
    match incoming {
        Incoming::Connected => "connected".into(),
        Incoming::Refused(refusal) => format!("refused {refusal:?}"),
        Incoming::Message(m) => format!(
            "message {} {} qos{}{}{}",
            m.topic.escape_default(),
            m.payload.escape_ascii(),
            m.qos as u8,
            if m.dup { " dup" } else { "" },
            if m.retain { " retain" } else { "" },
        ),
        Incoming::Acknowledged(key) => format!("acknowledged {key}"),
        Incoming::Subscribed { key, granted } => {
            let granted: Vec<_> = granted.iter().map(|g| g.map(|qos| qos as u8)).collect();
            format!("subscribed {key} {granted:?}")
        }
        Incoming::Unsubscribed(key) => format!("unsubscribed {key}"),
        Incoming::Oversize(o) => format!("oversize {} {} qos{}", o.topic, o.size, o.qos as u8),
        Incoming::Unexpected { packet, id } => format!("unexpected {packet} {id}"),
        Incoming::Failed(violation) => format!("failed: {violation}"),
    }
}
