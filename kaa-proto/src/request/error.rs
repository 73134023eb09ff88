//! The caller's mistakes, and the fates of one request. The fate of a link is `connection`'s
//! matter.

use std::fmt;

use super::Class;
use crate::names::NameError;
use crate::topic::TopicError;

/// A request that cannot be one: the caller's mistake, found before anything is queued.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// A name in it is not valid.
    Name(NameError),
    /// Its resource path is not valid.
    Resource(TopicError),
    /// The value could not be turned into JSON; the text is serde's.
    Json(String),
    /// Its content breaks a rule of the protocol; the text says which.
    Content(&'static str),
    /// Its policy cannot be kept; the text says why.
    Policy(&'static str),
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Resource(error) => error.fmt(f),
            Self::Json(error) => write!(f, "payload cannot be written as JSON: {error}"),
            Self::Content(rule) | Self::Policy(rule) => f.write_str(rule),
        }
    }
}

impl std::error::Error for InvalidRequest {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Name(error) => Some(error),
            Self::Resource(error) => Some(error),
            Self::Json(_) | Self::Content(_) | Self::Policy(_) => None,
        }
    }
}

impl From<NameError> for InvalidRequest {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<TopicError> for InvalidRequest {
    fn from(error: TopicError) -> Self {
        Self::Resource(error)
    }
}

/// Why a request was not taken. Nothing that was taken before is affected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubmitError {
    /// It cannot be a request.
    Invalid(InvalidRequest),
    /// The queue of its class is full, and the policy is to refuse. Try again when something was
    /// confirmed.
    QueueFull(Class),
    /// Topic and payload exceed what one message may hold, in bytes.
    TooLarge {
        /// What it would take.
        size: usize,
        /// What there is.
        limit: usize,
    },
    /// A fixed wire ID that is in use by another request of this extension instance.
    IdInUse(u32),
    /// The endpoint was removed.
    UnknownEndpoint,
    /// The client is closing or closed.
    Closed,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::QueueFull(Class::Control) => f.write_str("the control queue is full"),
            Self::QueueFull(Class::Bulk) => f.write_str("the telemetry queue is full"),
            Self::TooLarge { size, limit } => {
                write!(
                    f,
                    "message of {size} bytes is over the limit of {limit} bytes"
                )
            }
            Self::IdInUse(id) => write!(f, "request ID {id} is in use"),
            Self::UnknownEndpoint => f.write_str("the endpoint was removed"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl std::error::Error for SubmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::QueueFull(_)
            | Self::TooLarge { .. }
            | Self::IdInUse(_)
            | Self::UnknownEndpoint
            | Self::Closed => None,
        }
    }
}

impl From<InvalidRequest> for SubmitError {
    fn from(error: InvalidRequest) -> Self {
        Self::Invalid(error)
    }
}

/// The ways in which a request that was taken can end without success. Every request ends
/// exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The platform refused it: by `/error`, or by a failing `statusCode` in a `/status` body.
    Rejected {
        /// The platform's status, if it gave one that is a whole number.
        status: Option<u16>,
        /// The platform's words, the first 256 bytes of them; may be empty.
        reason: String,
    },
    /// It was sent and the link stayed up, but no confirmation came in time. It may have been
    /// processed.
    Unanswered,
    /// It was sent, the link died before the confirmation, and it may not be sent again. It may
    /// have been processed.
    OutcomeUnknown,
    /// It waited in the queue for longer than it may. It was never sent.
    Expired,
    /// It made room for a newer one in a full queue, or there was no link and it may not wait. It
    /// was never sent.
    Dropped,
    /// The caller took it back. If it had been sent, it may have been processed.
    Cancelled,
    /// The client or the endpoint was closed before it could be confirmed. If it had been sent,
    /// it may have been processed.
    Closed,
    /// It was confirmed, but the answer is not what the request expects.
    Undecodable(DecodeError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { status, reason } => {
                f.write_str("rejected by the platform")?;
                if let Some(status) = status {
                    write!(f, " with status {status}")?;
                }
                match reason.is_empty() {
                    true => Ok(()),
                    false => write!(f, ": {reason}"),
                }
            }
            Self::Unanswered => f.write_str("sent, but not answered in time"),
            Self::OutcomeUnknown => {
                f.write_str("sent, but the link was lost before the answer: outcome unknown")
            }
            Self::Expired => f.write_str("expired in the queue, never sent"),
            Self::Dropped => f.write_str("dropped from the queue, never sent"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Closed => f.write_str("the client was closed"),
            Self::Undecodable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Undecodable(error)
    }
}

/// Submitting and waiting in one: either the request was not taken, or it ended without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// It was not taken.
    Submit(SubmitError),
    /// It ended without success.
    Failed(Failure),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit(error) => error.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {}

impl From<SubmitError> for RequestError {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

impl From<Failure> for RequestError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// An answer, or what the platform pushed, that is not what it should be. It names the place, never the
/// content, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    what: &'static str,
    problem: Option<(serde_json::error::Category, usize, usize)>,
}

