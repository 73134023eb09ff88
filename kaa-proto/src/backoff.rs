//! How long to wait before the next dial.
//!
//! Exponential with full jitter: after the n-th failure in a row the delay is drawn evenly from
//! the floor to `base · 2ⁿ⁻¹`, at most `cap`, so that a fleet that lost its server together does
//! not come back together. Nothing here forgets failures by itself: the link machine says
//! [`reset`](Backoff::reset) when a link proved useful, never on CONNACK alone (FACTS trap 32).

use std::time::Duration;

use crate::rng::Rng;

/// No delay is shorter, whatever the dice say: a dial takes a socket and, with TLS, real work.
pub(crate) const FLOOR: Duration = Duration::from_millis(100);

/// The delays of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    /// The longest delay after the first failure.
    base: Duration,
    /// The longest delay ever, slow ones aside.
    cap: Duration,
    /// About how long to wait for an operator.
    slow: Duration,
    /// Failures since the last reset.
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(base: Duration, cap: Duration, slow: Duration) -> Self {
        Self {
            base,
            cap,
            slow,
            failures: 0,
        }
    }

    /// Counts a failure and draws the delay after it.
    pub(crate) fn after_failure(&mut self, rng: &mut Rng) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        rng.between(FLOOR, self.base.saturating_mul(doubled).min(self.cap))
    }

    /// Counts a failure that needs an operator and draws the delay after it.
    pub(crate) fn after_refusal(&mut self, rng: &mut Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        slowly(self.slow, rng)
    }

    /// Forgets the failures: the next delay is a short one.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last reset.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}

/// A delay around `slow`, from three quarters of it to five quarters.
pub(crate) fn slowly(slow: Duration, rng: &mut Rng) -> Duration {
    let quarter = slow / 4;
    rng.between(slow - quarter, slow.saturating_add(quarter))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(1);
    const CAP: Duration = Duration::from_secs(120);
    const SLOW: Duration = Duration::from_secs(900);

    fn backoff() -> Backoff {
        Backoff::new(BASE, CAP, SLOW)
    }

    /// The longest of many first, second … delays.
    fn longest(nth: usize) -> Duration {
        let delays = (0..500).map(|seed| {
            let (mut backoff, mut rng) = (backoff(), Rng::new(seed));
            for _ in 0..nth {
                backoff.after_failure(&mut rng);
            }
            backoff.after_failure(&mut rng)
        });
        delays.max().unwrap()
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        for (nth, most) in [(0, 1), (1, 2), (2, 4), (6, 64), (7, 120), (40, 120)] {
            let (most, longest) = (Duration::from_secs(most), longest(nth));
            assert!(
                longest <= most && longest > most * 9 / 10,
                "{nth}: {longest:?}"
            );
        }
    }

    #[test]
    fn the_jitter_is_full_but_keeps_the_floor() {
        let (mut backoff, mut rng) = (backoff(), Rng::new(3));
        let delays: Vec<_> = (0..5_000)
            .map(|_| backoff.after_failure(&mut rng))
            .collect();
        assert!(delays.iter().all(|delay| *delay >= FLOOR && *delay <= CAP));
        assert!(delays[10..].iter().any(|delay| *delay < CAP / 20));
    }

    #[test]
    fn only_a_reset_makes_the_next_delay_short_again() {
        let (mut backoff, mut rng) = (backoff(), Rng::new(3));
        for _ in 0..20 {
            backoff.after_failure(&mut rng);
        }
        assert_eq!(backoff.failures(), 20);
        backoff.reset();
        assert!(backoff.after_failure(&mut rng) <= BASE);
    }

    #[test]
    fn a_refusal_waits_about_a_quarter_of_an_hour() {
        let (mut backoff, mut rng) = (backoff(), Rng::new(3));
        let delays: Vec<_> = (0..100).map(|_| backoff.after_refusal(&mut rng)).collect();
        let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(
            (SLOW * 3 / 4..SLOW * 4 / 5).contains(shortest),
            "{shortest:?}"
        );
        assert!(
            (SLOW * 6 / 5..=SLOW * 5 / 4).contains(longest),
            "{longest:?}"
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let delays = |seed| {
            let (mut backoff, mut rng) = (backoff(), Rng::new(seed));
            (0..10)
                .map(|_| backoff.after_failure(&mut rng))
                .collect::<Vec<_>>()
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }
}
