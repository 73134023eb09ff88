//! What must survive a crash.
//!
//! With [`EndpointOptions::durable`](super::EndpointOptions::durable) an endpoint leaves records
//! *before* what they guard becomes visible: the message, event or command that depends on a record
//! comes out when the host has said that it is stored
//! ([`Endpoint::handle_stored`](super::Endpoint::handle_stored)). So the power may go at any point;
//! [`Endpoint::restore`](super::Endpoint::restore) takes the records back in their order.
//!
//! | record | guards |
//! |---|---|
//! | `Accepted` | that the request is sent |
//! | `Sent` | that a request which may be sent only once is sent |
//! | `Ended` | that the application learns of its end |
//! | `Surfaced` | that the application gets the command |
//! | `Finished` | that the result is sent |
//! | `Applied`, `Current` | that the application learns that the report was confirmed |
//!
//! The others guard nothing: without them work is done again that does no harm.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::CommandKey;
use crate::config::Configuration;
use crate::names::ConfigName;
use crate::request::{Prepared, RequestId, StoredResult};

/// One fact to be stored, as [`Record::to_json`] writes it. Records are to be kept in the order in
/// which they came.
#[derive(Clone)]
#[non_exhaustive]
pub enum Record {
    /// A durable request was taken.
    Accepted(RequestId, Prepared),
    /// It is given out, and may not be sent again: from here on it may have been processed.
    Sent(RequestId),
    /// It was not sent after all: it may be.
    Unsent(RequestId),
    /// It ended; its records are no longer needed.
    Ended(RequestId),
    /// A command is surfaced to the application; once more for each time.
    Surfaced(CommandKey),
    /// It is not known any more: given back unanswered, interrupted and not outstanding any more, or it
    /// made room for newer ones.
    Forgotten(CommandKey),
    /// It was answered.
    Finished(CommandKey, ResultRecord),
    /// The platform took its result, or is done with it.
    ResultTaken(CommandKey),
    /// The platform confirmed that this configuration is applied.
    Applied(Option<ConfigName>, Arc<str>),
    /// The platform confirmed that this is the current software version.
    Current(Arc<str>),
    /// The configuration of which the next record says that it is applied, itself.
    Configuration(Configuration),
    /// The number of the next request: all before were given.
    Reached(RequestId),
}

/// A record as a store gives it back.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What was recorded.
    pub record: Record,
    /// How long ago, also while the program did not run; zero where nobody knows. By the wall
    /// clock, so it is as right as that was.
    pub age: Duration,
}

impl From<Record> for Stored {
    /// Recorded just now.
    fn from(record: Record) -> Self {
        let age = Duration::ZERO;
        Self { record, age }
    }
}

/// The stored result of a command. Opaque; `Debug` shows its length only.
#[derive(Clone)]
pub struct ResultRecord(pub(super) StoredResult);

impl ResultRecord {
    /// The result as it is sent to the platform: a JSON object of 11/CEP.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        &self.0.json
    }
}

impl fmt::Debug for ResultRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResultRecord({} bytes)", self.0.json.len())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted(id, request) => write!(f, "Accepted({id:?}, {request:?})"),
            Self::Sent(id) => write!(f, "Sent({id:?})"),
            Self::Unsent(id) => write!(f, "Unsent({id:?})"),
            Self::Ended(id) => write!(f, "Ended({id:?})"),
            Self::Surfaced(key) => write!(f, "Surfaced({key:?})"),
            Self::Forgotten(key) => write!(f, "Forgotten({key:?})"),
            Self::ResultTaken(key) => write!(f, "ResultTaken({key:?})"),
            Self::Finished(key, result) => write!(f, "Finished({key:?}, {result:?})"),
            Self::Applied(name, id) => write!(f, "Applied({name:?}, {id:?})"),
            Self::Current(version) => write!(f, "Current({version:?})"),
            Self::Configuration(good) => write!(f, "Configuration({good:?})"),
            Self::Reached(id) => write!(f, "Reached({id:?})"),
        }
    }
}
