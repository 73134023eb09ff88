//! Tickets of any request.

use kaa_proto::client::Ticket;
use kaa_proto::request::{Failure, Request};
use serde_json::{Map, Value};

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Said(pub(super) Option<Map<String, Value>>);

impl From<()> for Said {
    fn from((): ()) -> Self {
        Self(None)
    }
}

impl From<Map<String, Value>> for Said {
    fn from(map: Map<String, Value>) -> Self {
        Self(Some(map))
    }
}

/// A ticket whose outcome is not known.
pub(super) trait Pending {
    /// The outcome, once.
    fn outcome(&mut self) -> Option<Result<Said, Failure>>;

    /// Whether it survives a crash.
    fn is_stored(&self) -> bool;

    /// Takes the request back, if that can be done.
    fn cancel(&self) -> bool;
}

impl<R: Request> Pending for Ticket<R>
where
    Said: From<R::Response>,
{
    fn outcome(&mut self) -> Option<Result<Said, Failure>> {
        self.try_outcome().map(|outcome| outcome.map(Said::from))
    }

    fn is_stored(&self) -> bool {
        self.try_stored() == Some(Ok(()))
    }

    fn cancel(&self) -> bool {
        Self::cancel(self)
    }
}
