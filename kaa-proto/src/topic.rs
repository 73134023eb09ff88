//! The 1/KP topic grammar, for either role.
//!
//! ```text
//! kp1/{app_version}/{extension}/{token}[/{resource…}][/{request_id}][/status|/error]
//!  0        1            2         3
//! ```
//!
//! The first four levels are positional: level 3 is the token whatever it looks like. The rest
//! is read from the right: a suffix, then an ID, then the resource (FACTS traps 2 and 4). An ID
//! is a canonical decimal number from 0 to 2,147,483,647; `007` or a larger number is a level of
//! the resource. Topics are compared by levels, never by string prefix (FACTS trap 6).
//!
//! ```
//! use kaa_proto::topic::{Suffix, Topic};
//!
//! let topic = Topic::parse("kp1/demo-v1/cmx/JTjdbENzHh/config/json/42/status")?;
//! assert_eq!(topic.resource(), "config/json");
//! assert_eq!(topic.id(), Some(42));
//! assert_eq!(topic.suffix(), Some(Suffix::Status));
//! # Ok::<(), kaa_proto::topic::TopicError>(())
//! ```

use std::fmt;

mod levels;

use levels::{Levels, MAX_DIGITS, parse_id, split_last, write_id};

use crate::names::{EndpointName, Extension, NameProblem, check_level, shorten, unambiguous};

/// The largest request ID that is read as one: IDs are signed 32-bit inside the platform (4/ESP).
pub const MAX_PARSED_ID: u32 = i32::MAX as u32;

/// The longest topic in bytes (MQTT-1.5.3).
pub const MAX_TOPIC_LEN: usize = 65_535;

/// What an answer's topic ends in (1/KP "Response topic").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suffix {
    /// `/status`: a success, or a push.
    Status,
    /// `/error`: a failure.
    Error,
}

impl Suffix {
    /// The level as it stands in the topic.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Error => "error",
        }
    }
}

/// A topic taken apart. The parts borrow from it.
///
/// `Debug` shortens the token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Topic<'a> {
    app_version: &'a str,
    extension: &'a str,
    token: &'a str,
    resource: &'a str,
    id: Option<u32>,
    suffix: Option<Suffix>,
}

impl<'a> Topic<'a> {
    /// The topic of a request without ID. `resource` has no leading slash and may be empty.
    ///
    /// # Errors
    /// [`TopicError`] if `resource` has a level that is empty, holds a reserved character, or
    /// if its last level would be read as an ID or a suffix.
    pub fn new(
        name: &'a EndpointName,
        extension: &'a Extension,
        resource: &'a str,
    ) -> Result<Self, TopicError> {
        check_resource(resource)?;
        Ok(Self::of_valid(name, extension, resource))
    }

    /// As [`Topic::new`], for a resource that was checked before.
    pub(crate) fn of_valid(
        name: &'a EndpointName,
        extension: &'a Extension,
        resource: &'a str,
    ) -> Self {
        Self {
            app_version: name.app_version().as_str(),
            extension: extension.as_str(),
            token: name.token().as_str(),
            resource,
            id: None,
            suffix: None,
        }
    }

    /// Takes a topic apart.
    ///
    /// # Errors
    /// [`TopicError`] if it is not a 1/KP topic; it says which level is wrong and why.
    pub fn parse(topic: &'a str) -> Result<Self, TopicError> {
        let mut levels = Levels::of(topic);
        if levels.next() != Some("kp1") {
            return Err(TopicError {
                level: 0,
                problem: TopicProblem::NotKaa,
            });
        }
        let mut level = |level| match levels.next() {
            None => Err(TopicError {
                level,
                problem: TopicProblem::Missing,
            }),
            Some("") => Err(TopicError::name(level, NameProblem::Empty)),
            Some(found) => Ok(found),
        };
        let (app_version, extension, token) = (level(1)?, level(2)?, level(3)?);
        let Some(rest) = levels.rest() else {
            return Ok(Self {
                app_version,
                extension,
                token,
                resource: "",
                id: None,
                suffix: None,
            });
        };
        if let Some(index) = levels.first_empty() {
            return Err(TopicError::name(4 + index, NameProblem::Empty));
        }
        let (suffix, rest) = match split_last(rest) {
            (before, "status") => (Some(Suffix::Status), before),
            (before, "error") => (Some(Suffix::Error), before),
            _ => (None, rest),
        };
        let (before, last) = split_last(rest);
        let id = parse_id(last);
        let resource = if id.is_some() { before } else { rest };
        Ok(Self {
            app_version,
            extension,
            token,
            resource,
            id,
            suffix,
        })
    }

