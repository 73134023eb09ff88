//! Medians, and how far the rounds lie apart.

use std::fmt;

use crate::Outcome;

/// The median of some rounds, the least and the most.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    /// Of one round at least.
    ///
    /// # Errors
    /// There was none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Outcome<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&low), Some(&median), Some(&high)) =
            (values.first(), values.get(values.len() / 2), values.last())
        else {
            return Err("no round was measured".into());
        };
        Ok(Self { median, low, high })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, low, high] = [self.median, self.low, self.high].map(rounded);
        write!(f, "{median} ({low}–{high})")
    }
}

/// As many digits as are worth reading.
#[must_use]
pub fn rounded(value: f64) -> String {
    match value.abs() {
        0.0..1.0 => format!("{value:.4}"),
        1.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
