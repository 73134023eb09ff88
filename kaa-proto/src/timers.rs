//! Deadlines, each with the reason it was set for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::hash::Hash;
use std::time::Instant;

use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::rare::Blank;

/// At most one deadline for each key; due ones come out in order of time, then of key.
///
/// A deadline that is put off or taken away leaves its place in the heap behind, which is set right
/// when it comes to the top: to move one back and forth costs nothing there.
#[derive(Clone, Debug)]
pub(crate) struct Timers<K> {
    at: FxHashMap<K, Alarm>,
    /// The top is always right.
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

#[derive(Clone, Copy, Debug)]
struct Alarm {
    deadline: Instant,
    /// For when it stands in the heap, not after the deadline.
    placed: Instant,
}

/// So many places more than twice as many as there are deadlines are left behind.
const LEFT_BEHIND: usize = 16;

/// The end of a wait that was chosen freely; not after the end of the clock. Options have bounds of
/// their own.
#[cfg(any(feature = "connection", feature = "platform"))]
pub(crate) fn later(now: Instant, wait: std::time::Duration) -> Instant {
    const TEN_YEARS: std::time::Duration = std::time::Duration::from_secs(315_360_000);
    now + wait.min(TEN_YEARS)
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Self {
            at: FxHashMap::default(),
            heap: BinaryHeap::new(),
        }
    }
}

impl<K: Ord + 'static> Blank for Timers<K> {
    const BLANK: &'static Self = &Self {
        at: FxHashMap::with_hasher(FxBuildHasher),
        heap: BinaryHeap::new(),
    };
}

impl<K: Clone + Ord + Hash> Timers<K> {
    /// Sets the deadline of `key`, in place of the one it had; `None` takes it away.
    pub(crate) fn set(&mut self, key: K, deadline: impl Into<Option<Instant>>) {
        let Some(deadline) = deadline.into() else {
            return self.clear(&key);
        };
        let new = Alarm {
            deadline,
            placed: deadline,
        };
        match self.at.get_mut(&key) {
            Some(alarm) if alarm.placed <= deadline => {
                if alarm.deadline == deadline {
                    return;
                }
                alarm.deadline = deadline;
            }
            Some(alarm) => {
                *alarm = new;
                self.heap.push(Reverse((deadline, key)));
            }
            None => {
                self.at.insert(key.clone(), new);
                self.heap.push(Reverse((deadline, key)));
            }
        }
        self.tidy();
    }

    /// Takes the deadline of `key` away.
    pub(crate) fn clear(&mut self, key: &K) {
        if self.at.remove(key).is_some() {
            self.tidy();
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out the earliest deadline that is not in the future.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, key)) = self.heap.pop()?;
        self.at.remove(&key);
        self.tidy();
        Some(key)
    }

    /// Whether `key` has a deadline.
    pub(crate) fn is_set(&self, key: &K) -> bool {
        self.at.contains_key(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }

    /// Sets the top of the heap right.
    fn tidy(&mut self) {
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((placed, key)) = &mut *top;
            match self.at.get_mut(key) {
                Some(alarm) if alarm.placed == *placed => {
                    if alarm.deadline == *placed {
                        break;
                    }
                    alarm.placed = alarm.deadline;
                    *placed = alarm.deadline;
                }
                Some(_) | None => drop(PeekMut::pop(top)),
            }
        }
        if self.heap.len() > 2 * self.at.len() + LEFT_BEHIND {
            #[allow(clippy::disallowed_methods, reason = "the heap orders them")]
            let all = self.at.iter_mut().map(|(key, alarm)| {
                alarm.placed = alarm.deadline;
                Reverse((alarm.deadline, key.clone()))
            });
            self.heap = all.collect();
        }
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
        timers.clear(&4);
        assert_eq!((timers.next(), timers.len()), (Some(at(1)), 3));
        assert_eq!(timers.pop_due(at(0)), None);
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(5))).collect();
        assert_eq!(due, [2, 1, 3]);
        assert!(timers.len() == 0 && timers.next().is_none());
    }

    /// Whatever is set and cleared, the earliest is known, and nothing gathers.
    #[test]
    fn deadlines_are_those_of_a_plain_map() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut rng = crate::rng::Rng::new(1);
        let mut timers = Timers::default();
        let mut model = std::collections::BTreeMap::new();
        for step in 0..20_000_u64 {
            let key = rng.below(12);
            let at = start + Duration::from_secs(step / 8 + rng.below(40));
            match rng.below(4) {
                0 => {
                    timers.clear(&key);
                    model.remove(&key);
                }
                1 => {
                    let now = start + Duration::from_secs(step / 8);
                    let due = model.iter().map(|(key, at)| (*at, *key)).min();
                    let due = due.filter(|(at, _)| *at <= now).map(|(_, key)| key);
                    assert_eq!(timers.pop_due(now), due);
                    due.and_then(|key| model.remove(&key));
                }
                _ => {
                    timers.set(key, at);
                    model.insert(key, at);
                }
            }
            assert_eq!(timers.next(), model.values().min().copied());
            assert_eq!(timers.len(), model.len());
            assert!(timers.heap.len() <= 2 * 12 + LEFT_BEHIND);
        }
    }

    #[test]
    fn no_more_alarms_are_left_behind_than_the_bound_says() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        (0..10).for_each(|key| timers.set(key, at(1_000)));
        // One that comes later is moved when its time has come.
        (1_001..1_100).for_each(|second| timers.set(0, at(second)));
        assert_eq!(timers.heap.len(), 10);
        // One that comes earlier leaves an alarm behind.
        let lengths = (1..1_000).rev().map(|second| {
            timers.set(0, at(second));
            timers.heap.len()
        });
        assert_eq!(lengths.max(), Some(2 * 10 + LEFT_BEHIND));
        // What was left behind is dropped when it is found.
        let mut timers = Timers::default();
        timers.set(0, at(5));
        timers.set(0, at(3));
        assert_eq!(timers.heap.len(), 2);
        timers.set(0, at(9));
        assert_eq!((timers.heap.len(), timers.next()), (1, Some(at(9))));
    }
}
