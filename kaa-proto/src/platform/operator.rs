//! What an operator sees of an endpoint, and why a verb of theirs can fail.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::configurations::{Assigned, Report};
use super::uploads::Upload;

/// The state of an endpoint. Its token is not in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The application version.
    pub app_version: String,
    /// The endpoint ID, which never goes over MQTT.
    pub endpoint_id: String,
    /// Whether the platform knows a link where it speaks.
    pub online: bool,
    /// The metadata, the hidden ones too.
    pub metadata: Map<String, Value>,
    /// How many telemetry samples were taken.
    pub samples: u64,
    /// The latest of them.
    pub last_sample: Option<Value>,
    /// The configurations by name; the default one's is empty.
    pub configurations: BTreeMap<String, ConfigState>,
    /// The software.
    pub software: ConfigState,
    /// The outstanding commands by type, as they are delivered.
    pub commands: BTreeMap<String, Vec<Value>>,
    /// The latest command results, oldest first.
    pub results: Vec<ResultState>,
    /// What was uploaded, oldest first.
    pub uploads: Vec<Upload>,
}

/// A configuration, or the software.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigState {
    /// What the operator wants it to be.
    pub assigned: Option<Assigned>,
    /// What the device reported last.
    pub reported: Option<Report>,
}

/// The result of a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultState {
    /// The type of the command.
    #[serde(rename = "type")]
    pub command_type: String,
    /// Its ID.
    pub id: i64,
    /// The status code the device chose.
    pub status_code: i64,
    /// The reason phrase.
    pub reason_phrase: Option<String>,
    /// The payload.
    pub payload: Option<Value>,
}

/// Why an operator's verb did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is no such endpoint, and none can be made.
    UnknownEndpoint,
    /// No link is known where the endpoint speaks.
    NotConnected,
    /// The endpoint has as many commands, command types or configurations as it may have.
    TooMany,
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownEndpoint => "unknown endpoint",
            Self::NotConnected => "the endpoint is not connected",
            Self::TooMany => "the endpoint has as many of these as it may have",
        })
    }
}

impl std::error::Error for OperatorError {}