impl DecodeError {
    /// `what` was expected and is not there.
    #[must_use]
    pub const fn new(what: &'static str) -> Self {
        Self {
            what,
            problem: None,
        }
    }

    /// `what` could not be read as JSON.
    #[must_use]
    pub fn json(what: &'static str, error: &serde_json::Error) -> Self {
        Self {
            what,
            problem: Some((error.classify(), error.line(), error.column())),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use serde_json::error::Category;
        write!(f, "what came is not a valid {}", self.what)?;
        let Some((category, line, column)) = self.problem else {
            return Ok(());
        };
        let problem = match category {
            Category::Data => "wrong type or missing field",
            Category::Eof => "unexpected end",
            Category::Syntax | Category::Io => "not JSON",
        };
        write!(f, ": {problem} at line {line} column {column}")
    }
}

impl std::error::Error for DecodeError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::MetadataKey;
    use crate::topic::check_resource;

    fn decode_error(json: &str) -> DecodeError {
        DecodeError::json("answer", &serde_json::from_str::<u8>(json).unwrap_err())
    }

    #[test]
    fn a_mistake_says_what_is_wrong() {
        let name = MetadataKey::new("a-b").unwrap_err();
        let resource = check_resource("a//b").unwrap_err();
        let shown = |error: InvalidRequest| error.to_string();
        assert_eq!(shown(name.into()), "metadata key holds the character '-'");
        assert_eq!(shown(resource.into()), "topic level 5 (resource) is empty");
        assert_eq!(
            shown(InvalidRequest::Json(String::from("key must be a string"))),
            "payload cannot be written as JSON: key must be a string"
        );
        assert_eq!(shown(InvalidRequest::Content("a rule")), "a rule");
        assert_eq!(shown(InvalidRequest::Policy("a reason")), "a reason");
        let source = |error: InvalidRequest| {
            std::error::Error::source(&SubmitError::from(error))?
                .source()
                .map(ToString::to_string)
        };
        assert_eq!(source(name.into()), Some(name.to_string()));
        assert_eq!(source(resource.into()), Some(resource.to_string()));
        assert_eq!(source(InvalidRequest::Content("a rule")), None);
        assert!(std::error::Error::source(&SubmitError::Closed).is_none());
    }

    #[test]
    fn a_refusal_says_why() {
        let shown = [
            (
                SubmitError::Invalid(InvalidRequest::Content("a rule")),
                "a rule",
            ),
            (
                SubmitError::QueueFull(Class::Control),
                "the control queue is full",
            ),
            (
                SubmitError::QueueFull(Class::Bulk),
                "the telemetry queue is full",
            ),
            (
                SubmitError::TooLarge { size: 9, limit: 8 },
                "message of 9 bytes is over the limit of 8 bytes",
            ),
            (SubmitError::IdInUse(7), "request ID 7 is in use"),
            (SubmitError::UnknownEndpoint, "the endpoint was removed"),
            (SubmitError::Closed, "the client is closed"),
        ];
        for (error, text) in shown {
            assert_eq!(error.to_string(), text);
            assert_eq!(RequestError::from(error).to_string(), text);
        }
    }

    #[test]
    fn a_fate_says_whether_it_was_sent() {
        let rejected = |status, reason: &str| Failure::Rejected {
            status,
            reason: reason.into(),
        };
        let shown = [
            (rejected(None, ""), "rejected by the platform"),
            (
                rejected(Some(403), ""),
                "rejected by the platform with status 403",
            ),
            (
                rejected(Some(400), "bad"),
                "rejected by the platform with status 400: bad",
            ),
            (Failure::Unanswered, "sent, but not answered in time"),
            (
                Failure::OutcomeUnknown,
                "sent, but the link was lost before the answer: outcome unknown",
            ),
            (Failure::Expired, "expired in the queue, never sent"),
            (Failure::Dropped, "dropped from the queue, never sent"),
            (Failure::Cancelled, "cancelled"),
            (Failure::Closed, "the client was closed"),
            (
                DecodeError::new("answer").into(),
                "what came is not a valid answer",
            ),
        ];
        for (failure, text) in shown {
            assert_eq!(failure.to_string(), text);
            assert_eq!(RequestError::from(failure).to_string(), text);
        }
    }

    #[test]
    fn an_undecodable_answer_is_placed_but_not_repeated() {
        assert_eq!(
            decode_error("\"secret\"").to_string(),
            "what came is not a valid answer: wrong type or missing field at line 1 column 8"
        );
        assert_eq!(
            decode_error("").to_string(),
            "what came is not a valid answer: unexpected end at line 1 column 0"
        );
        assert_eq!(
            decode_error("secret").to_string(),
            "what came is not a valid answer: not JSON at line 1 column 1"
        );
        assert!(!format!("{:?}", decode_error("\"secret\"")).contains("secret"));
    }
}
