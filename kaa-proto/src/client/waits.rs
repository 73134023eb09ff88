//! Waiting for the link, and for the end.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::shared::Handle;
use crate::connection::{Account, Event, LinkError, LinkState};
use crate::timers::Timers;

/// Who waits, and why the link is not up.
#[derive(Default)]
pub(super) struct Waits {
    next_id: u64,
    /// Who waits for the link.
    ready: BTreeMap<u64, Waker>,
    /// Until when. Who is not there waits for as long as it takes.
    deadlines: Timers<u64>,
    /// Who waits for the end.
    shutdown: BTreeMap<u64, Waker>,
    /// Why the last link was lost, while there is none.
    cause: Option<LinkError>,
}

impl Waits {
    pub(super) fn handle_link(&mut self, event: &Event, woken: &mut Vec<Waker>) {
        if let Event::LinkUp(_) = event {
            self.cause = None;
        } else if let Event::LinkLost { error, .. } = event {
            self.cause = Some(error.clone());
        } else {
            return;
        }
        self.wake_ready(woken);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        while let Some(id) = self.deadlines.pop_due(now) {
            woken.extend(self.ready.remove(&id));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn wake_all(&mut self, woken: &mut Vec<Waker>) {
        self.wake_ready(woken);
        woken.extend(std::mem::take(&mut self.shutdown).into_values());
    }

    /// Somebody did something about it: the next attempt may do better.
    pub(super) fn forget_cause(&mut self) {
        self.cause = None;
    }

    fn wake_ready(&mut self, woken: &mut Vec<Waker>) {
        self.deadlines = Timers::default();
        woken.extend(std::mem::take(&mut self.ready).into_values());
    }

    /// `id` waits for the link no more; whom it would have woken.
    fn forget_ready(&mut self, id: u64) -> Option<Waker> {
        self.deadlines.clear(&id);
        self.ready.remove(&id)
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// Waits until the link is usable; made by [`Client::ready`](super::Client::ready).
#[must_use = "a future does nothing unless it is awaited"]
pub struct Ready {
    handle: Arc<Handle>,
    id: u64,
    /// `None`: no clock goes that far.
    deadline: Option<Instant>,
}

impl Ready {
    pub(super) fn new(handle: Arc<Handle>, timeout: Duration) -> Self {
        let (id, now) = handle
            .shared()
            .update(|state, now| (state.waits.next_id(), now));
        Self {
            handle,
            id,
            deadline: now.checked_add(timeout),
        }
    }
}

impl Future for Ready {
    type Output = Result<(), NotReady>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The driver learns of the deadline.
        self.handle.shared().act_on_state(|state, now| {
            state.replaced.extend(state.waits.forget_ready(self.id));
            if state.connection.link_state() == LinkState::Up {
                return Poll::Ready(Ok(()));
            }
            match &state.waits.cause {
                Some(cause) if cause.needs_operator() => {
                    return Poll::Ready(Err(NotReady::Refused(cause.clone())));
                }
                _ if state.is_over => return Poll::Ready(Err(NotReady::Closed)),
                cause if self.deadline.is_some_and(|deadline| deadline <= now) => {
                    return Poll::Ready(Err(NotReady::TimedOut(cause.clone())));
                }
                _ => {}
            }
            let waits = &mut state.waits;
            waits.deadlines.set(self.id, self.deadline);
            waits.ready.insert(self.id, context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        self.handle
            .shared()
            .update(|state, _| state.waits.forget_ready(self.id));
    }
}

/// Why the link is not usable. The client goes on trying, unless it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// A person has to mend this; the next attempt is far off.
    Refused(LinkError),
    /// The time is over; why the last attempt failed, if one did.
    TimedOut(Option<LinkError>),
    /// The client is closed.
    Closed,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(cause) => write!(f, "the link was refused: {cause}"),
            Self::TimedOut(None) => f.write_str("the link is not up yet"),
            Self::TimedOut(Some(cause)) => write!(f, "the link is not up: {cause}"),
            Self::Closed => f.write_str("the client is closed"),
        }
    }
}

impl std::error::Error for NotReady {}

/// Waits until the client is closed; made by [`Client::shutdown`](super::Client::shutdown). The
/// client closes whether or not this is awaited.
#[must_use = "the account comes from awaiting this"]
pub struct Shutdown {
    handle: Arc<Handle>,
    id: u64,
}

impl Shutdown {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        let id = handle.shared().update(|state, _| state.waits.next_id());
        Self { handle, id }
    }
}

impl Future for Shutdown {
    type Output = Account;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Account> {
        self.handle.shared().update(|state, _| {
            if state.is_over {
                return Poll::Ready(state.account());
            }
            let shutdown = &mut state.waits.shutdown;
            let before = shutdown.insert(self.id, context.waker().clone());
            state.replaced.extend(before);
            Poll::Pending
        })
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        self.handle
            .shared()
            .update(|state, _| state.waits.shutdown.remove(&self.id));
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shutdown")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_is_not_usable_is_told_with_the_last_cause() {
        let cases = [
            (
                NotReady::Refused(LinkError::TlsWanted),
                "the link was refused: the server wants TLS at this port",
            ),
            (NotReady::TimedOut(None), "the link is not up yet"),
            (
                NotReady::TimedOut(Some(LinkError::Eof)),
                "the link is not up: closed by the server",
            ),
            (NotReady::Closed, "the client is closed"),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
