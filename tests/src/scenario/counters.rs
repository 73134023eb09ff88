//! Counters by name.

use kaa_proto::connection::{self, Outcomes};
use kaa_proto::endpoint;

macro_rules! by_name {
    ($(#[$doc:meta])* $function:ident: $type:ty { $($field:ident)* }) => {
        $(#[$doc])*
        pub(super) fn $function(counters: &$type, name: &str) -> u64 {
            match name {
                $(stringify!($field) => u64::from(counters.$field),)*
                _ => panic!("there is no counter {name:?}"),
            }
        }
    };
}

by_name! {
    /// A counter of an endpoint.
    of_endpoint: endpoint::Statistics {
        submitted confirmed rejected unanswered outcome_unknown expired dropped cancelled closed
        messages resent late_answers foreign_answers echoes unsolicited malformed
        commands_surfaced commands_repeated results_resent commands_unobserved commands_held
        configurations_surfaced configurations_repeated events_lost
    }
}

by_name! {
    /// A counter of a connection.
    of_connection: connection::Statistics {
        dials links_up links_lost failures_in_a_row messages_in messages_out malformed_topics
        unknown_endpoints echoes retained oversize unexpected_packets subscriptions_unanswered
        suspensions events_lost
    }
}

by_name! {
    /// A counter of an account.
    of_account: Outcomes {
        confirmed rejected unanswered outcome_unknown expired dropped cancelled closed
    }
}
