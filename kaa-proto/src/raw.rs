//! Any request to any extension, for what has no type of its own.
//!
//! ```
//! use kaa_proto::names::Extension;
//! use kaa_proto::raw::Call;
//! use kaa_proto::request::{Prepared, Service};
//!
//! // The time extension has no resource path at all.
//! let time = Call::new(Service::Other(Extension::new("tsx")?), "");
//! assert_eq!(Prepared::new(&time)?.resource(), "");
//!
//! // The request-status extension: what became of telemetry request 42?
//! let status = Call::new(Service::Other(Extension::new("rsx")?), "dcx").fixed_id(42);
//! # let _ = status;
//! # Ok::<(), kaa_proto::request::InvalidRequest>(())
//! ```
//!
//! Its policy is changed as any other's, with [`RequestExt`](crate::request::RequestExt); by
//! default it waits for an answer and is sent again after a link loss.

use std::fmt;

use serde::Serialize;

use crate::request::{DecodeError, InvalidRequest, Reply, Request, RequestWriter, Service};

/// A request to any extension. `Debug` shows the payload's length only.
#[derive(Clone)]
pub struct Call {
    service: Service,
    resource: String,
    payload: Vec<u8>,
    fixed_id: Option<u32>,
    serial: bool,
    status_in_body: bool,
}

impl Call {
    /// A request to this resource path: levels separated by `/`, without a leading one; empty for
    /// no level. Its payload is empty.
    #[must_use]
    pub fn new(service: Service, resource: impl Into<String>) -> Self {
        Self {
            service,
            resource: resource.into(),
            payload: Vec::new(),
            fixed_id: None,
            serial: false,
            status_in_body: false,
        }
    }

    /// Sends these bytes.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Sends this as JSON.
    ///
    /// # Errors
    /// [`InvalidRequest::Json`] if `payload` cannot be written as JSON.
    pub fn json(self, payload: &(impl Serialize + ?Sized)) -> Result<Self, InvalidRequest> {
        let json =
            serde_json::to_vec(payload).map_err(|error| InvalidRequest::Json(error.to_string()))?;
        Ok(self.payload(json))
    }

    /// Sends it with this number as request ID, from 1 to 2,147,483,647, instead of the next free
    /// one. The request-status extension takes the number for the one that is asked about, so two
    /// such calls about the same one cannot be told apart (FACTS trap 5).
    #[must_use]
    pub const fn fixed_id(mut self, id: u32) -> Self {
        self.fixed_id = Some(id);
        self
    }

    /// Makes it wait for other serial requests to this extension, such as writes.
    #[must_use]
    pub const fn serial(mut self) -> Self {
        self.serial = true;
        self
    }

    /// Reads `statusCode` in the body of the answer: 304 is an empty success, 400 and above a
    /// rejection (FACTS trap 20).
    #[must_use]
    pub const fn status_in_body(mut self) -> Self {
        self.status_in_body = true;
        self
    }
}

impl Request for Call {
    type Response = Reply;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.start(self.service.clone(), &self.resource)?;
        out.bytes(&self.payload);
        if let Some(id) = self.fixed_id {
            out.fixed_id(id)?;
        }
        if self.serial {
            out.serial();
        }
        if self.status_in_body {
            out.status_in_body();
        }
        Ok(())
    }

    fn decode(reply: &Reply) -> Result<Reply, DecodeError> {
        Ok(reply.clone())
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("service", &self.service)
            .field("resource", &self.resource)
            .field("payload_len", &self.payload.len())
            .field("fixed_id", &self.fixed_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::names::Extension;
    use crate::request::{Confirm, Prepared, RequestExt};

    fn other(name: &str) -> Service {
        Service::Other(Extension::new(name).unwrap())
    }

    #[test]
    fn zero_or_more_levels_to_any_extension() {
        let time = Call::new(other("tsx"), "").json(&json!({"timezone": "Pacific/Easter"}));
        let time = Prepared::new(&time.unwrap()).unwrap();
        assert_eq!(time.service(), &other("tsx"));
        assert_eq!(time.resource(), "");
        assert_eq!(time.payload(), br#"{"timezone":"Pacific/Easter"}"#);
        let deep = Call::new(Service::Configurations, "applied/json/net").payload("{}");
        let deep = Prepared::new(&deep).unwrap();
        assert_eq!(deep.resource(), "applied/json/net");
        assert!(deep.with_id && !deep.serial && !deep.status_in_body);
        let flagged = Call::new(Service::Software, "x").serial().status_in_body();
        let flagged = Prepared::new(&flagged).unwrap();
        assert!(flagged.serial && flagged.status_in_body);
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for resource in ["42", "a/42", "a//b", "/a", "a/", "a/+", "json/status"] {
            assert!(
                Prepared::new(&Call::new(other("x"), resource)).is_err(),
                "{resource}"
            );
        }
    }

    /// FACTS trap 5: the last level is the number that is asked about.
    #[test]
    fn trap_05_a_fixed_id_is_kept_and_bounded() {
        let call = |id| Call::new(other("rsx"), "dcx").fixed_id(id);
        let prepared = Prepared::new(&call(234_531)).unwrap();
        assert_eq!((prepared.fixed_id, prepared.with_id), (Some(234_531), true));
        assert!(Prepared::new(&call(i32::MAX.unsigned_abs())).is_ok());
        for id in [0, i32::MAX.unsigned_abs() + 1] {
            assert!(Prepared::new(&call(id)).is_err());
        }
        assert!(Prepared::new(&call(1).confirm(Confirm::Nothing)).is_err());
        let acknowledged = Prepared::new(&call(1).confirm(Confirm::Acknowledged)).unwrap();
        assert!(acknowledged.with_id);
    }

    #[test]
    fn the_reply_comes_back_whole() {
        let reply = Reply::new(Confirm::Answered, "".into(), Bytes::from("secret"));
        let back = Call::decode(&reply).unwrap();
        assert_eq!(back, reply);
        let call = Call::new(other("x"), "").payload("secret");
        assert!(!format!("{back:?}{call:?}").contains("secret"));
    }
}
