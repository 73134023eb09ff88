//! Raw topics and payloads against the platform, typed out from the device API page and FACTS.

mod admission;
mod commands;
mod configurations;
mod delivery;
mod faults;
mod links;
mod login;
mod weights;

use std::time::{Duration, Instant};

use super::{LinkId, PlatformOptions, PlatformServer};

/// A CONNECT of the client `c`, clean session, keep alive 60 s.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
/// A CONNECT without client ID and keep alive.
const ANONYMOUS: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00";
const ACCEPTED: &[u8] = b"\x20\x02\x00\x00";
/// `1` to `kp1/v/dcx/t/json/1` at QoS 0.
const SAMPLE: &[u8] = b"\x30\x15\x00\x12kp1/v/dcx/t/json/11";
const CONFIRMED: &[u8] = b"\x30\x1b\x00\x19kp1/v/dcx/t/json/1/status";

/// A platform server and its clock; transports take everything at once.
struct Net {
    server: PlatformServer,
    now: Instant,
}

impl Net {
    fn new(switches: &[(&str, &str)]) -> Self {
        let mut options = PlatformOptions::default();
        for (name, value) in switches {
            options.switches.set(name, value).unwrap();
        }
        Self::with(options)
    }

    fn with(options: PlatformOptions) -> Self {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let server = PlatformServer::new(options, 7);
        Self { server, now }
    }

    /// A link whose client sent this CONNECT and was accepted.
    fn connect(&mut self, connect: &[u8]) -> LinkId {
        let link = self.server.handle_accepted(self.now);
        assert_eq!(self.exchange(link, connect), ACCEPTED);
        link
    }

    fn feed(&mut self, link: LinkId, input: &[u8]) {
        self.server.handle_input(self.now, link, input);
    }

    /// What is sent on a link.
    fn sent(&mut self, link: LinkId) -> Vec<u8> {
        let mut out = Vec::new();
        let len = self.server.poll_transmit(link, &mut out);
        assert_eq!(len, out.len());
        self.server.handle_written(self.now, link, len);
        out
    }

    fn exchange(&mut self, link: LinkId, input: &[u8]) -> Vec<u8> {
        self.feed(link, input);
        self.sent(link)
    }

    /// Steps from deadline to deadline, each of which must be kept.
    fn advance(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            let next = self.server.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "poll_timeout lies");
        }
        self.now = end;
        self.server.handle_timeout(end);
    }

    /// Whether an event that was not looked at yet reads like this.
    fn saw(&mut self, line: &str) -> bool {
        let mut events = std::iter::from_fn(|| self.server.poll_event());
        events.any(|event| event.to_string().contains(line))
    }
}
