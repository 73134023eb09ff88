//! The connection behind its lock, and who waits for what.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::events::Subscribers;
use super::readers::Readers;
use super::waits::Waits;
use crate::connection::{AddError, Connection, EndpointKey, Event};
use crate::endpoint;
use crate::names::EndpointName;
use crate::request::{Failure, Outcome, Reply, RequestId};

/// What all handles and the driver share.
pub(super) struct Shared {
    state: Mutex<State>,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// Behind the lock.
pub(super) struct State {
    pub(super) connection: Connection,
    /// Requests whose end somebody wants to know.
    pub(super) slots: BTreeMap<(EndpointKey, RequestId), Slot>,
    /// Who reads commands, configurations and software.
    pub(super) readers: Readers,
    /// Who listens to link and endpoint events.
    pub(super) subscribers: Subscribers,
    /// Who waits for the link, or for the end.
    pub(super) waits: Waits,
    /// Who turns the driver. Taken when it is woken, so that much work wakes it once.
    driver: Option<Waker>,
    /// Nothing will happen any more.
    pub(super) is_over: bool,
    /// Wakers that were replaced. They are dropped outside the lock: that may run code of the
    /// application, which may use a handle.
    pub(super) replaced: Vec<Waker>,
}

/// A request that a ticket stands for.
pub(super) enum Slot {
    /// Not ended; whom to wake.
    ///
    /// Exits: `Ended`; gone with its ticket.
    Waiting(Option<Waker>),
    /// Ended; the ticket takes it.
    ///
    /// Exits: gone with its ticket.
    Ended(Outcome),
}

impl Shared {
    pub(super) fn new(
        connection: Connection,
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Self {
        let state = State {
            connection,
            slots: BTreeMap::new(),
            readers: Readers::default(),
            subscribers: Subscribers::default(),
            waits: Waits::default(),
            driver: None,
            is_over: false,
            replaced: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            clock,
        }
    }

    pub(super) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// Looks at the connection without changing it.
    pub(super) fn look<T>(&self, f: impl FnOnce(&Connection) -> T) -> T {
        f(&self.lock().connection)
    }

    /// When something is due, by the connection or for who waits.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let state = self.lock();
        let of_connection = state.connection.poll_timeout();
        of_connection
            .into_iter()
            .chain(state.waits.poll_timeout())
            .min()
    }

    /// Lets a handle change something, then wakes whom it concerns, and the driver.
    pub(super) fn act<T>(&self, f: impl FnOnce(&mut Connection, Instant) -> T) -> T {
        self.act_on_state(|state, now| f(&mut state.connection, now))
    }

    /// As [`act`](Self::act), with all that is behind the lock.
    pub(super) fn act_on_state<T>(&self, f: impl FnOnce(&mut State, Instant) -> T) -> T {
        self.change(f, |_| true)
    }

    /// Adds an endpoint, unless it is there. If it was leaving, its streams of before end.
    pub(super) fn add(
        &self,
        name: &EndpointName,
        add: impl FnOnce(&mut Connection, Instant) -> Result<EndpointKey, AddError>,
    ) -> Result<EndpointKey, AddError> {
        let mut woken = Vec::new();
        let added = self.act_on_state(|state, now| {
            let there = state.connection.find(name);
            let is_leaving = there.is_some_and(|key| state.connection.is_leaving(key));
            if let (Some(key), false) = (there, is_leaving) {
                return Ok(key);
            }
            let key = add(&mut state.connection, now)?;
            if is_leaving {
                state.readers.end(key, &mut woken);
                state.subscribers.end(key, &mut woken);
            }
            Ok(key)
        });
        wake(woken);
        added
    }

    /// Changes something, then wakes whom it concerns; the driver knows already.
    pub(super) fn update<T>(&self, f: impl FnOnce(&mut State, Instant) -> T) -> T {
        self.change(f, |_| false)
    }

    /// Reads something for the application; the driver is woken only if that made work for it.
    pub(super) fn read<T>(&self, f: impl FnOnce(&mut State, Instant) -> Option<T>) -> Option<T> {
        self.change(f, Option::is_some)
    }

    /// Who turns the driver.
    pub(super) fn register(&self, waker: &Waker) {
        let mut state = self.lock();
        let before = match &state.driver {
            Some(known) if known.will_wake(waker) => None,
            _ => state.driver.replace(waker.clone()),
        };
        drop(state);
        // Outside the lock: it may run code of the application.
        apart(|| drop(before));
    }

