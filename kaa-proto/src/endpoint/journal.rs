//! The records on their way to the store, and what waits for them.
//!
//! Each record has a place in the order in which they are made. What it guards carries that place as
//! its [`Mark`], and comes out when the host has said that the store keeps everything up to there.
//! What nothing guards passes by: a slow disk holds back only what has to be kept first, and what is
//! behind it in the same queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Event, Record};
use crate::rare::Blank;
use crate::request::RequestId;

/// How many records must be stored first; 0 waits for none.
pub(super) type Mark = u64;

#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Whether records are made.
    is_on: bool,
    unpolled: VecDeque<Record>,
    /// How many records were ever made.
    made: Mark,
    /// How many of them are stored, or never will be.
    stored: Mark,
    /// What waits, in the order of the marks.
    held: VecDeque<(Mark, Event)>,
    /// Durable requests that have not ended, and what they take.
    requests: BTreeMap<RequestId, usize>,
    /// The sum of these.
    bytes: usize,
    /// Durable requests that are not stored yet, in the order of their marks.
    unstored: BTreeMap<RequestId, Mark>,
    /// Those of them of which it was told.
    told: BTreeSet<RequestId>,
    /// Requests of an earlier run.
    restored: BTreeSet<RequestId>,
}

impl Blank for Journal {
    const BLANK: &'static Self = &Self {
        is_on: false,
        unpolled: VecDeque::new(),
        made: 0,
        stored: 0,
        held: VecDeque::new(),
        requests: BTreeMap::new(),
        bytes: 0,
        unstored: BTreeMap::new(),
        told: BTreeSet::new(),
        restored: BTreeSet::new(),
    };
}

/// Never stored, as things stand.
const NEVER: Mark = Mark::MAX;

