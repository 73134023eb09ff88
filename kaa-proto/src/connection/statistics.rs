//! What a connection counts.

use std::time::Instant;

use super::Connection;
use super::cause::LinkError;
use crate::endpoint;
use crate::mqtt::Traffic;

/// What a connection has seen, and how it stands. Gauges say so; every other number is a counter
/// that only rises. One endpoint's own part is in
/// [`endpoint::Statistics`](crate::endpoint::Statistics).
///
/// Three accounts balance at any time:
/// * requests: `requests.submitted` = `requests.ended()` + those that wait or are in flight;
/// * dials: `dials` = `losses.total()` + the dial or link there is, and the one that was given up
///   on closing;
/// * links: `links_up` = `links_lost` + the link that is up, or the one that was closed by us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// What all endpoints counted together, those included that were removed: requests by
    /// outcome, ignored answers by kind, commands, configurations.
    pub requests: endpoint::Statistics,
    /// Gauge: requests that wait to be sent, the endpoints' own included (observations, repeated
    /// results).
    pub queued: usize,
    /// Gauge: what these take, in bytes of resource and payload.
    pub queued_bytes: usize,
    /// Gauge: requests that are sent and not yet confirmed, the endpoints' own included.
    pub in_flight: usize,
    /// Gauge: endpoints there are.
    pub endpoints: usize,
    /// Gauge: endpoints that are suspended ([`Event::Suspended`](super::Event::Suspended)).
    pub suspended: usize,
    /// Dials begun.
    pub dials: u64,
    /// Links that came up (CONNACK).
    pub links_up: u64,
    /// Links on which something could be sent before CONNACK
    /// ([`Options::eager_start`](super::Options::eager_start)), whether they came up or not.
    pub early_links: u64,
    /// Links that were up and died, those closed by us aside.
    pub links_lost: u64,
    /// Links and dials that ended, by cause; all but `closed` lead to a reconnect.
    pub losses: Losses,
    /// Gauge: failed links and dials in a row, since one was good.
    pub failures_in_a_row: u32,
    /// Bytes and MQTT packets each way, on all links.
    pub traffic: Traffic,
    /// Messages (PUBLISH) received.
    pub messages_in: u64,
    /// Messages (PUBLISH) sent.
    pub messages_out: u64,
    /// Messages received that were no 1/KP topic. They are ignored.
    pub malformed_topics: u64,
    /// Messages received for endpoints that are not here. They are ignored.
    pub unknown_endpoints: u64,
    /// Requests of endpoints that are not here, echoed by a broker (FACTS trap 16). They are
    /// ignored.
    pub echoes: u64,
    /// Messages received that a broker kept and sent to a new subscriber. They are ignored: the
    /// platform keeps none, and an old answer would confirm a new request.
    pub retained: u64,
    /// Messages over [`Options::max_packet_in`](super::Options::max_packet_in). They are skipped.
    pub oversize: u64,
    /// MQTT acknowledgements that nobody waited for.
    pub unexpected_packets: u64,
    /// Messages that no packet can hold: restored requests, which end as cancelled, and an
    /// endpoint's own ones.
    pub unsendable: u64,
    /// Topic filters that the server did not answer in time.
    pub subscriptions_unanswered: u64,
    /// Suspensions of endpoints.
    pub suspensions: u64,
    /// Gauge: durable requests that have not ended.
    pub durable: usize,
    /// How often the store was lost ([`Event::StoreLost`](super::Event::StoreLost)).
    pub store_losses: u64,
    /// Events that were lost because nobody polled.
    pub events_lost: u64,
    /// When the server last confirmed a request, by PUBACK or by an answer: for watchdogs. A
    /// request that asks for no confirmation does not count.
    pub last_confirmed: Option<Instant>,
}

/// Links and dials that ended, by cause: one number for each [`LinkError`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Losses {
    /// Dials that failed: [`LinkError::Dial`].
    pub dial: u64,
    /// Dials that took too long: [`LinkError::DialTimeout`].
    pub dial_timeout: u64,
    /// TLS failed, or was missing: `LinkError::Tls` and [`LinkError::TlsWanted`].
    pub tls: u64,
    /// Closed by the server before it said anything: [`LinkError::Unwelcome`].
    pub unwelcome: u64,
    /// The transport failed: [`LinkError::Transport`].
    pub transport: u64,
    /// Closed by the server: [`LinkError::Eof`].
    pub eof: u64,
    /// Refused by CONNACK: [`LinkError::Refused`].
    pub refused: u64,
    /// No CONNACK in time: [`LinkError::NoConnAck`].
    pub no_connack: u64,
    /// No PINGRESP in time: [`LinkError::KeepAliveTimeout`].
    pub keep_alive_timeout: u64,
    /// No acknowledgement in time: [`LinkError::Unacknowledged`].
    pub unacknowledged: u64,
    /// Broken MQTT: [`LinkError::Violation`].
    pub violation: u64,
    /// Closed by us: [`LinkError::Closed`].
    pub closed: u64,
}

