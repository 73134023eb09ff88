//! What the pauses between dials are like, from one run of them: as a server sees a client.

use std::time::Duration;

/// How pauses grow from one failure to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    Constant,
    Linear,
    Exponential,
    /// They grow, so irregularly that one run does not say how.
    Somehow,
}

/// What pauses are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) growth: Growth,
    /// Whether they are irregular: then devices that lost their server together do not come back
    /// together.
    pub(crate) is_jittered: bool,
}

/// The fewest pauses that say how they grow.
pub(crate) const FEWEST: usize = 4;

/// How far a clock, a scheduler and a handshake put regular pauses apart.
const PRECISION: f64 = 0.1;
const LATENCY: f64 = 0.05;

/// A first dial that comes so soon is made at once, as many clients do, and waits for nothing.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The pauses that say how they grow: all but a first one that is none.
pub(crate) fn telling(pauses: &[Duration]) -> &[Duration] {
    match pauses {
        [first, second, ..] if *first < AT_ONCE && *second >= AT_ONCE => {
            pauses.get(1..).unwrap_or_default()
        }
        pauses => pauses,
    }
}

/// What pauses are like; `None` if fewer than [`FEWEST`] of them are [`telling`].
///
/// Growth is the exponent `p` for which `n.powf(p)` comes closest to the n-th pause: nothing for
/// constant ones, one for linear ones, more for exponential ones. What comes after a cap was
/// reached says nothing and is left out.
pub(crate) fn shape(pauses: &[Duration]) -> Option<Shape> {
    let pauses = telling(pauses);
    if pauses.len() < FEWEST {
        return None;
    }
    let seconds: Vec<_> = pauses.iter().map(Duration::as_secs_f64).collect();
    let growing = before_the_cap(&seconds);
    let growth = match power(growing) {
        power if power < 0.4 => Growth::Constant,
        power if power < 1.35 => Growth::Linear,
        _ => Growth::Exponential,
    };
    let steps = growing.windows(2).map(|two| two[1] - two[0]);
    let ratios = growing.windows(2).map(|two| two[1] / two[0].max(1e-3));
    let spread = match growth {
        Growth::Constant => spread(seconds.iter().copied()),
        _ => spread(steps).min(spread(ratios)),
    };
    let is_jittered = spread > 0.0;
    let growth = match growth {
        Growth::Linear | Growth::Exponential if is_jittered => Growth::Somehow,
        growth => growth,
    };
    Some(Shape {
        growth,
        is_jittered,
    })
}

/// By how much values are further apart than clocks make them.
fn spread(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let longest = values.clone().fold(f64::MIN, f64::max);
    let shortest = values.fold(f64::MAX, f64::min);
    longest - shortest - longest.abs() * PRECISION - LATENCY
}

/// The pauses up to the first that is about as long as any.
fn before_the_cap(seconds: &[f64]) -> &[f64] {
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    let capped = seconds.iter().position(|pause| *pause >= longest * 0.9);
    let end = capped.map_or(seconds.len(), |first| first + 1).max(FEWEST);
    seconds.get(..end).unwrap_or(seconds)
}

fn power(seconds: &[f64]) -> f64 {
    let points = (1_u32..).zip(seconds);
    let points: Vec<_> = points
        .map(|(n, pause)| (f64::from(n).ln(), pause.max(1e-3).ln()))
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

    fn found(pauses: &[f64]) -> Shape {
        let pauses: Vec<_> = pauses
            .iter()
            .copied()
            .map(Duration::from_secs_f64)
            .collect();
        shape(&pauses).unwrap()
    }

    #[test]
    fn pauses_are_told_apart() {
        use Growth::{Constant, Exponential, Linear, Somehow};
        for (pauses, growth, is_jittered) in [
            (&[5.0, 5.01, 5.0, 5.02, 5.0][..], Constant, false),
            (&[0.001, 0.002, 0.001, 0.001], Constant, false),
            (&[5.0, 3.1, 4.4, 2.8, 5.0], Constant, true),
            (&[1.0, 2.0, 3.01, 4.0, 5.0], Linear, false),
            (&[1.0, 2.0, 4.0, 8.01, 16.0], Exponential, false),
            (&[1.0, 2.0, 4.0, 8.0, 8.0, 8.0], Exponential, false),
            (&[0.7, 1.9, 2.4, 7.1, 13.0], Somehow, true),
            (&[0.3, 0.5, 2.9, 3.3, 11.8, 25.0], Somehow, true),
        ] {
            let expected = Shape {
                growth,
                is_jittered,
            };
            assert_eq!(found(pauses), expected, "{pauses:?}");
        }
    }

    #[test]
    fn a_first_dial_at_once_is_no_pause() {
        use Growth::{Constant, Exponential};
        for (pauses, growth) in [
            (&[0.0, 3.0, 3.1, 3.0, 3.0][..], Constant),
            (&[0.02, 1.0, 2.0, 4.0, 8.0, 8.0], Exponential),
        ] {
            let expected = Shape {
                growth,
                is_jittered: false,
            };
            assert_eq!(found(pauses), expected, "{pauses:?}");
        }
        let few = [0, 3, 3, 3].map(Duration::from_secs);
        assert_eq!(shape(&few), None);
    }

    #[test]
    fn a_few_pauses_say_nothing() {
        assert_eq!(shape(&[Duration::from_secs(1); FEWEST - 1]), None);
    }
}
