//! Anything that may happen to devices, their link and their platform, in any order: the whole contract
//! holds, and the same choices give the same life. What happens, and what is held against it, stands in
//! `kaa_tests::pair_ops`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod choices;

use kaa_tests::pair_ops::{Op, Setup, live};
use proptest::prelude::*;

fn setup() -> impl Strategy<Value = Setup> {
    any::<[u8; 4]>().prop_map(Setup::of)
}

fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(any::<[u8; 4]>().prop_map(Op::of), 0..most)
}

proptest! {
    #![proptest_config(choices::cases(2_000))]

    #[test]
    fn whatever_happens_the_contract_holds(setup in setup(), ops in ops(80)) {
        let _ = live(&setup, &ops);
    }

    #[test]
    fn a_quiet_platform_and_good_devices_change_nothing(ops in ops(120)) {
        let _ = live(&Setup::of([0; 4]), &ops);
    }
}

proptest! {
    #![proptest_config(choices::cases(300))]

    #[test]
    fn the_same_choices_give_the_same_life(setup in setup(), ops in ops(80)) {
        prop_assert_eq!(live(&setup, &ops), live(&setup, &ops));
    }
}
