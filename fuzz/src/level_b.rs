//! Level B: a connection, whatever bytes come and whatever the application does.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::num::NonZeroU16;
use std::time::Duration;

use kaa_proto::commands::CommandResult;
use kaa_proto::connection::{
    Connection, Demand, EndpointKey, Event, LinkError, LinkId, Options, Removal, TransportError,
};
use kaa_proto::endpoint::{self, CommandKey, EndpointOptions, Observation};
use kaa_proto::metadata;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::request::{Confirm, RequestExt, RequestId, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;
use kaa_tests::sniffer::{Packet, Sniffer};

use crate::input::Input;
use kaa_tests::packets::{packet, publish};

/// How many operations are done at most.
const MOST: usize = 300;
/// The high-water mark of the output.
const HIGH_WATER: usize = 400;
/// The largest packet, either way.
const LARGEST: usize = 600;
/// How many endpoints there may be, by name.
const ENDPOINTS: usize = 4;
/// How many requests of all together are let into the queues.
const ADMITTED: usize = 20;
/// What each endpoint may queue beside that: what comes back from a link that is lost, ...
const IN_FLIGHT: u16 = 4;
/// ... results of commands, ...
const COMMANDS: u16 = 8;
/// ... three messages for each observation, and one that asks what is outstanding.
const OWN: usize = 3 * 3 + 1;

/// Whatever the peer sends and the transport does: deadlines are honest, every request ends exactly once,
/// what goes out is MQTT, no packet identifier is in flight twice, and the output keeps to its bound.
///
/// # Panics
/// If that does not hold.
pub fn level_b(data: &[u8]) {
    let mut input = Input::new(data);
    let mut life = Life::new(input.byte());
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        life.act(&mut input);
        life.check();
    }
    life.end();
}

struct Life {
    connection: Connection,
    clock: Clock,
    keys: Vec<EndpointKey>,
    open: BTreeSet<(EndpointKey, RequestId)>,
    commands: Vec<(EndpointKey, CommandKey)>,
    link: Option<LinkId>,
    /// Handed out and not written.
    unwritten: Vec<u8>,
    sniffer: Sniffer,
    /// What the peer saw on this link.
    seen: Vec<Packet>,
    /// Packet identifiers that the peer has not answered.
    ids: BTreeSet<[u8; 2]>,
}

