//! Records as JSON text, for stores.
//!
//! The text is for this library to read back, in this version or a later one; its fields are no
//! interface. It holds payloads as they are, so a store is as secret as what is sent.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{CommandKey, Record, ResultRecord, base64};
use crate::QoS;
use crate::commands::CommandId;
use crate::config::Configuration;
use crate::names::{CommandType, ConfigName, Extension};
use crate::request::{
    Class, Confirm, Effect, Offline, Policy, Prepared, RequestId, Resend, Service, StoredResult,
};
use crate::topic::{MAX_PARSED_ID, check_resource};

impl Record {
    /// The record as one line of JSON, for a store.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and booleans under string keys are always JSON.
        serde_json::to_string(&Line::from(self)).unwrap_or_default()
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// [`InvalidRecord`] if it is something else, such as a line that was cut off when the power
    /// went: then what it guarded was never visible, and it can be left out if it is the last.
    pub fn from_json(line: &str) -> Result<Self, InvalidRecord> {
        let line: Line = serde_json::from_str(line).map_err(|_| InvalidRecord)?;
        line.into_record().ok_or(InvalidRecord)
    }
}

/// A text that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRecord;

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a record of this library")
    }
}

impl std::error::Error for InvalidRecord {}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Accepted(u64, Box<Request>),
    Sent(u64),
    Unsent(u64),
    Ended(u64),
    Surfaced(Key),
    Forgotten(Key),
    Finished(Key, String),
    ResultTaken(Key),
    Applied(Option<String>, String),
    Current(String),
    /// Name, identifier and body.
    Configuration(Option<String>, String, String),
    Reached(u64),
}

/// Type and ID of a command, the ID as JSON.
#[derive(Serialize, Deserialize)]
struct Key(String, String);

/// A durable request as it is written. What is as with most requests is left out, for each byte wears
/// the medium.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    service: Destination,
    resource: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    payload: Payload,
    /// 0: nothing, 1: acknowledged, 2: answered.
    #[serde(default = "answered", skip_serializing_if = "is_answered")]
    confirm: u8,
    #[serde(default, skip_serializing_if = "is_false")]
    resend: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    qos: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_after: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer_within: Option<Duration>,
    #[serde(default, skip_serializing_if = "is_false")]
    bulk: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    drop_offline: bool,
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    with_id: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fixed_id: Option<u32>,
    #[serde(default, skip_serializing_if = "is_false")]
    serial: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    status_in_body: bool,
    #[serde(default, skip_serializing_if = "StoredEffect::is_none")]
    effect: StoredEffect,
}

const fn answered() -> u8 {
    2
}

const fn is_answered(confirm: &u8) -> bool {
    *confirm == answered()
}

const fn yes() -> bool {
    true
}

const fn is_true(value: &bool) -> bool {
    *value
}

const fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Destination {
    Telemetry,
    Metadata,
    Commands,
    Configurations,
    Software,
    Uploads,
    Other(String),
}

/// Text where that is shorter, which it nearly always is. So no payload takes more than a third more
/// than it has, and a few bytes.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Payload {
    Text(String),
    Bytes(Encoded),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    base64: String,
}

/// What is around it, more than around a text.
const AROUND_ENCODED: usize = r#"{"base64":}"#.len();

impl Payload {
    fn new(payload: &[u8]) -> Self {
        let most = base64::encoded_len(payload.len()) + AROUND_ENCODED;
        match std::str::from_utf8(payload) {
            Ok(text) if len_in_json(text) <= most => Self::Text(text.to_owned()),
            Ok(_) | Err(_) => Self::Bytes(Encoded {
                base64: base64::encode(payload),
            }),
        }
    }

    fn read(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Bytes(Encoded { base64 }) => base64::decode(&base64),
        }
    }
}

