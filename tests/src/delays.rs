//! What the delays between dials are like: constant, linear or exponential, with jitter or
//! without. A client is judged by what its server sees, not by what its code says.

use std::time::Duration;

/// How delays grow from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// They stay about the same.
    Constant,
    /// They grow by about the same each time.
    Linear,
    /// They grow by about the same factor each time, up to a cap perhaps.
    Exponential,
}

/// What delays are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How they grow.
    pub growth: Growth,
    /// Whether the same failure is not always followed by the same delay: then devices that lost
    /// their server together do not come back together.
    pub is_jittered: bool,
}

/// The fewest delays of a run that say anything.
pub const FEWEST: usize = 5;

/// How far the same delay may be apart before that is called jitter; a clock is never exact.
const PRECISION: f64 = 0.05;

/// What the delays of several runs are like; each run begins with the first failure after all was
/// well. `None` with fewer than two runs, or runs of fewer than [`FEWEST`] delays.
///
/// It looks at how many times as long a delay is when the failures before it are twice as many:
/// once for constant delays, twice for linear ones, and ever more often for exponential ones. What
/// comes after the cap was reached says nothing about the growth and is left out.
#[must_use]
pub fn shape(runs: &[Vec<Duration>]) -> Option<Shape> {
    let length = runs.iter().map(Vec::len).min()?;
    if runs.len() < 2 || length < FEWEST {
        return None;
    }
    let nth = |index: usize| runs.iter().map(move |run| run[index].as_secs_f64());
    let means: Vec<_> = (0..length)
        .map(|index| nth(index).sum::<f64>() / runs.len() as f64)
        .collect();
    let differs = |(index, mean): (usize, &f64)| {
        let longest = nth(index).fold(0.0, f64::max);
        let shortest = nth(index).fold(f64::MAX, f64::min);
        longest - shortest > mean * PRECISION
    };
    let is_jittered = means.iter().enumerate().any(differs);
    let growth = match power(before_the_cap(&means)) {
        power if power < 0.4 => Growth::Constant,
        power if power < 1.35 => Growth::Linear,
        _ => Growth::Exponential,
    };
    Some(Shape {
        growth,
        is_jittered,
    })
}

/// The delays up to the first that is about as long as any.
fn before_the_cap(means: &[f64]) -> &[f64] {
    let longest = means.iter().copied().fold(0.0, f64::max);
    let capped = means.iter().position(|mean| *mean >= longest * 0.9);
    let end = capped.map_or(means.len(), |first| first + 1);
    &means[..end.max(FEWEST)]
}

/// The exponent `p` for which `n.powf(p)` comes closest to the n-th delay, by its logarithm.
fn power(means: &[f64]) -> f64 {
    let points = (1_u32..).zip(means);
    let points: Vec<_> = points
        .map(|(n, mean)| (f64::from(n).ln(), mean.max(f64::MIN_POSITIVE).ln()))
        .collect();
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, (x, y)| {
        (sum.0 + x / count, sum.1 + y / count)
    });
    let slope: f64 = points.iter().map(|(a, b)| (a - x) * (b - y)).sum();
    let width: f64 = points.iter().map(|(a, _)| (a - x) * (a - x)).sum();
    slope / width
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    /// Two runs of delays, in seconds, each shortened by at most this share.
    fn runs(length: usize, jitter: f64, seed: u64, nth: impl Fn(u32) -> f64) -> Vec<Vec<Duration>> {
        let mut dice = Dice::new(seed);
        let mut run = || {
            let delays = (1..).take(length).map(|n| {
                let share = dice.below(1_000_000) as f64 / 1e6;
                Duration::from_secs_f64(nth(n) * (1.0 - jitter * share))
            });
            delays.collect::<Vec<_>>()
        };
        vec![run(), run()]
    }

    fn found(length: usize, jitter: f64, seed: u64, nth: impl Fn(u32) -> f64) -> Shape {
        shape(&runs(length, jitter, seed, nth)).unwrap()
    }

    fn exponential(n: u32) -> f64 {
        2_f64.powi(n as i32 - 1).min(120.0)
    }

    #[test]
    fn exact_delays_are_told_apart() {
        for length in [5, 6, 8, 12, 20] {
            for (growth, nth) in [
                (Growth::Constant, (|_| 5.0) as fn(u32) -> f64),
                (Growth::Linear, |n| 3.0 * f64::from(n)),
                (Growth::Linear, |n| 2.0 + f64::from(n)),
                (Growth::Exponential, exponential),
                (Growth::Exponential, |n| 0.1 * 3_f64.powi(n as i32)),
            ] {
                let is_jittered = false;
                let expected = Shape {
                    growth,
                    is_jittered,
                };
                assert_eq!(found(length, 0.0, 1, nth), expected, "{length}");
            }
        }
    }

    #[test]
    fn delays_with_half_jitter_are_told_apart() {
        for seed in 0..200 {
            for length in [5, 8, 12] {
                for (growth, nth) in [
                    (Growth::Constant, (|_| 5.0) as fn(u32) -> f64),
                    (Growth::Linear, |n| 3.0 * f64::from(n)),
                    (Growth::Exponential, exponential),
                ] {
                    let is_jittered = true;
                    let expected = Shape {
                        growth,
                        is_jittered,
                    };
                    assert_eq!(found(length, 0.5, seed, nth), expected, "{length} {seed}");
                }
            }
        }
    }

    /// Two runs are few where a delay may be next to nothing; most seeds are judged right, and
    /// more runs judge all of them right.
    #[test]
    fn delays_with_full_jitter_are_told_apart_by_most_pairs_of_runs_and_by_many_runs() {
        for (growth, nth) in [
            (Growth::Constant, (|_| 5.0) as fn(u32) -> f64),
            (Growth::Linear, |n| 3.0 * f64::from(n)),
            (Growth::Exponential, exponential),
        ] {
            let right = (0..200).filter(|seed| found(12, 1.0, *seed, nth).growth == growth);
            let right = right.count();
            assert!(right >= 160, "{growth:?}: {right} of 200");
            let many: Vec<_> = (0..50).flat_map(|seed| runs(12, 1.0, seed, nth)).collect();
            let shape = shape(&many).unwrap();
            assert_eq!((shape.growth, shape.is_jittered), (growth, true));
        }
    }

    #[test]
    fn too_little_says_nothing() {
        let all = runs(12, 0.0, 1, exponential);
        assert_eq!(shape(&all[..1]), None);
        assert_eq!(shape(&[]), None);
        assert_eq!(shape(&runs(4, 0.0, 1, exponential)), None);
    }

    #[test]
    fn a_clock_that_is_not_exact_is_no_jitter() {
        assert!(!found(8, 0.04, 1, exponential).is_jittered);
    }
}
