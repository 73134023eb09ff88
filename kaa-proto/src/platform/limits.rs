//! How much devices can make a platform hold.

/// How much devices can make a platform hold, in bytes as they lie in memory, about. What would be
/// more is refused, dropped or closed, as each says, and told as an event.
///
/// Together with what the operator gave it, a platform holds at most `endpoints`, `links`, `events` and
/// `waiting`; for the message that is taken apart twice `endpoint`, for the link whose buffer grows once
/// more `link`; and 10 MB of upload tokens and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What one endpoint keeps: metadata, results, reports, the names it used and its last sample.
    /// A request that needs more is answered by 413 or 429
    /// ([`Refused`](super::EventKind::Refused)), as one is whose payload is larger by itself; of
    /// samples and results only the newest are kept that fit. Default 1 MiB: a thousand attributes.
    pub endpoint: usize,
    /// What all endpoints keep together, each with about 4 KiB of its own. Requests are answered as
    /// above; further endpoints are refused as unknown tokens. Default 1 GiB.
    pub endpoints: usize,
    /// What one link holds: a packet that has not come whole, what it does not read or acknowledge, its
    /// subscriptions. It is closed ([`Kicked`](super::EventKind::Kicked)); subscriptions are refused
    /// ([`SubscriptionsRefused`](super::EventKind::SubscriptionsRefused)). Default 64 MiB: ten
    /// thousand endpoints that use every service.
    pub link: usize,
    /// What all links hold together. Of those that take more than half of their share the one that
    /// comes next is closed. Default 512 MiB.
    pub links: usize,
    /// What the events take that wait to be polled; the oldest are dropped and counted. Default 32 MiB.
    pub events: usize,
    /// What messages take that a fault holds back or that wait to be polled; further ones are dropped
    /// ([`Overflow`](super::EventKind::Overflow)). Default 64 MiB.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1_024 * 1_024;
        Self {
            endpoint: MIB,
            endpoints: 1_024 * MIB,
            link: 64 * MIB,
            links: 512 * MIB,
            events: 32 * MIB,
            waiting: 64 * MIB,
        }
    }
}
