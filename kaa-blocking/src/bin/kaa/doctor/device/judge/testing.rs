//! Records with made-up times.

use std::time::Duration;

use crate::doctor::device::record::{Act, By, Entry, What};
use crate::doctor::device::wire::{Connect, Packet, Publish};

/// Writes a record.
#[derive(Default)]
pub(super) struct Story(pub(super) Vec<Entry>);

impl Story {
    pub(super) fn at(mut self, seconds: f64, what: What) -> Self {
        let at = Duration::from_secs_f64(seconds);
        self.0.push(Entry { at, what });
        self
    }

    pub(super) fn did(self, seconds: f64, act: Act) -> Self {
        self.at(seconds, What::Did(act))
    }

    pub(super) fn opened(self, seconds: f64, link: u32) -> Self {
        self.at(seconds, What::Opened(link))
    }

    pub(super) fn closed(self, seconds: f64, link: u32, by: By) -> Self {
        self.at(seconds, What::Closed(link, by))
    }

    pub(super) fn heard(self, seconds: f64, link: u32, packet: Packet) -> Self {
        self.at(seconds, What::Heard(link, packet))
    }

    /// Dials, introduces itself and is let in.
    pub(super) fn connected(self, seconds: f64, link: u32, connect: Connect) -> Self {
        self.opened(seconds, link)
            .heard(seconds, link, Packet::Connect(connect))
            .at(seconds, What::Told(link, Packet::ConnAck(0)))
    }

    /// Publishes on a topic below `kp1/demo-v1/`.
    pub(super) fn says(self, seconds: f64, link: u32, topic: &str, payload: &str) -> Self {
        let message = Publish::plain(format!("kp1/demo-v1/{topic}"), payload);
        self.heard(seconds, link, Packet::Publish(message))
    }

    /// Is told on a topic below `kp1/demo-v1/`.
    pub(super) fn told(self, seconds: f64, link: u32, topic: &str) -> Self {
        let message = Publish::plain(format!("kp1/demo-v1/{topic}"), "");
        self.at(seconds, What::Told(link, Packet::Publish(message)))
    }

    pub(super) fn ends(self, seconds: f64) -> Vec<Entry> {
        self.did(seconds, Act::Ends).0
    }
}

/// As a device should.
pub(super) fn good() -> Connect {
    Connect {
        level: 4,
        is_clean: true,
        has_will: false,
        keep_alive: 60,
    }
}
