//! Level B: bytes in, bytes out. Many endpoints on one MQTT connection that comes back by itself.
//!
//! [`Connection`] owns every decision between an application and a byte stream: when to dial and
//! how long to wait, what to subscribe to, whose message goes next, what becomes of each request
//! when the link dies. It opens no socket, reads no clock and draws no entropy: bytes, time and a
//! seed go in; bytes, events and a demand for a transport come out.
//!
//! # The driver
//!
//! A program around it, the bindings of this project for example, does this, one thing a turn:
//!
//! ```text
//!  loop {
//!    1  poll_transmit into a buffer of the driver; drain poll_event; give poll_record to the store,
//!       if endpoints are durable, and say handle_stored when it has kept them
//!    2  demand   Dial     → start dialing, once for each link; say handle_connected, or
//!                           handle_disconnected if it failed
//!                Exchange → keep the transport
//!                HangUp   → write what is left, briefly, flush, close; say handle_disconnected
//!                Abandon  → write nothing more, close at once; say handle_disconnected
//!                Rest     → have no transport
//!                Finished → return
//!    3  wait for the first of: readable (if wants_input) · writable (if there are unsent bytes)
//!                · poll_timeout · woken by a verb
//!    4  feed exactly that one: handle_input · handle_written · handle_timeout, with a fresh now
//!  }
//! ```
//!
//! * A transport that does not belong to the link in the demand is dropped, with the bytes that
//!   were to be written to it.
//! * Bytes that were handed to the transport are reported by [`Connection::handle_written`] before
//!   the input that may answer them is fed.
//! * After a failure ([`Demand::Abandon`]) what was polled and not written is dropped. Only so
//!   nothing that may be sent once is sent twice: what was not reported as written goes out on
//!   the next link. What another thread still writes is awaited and reported, or cut off, before
//!   a time-out or input is fed.
//! * A failed or cancelled write ends the link: say [`Connection::handle_disconnected`].
//! * At most 20 KiB are fed in one turn, so that timers are looked at in between.
//!
//! ```
//! use std::time::Instant;
//! use kaa_proto::connection::{Connection, Demand, Event, Options};
//! use kaa_proto::names::EndpointName;
//! use kaa_proto::telemetry::Sample;
//!
//! # #[allow(clippy::disallowed_methods, reason = "an example")]
//! let now = Instant::now();
//! let mut connection = Connection::new(Options::new("gateway-7f3a"), now, 1)?;
//! let name = EndpointName::parse("demo-v1", "JTjdbENzHh")?;
//! let endpoint = connection.add_endpoint(now, name)?;
//! connection.submit(now, endpoint, &Sample::new(serde_json::json!({"temperature": 21})))?;
//!
//! let Demand::Dial(link) = connection.demand() else { panic!("no wish to dial") };
//! connection.handle_connected(now, link);
//! let mut to_write = Vec::new();
//! connection.poll_transmit(now, &mut to_write);
//! assert_eq!(to_write[..10], *b"\x10\x18\x00\x04MQTT\x04\x02");
//! connection.handle_written(now, link, to_write.len());
//! connection.handle_input(now, link, b"\x20\x02\x00\x00");
//! assert_eq!(connection.poll_event(), Some(Event::LinkUp(link)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Promises
//!
//! * Deterministic: the same seed and the same calls give the same bytes and events.
//! * [`Connection::poll_timeout`] never lies: after [`Connection::handle_timeout`] it is in the
//!   future or `None`.
//! * A request counts as sent when its last byte was handed to the transport. Off-line it waits;
//!   after a link loss it is sent again, under the same ID, or ends as
//!   [`OutcomeUnknown`](crate::request::Failure::OutcomeUnknown), as its policy says.
//! * Nothing the peer sends loops or ends more than the link: malformed MQTT closes it (and counts
//!   into the backoff), all else is acknowledged, counted and reported.
//! * No failure of a link ends the connection, unless
//!   [`Options::give_up_on_refusal`] says so.

mod budget;
mod cause;
mod changes;
mod directory;
mod drain;
mod eager;
mod endpoints;
mod event;
mod input;
mod link;
mod options;
mod output;
mod schedule;
mod slab;
mod statistics;
mod storing;
mod subscriptions;
mod suspects;
mod trace;
mod transitions;
mod wakeups;

#[cfg(test)]
mod tests;

