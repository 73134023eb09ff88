//! A request on its way: an entry in the queue, then in flight, until it ends.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::journal::Mark;
use super::trace::Life;
use super::{Observation, Rest};
use crate::QoS;
use crate::names::Extension;
use crate::request::{Failure, Prepared, RequestId};

/// One request, wherever it is.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: RequestId,
    pub(super) request: Prepared,
    /// The extension instance, resolved.
    pub(super) extension: Extension,
    pub(super) qos: QoS,
    pub(super) answer_within: Duration,
    pub(super) owner: Owner,
    /// Bound when it is first emitted, kept when it is sent again.
    pub(super) wire_id: Option<u32>,
    /// Whether its last byte has ever been handed over.
    pub(super) was_sent: bool,
    /// Until when it may wait in the queue, if it was never sent.
    pub(super) expires_at: Option<Instant>,
    /// Whether a record says that it may have been given out.
    pub(super) sent_recorded: bool,
    /// Whether an earlier run of the program may have sent it.
    pub(super) in_doubt: bool,
    /// What must be stored before it goes.
    pub(super) guard: Mark,
    /// When this run took it.
    pub(super) since: Option<Instant>,
    /// How old it was then.
    pub(super) age: Duration,
    /// To tell of it.
    pub(super) life: Life,
}

impl Entry {
    /// Whether it may have been processed: its outcome is not ours to give.
    pub(super) const fn may_have_been_sent(&self) -> bool {
        self.was_sent || self.in_doubt
    }

    /// How it ends if it is not to be sent any more: as `failure` if it certainly never was.
    pub(super) fn failure_unless_sent(&self, failure: Failure) -> Failure {
        match self.may_have_been_sent() {
            true => Failure::OutcomeUnknown,
            false => failure,
        }
    }

    /// How long ago it was taken, by this run or an earlier one.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let here = self.since.map(|since| now.saturating_duration_since(since));
        self.age + here.unwrap_or_default()
    }

    /// What it counts for in the bounds of the queue, in bytes.
    pub(super) fn size(&self) -> usize {
        self.request.resource().len() + self.request.payload().len()
    }
}

/// Who wants to know how it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The application: every one of these ends with an event.
    Caller,
    /// A standing observation.
    Observation(Observation),
    /// The ledger, which sends stored results again.
    Ledger,
    /// Nobody: taking an observation back, reporting the version before observing, asking what is
    /// outstanding.
    Nobody,
}

/// An entry that was given out.
#[derive(Debug)]
pub(super) struct Flight {
    /// That of the entry, where it is found without looking there.
    id: RequestId,
    pub(super) entry: Box<Entry>,
    pub(super) stage: Stage,
    /// Whether it had been sent on an earlier link.
    pub(super) sent_before: bool,
    /// When its time for an answer is over, once it was sent.
    pub(super) answer_by: Option<Instant>,
}

impl Flight {
    /// One that was just given out.
    pub(super) const fn new(entry: Box<Entry>) -> Self {
        Self {
            id: entry.id,
            sent_before: entry.was_sent,
            stage: Stage::Emitted,
            answer_by: None,
            entry,
        }
    }

    /// When its ID may be used again after an answer: what was sent twice is answered twice.
    pub(super) const fn rest_after_answer(&self) -> Rest {
        match self.sent_before {
            true => Rest::ForLateAnswer,
            false => Rest::None,
        }
    }