    /// This topic with an ID.
    #[must_use]
    pub const fn with_id(mut self, id: Option<u32>) -> Self {
        self.id = id;
        self
    }

    /// This topic with a suffix.
    #[must_use]
    pub const fn with_suffix(mut self, suffix: Option<Suffix>) -> Self {
        self.suffix = suffix;
        self
    }

    /// The application version (level 1).
    #[must_use]
    pub const fn app_version(&self) -> &'a str {
        self.app_version
    }

    /// The extension instance (level 2).
    #[must_use]
    pub const fn extension(&self) -> &'a str {
        self.extension
    }

    /// The endpoint token (level 3). A secret.
    #[must_use]
    pub const fn token(&self) -> &'a str {
        self.token
    }

    /// The levels between the token and the ID, without a leading slash; may be empty.
    #[must_use]
    pub const fn resource(&self) -> &'a str {
        self.resource
    }

    /// The levels of the resource.
    pub fn levels(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.resource
            .split('/')
            .filter(|_| !self.resource.is_empty())
    }

    /// The request ID. 0 is read as an ID although no client may use it (FACTS trap 15).
    #[must_use]
    pub const fn id(&self) -> Option<u32> {
        self.id
    }

    /// `/status`, `/error`, or neither: then it is a request.
    #[must_use]
    pub const fn suffix(&self) -> Option<Suffix> {
        self.suffix
    }

    /// Appends the topic as it goes on the wire, with the whole token.
    pub fn write_to(&self, out: &mut String) {
        let names = self.app_version.len() + self.extension.len() + self.token.len();
        out.reserve(names + self.resource.len() + MAX_REST);
        for level in [
            "kp1/",
            self.app_version,
            "/",
            self.extension,
            "/",
            self.token,
        ] {
            out.push_str(level);
        }
        if !self.resource.is_empty() {
            out.push('/');
            out.push_str(self.resource);
        }
        if let Some(id) = self.id {
            let mut digits = [b'/'; MAX_DIGITS + 1];
            out.push_str(write_id(id, &mut digits));
        }
        if let Some(suffix) = self.suffix {
            out.push('/');
            out.push_str(suffix.as_str());
        }
    }

    /// The topic as it goes on the wire, with the whole token.
    #[must_use]
    pub fn to_wire(&self) -> String {
        let mut out = String::new();
        self.write_to(&mut out);
        out
    }

    /// The topic with the token shortened, for logs.
    #[must_use]
    pub fn shortened(&self) -> String {
        Topic {
            token: &shorten(self.token),
            ..*self
        }
        .to_wire()
    }
}

impl fmt::Debug for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({})", self.shortened())
    }
}

/// Which of many endpoints a message is for: its application version and token. Looks at the
/// first four levels only.
#[must_use]
pub fn address(topic: &str) -> Option<(&str, &str)> {
    let mut levels = Levels::of(topic);
    if levels.next()? != "kp1" {
        return None;
    }
    let app_version = levels.next()?;
    levels.next()?;
    let token = levels.next()?;
    (!app_version.is_empty() && !token.is_empty()).then_some((app_version, token))
}

/// Any topic with what stands in the token's place shortened, for logs.
#[must_use]
pub fn shortened(topic: &str) -> String {
    // One piece: a topic of 64 KiB may have as many levels.
    let mut text = String::with_capacity(topic.len());
    for (index, level) in topic.split('/').enumerate() {
        text.push_str(if index > 0 { "/" } else { "" });
        match index {
            3 => text.push_str(&shorten(level)),
            _ => text.push_str(level),
        }
    }
    text
}

/// A topic of the peer, which may be anything, as it is told to people: the token is shortened
/// where tokens stand, and every level of what is not 1/KP, where it may stand anywhere.
#[cfg(any(feature = "connection", feature = "tracing"))]
pub(crate) fn shown(topic: &str) -> String {
    match address(topic) {
        Some(_) => cut(&shortened(topic)),
        None => cut(&topic.split('/').map(shorten).collect::<Vec<_>>().join("/")),
    }
}

/// As much of a text of the peer as is told: it may send topics of 64 KiB.
pub(crate) fn cut(text: &str) -> String {
    const MAX_SHOWN: usize = 256;
    let ends = |end: &usize| text.is_char_boundary(*end);
    let end = (0..=text.len().min(MAX_SHOWN)).rev().find(ends);
    text.get(..end.unwrap_or_default())
        .unwrap_or_default()
        .into()
}

/// What a topic has beside its names and its resource, at most.
pub(crate) const MAX_REST: usize = "kp1/////".len() + MAX_DIGITS + "/status".len();

