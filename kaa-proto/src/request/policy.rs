//! How a request is to be treated: each part has a default for its type, and can be overridden
//! for one request.

use std::time::Duration;

use super::{DecodeError, InvalidRequest, Reply, Request, RequestWriter};
use crate::QoS;

/// What counts as the confirmation of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confirm {
    /// Done when its last byte was handed to the transport. Without request ID, QoS 0.
    Nothing,
    /// Done at PUBACK: the platform's front end took it; whether it was processed stays unknown
    /// (FACTS trap 36). QoS 1, because only then there is a PUBACK; without request ID unless the
    /// request asks for one.
    Acknowledged,
    /// Done when the platform answered. With request ID.
    Answered,
}

/// May a request be sent again when the link died before its confirmation?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend {
    /// No: it ends as [`Failure::OutcomeUnknown`](super::Failure::OutcomeUnknown). For what must
    /// not happen twice.
    Never,
    /// Yes, with the same request ID, so that any answer to it is right.
    AfterLinkLoss,
}

/// Which of the two queues of an endpoint a request waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Results, reports, reads and writes: sent first; a full queue refuses.
    Control,
    /// Telemetry: sent after all control; a full queue drops its oldest or refuses.
    Bulk,
}

/// What becomes of a request while there is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// It waits for the next link.
    Queue,
    /// It ends as [`Failure::Dropped`](super::Failure::Dropped): it would be worthless later.
    Drop,
}

/// The treatment of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// What counts as its confirmation.
    pub confirm: Confirm,
    /// Whether it may be sent again.
    pub resend: Resend,
    /// 0 or 1; `None` takes what `confirm` needs (0 for nothing, 1 for an acknowledgement), and for
    /// answered ones the level's default: 1 on a `Connection`, 0 on a lone `Endpoint`, whose host
    /// may resend QoS 1 by itself.
    pub qos: Option<QoS>,
    /// How long it may wait in the queue, from submit, up to 366 days; then it ends as
    /// [`Failure::Expired`](super::Failure::Expired) and was certainly never sent. One that waits
    /// to be sent again after a link loss ends as
    /// [`Failure::OutcomeUnknown`](super::Failure::OutcomeUnknown) then. `None`: for as long as
    /// the queue has room.
    pub expires_after: Option<Duration>,
    /// How long to wait for the confirmation, from the last byte handed to the transport; then it
    /// ends as [`Failure::Unanswered`](super::Failure::Unanswered). `None` takes the endpoint's
    /// default (30 s). Time without a link does not count.
    pub answer_within: Option<Duration>,
    /// Its queue.
    pub class: Class,
    /// What becomes of it while there is no link.
    pub offline: Offline,
    /// Whether it is to survive a crash, where the host keeps a store; `None` takes what the endpoint
    /// says for its class, which is no unless it was set
    /// ([`EndpointOptions::durable_requests`](crate::endpoint::EndpointOptions::durable_requests)).
    pub durable: Option<bool>,
}

impl Policy {
    pub(crate) const DEFAULT: Self = Self {
        confirm: Confirm::Answered,
        resend: Resend::AfterLinkLoss,
        qos: None,
        expires_after: None,
        answer_within: None,
        class: Class::Control,
        offline: Offline::Queue,
        durable: None,
    };
}

/// A longer wait for an answer is a mistake.
pub(crate) const MAX_ANSWER_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// A longer wait in the queue is as good as none, and would overflow clocks.
const MAX_EXPIRES_AFTER: Duration = Duration::from_secs(366 * 24 * 3600);

impl Policy {
    /// Whether it can be kept.
    pub(super) fn check(&self) -> Result<(), InvalidRequest> {
        let is_over = |time: Option<Duration>, max| time.is_some_and(|time| time > max);
        if self.answer_within == Some(Duration::ZERO)
            || is_over(self.answer_within, MAX_ANSWER_WITHIN)
        {
            let rule = "answer_within is over 0 and up to 24 hours";
            return Err(InvalidRequest::Policy(rule));
        }
        if is_over(self.expires_after, MAX_EXPIRES_AFTER) {
            return Err(InvalidRequest::Policy("expires_after is up to 366 days"));
        }
        Ok(())
    }
}

impl Default for Policy {
    /// Answered, resent after a link loss, in the control queue.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Overrides of one request's policy.
///
/// ```
/// use kaa_proto::request::{RequestExt, Resend};
/// use kaa_proto::telemetry::Sample;
///
/// // It carries its own time: a second copy does no harm, a lost one does.
/// let sample = Sample::new(serde_json::json!({"ts": 1795341600000_u64, "temperature": 21}))
///     .resend(Resend::AfterLinkLoss)
///     .expires_after(std::time::Duration::from_secs(3600));
/// # let _ = sample;
/// ```
pub trait RequestExt: Request + Sized {
    /// Sets what counts as the confirmation.
    fn confirm(self, confirm: Confirm) -> Adjusted<Self> {
        Adjusted::new(self).confirm(confirm)
    }

