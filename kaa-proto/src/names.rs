//! Validated names: what stands in the levels of a 1/KP topic and in metadata.
//!
//! Every name is checked once, here, when it enters the program; afterwards no topic can be
//! built that the platform would read differently. Refused are characters that MQTT reserves
//! (`/`, `+`, `#`), control characters, and names that are ambiguous on the wire: a purely
//! numeric last level is a request ID (1/KP "Request ID"), `status` and `error` mark an answer.
//!
//! ```
//! use kaa_proto::names::{CommandType, NameProblem};
//!
//! assert!(CommandType::new("switch-light").is_ok());
//! assert_eq!(CommandType::new("42").unwrap_err().problem(), NameProblem::Numeric);
//! assert_eq!(CommandType::new("status").unwrap_err().problem(), NameProblem::Reserved);
//! ```

use std::fmt;
use std::sync::Arc;

/// The longest name in bytes. Six names and their separators always fit an MQTT topic
/// (65,535 bytes).
pub const MAX_NAME_LEN: usize = 8_192;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `name` and takes a copy of it.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it; nothing else is affected.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                let check: fn(&str) -> Option<NameProblem> = $check;
                match check_level(name).or_else(|| check(name)) {
                    None => Ok(Self(name.into())),
                    Some(problem) => Err(NameError { kind: NameKind::$kind, problem }),
                }
            }

            /// The name as it stands in a topic.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }
    };
}

macro_rules! shown {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

name! {
    /// The application version an endpoint is registered in, such as
    /// `clpg49rml4es7380a2bg-v1`.
    ///
    /// Only what a topic level cannot hold is refused: real ones contain dots and underscores
    /// although the documented character set has neither.
    AppVersion, AppVersion, |_| None
}

name! {
    /// The secret that names an endpoint to the platform, such as a random string or a serial
    /// number. It may be purely numeric; it holds no dot.
    ///
    /// `Debug` shows its first characters only, and there is no `Display`.
    EndpointToken, EndpointToken, |name| name.contains('.').then_some(NameProblem::Character('.'))
}

name! {
    /// The name of an extension instance: `dcx`, `epmx`, `cex`, `cmx`, `cmx_ota`, `bcx` or what
    /// a deployment calls it.
    Extension, Extension, |_| None
}

name! {
    /// The type of a command, such as `reboot` or `switch-light`.
    CommandType, CommandType, unambiguous
}

name! {
    /// The name of a named configuration (`^[a-zA-Z0-9_-]+$`, 7/CMP).
    ConfigName, ConfigName, |name| only(name, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        .or_else(|| unambiguous(name))
}

name! {
    /// The key of a metadata attribute (`^[a-zA-Z0-9_]+$`, case-sensitive, 10/EPMP).
    MetadataKey, MetadataKey, |name| only(name, |c| c.is_ascii_alphanumeric() || c == '_')
}

name! {
    /// The metric of a plain telemetry sample, such as `temperature`.
    Metric, Metric, unambiguous
}

shown! { AppVersion Extension CommandType ConfigName MetadataKey Metric }

impl Extension {
    /// A name that is known to be valid.
    pub(crate) fn literal(name: &'static str) -> Self {
        Self(name.into())
    }
}

impl EndpointToken {
    /// The token cut to what may be shown in a log.
    #[must_use]
    pub fn shortened(&self) -> String {
        shorten(&self.0)
    }
}

impl fmt::Debug for EndpointToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointToken({})", self.shortened())
    }
}

/// Who speaks: an application version and the token of one endpoint in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName {
    app_version: AppVersion,
    token: EndpointToken,
}

impl EndpointName {
    /// The endpoint of `token` in `app_version`.
    #[must_use]
    pub const fn new(app_version: AppVersion, token: EndpointToken) -> Self {
        Self { app_version, token }
    }

    /// Checks both parts.
    ///
    /// # Errors
    /// [`NameError`] names the part that is wrong and why.
    pub fn parse(app_version: &str, token: &str) -> Result<Self, NameError> {
        Ok(Self::new(
            AppVersion::new(app_version)?,
            EndpointToken::new(token)?,
        ))
    }

    /// The application version.
    #[must_use]
    pub const fn app_version(&self) -> &AppVersion {
        &self.app_version
    }

