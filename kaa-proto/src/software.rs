//! Software updates (7/CMP behind `cmx_ota`), where the identifier is the software version.
//!
//! Which update is offered depends on the version that the device reported, so
//! [`ReportCurrent`] comes first and [`Get`] second (FACTS trap 30). After an update the device
//! reports the new version the same way; a failed one it reports with [`Rejected`].
//!
//! ```
//! use kaa_proto::request::Prepared;
//! use kaa_proto::software::{Get, ReportCurrent};
//!
//! let report = Prepared::new(&ReportCurrent::new("0.0.2"))?;
//! assert_eq!(report.resource(), "applied/json");
//! assert_eq!(report.payload(), br#"{"configId":"0.0.2"}"#);
//! let get = Prepared::new(&Get::new())?;
//! assert_eq!(get.resource(), "config/json");
//! assert_eq!(get.payload(), b"{}");
//! # Ok::<(), kaa_proto::request::InvalidRequest>(())
//! ```

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::assignment::{self, Assignment, Query, Verdict};
use crate::request::{
    DecodeError, Effect, InvalidRequest, Prepared, Reply, Request, RequestWriter, Service,
};

/// What the platform has for this endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What the device runs is still right.
    NotModified,
    /// There is none for it.
    Unassigned,
    /// This one.
    Assigned(Update),
}

/// A version of the software that the device is to run. `Debug` shows the specification's length
/// only: links may be presigned.
#[derive(Clone, PartialEq, Eq)]
pub struct Update {
    version: Arc<str>,
    specification: Arc<str>,
}

impl Update {
    /// The version: never empty.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The specification as the JSON text that the operator wrote.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.specification
    }

    /// Reads the specification into a type of yours.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not a `T`. Tell the platform with [`Rejected`].
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(&self.specification)
            .map_err(|error| DecodeError::json("software specification", &error))
    }

    /// The specification as a JSON value.
    ///
    /// # Errors
    /// [`DecodeError`] if it is nested more than 127 deep.
    pub fn value(&self) -> Result<Value, DecodeError> {
        self.parse()
    }

    /// The text in the specification's `link`, where the platform's own form puts the download's
    /// address. It is a convention, not protocol, and it may expire (FACTS trap 30).
    #[must_use]
    pub fn link(&self) -> Option<String> {
        let specification = self.value().ok()?;
        specification.get("link")?.as_str().map(String::from)
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("version", &self.version)
            .field("specification_len", &self.specification.len())
            .finish()
    }
}

/// Asks for the software that the device is to run: `config/json`.
#[derive(Clone, Debug, Default)]
pub struct Get {
    version: Option<String>,
}

impl Get {
    /// Asks for it.
    #[must_use]
    pub const fn new() -> Self {
        Self { version: None }
    }

    /// Asks for it only if it is not this version, which the device runs; an empty one is none.
    #[must_use]
    pub fn unless(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into()).filter(|version| !version.is_empty());
        self
    }
}

impl Request for Get {
    type Response = Answer;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.start(Service::Software, GET)?;
        out.json(&Query {
            config_id: self.version.as_deref(),
            observe: None,
        })?;
        out.status_in_body();
        out.needs_answer();
        Ok(())
    }

    fn decode(reply: &Reply) -> Result<Answer, DecodeError> {
        parse(reply.payload())
    }
}

/// Reports the version that the device runs: `applied/json`.
#[derive(Clone, Debug)]
pub struct ReportCurrent {
    version: String,
}

impl ReportCurrent {
    /// This version; not empty.
    #[must_use]
    pub fn new(version: impl Into<String>) -> Self {
        Self {
            version: version.into(),
        }
    }
}

impl Request for ReportCurrent {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.start(Service::Software, APPLIED)?;
        out.json(&Verdict::applied(&self.version)?)?;
        out.serial();
        out.drops_answer();
        out.effect(Effect::Current(self.version.as_str().into()));
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Reports that an update failed, and why: `applied/json` with the version it was to.
///
/// ```
/// use kaa_proto::request::Prepared;
/// use kaa_proto::software::Rejected;
///
/// let rejected = Prepared::new(&Rejected::new("0.0.3", 400, "Not enough free memory"))?;
/// assert_eq!(
///     rejected.payload(),
///     br#"{"configId":"0.0.3","statusCode":400,"reasonPhrase":"Not enough free memory"}"#
/// );
/// # Ok::<(), kaa_proto::request::InvalidRequest>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rejected {
    version: String,
    status: u16,
    reason: String,
}

impl Rejected {
    /// The version that could not be installed. The status is 400 or above, after HTTP.
    #[must_use]
    pub fn new(version: impl Into<String>, status: u16, reason: impl Into<String>) -> Self {
        Self {
            version: version.into(),
            status,
            reason: reason.into(),
        }
    }

    /// This update could not be installed.
    #[must_use]
    pub fn of(update: &Update, status: u16, reason: impl Into<String>) -> Self {
        Self::new(update.version(), status, reason)
    }
}