impl Life {
    fn new(setup: u8) -> Self {
        let clock = Clock::new();
        let count = |count| NonZeroU16::new(count).expect("it is not 0");
        let endpoint = EndpointOptions::default()
            .max_in_flight(count(IN_FLIGHT))
            .max_commands(count(COMMANDS).into());
        let mut options = Options::new("fuzz")
            .endpoint(endpoint)
            .window(4)
            .high_water(HIGH_WATER)
            .max_packet_in(LARGEST)
            .max_packet_out(LARGEST)
            .max_queued(ADMITTED, 4_000)
            .kick_limit(2)
            .slow_retry(Duration::from_secs(60))
            .eager_start(setup & 2 != 0);
        if setup & 1 != 0 {
            options = options.give_up_on_refusal(true);
        }
        let connection = Connection::new(options, clock.now(), u64::from(setup));
        let mut life = Self {
            connection: connection.expect("the options are right"),
            clock,
            keys: Vec::new(),
            open: BTreeSet::new(),
            commands: Vec::new(),
            link: None,
            unwritten: Vec::new(),
            sniffer: Sniffer::default(),
            seen: Vec::new(),
            ids: BTreeSet::new(),
        };
        life.add(0);
        life
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let now = self.clock.now();
        match input.below(24) {
            0..=2 => self.submit(input),
            3 | 4 => self.connect(),
            5 => self.feed(b"\x20\x02\x00\x00"),
            6 | 7 => self.write(input.byte()),
            8 | 9 => self.acknowledge(input),
            10 | 11 => self.answer(input),
            12 => self.push(input),
            13 => {
                let (topic, payload) = (input.chunk(), input.chunk());
                let qos = input.byte();
                self.feed(&publish(topic, payload, qos % 4, u16::from(qos)));
            }
            14 => {
                let raw = input.chunk();
                self.feed(raw);
            }
            15 => {
                let first = input.byte();
                let body = input.chunk();
                self.feed(&packet(first, body));
            }
            16 => {
                self.clock
                    .advance(Duration::from_millis(250) * u32::from(input.byte()));
                self.connection.handle_timeout(self.clock.now());
            }
            17 => self.lose(match input.below(2) {
                0 => LinkError::Eof,
                _ => LinkError::Transport(TransportError::new(ErrorKind::ConnectionReset, "reset")),
            }),
            18 => self.add(input.below(ENDPOINTS)),
            19 => {
                if let Some(key) = self.key(input) {
                    let removal = match input.byte() {
                        0 => Removal::Discard,
                        seconds => Removal::Flush(Duration::from_secs(seconds.into())),
                    };
                    self.connection.remove_endpoint(now, key, removal);
                }
            }
            20 => {
                if let Some(key) = self.key(input) {
                    let (observation, how) = (observation(input), input.byte());
                    match (how & 1, &observation) {
                        (1, _) => drop(self.connection.unobserve(now, key, &observation)),
                        (_, Observation::Software) if how & 2 != 0 => {
                            let version = format!("1.{how}");
                            drop(self.connection.observe_software(now, key, &version));
                        }
                        _ => drop(self.connection.observe(now, key, &observation)),
                    }
                }
            }
            21 => self.take_command(input),
            22 => match input.below(3) {
                0 => self.connection.dial_now(now),
                1 => drop(self.connection.set_login(now, None)),
                _ => {
                    let index = input.below(256);
                    if let Some(&(key, id)) = self.open.iter().nth(index) {
                        self.connection.cancel(now, key, id);
                    }
                }
            },
            _ => {
                if input.byte() == 7 {
                    self.connection
                        .close(now, Duration::from_secs(input.byte().into()));
                }
            }
        }
    }

    fn key(&self, input: &mut Input<'_>) -> Option<EndpointKey> {
        self.keys.get(input.below(self.keys.len().max(1))).copied()
    }

    fn add(&mut self, number: usize) {
        let token = format!("tok{number}");
        let name = EndpointName::parse("demo-v1", &token).expect("it is a name");
        if let Ok(key) = self.connection.add_endpoint(self.clock.now(), name) {
            self.keys.retain(|kept| *kept != key);
            self.keys.push(key);
        }
    }

    fn submit(&mut self, input: &mut Input<'_>) {
        let Some(key) = self.key(input) else {
            return;
        };
        let (now, flags) = (self.clock.now(), input.byte());
        let resend = match flags & 1 {
            0 => Resend::AfterLinkLoss,
            _ => Resend::Never,
        };
        let confirm = [Confirm::Answered, Confirm::Acknowledged, Confirm::Nothing]
            [usize::from(flags >> 1 & 3) % 3];
        let size = usize::from(flags >> 4) * 50;
        let taken = match flags & 8 {
            0 => {
                let sample = Sample::new("x".repeat(size))
                    .resend(resend)
                    .confirm(confirm);
                self.connection.submit(now, key, &sample)
            }
            _ => self.connection.submit(now, key, &metadata::Get::all()),
        };
        if let Ok(id) = taken {
            assert!(self.open.insert((key, id)), "{id:?} was given twice");
        }
    }

    fn connect(&mut self) {
        if let Demand::Dial(link) = self.connection.demand() {
            self.lose(LinkError::Closed);
            self.link = Some(link);
            self.connection.handle_connected(self.clock.now(), link);
        }
    }

    /// The transport is gone, with all that was on it.
    fn lose(&mut self, cause: LinkError) {
        self.unwritten.clear();
        self.sniffer = Sniffer::default();
        self.seen.clear();
        self.ids.clear();
        if let Some(link) = self.link.take() {
            self.connection
                .handle_disconnected(self.clock.now(), link, cause);
        }
    }

    /// The peer sends something. It has answered what this names.
    fn feed(&mut self, bytes: &[u8]) {
        if let Some(link) = self.link {
            self.connection.handle_input(self.clock.now(), link, bytes);
        }
    }

