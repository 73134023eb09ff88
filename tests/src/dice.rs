//! Numbers from a seed, for what is random about a simulated network.

/// A generator (SplitMix64); the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts from a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 up to but not including `bound`; 0 if that is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        if bound == 0 { 0 } else { z % bound }
    }

    /// A number of any size: below 2 to the power of `low`, …, or `high`.
    pub fn scattered(&mut self, low: u32, high: u32) -> u64 {
        let power = u64::from(low) + self.below(u64::from(high - low) + 1);
        self.below(1 << power)
    }

    /// A length from 1 to `most`.
    pub fn length(&mut self, most: usize) -> usize {
        self.below(most as u64) as usize + 1
    }
}
