//! When which endpoint has something to do.
//!
//! As in `Timers`, what is put off or taken away leaves its place in the heap behind, which is set
//! right when it comes to the top; what an endpoint has there is written down with the endpoint, so
//! nothing has to be looked up by hash.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::time::Instant;

use super::Connection;
use super::slab::EndpointKey;

/// The top is always right.
pub(super) type Wakeups = BinaryHeap<Reverse<(Instant, EndpointKey)>>;

/// That of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    at: Option<Instant>,
    /// For when it stands in the heap, not after `at`.
    placed: Option<Instant>,
}

/// So many places more than twice as many as there are endpoints are left behind.
const LEFT_BEHIND: usize = 16;

impl Connection {
    /// An endpoint has something to do at that time, in place of the one before.
    pub(super) fn wake_at(&mut self, key: EndpointKey, at: Option<Instant>) {
        let Some(slot) = self.slots.get_mut(key) else {
            return;
        };
        let wakeup = &mut slot.wakeup;
        if std::mem::replace(&mut wakeup.at, at) == at {
            return;
        }
        if let Some(at) = at.filter(|at| wakeup.placed.is_none_or(|placed| placed > *at)) {
            wakeup.placed = Some(at);
            self.wakeups.push(Reverse((at, key)));
        }
        self.tidy_wakeups();
    }

    /// When the first endpoint has something to do.
    pub(super) fn next_wakeup(&self) -> Option<Instant> {
        self.wakeups.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out the first endpoint whose time is not in the future.
    pub(super) fn pop_wakeup(&mut self, now: Instant) -> Option<EndpointKey> {
        self.next_wakeup().filter(|at| *at <= now)?;
        let Reverse((_, key)) = self.wakeups.pop()?;
        if let Some(slot) = self.slots.get_mut(key) {
            slot.wakeup = Wakeup::default();
        }
        self.tidy_wakeups();
        Some(key)
    }

    /// Sets the top of the heap right. To be called when an endpoint is gone.
    pub(super) fn tidy_wakeups(&mut self) {
        while let Some(mut top) = self.wakeups.peek_mut() {
            let Reverse((placed, key)) = &mut *top;
            let wakeup = self.slots.get_mut(*key).map(|slot| &mut slot.wakeup);
            let wakeup = wakeup.filter(|wakeup| wakeup.placed == Some(*placed));
            match wakeup.map(|wakeup| (wakeup.at, wakeup)) {
                Some((at, _)) if at == Some(*placed) => break,
                Some((Some(at), wakeup)) => {
                    wakeup.placed = Some(at);
                    *placed = at;
                }
                Some((None, wakeup)) => {
                    wakeup.placed = None;
                    _ = PeekMut::pop(top);
                }
                None => _ = PeekMut::pop(top),
            }
        }
        if self.wakeups.len() > 2 * self.slots.len() + LEFT_BEHIND {
            let slots = self.slots.iter_mut().filter_map(|(key, slot)| {
                slot.wakeup.placed = slot.wakeup.at;
                Some(Reverse((slot.wakeup.at?, key)))
            });
            self.wakeups = slots.collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connection::Options;
    use crate::names::EndpointName;
    use crate::rng::Rng;

    #[test]
    fn the_first_one_is_known_and_no_more_places_are_left_behind_than_a_few() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let mut now = Instant::now();
        let (mut rng, mut connection) = (
            Rng::new(1),
            Connection::new(Options::new("a"), now, 1).unwrap(),
        );
        let keys: Vec<_> = (0..5)
            .map(|n| EndpointName::parse("v", &format!("tok{n}")).unwrap())
            .map(|name| connection.add_endpoint(now, name).unwrap())
            .collect();
        let mut model = [None; 5];
        for _ in 0..5_000 {
            let place = rng.below(5) as usize;
            // Those that are far away leave their places behind for long.
            let far = [1_000, 1_000_000][rng.below(2) as usize];
            let at = now + Duration::from_millis(rng.below(far));
            model[place] = (rng.below(4) > 0).then_some(at);
            connection.wake_at(keys[place], model[place]);
            assert_eq!(
                connection.next_wakeup(),
                model.iter().flatten().min().copied()
            );
            assert!(connection.wakeups.len() <= 2 * keys.len() + LEFT_BEHIND);
            now += Duration::from_millis(rng.below(50));
            while let Some(key) = connection.pop_wakeup(now) {
                let place = keys.iter().position(|other| *other == key).unwrap();
                assert!(model[place].take().unwrap() <= now);
            }
            assert!(model.iter().flatten().all(|at| *at > now));
        }
    }
}