    /// There is no driver any more, and nothing will happen.
    pub(super) fn end(&self) {
        let mut woken = Vec::new();
        self.update(|state, now| {
            state.connection.close(now, Duration::ZERO);
            state.end(&mut woken);
            state.replaced.extend(state.driver.take());
        });
        wake(woken);
    }

    fn change<T>(
        &self,
        f: impl FnOnce(&mut State, Instant) -> T,
        makes_work: impl FnOnce(&T) -> bool,
    ) -> T {
        let mut woken = Vec::new();
        let mut state = self.lock();
        // Under the lock, so that the connection's time never goes back.
        let now = self.now();
        let result = f(&mut state, now);
        state.settle(now, &mut woken);
        if makes_work(&result) {
            woken.extend(state.driver.take());
        }
        let replaced = std::mem::take(&mut state.replaced);
        drop(state);
        // Outside the lock: a waker may run code of the application.
        apart(|| drop(replaced));
        wake(woken);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each call leaves the state whole; a panic elsewhere is no reason to stop the device.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Ends it, unless it has ended. Gives whom to wake.
    fn end(&mut self, outcome: Outcome) -> Option<Waker> {
        let Self::Waiting(waker) = self else {
            return None;
        };
        let waker = waker.take();
        *self = Self::Ended(outcome);
        waker
    }
}

impl State {
    /// Hands what the connection has to tell to those who wait for it.
    fn settle(&mut self, now: Instant, woken: &mut Vec<Waker>) {
        let mut is_finished = false;
        while let Some(event) = self.connection.poll_event() {
            if let Event::Endpoint { key, event } = event {
                self.settle_endpoint(now, key, event, woken);
                continue;
            }
            if let Event::EndpointRemoved { key, .. } = event {
                self.readers.wake(key, woken);
                self.subscribers.wake(key, woken);
            }
            self.waits.handle_link(&event, woken);
            self.subscribers.link(&event, woken);
            is_finished |= event == Event::Finished;
        }
        if is_finished {
            self.end(woken);
        }
        self.waits.handle_timeout(now, woken);
    }

    fn settle_endpoint(
        &mut self,
        now: Instant,
        key: EndpointKey,
        event: endpoint::Event,
        woken: &mut Vec<Waker>,
    ) {
        if let endpoint::Event::Completed { id, outcome } = event {
            match self.slots.get_mut(&(key, id)) {
                Some(slot) => woken.extend(slot.end(outcome)),
                None => self.discard(now, key, &outcome),
            }
        } else if let endpoint::Event::Unread(_) = event {
            self.readers.wake(key, woken);
        } else {
            self.subscribers.endpoint(key, &event, woken);
        }
    }

    /// Nobody will read an outcome: commands in it are given back.
    fn discard(&mut self, now: Instant, key: EndpointKey, outcome: &Outcome) {
        for command in outcome.iter().flat_map(Reply::handed_out) {
            self.connection.release(now, key, &command);
        }
    }

    /// A ticket is gone. `Some` if it leaves work: commands that were given back make room for
    /// others.
    pub(super) fn forget(&mut self, now: Instant, key: EndpointKey, id: RequestId) -> Option<()> {
        match self.slots.remove(&(key, id))? {
            Slot::Ended(outcome) => {
                self.discard(now, key, &outcome);
                Some(())
            }
            Slot::Waiting(waker) => {
                self.replaced.extend(waker);
                None
            }
        }
    }

    /// Nothing more will happen: everything that waits ends.
    pub(super) fn end(&mut self, woken: &mut Vec<Waker>) {
        self.is_over = true;
        self.replaced.extend(self.driver.take());
        let closed = |slot: &mut Slot| slot.end(Err(Failure::Closed));
        woken.extend(self.slots.values_mut().filter_map(closed));
        self.readers.wake_all(woken);
        self.subscribers.wake_all(woken);
        self.waits.wake_all(woken);
    }
}

/// Wakes everyone, whatever one of the wakers does.
fn wake(woken: Vec<Waker>) {
    for waker in woken {
        apart(|| waker.wake());
    }
}

/// Runs code of the application that is not the caller's: a panic in it must stop neither the
/// driver nor the one who happens to call a verb. The panic hook has told of it.
fn apart(code: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(code));
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// What every handle holds. When the last one goes, the client closes gracefully.
pub(super) struct Handle {
    shared: Arc<Shared>,
    /// How long the close may take.
    linger: Duration,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, linger: Duration) -> Self {
        Self { shared, linger }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared
            .act(|connection, now| connection.close(now, self.linger));
    }
}
