//! Whose message goes next: deficit round robin by bytes, and some more for each message.
//!
//! Endpoints that have something to send stand in a ring. Whoever is at the head sends until its
//! balance is used up, then goes to the tail and is credited one quantum; a message may overdraw
//! the balance, so that no message is too large to be sent. Over time every endpoint of the ring
//! gets the same share of the link, whatever the sizes of its messages.
//!
//! The in-flight window is a second thing to share: no endpoint is given more than a quarter of
//! it while another one could send, or where there are so many that somebody soon will. Whose
//! quarter nobody acknowledges is given another one: a PUBACK that was lost never comes again, and
//! one endpoint must not be silent for as long as the link lives. The whole window has an end.

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// What one turn is worth in bytes: a few ordinary messages, so that nobody waits for long.
const QUANTUM: i64 = 1_024;

/// What a message costs beside its bytes: headers, acknowledgements, its answer, and a place in the
/// window. Without it many small messages would crowd out others.
const MESSAGE_COST: i64 = 256;

/// How many shares the window has.
const SHARES: usize = 4;

/// The ring, and who holds how much of the window.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    /// Who may have something to send, the next one first. Nobody is there twice.
    ring: VecDeque<K>,
    /// Those in the ring, and those with messages in flight.
    accounts: FxHashMap<K, Account>,
    /// How much of the window an endpoint may hold while others wait; at least 1.
    share: usize,
    /// Whether there are enough endpoints to use the window up with their shares: then nobody
    /// holds more, so that whoever speaks up finds room.
    is_crowded: bool,
}

#[derive(Debug, Default)]
struct Account {
    /// Bytes it may still send in this turn; below zero when it has overdrawn.
    balance: i64,
    /// Its messages in the in-flight window.
    in_flight: usize,
    /// When one last came there, or left.
    moved: Option<Instant>,
    /// Whether it stands in the ring.
    waiting: bool,
}

impl Account {
    /// Whether nothing of it has to be remembered.
    const fn is_settled(&self) -> bool {
        self.in_flight == 0 && self.balance >= 0 && !self.waiting
    }
}

impl<K: Copy + Eq + Hash> Schedule<K> {
    /// For a window of this many messages.
    pub(crate) fn new(window: usize) -> Self {
        Self {
            ring: VecDeque::new(),
            accounts: FxHashMap::default(),
            share: (window / SHARES).max(1),
            is_crowded: false,
        }
    }

    /// So many endpoints there are, silent or not.
    pub(crate) const fn handle_count(&mut self, endpoints: usize) {
        self.is_crowded = endpoints > SHARES;
    }

    /// `key` has something to send.
    pub(crate) fn wake(&mut self, key: K) {
        let account = self.accounts.entry(key).or_default();
        if !account.waiting {
            account.waiting = true;
            account.balance = account.balance.min(0) + QUANTUM;
            self.ring.push_back(key);
        }
    }

    /// Who sends next. `has_message` is asked about those whose turn it is; who has none leaves
    /// the ring until it is woken again.
    pub(crate) fn next(&mut self, mut has_message: impl FnMut(K) -> bool) -> Option<K> {
        while let Some(&key) = self.ring.front() {
            if !has_message(key) {
                self.leave();
                continue;
            }
            let share = self.share;
            let account = self.accounts.entry(key).or_default();
            let may_send = account.balance > 0;
            if account.in_flight >= share {
                if self.others_wait() {
                    self.ring.rotate_left(1);
                    continue;
                }
                if self.is_crowded {
                    return None;
                }
            }
            if may_send {
                return Some(key);
            }
            self.accounts.entry(key).or_default().balance += QUANTUM;
            self.ring.rotate_left(1);
        }
        None
    }