    /// The entry of a message whose fate is not awaited any more. Its bytes may be on their way,
    /// even if the last one is not known to be handed over.
    pub(super) fn into_entry(mut self) -> Box<Entry> {
        self.entry.was_sent = true;
        self.entry
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Given to the host, its last byte not known to be handed over.
    ///
    /// Exits: `Sent`; the queue when it was not sent or the link died.
    Emitted,
    /// Its last byte was handed over; `answer_within` runs.
    ///
    /// Exits: its end; the queue when the link died and it may be sent again; `Listening`.
    Sent,
    /// Ended with an acknowledgement, but a late `/error` is still of interest.
    ///
    /// Exits: gone with that `/error`, a `/status`, at `answer_within`, or when there are too many.
    Listening,
}

/// All that was given out, in the order of the requests. Counts what is not only listened for,
/// because that is asked for at every turn.
#[derive(Debug, Default)]
pub(super) struct Flights {
    in_order: VecDeque<Flight>,
    /// How many of them are `Listening`.
    listening: usize,
    /// The place behind the one that was looked for last: they are handed over in order.
    next: usize,
}

impl Flights {
    pub(super) const fn new() -> Self {
        Self {
            in_order: VecDeque::new(),
            listening: 0,
            next: 0,
        }
    }

    /// How many have not ended.
    pub(super) fn open_len(&self) -> usize {
        self.in_order.len() - self.listening
    }

    pub(super) fn len(&self) -> usize {
        self.in_order.len()
    }

    pub(super) fn get(&self, id: RequestId) -> Option<&Flight> {
        self.in_order.get(self.place(id)?)
    }

    /// One that has not ended.
    pub(super) fn get_open(&mut self, id: RequestId) -> Option<&mut Flight> {
        let is_next = self
            .in_order
            .get(self.next)
            .is_some_and(|next| next.id == id);
        let place = if is_next { self.next } else { self.place(id)? };
        self.next = place + 1;
        let flight = self.in_order.get_mut(place)?;
        (flight.stage != Stage::Listening).then_some(flight)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RequestId, &Flight)> {
        self.in_order.iter().map(|flight| (flight.id, flight))
    }

    /// What is not only listened for.
    pub(super) fn open_entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        let flights = self.in_order.iter_mut();
        let open = flights.filter(|flight| flight.stage != Stage::Listening);
        open.map(|flight| &mut *flight.entry)
    }

    pub(super) fn insert(&mut self, flight: Flight) -> Option<&Flight> {
        let place = match self.in_order.back() {
            Some(last) if last.id > flight.id => {
                self.in_order.partition_point(|other| other.id < flight.id)
            }
            Some(_) | None => self.in_order.len(),
        };
        match place == self.in_order.len() {
            true => self.in_order.push_back(flight),
            false => self.in_order.insert(place, flight),
        }
        self.in_order.get(place)
    }

    /// How many are only listened for.
    pub(super) const fn listening_len(&self) -> usize {
        self.listening
    }

    /// The oldest that is only listened for.
    pub(super) fn oldest_listening(&self) -> Option<RequestId> {
        let mut flights = self.in_order.iter();
        let oldest = flights.find(|flight| flight.stage == Stage::Listening)?;
        Some(oldest.id)
    }

    /// Goes on with one as `Listening`.
    pub(super) fn listen(&mut self, id: RequestId) -> Option<&mut Flight> {
        let place = self.place(id)?;
        let flight = self.in_order.get_mut(place)?;
        if std::mem::replace(&mut flight.stage, Stage::Listening) != Stage::Listening {
            self.listening += 1;
        }
        Some(flight)
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Flight> {
        let place = self.place(id)?;
        let flight = match place {
            0 => self.in_order.pop_front()?,
            _ => self.in_order.remove(place)?,
        };
        self.next -= usize::from(place < self.next);
        self.listening -= usize::from(flight.stage == Stage::Listening);
        Some(flight)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Flight> + use<> {
        std::mem::take(self).in_order.into_iter()
    }

    /// Answers come in order, mostly.
    #[inline]
    fn place(&self, id: RequestId) -> Option<usize> {
        if self.in_order.front()?.id == id {
            return Some(0);
        }
        self.in_order
            .binary_search_by_key(&id, |flight| flight.id)
            .ok()
    }
}

/// A message of this endpoint that was given out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(pub(super) RequestId);

impl MessageKey {
    /// The request that the message carries.
    #[must_use]
    pub const fn request(self) -> RequestId {
        self.0
    }
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageKey({})", self.0.number())
    }
}
