//! What an endpoint tells its host, and what it counts.

use std::fmt;

use bytes::Bytes;

use super::{CommandKey, Observation};
use crate::request::{Failure, Outcome, RequestId, Service};

/// Something the host or the application may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A request ended. Each that was taken ends exactly once.
    Completed {
        /// Which.
        id: RequestId,
        /// How.
        outcome: Outcome,
    },
    /// There is something new to read for this observation.
    Unread(Observation),
    /// An observation was confirmed by the platform, for the first time on this link or again
    /// after a failure.
    Observed(Observation),
    /// An observation is not confirmed; it is tried again later by itself.
    ObservationFailed {
        /// Which.
        observation: Observation,
        /// Why.
        failure: Failure,
    },
    /// The platform refused results after they had been taken. They are kept and sent again when
    /// it asks for them again.
    ResultsRejected {
        /// The commands.
        commands: Vec<CommandKey>,
        /// Why.
        failure: Failure,
    },
    /// A subscription was refused, or not answered. What needs it is sent all the same.
    SubscriptionRefused {
        /// The filter, with the token shortened.
        filter: String,
    },
    /// An `/error` for a request without ID: nobody can say for which (FACTS trap 7).
    UnassignedError {
        /// The resource, without the token: its first 256 bytes.
        resource: String,
        /// Why.
        failure: Failure,
    },
    /// Commands were left with the platform for want of room; they are asked for again when there
    /// is some.
    CommandsHeld(crate::names::CommandType),
    /// A message could not be read. It was ignored.
    Malformed {
        /// The first 256 bytes of its topic, with the token shortened.
        topic: String,
    },
    /// A durable request is stored: a crash does not lose it any more.
    Stored(RequestId),
    /// A durable request is in memory only, for the store is full or lost: a crash loses it. It may
    /// still be [`Stored`](Self::Stored) later, if the store comes back in time.
    NotStored(RequestId),
    /// The store knew something of an earlier run of the program:
    /// [`Endpoint::recovered`](super::Endpoint::recovered).
    Recovered,
    /// A request of an earlier run of the program, known from the store, ended.
    RestoredCompleted {
        /// Its number, which it keeps.
        id: RequestId,
        /// How.
        outcome: Outcome,
    },
}

impl Event {
    /// Whether it tells how a request ended, and so is never lost.
    pub(super) const fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Completed { .. } | Self::RestoredCompleted { .. }
        )
    }
}

/// What an endpoint has seen: numbers of requests, messages, commands and so on. Every counter only
/// rises. `submitted` is [`ended`](Self::ended) and what waits or is in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Requests taken.
    pub submitted: u64,
    /// Requests confirmed.
    pub confirmed: u64,
    /// Requests that ended as [`Failure::Rejected`].
    pub rejected: u64,
    /// Requests that ended as [`Failure::Unanswered`].
    pub unanswered: u64,
    /// Requests that ended as [`Failure::OutcomeUnknown`].
    pub outcome_unknown: u64,
    /// Requests that ended as [`Failure::Expired`].
    pub expired: u64,
    /// Requests that ended as [`Failure::Dropped`].
    pub dropped: u64,
    /// Requests that ended as [`Failure::Cancelled`].
    pub cancelled: u64,
    /// Requests that ended as [`Failure::Closed`].
    pub closed: u64,
    /// Messages given to the host, observations and repeated results included.
    pub messages: u64,
    /// Those of them that were sent again after a link loss.
    pub resent: u64,
    /// Answers that came after their request had ended.
    pub late_answers: u64,
    /// Answers that nobody waits for: duplicates, another client's, or for another resource than
    /// the ID is in use for.
    pub foreign_answers: u64,
    /// Own or foreign requests that a broker echoed.
    pub echoes: u64,
    /// Messages without ID that are no push of something observed.
    pub unsolicited: u64,
    /// Messages that could not be read.
    pub malformed: u64,
    /// Commands surfaced.
    pub commands_surfaced: u64,
    /// Commands delivered again while in progress, or soon after they had to be forgotten.
    pub commands_repeated: u64,
    /// Stored results sent again.
    pub results_resent: u64,
    /// Commands of types that nobody observes.
    pub commands_unobserved: u64,
    /// Commands left with the platform for want of room.
    pub commands_held: u64,
    /// Configurations and software updates surfaced.
    pub configurations_surfaced: u64,
    /// Those delivered again, and not surfaced again.
    pub configurations_repeated: u64,
    /// Durable requests that were told as not stored.
    pub not_stored: u64,
    /// Events other than completions that were lost because nobody polled.
    pub events_lost: u64,
}

impl Statistics {
    /// Nothing is counted yet.
    pub(super) const fn new() -> Self {
        Self {
            submitted: 0,
            confirmed: 0,
            rejected: 0,
            unanswered: 0,
            outcome_unknown: 0,
            expired: 0,
            dropped: 0,
            cancelled: 0,
            closed: 0,
            messages: 0,
            resent: 0,
            late_answers: 0,
            foreign_answers: 0,
            echoes: 0,
            unsolicited: 0,
            malformed: 0,
            commands_surfaced: 0,
            commands_repeated: 0,
            results_resent: 0,
            commands_unobserved: 0,
            commands_held: 0,
            configurations_surfaced: 0,
            configurations_repeated: 0,
            not_stored: 0,
            events_lost: 0,
        }
    }

