//! What a request is: the trait behind every typed request, its policy, its answer, its fate.
//!
//! A [`Request`] writes itself into a [`RequestWriter`] on the caller's thread; what comes out is
//! a [`Prepared`] request that the machines queue, send and settle. Nothing here does I/O.
//!
//! The ready-made requests are in [`telemetry`](crate::telemetry),
//! [`metadata`](crate::metadata), [`commands`], [`config`](crate::config),
//! [`software`](crate::software), [`upload`](crate::upload) and [`raw`](crate::raw).

mod error;
mod policy;
mod writer;

pub use error::{DecodeError, Failure, InvalidRequest, RequestError, SubmitError};
pub(crate) use policy::MAX_ANSWER_WITHIN;
pub use policy::{Adjusted, Class, Confirm, Offline, Policy, RequestExt, Resend};
pub(crate) use writer::{Effect, StoredResult};
pub use writer::{Prepared, RequestWriter};

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::commands;
use crate::endpoint::CommandKey;
use crate::names::{CommandType, Extension};

/// One operation of the platform: how it is asked for, and how its answer is read.
///
/// Implement it for operations of your own; [`raw::Call`](crate::raw::Call) serves for one-offs.
///
/// ```
/// use kaa_proto::names::Extension;
/// use kaa_proto::request::{DecodeError, InvalidRequest, Reply, Request, RequestWriter, Service};
///
/// /// Asks the time extension for the platform's clock (milliseconds since 1970, UTC).
/// struct Time;
///
/// impl Request for Time {
///     type Response = u64;
///
///     fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
///         out.start(Service::Other(Extension::new("tsx")?), "")
///     }
///
///     fn decode(reply: &Reply) -> Result<u64, DecodeError> {
///         #[derive(serde::Deserialize)]
///         struct Answer {
///             timestamp: u64,
///         }
///         Ok(reply.json::<Answer>("time")?.timestamp)
///     }
/// }
/// ```
pub trait Request {
    /// What a success brings.
    type Response: Send + 'static;

    /// Writes resource, payload and policy.
    ///
    /// # Errors
    /// [`InvalidRequest`] if it cannot be a request; nothing is queued then.
    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest>;

    /// Reads the answer. Errors of the platform never reach this.
    ///
    /// # Errors
    /// [`DecodeError`] if the answer is not what this request expects. The platform has processed
    /// the request all the same.
    fn decode(reply: &Reply) -> Result<Self::Response, DecodeError>;
}

/// A request in the account of its endpoint: given at submit, rising, never reused.
///
/// It is not the number in the topic; that one is bound when the request is first sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number, for logs and stores.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The request with this number, as kept in a store.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// The part of the platform that a request is for. [`Instances`] gives its name in the topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Service {
    /// 2/DCP, `dcx`.
    Telemetry,
    /// 10/EPMP, `epmx`.
    Metadata,
    /// 11/CEP, `cex`.
    Commands,
    /// 7/CMP, `cmx`.
    Configurations,
    /// 7/CMP for software, `cmx_ota`.
    Software,
    /// Upload tokens, `bcx`.
    Uploads,
    /// Any other extension, by its instance name.
    Other(Extension),
}

/// The names of the extension instances in this deployment (1/KP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instances {
    telemetry: Extension,
    metadata: Extension,
    commands: Extension,
    configurations: Extension,
    software: Extension,
    uploads: Extension,
}

impl Instances {
    /// The instance of a service.
    #[must_use]
    pub const fn of<'a>(&'a self, service: &'a Service) -> &'a Extension {
        match service {
            Service::Telemetry => &self.telemetry,
            Service::Metadata => &self.metadata,
            Service::Commands => &self.commands,
            Service::Configurations => &self.configurations,
            Service::Software => &self.software,
            Service::Uploads => &self.uploads,
            Service::Other(extension) => extension,
        }
    }

    /// Names the instance of a service; for [`Service::Other`] there is nothing to name.
    #[must_use]
    pub fn with(mut self, service: &Service, extension: Extension) -> Self {
        match service {
            Service::Telemetry => self.telemetry = extension,
            Service::Metadata => self.metadata = extension,
            Service::Commands => self.commands = extension,
            Service::Configurations => self.configurations = extension,
            Service::Software => self.software = extension,
            Service::Uploads => self.uploads = extension,
            Service::Other(_) => {}
        }
        self
    }
}

