//! What is known of a request that a ticket stands for.

use std::fmt;
use std::task::Waker;

use crate::request::Outcome;

/// A request that a ticket stands for.
#[derive(Default)]
pub(super) struct Slot {
    /// How it ended, once it has.
    outcome: Option<Outcome>,
    /// What the store says of it.
    storage: Storage,
    /// Who waits for one of these: a ticket waits for one thing at a time.
    waker: Option<Waker>,
    /// Of an earlier run, and nobody has its ticket.
    is_unclaimed: bool,
}

/// What the store says of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Storage {
    /// Nothing: it is not durable, or there is no store.
    #[default]
    None,
    /// Nothing yet.
    Awaited,
    /// It keeps it.
    Stored,
    /// It does not keep it.
    InMemory,
}

/// Why a request is not known to survive a crash. It goes on all the same, in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotStored {
    /// It is not durable ([`RequestExt::durable`](crate::request::RequestExt::durable)), or the client
    /// has no store.
    NotDurable,
    /// The store is full, or lost, or promises nothing
    /// ([`Durability::None`](crate::store::Durability::None)).
    InMemory,
    /// It ended, or the client was closed, before it was stored.
    Ended,
}

impl Slot {
    pub(super) fn new(storage: Storage) -> Self {
        Self {
            storage,
            ..Self::default()
        }
    }

    /// Of a request that goes on from an earlier run.
    pub(super) fn of_earlier_run(storage: Storage) -> Self {
        Self {
            storage,
            is_unclaimed: true,
            ..Self::default()
        }
    }

    /// Whether a ticket may be made for it: one, of a request of an earlier run.
    pub(super) const fn claim(&mut self) -> bool {
        std::mem::replace(&mut self.is_unclaimed, false)
    }

    pub(super) const fn is_unclaimed(&self) -> bool {
        self.is_unclaimed
    }

    /// Ends it, unless it has ended. Gives whom to wake.
    pub(super) fn end(&mut self, outcome: Outcome) -> Option<Waker> {
        if self.outcome.is_some() {
            return None;
        }
        self.outcome = Some(outcome);
        self.waker.take()
    }

    /// The store has spoken. Gives whom to wake.
    pub(super) fn handle_storage(&mut self, storage: Storage) -> Option<Waker> {
        if self.storage == Storage::None {
            return None;
        }
        self.storage = storage;
        self.waker.take()
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// Whether the request is known to survive a crash; `None` if that is not known yet.
    pub(super) const fn storage(&self) -> Option<Result<(), NotStored>> {
        match (self.storage, &self.outcome) {
            (Storage::None, _) => Some(Err(NotStored::NotDurable)),
            (Storage::Stored, _) => Some(Ok(())),
            (Storage::InMemory, _) => Some(Err(NotStored::InMemory)),
            (Storage::Awaited, Some(_)) => Some(Err(NotStored::Ended)),
            (Storage::Awaited, None) => None,
        }
    }

    /// Who waits from now on; who did before.
    pub(super) fn wait(&mut self, waker: &Waker) -> Option<Waker> {
        match &self.waker {
            Some(known) if known.will_wake(waker) => None,
            _ => self.waker.replace(waker.clone()),
        }
    }

    /// Its ticket is gone.
    pub(super) fn into_parts(self) -> (Option<Outcome>, Option<Waker>) {
        (self.outcome, self.waker)
    }
}

impl fmt::Display for NotStored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDurable => "the request is not durable",
            Self::InMemory => "the store does not keep the request",
            Self::Ended => "the request ended before it was stored",
        })
    }
}

impl std::error::Error for NotStored {}
