//! A connection and a platform over simulated byte pipes, on a simulated clock. Time goes from
//! one deadline or arrival to the next, and the contract is checked after every step.
//!
//! The device of the [`Device`] interface is `demo-v1` / `JTjdbENzHh`; more endpoints are added by
//! [`Pair::add`].

mod check;
mod device;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use kaa_proto::connection::{
    Connection, Demand, EndpointKey, Event, InvalidOptions, LinkError, LinkId, Options,
    TransportError,
};
use kaa_proto::endpoint;
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{self, PlatformOptions, PlatformServer};
use kaa_proto::request::{Outcome, Request, RequestId, SubmitError};

use crate::clock::Clock;
use crate::device::{Device, name};
use crate::dice::Dice;
use crate::pipe::{Arrival, Bandwidth, Pieces, Pipe};
use crate::sniffer::{Seen, Sniffer};
use crate::wire_ids::WireIds;

/// What becomes of dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dials {
    /// They succeed after the latency.
    Succeed,
    /// They are refused after the latency.
    Fail,
    /// Nothing is ever heard of them.
    Hang,
}

/// One transport, with both of its ends.
#[derive(Debug)]
struct Line {
    /// Which of all lines, from 1.
    number: usize,
    /// The client's end, until it closed it.
    client: Option<LinkId>,
    /// The platform's end, until it closed it.
    server: Option<platform::LinkId>,
    /// From the client to the platform.
    up: Pipe,
    /// From the platform to the client.
    down: Pipe,
    /// What the client has not written yet.
    unwritten: Vec<u8>,
    /// What reached the platform.
    seen: Sniffer,
    /// What reached the client.
    answers: Sniffer,
}

/// A connection, a platform, and the network between them.
#[derive(Debug)]
pub struct Pair {
    /// The connection, for what the pair has no method for. Call [`settle`](Self::settle)
    /// afterwards.
    pub connection: Connection,
    /// The platform.
    pub server: PlatformServer,
    /// The endpoint of the [`Device`] interface.
    pub key: EndpointKey,
    /// The time.
    pub clock: Clock,
    /// What becomes of dials.
    pub dials: Dials,
    /// In which pieces bytes are written and arrive.
    pub pieces: Pieces,
    /// How long everything takes on new links, one way.
    pub latency: Duration,
    /// How much new links carry, each way.
    pub bandwidth: Option<Bandwidth>,
    /// After so many more bytes, both ways counted, the link is cut.
    pub cut_after: Option<usize>,
    /// After so many more bytes from the platform, nothing more comes on that link, in the middle
    /// of a packet perhaps; the platform learns nothing of it.
    pub silent_after: Option<usize>,
    /// How many bytes went through, both ways counted.
    pub carried: usize,
    /// The most that an endpoint may have queued.
    pub max_queued: usize,
    /// All events of the connection but those of endpoints, and when they came.
    pub link_events: Vec<(Instant, Event)>,
    dice: Dice,
    lines: Vec<Line>,
    /// The dial under way, and when it ends.
    dialing: Option<(LinkId, Instant)>,
    wire_ids: WireIds,
    /// How many lines there were.
    link_number: usize,
    /// Endpoints and their names.
    names: BTreeMap<EndpointKey, EndpointName>,
    /// Taken and not ended.
    open: BTreeSet<(EndpointKey, RequestId)>,
    /// How many of them each endpoint has; nobody has 0.
    open_of: BTreeMap<EndpointKey, u64>,
    /// Whose requests came or went since the last check.
    changed: BTreeSet<EndpointKey>,
    /// How often the contract was checked.
    checks: usize,
    outcomes: BTreeMap<(EndpointKey, RequestId), Outcome>,
    events: Vec<(EndpointKey, endpoint::Event)>,
    /// The types and sizes of the packets that reached the platform, until
    /// [`take_packets`](Self::take_packets).
    packets: Vec<(u8, usize)>,
    /// What reached the platform, and when.
    seen: Vec<(Instant, Seen)>,
    log: Vec<platform::Event>,
}

