//! The platform behind a listener or behind a broker: what both have in common.

use std::time::Instant;

use kaa_proto::platform::{Event, Platform, PlatformServer};

/// The platform that an engine serves.
#[derive(Debug)]
pub(super) enum Host {
    /// With links of its own.
    Listening(Box<PlatformServer>),
    /// As a client of a broker, whose messages all come by one link.
    Attached(Box<Platform>),
}

impl Host {
    /// Lets an operator, or an upload, act on the platform.
    pub(super) fn operate<T>(&mut self, now: Instant, verb: impl FnOnce(&mut Platform) -> T) -> T {
        match self {
            Self::Listening(server) => server.operate(now, verb),
            Self::Attached(platform) => verb(platform),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Listening(server) => server.poll_timeout(),
            Self::Attached(platform) => platform.poll_timeout(),
        }
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Listening(server) => server.poll_event(),
            Self::Attached(platform) => platform.poll_event(),
        }
    }
}
