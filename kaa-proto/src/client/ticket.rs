//! A request on its way, seen from the application.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::shared::{Handle, Slot};
use crate::connection::EndpointKey;
use crate::request::{Failure, Request, RequestId};

/// Stands for a request that was taken; tells how it ended.
///
/// It is a future of the outcome. Dropping it loses only the wait: the request goes on (and the
/// commands in an answer to [`Pending`](crate::commands::Pending) are given back to the platform). To take
/// the request itself back, [`cancel`](Self::cancel) it.
#[must_use = "dropping a ticket gives up the wait; use `send` to say so"]
pub struct Ticket<R> {
    handle: Arc<Handle>,
    key: EndpointKey,
    id: RequestId,
    /// The outcome was taken.
    done: bool,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Ticket<R> {
    pub(super) const fn new(handle: Arc<Handle>, key: EndpointKey, id: RequestId) -> Self {
        Self {
            handle,
            key,
            id,
            done: false,
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
        let outcome =
            self.handle
                .shared()
                .update(|state, _| match state.slots.get_mut(&slot_key) {
                    Some(Slot::Waiting(waiting)) => {
                        if let Some(context) = waker {
                            let waker = waiting.replace(context.waker().clone());
                            state.replaced.extend(waker);
                        }
                        None
                    }
                    Some(Slot::Ended(outcome)) => Some(outcome.clone()),
                    None => Some(Err(Failure::Closed)),
                })?;
        // Decoded outside the lock: it may be code of the application. If it panics, the commands
        // in the answer are given back when the ticket is dropped.
        let result = outcome.and_then(|reply| R::decode(&reply).map_err(Failure::from));
        self.done = true;
        self.handle.shared().read(|state, now| match &result {
            // The application has the commands in it.
            Ok(_) => state.slots.remove(&slot_key).and(None),
            Err(_) => state.forget(now, self.key, self.id),
        });
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

    /// Takes the request back. It ends as [`Failure::Cancelled`]; if it had been sent, it may
    /// have been processed. `false` if it has ended already.
    pub fn cancel(&self) -> bool {
        self.handle
            .shared()
            .act(|connection, now| connection.cancel(now, self.key, self.id))
    }
}

impl<R: Request> Future for Ticket<R> {
    type Output = Result<R::Response, Failure>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.take(Some(context)) {
            Some(outcome) => Poll::Ready(outcome),
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