pub use budget::MemoryBudget;
pub use cause::{LinkError, TransportError};
pub use drain::{Account, Outcomes};
pub use endpoints::{AddError, Removal};
pub use event::{Event, Stray};
pub use link::{Demand, LinkId, LinkState};
pub use options::{InvalidOptions, Options};
pub use slab::EndpointKey;
pub use statistics::{Losses, Statistics};
pub use storing::Snapshot;

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use self::changes::Totals;
use self::directory::Directory;
use self::drain::Closing;
use self::eager::Eager;
use self::endpoints::Slot;
use self::link::{Link, Times};
use self::output::Refill;
use self::schedule::Schedule;
use self::slab::Slab;
use self::storing::Storing;
use self::subscriptions::Subscribing;
use self::suspects::Suspects;
use self::wakeups::Wakeups;
use crate::backoff::Backoff;
use crate::endpoint::{self, Endpoint, MessageKey};
use crate::mqtt::{Login, Session};
use crate::names::EndpointName;
use crate::rng::Rng;
use crate::timers::Timers;

/// Many endpoints on one connection: see the [module](self) for how it is driven.
///
/// Methods are of four kinds: `handle_*` tell it what happened, verbs what is wanted, `poll_*`
/// take what it has to give, nouns look.
pub struct Connection {
    options: Options,
    /// The latest time seen: a clock that goes back is ignored.
    now: Instant,
    /// For the seeds of endpoints.
    rng: Rng,
    link: Link,
    eager: Eager,
    /// There while there is a transport, and until it is closed.
    session: Option<Box<Session<Ticket>>>,
    slots: Slab<Slot>,
    /// The keys by name.
    directory: Directory,
    /// Whose message goes next, of the endpoints that are up.
    schedule: Schedule<EndpointKey>,
    /// Who may speak.
    suspects: Suspects<EndpointKey>,
    /// When endpoints have something to do.
    wakeups: Wakeups,
    /// All deadlines but those of endpoints, link, session and suspects.
    timers: Timers<Deadline>,
    /// Endpoints to be told of the link, as fast as the output goes; none without a link.
    arrivals: VecDeque<EndpointKey>,
    /// Endpoints that were told of the link and have to observe again; none without a link.
    observing: VecDeque<EndpointKey>,
    /// Endpoints that may want to subscribe to something. Nobody is there twice.
    filtering: VecDeque<EndpointKey>,
    subscribing: Subscribing,
    /// What idle endpoints gave away, for those that speak next.
    #[allow(clippy::vec_box, reason = "what is lent is the boxes")]
    rooms: Vec<Box<endpoint::Room>>,
    /// Endpoints in which something changed. Nobody is there twice.
    changed: Vec<EndpointKey>,
    /// Endpoints that may have events. Nobody is there twice.
    eventful: VecDeque<EndpointKey>,
    /// Endpoints that may have records. Nobody is there twice.
    recording: VecDeque<EndpointKey>,
    /// Our own events, and the last ones of removed endpoints.
    events: VecDeque<Event>,
    storing: Storing,
    /// Sums over all endpoints.
    totals: Totals,
    refill: Refill,
    /// What removed endpoints counted.
    retired: endpoint::Statistics,
    /// Whether an endpoint was ever removed: later ones spread their request IDs.
    has_removed: bool,
    /// There from `close` on.
    closing: Option<Closing>,
    /// Whether the last event was told.
    is_finished: bool,
    /// There when all requests have ended.
    account: Option<Account>,
    statistics: Statistics,
    /// Topics are written here.
    topic: String,
}

