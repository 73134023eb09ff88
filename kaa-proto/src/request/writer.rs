//! Where a request writes itself, and what comes out.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::{Confirm, Instances, InvalidRequest, Policy, Request, Service};
use crate::QoS;
use crate::commands::CommandId;
use crate::config::Configuration;
use crate::names::{CommandType, ConfigName, EndpointName};
use crate::topic::{MAX_PARSED_ID, Topic, check_resource};

/// Takes what a [`Request`] wants to send.
pub struct RequestWriter {
    /// What was written so far.
    request: Prepared,
    /// Whether a service was named.
    is_started: bool,
    needs_answer: bool,
}

impl RequestWriter {
    /// One that writes into the buffers of a request that is not needed any more.
    fn reusing(mut used: Prepared) -> Self {
        used.payload.clear();
        let request = Prepared {
            resource: used.resource,
            payload: used.payload,
            with_id: false,
            ..Prepared::blank()
        };
        Self {
            request,
            is_started: false,
            needs_answer: false,
        }
    }

    /// Names the service and the resource path, without a leading slash; the path may be empty.
    ///
    /// # Errors
    /// [`InvalidRequest::Resource`] if the path has an empty level, a reserved character, or a
    /// last level that would be read as an ID or a suffix.
    pub fn start(&mut self, service: Service, resource: &str) -> Result<(), InvalidRequest> {
        // The request before had a good one, and most often this one.
        if *self.request.resource != *resource {
            check_resource(resource)?;
            self.request.resource = resource.into();
        }
        self.request.service = service;
        self.is_started = true;
        Ok(())
    }

    /// Writes the payload as JSON, in place of what was there.
    ///
    /// # Errors
    /// [`InvalidRequest::Json`] if `value` cannot be JSON (a map with keys that are not strings,
    /// an error of its own).
    pub fn json(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), InvalidRequest> {
        self.request.payload.clear();
        serde_json::to_writer(&mut self.request.payload, value)
            .map_err(|error| InvalidRequest::Json(error.to_string()))
    }

    /// Writes the payload as it is, in place of what was there.
    pub fn bytes(&mut self, payload: &[u8]) {
        self.request.payload.clear();
        self.request.payload.extend_from_slice(payload);
    }

    /// The payload written so far.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.request.payload
    }

    /// The policy, to be changed from [`Policy::default`].
    pub const fn policy(&mut self) -> &mut Policy {
        &mut self.request.policy
    }

    /// Sends it with this number in the topic instead of the next free one (RSX, FACTS trap 5).
    ///
    /// # Errors
    /// [`InvalidRequest::Content`] if it is 0 or over 2,147,483,647.
    pub const fn fixed_id(&mut self, id: u32) -> Result<(), InvalidRequest> {
        if id == 0 || id > MAX_PARSED_ID {
            return Err(InvalidRequest::Content(
                "a request ID is from 1 to 2147483647",
            ));
        }
        self.request.fixed_id = Some(id);
        Ok(())
    }

    /// Gives it a request ID although [`Confirm::Acknowledged`] does not need one: a late `/error`
    /// is then reported as an event. Without effect on [`Confirm::Nothing`].
    pub const fn with_id(&mut self) {
        self.request.with_id = true;
    }

    /// Refuses every other policy than [`Confirm::Answered`], because the response is in the answer.
    pub const fn needs_answer(&mut self) {
        self.needs_answer = true;
    }

    /// Makes it wait for other serial requests of this endpoint and extension instance, in submit
    /// order: for writes, which a resend could otherwise put in the wrong order.
    pub const fn serial(&mut self) {
        self.request.serial = true;
    }

    /// Reads `statusCode` in the body of a `/status` answer: 304 is an empty success, 400 and
    /// above a rejection (FACTS trap 20).
    pub const fn status_in_body(&mut self) {
        self.request.status_in_body = true;
    }

    /// Drops what a `/status` answer says, because [`Request::decode`] does not look at it: whatever
    /// the platform writes there takes no memory while nobody asks for the response.
    pub const fn drops_answer(&mut self) {
        self.request.drops_answer = true;
    }

    /// The subscription that covers this resource, `+` standing for its variable levels.
    pub(crate) const fn pattern(&mut self, pattern: &'static str) {
        self.request.pattern = Some(pattern);
    }

    /// What its confirmation means for the endpoint's own state.
    pub(crate) fn effect(&mut self, effect: Effect) {
        self.request.effect = effect;
    }
}

impl fmt::Debug for RequestWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, .. } = self;
        write!(
            f,
            "RequestWriter({:?}, {:?})",
            request.service, request.resource
        )
    }
}

/// A payload may have room for so many bytes more than it has.
const MAX_SLACK: usize = 128;