    /// `key` sent a message of this many bytes; one of QoS 1 enters the in-flight window. Whether
    /// it holds its share with that: then [`lapse`](Self::lapse) has to be asked.
    pub(crate) fn sent(&mut self, now: Instant, key: K, bytes: usize, enters_window: bool) -> bool {
        let account = self.accounts.entry(key).or_default();
        account.balance -= i64::try_from(bytes).unwrap_or(i64::MAX / 2) + MESSAGE_COST;
        account.in_flight += usize::from(enters_window);
        account.moved = Some(now);
        account.in_flight >= self.share
    }

    /// A message of `key` left the in-flight window.
    pub(crate) fn left_window(&mut self, now: Instant, key: K) {
        if let Some(account) = self.accounts.get_mut(&key) {
            account.in_flight = account.in_flight.saturating_sub(1);
            account.moved = Some(now);
            if account.is_settled() {
                self.accounts.remove(&key);
            }
        }
    }

    /// Forgets `key`, which is gone.
    pub(crate) fn remove(&mut self, key: K) {
        self.accounts.remove(&key);
    }

    /// Whose share was held for so long without an acknowledgement does not hold it any more. When
    /// to ask again, if some hold theirs.
    pub(crate) fn lapse(&mut self, now: Instant, within: Duration) -> Option<Instant> {
        let (share, mut next) = (self.share, None);
        #[allow(clippy::disallowed_methods, reason = "the order makes no difference")]
        self.accounts.retain(|_, account| {
            let until = account.moved.filter(|_| account.in_flight >= share);
            let Some(until) = until.map(|moved| moved + within) else {
                return true;
            };
            if until > now {
                next = Some(next.map_or(until, |next: Instant| next.min(until)));
                return true;
            }
            account.in_flight = 0;
            account.waiting
        });
        next
    }

    /// Forgets everything: there is no link.
    pub(crate) fn clear(&mut self) {
        self.ring.clear();
        self.accounts.clear();
    }

    fn holds_its_share(&self, key: K) -> bool {
        let account = self.accounts.get(&key);
        account.is_some_and(|account| account.in_flight >= self.share)
    }

    /// Whether somebody in the ring holds less than its share. Few hold theirs, so the search is
    /// short.
    fn others_wait(&self) -> bool {
        self.ring.len() > 1 && self.ring.iter().any(|&key| !self.holds_its_share(key))
    }