    /// The endpoint token.
    #[must_use]
    pub const fn token(&self) -> &EndpointToken {
        &self.token
    }
}

/// `version/JTj…`: the token is shortened.
impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app_version, self.token.shortened())
    }
}

impl fmt::Debug for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointName({self})")
    }
}

/// A name that cannot be one. The value itself is not repeated: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError {
    kind: NameKind,
    problem: NameProblem,
}

impl NameError {
    /// Which name.
    #[must_use]
    pub const fn kind(&self) -> NameKind {
        self.kind
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn problem(&self) -> NameProblem {
        self.problem
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NameKind::AppVersion => "application version",
            NameKind::EndpointToken => "endpoint token",
            NameKind::Extension => "extension name",
            NameKind::CommandType => "command type",
            NameKind::ConfigName => "configuration name",
            NameKind::MetadataKey => "metadata key",
            NameKind::Metric => "metric",
        };
        write!(f, "{kind} {}", self.problem)
    }
}

impl std::error::Error for NameError {}

/// Which name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// An [`AppVersion`].
    AppVersion,
    /// An [`EndpointToken`].
    EndpointToken,
    /// An [`Extension`].
    Extension,
    /// A [`CommandType`].
    CommandType,
    /// A [`ConfigName`].
    ConfigName,
    /// A [`MetadataKey`].
    MetadataKey,
    /// A [`Metric`].
    Metric,
}

/// Why a name or a topic level was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameProblem {
    /// It has no characters.
    Empty,
    /// It has more than [`MAX_NAME_LEN`] bytes.
    TooLong,
    /// It holds a character that has no place there.
    Character(char),
    /// It consists of digits only, so that as a last level it would be a request ID.
    Numeric,
    /// It is `status` or `error`, which mark an answer.
    Reserved,
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong => write!(f, "is longer than {MAX_NAME_LEN} bytes"),
            Self::Character(c) => write!(f, "holds the character {c:?}"),
            Self::Numeric => f.write_str("is purely numeric, which reads as a request ID"),
            Self::Reserved => f.write_str("is \"status\" or \"error\", which mark an answer"),
        }
    }
}

/// Checks what holds for any topic level (MQTT-4.7.1, MQTT-1.5.3).
pub(crate) fn check_level(level: &str) -> Option<NameProblem> {
    if level.is_empty() {
        return Some(NameProblem::Empty);
    }
    if level.len() > MAX_NAME_LEN {
        return Some(NameProblem::TooLong);
    }
    only(level, |c| {
        !matches!(c, '/' | '+' | '#') && !c.is_control() && !is_noncharacter(c)
    })
}

/// Checks that a last level cannot be taken for a request ID or a suffix (FACTS traps 1 and 3).
pub(crate) fn unambiguous(level: &str) -> Option<NameProblem> {
    if level.bytes().all(|b| b.is_ascii_digit()) {
        Some(NameProblem::Numeric)
    } else if level == "status" || level == "error" {
        Some(NameProblem::Reserved)
    } else {
        None
    }
}

/// The first characters of a secret: enough to tell two apart, too few to use one.
pub(crate) fn shorten(secret: &str) -> String {
    let shown = (secret.chars().count() / 3).min(3);
    secret.chars().take(shown).chain(['…']).collect()
}

fn only(name: &str, allowed: impl Fn(char) -> bool) -> Option<NameProblem> {
    name.chars()
        .find(|&c| !allowed(c))
        .map(NameProblem::Character)
}

