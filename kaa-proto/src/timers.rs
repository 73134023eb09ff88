//! Deadlines, each with the reason it was set for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// At most one deadline for each key; due ones come out in order of time, then of key.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    by_time: BTreeSet<(Instant, K)>,
    at: BTreeMap<K, Instant>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            at: BTreeMap::new(),
        }
    }
}

impl<K: Clone + Ord> Timers<K> {
    /// Sets the deadline of `key`, in place of the one it had; `None` takes it away.
    pub(crate) fn set(&mut self, key: K, deadline: impl Into<Option<Instant>>) {
        let deadline = deadline.into();
        let before = match deadline {
            Some(at) => self.at.insert(key.clone(), at),
            None => self.at.remove(&key),
        };
        if before == deadline {
            return;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, key.clone()));
        }
        if let Some(at) = deadline {
            self.by_time.insert((at, key));
        }
    }

    /// Takes the deadline of `key` away.
    pub(crate) fn clear(&mut self, key: K) {
        self.set(key, None);
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest deadline that is not in the future.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }

    /// Whether `key` has a deadline.
    pub(crate) fn is_set(&self, key: &K) -> bool {
        self.at.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn due_keys_come_out_in_order_of_time_then_key() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set(3, at(5));
        timers.set(2, at(9));
        timers.set(1, at(5));
        timers.set(2, at(1));
        timers.set(4, at(2));
        timers.clear(4);
        assert_eq!((timers.next(), timers.len()), (Some(at(1)), 3));
        assert_eq!(timers.pop_due(at(0)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(5))).collect();
        assert_eq!(due, [2, 1, 3]);
        assert!(timers.len() == 0 && timers.next().is_none());
    }
}