    /// Takes the head out of the ring. Its debt stays while others wait: nobody gets ahead by
    /// queueing one large message at a time.
    fn leave(&mut self) {
        let Some(key) = self.ring.pop_front() else {
            return;
        };
        if let Some(account) = self.accounts.get_mut(&key) {
            account.waiting = false;
            if account.is_settled() {
                self.accounts.remove(&key);
            }
        }
        if self.ring.is_empty() {
            #[allow(clippy::disallowed_methods, reason = "the order makes no difference")]
            self.accounts.retain(|_, account| {
                account.balance = 0;
                account.in_flight > 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    /// Endpoints with queued messages of one size each, and a window.
    struct Endpoints {
        schedule: Schedule<u32>,
        queued: BTreeMap<u32, usize>,
        in_flight: VecDeque<u32>,
        window: usize,
        now: Instant,
    }

    impl Endpoints {
        fn new(window: usize, queued: &[(u32, usize)]) -> Self {
            let mut schedule = Schedule::new(window);
            queued.iter().for_each(|&(key, _)| schedule.wake(key));
            Self {
                schedule,
                queued: queued.iter().copied().collect(),
                in_flight: VecDeque::new(),
                window,
                now: start(),
            }
        }

        fn queue(&mut self, key: u32, messages: usize) {
            *self.queued.entry(key).or_default() += messages;
            self.schedule.wake(key);
        }

        /// Sends one message, if the window has room.
        fn send(&mut self, size: impl Fn(u32) -> usize) -> Option<u32> {
            if self.in_flight.len() >= self.window {
                return None;
            }
            let queued = &self.queued;
            let has_message = |key| queued.get(&key).is_some_and(|messages| *messages > 0);
            let key = self.schedule.next(has_message)?;
            *self.queued.get_mut(&key).unwrap() -= 1;
            self.schedule.sent(self.now, key, size(key), true);
            self.in_flight.push_back(key);
            Some(key)
        }

        fn acknowledge(&mut self) {
            if let Some(key) = self.in_flight.pop_front() {
                self.schedule.left_window(self.now, key);
            }
        }
    }

    #[test]
    fn endpoints_share_the_link_whatever_the_sizes_of_their_messages() {
        let mut endpoints = Endpoints::new(40, &[(1, 10_000), (2, 10_000), (3, 10_000)]);
        let size = |key| [0, 100, 1_000, 20_000][key as usize];
        let mut bytes = [0; 4];
        for _ in 0..9_000 {
            if let Some(key) = endpoints.send(size) {
                // Each message counts for 256 bytes more than it has.
                bytes[key as usize] += size(key) + 256;
            }
            endpoints.acknowledge();
        }
        let most = *bytes.iter().max().unwrap();
        assert!(bytes[1..].iter().all(|b| *b > most * 9 / 10), "{bytes:?}");
    }

    #[test]
    fn an_endpoint_fills_the_window_alone_unless_there_are_more_than_shares() {
        for (count, sent) in [(SHARES, 8), (SHARES + 1, 2)] {
            let mut endpoints = Endpoints::new(8, &[(1, 8)]);
            endpoints.schedule.handle_count(count);
            let messages = std::iter::from_fn(|| endpoints.send(|_| 1));
            assert_eq!(messages.count(), sent, "of {count} endpoints");
        }
    }

    #[test]
    fn who_comes_back_to_the_ring_still_holds_its_part_of_the_window() {
        let mut endpoints = Endpoints::new(8, &[(1, 2)]);
        endpoints.schedule.handle_count(SHARES + 1);
        let send_all =
            |endpoints: &mut Endpoints| std::iter::from_fn(|| endpoints.send(|_| 1)).count();
        assert_eq!(send_all(&mut endpoints), 2);
        endpoints.acknowledge();
        endpoints.queue(1, 2);
        assert_eq!(send_all(&mut endpoints), 1);
    }

    #[test]
    fn one_large_message_at_a_time_does_not_get_more_than_the_others() {
        let mut endpoints = Endpoints::new(40, &[(1, 1), (2, 100_000)]);
        let size = |key| [0, 100_000, 100][key as usize];
        let mut bytes = [0; 3];
        for _ in 0..20_000 {
            let key = endpoints.send(size).unwrap();
            bytes[key as usize] += size(key) + 256;
            endpoints.acknowledge();
            // It has left the ring by then.
            if key != 1 && endpoints.queued[&1] == 0 {
                endpoints.queue(1, 1);
            }
        }
        assert!(bytes[1] <= bytes[2] + 100_256, "{bytes:?}");
    }

    #[test]
    fn one_endpoint_alone_gets_the_whole_window() {
        let mut endpoints = Endpoints::new(100, &[(1, 1_000)]);
        let sent = std::iter::from_fn(|| endpoints.send(|_| 10)).count();
        assert_eq!(sent, 100);
    }

    #[test]
    fn while_others_wait_no_endpoint_gets_more_than_a_quarter_of_the_window() {
        let mut endpoints = Endpoints::new(100, &[(1, 1_000), (2, 1_000)]);
        for _ in 0..50 {
            endpoints.send(|_| 10);
        }
        let of =
            |endpoints: &Endpoints, key| endpoints.in_flight.iter().filter(|k| **k == key).count();
        assert_eq!((of(&endpoints, 1), of(&endpoints, 2)), (25, 25));
        // Both hold their quarter, so nobody waits who could take what is left.
        assert!(endpoints.send(|_| 10).is_some());
        endpoints.queue(3, 1_000);
        for _ in 0..25 {
            assert_eq!(endpoints.send(|_| 10), Some(3));
        }
    }

    #[test]
    fn among_many_endpoints_none_gets_more_than_a_quarter_of_the_window() {
        let mut endpoints = Endpoints::new(100, &[(1, 1_000)]);
        endpoints.schedule.handle_count(5);
        for _ in 0..2 {
            let sent = std::iter::from_fn(|| endpoints.send(|_| 10)).count();
            assert_eq!(sent, 25);
            (0..25).for_each(|_| endpoints.acknowledge());
        }
        endpoints.queue(2, 1);
        assert_eq!(endpoints.send(|_| 10), Some(1));
        assert_eq!(endpoints.queued[&1], 949);
    }

    #[test]
    fn a_share_that_nobody_acknowledges_is_given_anew_after_its_time() {
        const WITHIN: Duration = Duration::from_secs(30);
        let mut endpoints = Endpoints::new(8, &[(1, 5), (2, 2)]);
        endpoints.schedule.handle_count(SHARES + 1);
        let send_all =
            |endpoints: &mut Endpoints| std::iter::from_fn(|| endpoints.send(|_| 1)).count();
        assert_eq!(send_all(&mut endpoints), 4);
        let begin = endpoints.now;
        endpoints.now += WITHIN / 2;
        // The one that the other endpoint sent.
        endpoints.schedule.left_window(endpoints.now, 2);
        let (now, next) = (endpoints.now, begin + WITHIN);
        assert_eq!(endpoints.schedule.lapse(now, WITHIN), Some(next));
        assert_eq!(send_all(&mut endpoints), 0);
        endpoints.now = next;
        assert_eq!(endpoints.schedule.lapse(next, WITHIN), None);
        assert_eq!(send_all(&mut endpoints), 2);
        assert_eq!(
            endpoints.schedule.lapse(next, WITHIN),
            Some(next + WITHIN),
            "it holds its share again"
        );
    }

    #[test]
    fn a_window_of_one_still_serves_everybody_in_turn() {
        let mut endpoints = Endpoints::new(1, &[(1, 10), (2, 10), (3, 10)]);
        let mut order = Vec::new();
        while let Some(key) = endpoints.send(|_| 5_000) {
            order.push(key);
            endpoints.acknowledge();
        }
        assert_eq!(order[..6], [1, 2, 3, 1, 2, 3]);
        assert_eq!(order.len(), 30);
        assert!(endpoints.schedule.ring.is_empty() && endpoints.schedule.accounts.is_empty());
    }

    #[test]
    fn waking_twice_gives_one_place_and_no_credit() {
        let mut schedule = Schedule::new(8);
        (0..50).for_each(|_| schedule.wake(1));
        assert_eq!(schedule.ring.len(), 1);
        assert_eq!(schedule.accounts[&1].balance, QUANTUM);
        assert_eq!(schedule.next(|_| false), None);
        assert!(schedule.accounts.is_empty());
    }

    /// On a busy link an acknowledgement may come when its message is long gone from the ring.
    #[test]
    fn a_debt_outlives_the_acknowledgement_and_goes_with_its_endpoint() {
        let mut schedule = Schedule::new(8);
        (1..=2).for_each(|key| schedule.wake(key));
        assert_eq!(schedule.next(|_| true), Some(1));
        schedule.sent(start(), 1, 100_000, true);
        assert_eq!(schedule.next(|key| key == 2), Some(2), "the other has left");
        schedule.left_window(start(), 1);
        schedule.wake(1);
        let mut turns = 0;
        while schedule.next(|_| true) == Some(2) {
            schedule.sent(start(), 2, QUANTUM as usize - MESSAGE_COST as usize, true);
            schedule.left_window(start(), 2);
            turns += 1;
        }
        assert!(turns >= 97, "{turns}");
        schedule.remove(1);
        assert_eq!(schedule.next(|key| key == 2), Some(2));
        assert_eq!(schedule.accounts.len(), 1);
    }
}
