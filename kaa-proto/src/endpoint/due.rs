//! Deadlines of requests. Most are set in the order of time, and most are gone before they are due:
//! so a deadline is only written down here, and looked up when it comes to the front.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Instant;

use super::{Endpoint, Room};
use crate::request::RequestId;

/// Deadlines by time; the request knows whether one still counts.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Those that were set in order.
    in_order: VecDeque<(Instant, RequestId)>,
    others: BinaryHeap<Reverse<(Instant, RequestId)>>,
}

/// So many more than twice as many as there are requests are written down at most.
const LEFT_BEHIND: usize = 16;

impl Due {
    pub(super) const fn new() -> Self {
        Self {
            in_order: VecDeque::new(),
            others: BinaryHeap::new(),
        }
    }

    /// Writes one down.
    pub(super) fn set(&mut self, at: Instant, id: RequestId) {
        match self.in_order.back() {
            Some((last, _)) if *last > at => self.others.push(Reverse((at, id))),
            Some(_) | None => self.in_order.push_back((at, id)),
        }
    }

    /// The earliest.
    #[inline]
    pub(super) fn first(&self) -> Option<(Instant, RequestId)> {
        let first = self.in_order.front();
        let first = match self.others.peek() {
            None => first?,
            Some(Reverse(other)) => first.map_or(other, |first| first.min(other)),
        };
        Some(*first)
    }

    /// Takes the earliest out if it is not in the future.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<RequestId> {
        let (_, id) = self.first().filter(|(at, _)| *at <= now)?;
        self.pop();
        Some(id)
    }

    fn pop(&mut self) {
        let other = self.others.peek().map(|Reverse(other)| other);
        match (self.in_order.front(), other) {
            (Some(first), Some(other)) if other < first => drop(self.others.pop()),
            (Some(_), _) => drop(self.in_order.pop_front()),
            (None, _) => drop(self.others.pop()),
        }
    }

    /// Takes out what does not count any more: from the front, and everywhere if that is much more
    /// than the `live` ones.
    fn tidy(&mut self, live: usize, counts: impl Fn(Instant, RequestId) -> bool) {
        if self.in_order.is_empty() && self.others.is_empty() {
            return;
        }
        while let Some((at, id)) = self.first() {
            if counts(at, id) {
                break;
            }
            self.pop();
        }
        if self.in_order.len() + self.others.len() > 2 * live + LEFT_BEHIND {
            self.in_order.retain(|(at, id)| counts(*at, *id));
            self.others.retain(|Reverse((at, id))| counts(*at, *id));
        }
    }
}

impl Endpoint {
    /// Takes out the earliest of these deadlines that is not in the future.
    pub(super) fn pop_due(
        &mut self,
        now: Instant,
        of: impl FnOnce(&mut Room) -> &mut Due,
    ) -> Option<RequestId> {
        of(self.room.there()?).pop_due(now)
    }

    /// Sees to it that the earliest deadlines of requests are ones that count. To be called when a
    /// request has left the queue or the flights.
    pub(super) fn tidy_deadlines(&mut self) {
        let Some(Room {
            queue,
            flights,
            expiries,
            answers,
            ..
        }) = self.room.there()
        else {
            return;
        };
        answers.tidy(flights.len(), |at, id| {
            flights
                .get(id)
                .is_some_and(|flight| flight.answer_by == Some(at))
        });
        expiries.tidy(queue.len(), |at, id| {
            queue
                .find(id)
                .is_some_and(|entry| entry.expires_at == Some(at))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn deadlines_come_out_in_their_order_and_those_that_do_not_count_go() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let start = Instant::now();
        let mut rng = Rng::new(1);
        let (mut due, mut model) = (Due::new(), Vec::new());
        for n in 1..=500 {
            let (at, id) = (
                start + Duration::from_millis(rng.below(1_000)),
                RequestId::from_number(n),
            );
            due.set(at, id);
            model.push((at, id));
            // Of most of them the request ends first.
            if rng.below(10) > 0 {
                model.swap_remove(rng.below(model.len() as u64) as usize);
            }
            due.tidy(model.len(), |at, id| model.contains(&(at, id)));
            assert_eq!(due.first(), model.iter().min().copied());
            let kept = due.in_order.len() + due.others.len();
            assert!(kept <= 2 * model.len() + LEFT_BEHIND);
        }
        model.sort();
        while let Some((at, id)) = model.first().copied() {
            assert_eq!(due.pop_due(at - Duration::from_millis(1)), None);
            assert_eq!(due.pop_due(at), Some(id));
            model.remove(0);
            due.tidy(model.len(), |at, id| model.contains(&(at, id)));
        }
        assert_eq!(due.first(), None);
    }
}
