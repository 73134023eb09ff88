//! One request on its way through an extension, and what comes out of it.

use std::time::Instant;

use serde_json::Value;

use super::event::{Event, EventKind, Log};
use super::options::LinkId;
use super::switches::Switches;
use crate::names::EndpointName;
use crate::topic::{self, Topic};

/// A request, with what the extension needs to serve it.
pub(super) struct Call<'a> {
    /// The time of its arrival.
    pub(super) now: Instant,
    /// Where it came from.
    pub(super) link: LinkId,
    /// Who asks.
    pub(super) name: &'a EndpointName,
    /// The request topic.
    pub(super) topic: Topic<'a>,
    /// The request payload.
    pub(super) payload: &'a [u8],
    /// How open questions are settled.
    pub(super) switches: &'a Switches,
    /// How much more its endpoint may keep, in bytes.
    pub(super) room: usize,
    /// Where events go.
    pub(super) log: &'a mut Log,
}

impl<'a> Call<'a> {
    /// The levels of the resource.
    pub(super) fn levels(&self) -> Vec<&'a str> {
        self.topic.levels().collect()
    }

    /// Writes down what this request did.
    pub(super) fn note(&mut self, kind: EventKind) {
        self.log.push(Event {
            at: self.now,
            link: Some(self.link),
            endpoint: Some(self.name.clone()),
            kind,
        });
    }
}

/// What an extension answers.
pub(super) type Answer = Result<Reply, Refusal>;

/// A success.
#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    /// `/status` with this payload, empty where the protocol has none.
    Status(Vec<u8>),
    /// As `Status`, but what was asked for is a push as well: without ID it is sent, too.
    Content(Vec<u8>),
    /// As `Status`, and given out without ID where the switch says so: an upload token.
    Token(Vec<u8>),
    /// No answer at all.
    Silence,
}

impl Reply {
    /// `/status` with a zero-length payload (FACTS trap 19).
    pub(super) const fn done() -> Self {
        Self::Status(Vec::new())
    }

    /// `/status` with a JSON payload.
    pub(super) fn json(value: &Value) -> Self {
        Self::Status(value.to_string().into_bytes())
    }
}

/// A failure, for `/error`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refusal {
    /// The `statusCode`.
    pub(super) status: u16,
    /// The `reasonPhrase`.
    pub(super) reason: String,
    /// Whether the device broke the protocol.
    pub(super) is_breach: bool,
}

impl Refusal {
    /// The device broke the protocol.
    pub(super) fn breach(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: topic::cut(&reason.into()),
            is_breach: true,
        }
    }

    /// The request is well-formed; the platform says no.
    pub(super) fn denied(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            is_breach: false,
        }
    }

    /// No such resource path in this extension.
    pub(super) fn unknown_resource() -> Self {
        Self::breach(404, "Unknown resource path")
    }

    /// The `/error` payload (1/KP "Error response").
    pub(super) fn payload(&self) -> Vec<u8> {
        let reason = Value::from(self.reason.as_str());
        format!(
            r#"{{"statusCode":{},"reasonPhrase":{reason}}}"#,
            self.status
        )
        .into_bytes()
    }
}