/// How long a text is between its quotes.
fn len_in_json(text: &str) -> usize {
    let len = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        ..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(len).sum()
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum StoredEffect {
    #[default]
    None,
    Pending(String),
    /// The type, and ID and result of each.
    Results(String, Vec<(String, String)>),
    Applied(Option<String>, String),
    Current(String),
}

/// The patterns of the typed requests. One that is not known is left out: then the request is
/// covered by a subscription to its whole extension.
const PATTERNS: [&str; 5] = [
    "plain/+",
    "command/+",
    "result/+",
    "config/json/+",
    "applied/json/+",
];

impl From<&Record> for Line {
    fn from(record: &Record) -> Self {
        match record {
            Record::Accepted(id, request) => Self::Accepted(id.number(), Box::new(request.into())),
            Record::Sent(id) => Self::Sent(id.number()),
            Record::Unsent(id) => Self::Unsent(id.number()),
            Record::Ended(id) => Self::Ended(id.number()),
            Record::Surfaced(key) => Self::Surfaced(key.into()),
            Record::Forgotten(key) => Self::Forgotten(key.into()),
            Record::Finished(key, result) => Self::Finished(key.into(), text(&result.0.json)),
            Record::ResultTaken(key) => Self::ResultTaken(key.into()),
            Record::Applied(name, id) => {
                Self::Applied(name.as_ref().map(ToString::to_string), id.to_string())
            }
            Record::Current(version) => Self::Current(version.to_string()),
            Record::Configuration(good) => Self::Configuration(
                good.name().map(ToString::to_string),
                good.config_id().to_owned(),
                good.json().to_owned(),
            ),
            Record::Reached(id) => Self::Reached(id.number()),
        }
    }
}

impl Line {
    fn into_record(self) -> Option<Record> {
        let id = RequestId::from_number;
        Some(match self {
            Self::Accepted(number, request) => Record::Accepted(id(number), request.prepare()?),
            Self::Sent(number) => Record::Sent(id(number)),
            Self::Unsent(number) => Record::Unsent(id(number)),
            Self::Ended(number) => Record::Ended(id(number)),
            Self::Surfaced(key) => Record::Surfaced(key.read()?),
            Self::Forgotten(key) => Record::Forgotten(key.read()?),
            Self::Finished(key, json) => {
                let key = key.read()?;
                let id = key.id().clone();
                let json = json.into();
                Record::Finished(key, ResultRecord(StoredResult { id, json }))
            }
            Self::ResultTaken(key) => Record::ResultTaken(key.read()?),
            Self::Applied(name, id) => Record::Applied(config_name(name)?, id.into()),
            Self::Current(version) => Record::Current(version.into()),
            Self::Configuration(name, id, body) => Record::Configuration(Configuration::restored(
                config_name(name)?,
                id.into(),
                body.into(),
            )),
            Self::Reached(number) => Record::Reached(id(number)),
        })
    }
}

impl From<&CommandKey> for Key {
    fn from(key: &CommandKey) -> Self {
        Self(key.command_type().to_string(), key.id().to_string())
    }
}

impl Key {
    fn read(self) -> Option<CommandKey> {
        let command_type = CommandType::new(self.0).ok()?;
        Some(CommandKey::new(
            command_type,
            CommandId::from_json(&self.1).ok()?,
        ))
    }
}

impl From<&Prepared> for Request {
    fn from(request: &Prepared) -> Self {
        let policy = &request.policy;
        Self {
            service: Destination::from(&request.service),
            resource: request.resource.to_string(),
            pattern: request.pattern.map(String::from),
            payload: Payload::new(&request.payload),
            confirm: match policy.confirm {
                Confirm::Nothing => 0,
                Confirm::Acknowledged => 1,
                Confirm::Answered => 2,
            },
            resend: policy.resend == Resend::AfterLinkLoss,
            qos: policy.qos.map(|qos| qos as u8),
            expires_after: policy.expires_after,
            answer_within: policy.answer_within,
            bulk: policy.class == Class::Bulk,
            drop_offline: policy.offline == Offline::Drop,
            with_id: request.with_id,
            fixed_id: request.fixed_id,
            serial: request.serial,
            status_in_body: request.status_in_body,
            effect: StoredEffect::from(&request.effect),
        }
    }
}

impl Request {
    fn prepare(self) -> Option<Prepared> {
        check_resource(&self.resource).ok()?;
        let is_id = |id: &u32| (1..=MAX_PARSED_ID).contains(id);
        if !self.fixed_id.iter().all(is_id) {
            return None;
        }
        let policy = Policy {
            confirm: match self.confirm {
                0 => Confirm::Nothing,
                1 => Confirm::Acknowledged,
                2 => Confirm::Answered,
                _ => return None,
            },
            resend: match self.resend {
                true => Resend::AfterLinkLoss,
                false => Resend::Never,
            },
            qos: match self.qos {
                Some(number) => Some(QoS::from_number(number)?),
                None => None,
            },
            expires_after: self.expires_after,
            answer_within: self.answer_within,
            class: if self.bulk {
                Class::Bulk
            } else {
                Class::Control
            },
            offline: match self.drop_offline {
                true => Offline::Drop,
                false => Offline::Queue,
            },
            durable: Some(true),
        };
        // Not worth a word in the store: what answers telemetry is empty, and there is much of it.
        let drops_answer = self.bulk && matches!(self.service, Destination::Telemetry);
        Some(Prepared {
            service: self.service.read()?,
            resource: self.resource.into(),
            pattern: PATTERNS
                .into_iter()
                .find(|pattern| self.pattern.as_deref() == Some(pattern)),
            payload: self.payload.read()?,
            policy,
            with_id: self.with_id,
            fixed_id: self.fixed_id,
            serial: self.serial,
            status_in_body: self.status_in_body,
            drops_answer,
            effect: self.effect.read()?,
        })
    }
}

impl From<&Service> for Destination {
    fn from(service: &Service) -> Self {
        match service {
            Service::Telemetry => Self::Telemetry,
            Service::Metadata => Self::Metadata,
            Service::Commands => Self::Commands,
            Service::Configurations => Self::Configurations,
            Service::Software => Self::Software,
            Service::Uploads => Self::Uploads,
            Service::Other(extension) => Self::Other(extension.to_string()),
        }
    }
}

impl Destination {
    fn read(self) -> Option<Service> {
        Some(match self {
            Self::Telemetry => Service::Telemetry,
            Self::Metadata => Service::Metadata,
            Self::Commands => Service::Commands,
            Self::Configurations => Service::Configurations,
            Self::Software => Service::Software,
            Self::Uploads => Service::Uploads,
            Self::Other(extension) => Service::Other(Extension::new(extension).ok()?),
        })
    }
}

impl From<&Effect> for StoredEffect {
    fn from(effect: &Effect) -> Self {
        match effect {
            Effect::None => Self::None,
            Effect::Pending(command_type) => Self::Pending(command_type.to_string()),
            Effect::Results(command_type, results) => {
                let pair = |result: &StoredResult| (result.id.to_string(), text(&result.json));
                Self::Results(command_type.to_string(), results.iter().map(pair).collect())
            }
            // A configuration is recorded once it is good.
            Effect::Applied(name, id, _) => {
                Self::Applied(name.as_ref().map(ToString::to_string), id.to_string())
            }
            Effect::Current(version) => Self::Current(version.to_string()),
        }
    }
}

impl StoredEffect {
    const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    fn read(self) -> Option<Effect> {
        let result = |(id, json): (String, String)| {
            let id = CommandId::from_json(&id).ok()?;
            let json = json.into();
            Some(StoredResult { id, json })
        };
        Some(match self {
            Self::None => Effect::None,
            Self::Pending(name) => Effect::Pending(CommandType::new(name).ok()?),
            Self::Results(name, results) => {
                let results = results.into_iter().map(result).collect::<Option<_>>()?;
                Effect::Results(CommandType::new(name).ok()?, results)
            }
            Self::Applied(name, id) => Effect::Applied(config_name(name)?, id.into(), None),
            Self::Current(version) => Effect::Current(version.into()),
        })
    }
}

/// Results are JSON, so they are text.
fn text(json: &Bytes) -> String {
    String::from_utf8_lossy(json).into_owned()
}

/// `None` if it is no name; the unnamed one has none.
fn config_name(name: Option<String>) -> Option<Option<ConfigName>> {
    name.map(|name| ConfigName::new(name).ok())
        .map_or(Some(None), |name| name.map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_after_all_is_a_line_of_its_own() {
        let record = Record::Unsent(RequestId::from_number(7));
        assert_eq!(record.to_json(), r#"{"unsent":7}"#);
        let read = Record::from_json(r#"{"unsent":7}"#).unwrap();
        assert!(matches!(read, Record::Unsent(id) if id.number() == 7));
    }

    #[test]
    fn what_is_no_record_is_told_without_its_text() {
        let error = Record::from_json(r#"{"secret":7}"#).unwrap_err();
        assert_eq!(error.to_string(), "not a record of this library");
    }
}