/// What the session gives back with the progress of a packet.
#[derive(Clone, Copy, Debug)]
enum Ticket {
    /// A message of an endpoint.
    Message(EndpointKey, MessageKey),
    /// A SUBSCRIBE, by its number.
    Subscribe(u64),
    /// An UNSUBSCRIBE.
    Unsubscribe,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Deadline {
    /// An endpoint is to be gone, flushed or not.
    Removal(EndpointKey),
    /// A SUBSCRIBE is not answered.
    SubAck(u64),
    /// More endpoints are told of the link.
    Arrivals,
    /// More endpoints observe again.
    Observing,
    /// Acknowledgements stay away; what is free of the window is used.
    Refill,
    /// Acknowledgements of one endpoint stay away.
    Shares,
    /// Flushing is over.
    Close,
}

/// How often one time-out looks for what is due; it takes two or three, so this only forbids to
/// go on without end.
const MAX_ROUNDS: usize = 16;

/// Our own events beyond this push out the oldest ones.
const MAX_EVENTS: usize = 1_024;

impl Connection {
    /// A connection that wants to dial at once. `seed` makes its jitter unlike that of others.
    ///
    /// # Errors
    /// [`InvalidOptions`] names the option that is out of its range.
    pub fn new(mut options: Options, now: Instant, seed: u64) -> Result<Self, InvalidOptions> {
        options.check()?;
        let mut rng = Rng::new(seed);
        let times = Times {
            dial_within: options.dial_within,
            hang_up_within: options.hang_up_within,
            stable_after: options.stable_after,
        };
        let backoff = Backoff::new(
            options.backoff_base,
            options.backoff_cap,
            options.slow_retry,
        );
        options.complete_endpoint();
        let jitter = Rng::new(rng.next_u64());
        let link = Link::new(now, times, backoff, options.give_up_on_refusal, jitter);
        let suspects = Suspects::new(
            options.kick_limit,
            options.stable_after,
            options.slow_retry,
            Rng::new(rng.next_u64()),
        );
        let window = options.session.max_in_flight.into();
        Ok(Self {
            now,
            rng,
            link,
            eager: Eager::new(options.eager_start),
            session: None,
            slots: Slab::default(),
            directory: Directory::default(),
            schedule: Schedule::new(window),
            suspects,
            wakeups: Wakeups::new(),
            timers: Timers::default(),
            arrivals: VecDeque::new(),
            observing: VecDeque::new(),
            filtering: VecDeque::new(),
            subscribing: Subscribing::default(),
            rooms: Vec::new(),
            changed: Vec::new(),
            eventful: VecDeque::new(),
            recording: VecDeque::new(),
            events: VecDeque::new(),
            storing: Storing::default(),
            totals: Totals::default(),
            refill: Refill::new(window),
            retired: endpoint::Statistics::default(),
            has_removed: false,
            closing: None,
            is_finished: false,
            account: None,
            statistics: Statistics::default(),
            topic: String::new(),
            options,
        })
    }

    /// What the transport should be.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.link.demand()
    }

