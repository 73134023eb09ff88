//! The scenarios.

mod operations;

use super::Scenario;

/// All of them, in the order in which they are shown.
#[must_use]
pub fn all() -> Vec<&'static Scenario> {
    [operations::ALL].into_iter().flatten().collect()
}
