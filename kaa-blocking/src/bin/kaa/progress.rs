//! The bar at the foot of a terminal. Where standard error is no terminal there is none.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};

/// The bar that words have to be written around, if there is one.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A bar, for as long as this lives.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Shows how many of `total` bytes are done; how many, where nobody knows the total.
    pub(crate) fn show(total: Option<u64>) -> Self {
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = match total {
            Some(_) => "{bar:30} {percent}% of {total_bytes}, {elapsed} {msg}",
            None => "{spinner} {elapsed} {msg}",
        };
        // The templates are ours; a bad one would be shown as the default.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        *shown() = Some(bar.clone());
        Self(bar)
    }

    pub(crate) fn set(&self, done: u64) {
        self.0.set_position(done);
    }

    pub(crate) fn say(&self, words: String) {
        self.0.set_message(words);
        self.0.tick();
    }
}

/// The bar goes, and leaves no trace.
impl Drop for Progress {
    fn drop(&mut self) {
        *shown() = None;
        self.0.finish_and_clear();
    }
}

/// Writes while the bar, if there is one, is out of the way.
pub(crate) fn aside<T>(write: impl FnOnce() -> T) -> T {
    // Cloned, so that nobody waits for the writing.
    let bar = shown().clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn shown() -> MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
