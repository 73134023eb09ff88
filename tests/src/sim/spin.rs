//! Whether a driver is turned for nothing.

use std::time::{Duration, Instant};

/// How many turns a second are allowed for nothing.
const IDLE_TURNS: u64 = 40;
/// How many turns one cause may need.
const TURNS_PER_CAUSE: u64 = 4;

/// Counts turns, and what they were needed for, in a simulated second.
#[derive(Debug, Default)]
pub(super) struct Spin {
    since: Option<Instant>,
    turns: u64,
    causes: u64,
}

impl Spin {
    pub(super) const fn restart(&mut self, now: Instant) {
        *self = Self {
            since: Some(now),
            turns: 0,
            causes: 0,
        };
    }

    /// It was turned.
    pub(super) const fn turned(&mut self) {
        self.turns += 1;
    }

    /// So many things happened that it may be turned for.
    pub(super) const fn allow(&mut self, causes: u64) {
        self.causes += causes;
    }

    /// Begins another second, if one has passed.
    pub(super) fn check(&mut self, now: Instant) {
        let Some(since) = self.since else {
            return;
        };
        let most = IDLE_TURNS + TURNS_PER_CAUSE * self.causes;
        assert!(
            self.turns <= most,
            "it spins: {} turns for {} causes",
            self.turns,
            self.causes
        );
        if now >= since + Duration::from_secs(1) {
            self.restart(now);
        }
    }
}
