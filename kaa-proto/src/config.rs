//! Configurations (7/CMP, `cmx`): the unnamed one, and named ones.
//!
//! A device asks for its configuration, applies it, and says so with [`Applied`] or
//! [`Rejected`]: the platform counts as applied only what was reported (FACTS section 4).
//!
//! ```
//! use kaa_proto::config::{Applied, Get};
//! use kaa_proto::request::Prepared;
//!
//! let get = Prepared::new(&Get::new().unless("97016dbe8bb4adff8f754ecbf24612f2"))?;
//! assert_eq!(get.resource(), "config/json");
//! assert_eq!(get.payload(), br#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2"}"#);
//!
//! let applied = Prepared::new(&Applied::new("97016dbe8bb4adff8f754ecbf24612f2"))?;
//! assert_eq!(applied.resource(), "applied/json");
//! # Ok::<(), kaa_proto::request::InvalidRequest>(())
//! ```

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::assignment::{self, Assignment, Query, Verdict};
use crate::names::ConfigName;
use crate::request::{
    DecodeError, Effect, InvalidRequest, Prepared, Reply, Request, RequestWriter, Service,
};

/// What the platform has for this endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the device has is still right.
    NotModified,
    /// There is none for it. Nothing is to be reported as applied (FACTS trap 24).
    Unassigned,
    /// This one.
    Assigned(Configuration),
}

/// A configuration that the platform assigned. `Debug` shows the body's length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Configuration {
    name: Option<ConfigName>,
    config_id: Arc<str>,
    body: Arc<str>,
}

impl Configuration {
    /// As a store kept it.
    pub(crate) const fn restored(
        name: Option<ConfigName>,
        config_id: Arc<str>,
        body: Arc<str>,
    ) -> Self {
        Self {
            name,
            config_id,
            body,
        }
    }

    /// Its name; `None` for the unnamed one.
    #[must_use]
    pub const fn name(&self) -> Option<&ConfigName> {
        self.name.as_ref()
    }

    /// Its identifier: opaque, never empty.
    #[must_use]
    pub fn config_id(&self) -> &str {
        &self.config_id
    }

    /// The JSON text as it came. `null` and `{}` are configurations too.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.body
    }

    /// Reads it into a type of yours.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not a `T`. Tell the platform with [`Rejected`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(&self.body).map_err(|error| DecodeError::json(WHAT, &error))
    }

    /// As a JSON value.
    ///
    /// # Errors
    /// [`DecodeError`] if it is nested more than 127 deep.
    pub fn value(&self) -> Result<Value, DecodeError> {
        self.parse()
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration")
            .field("name", &self.name.as_ref().map(ConfigName::as_str))
            .field("config_id", &self.config_id)
            .field("body_len", &self.body.len())
            .finish()
    }
}

/// Asks for the configuration: `config/json`, or `config/json/{name}`.
#[derive(Clone, Debug, Default)]
pub struct Get {
    name: Option<ConfigName>,
    config_id: Option<String>,
}

impl Get {
    /// Asks for the unnamed one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            name: None,
            config_id: None,
        }
    }

    /// Asks for a named one (7/CMP).
    #[must_use]
    pub fn named(mut self, name: ConfigName) -> Self {
        self.name = Some(name);
        self
    }

    /// Asks for it only if it is not the one with this identifier, which the device has; an empty
    /// one is none.
    #[must_use]
    pub fn unless(mut self, config_id: impl Into<String>) -> Self {
        self.config_id = Some(config_id.into()).filter(|id| !id.is_empty());
        self
    }
}

impl Request for Get {
    type Response = Answer;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        start(out, &GET, self.name.as_ref())?;
        out.json(&Query {
            config_id: self.config_id.as_deref(),
            observe: None,
        })?;
        out.status_in_body();
        out.needs_answer();
        Ok(())
    }

    fn decode(reply: &Reply) -> Result<Answer, DecodeError> {
        let name = reply.resource().strip_prefix("config/json/");
        let name = name.and_then(|name| ConfigName::new(name).ok());
        parse(reply.payload(), name.as_ref())
    }
}

/// Reports that a configuration was applied: `applied/json`, or `applied/json/{name}`.
#[derive(Clone, Debug)]
pub struct Applied {
    name: Option<ConfigName>,
    config_id: String,
}

impl Applied {
    /// The unnamed one with this identifier.
    #[must_use]
    pub fn new(config_id: impl Into<String>) -> Self {
        Self {
            name: None,
            config_id: config_id.into(),
        }
    }

