//! Topics and names: what is built is what is read, whatever it is built of; and what is refused is what the
//! rules refuse, which stand here a second time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod choices;

use kaa_proto::mqtt::filter;
use kaa_proto::names::{
    AppVersion, CommandType, ConfigName, EndpointName, EndpointToken, Extension, MAX_NAME_LEN,
    MetadataKey, Metric,
};
use kaa_proto::topic::{MAX_PARSED_ID, Suffix, Topic, address, shortened};
use proptest::prelude::*;

/// Texts that are names, nearly names, and anything.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9_-]{1,12}",
        2 => "[0-9]{1,11}",
        2 => prop::sample::select(vec!["status", "error", "json", "", "0", "007", "+7", "kp1", "."])
            .prop_map(String::from),
        2 => "[/+#.a ]{1,4}",
        2 => "\\PC{1,6}",
        1 => any::<String>(),
        1 => (8_190_usize..8_195).prop_map(|len| "x".repeat(len)),
        1 => prop::sample::select(vec!["\0", "\u{1f}", "\u{85}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"])
            .prop_map(|c| format!("a{c}b")),
    ]
}

/// A resource of no to five levels.
fn resource() -> impl Strategy<Value = String> {
    prop::collection::vec(text(), 0..6).prop_map(|levels| levels.join("/"))
}

fn suffix() -> impl Strategy<Value = Option<Suffix>> {
    prop::sample::select(vec![None, Some(Suffix::Status), Some(Suffix::Error)])
}

fn id() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![
        Just(None),
        Just(Some(0)),
        Just(Some(MAX_PARSED_ID)),
        (1..=MAX_PARSED_ID).prop_map(Some)
    ]
}

/// One level of a topic that may be sent (MQTT-4.7.1, MQTT-1.5.3).
fn is_level(text: &str) -> bool {
    let is_noncharacter =
        |c: char| ('\u{fdd0}'..='\u{fdef}').contains(&c) || u32::from(c) % 0x1_0000 >= 0xfffe;
    let may_stand = |c: char| !"/+#".contains(c) && !c.is_control() && !is_noncharacter(c);
    !text.is_empty() && text.len() <= MAX_NAME_LEN && text.chars().all(may_stand)
}

/// What would be read as an ID or a suffix in the last level (FACTS traps 1 and 3).
fn is_ambiguous(text: &str) -> bool {
    text.chars().all(|c| "0123456789".contains(c)) || text == "status" || text == "error"
}

fn all_of(text: &str, others: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    text.chars().all(allowed)
}

proptest! {
    #![proptest_config(choices::cases(10_000))]

    #[test]
    fn a_name_is_taken_if_and_only_if_it_keeps_the_rules(text in text()) {
        let level = is_level(&text);
        let last = level && !is_ambiguous(&text);
        let rules = [
            (AppVersion::new(&text).is_ok(), level),
            (Extension::new(&text).is_ok(), level),
            (EndpointToken::new(&text).is_ok(), level && !text.contains('.')),
            (CommandType::new(&text).is_ok(), last),
            (Metric::new(&text).is_ok(), last),
            (ConfigName::new(&text).is_ok(), last && all_of(&text, "_-")),
            (MetadataKey::new(&text).is_ok(), level && all_of(&text, "_")),
        ];
        for (index, (taken, expected)) in rules.into_iter().enumerate() {
            prop_assert_eq!(taken, expected, "rule {} of {:?}", index, &text);
        }
    }

    #[test]
    fn a_name_that_is_taken_is_kept_as_it_is(text in text()) {
        if let Ok(name) = CommandType::new(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert_eq!(text.parse::<CommandType>(), Ok(name));
        }
        if let Ok(token) = EndpointToken::new(&text) {
            prop_assert_eq!(token.as_str(), &text);
            let shown = text.chars().count() / 3;
            prop_assert!(token.shortened().chars().count() <= shown.min(3) + 1);
        }
    }

    #[test]
    fn a_topic_of_valid_parts_is_read_as_what_it_was_built_of(
        version in text(), extension in text(), token in text(),
        resource in resource(), id in id(), suffix in suffix(),
    ) {
        let name = EndpointName::parse(&version, &token);
        let (Ok(name), Ok(extension)) = (name, Extension::new(&extension)) else {
            return Ok(());
        };
        let levels: Vec<_> = resource.split('/').collect();
        let is_valid = levels.iter().all(|level| is_level(level)) && !is_ambiguous(levels[levels.len() - 1]);
        let topic = Topic::new(&name, &extension, &resource);
        prop_assert_eq!(topic.is_ok(), is_valid || resource.is_empty());
        let Ok(topic) = topic else {
            return Ok(());
        };
        let topic = topic.with_id(id).with_suffix(suffix);
        let wire = topic.to_wire();
        let read = Topic::parse(&wire).unwrap();
        prop_assert_eq!(read, topic);
        prop_assert_eq!(read.app_version(), name.app_version().as_str());
        prop_assert_eq!(read.extension(), extension.as_str());
        prop_assert_eq!(read.token(), name.token().as_str());
        prop_assert_eq!((read.resource(), read.id(), read.suffix()), (&*resource, id, suffix));
        prop_assert_eq!(address(&wire), Some((name.app_version().as_str(), name.token().as_str())));
        prop_assert!(filter::check_topic(&wire).is_ok() || wire.len() > 65_535);
    }

    #[test]
    fn whatever_is_read_as_a_topic_is_written_as_it_came(
        levels in prop::collection::vec(text(), 0..8), is_ours in any::<bool>(),
    ) {
        let prefix = if is_ours { "kp1/" } else { "" };
        let wire = prefix.to_owned() + &levels.join("/");
        if let Ok(topic) = Topic::parse(&wire) {
            prop_assert_eq!(topic.to_wire(), wire.clone());
            prop_assert_eq!(topic.levels().collect::<Vec<_>>().join("/"), topic.resource());
        }
        let _ = (address(&wire), shortened(&wire));
    }

    #[test]
    fn a_token_is_never_shown_whole(token in "[A-Za-z0-9]{6,20}", rest in resource()) {
        let wire = format!("kp1/v/dcx/{token}/{rest}");
        if rest.contains(&token) {
            return Ok(());
        }
        prop_assert!(!shortened(&wire).contains(&token));
        if let Ok(topic) = Topic::parse(&wire) {
            let shown = format!("{topic:?} {}", topic.shortened());
            prop_assert!(!shown.contains(&token), "{}", shown);
        }
    }

    #[test]
    fn filters_match_as_a_level_by_level_reading_does(
        filter in prop::collection::vec(prop::sample::select(vec!["a", "b", "+", "#", "", "$s", "é"]), 1..5),
        topic in prop::collection::vec(prop::sample::select(vec!["a", "b", "", "$s", "é"]), 1..5),
    ) {
        let (text, topic_text) = (filter.join("/"), topic.join("/"));
        let hashes_are_last = filter.iter().rev().skip(1).all(|level| *level != "#");
        let is_hidden = topic[0].starts_with('$') && matches!(filter[0], "+" | "#");
        let expected = !text.is_empty() && !topic_text.is_empty() && hashes_are_last && !is_hidden
            && covers(&filter, &topic);
        prop_assert_eq!(filter::matches(&text, &topic_text), expected, "{:?} on {:?}", text, topic_text);
    }
}

/// MQTT 3.1.1 section 4.7.1, as it stands there.
fn covers(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => covers(filter, topic),
        ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && covers(filter, topic),
        _ => false,
    }
}
