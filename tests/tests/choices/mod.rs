//! How the properties are tried: with the same cases in every run, so that a failure is there again.

use proptest::test_runner::{Config, RngSeed};

/// So many cases, from a fixed seed. `PROPTEST_RNG_SEED` in the environment is another seed, and
/// `PROPTEST_CASES` another number.
pub(crate) fn cases(cases: u32) -> Config {
    let asked = Config::default();
    let is_asked = |name| std::env::var_os(name).is_some();
    Config {
        cases: if is_asked("PROPTEST_CASES") {
            asked.cases
        } else {
            cases
        },
        rng_seed: match asked.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            fixed => fixed,
        },
        // A case that failed becomes a test with a name.
        failure_persistence: None,
        ..asked
    }
}