    /// This one.
    #[must_use]
    pub fn of(configuration: &Configuration) -> Self {
        Self {
            name: configuration.name.clone(),
            config_id: String::from(configuration.config_id()),
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(mut self, name: ConfigName) -> Self {
        self.name = Some(name);
        self
    }
}

impl Request for Applied {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        let verdict = Verdict::applied(&self.config_id)?;
        start(out, &APPLIED, self.name.as_ref())?;
        out.json(&verdict)?;
        out.serial();
        out.drops_answer();
        let config_id = self.config_id.as_str().into();
        out.effect(Effect::Applied(self.name.clone(), config_id, None));
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Reports that a configuration could not be applied, and why: `applied/json`, or
/// `applied/json/{name}`.
///
/// ```
/// use kaa_proto::config::Rejected;
/// use kaa_proto::request::Prepared;
///
/// let rejected = Prepared::new(&Rejected::new("97016dbe", 400, "WPA2 is not supported"))?;
/// assert_eq!(
///     rejected.payload(),
///     br#"{"configId":"97016dbe","statusCode":400,"reasonPhrase":"WPA2 is not supported"}"#
/// );
/// # Ok::<(), kaa_proto::request::InvalidRequest>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rejected {
    name: Option<ConfigName>,
    config_id: String,
    status: u16,
    reason: String,
}

impl Rejected {
    /// The unnamed one with this identifier. The status is 400 or above, after HTTP.
    #[must_use]
    pub fn new(config_id: impl Into<String>, status: u16, reason: impl Into<String>) -> Self {
        Self {
            name: None,
            config_id: config_id.into(),
            status,
            reason: reason.into(),
        }
    }

    /// This one.
    #[must_use]
    pub fn of(configuration: &Configuration, status: u16, reason: impl Into<String>) -> Self {
        Self {
            name: configuration.name.clone(),
            ..Self::new(configuration.config_id(), status, reason)
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(mut self, name: ConfigName) -> Self {
        self.name = Some(name);
        self
    }
}

impl Request for Rejected {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        let verdict = Verdict::rejected(&self.config_id, self.status, &self.reason)?;
        start(out, &APPLIED, self.name.as_ref())?;
        out.json(&verdict)?;
        out.serial();
        out.drops_answer();
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Tells the platform to push a configuration when it changes, or to stop. `applied` is the
/// identifier of the one that the device reported as applied.
pub(crate) fn observe(name: Option<&ConfigName>, applied: Option<&str>, observe: bool) -> Prepared {
    let payload = Query::observe(applied, observe);
    Prepared {
        pattern: name.map(|_| GET.pattern),
        status_in_body: true,
        ..Prepared::of_valid(Service::Configurations, &GET.resource(name), payload)
    }
}

/// Reads an answer or a push for the configuration of this name.
pub(crate) fn parse(payload: &[u8], name: Option<&ConfigName>) -> Result<Answer, DecodeError> {
    Ok(match assignment::parse(payload, WHAT)? {
        Assignment::NotModified => Answer::NotModified,
        Assignment::Unassigned => Answer::Unassigned,
        Assignment::Assigned { id, body } => Answer::Assigned(Configuration {
            name: name.cloned(),
            config_id: id,
            body,
        }),
    })
}

const WHAT: &str = "configuration";
const GET: Path = Path {
    unnamed: "config/json",
    pattern: "config/json/+",
};
const APPLIED: Path = Path {
    unnamed: "applied/json",
    pattern: "applied/json/+",
};

/// A resource with and without a name.
struct Path {
    unnamed: &'static str,
    /// Covers all names.
    pattern: &'static str,
}

impl Path {
    fn resource(&self, name: Option<&ConfigName>) -> String {
        match name {
            Some(name) => format!("{}/{name}", self.unnamed),
            None => String::from(self.unnamed),
        }
    }
}

fn start(
    out: &mut RequestWriter,
    path: &Path,
    name: Option<&ConfigName>,
) -> Result<(), InvalidRequest> {
    out.start(Service::Configurations, &path.resource(name))?;
    if name.is_some() {
        out.pattern(path.pattern);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::request::{Confirm, RequestExt};

    const ID: &str = "97016dbe8bb4adff8f754ecbf24612f2";

    fn sent(request: &impl Request) -> (String, String) {
        shown(&Prepared::new(request).unwrap())
    }

    fn shown(request: &Prepared) -> (String, String) {
        assert_eq!(request.service(), &Service::Configurations);
        let payload = String::from_utf8(request.payload().to_vec()).unwrap();
        (request.resource().into(), payload)
    }

    fn golden(resource: &str, payload: &str) -> (String, String) {
        (resource.into(), payload.into())
    }

    fn net() -> ConfigName {
        ConfigName::new("net").unwrap()
    }

    fn configuration(name: Option<ConfigName>) -> Configuration {
        Configuration {
            name,
            config_id: ID.into(),
            body: r#"{"key":"value"}"#.into(),
        }
    }

    #[test]
    fn requests_are_what_the_page_shows() {
        assert_eq!(sent(&Get::new()), golden("config/json", "{}"));
        assert_eq!(
            sent(&Get::new().unless(ID)),
            golden(
                "config/json",
                r#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2"}"#
            )
        );
        assert_eq!(
            sent(&Applied::new(ID)),
            golden(
                "applied/json",
                r#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2"}"#
            )
        );
        assert_eq!(
            sent(&Rejected::new("x", 400, "Configuration is invalid")),
            golden(
                "applied/json",
                r#"{"configId":"x","statusCode":400,"reasonPhrase":"Configuration is invalid"}"#
            )
        );
        assert_eq!(
            shown(&observe(None, None, false)),
            golden("config/json", r#"{"observe":false}"#)
        );
    }

    #[test]
    fn named_ones_have_a_level_more() {
        assert_eq!(
            sent(&Get::new().named(net())),
            golden("config/json/net", "{}")
        );
        assert_eq!(sent(&Applied::new("x").named(net())).0, "applied/json/net");
        assert_eq!(
            sent(&Applied::of(&configuration(Some(net())))).0,
            "applied/json/net"
        );
        assert_eq!(
            sent(&Rejected::new("x", 400, "").named(net())).0,
            "applied/json/net"
        );
        let rejected = Rejected::of(&configuration(Some(net())), 500, "no");
        assert_eq!(
            sent(&rejected),
            golden(
                "applied/json/net",
                r#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2","statusCode":500,"reasonPhrase":"no"}"#
            )
        );
        let observed = observe(Some(&net()), Some("x"), true);
        assert_eq!(
            shown(&observed),
            golden("config/json/net", r#"{"configId":"x","observe":true}"#)
        );
        assert_eq!(observed.pattern, Some("config/json/+"));
        assert_eq!(observe(None, None, true).pattern, None);
        let applied = Prepared::new(&Applied::new("x").named(net())).unwrap();
        assert_eq!(applied.pattern, Some("applied/json/+"));
    }

    /// FACTS trap 24.
    #[test]
    fn trap_24_nothing_is_reported_for_an_empty_identifier() {
        assert!(Prepared::new(&Applied::new("")).is_err());
        assert!(Prepared::new(&Rejected::new("", 400, "no")).is_err());
        assert_eq!(sent(&Get::new().unless("")).1, "{}");
        assert_eq!(
            shown(&observe(None, Some(""), true)).1,
            r#"{"observe":true}"#
        );
    }

    /// FACTS trap 25: the schema knows no `null`.
    #[test]
    fn trap_25_an_empty_reason_is_left_out() {
        assert_eq!(
            sent(&Rejected::new("x", 599, "")).1,
            r#"{"configId":"x","statusCode":599}"#
        );
    }

    /// FACTS trap 19.
    #[test]
    fn trap_19_any_answer_to_a_report_is_success() {
        for payload in ["", "null", "not JSON"] {
            let reply = Reply::new(Confirm::Answered, "applied/json".into(), payload.into());
            assert_eq!(Applied::decode(&reply), Ok(()));
            assert_eq!(Rejected::decode(&reply), Ok(()));
        }
    }

    #[test]
    fn a_rejection_has_a_failing_status() {
        for status in [0, 200, 304, 399] {
            assert_eq!(
                Prepared::new(&Rejected::new("x", status, "no")).unwrap_err(),
                InvalidRequest::Content("the status of a rejection is 400 or above")
            );
        }
    }

    #[test]
    fn reports_are_serial_and_only_applied_has_an_effect() {
        let applied = Prepared::new(&Applied::new("x").named(net())).unwrap();
        assert_eq!(
            applied.effect,
            Effect::Applied(Some(net()), "x".into(), None)
        );
        let rejected = Prepared::new(&Rejected::new("x", 400, "no")).unwrap();
        assert_eq!(rejected.effect, Effect::None);
        assert!(applied.serial && rejected.serial);
        let silent = Applied::new("x").confirm(Confirm::Nothing);
        assert!(!Prepared::new(&silent).unwrap().with_id);
    }

    #[test]
    fn the_body_of_an_answer_decides() {
        let get = Prepared::new(&Get::new()).unwrap();
        assert!(get.status_in_body && !get.serial);
        let observed = observe(None, None, true);
        assert!(observed.status_in_body && observed.with_id);
        assert!(Prepared::new(&Get::new().confirm(Confirm::Nothing)).is_err());
    }

    #[test]
    fn an_answer_takes_its_name_from_the_resource() {
        let body = r#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2","config":{"key":"value"}}"#;
        let answer = |resource: &str| {
            let reply = Reply::new(Confirm::Answered, resource.into(), Bytes::from(body));
            Get::decode(&reply).unwrap()
        };
        assert_eq!(answer("config/json"), Answer::Assigned(configuration(None)));
        assert_eq!(
            answer("config/json/net"),
            Answer::Assigned(configuration(Some(net())))
        );
        assert_eq!(parse(b"{}", None), Ok(Answer::NotModified));
        assert_eq!(
            parse(br#"{"configId":"","config":null}"#, None),
            Ok(Answer::Unassigned)
        );
    }

    #[test]
    fn a_configuration_is_read_and_not_shown() {
        let configuration = configuration(Some(net()));
        assert_eq!(configuration.value(), Ok(json!({"key": "value"})));
        assert_eq!(
            configuration.parse::<Vec<u8>>().unwrap_err().to_string(),
            "what came is not a valid configuration: wrong type or missing field at line 1 column 0"
        );
        assert_eq!(
            format!("{configuration:?}"),
            format!(r#"Configuration {{ name: Some("net"), config_id: "{ID}", body_len: 15 }}"#)
        );
    }
}
