//! A small seeded generator for jitter and identifiers. Not for secrets.
//!
//! SplitMix64: every seed, 0 included, gives a full-period sequence, and one `u64` is all the
//! state that each of a hundred thousand endpoints has to keep.

use std::time::Duration;

/// The same seed gives the same numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound - 1`; 0 if `bound` is 0.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        ((self.next_u64() as u128 * bound as u128) >> 64) as u64
    }

    /// A duration from `low` to `high`, evenly spread; `low` if `high` is not longer.
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = high.saturating_sub(low).as_nanos();
        let span = u64::try_from(span).unwrap_or(u64::MAX);
        low + Duration::from_nanos(self.below(span.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let (mut a, mut b, mut c) = (Rng::new(7), Rng::new(7), Rng::new(8));
        let first = a.next_u64();
        assert_eq!(first, b.next_u64());
        assert_ne!(first, c.next_u64());
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_both_halves() {
        let mut rng = Rng::new(1);
        let (low, high) = (Duration::from_millis(100), Duration::from_secs(1));
        let drawn: Vec<_> = (0..100).map(|_| rng.between(low, high)).collect();
        assert!(drawn.iter().all(|d| (low..=high).contains(d)));
        assert!(drawn.iter().any(|d| *d < Duration::from_millis(550)));
        assert!(drawn.iter().any(|d| *d > Duration::from_millis(550)));
        assert_eq!(rng.between(high, low), high);
        assert_eq!(rng.below(0), 0);
    }
}
