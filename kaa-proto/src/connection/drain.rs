//! The end of a connection: flush, say goodbye, give account.

use std::time::{Duration, Instant};

use super::link::Demand;
use super::slab::EndpointKey;
use super::{Connection, Deadline, trace};
use crate::endpoint::{Endpoint, Statistics, Unfinished};
use crate::names::EndpointName;
use crate::timers::later;

/// What became of the requests after [`Connection::close`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    /// How those ended that had not when the connection was closed.
    pub outcomes: Outcomes,
    /// Those that ended because the time was over: never sent, or sent with an unknown outcome.
    pub unfinished: Vec<(EndpointName, Unfinished)>,
}

/// How many requests ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcomes {
    /// Confirmed, also with an answer whose content could not be read.
    pub confirmed: u64,
    /// As [`Rejected`](crate::request::Failure::Rejected).
    pub rejected: u64,
    /// As [`Unanswered`](crate::request::Failure::Unanswered).
    pub unanswered: u64,
    /// As [`OutcomeUnknown`](crate::request::Failure::OutcomeUnknown).
    pub outcome_unknown: u64,
    /// As [`Expired`](crate::request::Failure::Expired).
    pub expired: u64,
    /// As [`Dropped`](crate::request::Failure::Dropped).
    pub dropped: u64,
    /// As [`Cancelled`](crate::request::Failure::Cancelled).
    pub cancelled: u64,
    /// As [`Closed`](crate::request::Failure::Closed).
    pub closed: u64,
}

/// A connection that is closing.
#[derive(Debug)]
pub(super) struct Closing {
    /// The outcomes before.
    before: Outcomes,
    /// When what is left is ended.
    deadline: Instant,
}

impl Connection {
    /// Closes for good: takes nothing more, goes on until every request has ended (also off-line:
    /// it keeps dialing), says DISCONNECT and hangs up. What has not ended after `timeout` ends as
    /// [`Closed`](crate::request::Failure::Closed); a command result is not lost by a goodbye that
    /// comes too early. Nothing is observed any more, so that new commands stay with the platform;
    /// those that the application has can still be answered until all requests have ended.
    ///
    /// The account is there as soon as all requests have ended; the demand becomes
    /// [`Demand::Finished`] a little later. Closing again shortens the time. More than ten years
    /// count as ten.
    pub fn close(&mut self, now: Instant, timeout: Duration) {
        let now = self.advance(now);
        if self.closing.is_none() {
            trace::closing(timeout);
            let keys: Vec<_> = self.slots.iter().map(|(key, _)| key).collect();
            for key in keys {
                self.with(key, |endpoint| endpoint.wind_down(now));
            }
        }
        let closing = self.closing.take().unwrap_or_else(|| Closing {
            before: self.outcomes(),
            deadline: later(now, timeout),
        });
        let deadline = closing.deadline.min(later(now, timeout));
        self.closing = Some(Closing {
            deadline,
            ..closing
        });
        if deadline <= now {
            self.wind_up(now);
        } else if self.account.is_none() {
            self.timers.set(Deadline::Close, deadline);
        }
        self.follow_up(now);
    }

    /// Whether it was told to close.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Whether nothing more is taken.
    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_some() || self.account.is_some()
    }

    /// Goes on with the end, where there is one.
    pub(super) fn drain(&mut self, now: Instant) {
        let unwritten = self.session.as_ref().map(|session| session.unwritten());
        if self.closing.is_some()
            && self.account.is_none()
            && self.totals.busy == 0
            && unwritten.unwrap_or(0) == 0
        {
            self.wind_up(now);
        }
        if self.demand() == Demand::Finished && !self.is_finished {
            // Given up over a refusal: there will be no link for what is left.
            self.settle(now);
            self.finish();
        }
    }

    /// Ends what has not ended, and the link.
    pub(super) fn wind_up(&mut self, now: Instant) {
        let _link = self.link.enter();
        if self.account.is_some() {
            return;
        }
        self.settle(now);
        if let Some(session) = &mut self.session {
            session.disconnect();
        }
        if self.is_up() {
            self.handle_goodbye(now);
        } else if self.may_speak() {
            self.take_down(now, false, Endpoint::handle_link_down);
        }
        // With the link a search may have ended.
        self.look_at_verdicts();
        self.link.finish(now);
    }

    /// Ends every request, and gives account.
    fn settle(&mut self, now: Instant) {
        if self.account.is_some() {
            return;
        }
        self.timers.clear(&Deadline::Close);
        let before = match &self.closing {
            Some(closing) => closing.before,
            None => self.outcomes(),
        };
        let mut unfinished = Vec::new();
        let keys: Vec<EndpointKey> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            let left = self.with(key, |endpoint| {
                (endpoint.name().clone(), endpoint.close(now))
            });
            if let Some((name, left)) = left {
                unfinished.extend(left.into_iter().map(|request| (name.clone(), request)));
            }
        }
        let outcomes = self.outcomes().since(&before);
        trace::accounted(&outcomes, unfinished.len());
        self.account = Some(Account {
            outcomes,
            unfinished,
        });
    }

    /// How all requests ended so far.
    fn outcomes(&self) -> Outcomes {
        Outcomes::of(&self.requests())
    }
}

impl Outcomes {
    const fn of(statistics: &Statistics) -> Self {
        Self {
            confirmed: statistics.confirmed,
            rejected: statistics.rejected,
            unanswered: statistics.unanswered,
            outcome_unknown: statistics.outcome_unknown,
            expired: statistics.expired,
            dropped: statistics.dropped,
            cancelled: statistics.cancelled,
            closed: statistics.closed,
        }
    }

    const fn since(&self, before: &Self) -> Self {
        Self {
            confirmed: self.confirmed - before.confirmed,
            rejected: self.rejected - before.rejected,
            unanswered: self.unanswered - before.unanswered,
            outcome_unknown: self.outcome_unknown - before.outcome_unknown,
            expired: self.expired - before.expired,
            dropped: self.dropped - before.dropped,
            cancelled: self.cancelled - before.cancelled,
            closed: self.closed - before.closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_counts_from_the_beginning_of_the_end() {
        let outcomes = |from: u64| Outcomes {
            confirmed: from + 1,
            rejected: from + 2,
            unanswered: from + 3,
            outcome_unknown: from + 4,
            expired: from + 5,
            dropped: from + 6,
            cancelled: from + 7,
            closed: from + 8,
        };
        let account = Outcomes {
            confirmed: 100,
            rejected: 100,
            unanswered: 100,
            outcome_unknown: 100,
            expired: 100,
            dropped: 100,
            cancelled: 100,
            closed: 100,
        };
        assert_eq!(outcomes(110).since(&outcomes(10)), account);
    }
}
