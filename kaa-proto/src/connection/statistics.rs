//! What a connection counts.

use std::time::Instant;

use crate::mqtt::Traffic;

/// What a connection has seen. Every counter only rises. What endpoints count is in
/// [`endpoint::Statistics`](crate::endpoint::Statistics).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Dials begun.
    pub dials: u64,
    /// Links that came up.
    pub links_up: u64,
    /// Links that were up and died, those closed by us aside.
    pub links_lost: u64,
    /// Failed links and dials in a row, since one was good.
    pub failures_in_a_row: u32,
    /// Bytes, MQTT packets of all links.
    pub traffic: Traffic,
    /// Messages received.
    pub messages_in: u64,
    /// Messages published.
    pub messages_out: u64,
    /// Messages that were no 1/KP topic.
    pub malformed_topics: u64,
    /// Messages for endpoints that are not here.
    pub unknown_endpoints: u64,
    /// Requests of endpoints that are not here, echoed by a broker (FACTS trap 16).
    pub echoes: u64,
    /// Messages over [`Options::max_packet_in`](super::Options::max_packet_in).
    pub oversize: u64,
    /// MQTT acknowledgements that nobody waited for.
    pub unexpected_packets: u64,
    /// Messages that no packet can hold: restored requests, which end as cancelled, and an
    /// endpoint's own ones.
    pub unsendable: u64,
    /// Subscriptions that the server did not answer in time.
    pub subscriptions_unanswered: u64,
    /// Suspensions of endpoints.
    pub suspensions: u64,
    /// Events that were lost because nobody polled.
    pub events_lost: u64,
    /// When the server last confirmed a request, by PUBACK or by an answer: for watchdogs. A
    /// request that asks for no confirmation does not count.
    pub last_confirmed: Option<Instant>,
}

/// Adds up what went through several links.
pub(super) fn sum(a: Traffic, b: Traffic) -> Traffic {
    Traffic {
        packets_in: a.packets_in + b.packets_in,
        packets_out: a.packets_out + b.packets_out,
        bytes_in: a.bytes_in + b.bytes_in,
        bytes_out: a.bytes_out + b.bytes_out,
    }
}
