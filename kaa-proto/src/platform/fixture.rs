//! The initial state of a platform, read from JSON.
//!
//! ```
//! use kaa_proto::platform::Fixture;
//!
//! let fixture = Fixture::parse(
//!     r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
//!          "metadata": {"name": "Device name"},
//!          "commands": {"reboot": [{"id": 1, "payload": {"delay": 5}}]}}}}}}"#,
//! )?;
//! assert_eq!(fixture.app_versions.len(), 1);
//! let error = Fixture::parse("{\n\"endpoints\": {}}").unwrap_err();
//! assert_eq!(error.line(), 2);
//! # Ok::<(), kaa_proto::platform::FixtureError>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::options::Secret;
use crate::names::{
    AppVersion, CommandType, ConfigName, EndpointToken, MetadataKey, NameError, shorten,
};

/// The application versions and endpoints that exist. Every key is optional, an unknown one is an
/// error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fixture {
    /// By name.
    #[serde(deserialize_with = "by_name")]
    pub app_versions: BTreeMap<AppVersion, AppVersionFixture>,
}

/// An application version.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AppVersionFixture {
    /// By token.
    #[serde(deserialize_with = "by_name")]
    pub endpoints: BTreeMap<EndpointToken, EndpointFixture>,
}

/// An endpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EndpointFixture {
    /// Its metadata, the hidden ones too.
    #[serde(deserialize_with = "by_name")]
    pub metadata: BTreeMap<MetadataKey, Value>,
    /// Keys that the device may read but not write.
    #[serde(deserialize_with = "names")]
    pub read_only: BTreeSet<MetadataKey>,
    /// Keys that the device may neither read nor write.
    #[serde(deserialize_with = "names")]
    pub hidden: BTreeSet<MetadataKey>,
    /// Its configurations; `""` or `"default"` is the unnamed one.
    #[serde(deserialize_with = "by_name")]
    pub configurations: BTreeMap<ConfigKey, AssignedFixture>,
    /// The software it shall have; `configId` is the version.
    #[serde(alias = "firmware")]
    pub software: Option<AssignedFixture>,
    /// Outstanding commands by type. Their time begins when the endpoint first speaks.
    #[serde(deserialize_with = "by_name")]
    pub commands: BTreeMap<CommandType, Vec<CommandFixture>>,
    /// The upload token it is always given, in place of a random one.
    #[serde(deserialize_with = "secret")]
    pub upload_token: Option<Secret>,
}

/// A configuration, or a software version.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AssignedFixture {
    /// Its ID. Default: one drawn from the seed.
    pub config_id: Option<String>,
    /// Its content.
    pub config: Value,
}

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CommandFixture {
    /// Its ID. Default: the highest of its type so far and one.
    pub id: Option<i64>,
    /// Its payload.
    pub payload: Option<Value>,
}

/// The name of a configuration, or none: the default one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigKey(pub Option<ConfigName>);

impl ConfigKey {
    /// The name as the platform keeps it: empty for the default one.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", ConfigName::as_str)
    }
}

impl std::str::FromStr for ConfigKey {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        match name {
            "" | "default" => Ok(Self(None)),
            _ => ConfigName::new(name).map(|name| Self(Some(name))),
        }
    }
}

impl Fixture {
    /// Reads a fixture.
    ///
    /// # Errors
    /// [`FixtureError`] if it is not JSON, has a key that means nothing, a value of another type
    /// or a name that cannot be one.
    pub fn parse(json: &str) -> Result<Self, FixtureError> {
        serde_json::from_str(json).map_err(|error| FixtureError {
            line: error.line(),
            message: without_value(&error.to_string()),
        })
    }
}

/// The words for a value of another type hold that value, those for an unknown field its name:
/// either may be a token.
fn without_value(message: &str) -> String {
    let field = message.strip_prefix("unknown field `");
    if let Some((name, rest)) = field.and_then(|field| field.rsplit_once("`, expected ")) {
        return format!("unknown field `{}`, expected {rest}", shorten(name));
    }
    let is_about_value = ["invalid type: ", "invalid value: "]
        .iter()
        .any(|words| message.starts_with(words));
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if is_about_value => format!("expected {expected}"),
        _ => message.into(),
    }
}

/// A text that is no fixture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixtureError {
    line: usize,
    message: String,
}

impl FixtureError {
    /// The line where it goes wrong, counted from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for FixtureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fixture: {}", self.message)
    }
}

impl std::error::Error for FixtureError {}

type NameResult<K> = Result<K, NameError>;

