//! What became of commands: `result/{type}`.

use std::fmt;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{Command, CommandId};
use crate::names::CommandType;
use crate::request::{
    Confirm, DecodeError, Effect, InvalidRequest, Policy, Prepared, Reply, Request, RequestWriter,
    Service, StoredResult,
};

/// The result of one command. `Debug` shows the payload's length only.
///
/// ```
/// use kaa_proto::commands::CommandResult;
///
/// let done = CommandResult::ok().with_payload(&serde_json::json!({"engine_on": true}))?;
/// let failed = CommandResult::failed(409, "the door is open");
/// # let _ = (done, failed);
/// # Ok::<(), kaa_proto::request::InvalidRequest>(())
/// ```
#[derive(Clone)]
pub struct CommandResult {
    status: u16,
    reason: Option<String>,
    payload: Option<Box<RawValue>>,
}

impl CommandResult {
    /// A result with this status. The device chooses it; 11/CEP bases it on HTTP's.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            reason: None,
            payload: None,
        }
    }

    /// Status 200.
    #[must_use]
    pub const fn ok() -> Self {
        Self::new(200)
    }

    /// A status, 400 or above by custom, and why.
    #[must_use]
    pub fn failed(status: u16, reason: impl Into<String>) -> Self {
        Self::new(status).with_reason(reason)
    }

    /// Says in words what the status means.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Adds a payload for the caller of the command. What is false, zero or empty is sent as well.
    ///
    /// # Errors
    /// [`InvalidRequest::Json`] if `payload` cannot be written as JSON.
    pub fn with_payload(
        mut self,
        payload: &(impl Serialize + ?Sized),
    ) -> Result<Self, InvalidRequest> {
        let json =
            to_raw_value(payload).map_err(|error| InvalidRequest::Json(error.to_string()))?;
        self.payload = Some(json);
        Ok(self)
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    fn stored(&self, id: &CommandId) -> Result<StoredResult, InvalidRequest> {
        let to_json = |error: serde_json::Error| InvalidRequest::Json(error.to_string());
        let element = Element {
            id: serde_json::from_str(id.as_json()).map_err(to_json)?,
            status_code: self.status,
            reason_phrase: self.reason.as_deref(),
            payload: self.payload.as_deref(),
        };
        Ok(StoredResult {
            id: id.clone(),
            json: serde_json::to_vec(&element).map_err(to_json)?.into(),
        })
    }
}

impl fmt::Debug for CommandResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload_len = self.payload.as_ref().map(|json| json.get().len());
        f.debug_struct("CommandResult")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("payload_len", &payload_len)
            .finish()
    }
}

/// Reports the results of one or more commands of one type: `result/{type}`, always an array.
///
/// Confirmed at PUBACK, because a success may never be answered (FACTS trap 28). It carries a
/// request ID, so that a late `/error` can be told to the application; with
/// [`Confirm::Nothing`] it carries none.
///
/// ```
/// use kaa_proto::commands::{CommandResult, Report};
/// use kaa_proto::names::CommandType;
/// use kaa_proto::request::Prepared;
///
/// let reboot = CommandType::new("reboot")?;
/// let report = Report::new(reboot, 1, CommandResult::ok())
///     .and(2, CommandResult::failed(409, "already rebooting"));
/// let request = Prepared::new(&report)?;
/// assert_eq!(request.resource(), "result/reboot");
/// assert_eq!(
///     request.payload(),
///     br#"[{"id":1,"statusCode":200},{"id":2,"statusCode":409,"reasonPhrase":"already rebooting"}]"#
/// );
/// # Ok::<(), kaa_proto::request::InvalidRequest>(())
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    command_type: CommandType,
    results: Vec<(CommandId, CommandResult)>,
}

impl Report {
    /// Reports one result.
    #[must_use]
    pub fn new(command_type: CommandType, id: impl Into<CommandId>, result: CommandResult) -> Self {
        Self {
            command_type,
            results: vec![(id.into(), result)],
        }
    }

    /// Reports the result of this command.
    #[must_use]
    pub fn of(command: &Command, result: CommandResult) -> Self {
        Self::new(command.command_type().clone(), command.id().clone(), result)
    }

    /// Reports another command of the same type with it.
    #[must_use]
    pub fn and(mut self, id: impl Into<CommandId>, result: CommandResult) -> Self {
        self.results.push((id.into(), result));
        self
    }
}

impl Request for Report {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        let stored: Vec<_> = self
            .results
            .iter()
            .map(|(id, result)| result.stored(id))
            .collect::<Result<_, _>>()?;
        out.start(Service::Commands, &result_resource(&self.command_type))?;
        out.pattern(RESULT_PATTERN);
        out.bytes(&array(&stored));
        out.policy().confirm = Confirm::Acknowledged;
        out.with_id();
        out.drops_answer();
        out.effect(Effect::Results(self.command_type.clone(), stored));
        Ok(())
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// Reports results once more that were reported before, byte for byte. The ledger has them
/// already.
pub(crate) fn resend(command_type: &CommandType, results: &[StoredResult]) -> Prepared {
    let resource = result_resource(command_type);
    Prepared {
        pattern: Some(RESULT_PATTERN),
        policy: Policy {
            confirm: Confirm::Acknowledged,
            qos: Some(crate::QoS::AtLeastOnce),
            ..Policy::DEFAULT
        },
        ..Prepared::of_valid(Service::Commands, &resource, array(results))
    }
}

const RESULT_PATTERN: &str = "result/+";

fn result_resource(command_type: &CommandType) -> String {
    format!("result/{command_type}")
}

fn array(results: &[StoredResult]) -> Vec<u8> {
    let elements: Vec<&[u8]> = results.iter().map(|result| &*result.json).collect();
    [b"[", &*elements.join(&b','), b"]"].concat()
}

/// One result as it is sent (11/CEP): what is absent is left out, never `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Element<'a> {
    id: &'a RawValue,
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_phrase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::QoS;
    use crate::request::{RequestExt, Resend};

