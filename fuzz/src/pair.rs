//! Devices, links and a platform.

use kaa_tests::pair_ops::{Op, Setup, live};

/// How many operations are done at most.
const MOST: usize = 200;

/// Whatever happens to devices, links and a platform, the whole contract holds.
///
/// The first four bytes are the setup, each further four an operation.
///
/// # Panics
/// If that does not hold.
pub fn pair(data: &[u8]) {
    let Some((setup, ops)) = data.split_first_chunk::<4>() else {
        return;
    };
    let mut ops = Op::all(ops);
    ops.truncate(MOST);
    let _ = live(&Setup::of(*setup), &ops);
}
