//! The side of the client that a binding's I/O loop holds.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::Shared;
use crate::connection::{Connection, Demand, LinkError, LinkId};

/// Moves the bytes of one client. A binding owns it and runs this loop:
///
/// ```text
/// loop {
///   1  demand  Dial → start dialing; HangUp → write the rest briefly, flush, close;
///              Abandon → close, write nothing more;
///              Finished → return
///   2  wait    for the first of: readable (if wants_input) · writable (if unsent bytes) ·
///              poll_timeout · woken by a handle
///   3  feed    exactly that one thing
/// }
/// ```
///
/// Read and write at the same time; feed at most 16 KiB before looking at timers again; a failed
/// write ends the link. The clock decides what is over, not the timer that woke the loop.
///
/// Dropping it ends everything that waits as closed.
pub struct Driver {
    shared: Arc<Shared>,
}

impl Driver {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What the transport should be. A level, not an edge: asking twice is harmless.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.shared.look(Connection::demand)
    }

    /// Whether input is to be read now.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.shared.look(Connection::wants_input)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.shared.update(|state, _| {
            state
                .connection
                .poll_timeout()
                .into_iter()
                .chain(state.waits.poll_timeout())
                .min()
        })
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) named.
    pub fn handle_timeout(&self) {
        self.shared
            .update(|state, now| state.connection.handle_timeout(now));
    }

    /// The transport is connected.
    pub fn handle_connected(&self, link: LinkId) {
        self.shared
            .update(|state, now| state.connection.handle_connected(now, link));
    }

    /// The transport is gone, or could not be had.
    pub fn handle_disconnected(&self, link: LinkId, cause: LinkError) {
        self.shared
            .update(|state, now| state.connection.handle_disconnected(now, link, cause));
    }

    /// Bytes came.
    pub fn handle_input(&self, link: LinkId, input: &[u8]) {
        self.shared
            .update(|state, now| state.connection.handle_input(now, link, input));
    }

    /// Appends what is to be written to `out`; how many bytes that is.
    pub fn poll_transmit(&self, out: &mut Vec<u8>) -> usize {
        self.shared
            .update(|state, now| state.connection.poll_transmit(now, out))
    }

    /// `n` more bytes of what was to be written are with the transport.
    pub fn handle_written(&self, link: LinkId, n: usize) {
        self.shared
            .update(|state, now| state.connection.handle_written(now, link, n));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut woken = Vec::new();
        self.shared.update(|state, now| {
            state.connection.close(now, Duration::ZERO);
            state.end(&mut woken);
        });
        woken.into_iter().for_each(std::task::Waker::wake);
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("demand", &self.demand())
            .finish_non_exhaustive()
    }
}
