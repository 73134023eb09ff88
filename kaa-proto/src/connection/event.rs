//! What a connection tells.

use std::time::Instant;

use super::cause::LinkError;
use super::link::{LinkId, LinkState};
use super::slab::EndpointKey;
use crate::endpoint::{self, Unfinished};
use crate::names::EndpointName;
use crate::store::StoreError;

/// Something the host or the application may want to know.
///
/// What endpoints tell, and that they are removed, is never lost. Of the rest at most 1,024 are
/// kept; then the oldest is lost and counted.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// CONNACK came: the link carries messages.
    LinkUp(LinkId),
    /// A link is over, or a dial failed.
    LinkLost {
        /// Which.
        link: LinkId,
        /// Why.
        error: LinkError,
        /// What it had been: dialing, greeting, up or draining.
        was: LinkState,
        /// When the next dial begins; `None` if there will be none.
        next_dial: Option<Instant>,
    },
    /// An endpoint tells something.
    Endpoint {
        /// Which.
        key: EndpointKey,
        /// What.
        event: endpoint::Event,
    },
    /// An endpoint was removed. It tells nothing any more.
    EndpointRemoved {
        /// Which.
        key: EndpointKey,
        /// Its requests that were not confirmed.
        unfinished: Vec<Unfinished>,
    },
    /// Links keep dying young (FACTS traps 32 and 34): endpoints are let speak one half after
    /// the other until the one that gets the link dropped is found. Meanwhile they wait.
    SearchStarted {
        /// How many are searched.
        endpoints: usize,
    },
    /// The search is over, and all may speak but those that were suspended.
    SearchEnded,
    /// This endpoint gets the link dropped, or the platform answered it with status 401 or 403 as
    /// often in a row as [`kick_limit`](super::Options::kick_limit) says, and there are others on
    /// this link. It says nothing until it is tried again alone; its requests wait.
    Suspended {
        /// Which.
        key: EndpointKey,
        /// Its name, which is shown with the token shortened.
        name: EndpointName,
    },
    /// This endpoint was suspended, and is served or does no harm any more, has nothing to say when
    /// it is to be tried, or may try with a new login ([`Connection::set_login`](super::Connection::set_login)).
    Resumed {
        /// Which.
        key: EndpointKey,
        /// Its name, which is shown with the token shortened.
        name: EndpointName,
    },
    /// A message arrived that nobody can use. It was acknowledged, and is counted.
    Stray {
        /// Its topic, with what stands in the token's place shortened, and every level if it does
        /// not begin as a 1/KP topic: a token may stand anywhere then. At most 256 bytes.
        topic: String,
        /// Why nobody can use it.
        reason: Stray,
    },
    /// The store failed. The client goes on in memory: a crash takes it back to what was stored last.
    /// It is tried again.
    StoreLost(StoreError),
    /// The store keeps everything again.
    StoreBack,
    /// There is no link, and there will be none: the last event but those of endpoints.
    Finished,
}

/// Why a message is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stray {
    /// It is no 1/KP topic.
    Malformed,
    /// No such endpoint is here: removed, or never added.
    UnknownEndpoint,
    /// It is larger than [`Options::max_packet_in`](super::Options::max_packet_in).
    Oversize {
        /// The size of its packet in bytes.
        size: usize,
    },
}