    fn reboot() -> CommandType {
        CommandType::new("reboot").unwrap()
    }

    fn payload(report: &Report) -> String {
        let request = Prepared::new(report).unwrap();
        String::from_utf8(request.payload().to_vec()).unwrap()
    }

    #[test]
    fn a_report_is_what_the_page_shows() {
        let result = CommandResult::ok()
            .with_reason("Ok")
            .with_payload(&json!({"engine_on": true}))
            .unwrap();
        let report = Report::new(reboot(), 1, result);
        let request = Prepared::new(&report).unwrap();
        assert_eq!(request.service(), &Service::Commands);
        assert_eq!(request.resource(), "result/reboot");
        assert_eq!(request.pattern, Some("result/+"));
        assert_eq!(
            request.payload(),
            br#"[{"id":1,"statusCode":200,"reasonPhrase":"Ok","payload":{"engine_on":true}}]"#
        );
    }

    /// FACTS trap 25: the schema knows no `null`.
    #[test]
    fn trap_25_what_a_result_lacks_is_left_out() {
        let report = Report::new(reboot(), 1, CommandResult::new(203));
        assert_eq!(payload(&report), r#"[{"id":1,"statusCode":203}]"#);
    }

    #[test]
    fn payloads_that_are_false_zero_empty_or_null_are_sent() {
        for falsy in [json!(false), json!(0), json!(""), json!([]), json!(null)] {
            let result = CommandResult::ok().with_payload(&falsy).unwrap();
            assert_eq!(
                payload(&Report::new(reboot(), 1, result)),
                format!(r#"[{{"id":1,"statusCode":200,"payload":{falsy}}}]"#)
            );
        }
    }

    /// FACTS trap 39.
    #[test]
    fn trap_39_a_result_names_the_id_as_it_came() {
        for id in ["99999999999999999999999999", "1.50", r#""a-\u0031""#] {
            let command = Command::new(reboot(), CommandId::from_json(id).unwrap(), None);
            assert_eq!(
                payload(&Report::of(&command, CommandResult::ok())),
                format!(r#"[{{"id":{id},"statusCode":200}}]"#)
            );
        }
    }

    #[test]
    fn a_report_is_done_when_acknowledged_and_carries_an_id() {
        let report = || Report::new(reboot(), 1, CommandResult::ok());
        let request = Prepared::new(&report()).unwrap();
        assert_eq!(request.policy().confirm, Confirm::Acknowledged);
        assert_eq!(request.policy().resend, Resend::AfterLinkLoss);
        assert_eq!(request.policy().qos, Some(QoS::AtLeastOnce));
        assert!(request.with_id);
        let silent = Prepared::new(&report().confirm(Confirm::Nothing)).unwrap();
        assert_eq!(silent.policy().qos, Some(QoS::AtMostOnce));
        assert!(!silent.with_id);
        assert!(Prepared::new(&report().confirm(Confirm::Answered)).is_ok());
    }

    #[test]
    fn stored_results_are_sent_again_as_they_were() {
        let report = Report::new(reboot(), 1, CommandResult::ok()).and(
            CommandId::from_json("\"b\"").unwrap(),
            CommandResult::failed(500, "no"),
        );
        let first = Prepared::new(&report).unwrap();
        let Effect::Results(command_type, stored) = &first.effect else {
            panic!("{:?}", first.effect)
        };
        assert_eq!(command_type, &reboot());
        assert_eq!(stored.len(), 2);
        assert_eq!(stored[0].id, CommandId::from(1));
        assert_eq!(
            stored[1].json,
            r#"{"id":"b","statusCode":500,"reasonPhrase":"no"}"#
        );
        let again = resend(command_type, stored);
        assert_eq!(again.service(), first.service());
        assert_eq!(again.resource(), first.resource());
        assert_eq!(again.payload(), first.payload());
        assert_eq!(again.policy(), first.policy());
        assert_eq!(
            (again.with_id, again.pattern),
            (first.with_id, first.pattern)
        );
        assert_eq!(again.effect, Effect::None);
    }

    /// FACTS trap 19.
    #[test]
    fn trap_19_any_answer_to_a_report_is_success() {
        for payload in ["", "null", "not JSON"] {
            let reply = Reply::new(Confirm::Answered, "result/reboot".into(), payload.into());
            assert_eq!(Report::decode(&reply), Ok(()));
        }
    }

    #[test]
    fn a_result_shows_no_payload() {
        let result = CommandResult::ok().with_payload("secret").unwrap();
        assert_eq!(
            format!("{result:?}"),
            "CommandResult { status: 200, reason: None, payload_len: Some(8) }"
        );
    }

    #[test]
    fn a_result_tells_its_status() {
        assert_eq!(CommandResult::ok().status(), 200);
        assert_eq!(CommandResult::failed(409, "busy").status(), 409);
    }
}