    /// Counts together with another endpoint.
    #[cfg(feature = "connection")]
    pub(crate) const fn add(&mut self, other: &Self) {
        // Without `..`, so that no counter is forgotten.
        let &Self {
            submitted,
            confirmed,
            rejected,
            unanswered,
            outcome_unknown,
            expired,
            dropped,
            cancelled,
            closed,
            messages,
            resent,
            late_answers,
            foreign_answers,
            echoes,
            unsolicited,
            malformed,
            commands_surfaced,
            commands_repeated,
            results_resent,
            commands_unobserved,
            commands_held,
            configurations_surfaced,
            configurations_repeated,
            not_stored,
            events_lost,
        } = other;
        self.submitted += submitted;
        self.confirmed += confirmed;
        self.rejected += rejected;
        self.unanswered += unanswered;
        self.outcome_unknown += outcome_unknown;
        self.expired += expired;
        self.dropped += dropped;
        self.cancelled += cancelled;
        self.closed += closed;
        self.messages += messages;
        self.resent += resent;
        self.late_answers += late_answers;
        self.foreign_answers += foreign_answers;
        self.echoes += echoes;
        self.unsolicited += unsolicited;
        self.malformed += malformed;
        self.commands_surfaced += commands_surfaced;
        self.commands_repeated += commands_repeated;
        self.results_resent += results_resent;
        self.commands_unobserved += commands_unobserved;
        self.commands_held += commands_held;
        self.configurations_surfaced += configurations_surfaced;
        self.configurations_repeated += configurations_repeated;
        self.not_stored += not_stored;
        self.events_lost += events_lost;
    }

    /// How many requests have ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.confirmed
            + self.rejected
            + self.unanswered
            + self.outcome_unknown
            + self.expired
            + self.dropped
            + self.cancelled
            + self.closed
    }
}

/// A request that was not confirmed when its endpoint was closed. `Debug` shows the payload's
/// length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Which.
    pub id: RequestId,
    /// What it was for.
    pub service: Service,
    /// Its resource path.
    pub resource: String,
    /// Its payload.
    pub payload: Bytes,
    /// Whether it had been sent, or may have been by an earlier run: then it may have been
    /// processed.
    pub sent: bool,
    /// Whether it is known to be stored: then the next run of the program takes it up again.
    pub stored: bool,
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unfinished")
            .field("id", &self.id)
            .field("service", &self.service)
            .field("resource", &self.resource)
            .field("payload_len", &self.payload.len())
            .field("sent", &self.sent)
            .field("stored", &self.stored)
            .finish()
    }
}

#[cfg(all(test, feature = "connection"))]
mod tests {
    use std::array::from_fn;

    use super::*;

    #[test]
    fn the_counters_of_two_endpoints_are_added_each_to_its_own() {
        let (ours, theirs) = (from_fn(|n| 3 + n as u64), from_fn(|n| 100 + n as u64));
        let mut sum = counted(ours);
        sum.add(&counted(theirs));
        assert_eq!(sum, counted(from_fn(|n| ours[n] + theirs[n])));
    }

    #[test]
    fn a_request_that_ended_counts_however_it_ended() {
        let statistics = Statistics {
            submitted: 1 << 20,
            confirmed: 1,
            rejected: 1 << 1,
            unanswered: 1 << 2,
            outcome_unknown: 1 << 3,
            expired: 1 << 4,
            dropped: 1 << 5,
            cancelled: 1 << 6,
            closed: 1 << 7,
            messages: 1 << 21,
            ..Statistics::default()
        };
        assert_eq!(statistics.ended(), 0xff);
    }

    /// Without `..`, so that no counter is forgotten.
    const fn counted(counters: [u64; 25]) -> Statistics {
        let [
            submitted,
            confirmed,
            rejected,
            unanswered,
            outcome_unknown,
            expired,
            dropped,
            cancelled,
            closed,
            messages,
            resent,
            late_answers,
            foreign_answers,
            echoes,
            unsolicited,
            malformed,
            commands_surfaced,
            commands_repeated,
            results_resent,
            commands_unobserved,
            commands_held,
            configurations_surfaced,
            configurations_repeated,
            not_stored,
            events_lost,
        ] = counters;
        Statistics {
            submitted,
            confirmed,
            rejected,
            unanswered,
            outcome_unknown,
            expired,
            dropped,
            cancelled,
            closed,
            messages,
            resent,
            late_answers,
            foreign_answers,
            echoes,
            unsolicited,
            malformed,
            commands_surfaced,
            commands_repeated,
            results_resent,
            commands_unobserved,
            commands_held,
            configurations_surfaced,
            configurations_repeated,
            not_stored,
            events_lost,
        }
    }
}
