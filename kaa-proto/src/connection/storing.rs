//! What is on its way to the store, over all endpoints, and whether there is one to rely on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::Connection;
use super::event::Event;
use super::slab::EndpointKey;
use crate::endpoint::{Endpoint, Record, Stored};
use crate::names::EndpointName;
use crate::request::{Class, Prepared};
use crate::store::StoreError;

#[derive(Debug, Default)]
pub(super) struct Storing {
    /// Whose records were polled and not told as stored, the oldest first; nobody's any more if the
    /// endpoint was removed.
    outstanding: VecDeque<Option<EndpointKey>>,
    /// How many were told as stored, or never will be.
    stored: u64,
    /// The last records of removed endpoints.
    last_records: VecDeque<(EndpointName, Record)>,
    /// How many records must be stored before nothing of a removed endpoint is on its way.
    last_mark: u64,
    /// The last events of removed endpoints, and how many records must be stored first.
    held: VecDeque<(u64, Event)>,
    /// What removed endpoints leave in the store.
    departed: VecDeque<(EndpointName, Vec<Stored>)>,
    health: Health,
}

/// How the store fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Health {
    /// It keeps what it is given.
    ///
    /// Exits: `Lost` when it fails.
    #[default]
    Good,
    /// It failed: nothing is recorded.
    ///
    /// Exits: `Mending` with a snapshot.
    Lost,
    /// A snapshot is on its way.
    ///
    /// Exits: `Good` when it is stored; `Lost` when it is not.
    Mending,
}

/// All that a store has to keep of the endpoints there are.
#[derive(Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The records, those of one endpoint in their order.
    pub records: Vec<(EndpointName, Stored)>,
    /// What to tell [`Connection::handle_stored`] when they are stored.
    pub covers: usize,
}

impl Connection {
    /// The next fact to be stored, of endpoints that are durable, and whose it is. What it guards
    /// comes out when [`handle_stored`](Self::handle_stored) says that it is kept; everything else
    /// goes on meanwhile.
    pub fn poll_record(&mut self) -> Option<(EndpointName, Record)> {
        if let Some(record) = self.storing.last_records.pop_front() {
            self.storing.outstanding.push_back(None);
            return Some(record);
        }
        while let Some(&key) = self.recording.front() {
            let found = self.slots.get_mut(key).and_then(|slot| {
                let record = slot.endpoint.poll_record();
                slot.is_recording = record.is_some();
                record.map(|record| (slot.endpoint.name().clone(), record))
            });
            if found.is_some() {
                self.storing.outstanding.push_back(Some(key));
                return found;
            }
            self.recording.pop_front();
        }
        None
    }

    /// The oldest `n` records that were polled and not yet told are stored, whosever they are. More
    /// than there are count as all.
    pub fn handle_stored(&mut self, now: Instant, n: usize) {
        let now = self.advance(now);
        let n = n.min(self.storing.outstanding.len());
        let mut of: BTreeMap<EndpointKey, usize> = BTreeMap::new();
        for key in self.storing.outstanding.drain(..n).flatten() {
            *of.entry(key).or_default() += 1;
        }
        self.storing.stored += n as u64;
        for (key, n) in of {
            self.with(key, |endpoint| endpoint.handle_stored(now, n));
        }
        self.let_out_last_events();
        if self.storing.health == Health::Mending {
            self.storing.health = Health::Good;
            self.notify(Event::StoreBack);
        }
        self.follow_up(now);
    }

