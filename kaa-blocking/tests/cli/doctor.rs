//! `kaa doctor`, ended by a signal; what it says of platforms is in `doctor_link`.

use crate::kit::Kit;

#[test]
fn a_signal_ends_the_watch_for_a_push() {
    let kit = Kit::new();
    let doctor = kit.start(&["doctor", "--watch", "30m"]);
    doctor.word("it is waited for");
    doctor.signal("-INT");
    let (code, said) = doctor.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(!said.contains("push-style"), "{said}");
    assert!(!said.contains("well"), "{said}");
}
