//! A server that does what a case wants of it, a connection before it, and what passes between
//! them, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use kaa_proto::connection::{
    Connection, Demand, EndpointKey, Event, LinkError, LinkId, Options, TransportError,
};
use kaa_proto::endpoint;
use kaa_proto::request::{Outcome, Request, RequestId};
use kaa_tests::clock::Clock;
use kaa_tests::device::name;
use kaa_tests::sniffer::{Packet, Sniffer};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// The first byte of packets, without the flags of PUBLISH.
pub(crate) const CONNECT: u8 = 0x10;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBSCRIBE: u8 = 0x82;
pub(crate) const UNSUBSCRIBE: u8 = 0xa2;
pub(crate) const PINGREQ: u8 = 0xc0;

/// How long the server takes for each answer; `None`: it never comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conduct {
    pub(crate) connack: Option<Duration>,
    pub(crate) puback: Option<Duration>,
    pub(crate) suback: Option<Duration>,
    pub(crate) pingresp: Option<Duration>,
    /// The answer of the platform to a request.
    pub(crate) status: Option<Duration>,
    /// How long after CONNACK it hangs up; `None`: not at all.
    pub(crate) kick: Option<Duration>,
}

/// It answers at once.
pub(crate) const PROMPT: Conduct = Conduct {
    connack: Some(Duration::ZERO),
    puback: Some(Duration::ZERO),
    suback: Some(Duration::ZERO),
    pingresp: Some(Duration::ZERO),
    status: Some(Duration::ZERO),
    kick: None,
};

/// A packet that reached the server.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) link: LinkId,
    pub(crate) packet: Packet,
}

/// The server, the connection, and the clock of both.
pub(crate) struct Bench {
    pub(crate) connection: Connection,
    pub(crate) key: EndpointKey,
    pub(crate) conduct: Conduct,
    pub(crate) clock: Clock,
    /// Nobody listens: dials are refused.
    pub(crate) is_away: bool,
    pub(crate) seen: Vec<Seen>,
    /// When the client dialed.
    pub(crate) dialed: Vec<Instant>,
    /// When its links and dials ended, and why.
    pub(crate) ended: Vec<(Instant, LinkError)>,
    pub(crate) outcomes: BTreeMap<RequestId, Outcome>,
    pub(crate) events: Vec<endpoint::Event>,
    line: Option<Line>,
}

/// The server's end of a link.
struct Line {
    link: LinkId,
    sniffer: Sniffer,
    /// What is still to be said; the end of the link is `None`.
    due: VecDeque<(Instant, Option<Vec<u8>>)>,
}

impl Bench {
    pub(crate) fn new(options: Options, seed: u64, conduct: Conduct) -> Self {
        let clock = Clock::new();
        let mut connection = Connection::new(options, clock.now(), seed).unwrap();
        let key = connection
            .add_endpoint(clock.now(), name().unwrap())
            .unwrap();
        Self {
            connection,
            key,
            conduct,
            clock,
            is_away: false,
            seen: Vec::new(),
            dialed: Vec::new(),
            ended: Vec::new(),
            outcomes: BTreeMap::new(),
            events: Vec::new(),
            line: None,
        }
    }

    /// A client with the default options, before a server that answers at once, connected.
    pub(crate) fn online() -> Self {
        let mut bench = Self::new(Options::new("device"), 1, PROMPT);
        bench.pass(Duration::ZERO);
        bench
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn submit<R: Request>(&mut self, request: &R) -> RequestId {
        let now = self.now();
        let id = self.connection.submit(now, self.key, request).unwrap();
        self.settle();
        id
    }

    /// The server says something, if there is a link.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let now = self.now();
        if let Some(line) = &mut self.line {
            line.due.push_back((now, Some(bytes.to_vec())));
        }
        self.settle();
    }

