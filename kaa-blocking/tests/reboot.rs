//! The example that reboots, as a newcomer runs it.

use kaa_tests::example::{example, transcript};

const TRANSCRIPT: &str = "\
device: up, 0 interrupted
device: asked to reboot
device: up, 1 interrupted
device: asked to reboot, which it has done
platform: the result is 200
";

#[test]
fn a_device_reboots_once_and_answers_when_it_is_up_again() -> std::io::Result<()> {
    let output = example("reboot").output()?;
    assert_eq!(transcript(&output), TRANSCRIPT);
    Ok(())
}