    /// Whether input is wanted: not while too many acknowledgements wait to be written, because
    /// input may have to be acknowledged. A large message that is being written does not forbid it.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        matches!(self.demand(), Demand::Exchange(_))
            && self
                .session
                .as_ref()
                .is_none_or(|session| session.wants_input())
    }

    /// Where the link stands.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        match self.is_up() && self.closing.is_some() {
            true => LinkState::Draining,
            false => self.link.state(),
        }
    }

    /// An endpoint, to look at.
    #[must_use]
    pub fn endpoint(&self, key: EndpointKey) -> Option<&Endpoint> {
        self.slots.get(key).map(|slot| &slot.endpoint)
    }

    /// Whether an endpoint must keep silent for the sake of the others: suspended, or waiting for
    /// its turn in a search ([`Event::SearchStarted`]).
    #[must_use]
    pub fn is_muted(&self, key: EndpointKey) -> bool {
        !self.suspects.may_speak(key)
    }

    /// Whether an endpoint is being removed by [`Removal::Flush`].
    #[must_use]
    pub fn is_leaving(&self, key: EndpointKey) -> bool {
        self.slots.get(key).is_some_and(|slot| slot.is_leaving)
    }

    /// The endpoint of this name, also while it is leaving.
    #[must_use]
    pub fn find(&self, name: &EndpointName) -> Option<EndpointKey> {
        let (app_version, token) = (name.app_version(), name.token());
        self.directory.find(app_version.as_str(), token.as_str())
    }

    /// The endpoints, in the order of their keys.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointKey, &Endpoint)> {
        self.slots.iter().map(|(key, slot)| (key, &slot.endpoint))
    }

    /// The account of [`close`](Self::close), as soon as every request has ended.
    #[must_use]
    pub const fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// Cuts the wait before the next dial: the network is back, or somebody is impatient.
    pub fn dial_now(&mut self, now: Instant) {
        let now = self.advance(now);
        self.link.dial_now(now);
    }

    /// Changes user name and password for the next link, and cuts the wait before it: also that
    /// after a link that still waits for CONNACK, if it fails. From the next link on no endpoint
    /// is suspended, and a search for one that gets the link dropped is over. A link that is up
    /// stays.
    ///
    /// # Errors
    /// [`InvalidOptions::Session`] if one of them is too long; nothing is changed then.
    pub fn set_login(&mut self, now: Instant, login: Option<Login>) -> Result<(), InvalidOptions> {
        let before = std::mem::replace(&mut self.options.session.login, login);
        if let Err(error) = self.options.check() {
            self.options.session.login = before;
            return Err(error);
        }
        let now = self.advance(now);
        trace::login_changed();
        self.link.handle_new_login(now);
        self.suspects.forgive();
        self.follow_up(now);
        Ok(())
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) named.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _link = self.link.enter();
        let now = self.advance(now);
        if let Some(loss) = self.link.handle_timeout(now) {
            self.handle_loss(now, loss);
        }
        if let Some(session) = &mut self.session {
            session.handle_timeout(now);
        }
        let slots = &self.slots;
        let has_words = |key| slots.get(key).is_some_and(Slot::has_words);
        self.suspects.handle_timeout(now, has_words);
        // What follows may make something due at once: the requests that a lost link gives back
        // may have expired meanwhile.
        for _ in 0..MAX_ROUNDS {
            self.handle_due(now);
            self.follow_up(now);
            let next = [self.next_wakeup(), self.timers.next()];
            if next.into_iter().flatten().all(|at| at > now) {
                break;
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = match self.demand() {
            Demand::Exchange(_) => self
                .session
                .as_ref()
                .and_then(|session| session.poll_timeout()),
            Demand::Dial(_)
            | Demand::HangUp(_)
            | Demand::Abandon(_)
            | Demand::Rest
            | Demand::Finished => None,
        };
        let deadlines = [
            self.link.poll_timeout(),
            session,
            self.suspects.poll_timeout(),
            self.next_wakeup(),
            self.timers.next(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let has_many = self.has_many();
        while let Some(&key) = self.eventful.front() {
            if let Some(slot) = self.slots.get_mut(key) {
                if let Some(event) = slot.endpoint.poll_event() {
                    return Some(Event::Endpoint { key, event });
                }
                slot.is_eventful = false;
            }
            self.eventful.pop_front();
            if has_many {
                self.take_room_back(key);
            }
        }
        None
    }

    /// Acts on the deadlines that are due, not on those that this sets.
    fn handle_due(&mut self, now: Instant) {
        let due: Vec<_> = std::iter::from_fn(|| self.pop_wakeup(now)).collect();
        for key in due {
            self.with(key, |endpoint| endpoint.handle_timeout(now));
        }
        let due: Vec<_> = std::iter::from_fn(|| self.timers.pop_due(now)).collect();
        for deadline in due {
            match deadline {
                Deadline::Removal(key) => self.discard(now, key),
                Deadline::SubAck(number) => self.handle_no_suback(now, number),
                Deadline::Refill => self.refill.lapse(),
                Deadline::Shares => self.look_at_shares(now),
                Deadline::Arrivals | Deadline::Observing => {}
                Deadline::Close => self.wind_up(now),
            }
        }
    }

    /// The time it is: never earlier than it was.
    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Whether messages may flow.
    fn is_up(&self) -> bool {
        matches!(self.link.state(), LinkState::Up)
    }

    /// Whether something may be sent: the link is up, or is spoken on before it is.
    fn may_speak(&self) -> bool {
        let is_greeting = self.link.state() == LinkState::Greeting;
        self.is_up() || is_greeting && self.eager.is_on()
    }

    /// Tells something of our own.
    fn notify(&mut self, event: Event) {
        trace::notified(self.now, &event);
        if self.events.len() >= MAX_EVENTS {
            let ours = |event: &Event| {
                !matches!(
                    event,
                    Event::Endpoint { .. } | Event::EndpointRemoved { .. }
                )
            };
            let oldest = self.events.iter().position(ours);
            if oldest.and_then(|place| self.events.remove(place)).is_some() {
                self.statistics.events_lost += 1;
            }
        }
        self.events.push_back(event);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("link", &self.link.id())
            .field("state", &self.link_state())
            .field("endpoints", &self.slots.len())
            .field("queued", &self.totals.queued)
            .finish_non_exhaustive()
    }
}