impl Pair {
    /// A pair with the default options that has connected.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn online() -> Self {
        Self::online_with(PlatformOptions::default(), Options::new("device"))
    }

    /// A pair that has connected.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn online_with(platform: PlatformOptions, options: Options) -> Self {
        match Self::new(platform, options, 1) {
            Ok(mut pair) => {
                pair.pass(Duration::from_secs(1));
                pair
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A pair that has not begun to dial. 10 ms one way, bytes in one piece.
    ///
    /// # Errors
    /// The connection's.
    ///
    /// # Panics
    /// If the endpoint cannot be added.
    pub fn new(
        platform: PlatformOptions,
        options: Options,
        seed: u64,
    ) -> Result<Self, InvalidOptions> {
        let clock = Clock::new();
        let mut connection = Connection::new(options, clock.now(), seed)?;
        let (Ok(name), now) = (name(), clock.now()) else {
            panic!("the name is valid");
        };
        let Ok(key) = connection.add_endpoint(now, name.clone()) else {
            panic!("there is room for one");
        };
        Ok(Self {
            connection,
            server: PlatformServer::new(platform, seed),
            key,
            clock,
            dials: Dials::Succeed,
            pieces: Pieces::Whole,
            latency: Duration::from_millis(10),
            bandwidth: None,
            cut_after: None,
            silent_after: None,
            carried: 0,
            max_queued: 10_256,
            link_events: Vec::new(),
            dice: Dice::new(seed),
            lines: Vec::new(),
            dialing: None,
            wire_ids: WireIds::new(Duration::from_secs(30)),
            link_number: 0,
            names: BTreeMap::from([(key, name)]),
            open: BTreeSet::new(),
            open_of: BTreeMap::new(),
            changed: BTreeSet::new(),
            checks: 0,
            outcomes: BTreeMap::new(),
            events: Vec::new(),
            packets: Vec::new(),
            seen: Vec::new(),
            log: Vec::new(),
        })
    }

    /// Adds an endpoint of the application version `demo-v1`.
    ///
    /// # Panics
    /// If it cannot be added.
    pub fn add(&mut self, token: &str) -> EndpointKey {
        let added = EndpointName::parse("demo-v1", token).ok().and_then(|name| {
            let now = self.now();
            let key = self.connection.add_endpoint(now, name.clone()).ok()?;
            Some((key, name))
        });
        let Some((key, name)) = added else {
            panic!("{token} is not added");
        };
        self.names.insert(key, name);
        self.settle();
        key
    }

    /// Submits a request of an endpoint.
    ///
    /// # Errors
    /// The connection's.
    pub fn submit_of<R: Request>(
        &mut self,
        key: EndpointKey,
        request: &R,
    ) -> Result<RequestId, SubmitError> {
        let result = self.connection.submit(self.now(), key, request);
        self.accept(key, result)
    }

    /// How a request of an endpoint ended, if it did.
    #[must_use]
    pub fn outcome_of(&self, key: EndpointKey, id: RequestId) -> Option<&Outcome> {
        self.outcomes.get(&(key, id))
    }

    /// How many requests have not ended.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The types (3 is PUBLISH, 8 SUBSCRIBE) and sizes of the packets that reached the platform
    /// since the last call.
    pub fn take_packets(&mut self) -> Vec<(u8, usize)> {
        std::mem::take(&mut self.packets)
    }

    /// The messages that reached the platform since the last call, and when their last byte did.
    pub fn take_seen_at(&mut self) -> Vec<(Instant, Seen)> {
        std::mem::take(&mut self.seen)
    }

    /// How long the client waits for answers, where that is not the default of 30 s: then an ID
    /// may be used again.
    pub fn expect_answers_within(&mut self, time: Duration) {
        self.wire_ids = WireIds::new(time);
    }

    /// The transport breaks, and both ends learn it at once.
    pub fn cut(&mut self) {
        let now = self.now();
        for line in std::mem::take(&mut self.lines) {
            if let Some(link) = line.client {
                let reset = TransportError::new(ErrorKind::ConnectionReset, "reset");
                let cause = LinkError::Transport(reset);
                self.connection.handle_disconnected(now, link, cause);
            }
            if let Some(link) = line.server {
                self.server.handle_closed(now, link);
            }
        }
        self.settle();
    }

    /// From now on nothing goes through the links there are, in one direction or in both; no end
    /// learns it.
    pub fn black_hole(&mut self, up: bool, down: bool) {
        for line in &mut self.lines {
            (line.up.is_hole, line.down.is_hole) = (up, down);
        }
        self.settle();
    }

    /// The platform is started anew: it remembers nothing, and all links end.
    pub fn restart_platform(&mut self, options: PlatformOptions) {
        let now = self.now();
        self.collect();
        self.server = PlatformServer::new(options, 99);
        for line in &mut self.lines {
            if line.server.take().is_some() {
                line.down.push(now, Arrival::End);
            }
        }
        self.settle();
    }

    /// Does all that can be done without time passing.
    pub fn settle(&mut self) {
        while self.drive_client() | self.drive_server() | self.deliver() {}
    }

    fn accept(
        &mut self,
        key: EndpointKey,
        result: Result<RequestId, SubmitError>,
    ) -> Result<RequestId, SubmitError> {
        if let Ok(id) = result {
            assert!(self.open.insert((key, id)), "{id:?} was given twice");
            *self.open_of.entry(key).or_default() += 1;
            self.changed.insert(key);
        }
        self.check();
        self.settle();
        result
    }

    /// One round of the client's driver; whether there was anything to do.
    fn drive_client(&mut self) -> bool {
        self.check();
        let now = self.clock.now();
        let demand = self.connection.demand();
        // A dial that was given up never ends.
        self.dialing
            .take_if(|(dialed, _)| demand != Demand::Dial(*dialed));
        let wanted = match demand {
            Demand::Exchange(link) | Demand::HangUp(link) | Demand::Abandon(link) => Some(link),
            Demand::Dial(_) | Demand::Rest | Demand::Finished => None,
        };
        for line in &mut self.lines {
            if line.client.is_some() && line.client != wanted {
                line.client = None;
                line.up.push(now, Arrival::End);
            }
        }
        match demand {
            Demand::Dial(link) => self.dial(link),
            Demand::Exchange(link) => self.write(link, self.pieces),
            Demand::HangUp(link) => {
                while self.write(link, Pieces::Whole) {}
                let cause = LinkError::Closed;
                self.connection.handle_disconnected(now, link, cause);
                true
            }
            Demand::Abandon(link) => {
                let cause = LinkError::Closed;
                self.connection.handle_disconnected(now, link, cause);
                true
            }
            Demand::Rest | Demand::Finished => false,
        }
    }

    fn dial(&mut self, link: LinkId) -> bool {
        let now = self.clock.now();
        let due = match self.dialing {
            Some((dialed, due)) if dialed == link => due,
            Some(_) | None => {
                self.dialing = Some((link, now + self.latency));
                return true;
            }
        };
        if due > now || self.dials == Dials::Hang {
            return false;
        }
        self.dialing = None;
        if self.dials == Dials::Fail {
            let refused = TransportError::new(ErrorKind::ConnectionRefused, "nobody listens");
            let cause = LinkError::Dial(refused);
            self.connection.handle_disconnected(now, link, cause);
            return true;
        }
        self.link_number += 1;
        self.lines.push(Line {
            number: self.link_number,
            client: Some(link),
            server: Some(self.server.handle_accepted(now)),
            up: Pipe::new(self.latency, self.bandwidth),
            down: Pipe::new(self.latency, self.bandwidth),
            unwritten: Vec::new(),
            seen: Sniffer::default(),
            answers: Sniffer::default(),
        });
        self.connection.handle_connected(now, link);
        true
    }

    /// Writes one piece; whether there was anything.
    fn write(&mut self, link: LinkId, pieces: Pieces) -> bool {
        let now = self.clock.now();
        let mut lines = self.lines.iter_mut();
        let Some(line) = lines.find(|line| line.client == Some(link)) else {
            return false;
        };
        self.connection.poll_transmit(now, &mut line.unwritten);
        if line.unwritten.is_empty() {
            return false;
        }
        let piece = line.unwritten.len().min(line.up.room(now));
        if piece == 0 {
            return false;
        }
        let piece = pieces.take(&mut self.dice, piece);
        let bytes: Vec<u8> = line.unwritten.drain(..piece).collect();
        line.up.push(now, Arrival::Bytes(bytes));
        self.connection.handle_written(now, link, piece);
        true
    }

    /// Takes all that the platform wants to write and close; whether there was anything.
    fn drive_server(&mut self) -> bool {
        let now = self.clock.now();
        let mut any = false;
        for line in &mut self.lines {
            let Some(link) = line.server else {
                continue;
            };
            let mut bytes = Vec::new();
            if self.server.poll_transmit(link, &mut bytes) > 0 {
                let length = bytes.len();
                line.down.push(now, Arrival::Bytes(bytes));
                self.server.handle_written(now, link, length);
                any = true;
            }
        }
        while let Some(link) = self.server.poll_hang_up() {
            let mut lines = self.lines.iter_mut();
            if let Some(line) = lines.find(|line| line.server == Some(link)) {
                line.server = None;
                line.down.push(now, Arrival::End);
            }
            self.server.handle_closed(now, link);
            any = true;
        }
        self.lines
            .retain(|line| line.client.is_some() || line.server.is_some());
        any
    }

    /// Hands over what has arrived, one piece in each direction; whether there was anything.
    fn deliver(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.lines.len() {
            any |= self.deliver_up(index);
            any |= self.deliver_down(index);
        }
        any
    }

    fn deliver_up(&mut self, index: usize) -> bool {
        let now = self.clock.now();
        let Some(line) = self.lines.get_mut(index) else {
            return false;
        };
        if line
            .server
            .is_some_and(|link| !self.server.wants_input(link))
        {
            return false;
        }
        let Some(arrival) = line.up.pop(now, self.pieces, &mut self.dice) else {
            return false;
        };
        let Some(link) = line.server else {
            return true;
        };
        let Arrival::Bytes(mut bytes) = arrival else {
            line.server = None;
            self.server.handle_closed(now, link);
            return true;
        };
        let is_cut = carry(&mut self.carried, &mut self.cut_after, &mut bytes);
        for packet in line.seen.packets(&bytes) {
            self.packets.push((packet.first >> 4, packet.size));
            if let Some(seen) = packet.message() {
                self.wire_ids.check(now, line.number, &seen);
                self.seen.push((now, seen));
            }
        }
        self.server.handle_input(now, link, &bytes);
        if is_cut {
            self.cut();
        }
        true
    }

    fn deliver_down(&mut self, index: usize) -> bool {
        let now = self.clock.now();
        let Some(line) = self.lines.get_mut(index) else {
            return false;
        };
        let wants_input = self.connection.wants_input();
        if line.client.is_some() && !wants_input {
            return false;
        }
        let Some(arrival) = line.down.pop(now, self.pieces, &mut self.dice) else {
            return false;
        };
        let Some(link) = line.client else {
            return true;
        };
        let Arrival::Bytes(mut bytes) = arrival else {
            line.client = None;
            line.up.push(now, Arrival::End);
            self.connection
                .handle_disconnected(now, link, LinkError::Eof);
            self.check();
            return true;
        };
        line.down.is_dead |= carry(&mut 0, &mut self.silent_after, &mut bytes);
        let is_cut = carry(&mut self.carried, &mut self.cut_after, &mut bytes);
        for seen in line.answers.messages(&bytes) {
            self.wire_ids.handle_answer(&seen.topic);
        }
        self.connection.handle_input(now, link, &bytes);
        self.check();
        if is_cut {
            self.cut();
        }
        true
    }

    /// Polls records and events of the connection and the platform; whether there were any.
    fn collect(&mut self) -> bool {
        let now = self.clock.now();
        let mut any = false;
        while self.connection.poll_record().is_some() {
            any = true;
        }
        self.connection.handle_stored(now, usize::MAX);
        while let Some(event) = self.connection.poll_event() {
            any = true;
            self.handle_event(now, event);
        }
        while let Some(event) = self.server.poll_event() {
            self.log.push(event);
        }
        any
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        if let Event::Endpoint { key, event } = event {
            if let endpoint::Event::Completed { id, outcome } = event {
                let was_open = self.open.remove(&(key, id));
                assert!(was_open, "{id:?} ended twice or was never taken");
                self.handle_ended(key);
                self.outcomes.insert((key, id), outcome);
            } else {
                self.events.push((key, event));
            }
            return;
        }
        if let Event::EndpointRemoved { key, .. } = &event {
            let left = self.open_of.get(key);
            assert_eq!(left, None, "a removed endpoint has open requests");
            self.names.remove(key);
        }
        self.link_events.push((now, event));
    }

    fn next_instant(&self) -> Option<Instant> {
        let wants_input = |line: &Line| {
            let server = line.server;
            server.is_none_or(|link| self.server.wants_input(link))
        };
        let ups = self.lines.iter().filter(|line| wants_input(line));
        let is_read = |line: &&Line| line.client.is_none() || self.connection.wants_input();
        let downs = self.lines.iter().filter(is_read);
        let arrivals = ups.filter_map(|line| line.up.next_arrival());
        let arrivals = arrivals.chain(downs.filter_map(|line| line.down.next_arrival()));
        let dial = self.dialing.filter(|_| self.dials != Dials::Hang);
        let deadlines = [
            self.connection.poll_timeout(),
            self.server.poll_timeout(),
            dial.map(|(_, due)| due),
        ];
        let full = self.lines.iter().filter(|line| !line.unwritten.is_empty());
        let rooms = full.filter_map(|line| line.up.next_room());
        let arrivals = arrivals.chain(rooms);
        arrivals.chain(deadlines.into_iter().flatten()).min()
    }
}

/// Counts bytes, and keeps only those that come before the cut; whether that is now.
fn carry(carried: &mut usize, cut_after: &mut Option<usize>, bytes: &mut Vec<u8>) -> bool {
    let is_cut = cut_after.is_some_and(|left| bytes.len() >= left);
    if let Some(left) = cut_after {
        bytes.truncate(*left);
        *left -= bytes.len();
    }
    *carried += bytes.len();
    if is_cut {
        *cut_after = None;
    }
    is_cut
}