/// `dcx`, `epmx`, `cex`, `cmx`, `cmx_ota`, `bcx`: what every public installation uses.
impl Default for Instances {
    fn default() -> Self {
        Self {
            telemetry: Extension::literal("dcx"),
            metadata: Extension::literal("epmx"),
            commands: Extension::literal("cex"),
            configurations: Extension::literal("cmx"),
            software: Extension::literal("cmx_ota"),
            uploads: Extension::literal("bcx"),
        }
    }
}

/// How a request was confirmed, and what came back.
///
/// `Debug` shows the payload's length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    confirmed: Confirm,
    resource: Arc<str>,
    payload: Bytes,
    /// The commands in it are in progress from now on, unless they are released.
    hands_out: Option<CommandType>,
}

impl Reply {
    pub(crate) const fn new(confirmed: Confirm, resource: Arc<str>, payload: Bytes) -> Self {
        Self {
            confirmed,
            resource,
            payload,
            hands_out: None,
        }
    }

    /// This reply to [`Pending`](crate::commands::Pending), with the commands of a type in it.
    pub(crate) fn handing_out(self, command_type: CommandType) -> Self {
        Self {
            hands_out: Some(command_type),
            ..self
        }
    }

    /// The commands in it. They are in progress from now on: a host that drops the reply unread
    /// releases them, so that the next delivery surfaces them again. The handles do.
    #[must_use]
    pub fn handed_out(&self) -> Vec<CommandKey> {
        let Some(command_type) = &self.hands_out else {
            return Vec::new();
        };
        let list = commands::parse_list(&self.payload, Some(command_type));
        let commands = list.map(|list| list.commands).unwrap_or_default();
        commands.iter().map(CommandKey::from).collect()
    }

    /// What the confirmation was: sent, acknowledged, or answered. It may be more than was asked for:
    /// the answer to a result may come before its acknowledgement.
    #[must_use]
    pub const fn confirmed(&self) -> Confirm {
        self.confirmed
    }

    /// The resource path that was asked, as it stood in the request.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The payload of the `/status` message; empty where there was none, or where the request has
    /// no use for it ([`RequestWriter::drops_answer`]).
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Reads the payload as JSON. `what` names it in the error.
    ///
    /// # Errors
    /// [`DecodeError`] says where it stopped being `what`; it never repeats the payload.
    pub fn json<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, DecodeError> {
        serde_json::from_slice(&self.payload).map_err(|error| DecodeError::json(what, &error))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Reply({:?}, {:?}, {} bytes)",
            self.confirmed,
            self.resource,
            self.payload.len()
        )
    }
}

/// How a request ended: with a confirmation, or in one of the ways of [`Failure`].
pub type Outcome = Result<Reply, Failure>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_instance_until_it_is_renamed() {
        let services = [
            (Service::Telemetry, "dcx"),
            (Service::Metadata, "epmx"),
            (Service::Commands, "cex"),
            (Service::Configurations, "cmx"),
            (Service::Software, "cmx_ota"),
            (Service::Uploads, "bcx"),
        ];
        for (service, name) in &services {
            assert_eq!(Instances::default().of(service).as_str(), *name);
            let renamed = Instances::default().with(service, Extension::literal("x"));
            let changed = services
                .iter()
                .filter(|(other, name)| renamed.of(other).as_str() != *name);
            assert!(changed.map(|(other, _)| other).eq([service]));
            assert_eq!(renamed.of(service).as_str(), "x");
        }
        let other = Service::Other(Extension::literal("tsx"));
        assert_eq!(Instances::default().of(&other).as_str(), "tsx");
    }

    #[test]
    fn a_reply_shows_where_it_came_from_but_not_what_it_says() {
        let reply = Reply::new(Confirm::Answered, "token".into(), Bytes::from("\"secret\""));
        assert_eq!(format!("{reply:?}"), r#"Reply(Answered, "token", 8 bytes)"#);
        assert_eq!(reply.resource(), "token");
        assert_eq!(reply.json::<String>("text").unwrap(), "secret");
        assert!(reply.json::<u8>("number").is_err());
    }
}
