//! The same work for our log and for its peers: an outbox of requests that must survive a crash.
//!
//! The programs: `store` compares what that costs, `weight` is what `tests/bench/weight` builds
//! with one of them at a time.

#[cfg(feature = "log")]
pub mod in_log;
#[cfg(feature = "redb")]
pub mod in_redb;
#[cfg(feature = "sqlite")]
pub mod in_sqlite;
pub mod packets;
pub mod spread;
pub mod work;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, SystemTime};

use kaa_proto::endpoint::Stored;

use crate::work::Step;

/// Whatever goes wrong ends the program.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// The requests that have not ended, as they are needed in memory, by number.
pub type Open = BTreeMap<u64, Stored>;

/// Keeps requests through a crash, from their acceptance to their end.
pub trait Outbox {
    /// Writes groups of steps. Each is kept through a power cut before the next one begins.
    ///
    /// # Errors
    /// If the store fails.
    fn write(&mut self, groups: &[Vec<Step>]) -> Outcome<()>;

    /// Writes all of it and leaves it as `write` would, but for what a compaction would have left
    /// out; only at the end it has to be kept.
    ///
    /// # Errors
    /// If the store fails.
    fn fill(&mut self, groups: &mut dyn Iterator<Item = Outcome<Vec<Step>>>) -> Outcome<()>;
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How old something is that was written then.
#[must_use]
pub const fn age(now: u64, then: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(then))
}
