//! What an endpoint needs while something is queued or in flight: apart from the rest, because of a
//! hundred thousand most are idle. One that speaks borrows that of one that is silent.

use std::collections::VecDeque;
use std::time::Instant;

use super::Event;
use super::due::Due;
use super::flight::{Entry, Flight, Flights, Stage};
use super::queue::Queue;
use crate::rare::Blank;

/// All that is known of requests that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Room {
    pub(super) queue: Queue,
    /// What was given out and has not ended, by request.
    pub(super) flights: Flights,
    /// Until when requests may wait in the queue.
    pub(super) expiries: Due,
    /// Until when flights may wait for their answers.
    pub(super) answers: Due,
    /// Until when the drain rate holds the bulk queue back.
    pub(super) bulk_from: Option<Instant>,
    pub(super) events: VecDeque<Event>,
    /// Boxes of requests that ended, for those to come.
    #[allow(clippy::vec_box, reason = "what is kept is the boxes")]
    pub(super) spare: Vec<Box<Entry>>,
}

impl Blank for Room {
    const BLANK: &'static Self = &Self {
        queue: Queue::new(),
        flights: Flights::new(),
        expiries: Due::new(),
        answers: Due::new(),
        bulk_from: None,
        events: VecDeque::new(),
        spare: Vec::new(),
    };
}

impl Room {
    /// All requests that are queued or in flight, those too that are only listened for.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let flights = self.flights.iter().map(|(_, flight)| &*flight.entry);
        self.queue.iter().chain(flights)
    }

    /// Takes out what is queued or in flight and has not ended, and all deadlines.
    #[allow(clippy::vec_box, reason = "they are boxed already")]
    pub(super) fn drain(&mut self) -> Vec<Box<Entry>> {
        let flights = self.flights.drain();
        let open = flights.filter(|flight| flight.stage != Stage::Listening);
        let entries = open.map(Flight::into_entry).chain(self.queue.drain());
        (self.expiries, self.answers) = (Due::new(), Due::new());
        entries.collect()
    }

    /// Whether nothing is in it.
    #[cfg(feature = "connection")]
    fn is_empty(&self) -> bool {
        self.queue.len() == 0
            && self.flights.len() == 0
            && self.events.is_empty()
            && self.bulk_from.is_none()
    }

    /// How many boxes of requests are in it.
    #[cfg(all(test, feature = "connection"))]
    pub(crate) fn spare_len(&self) -> usize {
        self.spare.len()
    }
}

/// So many boxes of requests go with it.
#[cfg(feature = "connection")]
const MAX_LENT: usize = 2;

#[cfg(feature = "connection")]
impl super::Endpoint {
    /// Gives its room away, if it is idle and has any: it takes as little as it can then. No deadline
    /// is left in it, for those that do not count are gone (`tidy_deadlines`).
    pub(crate) fn give_room(&mut self) -> Option<Box<Room>> {
        if !self.room.is_empty() {
            return None;
        }
        let mut room = self.room.take()?;
        room.spare.truncate(MAX_LENT);
        Some(room)
    }

    /// Whether it has no room of its own.
    pub(crate) const fn wants_room(&self) -> bool {
        !self.room.is_there()
    }

    /// Takes room that another one gave away, in place of the none that it has.
    pub(crate) fn take_room(&mut self, room: Box<Room>) {
        self.room = room.into();
    }
}
