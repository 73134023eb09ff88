//! A request on its way, seen from the application.

use std::collections::hash_map::Entry;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::Handle;
use super::slot::NotStored;
use crate::connection::EndpointKey;
use crate::request::{Failure, Outcome, Request, RequestId};

/// Stands for a request that was taken; tells how it ended.
///
/// It is a future of the outcome; of [`Failure::Closed`] if that was taken before. Dropping it loses only the wait: the request goes on (and the
/// commands in an answer to [`Pending`](crate::commands::Pending) are given back to the platform). To take
/// the request itself back, [`cancel`](Self::cancel) it.
#[must_use = "dropping a ticket gives up the wait; use `send` to say so"]
pub struct Ticket<R> {
    handle: Arc<Handle>,
    key: EndpointKey,
    id: RequestId,
    /// The outcome was taken.
    done: bool,
    /// What the store had said by then.
    stored: Option<Result<(), NotStored>>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Ticket<R> {
    pub(super) const fn new(handle: Arc<Handle>, key: EndpointKey, id: RequestId) -> Self {
        Self {
            handle,
            key,
            id,
            done: false,
            stored: None,
            request: PhantomData,
        }
    }

    /// The outcome, if the request has ended; afterwards `None`.
    pub fn try_outcome(&mut self) -> Option<Result<R::Response, Failure>> {
        self.take(None)
    }

    fn take(&mut self, waker: Option<&Context<'_>>) -> Option<Result<R::Response, Failure>> {
        if self.done {
            return None;
        }
        let slot_key = (self.key, self.id);
        let outcome = self.handle.shared().attend(|state| {
            let Entry::Occupied(mut entry) = state.slots.entry(slot_key) else {
                return Some(Err(Failure::Closed));
            };
            let slot = entry.get_mut();
            self.stored = slot.storage();
            if slot.has_ended() {
                return entry.remove().into_parts().0;
            }
            if let Some(context) = waker {
                state.replaced.extend(slot.wait(context.waker()));
            }
            None
        })?;
        self.done = true;
        // Decoded outside the lock: it may be code of the application. If it fails or panics, the
        // commands in the answer are given back.
        let mut untaken = Untaken {
            ticket: self,
            outcome: Some(outcome),
        };
        let result = match &untaken.outcome {
            Some(Ok(reply)) => R::decode(reply).map_err(Failure::from),
            Some(Err(failure)) => Err(failure.clone()),
            None => Err(Failure::Closed),
        };
        if result.is_ok() {
            untaken.outcome = None;
        }
        drop(untaken);
        Some(result)
    }
}

impl<R> Ticket<R> {
    /// The request's number in the account of its endpoint.
    #[must_use]
    pub const fn id(&self) -> RequestId {
        self.id
    }

    /// Whether the outcome was taken.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        self.done
    }

    /// Waits until the store keeps the request, so that a crash does not lose it: the stage *durable*,
    /// at the level that [`Options::durability`](super::Options::durability) says. A request is
    /// sent only when it has reached it.
    ///
    /// # Errors
    /// [`NotStored`] if it is not going to be kept. The request goes on all the same, in memory.
    pub async fn stored(&mut self) -> Result<(), NotStored> {
        poll_fn(|context| self.poll_stored(context)).await
    }

    /// Whether the store keeps the request, as [`stored`](Self::stored) waits for; `None` if that is
    /// not known yet.
    #[must_use]
    pub fn try_stored(&self) -> Option<Result<(), NotStored>> {
        match self.ask_stored(None) {
            Poll::Ready(stored) => Some(stored),
            Poll::Pending => None,
        }
    }

    /// For bindings with waits of their own. It wakes who asked last, as the ticket itself does.
    pub fn poll_stored(&mut self, context: &Context<'_>) -> Poll<Result<(), NotStored>> {
        self.ask_stored(Some(context))
    }

    fn ask_stored(&self, context: Option<&Context<'_>>) -> Poll<Result<(), NotStored>> {
        self.handle.shared().attend(|state| {
            let Some(slot) = state.slots.get_mut(&(self.key, self.id)) else {
                return Poll::Ready(self.stored.unwrap_or(Err(NotStored::Ended)));
            };
            if let Some(stored) = slot.storage() {
                return Poll::Ready(stored);
            }
            if let Some(context) = context {
                state.replaced.extend(slot.wait(context.waker()));
            }
            Poll::Pending
        })
    }

    /// Takes the request back. It ends as [`Failure::Cancelled`]; if it had been sent, it may
    /// have been processed. `false` if it has ended already.
    pub fn cancel(&self) -> bool {
        self.handle
            .shared()
            .act(|connection, now| connection.cancel(now, self.key, self.id))
    }
}

/// An outcome on its way to the application.
struct Untaken<'a, R> {
    ticket: &'a Ticket<R>,
    outcome: Option<Outcome>,
}

impl<R> Drop for Untaken<'_, R> {
    fn drop(&mut self) {
        if let Some(Ok(reply)) = &self.outcome {
            let key = self.ticket.key;
            self.ticket
                .handle
                .shared()
                .act_on_state(|state, now| state.discard(now, key, reply));
        }
    }
}

impl<R: Request> Future for Ticket<R> {
    type Output = Result<R::Response, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.take(Some(context)) {
            Some(outcome) => Poll::Ready(outcome),
            // It was taken before: nothing will come any more.
            None if self.done => Poll::Ready(Err(Failure::Closed)),
            None => Poll::Pending,
        }
    }
}

impl<R> Drop for Ticket<R> {
    fn drop(&mut self) {
        if !self.done {
            self.handle
                .shared()
                .read(|state, now| state.forget(now, self.key, self.id));
        }
    }
}

impl<R> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