impl Journal {
    pub(super) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            ..Self::default()
        }
    }

    pub(super) fn record(&mut self, record: impl FnOnce() -> Record) {
        if self.is_on {
            self.made += 1;
            self.unpolled.push_back(record());
        }
    }

    pub(super) fn poll(&mut self) -> Option<Record> {
        self.unpolled.pop_front()
    }

    /// What is recorded by now must be stored first.
    pub(super) const fn mark(&self) -> Mark {
        self.made
    }

    /// What was recorded since `before`, if anything was, must be stored first.
    pub(super) const fn mark_since(&self, before: Mark) -> Mark {
        if self.made > before { self.made } else { 0 }
    }

    pub(super) const fn is_stored(&self, mark: Mark) -> bool {
        mark <= self.stored
    }

    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// How many records were polled, and are not known to be stored.
    pub(super) fn outstanding(&self) -> usize {
        let outstanding = self.made - self.stored - self.unpolled.len() as Mark;
        usize::try_from(outstanding).unwrap_or(usize::MAX)
    }

    /// Takes a durable request. `Some` if it is not going to be stored as things stand.
    pub(super) fn accept(
        &mut self,
        id: RequestId,
        size: usize,
        record: impl FnOnce() -> Record,
    ) -> Option<Event> {
        self.record(record);
        self.keep(id, size);
        let mark = if self.is_on { self.made } else { NEVER };
        self.unstored.insert(id, mark);
        if !self.is_on {
            self.told.insert(id);
        }
        (!self.is_on).then_some(Event::NotStored(id))
    }

    /// Takes back a durable request that is stored already.
    pub(super) fn restore(&mut self, id: RequestId, size: usize) {
        self.keep(id, size);
        self.restored.insert(id);
    }

    /// What was restored is not stored before all that is recorded by now. Which requests that are.
    #[cfg(feature = "connection")]
    pub(super) fn await_restored(&mut self) -> Vec<RequestId> {
        let mark = if self.is_on { self.made } else { NEVER };
        let restored: Vec<_> = self.restored.iter().copied().collect();
        self.unstored.extend(restored.iter().map(|id| (*id, mark)));
        restored
    }

    fn keep(&mut self, id: RequestId, size: usize) {
        self.bytes += size;
        self.requests.insert(id, size);
    }

    /// A durable request ended, or its end is known to the application; nothing for others.
    pub(super) fn end(&mut self, id: RequestId) {
        if let Some(size) = self.requests.remove(&id) {
            self.bytes -= size;
            // While nothing is stored they would gather.
            if self.unstored.get(&id) == Some(&NEVER) {
                self.unstored.remove(&id);
                self.told.remove(&id);
            }
            self.record(|| Record::Ended(id));
        }
    }

    /// Whether it is of an earlier run; asked once, when it ends.
    pub(super) fn take_restored(&mut self, id: RequestId) -> bool {
        self.restored.remove(&id)
    }

    /// Whether a request that has not ended is durable.
    pub(super) fn is_durable(&self, id: RequestId) -> bool {
        self.requests.contains_key(&id)
    }

    /// Whether a request that has not ended is known to be stored.
    pub(super) fn has_stored(&self, id: RequestId) -> bool {
        self.is_durable(id) && !self.unstored.contains_key(&id)
    }

    /// How many durable requests have not ended, and what they take in bytes.
    pub(super) fn requests(&self) -> (usize, usize) {
        (self.requests.len(), self.bytes)
    }

    /// How many events wait.
    pub(super) fn held_len(&self) -> usize {
        self.held.len()
    }

    pub(super) fn has_some(&self) -> bool {
        !self.unpolled.is_empty()
    }

    #[cfg(feature = "connection")]
    pub(super) fn take_held(&mut self) -> Vec<Event> {
        self.held.drain(..).map(|(_, event)| event).collect()
    }

    /// Keeps an event back until `mark` is stored; gives it back if it need not wait.
    pub(super) fn hold(&mut self, mark: Mark, event: Event) -> Option<Event> {
        if self.is_stored(mark) {
            return Some(event);
        }
        self.held.push_back((mark, event));
        None
    }

    /// The oldest `n` records that were polled are stored. What that lets out.
    pub(super) fn handle_stored(&mut self, n: usize) -> Vec<Event> {
        self.stored += n.min(self.outstanding()) as Mark;
        let mut out = Vec::new();
        while let Some(first) = self.unstored.first_entry() {
            if *first.get() > self.stored {
                break;
            }
            let (id, _) = first.remove_entry();
            self.told.remove(&id);
            out.push(Event::Stored(id));
        }
        self.release(&mut out);
        out
    }

    /// Nothing of what was recorded and is not stored ever will be, and nothing more is recorded.
    /// What that lets out.
    pub(super) fn handle_lost(&mut self) -> Vec<Event> {
        self.is_on = false;
        self.unpolled.clear();
        self.stored = self.made;
        let mut out = Vec::new();
        for (id, mark) in &mut self.unstored {
            *mark = NEVER;
            if self.told.insert(*id) {
                out.push(Event::NotStored(*id));
            }
        }
        self.release(&mut out);
        out
    }

    /// All that is needed was written down: it stands for everything that was recorded so far, and
    /// recording goes on from there.
    pub(super) fn begin_anew(&mut self) {
        self.is_on = true;
        self.unpolled.clear();
        // Something must be stored for each that waits, also after a loss.
        self.made += 1;
        let (requests, made) = (&self.requests, self.made);
        self.unstored.retain(|id, _| requests.contains_key(id));
        self.told.retain(|id| requests.contains_key(id));
        self.unstored.values_mut().for_each(|mark| *mark = made);
    }

    fn release(&mut self, out: &mut Vec<Event>) {
        while self
            .held
            .front()
            .is_some_and(|(mark, _)| *mark <= self.stored)
        {
            out.extend(self.held.pop_front().map(|(_, event)| event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_end_while_nothing_is_stored_do_not_gather() {
        let mut journal = Journal::new(true);
        assert_eq!(journal.handle_lost(), []);
        for number in 1..=3 {
            let id = RequestId::from_number(number);
            let told = journal.accept(id, 1, || Record::Ended(id));
            assert_eq!(told, Some(Event::NotStored(id)));
        }
        journal.end(RequestId::from_number(1));
        journal.end(RequestId::from_number(2));
        assert_eq!(journal.unstored.len(), 1);
        journal.begin_anew();
        let open = RequestId::from_number(3);
        assert_eq!(journal.handle_stored(1), [Event::Stored(open)]);
    }

    #[test]
    fn the_bytes_of_durable_requests_are_free_when_they_end() {
        let mut journal = Journal::new(true);
        for (number, size) in [(1, 10), (2, 25)] {
            let id = RequestId::from_number(number);
            let told = journal.accept(id, size, || Record::Ended(id));
            assert_eq!(told, None);
        }
        assert_eq!(journal.requests(), (2, 35));
        journal.end(RequestId::from_number(1));
        assert_eq!(journal.requests(), (1, 25));
    }
}
