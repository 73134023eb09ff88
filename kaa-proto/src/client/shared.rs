//! The connection behind its lock, and who waits for what.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::archive::{Archive, Done, Job, StoreStatus};
use super::events::Subscribers;
use super::readers::Readers;
use super::slot::{Slot, Storage};
use super::waits::Waits;
use crate::connection::{Account, AddError, Connection, EndpointKey, Event, LinkId};
use crate::endpoint;
use crate::names::EndpointName;
use crate::request::{Failure, Outcome, Prepared, Reply, RequestId, SubmitError};
use crate::store::StoreError;

/// What all handles and the driver share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rung when there is something to be stored.
    bell: Condvar,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

/// Behind the lock.
pub(super) struct State {
    pub(super) connection: Connection,
    /// Requests whose end somebody wants to know.
    pub(super) slots: FxHashMap<(EndpointKey, RequestId), Slot>,
    /// Which of them are of an earlier run.
    resumed: FxHashMap<EndpointKey, Vec<RequestId>>,
    /// Who reads commands, configurations and software.
    pub(super) readers: Readers,
    /// Who listens to link and endpoint events.
    pub(super) subscribers: Subscribers,
    /// Who waits for the link, or for the end.
    pub(super) waits: Waits,
    /// Who turns the driver. Taken when it is woken, so that much work wakes it once.
    driver: Option<Waker>,
    /// Where records go, if anywhere.
    archive: Option<Archive>,
    /// When the connection was finished: only the store is waited for.
    finished_at: Option<Instant>,
    /// Nothing will happen any more.
    pub(super) is_over: bool,
    /// Wakers that were replaced. They are dropped outside the lock: that may run code of the
    /// application, which may use a handle.
    pub(super) replaced: Vec<Waker>,
}

/// How long the end of a client waits for its store: a medium that hangs must not make the client
/// hang.
const STORE_GRACE: Duration = Duration::from_secs(5);