/// A request as it is queued. `Debug` shows the payload's length only.
#[derive(Clone)]
pub struct Prepared {
    pub(crate) service: Service,
    pub(crate) resource: Arc<str>,
    pub(crate) pattern: Option<&'static str>,
    pub(crate) payload: Vec<u8>,
    pub(crate) policy: Policy,
    pub(crate) with_id: bool,
    pub(crate) fixed_id: Option<u32>,
    pub(crate) serial: bool,
    pub(crate) status_in_body: bool,
    pub(crate) drops_answer: bool,
    pub(crate) effect: Effect,
}

impl Prepared {
    /// Encodes `request`.
    ///
    /// # Errors
    /// [`InvalidRequest`] if it cannot be a request.
    pub fn new<R: Request + ?Sized>(request: &R) -> Result<Self, InvalidRequest> {
        Self::reusing(Self::blank(), request)
    }

    /// As [`new`](Self::new), with the buffers of one that is not needed any more.
    pub(crate) fn reusing<R: Request + ?Sized>(
        used: Self,
        request: &R,
    ) -> Result<Self, InvalidRequest> {
        let mut writer = RequestWriter::reusing(used);
        request.encode(&mut writer)?;
        if !writer.is_started {
            return Err(InvalidRequest::Content("no service was named"));
        }
        let mut request = writer.request;
        request.policy.check()?;
        if writer.needs_answer && request.policy.confirm != Confirm::Answered {
            return Err(InvalidRequest::Policy("its response is in the answer"));
        }
        if request.fixed_id.is_some() && request.policy.confirm == Confirm::Nothing {
            return Err(InvalidRequest::Policy(
                "a fixed request ID asks for an answer",
            ));
        }
        request.policy.qos = qos(&request.policy)?;
        request.with_id = match request.policy.confirm {
            Confirm::Nothing => false,
            Confirm::Acknowledged => request.with_id || request.fixed_id.is_some(),
            Confirm::Answered => true,
        };
        // The queues count its length, not what the buffer has room for.
        if request.payload.capacity() > request.payload.len() + MAX_SLACK {
            request.payload.shrink_to_fit();
        }
        Ok(request)
    }

    /// One that says nothing, to be written over.
    pub(crate) fn blank() -> Self {
        Self {
            service: Service::Telemetry,
            resource: Arc::default(),
            pattern: None,
            payload: Vec::new(),
            policy: Policy::DEFAULT,
            with_id: true,
            fixed_id: None,
            serial: false,
            status_in_body: false,
            drops_answer: false,
            effect: Effect::None,
        }
    }

    /// A request of our own, whose resource is made of valid names: [`Policy::default`], with ID.
    pub(crate) fn of_valid(service: Service, resource: &str, payload: Vec<u8>) -> Self {
        Self {
            service,
            resource: resource.into(),
            payload,
            ..Self::blank()
        }
    }

    /// What it is for.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Its resource path, without a leading slash.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The topic that it will be sent to, without its ID and with the token shortened, for logs.
    #[must_use]
    pub fn shortened_topic(&self, name: &EndpointName, instances: &Instances) -> String {
        Topic::of_valid(name, instances.of(&self.service), &self.resource).shortened()
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// How it is to be treated.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("service", &self.service)
            .field("resource", &self.resource)
            .field("payload_len", &self.payload.len())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The QoS that the confirmation needs; `None` where the level's default will do.
const fn qos(policy: &Policy) -> Result<Option<QoS>, InvalidRequest> {
    match (policy.confirm, policy.qos) {
        (_, Some(QoS::ExactlyOnce)) => Err(InvalidRequest::Policy("a request has QoS 0 or 1")),
        (Confirm::Acknowledged, Some(QoS::AtMostOnce)) => {
            Err(InvalidRequest::Policy("QoS 0 is never acknowledged"))
        }
        (Confirm::Nothing, Some(QoS::AtLeastOnce)) => Err(InvalidRequest::Policy(
            "QoS 1 is acknowledged, so nothing is not its confirmation",
        )),
        (Confirm::Nothing, _) => Ok(Some(QoS::AtMostOnce)),
        (Confirm::Acknowledged, _) => Ok(Some(QoS::AtLeastOnce)),
        (Confirm::Answered, qos) => Ok(qos),
    }
}

/// What a request means for the endpoint's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// Its answer is a list of commands of this type; they pass the ledger.
    Pending(CommandType),
    /// It reports results; the ledger keeps them.
    Results(CommandType, Vec<StoredResult>),
    /// Once confirmed, this is the applied configuration. With the configuration itself, if it was at
    /// hand and is to be kept.
    Applied(Option<ConfigName>, Arc<str>, Option<Box<Configuration>>),
    /// Once confirmed, this is the current software version.
    Current(Arc<str>),
}

/// The result of one command, as it was sent: an element of the array of 11/CEP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredResult {
    pub(crate) id: CommandId,
    pub(crate) json: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Extension;
    use crate::request::{Class, DecodeError, Offline, Reply, RequestExt, Resend};