/// A receiver may close the link over these (MQTT-1.5.3, non-normative comment).
pub(crate) const fn is_noncharacter(c: char) -> bool {
    let c = c as u32;
    (c >= 0xFDD0 && c <= 0xFDEF) || c & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem<T>(result: Result<T, NameError>) -> Option<NameProblem> {
        result.err().map(|error| error.problem())
    }

    #[test]
    fn characters_that_mqtt_reserves_are_refused_everywhere() {
        for c in ['/', '+', '#', '\0', '\u{1}', '\u{7f}', '\u{9f}', '\u{ffff}'] {
            let name = format!("a{c}");
            assert_eq!(
                problem(AppVersion::new(&name)),
                Some(NameProblem::Character(c))
            );
            assert_eq!(
                problem(EndpointToken::new(&name)),
                Some(NameProblem::Character(c))
            );
            assert_eq!(
                problem(CommandType::new(&name)),
                Some(NameProblem::Character(c))
            );
        }
        assert_eq!(problem(Extension::new("")), Some(NameProblem::Empty));
        assert_eq!(
            problem(Metric::new("x".repeat(8_193))),
            Some(NameProblem::TooLong)
        );
    }

    /// FACTS trap 1.
    #[test]
    fn trap_01_a_purely_numeric_last_level_is_refused() {
        assert_eq!(problem(Metric::new("42")), Some(NameProblem::Numeric));
        assert_eq!(problem(CommandType::new("5")), Some(NameProblem::Numeric));
        assert_eq!(problem(ConfigName::new("007")), Some(NameProblem::Numeric));
        assert!(CommandType::new("5a").is_ok());
    }

    /// FACTS trap 3.
    #[test]
    fn trap_03_names_that_mark_an_answer_are_refused() {
        for name in ["status", "error"] {
            assert_eq!(problem(Metric::new(name)), Some(NameProblem::Reserved));
            assert_eq!(problem(CommandType::new(name)), Some(NameProblem::Reserved));
            assert_eq!(problem(ConfigName::new(name)), Some(NameProblem::Reserved));
        }
    }

    /// FACTS traps 2 and 38: an IMEI is a token, so are spaces and letters of any script.
    #[test]
    fn trap_38_tokens_may_be_numeric_and_of_any_script_but_hold_no_dot() {
        assert!(EndpointToken::new("356938035643809").is_ok());
        assert!(EndpointToken::new("датчик 7").is_ok());
        assert_eq!(
            problem(EndpointToken::new("a.b")),
            Some(NameProblem::Character('.'))
        );
    }

    #[test]
    fn real_names_pass_although_the_documents_are_stricter() {
        for name in ["1.0", "demo_application_v1", "c1v9jqmgul2l1s47m6bg-v0"] {
            assert!(AppVersion::new(name).is_ok(), "{name}");
        }
        for name in ["close-door", "turn_off", "HEALTH_CHECK", "deye_write"] {
            assert!(CommandType::new(name).is_ok(), "{name}");
        }
        assert_eq!(
            problem(MetadataKey::new("a-b")),
            Some(NameProblem::Character('-'))
        );
        assert!(ConfigName::new("a-b_1").is_ok());
    }

    #[test]
    fn a_token_is_never_shown_whole() {
        let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
        assert_eq!(format!("{name}"), "demo-v1/JTj…");
        assert_eq!(format!("{name:?}"), "EndpointName(demo-v1/JTj…)");
        assert_eq!(format!("{:?}", name.token()), "EndpointToken(JTj…)");
        assert_eq!(EndpointToken::new("abc").unwrap().shortened(), "a…");
        assert_eq!(EndpointToken::new("a").unwrap().shortened(), "…");
        let error = EndpointToken::new("se.cret").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("cret"));
    }

    #[test]
    fn an_error_says_which_name_is_wrong_and_why() {
        let long = "x".repeat(8_193);
        let told = [
            AppVersion::new("a/b").unwrap_err().to_string(),
            EndpointToken::new("a.b").unwrap_err().to_string(),
            Extension::new("").unwrap_err().to_string(),
            CommandType::new("42").unwrap_err().to_string(),
            ConfigName::new("status").unwrap_err().to_string(),
            MetadataKey::new("a-b").unwrap_err().to_string(),
            Metric::new(&long).unwrap_err().to_string(),
        ];
        let expected = [
            "application version holds the character '/'",
            "endpoint token holds the character '.'",
            "extension name is empty",
            "command type is purely numeric, which reads as a request ID",
            "configuration name is \"status\" or \"error\", which mark an answer",
            "metadata key holds the character '-'",
            "metric is longer than 8192 bytes",
        ];
        assert_eq!(told, expected);
        let error = Metric::new("7").unwrap_err();
        assert_eq!(error.kind(), NameKind::Metric);
        assert_eq!(Metric::new(&long[1..]).unwrap().as_str().len(), 8_192);
    }
}
