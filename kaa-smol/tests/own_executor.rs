//! The example `own_executor` as a newcomer runs it.

use kaa_tests::example::{example, transcript};

#[test]
fn a_driver_on_an_executor_of_ones_own_serves_and_ends_with_the_client() -> std::io::Result<()> {
    let output = example("own_executor").output()?;
    let expected = "processed\n0 left unfinished\nthe driver has ended\n";
    assert_eq!(transcript(&output), expected);
    Ok(())
}