    /// Sets whether it may be sent again.
    fn resend(self, resend: Resend) -> Adjusted<Self> {
        Adjusted::new(self).resend(resend)
    }

    /// Sets the quality of service, 0 or 1.
    fn qos(self, qos: QoS) -> Adjusted<Self> {
        Adjusted::new(self).qos(qos)
    }

    /// Sets how long it may wait in the queue.
    fn expires_after(self, time: Duration) -> Adjusted<Self> {
        Adjusted::new(self).expires_after(time)
    }

    /// Sets how long to wait for the confirmation.
    fn answer_within(self, time: Duration) -> Adjusted<Self> {
        Adjusted::new(self).answer_within(time)
    }

    /// Makes it survive a crash, where the host keeps a store.
    fn durable(self) -> Adjusted<Self> {
        Adjusted::new(self).durable()
    }

    /// Keeps it in memory only, although its class is durable.
    fn volatile(self) -> Adjusted<Self> {
        Adjusted::new(self).volatile()
    }
}

impl<R: Request> RequestExt for R {}

/// A request with parts of its policy overridden; made by [`RequestExt`].
#[derive(Clone, Debug)]
pub struct Adjusted<R> {
    request: R,
    confirm: Option<Confirm>,
    resend: Option<Resend>,
    qos: Option<QoS>,
    expires_after: Option<Duration>,
    answer_within: Option<Duration>,
    durable: Option<bool>,
}

impl<R> Adjusted<R> {
    const fn new(request: R) -> Self {
        Self {
            request,
            confirm: None,
            resend: None,
            qos: None,
            expires_after: None,
            answer_within: None,
            durable: None,
        }
    }

    /// Sets what counts as the confirmation.
    #[must_use]
    pub fn confirm(self, confirm: Confirm) -> Self {
        Self {
            confirm: Some(confirm),
            ..self
        }
    }

    /// Sets whether it may be sent again.
    #[must_use]
    pub fn resend(self, resend: Resend) -> Self {
        Self {
            resend: Some(resend),
            ..self
        }
    }

    /// Sets the quality of service, 0 or 1.
    #[must_use]
    pub fn qos(self, qos: QoS) -> Self {
        Self {
            qos: Some(qos),
            ..self
        }
    }

    /// Sets how long it may wait in the queue.
    #[must_use]
    pub fn expires_after(self, time: Duration) -> Self {
        Self {
            expires_after: Some(time),
            ..self
        }
    }

    /// Sets how long to wait for the confirmation.
    #[must_use]
    pub fn answer_within(self, time: Duration) -> Self {
        Self {
            answer_within: Some(time),
            ..self
        }
    }

    /// Makes it survive a crash, where the host keeps a store.
    #[must_use]
    pub fn durable(self) -> Self {
        Self {
            durable: Some(true),
            ..self
        }
    }

    /// Keeps it in memory only, although its class is durable.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self {
            durable: Some(false),
            ..self
        }
    }
}

impl<R: Request> Request for Adjusted<R> {
    type Response = R::Response;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        self.request.encode(out)?;
        let policy = out.policy();
        policy.confirm = self.confirm.unwrap_or(policy.confirm);
        policy.resend = self.resend.unwrap_or(policy.resend);
        policy.qos = self.qos.or(policy.qos);
        policy.expires_after = self.expires_after.or(policy.expires_after);
        policy.answer_within = self.answer_within.or(policy.answer_within);
        policy.durable = self.durable.or(policy.durable);
        Ok(())
    }

    fn decode(reply: &Reply) -> Result<R::Response, DecodeError> {
        R::decode(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_may_be_as_long_as_their_bounds() {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let instant = Duration::from_nanos(1);
        let is_kept = |expires_after, answer_within| {
            let policy = Policy {
                expires_after: Some(expires_after),
                answer_within: Some(answer_within),
                ..Policy::DEFAULT
            };
            policy.check().is_ok()
        };
        assert!(is_kept(366 * DAY, DAY));
        assert!(is_kept(Duration::ZERO, instant));
        assert!(!is_kept(366 * DAY + instant, DAY));
        assert!(!is_kept(366 * DAY, DAY + instant));
        assert!(!is_kept(366 * DAY, Duration::ZERO));
    }
}
