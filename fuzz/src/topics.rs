//! Topics: parse and build.

use kaa_proto::mqtt::filter;
use kaa_proto::topic::{Topic, address, shortened};

/// A text that parses as a 1/KP topic is built again to what parses the same, its address is the
/// one that the short cut finds, and no filter or topic function panics on any text.
///
/// # Panics
/// If that does not hold.
pub fn topic(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (left, right) = text.split_once('\n').unwrap_or((text, text));
    let _ = filter::matches(left, right);
    if filter::check_topic(text).is_ok() {
        assert!(filter::matches(text, text), "a topic is a filter of itself");
    }
    let _ = shortened(text);
    let Ok(parsed) = Topic::parse(text) else {
        return;
    };
    let built = parsed.to_wire();
    assert_eq!(Topic::parse(&built), Ok(parsed));
    assert_eq!(built, text, "nothing is lost");
    assert_eq!(
        address(text),
        Some((parsed.app_version(), parsed.token())),
        "the short cut finds the same"
    );
}