    /// The link breaks.
    pub(crate) fn cut(&mut self) {
        let now = self.now();
        if let Some(line) = &mut self.line {
            line.due = VecDeque::from([(now, None)]);
        }
        self.settle();
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        self.settle();
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.clock.advance_to(at);
            self.connection.handle_timeout(at);
            self.settle();
        }
        self.clock.advance_to(end);
        self.settle();
    }

    /// How long the client waited before each dial but the first, from the end of the link or
    /// dial before it.
    pub(crate) fn delays(&self) -> Vec<Duration> {
        let dials = self.dialed.iter().skip(1);
        self.ended
            .iter()
            .zip(dials)
            .map(|((ended, _), dialed)| *dialed - *ended)
            .collect()
    }

    /// The packets of a kind that came, oldest first.
    pub(crate) fn packets(&self, kind: u8) -> Vec<&Seen> {
        let is_it = |seen: &&Seen| match kind {
            PUBLISH => seen.packet.first & 0xf0 == PUBLISH,
            _ => seen.packet.first == kind,
        };
        self.seen.iter().filter(is_it).collect()
    }

    fn next(&self) -> Option<Instant> {
        let due = self.line.iter().flat_map(|line| &line.due);
        let due = due.map(|(at, _)| *at);
        due.chain(self.connection.poll_timeout()).min()
    }

    fn settle(&mut self) {
        while self.turn() | self.speak() {}
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::LinkLost { error, .. } => self.ended.push((self.now(), error)),
                Event::Endpoint {
                    event: endpoint::Event::Completed { id, outcome },
                    ..
                } => assert!(self.outcomes.insert(id, outcome).is_none(), "{id:?} twice"),
                Event::Endpoint { event, .. } => self.events.push(event),
                _ => {}
            }
        }
    }

    /// One turn of what a binding does; whether there was anything to do.
    fn turn(&mut self) -> bool {
        let now = self.now();
        match self.connection.demand() {
            Demand::Dial(link) if self.is_away => {
                self.dialed.push(now);
                let refused = TransportError::new(ErrorKind::ConnectionRefused, "nobody listens");
                let error = LinkError::Dial(refused);
                self.connection.handle_disconnected(now, link, error);
                true
            }
            Demand::Dial(link) => {
                self.dialed.push(now);
                self.line = Some(Line {
                    link,
                    sniffer: Sniffer::default(),
                    due: VecDeque::new(),
                });
                self.connection.handle_connected(now, link);
                true
            }
            Demand::Exchange(link) => self.hear(link),
            Demand::HangUp(link) => {
                while self.hear(link) {}
                self.close(link)
            }
            Demand::Abandon(link) => self.close(link),
            Demand::Rest | Demand::Finished => false,
        }
    }

    fn close(&mut self, link: LinkId) -> bool {
        self.line = None;
        let now = self.now();
        self.connection
            .handle_disconnected(now, link, LinkError::Closed);
        true
    }

    /// The server hears what the client has to say; whether there was anything.
    fn hear(&mut self, link: LinkId) -> bool {
        let (at, mut bytes) = (self.now(), Vec::new());
        if self.connection.poll_transmit(at, &mut bytes) == 0 {
            return false;
        }
        self.connection.handle_written(at, link, bytes.len());
        let Some(line) = &mut self.line else {
            return true;
        };
        for packet in line.sniffer.packets(&bytes) {
            for (after, answer) in answers(&self.conduct, &packet) {
                line.due.push_back((at + after, answer));
            }
            self.seen.push(Seen { at, link, packet });
        }
        true
    }

    /// The server says the next that is due; whether there was anything.
    fn speak(&mut self) -> bool {
        let now = self.now();
        let Some(line) = &mut self.line else {
            return false;
        };
        let Some(index) = line.due.iter().position(|(at, _)| *at <= now) else {
            return false;
        };
        let (link, next) = (line.link, line.due.remove(index));
        match next {
            Some((_, Some(bytes))) => self.connection.handle_input(now, link, &bytes),
            Some((_, None)) | None => {
                self.line = None;
                self.connection
                    .handle_disconnected(now, link, LinkError::Eof);
            }
        }
        true
    }
}

/// What the server says to a packet, and how long after it; `None` is the end of the link.
fn answers(conduct: &Conduct, packet: &Packet) -> Vec<(Duration, Option<Vec<u8>>)> {
    let id = packet.body.get(..2).unwrap_or_default();
    let answer = |after: Option<Duration>, bytes: &[u8], id: &[u8], rest: &[u8]| {
        after.map(|after| (after, Some([bytes, id, rest].concat())))
    };
    let kick = |after: Duration| Some((conduct.kick? + after, None));
    match packet.first {
        CONNECT => {
            let connack = answer(conduct.connack, b"\x20\x02\x00\x00", b"", b"");
            connack
                .into_iter()
                .chain(conduct.connack.and_then(kick))
                .collect()
        }
        SUBSCRIBE => {
            let granted = granted(&packet.body);
            let head = [0x90, 2 + granted.len() as u8];
            Vec::from_iter(answer(conduct.suback, &head, id, &granted))
        }
        UNSUBSCRIBE => Vec::from_iter(answer(conduct.suback, b"\xb0\x02", id, b"")),
        PINGREQ => Vec::from_iter(answer(conduct.pingresp, b"\xd0\x00", b"", b"")),
        _ => {
            let Some(message) = packet.message() else {
                return Vec::new();
            };
            let at = packet.body.len() - message.payload.len();
            let id = packet.body.get(at - 2..at).unwrap_or_default();
            let puback = (message.qos == 1)
                .then(|| answer(conduct.puback, b"\x40\x02", id, b""))
                .flatten();
            let status = publish(0, &format!("{}/status", message.topic), b"");
            let status = answer(conduct.status, &status, b"", b"");
            puback.into_iter().chain(status).collect()
        }
    }
}

/// The return codes for the filters of a SUBSCRIBE: what it asks for.
fn granted(mut body: &[u8]) -> Vec<u8> {
    let mut granted = Vec::new();
    body = body.get(2..).unwrap_or_default();
    while let [high, low, rest @ ..] = body {
        let length = usize::from(*high) << 8 | usize::from(*low);
        granted.extend(rest.get(length));
        body = rest.get(length + 1..).unwrap_or_default();
    }
    granted
}

/// A PUBLISH of QoS 0 without an identifier, of QoS 1 and 2 with this one.
pub(crate) fn publish(id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let first = if id == 0 { PUBLISH } else { PUBLISH | 0x02 };
    let id = id.to_be_bytes();
    let id = if first == PUBLISH { &[][..] } else { &id };
    let length = [0, topic.len() as u8];
    let body = [&length, topic.as_bytes(), id, payload].concat();
    let mut packet = vec![first];
    let mut rest = body.len();
    while rest >= 128 {
        packet.push((rest % 128) as u8 | 0x80);
        rest /= 128;
    }
    packet.push(rest as u8);
    packet.extend(body);
    packet
}
