//! Topic names and topic filters of MQTT 3.1.1 (section 4.7): what is one, and which filter
//! matches which topic.
//!
//! What is sent is checked more strictly than what is received. MQTT advises against control
//! characters and non-characters and lets a receiver close the link over them (section 1.5.3);
//! some brokers do. So they are never sent; but received they are let through, or one such
//! message would cost the link again and again.
//!
//! ```
//! use kaa_proto::mqtt::filter::matches;
//!
//! assert!(matches("kp1/+/dcx/#", "kp1/demo-v1/dcx/token/json/1/status"));
//! assert!(matches("a/#", "a"));
//! assert!(!matches("#", "$SYS/uptime"));
//! assert!(matches("$SYS/#", "$SYS/uptime"));
//! ```

use std::fmt;

use crate::names::is_noncharacter;
use crate::topic::MAX_TOPIC_LEN;

/// Whether `topic` may be published to.
///
/// # Errors
/// [`InvalidTopic`] if it is empty, longer than 65,535 bytes, or holds a wildcard, a control
/// character or a non-character.
pub fn check_topic(topic: &str) -> Result<(), InvalidTopic> {
    check_len(topic)?;
    let plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'+' && b != b'#';
    if topic.bytes().fold(true, |all, b| all & plain(b)) {
        return Ok(());
    }
    match topic.contains(['+', '#']) {
        true => Err(InvalidTopic::Wildcard),
        false => check_characters(topic),
    }
}

/// Whether `filter` may be subscribed to.
///
/// # Errors
/// [`InvalidTopic`] as for [`check_topic`], but wildcards may stand for a whole level, `#` for
/// the last one only (MQTT-4.7.1-2, MQTT-4.7.1-3).
pub fn check_filter(filter: &str) -> Result<(), InvalidTopic> {
    check_received_filter(filter)?;
    check_characters(filter)
}

/// Whether a message to `topic` is for a subscription to `filter`.
///
/// A filter that starts with a wildcard does not match a topic that starts with `$`
/// (MQTT-4.7.2-1). What is not a filter, or not a topic, matches nothing.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if check_received_filter(filter).is_err() || check_received_topic(topic).is_err() {
        return false;
    }
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            // Also the parent level itself: `a/#` matches `a`.
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Whether a received `topic` is one (MQTT-1.5.3-2, MQTT-3.3.2-2, MQTT-4.7.3-1).
pub(super) fn check_received_topic(topic: &str) -> Result<(), InvalidTopic> {
    check_len(topic)?;
    let forbidden = |b: u8| b == 0 || b == b'+' || b == b'#';
    if !topic.bytes().fold(false, |any, b| any | forbidden(b)) {
        return Ok(());
    }
    Err(match topic.contains('\0') {
        true => InvalidTopic::Character('\0'),
        false => InvalidTopic::Wildcard,
    })
}

/// Whether a received `filter` is one (MQTT-1.5.3-2, MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-1).
pub(super) fn check_received_filter(filter: &str) -> Result<(), InvalidTopic> {
    check_len(filter)?;
    if filter.contains('\0') {
        return Err(InvalidTopic::Character('\0'));
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let misplaced = match level {
            "+" => false,
            "#" => levels.peek().is_some(),
            level => level.contains(['+', '#']),
        };
        if misplaced {
            return Err(InvalidTopic::Wildcard);
        }
    }
    Ok(())
}

const fn check_len(topic: &str) -> Result<(), InvalidTopic> {
    match topic.len() {
        0 => Err(InvalidTopic::Empty),
        1..=MAX_TOPIC_LEN => Ok(()),
        _ => Err(InvalidTopic::TooLong),
    }
}

fn check_characters(topic: &str) -> Result<(), InvalidTopic> {
    match topic
        .chars()
        .find(|&c| c.is_control() || is_noncharacter(c))
    {
        Some(c) => Err(InvalidTopic::Character(c)),
        None => Ok(()),
    }
}

/// Why a text is not a topic name or not a topic filter. The text is not repeated: it may hold a
/// token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTopic {
    /// It has no characters (MQTT-4.7.3-1).
    Empty,
    /// It has more than 65,535 bytes (MQTT-4.7.3-3).
    TooLong,
    /// A `+` or `#` stands where none may.
    Wildcard,
    /// A character that has no place there (MQTT-1.5.3-2).
    Character(char),
}