impl Request for Rejected {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        let verdict = Verdict::rejected(&self.version, self.status, &self.reason)?;
        out.start(Service::Software, APPLIED)?;
        out.json(&verdict)?;
        out.serial();
        out.drops_answer();
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Tells the platform to push updates, or to stop. It is serial, so that it waits for the report
/// of the current version (FACTS trap 30).
pub(crate) fn observe(current: Option<&str>, observe: bool) -> Prepared {
    Prepared {
        serial: true,
        status_in_body: true,
        ..Prepared::of_valid(Service::Software, GET, Query::observe(current, observe))
    }
}

/// Reads an answer or a push.
pub(crate) fn parse(payload: &[u8]) -> Result<Answer, DecodeError> {
    Ok(match assignment::parse(payload, "software update")? {
        Assignment::NotModified => Answer::NotModified,
        Assignment::Unassigned => Answer::Unassigned,
        Assignment::Assigned { id, body } => Answer::Assigned(Update {
            version: id,
            specification: body,
        }),
    })
}

const GET: &str = "config/json";
const APPLIED: &str = "applied/json";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Confirm, RequestExt};

    fn sent(request: &impl Request) -> (String, String) {
        shown(&Prepared::new(request).unwrap())
    }

    fn shown(request: &Prepared) -> (String, String) {
        assert_eq!(request.service(), &Service::Software);
        let payload = String::from_utf8(request.payload().to_vec()).unwrap();
        (request.resource().into(), payload)
    }

    fn golden(resource: &str, payload: &str) -> (String, String) {
        (resource.into(), payload.into())
    }

    fn update(specification: &str) -> Update {
        Update {
            version: "0.0.2".into(),
            specification: specification.into(),
        }
    }

    #[test]
    fn requests_are_what_the_page_shows() {
        assert_eq!(
            shown(&observe(None, true)),
            golden("config/json", r#"{"observe":true}"#)
        );
        assert_eq!(
            shown(&observe(Some("0.0.1"), true)),
            golden("config/json", r#"{"configId":"0.0.1","observe":true}"#)
        );
        assert_eq!(
            sent(&Get::new().unless("1.0.0")),
            golden("config/json", r#"{"configId":"1.0.0"}"#)
        );
        assert_eq!(sent(&Get::new()), golden("config/json", "{}"));
        assert_eq!(
            sent(&ReportCurrent::new("0.0.2")),
            golden("applied/json", r#"{"configId":"0.0.2"}"#)
        );
    }

    /// FACTS trap 30: a failure names the version that was to be installed.
    #[test]
    fn trap_30_a_failure_names_the_target() {
        let rejected = Rejected::of(&update("{}"), 400, "Not enough free memory");
        assert_eq!(
            sent(&rejected),
            golden(
                "applied/json",
                r#"{"configId":"0.0.2","statusCode":400,"reasonPhrase":"Not enough free memory"}"#
            )
        );
        assert!(Prepared::new(&Rejected::new("0.0.2", 399, "no")).is_err());
        assert!(Prepared::new(&Rejected::new("", 400, "no")).is_err());
        assert!(Prepared::new(&ReportCurrent::new("")).is_err());
    }

    /// FACTS trap 30: both are serial, so the second waits for the first.
    #[test]
    fn trap_30_the_report_goes_before_the_observation() {
        let report = Prepared::new(&ReportCurrent::new("0.0.2")).unwrap();
        assert_eq!(report.effect, Effect::Current("0.0.2".into()));
        let observed = observe(Some("0.0.2"), true);
        assert!(report.serial && observed.serial && observed.status_in_body);
        let get = Prepared::new(&Get::new()).unwrap();
        assert!(get.status_in_body && !get.serial);
        assert!(Prepared::new(&Get::new().confirm(Confirm::Nothing)).is_err());
    }

    #[test]
    fn the_three_answers_have_three_names() {
        let link = r#"{"link":"https:\/\/example.com\/fw-0.0.2.bin"}"#;
        let answer = format!(r#"{{"configId":"0.0.2","config":{link},"statusCode":200}}"#);
        assert_eq!(parse(answer.as_bytes()), Ok(Answer::Assigned(update(link))));
        assert_eq!(
            update(link).link().as_deref(),
            Some("https://example.com/fw-0.0.2.bin")
        );
        assert_eq!(parse(b""), Ok(Answer::NotModified));
        assert_eq!(
            parse(br#"{"configId":"","config":null}"#),
            Ok(Answer::Unassigned)
        );
        assert_eq!(
            parse(b"[]").unwrap_err().to_string(),
            "what came is not a valid software update"
        );
    }

    #[test]
    fn a_specification_without_link_has_none() {
        for specification in [
            "{}",
            "null",
            "[\"a\"]",
            "5",
            r#"{"link":7}"#,
            r#"{"Link":"a"}"#,
        ] {
            assert_eq!(update(specification).link(), None, "{specification}");
        }
        let update = update(r#"{"link":"secret"}"#);
        assert!(!format!("{update:?}").contains("secret"));
    }
}