/// Checks a resource path: no leading slash; empty is no level at all.
pub(crate) fn check_resource(resource: &str) -> Result<(), TopicError> {
    if resource.is_empty() {
        return Ok(());
    }
    let mut last = 3;
    for (index, level) in resource.split('/').enumerate() {
        last = index + 4;
        if let Some(problem) = check_level(level) {
            return Err(TopicError::name(last, problem));
        }
    }
    match unambiguous(split_last(resource).1) {
        Some(problem) => Err(TopicError::name(last, problem)),
        None => Ok(()),
    }
}

/// A topic or a resource path that is not one. The level's text is not repeated: it may be a
/// secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicError {
    level: usize,
    problem: TopicProblem,
}

impl TopicError {
    const fn name(level: usize, problem: NameProblem) -> Self {
        Self {
            level,
            problem: TopicProblem::Level(problem),
        }
    }

    /// The level that is wrong, counted from 0 at `kp1`.
    #[must_use]
    pub const fn level(&self) -> usize {
        self.level
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn problem(&self) -> TopicProblem {
        self.problem
    }
}

/// What is wrong with a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicProblem {
    /// Level 0 is not `kp1`.
    NotKaa,
    /// The topic ends before it.
    Missing,
    /// The level cannot be one.
    Level(NameProblem),
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.level {
            0 => "protocol prefix",
            1 => "application version",
            2 => "extension",
            3 => "endpoint token",
            _ => "resource",
        };
        write!(f, "topic level {} ({part}) ", self.level)?;
        match self.problem {
            TopicProblem::NotKaa => f.write_str("is not \"kp1\""),
            TopicProblem::Missing => f.write_str("is missing"),
            TopicProblem::Level(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for TopicError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest(topic: &str) -> (&str, Option<u32>, Option<Suffix>) {
        let topic = Topic::parse(topic).unwrap();
        (topic.resource(), topic.id(), topic.suffix())
    }

    /// FACTS trap 2: level 3 is the token even if it is a number and the last level.
    #[test]
    fn trap_02_a_numeric_token_is_never_an_id() {
        let topic = Topic::parse("kp1/v/tsx/356938035643809").unwrap();
        assert_eq!(
            (topic.token(), topic.resource(), topic.id()),
            ("356938035643809", "", None)
        );
        let topic = Topic::parse("kp1/v/tsx/42/7/status").unwrap();
        assert_eq!(
            (topic.token(), topic.resource(), topic.id()),
            ("42", "", Some(7))
        );
        assert_eq!(
            rest("kp1/v/tsx/42/status"),
            ("", None, Some(Suffix::Status))
        );
    }

    /// FACTS trap 4.
    #[test]
    fn trap_04_topics_are_read_from_the_right() {
        use Suffix::{Error, Status};
        assert_eq!(
            rest("kp1/v/cmx/t/config/json/status"),
            ("config/json", None, Some(Status))
        );
        assert_eq!(
            rest("kp1/v/cmx/t/config/json/7/status"),
            ("config/json", Some(7), Some(Status))
        );
        assert_eq!(
            rest("kp1/v/cmx/t/config/json/net/status"),
            ("config/json/net", None, Some(Status))
        );
        assert_eq!(
            rest("kp1/v/cmx/t/config/json/net/7/error"),
            ("config/json/net", Some(7), Some(Error))
        );
        assert_eq!(
            rest("kp1/v/cmx/t/config/json/status/status").0,
            "config/json/status"
        );
    }

    /// FACTS trap 6.
    #[test]
    fn trap_06_prefixes_are_different_resources() {
        assert_eq!(
            rest("kp1/v/epmx/t/get/4/status"),
            ("get", Some(4), Some(Suffix::Status))
        );
        assert_eq!(rest("kp1/v/epmx/t/get/keys/4/status").0, "get/keys");
        assert_ne!(
            rest("kp1/v/dcx/t/json/4/status"),
            rest("kp1/v/dcx/t/json/42/status")
        );
    }

    /// FACTS trap 15, and the bound of the platform's own type.
    #[test]
    fn trap_15_zero_and_large_ids_are_read() {
        assert_eq!(rest("kp1/v/epmx/t/get/0/status").1, Some(0));
        assert_eq!(rest("kp1/v/epmx/t/get/2147483647").1, Some(2_147_483_647));
        assert_eq!(
            rest("kp1/v/epmx/t/get/2147483648"),
            ("get/2147483648", None, None)
        );
        for not_canonical in ["007", "+7", "-7", "7a", " 7", "٧"] {
            let topic = format!("kp1/v/epmx/t/get/{not_canonical}");
            assert_eq!(Topic::parse(&topic).unwrap().id(), None, "{not_canonical}");
        }
    }

    #[test]
    fn an_error_names_the_level_and_the_reason() {
        let error = |topic| Topic::parse(topic).unwrap_err();
        assert_eq!(
            error("cm1/v/dcx/t/json").to_string(),
            "topic level 0 (protocol prefix) is not \"kp1\""
        );
        assert_eq!(
            error("kp1/v").to_string(),
            "topic level 2 (extension) is missing"
        );
        assert_eq!(
            error("kp1//dcx/t").to_string(),
            "topic level 1 (application version) is empty"
        );
        assert_eq!(
            error("kp1/v/dcx/").to_string(),
            "topic level 3 (endpoint token) is empty"
        );
        assert_eq!(
            error("kp1/v/dcx/t/").to_string(),
            "topic level 4 (resource) is empty"
        );
        assert_eq!(error("kp1/v/dcx/t//42").level(), 4);
        assert_eq!(error("kp1/v/dcx/t/json//status").level(), 5);
        assert_eq!(error("").level(), 0);
        assert_eq!(error("").problem(), TopicProblem::NotKaa);
        let name = EndpointName::parse("v", "t").unwrap();
        let dcx = Extension::new("dcx").unwrap();
        let error = |resource| Topic::new(&name, &dcx, resource).unwrap_err().to_string();
        assert_eq!(
            error("plain/42"),
            "topic level 5 (resource) is purely numeric, which reads as a request ID"
        );
        assert_eq!(error("json/"), "topic level 5 (resource) is empty");
        assert_eq!(
            error("a/+/b"),
            "topic level 5 (resource) holds the character '+'"
        );
        assert!(error("plain/error").contains("mark an answer"));
    }

    #[test]
    fn what_is_built_is_what_is_parsed() {
        let name = EndpointName::parse("v", "t").unwrap();
        let ext = Extension::new("tsx").unwrap();
        for resource in ["", "json", "config/json/net", "a/1/b"] {
            for id in [None, Some(1), Some(99_999)] {
                for suffix in [None, Some(Suffix::Status), Some(Suffix::Error)] {
                    let topic = Topic::new(&name, &ext, resource)
                        .unwrap()
                        .with_id(id)
                        .with_suffix(suffix);
                    assert_eq!(Topic::parse(&topic.to_wire()).unwrap(), topic);
                }
            }
        }
    }

    #[test]
    fn the_address_is_found_without_reading_the_rest() {
        assert_eq!(address("kp1/v/dcx/t/json/1"), Some(("v", "t")));
        assert_eq!(address("kp1/v/tsx/t"), Some(("v", "t")));
        for other in ["", "kp1", "kp1/v/dcx", "kp1/v/dcx/", "kp2/v/dcx/t"] {
            assert_eq!(address(other), None, "{other}");
        }
    }

    #[test]
    fn a_token_is_shortened_where_it_is_shown() {
        let wire = "kp1/demo-v1/dcx/JTjdbENzHh/json/1";
        assert_eq!(shortened(wire), "kp1/demo-v1/dcx/JTj…/json/1");
        assert_eq!(
            format!("{:?}", Topic::parse(wire).unwrap()),
            "Topic(kp1/demo-v1/dcx/JTj…/json/1)"
        );
    }

    #[cfg(any(feature = "connection", feature = "tracing"))]
    #[test]
    fn what_is_no_topic_of_ours_shows_no_level_whole() {
        let cases = [
            ("kp1/v/dcx/JTjdbENzHh/json/x", "kp1/v/dcx/JTj…/json/x"),
            ("kp1//dcx/JTjdbENzHh", "k…/…/d…/JTj…"),
            ("JTjdbENzHh", "JTj…"),
            ("gateway/secret", "ga…/se…"),
        ];
        for (topic, expected) in cases {
            assert_eq!(shown(topic), expected);
        }
        assert!((254..=256).contains(&shown(&"/".repeat(999)).len()));
    }

    #[test]
    fn no_input_panics() {
        for topic in [
            "/",
            "//////",
            "kp1/é/ü/ñ/ö/ß",
            "kp1/a/b/c/",
            "kp1/a/b/c//status",
            "é",
        ] {
            let _ = Topic::parse(topic);
            let _ = address(topic);
            let _ = shortened(topic);
        }
    }

    #[test]
    fn beside_names_and_resource_no_topic_has_more_than_it_is_given_room_for() {
        let wire = "kp1/v/e/t/r/4294967295/status";
        let topic = Topic::parse(&wire[..11]).unwrap();
        let longest = topic
            .with_id(Some(u32::MAX))
            .with_suffix(Some(Suffix::Status));
        assert_eq!(longest.to_wire(), wire);
        assert_eq!(wire.len() - "vetr".len(), MAX_REST);
    }
}
