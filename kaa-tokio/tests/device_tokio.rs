//! The example `device_tokio` as a newcomer runs it.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use kaa_tests::example::{example, transcript};

#[test]
fn it_measures_obeys_and_follows_its_configuration() {
    let output = example("device_tokio").output().unwrap();
    let transcript = transcript(&output);
    let mut lines: Vec<_> = transcript.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0 left unfinished", "every 50ms", "it blinks"]);
}