    /// Writes itself as told.
    struct Told(fn(&mut RequestWriter) -> Result<(), InvalidRequest>);

    impl Request for Told {
        type Response = ();

        fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
            (self.0)(out)
        }

        fn decode(_: &Reply) -> Result<(), DecodeError> {
            Ok(())
        }
    }

    fn told() -> Told {
        Told(|out| out.start(Service::Metadata, "get"))
    }

    fn refusal(request: &impl Request) -> String {
        Prepared::new(request).unwrap_err().to_string()
    }

    #[test]
    fn each_confirmation_has_its_id_and_its_quality() {
        let of = |confirm| {
            let request = Prepared::new(&told().confirm(confirm)).unwrap();
            (request.with_id, request.policy().qos)
        };
        assert_eq!(of(Confirm::Nothing), (false, Some(QoS::AtMostOnce)));
        assert_eq!(of(Confirm::Acknowledged), (false, Some(QoS::AtLeastOnce)));
        assert_eq!(of(Confirm::Answered), (true, None));
    }

    #[test]
    fn an_id_can_be_asked_for_where_the_confirmation_needs_none() {
        let with_id = || {
            Told(|out| {
                out.with_id();
                out.start(Service::Metadata, "get")
            })
        };
        let of = |confirm| Prepared::new(&with_id().confirm(confirm)).unwrap().with_id;
        assert!(of(Confirm::Acknowledged));
        assert!(!of(Confirm::Nothing));
    }

    #[test]
    fn a_quality_that_contradicts_the_confirmation_is_refused() {
        use QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
        for confirm in [Confirm::Nothing, Confirm::Acknowledged, Confirm::Answered] {
            assert_eq!(
                refusal(&told().confirm(confirm).qos(ExactlyOnce)),
                "a request has QoS 0 or 1"
            );
        }
        assert_eq!(
            refusal(&told().confirm(Confirm::Acknowledged).qos(AtMostOnce)),
            "QoS 0 is never acknowledged"
        );
        assert_eq!(
            refusal(&told().confirm(Confirm::Nothing).qos(AtLeastOnce)),
            "QoS 1 is acknowledged, so nothing is not its confirmation"
        );
        for qos in [AtMostOnce, AtLeastOnce] {
            let request = Prepared::new(&told().qos(qos)).unwrap();
            assert_eq!(request.policy().qos, Some(qos));
        }
    }

    #[test]
    fn a_request_whose_response_is_the_answer_waits_for_it() {
        let needs = || {
            Told(|out| {
                out.needs_answer();
                out.start(Service::Metadata, "get")
            })
        };
        assert!(Prepared::new(&needs()).is_ok());
        assert_eq!(
            refusal(&needs().confirm(Confirm::Acknowledged)),
            "its response is in the answer"
        );
    }

    #[test]
    fn a_request_names_its_service_and_a_valid_resource() {
        assert_eq!(refusal(&Told(|_| Ok(()))), "no service was named");
        assert_eq!(
            refusal(&Told(|out| out.start(Service::Uploads, "token/7"))),
            "topic level 5 (resource) is purely numeric, which reads as a request ID"
        );
        let bad_name = Told(|out| out.start(Service::Other(Extension::new("a/b")?), ""));
        assert_eq!(refusal(&bad_name), "extension name holds the character '/'");
    }

    #[test]
    fn overrides_win_over_the_defaults_of_the_type() {
        let second = std::time::Duration::from_secs(1);
        let request = told()
            .resend(Resend::Never)
            .expires_after(second)
            .answer_within(2 * second)
            .durable();
        let expected = Policy {
            resend: Resend::Never,
            expires_after: Some(second),
            answer_within: Some(2 * second),
            durable: Some(true),
            ..Policy::default()
        };
        assert_eq!(Prepared::new(&request).unwrap().policy(), &expected);
        let policy = Policy::default();
        assert_eq!(
            (policy.class, policy.offline, policy.durable),
            (Class::Control, Offline::Queue, None)
        );
    }

    #[test]
    fn the_last_payload_counts_and_is_not_shown() {
        let request = Told(|out| {
            out.start(Service::Metadata, "update")?;
            out.json(&["a"])?;
            assert_eq!(out.payload(), br#"["a"]"#);
            out.bytes(b"secret");
            Ok(())
        });
        let request = Prepared::new(&request).unwrap();
        assert_eq!(request.payload(), b"secret");
        assert!(!format!("{request:?}").contains("secret"));
    }

    #[test]
    fn a_request_shows_where_it_goes_without_its_token() {
        let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
        let request = Prepared::new(&told()).unwrap();
        assert_eq!(
            request.shortened_topic(&name, &Instances::default()),
            "kp1/demo-v1/epmx/JTj…/get"
        );
    }
}
