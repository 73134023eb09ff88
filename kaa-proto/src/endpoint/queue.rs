//! What waits to be sent: two classes, each with its own bound and order.

use std::collections::VecDeque;

use super::flight::Entry;
use super::options::{Bound, WhenFull};
use crate::request::{Class, RequestId};

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Sent first.
    pub(super) control: Lane,
    /// Sent when no control entry can be.
    pub(super) bulk: Lane,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            control: Lane::new(),
            bulk: Lane::new(),
        }
    }

    pub(super) const fn lane(&mut self, class: Class) -> &mut Lane {
        match class {
            Class::Control => &mut self.control,
            Class::Bulk => &mut self.bulk,
        }
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Box<Entry>> {
        self.control.remove(id).or_else(|| self.bulk.remove(id))
    }

    pub(super) fn find(&self, id: RequestId) -> Option<&Entry> {
        self.control.find(id).or_else(|| self.bulk.find(id))
    }

    #[cfg(feature = "connection")]
    pub(super) fn find_mut(&mut self, id: RequestId) -> Option<&mut Entry> {
        let entry = self.control.find_mut(id);
        entry.or_else(|| self.bulk.find_mut(id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.control.iter().chain(self.bulk.iter())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.control.iter_mut().chain(self.bulk.iter_mut())
    }

    pub(super) fn len(&self) -> usize {
        self.control.entries.len() + self.bulk.entries.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.control.bytes + self.bulk.bytes
    }

    /// Takes out all entries, control first, each lane in its order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<Entry>> {
        std::mem::take(&mut self.control)
            .entries
            .into_iter()
            .chain(std::mem::take(&mut self.bulk).entries)
    }
}

/// One class, in order of request ID: what goes back to the front after a link loss finds the
/// place that it had.
#[derive(Debug, Default)]
pub(super) struct Lane {
    entries: VecDeque<Box<Entry>>,
    bytes: usize,
}

/// What it takes to let one more in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is room, once these oldest entries are gone.
    Dropping(Vec<RequestId>),
    /// There is none.
    Full,
}

impl Lane {
    const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether an entry of `size` bytes fits into `bound`.
    pub(super) fn admit(&self, size: usize, bound: &Bound, when_full: WhenFull) -> Admission {
        let (mut count, mut bytes) = (self.entries.len() + 1, self.bytes + size);
        if count <= bound.count && bytes <= bound.bytes {
            return Admission::Dropping(Vec::new());
        }
        let mut dropped = Vec::new();
        for entry in &self.entries {
            if count <= bound.count && bytes <= bound.bytes {
                break;
            }
            // One that was sent before may still be answered: its outcome is not ours to give.
            if when_full == WhenFull::DropOldest && !entry.was_sent {
                dropped.push(entry.id);
                (count, bytes) = (count - 1, bytes - entry.size());
            }
        }
        match count <= bound.count && bytes <= bound.bytes {
            true => Admission::Dropping(dropped),
            false => Admission::Full,
        }
    }

    pub(super) fn push(&mut self, entry: Box<Entry>) {
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Puts an entry back to where it was.
    pub(super) fn put_back(&mut self, entry: Box<Entry>) {
        self.bytes += entry.size();
        let place = self.entries.partition_point(|other| other.id < entry.id);
        self.entries.insert(place, entry);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|entry| &**entry)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().map(|entry| &mut **entry)
    }

    pub(super) fn find_mut(&mut self, id: RequestId) -> Option<&mut Entry> {
        let place = self.place(id)?;
        self.entries.get_mut(place).map(|entry| &mut **entry)
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Box<Entry>> {
        let entry = match self.place(id)? {
            0 => self.entries.pop_front()?,
            place => self.entries.remove(place)?,
        };
        self.bytes -= entry.size();
        Some(entry)
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        self.entries.front().map(|entry| &**entry)
    }

    fn find(&self, id: RequestId) -> Option<&Entry> {
        self.entries.get(self.place(id)?).map(|entry| &**entry)
    }

    /// They go in order, mostly.
    #[inline]
    fn place(&self, id: RequestId) -> Option<usize> {
        if self.entries.front()?.id == id {
            return Some(0);
        }
        self.entries
            .binary_search_by_key(&id, |entry| entry.id)
            .ok()
    }
}
