//! The contract that is checked after every step.

use kaa_proto::connection::EndpointKey;

use super::Pair;

/// With more endpoints than this, all of them are looked at only once in as many steps; those
/// whose requests came or went always are.
const ALWAYS_ALL: usize = 256;

impl Pair {
    /// A request of an endpoint ended.
    pub(super) fn handle_ended(&mut self, key: EndpointKey) {
        self.changed.insert(key);
        if let Some(open) = self.open_of.get_mut(&key) {
            *open -= 1;
            if *open == 0 {
                self.open_of.remove(&key);
            }
        }
    }

    /// The contract that holds after every step.
    pub(super) fn check(&mut self) {
        self.checks += 1;
        let count = self.names.len();
        let all = count <= ALWAYS_ALL || self.checks % count == 0;
        let now = self.clock.now();
        self.connection.handle_timeout(now);
        self.collect();
        let connection = &mut self.connection;
        let (next, seen) = (
            connection.poll_timeout(),
            all.then(|| connection.statistics()),
        );
        assert!(next.is_none_or(|next| next > now), "poll_timeout lies");
        connection.handle_timeout(now);
        assert_eq!(connection.poll_timeout(), next, "handle_timeout twice");
        let after = all.then(|| connection.statistics());
        assert_eq!(after, seen, "handle_timeout twice");
        assert!(!self.collect(), "a second handle_timeout did something");
        self.check_accounts(all);
    }

    /// Every request that was taken has ended or is held somewhere, for each endpoint and in sum.
    fn check_accounts(&mut self, all: bool) {
        let changed = std::mem::take(&mut self.changed);
        if !all {
            for key in changed {
                self.check_account(key);
            }
            return;
        }
        let keys: Vec<_> = self.connection.endpoints().map(|(key, _)| key).collect();
        for key in keys {
            self.check_account(key);
        }
        let sum = self.connection.statistics();
        let open = sum.requests.submitted - sum.requests.ended();
        assert_eq!(open, self.open.len() as u64, "the account is wrong");
        assert!(open <= (sum.queued + sum.in_flight) as u64);
        let under_way = sum.dials - sum.losses.total();
        assert!(under_way <= 1, "{under_way} dials are not accounted for");
    }

    fn check_account(&self, key: EndpointKey) {
        let Some(endpoint) = self.connection.endpoint(key) else {
            return;
        };
        let statistics = endpoint.statistics();
        let left = statistics.submitted - statistics.ended();
        let open = self.open_of.get(&key).copied().unwrap_or_default();
        assert_eq!(left, open, "the account of {} is wrong", endpoint.name());
        let held = (endpoint.queue_len() + endpoint.in_flight_len()) as u64;
        assert!(open <= held, "{open} are open, {held} are held");
        assert!(endpoint.queue_len() <= self.max_queued, "over the bound");
    }
}