    fn write(&mut self, most: u8) {
        let (Some(link), now) = (self.link, self.clock.now()) else {
            return;
        };
        let before = self.unwritten.len();
        let polled = self.connection.poll_transmit(now, &mut self.unwritten);
        assert_eq!(self.unwritten.len(), before + polled);
        // Acknowledgements of what came may exceed the mark; what is ours may not, but for the last.
        let ours = self.unwritten.len();
        assert!(
            ours <= 2 * HIGH_WATER + 2 * LARGEST + 2_048,
            "{ours} bytes wait"
        );
        let written = match most {
            0..=127 => ours,
            most => ours.min(usize::from(most - 127) * 4),
        };
        let bytes: Vec<_> = self.unwritten.drain(..written).collect();
        self.connection.handle_written(now, link, written);
        for packet in self.sniffer.packets(&bytes) {
            self.see(&packet);
            self.seen.push(packet);
        }
    }

    /// What goes out is MQTT 3.1.1, as a client may send it.
    fn see(&mut self, packet: &Packet) {
        let first = packet.first;
        assert_eq!(
            first == 0x10,
            self.seen.is_empty(),
            "CONNECT comes first and once: {packet:?}"
        );
        assert!(packet.size <= LARGEST + 5, "{packet:?}");
        let id = match first >> 4 {
            3 => {
                let message = packet.message().expect("it is a PUBLISH");
                assert!(message.topic.starts_with("kp1/demo-v1/"), "{message:?}");
                assert!(message.qos < 2 && first & 9 == 0, "{message:?}");
                let topic = 2 + message.topic.len();
                (message.qos > 0).then(|| [packet.body[topic], packet.body[topic + 1]])
            }
            8 | 10 => {
                assert_eq!(first & 0xf, 2);
                Some([packet.body[0], packet.body[1]])
            }
            4 | 5 | 7 => {
                assert_eq!((first & 0xf, packet.body.len()), (0, 2), "{packet:?}");
                None
            }
            1 | 12 | 14 => None,
            _ => panic!("a client sends no {first:#x}"),
        };
        if let Some(id) = id {
            assert_ne!(id, [0, 0]);
            assert!(self.ids.insert(id), "packet {id:?} is in flight twice");
        }
    }

    /// The peer acknowledges a packet that it saw, as it should or not.
    fn acknowledge(&mut self, input: &mut Input<'_>) {
        let (index, code) = (input.byte(), input.byte());
        let Some(seen) = self.nth_seen(index) else {
            return;
        };
        let (first, id) = match (seen.first >> 4, &seen.body[..]) {
            (3, body) if seen.first & 2 != 0 => {
                let topic = 2 + usize::from(body[0]) * 256 + usize::from(body[1]);
                (0x40, [body[topic], body[topic + 1]])
            }
            (8, &[high, low, ..]) => (0x90, [high, low]),
            (10, &[high, low, ..]) => (0xb0, [high, low]),
            (12, _) => return self.feed(b"\xd0\x00"),
            _ => return,
        };
        self.ids.remove(&id);
        let mut body = id.to_vec();
        if first == 0x90 {
            let mut rest = &seen.body[2..];
            while let [high, low, after @ ..] = rest {
                let len = usize::from(*high) * 256 + usize::from(*low) + 1;
                body.push(if code & 1 == 0 { 1 } else { 0x80 });
                rest = after.get(len..).unwrap_or_default();
            }
        }
        self.feed(&packet(first, &body));
    }

    /// The platform answers a message that it saw.
    fn answer(&mut self, input: &mut Input<'_>) {
        let index = input.byte();
        let suffix = input.pick(&["/status", "/status", "/error"]);
        let payload = input.pick(&[
            &b""[..],
            b"{}",
            br#"{"statusCode":401}"#,
            br#"[{"id":1},{"id":2,"payload":7}]"#,
            br#"{"configId":"a","config":{}}"#,
        ]);
        if let Some(message) = self.nth_seen(index).and_then(|packet| packet.message()) {
            let topic = message.topic + suffix;
            self.feed(&publish(topic.as_bytes(), payload, 0, 0));
        }
    }

