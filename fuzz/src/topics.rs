//! Topics and names: parse and build.

use kaa_proto::mqtt::filter;
use kaa_proto::names::{
    AppVersion, CommandType, ConfigName, EndpointName, EndpointToken, Extension, MetadataKey,
    Metric,
};
use kaa_proto::topic::{Suffix, Topic, address, shortened};

/// A text that parses as a 1/KP topic is built again to what parses the same, its address is the
/// one that the short cut finds, and no filter or topic function panics on any text. Names that are
/// taken make a topic that may be sent, that is read as what it was made of, and that shows no token.
///
/// Lines of the input are a topic and a filter; or a version, an extension, a token, a resource and a
/// number.
///
/// # Panics
/// If that does not hold.
pub fn topics(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (left, right) = text.split_once('\n').unwrap_or((text, text));
    let _ = filter::matches(left, right);
    if filter::check_topic(text).is_ok() {
        assert!(filter::matches(text, text), "a topic is a filter of itself");
    }
    let lines: Vec<_> = text.split('\n').collect();
    if let [version, extension, token, resource, number] = lines[..] {
        build(version, extension, token, resource, number.parse().ok());
    }
    names(left);
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

/// Builds a topic of parts, if they are names, and reads it.
fn build(version: &str, extension: &str, token: &str, resource: &str, number: Option<u32>) {
    let (Ok(name), Ok(extension)) = (
        EndpointName::parse(version, token),
        Extension::new(extension),
    ) else {
        return;
    };
    let Ok(topic) = Topic::new(&name, &extension, resource) else {
        return;
    };
    let id = number.filter(|id| *id <= kaa_proto::topic::MAX_PARSED_ID);
    for suffix in [None, Some(Suffix::Status), Some(Suffix::Error)] {
        let topic = topic.with_id(id).with_suffix(suffix);
        let wire = topic.to_wire();
        assert_eq!(Topic::parse(&wire), Ok(topic), "{wire:?}");
        assert!(
            filter::check_topic(&wire).is_ok(),
            "{wire:?} may not be sent"
        );
        let levels = topic.levels().count();
        assert_eq!(
            levels,
            resource
                .split('/')
                .filter(|level| !level.is_empty())
                .count()
        );
        let all = format!("kp1/{version}/{}/{token}/#", extension.as_str());
        assert!(filter::matches(&all, &wire));
    }
}

/// A name is taken as a whole or refused, and what is more strict takes nothing that others refuse.
fn names(text: &str) {
    let version = AppVersion::new(text);
    let taken = [
        EndpointToken::new(text).map(|name| String::from(name.as_str())),
        CommandType::new(text).map(|name| name.to_string()),
        ConfigName::new(text).map(|name| name.to_string()),
        MetadataKey::new(text).map(|name| name.to_string()),
        Metric::new(text).map(|name| name.to_string()),
    ];
    for name in taken.into_iter().flatten() {
        assert_eq!(name, text);
        assert!(version.is_ok(), "{text:?}");
        assert!(!text.is_empty() && !text.contains(['/', '+', '#', '\0']));
    }
}
