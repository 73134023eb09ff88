//! What a connection holds at most.

use super::Options;
use crate::assignment::MAX_ID_LEN;
use crate::endpoint::EndpointOptions;

/// The most that a client holds in memory, in bytes, whatever its peer sends: with all that the heap
/// rounds up, on a machine of 64 bits, and with names of up to 64 bytes.
///
/// What is held at most, by a host that polls its events after each call, is `link`, `endpoint` for
/// each endpoint, `request` for each request that may be queued or in flight
/// ([`Options::max_queued`]) with the bytes of its resource and payload, `observed` for each
/// configuration that is observed, and for software; and what the application leaves lying: `answer`
/// for each answer that nobody has read, `listener` for each listener that nobody reads, and
/// for each command whose result is known that result
/// ([`EndpointOptions::max_commands`]). Beside that there are what the application holds itself, the
/// certificates that TLS trusts, and the store. What a thread that turns a driver or submits requests
/// keeps for the next time is counted with the link, but stays until the thread ends.
///
/// ```
/// use kaa_proto::connection::Options;
///
/// let options = Options::new("sensor").max_packet_in(8 * 1024).max_packet_out(8 * 1024);
/// let budget = options.memory_budget();
/// assert!(budget.link < 1_500_000);
/// assert!(budget.endpoint < 500_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryBudget {
    /// The link: what comes in and is taken apart, what goes out, and what is told of it.
    pub link: usize,
    /// Each endpoint with the options of the connection: commands that were not read, what is
    /// remembered of others, IDs, subscriptions, observations.
    pub endpoint: usize,
    /// Each request that is queued or in flight, beside the bytes of resource and payload.
    pub request: usize,
    /// Each configuration that is observed, and software.
    pub observed: usize,
    /// Each answer that waits to be read: in a ticket, or as an event that was not polled. Those of
    /// telemetry, and of all that only writes, take nothing but a few words.
    pub answer: usize,
    /// Each listener that does not read.
    pub listener: usize,
}

/// A message that is taken apart takes so many times its size at most: the smallest command in a list
/// has nine bytes, and becomes an element of a vector that doubles when it grows.
const TAKEN_APART: usize = 24;

/// What comes in at once ([the driver](super)), and may have to be acknowledged.
const READ: usize = 20 * 1_024;

/// What a message of five bytes may tell, and what the queue of that takes while it grows.
const TOLD: usize = 384;

/// The longest topic, written and parsed.
const TOPICS: usize = 2 * 65_536;

/// The identifiers of messages of QoS 2, and the table that they grow from.
const UNRELEASED: usize = 3 * 65_536;

/// What is known of each packet that waits for its acknowledgement.
const IN_WINDOW: usize = 256;

/// An endpoint that does everything: its subscriptions, numbers, observations and timers.
const ENDPOINT: usize = 32 * 1_024;

/// What is remembered of a command beside its result.
const COMMAND: usize = 512;

/// A request in its queue or in flight.
const REQUEST: usize = 1_024;

/// An event of a listener, with its texts.
const EVENT: usize = 768;

/// How many events a listener keeps.
const EVENTS: usize = 256;

impl Options {
    /// What a connection with these options holds at most.
    #[must_use]
    pub fn memory_budget(&self) -> MemoryBudget {
        let Self {
            session, endpoint, ..
        } = self;
        let incoming = session.max_packet_in;
        let window = usize::from(session.max_in_flight).next_power_of_two() * 2;
        MemoryBudget {
            link: (2 + TAKEN_APART) * incoming
                + self.outgoing()
                + window * IN_WINDOW
                + super::MAX_EVENTS * TOLD
                + TOPICS
                + UNRELEASED,
            endpoint: of_endpoint(endpoint, incoming),
            request: REQUEST,
            observed: of_observed(endpoint, incoming),
            answer: incoming + REQUEST,
            listener: EVENTS * EVENT,
        }
    }

    /// What waits to be written: in one buffer while another is on its way. Both double when they grow.
    pub(crate) fn outgoing(&self) -> usize {
        4 * (self.session.high_water + self.session.max_packet_out + READ)
    }
}

fn of_endpoint(options: &EndpointOptions, incoming: usize) -> usize {
    let (commands, unread) = options.command_bounds();
    // A lone command may be larger than its bound.
    ENDPOINT + commands * COMMAND + unread.max(incoming)
}

fn of_observed(options: &EndpointOptions, incoming: usize) -> usize {
    // The newest, and the last good one.
    let kept = if options.keeps_configurations() { 2 } else { 1 };
    kept * (incoming + 2 * MAX_ID_LEN)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    /// With numbers of which no two are alike.
    fn options(keep: bool, unread: usize) -> Options {
        let endpoint = EndpointOptions::default()
            .max_commands(NonZeroUsize::new(7).unwrap())
            .max_unread_bytes(NonZeroUsize::new(unread).unwrap())
            .keep_configurations(keep);
        Options::new("sensor")
            .max_packet_in(10_000)
            .max_packet_out(3_000)
            .high_water(500)
            .window(5)
            .endpoint(endpoint)
    }

    #[test]
    fn a_budget_is_what_its_parts_take() {
        let expected = MemoryBudget {
            // A message of 10,000 bytes 26 times, four buffers of 500 + 3,000 + 20,480, a window of 5
            // in a table of 16, 1,024 events, the longest topic, and the identifiers of QoS 2.
            link: 260_000 + 95_920 + 4_096 + 393_216 + 131_072 + 196_608,
            // 7 commands of 512, and 40,000 bytes unread.
            endpoint: 32_768 + 3_584 + 40_000,
            request: 1_024,
            // A message, and the longest ID twice.
            observed: 12_048,
            answer: 11_024,
            listener: 196_608,
        };
        assert_eq!(options(false, 40_000).memory_budget(), expected);
    }

    #[test]
    fn a_lone_command_may_be_as_large_as_a_message() {
        let budget = options(false, 9_999).memory_budget();
        assert_eq!(budget.endpoint, 32_768 + 3_584 + 10_000);
    }

    #[test]
    fn who_keeps_configurations_holds_two_of_each() {
        let budget = options(true, 40_000).memory_budget();
        assert_eq!(budget.observed, 2 * 12_048);
    }
}
