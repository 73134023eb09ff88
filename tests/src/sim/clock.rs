//! The clock that all parts of a simulation look at.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// A simulated clock; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedClock(Arc<Mutex<Clock>>);

impl SharedClock {
    pub(super) fn now(&self) -> Instant {
        self.with(|clock| clock.now())
    }

    /// How far it has moved.
    pub(super) fn elapsed(&self) -> Duration {
        self.with(|clock| clock.elapsed())
    }

    pub(super) fn advance_to(&self, instant: Instant) {
        self.with(|clock| clock.advance_to(instant));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Clock) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