impl fmt::Display for InvalidTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong => write!(f, "is longer than {MAX_TOPIC_LEN} bytes"),
            Self::Wildcard => f.write_str("has a wildcard where none may be"),
            Self::Character(c) => write!(f, "holds the character {c:?}"),
        }
    }
}

impl std::error::Error for InvalidTopic {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of MQTT 3.1.1 sections 4.7.1 to 4.7.3, and what other implementations got
    /// wrong.
    #[test]
    fn filters_match_as_the_standard_says() {
        let cases = [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/ranking",
                true,
            ),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/w",
                true,
            ),
            ("sport/tennis/player1/#", "sport/tennis/player10", false),
            ("sport/#", "sport", true),
            ("#", "sport", true),
            ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("+/tennis/#", "a/tennis", true),
            ("sport/+/player1", "sport/a/player1", true),
            ("sport/+/player1", "sport/a/b/player1", false),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/+", "$SYS/a", true),
            ("$SYS/#", "$SYS", true),
            ("a/+", "a/$b", true),
            ("ACCOUNTS", "Accounts", false),
            ("/finance", "finance", false),
            ("é", "a", false),
            ("a", "é", false),
            ("é/+", "é/ü", true),
            ("+", "\u{10FFFF}", true),
        ];
        for (filter, topic, expected) in cases {
            assert_eq!(matches(filter, topic), expected, "{filter} on {topic}");
        }
    }

    #[test]
    fn what_is_no_filter_or_no_topic_matches_nothing() {
        for (filter, topic) in [
            ("", ""),
            ("#", ""),
            ("", "a"),
            ("a+", "a+"),
            ("#/a", "b/a"),
            ("#", "a/+"),
            ("a\0", "a\0"),
            ("+", "a\0"),
        ] {
            assert!(!matches(filter, topic), "{filter:?} on {topic:?}");
        }
    }

    #[test]
    fn wildcards_stand_for_whole_levels_only() {
        for filter in ["#", "+", "+/+", "a/+/b", "a/#", "/", "/+/#", "$SYS/#", "é"] {
            assert_eq!(check_filter(filter), Ok(()), "{filter}");
        }
        for filter in ["a+", "+a", "a#", "#a", "#/a", "a/#/b", "##", "++", "a/b+/c"] {
            assert_eq!(
                check_filter(filter),
                Err(InvalidTopic::Wildcard),
                "{filter}"
            );
        }
        for topic in ["a+", "a/#", "+", "++", "a/+/#", "a\u{1}+"] {
            assert_eq!(check_topic(topic), Err(InvalidTopic::Wildcard), "{topic}");
            assert!(check_received_topic(topic).is_err(), "{topic}");
        }
    }

    #[test]
    fn lengths_are_counted_in_bytes() {
        let (longest, too_long) = ("é".repeat(32_767) + "a", "é".repeat(32_768));
        for check in [check_topic, check_filter, check_received_topic] {
            assert_eq!(check(""), Err(InvalidTopic::Empty));
            assert_eq!(check(&longest), Ok(()));
            assert_eq!(check(&too_long), Err(InvalidTopic::TooLong));
        }
    }

    #[test]
    fn control_characters_are_received_but_not_sent_and_nul_neither() {
        for c in [
            '\u{1}', '\u{1f}', '\u{7f}', '\u{9f}', '\u{fdd0}', '\u{ffff}',
        ] {
            let topic = format!("a/{c}");
            assert_eq!(check_topic(&topic), Err(InvalidTopic::Character(c)));
            assert_eq!(check_filter(&topic), Err(InvalidTopic::Character(c)));
            assert_eq!(check_received_topic(&topic), Ok(()));
            assert_eq!(check_received_filter(&topic), Ok(()));
        }
        for check in [check_topic, check_filter, check_received_topic] {
            assert_eq!(check("a\0"), Err(InvalidTopic::Character('\0')));
        }
        assert_eq!(check_topic("датчик/𝄞/ ~"), Ok(()));
    }
}
