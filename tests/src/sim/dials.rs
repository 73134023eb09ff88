//! Whether a client dials too often.

use std::time::{Duration, Instant};

/// A link that lived so long is good: the next delay is a short one.
const STABLE: Duration = Duration::from_secs(30);
/// So many dials in a row without a good link take more than a second each. The delays double: that
/// chance makes them shorter happens once in millions.
const DIALS: usize = 12;

/// The dials of a process since its last good link.
#[derive(Debug, Default)]
pub(super) struct Dials {
    since_good: Vec<Instant>,
    /// When the present link came up.
    up: Option<Instant>,
}

impl Dials {
    /// A dial begins.
    pub(super) fn dial(&mut self, now: Instant) {
        if self.up.take().is_some_and(|up| now >= up + STABLE) {
            self.since_good.clear();
        }
        self.since_good.push(now);
        if let Some(begin) = self.since_good.len().checked_sub(DIALS) {
            let took = now - self.since_good[begin];
            let least = Duration::from_secs(DIALS as u64);
            assert!(
                took >= least,
                "it dials too often: {DIALS} times in {took:?}"
            );
        }
    }

    /// There is a transport.
    pub(super) const fn connected(&mut self, now: Instant) {
        self.up = Some(now);
    }
}
