//! Whether the server still acknowledges what it was sent.
//!
//! The oldest message that waits must be acknowledged within a time of its last byte, or of the
//! acknowledgement of the one before it: a slow link is no dead link, and acknowledgements come
//! in order (MQTT-4.6.0-2). This matters only when nothing more may be sent before: a PUBACK that
//! was lost never comes again on the same link, and keep alive does not see it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The clock of the messages of one link that wait.
#[derive(Clone, Debug)]
pub(super) struct Stall {
    /// How long the oldest may wait.
    within: Duration,
    /// Each message that waits, in the order they were made: as many as the window holds.
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Debug)]
struct Waiting {
    /// The place behind its last byte in the output.
    end: u64,
    /// When it was written whole, or later became the oldest; `None` before.
    since: Option<Instant>,
}

impl Stall {
    pub(super) const fn new(within: Duration) -> Self {
        Self {
            within,
            waiting: VecDeque::new(),
        }
    }

    /// A message was appended that ends at `end`.
    pub(super) fn begin(&mut self, end: u64) {
        self.waiting.push_back(Waiting { end, since: None });
    }

    /// The output was written up to `written`.
    pub(super) fn handle_written(&mut self, now: Instant, written: u64) {
        let first = self.waiting.partition_point(|one| one.since.is_some());
        let unwritten = self.waiting.range_mut(first..);
        for one in unwritten.take_while(|one| one.end <= written) {
            one.since = Some(now);
        }
    }

    /// The message that ends at `end` is acknowledged.
    pub(super) fn end(&mut self, now: Instant, end: u64) {
        // Acknowledgements come in order.
        if self.waiting.front().is_none_or(|first| first.end != end) {
            if let Ok(place) = self.waiting.binary_search_by_key(&end, |one| one.end) {
                self.waiting.remove(place);
            }
            return;
        }
        self.waiting.pop_front();
        if let Some(since) = self.waiting.front_mut().and_then(|one| one.since.as_mut()) {
            *since = now.max(*since);
        }
    }

    /// Until when the oldest may wait.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Some(self.waiting.front()?.since? + self.within)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    #[test]
    fn only_what_was_written_whole_is_waited_for() {
        let (now, mut stall) = (start(), Stall::new(secs(30)));
        stall.begin(10);
        stall.handle_written(now, 9);
        assert_eq!(stall.deadline(), None);
        stall.handle_written(now, 10);
        assert_eq!(stall.deadline(), Some(now + secs(30)));
    }

    #[test]
    fn the_next_one_has_its_time_from_the_acknowledgement_before_it() {
        let (now, mut stall) = (start(), Stall::new(secs(30)));
        for end in [10, 20, 30] {
            stall.begin(end);
        }
        stall.handle_written(now, 30);
        stall.end(now + secs(20), 10);
        assert_eq!(stall.deadline(), Some(now + secs(50)));
        // One that comes out of turn proves nothing for the oldest.
        stall.end(now + secs(40), 30);
        assert_eq!(stall.deadline(), Some(now + secs(50)));
        stall.end(now + secs(41), 20);
        assert_eq!(stall.deadline(), None);
    }
}
