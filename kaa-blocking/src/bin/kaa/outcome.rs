//! How a request ended: for scripts, for people, and as an exit status.

use kaa_blocking::request::{Failure, RequestError, SubmitError};
use serde::Serialize;

use crate::exit::Exit;
use crate::problem::Problem;

/// What is printed of a request that has no answer of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    /// `confirmed`, or how it failed.
    pub(crate) outcome: &'static str,
    /// The platform's status, if it rejected it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// The platform's words, or what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip)]
    pub(crate) exit: Exit,
}

impl Outcome {
    pub(crate) const fn new(outcome: &'static str, exit: Exit) -> Self {
        Self {
            outcome,
            status: None,
            reason: None,
            exit,
        }
    }

    /// The platform said so.
    pub(crate) const fn confirmed() -> Self {
        Self::new("confirmed", Exit::Done)
    }

    pub(crate) fn failed(failure: &Failure) -> Self {
        match failure {
            Failure::Rejected { status, reason } => Self {
                status: *status,
                reason: Some(reason.clone()).filter(|reason| !reason.is_empty()),
                ..Self::new("rejected", Exit::Rejected)
            },
            Failure::Unanswered => Self::new("unanswered", Exit::Unknown),
            Failure::Undecodable(error) => Self {
                reason: Some(error.to_string()),
                ..Self::new("undecodable", Exit::Unknown)
            },
            Failure::Expired | Failure::Dropped => Self::new("not-sent", Exit::Unreachable),
            // Taken back, or closed before the answer: it may have been sent.
            Failure::OutcomeUnknown | Failure::Cancelled | Failure::Closed | _ => {
                Self::new("unknown", Exit::Unknown)
            }
        }
    }
}

/// What people are told of a request that failed.
pub(crate) fn failure_problem(failure: &Failure) -> Problem {
    let Outcome { exit, .. } = Outcome::failed(failure);
    let problem = Problem::new(exit, failure.to_string());
    match failure {
        Failure::Rejected {
            status: Some(401 | 403 | 404),
            ..
        } => problem.hint("check the token and --app-version: is this endpoint registered there?"),
        Failure::Unanswered => {
            problem.hint("a longer --timeout; the platform may have processed it all the same")
        }
        Failure::OutcomeUnknown => problem.hint("look whether it arrived before you send it again"),
        Failure::Rejected { .. }
        | Failure::Expired
        | Failure::Dropped
        | Failure::Cancelled
        | Failure::Closed
        | Failure::Undecodable(_)
        | _ => problem,
    }
}

/// What people are told of a request that was not taken.
pub(crate) fn submit_problem(error: &SubmitError) -> Problem {
    match *error == SubmitError::Closed {
        true => Problem::new(Exit::Interrupted, "interrupted before it was sent"),
        false => Problem::misuse(error.to_string()),
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Submit(error) => submit_problem(&error),
            RequestError::Failed(failure) => failure_problem(&failure),
        }
    }
}