    /// The store failed: the connection goes on in memory, and says so by [`Event::StoreLost`]; see
    /// [`Endpoint::handle_store_lost`](crate::endpoint::Endpoint::handle_store_lost). Once a
    /// [`snapshot`](Self::snapshot) is stored, all is as before.
    pub fn handle_store_lost(&mut self, now: Instant, error: StoreError) {
        let now = self.advance(now);
        let before = std::mem::replace(&mut self.storing.health, Health::Lost);
        let lost = std::mem::take(&mut self.storing.outstanding);
        self.storing.stored += (lost.len() + self.storing.last_records.len()) as u64;
        self.storing.last_records.clear();
        self.recording.clear();
        let keys: Vec<_> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(slot) = self.slots.get_mut(key) {
                slot.is_recording = false;
            }
            self.with(key, |endpoint| endpoint.handle_store_lost(now));
        }
        self.let_out_last_events();
        if before == Health::Good {
            self.statistics.store_losses += 1;
            self.notify(Event::StoreLost(error));
        }
        self.follow_up(now);
    }

    /// All that is needed of the records so far, to be stored in place of them; records that were
    /// not polled are in it. What removed endpoints left ([`poll_departed`](Self::poll_departed)) is
    /// not, and what was stored of endpoints that were not added. Not after the
    /// [account](Self::account) was given: endpoints have nothing then, and what is stored stands.
    ///
    /// Until it is stored, every record that is outstanding waits for it. An append that was under way
    /// when it was taken, or when the store was lost, is not to be told any more: what it held is in
    /// here.
    pub fn snapshot(&mut self, now: Instant) -> Snapshot {
        let now = self.advance(now);
        if self.storing.health == Health::Lost {
            self.storing.health = Health::Mending;
        }
        let (mut records, mut recorded) = (Vec::new(), Vec::new());
        let outstanding = std::mem::take(&mut self.storing.outstanding);
        let gone = |key: &Option<EndpointKey>| key.is_none_or(|key| self.slots.get(key).is_none());
        let mut outstanding: VecDeque<_> = outstanding.into_iter().filter(gone).collect();
        let keys: Vec<_> = self.slots.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.is_durable()) else {
                continue;
            };
            let name = slot.endpoint.name().clone();
            let snapshot = slot.endpoint.snapshot(now).into_iter();
            records.extend(snapshot.map(|stored| (name.clone(), stored)));
            let covered = slot.endpoint.unstored_len();
            outstanding.extend(std::iter::repeat_n(Some(key), covered));
            recorded.push(key);
        }
        let covers = outstanding.len();
        self.storing.outstanding = outstanding;
        for key in recorded {
            self.touch(key);
        }
        self.look_at_changed();
        Snapshot { records, covers }
    }

    /// What a durable endpoint that was removed leaves in the store, for the day on which it comes
    /// back: a host that replaces its store by a [`snapshot`](Self::snapshot) keeps it beside.
    pub fn poll_departed(&mut self) -> Option<(EndpointName, Vec<Stored>)> {
        self.storing.departed.pop_front()
    }

    /// Whether records of removed endpoints are on their way to the store: one may have come back.
    pub(super) const fn has_last_records(&self) -> bool {
        self.storing.stored < self.storing.last_mark
    }

    /// Whether records are outstanding: polled or not, and not told as stored.
    #[must_use]
    pub fn is_storing(&self) -> bool {
        let has_some = |key: &EndpointKey| {
            let slot = self.slots.get(*key);
            slot.is_some_and(|slot| slot.endpoint.has_records())
        };
        !self.storing.outstanding.is_empty()
            || !self.storing.last_records.is_empty()
            || self.recording.iter().any(has_some)
    }

    /// A new endpoint records only if somebody stores it.
    pub(super) fn begin_storing(&mut self, now: Instant, key: EndpointKey) {
        if self.storing.health == Health::Lost {
            self.with(key, |endpoint| endpoint.handle_store_lost(now));
        }
    }

    /// Whether a request that is to survive a crash has room in the store.
    pub(super) fn has_durable_room(&self, key: EndpointKey, request: &Prepared) -> bool {
        let slot = self.slots.get(key);
        if slot.is_none_or(|slot| !slot.endpoint.is_durable(request)) {
            return true;
        }
        let share = |max: usize| match request.policy().class {
            Class::Control => max,
            Class::Bulk => max - max / 8,
        };
        let bytes = self.totals.durable_bytes + request.payload().len() + request.resource().len();
        self.totals.durable < share(self.options.max_durable)
            && bytes <= share(self.options.max_durable_bytes)
    }

    /// A durable endpoint is removed, and is about to be closed: its last records, and what it leaves
    /// in the store.
    pub(super) fn part_with(&mut self, now: Instant, endpoint: &mut Endpoint) {
        let name = endpoint.name().clone();
        endpoint.leave_for_later();
        while let Some(record) = endpoint.take_record() {
            self.storing.last_records.push_back((name.clone(), record));
        }
        let left = endpoint.snapshot(now);
        // The first only says which number comes next.
        if left.len() > 1 {
            self.storing.departed.push_back((name, left));
        }
    }

    /// Tells the last events of a removed endpoint when all that was recorded by now is stored.
    pub(super) fn tell_last(&mut self, events: impl IntoIterator<Item = Event>) {
        let waits = self.storing.outstanding.len() + self.storing.last_records.len();
        let mark = self.storing.stored + waits as u64;
        self.storing.last_mark = mark;
        let events = events.into_iter().map(|event| (mark, event));
        self.storing.held.extend(events);
        self.let_out_last_events();
    }

    fn let_out_last_events(&mut self) {
        let stored = self.storing.stored;
        let held = &mut self.storing.held;
        while held.front().is_some_and(|(mark, _)| *mark <= stored) {
            self.events.extend(held.pop_front().map(|(_, event)| event));
        }
    }
}
