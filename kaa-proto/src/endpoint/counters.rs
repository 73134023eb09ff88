//! What an endpoint counts: what every one does in place, the rest apart, because of thousands few
//! ever see any of it.

use super::event::Statistics;
use crate::rare::{Blank, Rare};
use crate::request::{Failure, Outcome};

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) submitted: u64,
    pub(super) confirmed: u64,
    pub(super) messages: u64,
    pub(super) configurations_surfaced: u64,
    /// Those above stay 0 in it.
    pub(super) others: Rare<Statistics>,
}

impl Counters {
    pub(super) fn count(&mut self, outcome: &Outcome) {
        let Err(failure) = outcome else {
            self.confirmed += 1;
            return;
        };
        let others = &mut *self.others;
        let counter = match failure {
            Failure::Rejected { .. } | Failure::Undecodable(_) => &mut others.rejected,
            Failure::Unanswered => &mut others.unanswered,
            Failure::OutcomeUnknown => &mut others.outcome_unknown,
            Failure::Expired => &mut others.expired,
            Failure::Dropped => &mut others.dropped,
            Failure::Cancelled => &mut others.cancelled,
            Failure::Closed => &mut others.closed,
        };
        *counter += 1;
    }

    pub(super) fn all(&self) -> Statistics {
        Statistics {
            submitted: self.submitted,
            confirmed: self.confirmed,
            messages: self.messages,
            configurations_surfaced: self.configurations_surfaced,
            ..self.others.clone()
        }
    }
}

impl Blank for Statistics {
    const BLANK: &'static Self = &Self::new();
}
