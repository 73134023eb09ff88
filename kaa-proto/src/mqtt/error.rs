//! Why something was not sent, and why a link is over.

use std::fmt;

use super::filter::InvalidTopic;
use super::refusal::ConnectRefusal;
use super::violation::Violation;

/// Why a message was not published. Nothing was written; the link is not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The link is not up: not yet, or no longer.
    NotConnected,
    /// Too much is unwritten. Try again when the transport has taken some of it.
    OutputFull,
    /// Too many messages are unacknowledged. Try again after the next acknowledgement.
    WindowFull,
    /// The packet would be over the limit.
    TooLarge {
        /// Its size in bytes; `usize::MAX` if MQTT cannot express it.
        size: usize,
        /// The most bytes that are sent.
        limit: usize,
    },
    /// The topic is none.
    BadTopic(InvalidTopic),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected"),
            Self::OutputFull => f.write_str("too many bytes are unwritten"),
            Self::WindowFull => f.write_str("too many messages are unacknowledged"),
            Self::TooLarge { size, limit } => write_too_large(f, *size, *limit),
            Self::BadTopic(problem) => write!(f, "the topic {problem}"),
        }
    }
}

impl std::error::Error for PublishError {}

/// Why a SUBSCRIBE or UNSUBSCRIBE was not sent. Nothing was written; the link is not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The link is not up: not yet, or no longer.
    NotConnected,
    /// Too much is unwritten. Try again when the transport has taken some of it.
    OutputFull,
    /// Too many of them are unanswered. Try again after the next answer.
    WindowFull,
    /// The packet would be over the limit. Send fewer filters at once.
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The most bytes that are sent.
        limit: usize,
    },
    /// There are no filters (MQTT-3.8.3-3, MQTT-3.10.3-2).
    NoFilters,
    /// A filter is none.
    BadFilter {
        /// Which, from 0.
        index: usize,
        /// What is wrong with it.
        problem: InvalidTopic,
    },
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("not connected"),
            Self::OutputFull => f.write_str("too many bytes are unwritten"),
            Self::WindowFull => f.write_str("too many subscribes are unanswered"),
            Self::TooLarge { size, limit } => write_too_large(f, *size, *limit),
            Self::NoFilters => f.write_str("there are no filters"),
            Self::BadFilter { index, problem } => write!(f, "filter {index} {problem}"),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// Why a link is over. The transport is to be closed; nothing more comes out of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkFailure {
    /// The server refused the CONNECT.
    Refused(ConnectRefusal),
    /// CONNACK did not come in time.
    NoConnAck,
    /// The server does not answer PINGREQ: the link is dead.
    KeepAliveTimeout,
    /// The window is full, and the server does not acknowledge the oldest message in time.
    Unacknowledged,
    /// The server broke the protocol.
    Violation(Violation),
}

impl fmt::Display for LinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "connect refused: {refusal}"),
            Self::NoConnAck => f.write_str("the server did not answer CONNECT in time"),
            Self::KeepAliveTimeout => f.write_str("the server did not answer PINGREQ in time"),
            Self::Unacknowledged => f.write_str("the server did not acknowledge a message in time"),
            Self::Violation(violation) => write!(f, "protocol violation: {violation}"),
        }
    }
}

impl std::error::Error for LinkFailure {}

fn write_too_large(f: &mut fmt::Formatter<'_>, size: usize, limit: usize) -> fmt::Result {
    write!(f, "the packet has {size} bytes, over the limit of {limit}")
}