    fn push(&mut self, input: &mut Input<'_>) {
        let token = input.below(5);
        let path = input.pick(&[
            "cex/tok/command/reboot",
            "cmx/tok/config/json",
            "dcx/tok/json/7",
        ]);
        let path = path.replace("tok", &format!("tok{token}"));
        let payload = format!(r#"[{{"id":{}}}]"#, input.byte());
        let topic = format!("kp1/demo-v1/{path}/status");
        self.feed(&publish(topic.as_bytes(), payload.as_bytes(), 1, 9));
    }

    fn nth_seen(&self, index: u8) -> Option<Packet> {
        let index = usize::from(index) % self.seen.len().max(1);
        self.seen.iter().rev().nth(index).cloned()
    }

    fn take_command(&mut self, input: &mut Input<'_>) {
        let now = self.clock.now();
        if let Some(key) = self.key(input) {
            let command = self.connection.poll_command(key, |_| true);
            self.commands
                .extend(command.as_ref().map(|command| (key, command.into())));
        }
        let Some((key, command)) = self.commands.pop() else {
            return;
        };
        match input.below(3) {
            0 => self.connection.release(now, key, &command),
            1 => self.commands.push((key, command)),
            _ => {
                if let Ok(id) = self
                    .connection
                    .respond(now, key, &command, CommandResult::ok())
                {
                    assert!(self.open.insert((key, id)), "{id:?} was given twice");
                }
            }
        }
    }

    /// What holds after every step.
    fn check(&mut self) {
        let now = self.clock.now();
        self.connection.handle_timeout(now);
        while self.poll() {}
        let next = self.connection.poll_timeout();
        assert!(next.is_none_or(|next| next > now), "poll_timeout lies");
        self.connection.handle_timeout(now);
        assert_eq!(self.connection.poll_timeout(), next, "handle_timeout twice");
        assert!(!self.poll(), "a second handle_timeout did something");
        let statistics = self.connection.statistics();
        let open = statistics.requests.submitted - statistics.requests.ended();
        assert_eq!(open, self.open.len() as u64, "the account is wrong");
        let beside = usize::from(IN_FLIGHT) + usize::from(COMMANDS) + OWN;
        assert!(
            statistics.queued <= ADMITTED + ENDPOINTS * beside,
            "{} are queued",
            statistics.queued
        );
        let wanted = match self.connection.demand() {
            Demand::Exchange(link) => Some(link),
            Demand::Dial(link) if self.link == Some(link) => Some(link),
            Demand::HangUp(_) => {
                self.write(0);
                None
            }
            Demand::Dial(_) | Demand::Abandon(_) | Demand::Rest | Demand::Finished => None,
        };
        if self.link.is_some() && self.link != wanted {
            self.lose(LinkError::Closed);
        }
    }

    /// Whether there were records or events.
    fn poll(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.connection.poll_event() {
            any = true;
            match event {
                Event::Endpoint {
                    key,
                    event: endpoint::Event::Completed { id, .. },
                } => assert!(
                    self.open.remove(&(key, id)),
                    "{id:?} ended twice or never was"
                ),
                Event::EndpointRemoved { key, .. } => {
                    assert!(self.open.iter().all(|(of, _)| *of != key), "not ended");
                    self.keys.retain(|kept| *kept != key);
                    self.commands.retain(|(of, _)| *of != key);
                }
                _ => {}
            }
        }
        any
    }

    fn end(mut self) {
        self.connection
            .close(self.clock.now(), Duration::from_secs(5));
        for _ in 0..100 {
            self.check();
            if self.connection.demand() == Demand::Finished {
                break;
            }
            let next = self.connection.poll_timeout();
            self.clock
                .advance_to(next.expect("nothing would ever happen"));
        }
        self.check();
        assert_eq!(self.connection.demand(), Demand::Finished);
        assert!(self.open.is_empty(), "not ended: {:?}", self.open);
    }
}

fn observation(input: &mut Input<'_>) -> Observation {
    match input.below(3) {
        0 => Observation::Commands(CommandType::new("reboot").expect("it is a name")),
        1 => Observation::Configuration(None),
        _ => Observation::Software,
    }
}