impl Losses {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.dial
            + self.dial_timeout
            + self.tls
            + self.unwelcome
            + self.transport
            + self.eof
            + self.refused
            + self.no_connack
            + self.keep_alive_timeout
            + self.unacknowledged
            + self.violation
            + self.closed
    }

    pub(super) const fn count(&mut self, error: &LinkError) {
        let counter = match error {
            LinkError::Dial(_) => &mut self.dial,
            LinkError::DialTimeout => &mut self.dial_timeout,
            #[cfg(feature = "tls")]
            LinkError::Tls(_) => &mut self.tls,
            LinkError::TlsWanted => &mut self.tls,
            LinkError::Unwelcome => &mut self.unwelcome,
            LinkError::Transport(_) => &mut self.transport,
            LinkError::Eof => &mut self.eof,
            LinkError::Refused(_) => &mut self.refused,
            LinkError::NoConnAck => &mut self.no_connack,
            LinkError::KeepAliveTimeout => &mut self.keep_alive_timeout,
            LinkError::Unacknowledged => &mut self.unacknowledged,
            LinkError::Violation(_) => &mut self.violation,
            LinkError::Closed => &mut self.closed,
        };
        *counter += 1;
    }
}

impl Connection {
    /// What it has seen, and how it stands. Takes time in proportion to the number of endpoints,
    /// some 10 ns for each.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let in_flight = |(_, endpoint): (_, &endpoint::Endpoint)| endpoint.in_flight_len();
        let mut statistics = Statistics {
            requests: self.requests(),
            queued: self.totals.queued,
            queued_bytes: self.totals.queued_bytes,
            durable: self.totals.durable,
            in_flight: self.endpoints().map(in_flight).sum(),
            endpoints: self.slots.len(),
            suspended: self.suspects.suspended_len(),
            dials: self.link.id().number(),
            failures_in_a_row: self.link.failures(),
            ..self.statistics.clone()
        };
        if let Some(session) = &self.session {
            statistics.traffic = sum(statistics.traffic, session.traffic());
        }
        statistics
    }

    /// What all endpoints counted together.
    pub(super) fn requests(&self) -> endpoint::Statistics {
        let mut sum = self.retired.clone();
        for (_, endpoint) in self.endpoints() {
            sum.add(&endpoint.statistics());
        }
        sum
    }

    /// Drops the session of a link that is over; what went through it stays counted.
    pub(super) fn drop_session(&mut self) {
        if let Some(session) = self.session.take() {
            let traffic = &mut self.statistics.traffic;
            *traffic = sum(*traffic, session.traffic());
        }
    }
}

/// Adds up what went through several links.
const fn sum(a: Traffic, b: Traffic) -> Traffic {
    Traffic {
        packets_in: a.packets_in + b.packets_in,
        packets_out: a.packets_out + b.packets_out,
        bytes_in: a.bytes_in + b.bytes_in,
        bytes_out: a.bytes_out + b.bytes_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_through_two_links_is_added_up() {
        let one = Traffic {
            packets_in: 3,
            packets_out: 5,
            bytes_in: 7,
            bytes_out: 11,
        };
        let other = Traffic {
            packets_in: 20,
            packets_out: 30,
            bytes_in: 40,
            bytes_out: 50,
        };
        let both = Traffic {
            packets_in: 23,
            packets_out: 35,
            bytes_in: 47,
            bytes_out: 61,
        };
        assert_eq!(sum(one, other), both);
    }

    #[test]
    fn a_lost_link_counts_whatever_ended_it() {
        let losses = Losses {
            dial: 1,
            dial_timeout: 1 << 1,
            tls: 1 << 2,
            unwelcome: 1 << 3,
            transport: 1 << 4,
            eof: 1 << 5,
            refused: 1 << 6,
            no_connack: 1 << 7,
            keep_alive_timeout: 1 << 8,
            unacknowledged: 1 << 9,
            violation: 1 << 10,
            closed: 1 << 11,
        };
        assert_eq!(losses.total(), 0xfff);
    }
}
