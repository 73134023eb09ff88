//! A clock that moves only when it is told to.

use std::time::{Duration, Instant};

/// A simulated clock. It begins at an arbitrary instant.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    now: Instant,
}

impl Clock {
    /// A clock that has not moved yet.
    #[must_use]
    pub fn new() -> Self {
        let start = Instant::now();
        Self { start, now: start }
    }

    /// The time it is.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How far it has moved.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Moves it forward.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// Moves it forward to `instant`; it never goes back.
    pub fn advance_to(&mut self, instant: Instant) {
        self.now = self.now.max(instant);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