/// A map whose keys are checked where they stand, so that the error knows the line, and where no
/// key comes twice.
fn by_name<'de, D, K, V>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    D: Deserializer<'de>,
    K: std::str::FromStr<Err = NameError> + Ord,
    V: Deserialize<'de>,
{
    struct ByName<K, V>(PhantomData<(K, V)>);

    impl<'de, K, V> Visitor<'de> for ByName<K, V>
    where
        K: std::str::FromStr<Err = NameError> + Ord,
        V: Deserialize<'de>,
    {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(key) = access.next_key::<String>()? {
                let key = NameResult::<K>::map_err(key.parse(), A::Error::custom)?;
                if map.insert(key, access.next_value()?).is_some() {
                    return Err(A::Error::custom("the same name comes twice"));
                }
            }
            Ok(map)
        }
    }

    deserializer.deserialize_map(ByName(PhantomData))
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<MetadataKey>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let checked = names.into_iter().map(MetadataKey::new);
    checked.collect::<Result<_, _>>().map_err(D::Error::custom)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(Secret::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
  "metadata": {"name": "Device name", "deviceModel": "new model"},
  "readOnly": ["serial"], "hidden": ["secret"],
  "configurations": {"": {"configId": "97016dbe8bb4adff8f754ecbf24612f2", "config": {"key": "value"}}, "network": {"configId": "n1", "config": {}}},
  "software": {"configId": "0.0.2", "config": {"link": "https://example.com/fw-0.0.2.bin"}},
  "commands": {"reboot": [{"id": 1, "payload": {"delay": 5}}]},
  "uploadToken": "2222"}}}}}"#;

    #[test]
    fn the_whole_format_is_read_and_firmware_is_software() {
        let fixture = Fixture::parse(WHOLE).unwrap();
        let version = fixture.app_versions.values().next().unwrap();
        let endpoint = version.endpoints.values().next().unwrap();
        assert_eq!(endpoint.metadata.len(), 2);
        assert_eq!(endpoint.configurations.len(), 2);
        assert_eq!(
            endpoint.software.as_ref().unwrap().config_id.as_deref(),
            Some("0.0.2")
        );
        assert_eq!(endpoint.upload_token, Some(Secret::new("2222")));
        let renamed = Fixture::parse(&WHOLE.replace("\"software\"", "\"firmware\"")).unwrap();
        assert_eq!(renamed, fixture);
        let shown = format!("{fixture:?}");
        assert!(!shown.contains("2222") && !shown.contains("bENzHh"));
    }

    #[test]
    fn an_error_does_not_repeat_a_value() {
        for (right, wrong) in [
            ("\"2222\"", "2222"),
            ("\"2222\"", "[2222]"),
            (
                "{\"reboot\": [{\"id\": 1, \"payload\": {\"delay\": 5}}]}",
                "\"2222\"",
            ),
        ] {
            let error = Fixture::parse(&WHOLE.replace(right, wrong)).unwrap_err();
            let words = error.to_string();
            assert!(words.starts_with("fixture: expected a"), "{words}");
            assert!(
                words.contains(" at line ") && !words.contains("2222"),
                "{words}"
            );
        }
        let without_level = r#"{"appVersions": {"v": {"JTjdbENzHh": {}}}}"#;
        let error = Fixture::parse(without_level).unwrap_err();
        assert_eq!(
            error.to_string(),
            "fixture: unknown field `JTj…`, expected `endpoints` at line 1 column 35"
        );
    }

    #[test]
    fn every_key_is_optional() {
        for json in [
            "{}",
            r#"{"appVersions":{"v":{}}}"#,
            r#"{"appVersions":{"v":{"endpoints":{"t":{"commands":{"x":[{}]},"configurations":{"a":{}}}}}}}"#,
        ] {
            assert!(Fixture::parse(json).is_ok(), "{json}");
        }
    }

    #[test]
    fn an_error_names_the_key_and_the_line() {
        for (wrong, line, says) in [
            ("\"software\":", 5, "unknown field `sof…`, expected"),
            ("\"readOnly\":", 3, "unknown field `rea…`, expected"),
        ] {
            let with_s = wrong.replace("\":", "s\":");
            let error = Fixture::parse(&WHOLE.replace(wrong, &with_s)).unwrap_err();
            assert_eq!(error.line(), line);
            assert!(error.to_string().contains(says), "{error}");
        }
        let error = Fixture::parse(&WHOLE.replace("reboot", "42")).unwrap_err();
        assert_eq!(error.line(), 6);
        assert!(
            error.to_string().contains("command type is purely numeric"),
            "{error}"
        );
        let error = Fixture::parse(r#"{"appVersions": []}"#).unwrap_err();
        assert!(error.to_string().contains("expected an object"), "{error}");
        let error = Fixture::parse(&WHOLE.replace("network", "default")).unwrap_err();
        assert!(error.to_string().contains("comes twice"), "{error}");
    }
}