impl Shared {
    pub(super) fn new(
        connection: Connection,
        archive: Option<Archive>,
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
    ) -> Self {
        let state = State {
            connection,
            slots: FxHashMap::default(),
            resumed: FxHashMap::default(),
            readers: Readers::default(),
            subscribers: Subscribers::default(),
            waits: Waits::default(),
            driver: None,
            archive,
            finished_at: None,
            is_over: false,
            replaced: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
            bell: Condvar::new(),
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
        let deadlines = [
            state.connection.poll_timeout(),
            state.waits.poll_timeout(),
            state.store_deadline(),
        ];
        deadlines.into_iter().flatten().min()
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
            if !is_leaving {
                state.restore(now, name, key);
            }
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

    /// Hands the connection what came; whether that woke somebody.
    pub(super) fn feed(&self, link: LinkId, input: &[u8]) -> bool {
        let handle = |state: &mut State, now| state.connection.handle_input(now, link, input);
        self.change_and_wake(handle, |()| false).1
    }

    /// Looks at what the end of requests left, and says who waits for it. The connection knows nothing
    /// of that.
    pub(super) fn attend<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = f(&mut state);
        if state.slots.is_empty() {
            // An empty map keeps its room.
            state.slots = FxHashMap::default();
        }
        let replaced = std::mem::take(&mut state.replaced);
        drop(state);
        drop_apart(replaced);
        result
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

    /// Begins to close, or shortens that. What waits to be stored with others waits no longer.
    pub(super) fn close(&self, timeout: Duration) {
        self.act_on_state(|state, now| {
            state.connection.close(now, timeout);
            state.call_writer();
        });
    }

    /// There is no driver any more, and nothing will happen.
    pub(super) fn end(&self) {
        let mut woken = Vec::new();
        self.update(|state, now| {
            state.connection.close(now, Duration::ZERO);
            state.replaced.extend(state.driver.take());
            state.end(&mut woken);
        });
        wake(woken);
    }

    /// Whether nothing will happen any more.
    pub(super) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// How the store fares, if there is one.
    pub(super) fn store_status(&self) -> Option<StoreStatus> {
        self.lock()
            .archive
            .as_ref()
            .map(|archive| archive.status().clone())
    }

    /// What the writer does next, and whether that is all. `None`: nothing is stored here.
    pub(super) fn next_store_job(&self, bloated: bool) -> Option<(Job, bool)> {
        self.change(
            |state, now| {
                let archive = state.archive.as_mut()?;
                let job = archive.next_job(now, &mut state.connection, bloated);
                let is_finished = state.finished_at.is_some() && !state.connection.is_storing();
                Some((job, state.is_over || is_finished))
            },
            |_| false,
        )
    }

    /// The writer has done a job.
    pub(super) fn handle_stored(&self, done: &Done, result: Result<(), StoreError>) {
        self.act_on_state(|state, now| {
            if let Some(archive) = &mut state.archive {
                archive.handle_done(now, &mut state.connection, done, result);
            }
        });
    }

    /// The writer has let go of the store.
    pub(super) fn handle_store_closed(&self) {
        self.update(|state, _| {
            if let Some(archive) = &mut state.archive {
                archive.handle_closed();
            }
        });
    }

    /// Blocks the thread until something may have to be stored, until then at the latest.
    pub(super) fn wait_for_records(&self, until: Option<Instant>) {
        let state = self.lock();
        if state.archive.as_ref().is_none_or(Archive::has_news) {
            return;
        }
        let longest = Duration::from_secs(60);
        let time = until.map_or(longest, |until| {
            until.saturating_duration_since(self.now()).min(longest)
        });
        drop(self.bell.wait_timeout(state, time));
    }

    fn change<T>(
        &self,
        f: impl FnOnce(&mut State, Instant) -> T,
        makes_work: impl FnOnce(&T) -> bool,
    ) -> T {
        self.change_and_wake(f, makes_work).0
    }

    /// Also whether somebody was woken.
    fn change_and_wake<T>(
        &self,
        f: impl FnOnce(&mut State, Instant) -> T,
        makes_work: impl FnOnce(&T) -> bool,
    ) -> (T, bool) {
        let mut woken = Vec::new();
        let mut state = self.lock();
        // Under the lock, so that the connection's time never goes back.
        let now = self.now();
        let result = f(&mut state, now);
        let is_freed = state.settle(now, &mut woken);
        if makes_work(&result) || is_freed {
            woken.extend(state.driver.take());
        }
        let replaced = std::mem::take(&mut state.replaced);
        let ring = state.archive.as_mut().is_some_and(Archive::take_ring);
        drop(state);
        if ring {
            self.bell.notify_one();
        }
        drop_apart(replaced);
        let has_woken = !woken.is_empty();
        wake(woken);
        (result, has_woken)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each call leaves the state whole; a panic elsewhere is no reason to stop the device.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands what the connection has to tell to those who wait for it.
    ///
    /// Whether that let out something for the driver.
    fn settle(&mut self, now: Instant, woken: &mut Vec<Waker>) -> bool {
        let mut is_freed = false;
        loop {
            // Whatever is told may depend on what was recorded, never the other way round.
            if let Some(archive) = &mut self.archive {
                is_freed |= archive.collect(now, &mut self.connection);
            }
            let Some(event) = self.connection.poll_event() else {
                break;
            };
            if let Event::Endpoint { key, event } = event {
                self.settle_endpoint(now, key, event, woken);
                continue;
            }
            if let Event::EndpointRemoved { key, .. } = event {
                self.forget_unclaimed(key);
                self.readers.wake(key, woken);
                self.subscribers.wake(key, woken);
            }
            self.waits.handle_link(&event, woken);
            self.subscribers.link(&event, woken);
            if event == Event::Finished {
                self.finished_at.get_or_insert(now);
                self.call_writer();
            }
        }
        let is_open = self.archive.as_ref().is_some_and(Archive::is_open);
        let waits_for_store = |deadline| now < deadline && is_open;
        let is_last = self.store_deadline().is_some_and(|at| !waits_for_store(at));
        if is_last {
            self.end(woken);
        }
        self.waits.handle_timeout(now, woken);
        is_freed
    }

    fn settle_endpoint(
        &mut self,
        now: Instant,
        key: EndpointKey,
        event: endpoint::Event,
        woken: &mut Vec<Waker>,
    ) {
        if let endpoint::Event::RestoredCompleted { id, outcome } = &event {
            // Kept for who asks for its ticket.
            woken.extend(self.end_slot(now, (key, *id), outcome.clone()));
        }
        if let endpoint::Event::Completed { id, outcome } = event {
            woken.extend(self.end_slot(now, (key, id), outcome));
        } else if let endpoint::Event::Stored(id) = event {
            let storage = self.archive.as_ref().map(Archive::storage);
            self.handle_storage((key, id), storage.unwrap_or_default(), woken);
        } else if let endpoint::Event::NotStored(id) = event {
            self.handle_storage((key, id), Storage::InMemory, woken);
            self.subscribers.endpoint(key, &event, woken);
        } else if let endpoint::Event::Unread(_) = event {
            self.readers.wake(key, woken);
        } else {
            self.subscribers.endpoint(key, &event, woken);
        }
    }

    /// A request has ended. Gives whom to wake; without a ticket nobody will read how.
    fn end_slot(
        &mut self,
        now: Instant,
        of: (EndpointKey, RequestId),
        outcome: Outcome,
    ) -> Option<Waker> {
        if let Some(slot) = self.slots.get_mut(&of) {
            return slot.end(outcome);
        }
        if let Ok(reply) = outcome {
            self.discard(now, of.0, &reply);
        }
        None
    }

    /// Nobody will read an outcome: commands in it are given back.
    pub(super) fn discard(&mut self, now: Instant, key: EndpointKey, reply: &Reply) {
        for command in reply.handed_out() {
            self.connection.release(now, key, &command);
        }
    }

    /// A ticket is gone. `Some` if it leaves work: commands that were given back make room for
    /// others.
    pub(super) fn forget(&mut self, now: Instant, key: EndpointKey, id: RequestId) -> Option<()> {
        let (outcome, waker) = self.slots.remove(&(key, id))?.into_parts();
        self.replaced.extend(waker);
        self.discard(now, key, &outcome?.ok()?);
        Some(())
    }

    /// Takes a request that a ticket will stand for.
    pub(super) fn submit(
        &mut self,
        now: Instant,
        key: EndpointKey,
        request: Prepared,
    ) -> Result<RequestId, SubmitError> {
        let storage = self.storage_of(key, &request);
        let id = self.connection.submit_prepared(now, key, request)?;
        self.slots.insert((key, id), Slot::new(storage));
        Ok(id)
    }

    /// Takes the result of a command, for which a ticket will stand.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        key: EndpointKey,
        report: Prepared,
    ) -> Result<RequestId, SubmitError> {
        let storage = self.storage_of(key, &report);
        let id = self.connection.respond_prepared(now, key, report)?;
        self.slots.insert((key, id), Slot::new(storage));
        Ok(id)
    }

    /// What the store is going to say of a request.
    fn storage_of(&self, key: EndpointKey, request: &Prepared) -> Storage {
        let endpoint = self.connection.endpoint(key);
        match endpoint.is_some_and(|endpoint| endpoint.is_durable(request)) {
            true => Storage::Awaited,
            false => Storage::None,
        }
    }

    /// The account of the end. What was stored is known only now: the client waited for its store.
    /// With one that promises nothing, nothing is called stored.
    pub(super) fn account(&self) -> Account {
        let mut account = self.connection.account().cloned().unwrap_or_default();
        let is_durable = self.archive.as_ref().is_some_and(Archive::is_durable);
        for (name, request) in &mut account.unfinished {
            let key = self.connection.find(name);
            let endpoint = key.and_then(|key| self.connection.endpoint(key));
            request.stored |= endpoint.is_some_and(|endpoint| endpoint.has_stored(request.id));
            request.stored &= is_durable;
        }
        account
    }

    fn handle_storage(
        &mut self,
        of: (EndpointKey, RequestId),
        storage: Storage,
        woken: &mut Vec<Waker>,
    ) {
        let slot = self.slots.get_mut(&of);
        woken.extend(slot.and_then(|slot| slot.handle_storage(storage)));
    }

    /// An endpoint was added: it takes up what the store knows of it.
    fn restore(&mut self, now: Instant, name: &EndpointName, key: EndpointKey) {
        if let Some(archive) = &mut self.archive {
            let of_stored = archive.storage();
            let records = archive.take(name, now);
            if records.is_empty() {
                return;
            }
            self.connection.restore(now, key, records);
            let endpoint = self.connection.endpoint(key);
            let resumed = endpoint.into_iter().flat_map(endpoint::Endpoint::resumed);
            let storage = |id| match endpoint.is_some_and(|e| e.has_stored(id)) {
                true => of_stored,
                false => Storage::Awaited,
            };
            let slots = resumed.map(|id| ((key, id), Slot::of_earlier_run(storage(id))));
            let slots: Vec<_> = slots.collect();
            self.resumed
                .insert(key, slots.iter().map(|((_, id), _)| *id).collect());
            self.slots.extend(slots);
        }
    }

    fn call_writer(&mut self) {
        if let Some(archive) = &mut self.archive {
            archive.call();
        }
    }

    /// An endpoint is gone: nobody can ask for the tickets of its earlier run any more.
    fn forget_unclaimed(&mut self, key: EndpointKey) {
        for id in self.resumed.remove(&key).into_iter().flatten() {
            if self.slots.get(&(key, id)).is_some_and(Slot::is_unclaimed) {
                self.slots.remove(&(key, id));
            }
        }
    }

    /// Until when the end waits for the store.
    fn store_deadline(&self) -> Option<Instant> {
        let at = self.finished_at.filter(|_| !self.is_over)?;
        Some(at + STORE_GRACE)
    }

    /// Nothing more will happen: everything that waits ends.
    pub(super) fn end(&mut self, woken: &mut Vec<Waker>) {
        self.is_over = true;
        self.call_writer();
        woken.extend(self.driver.take());
        let closed = |slot: &mut Slot| slot.end(Err(Failure::Closed));
        #[allow(clippy::disallowed_methods, reason = "all are woken at once")]
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

/// Outside the lock: dropping a waker may run code of the application.
fn drop_apart(replaced: Vec<Waker>) {
    if !replaced.is_empty() {
        apart(|| drop(replaced));
    }
}

/// Runs code of the application that is not the caller's: a panic in it must stop neither the
/// driver nor the one who happens to call a verb. The panic hook has told of it.
pub(super) fn apart(code: impl FnOnce()) {
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
        self.shared.close(self.linger);
    }
}
