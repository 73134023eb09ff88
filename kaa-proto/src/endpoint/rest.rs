//! The room that requests take, lent by one endpoint to another: of a hundred thousand most are idle.

use std::collections::VecDeque;

use super::due::Due;
use super::flight::{Entry, Flights};
use super::queue::Queue;
use super::{Endpoint, Event};

/// What an endpoint needs while something is queued or in flight, empty.
#[derive(Debug, Default)]
pub(crate) struct Room {
    #[allow(clippy::vec_box, reason = "what is kept is the boxes")]
    spare: Vec<Box<Entry>>,
    queue: Queue,
    flights: Flights,
    expiries: Due,
    answers: Due,
    events: VecDeque<Event>,
}

/// So many boxes of requests go with it.
const MAX_LENT: usize = 2;

impl Endpoint {
    /// Gives its room away, if it is idle and has any: it takes as little as it can then.
    pub(crate) fn give_room(&mut self) -> Option<Room> {
        if !self.needs_no_room() || !self.has_room() {
            return None;
        }
        self.spare.truncate(MAX_LENT);
        self.expiries.clear();
        self.answers.clear();
        Some(Room {
            spare: std::mem::take(&mut self.spare),
            queue: std::mem::take(&mut self.queue),
            flights: std::mem::take(&mut self.flights),
            expiries: std::mem::take(&mut self.expiries),
            answers: std::mem::take(&mut self.answers),
            events: std::mem::take(&mut self.events),
        })
    }

    /// Whether it has no room of its own.
    pub(crate) fn wants_room(&self) -> bool {
        self.needs_no_room() && !self.has_room()
    }

    /// Takes room that another one gave away, in place of the none that it has.
    pub(crate) fn take_room(&mut self, room: Room) {
        self.spare = room.spare;
        self.queue = room.queue;
        self.flights = room.flights;
        self.expiries = room.expiries;
        self.answers = room.answers;
        self.events = room.events;
    }

    fn needs_no_room(&self) -> bool {
        self.is_idle() && self.flights.len() == 0 && self.events.is_empty()
    }

    fn has_room(&self) -> bool {
        self.flights.has_room() || !self.spare.is_empty()
    }
}
