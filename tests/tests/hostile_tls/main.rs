//! A client and servers that abuse TLS: what it holds at most, and that it goes on. Memory is counted,
//! the clock simulated.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

#[path = "../meter/mod.rs"]
mod meter;
mod server;

use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Driver, Endpoint, Options, Turn};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{PlatformOptions, PlatformServer};
use kaa_proto::telemetry::Sample;
use kaa_proto::tls;
use kaa_tests::certificates::{Authority, Key, Server};
use kaa_tests::clock::Clock;
use rustls::ContentType;

use meter::Meter;
use server::{Script, Sealer, Start, Wire, config};

const SECOND: Duration = Duration::from_secs(1);

/// One way to abuse TLS.
#[derive(Clone, Copy)]
struct Attack {
    name: &'static str,
    start: Start,
    /// How often the server's certificate is in its chain.
    copies: usize,
    /// How many bytes go in each second.
    pace: usize,
    script: Script,
    /// Whether the client gives the link up for it.
    ends: bool,
}

const fn attack(name: &'static str, start: Start, script: Script, ends: bool) -> Attack {
    Attack {
        name,
        start,
        copies: 1,
        pace: usize::MAX,
        script,
        ends,
    }
}

/// So many records of this type.
fn records(
    step: usize,
    sealer: &mut Option<Sealer>,
    count: usize,
    typ: ContentType,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let sealer = sealer.as_mut()?;
    (step < count).then(|| sealer.record(typ, payload))
}

/// A message of a handshake without its content, which is to be so long.
fn handshake(typ: u8, length: usize) -> Vec<u8> {
    let [.., high, middle, low] = length.to_be_bytes();
    vec![typ, high, middle, low]
}

/// A ticket to resume the session, with this number, as large as one can be.
fn ticket(number: usize) -> Vec<u8> {
    const SIZE: usize = 60_000;
    let mut body = vec![0, 1, 0, 0, 0, 0, 0, 0, 4];
    body.extend((number as u32).to_be_bytes());
    body.extend((SIZE as u16).to_be_bytes());
    body.extend(vec![7; SIZE]);
    body.extend([0, 0]);
    [handshake(4, body.len()), body].concat()
}

const ATTACKS: &[Attack] = &[
    attack(
        "renegotiation again and again",
        Start::Greeted12,
        |step, s| records(step, s, 10_000, ContentType::Handshake, &handshake(0, 0)),
        true,
    ),
    attack(
        "empty fragments without end",
        Start::Greeted12,
        |step, s| records(step, s, 10_000, ContentType::ApplicationData, b""),
        true,
    ),
    attack(
        "empty fragments without end, in TLS 1.3",
        Start::Greeted13,
        |step, s| records(step, s, 10_000, ContentType::ApplicationData, b""),
        true,
    ),
    attack(
        "an answer to a ping in each two records",
        Start::Greeted13,
        |step, s| {
            let byte = [[0xd0], [0]][step % 2];
            records(step, s, 20_000, ContentType::ApplicationData, &byte)
        },
        false,
    ),
    attack(
        "new keys again and again",
        Start::Greeted13,
        |step, s| {
            let update = [handshake(24, 1), vec![1]].concat().repeat(1_000);
            records(step, s, 10, ContentType::Handshake, &update)
        },
        true,
    ),
    attack(
        "tickets of the largest size",
        Start::Greeted13,
        |step, s| {
            let (sealer, ticket) = (s.as_mut()?, ticket(step));
            let seal = |piece: &[u8]| sealer.record(ContentType::Handshake, piece);
            (step < 200).then(|| ticket.chunks(16_384).flat_map(seal).collect())
        },
        false,
    ),
    attack(
        "a message of the handshake without end",
        Start::Greeted13,
        |step, s| {
            let first = handshake(4, 0x00ff_ffff);
            let rest = [0; 16_000];
            let piece = if step == 0 { &first[..] } else { &rest };
            records(step, s, 1_000, ContentType::Handshake, piece)
        },
        true,
    ),
    attack(
        "warnings without end",
        Start::Greeted12,
        |step, s| records(step, s, 10_000, ContentType::Alert, &[1, 90]),
        true,
    ),
    attack(
        "a record that is none",
        Start::Greeted13,
        |step, _| (step < 100).then(|| [&[23, 3, 3, 0x40, 0][..], &[9; 0x4000]].concat()),
        true,
    ),
    Attack {
        copies: 60,
        ..attack(
            "a chain as long as a handshake holds",
            Start::Greeted13,
            |_, _| None,
            false,
        )
    },
    attack(
        "a first message without end",
        Start::Nowhere,
        |step, _| {
            let head = [&[22, 3, 3, 0x3f, 0xff][..], &handshake(2, 0x00ff_ffff)].concat();
            let rest = 0x3fff - 4;
            let more = [&[22, 3, 3, 0x3f, 0xff][..], &[0; 0x3fff]].concat();
            match step {
                0 => Some([head, vec![0; rest]].concat()),
                _ => (step < 1_000).then_some(more),
            }
        },
        true,
    ),
    attack(
        "noise",
        Start::Nowhere,
        |step, _| (step < 100).then(|| vec![(step * 31 + 7) as u8; 4_096]),
        true,
    ),
    Attack {
        pace: 1,
        ..attack(
            "a handshake that comes byte by byte",
            Start::Nowhere,
            |step, _| {
                (step < 1).then(|| [&[22, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0][..], &[0; 500]].concat())
            },
            true,
        )
    },
    attack("no word", Start::Nowhere, |_, _| None, true),
];

/// A client over TLS, and the meter that counts all of it.
struct Device {
    meter: Meter,
    clock: Arc<Mutex<Clock>>,
    driver: Driver,
    client: Client,
    endpoint: Endpoint,
    wire: Option<Wire>,
    turn: Turn,
    turns: usize,
}

impl Device {
    fn new(authority: &Authority) -> Self {
        let clock = Arc::new(Mutex::new(Clock::new()));
        let time = Arc::clone(&clock);
        let mut meter = Meter::default();
        let (driver, client, endpoint) = meter.run(|| {
            let now = move || time.lock().unwrap().now();
            let (client, driver) = Client::new(options(authority), 1, 2, now).unwrap();
            let name = EndpointName::parse("v", "tok").unwrap();
            let endpoint = client.endpoint(&name).unwrap();
            (driver, client, endpoint)
        });
        Self {
            meter,
            clock,
            driver,
            client,
            endpoint,
            wire: None,
            turn: Turn::Again,
            turns: 0,
        }
    }

    fn run(&mut self, mut host: impl FnMut(Instant) -> Option<Wire>) {
        loop {
            let before = self.wire.as_ref().map(Wire::moved);
            let (driver, wire) = (&mut self.driver, &mut self.wire);
            self.turn = self.meter.run(|| driver.turn(Waker::noop(), wire));
            self.turns += 1;
            match self.turn {
                Turn::Again => {}
                Turn::Dial { link, .. } if self.wire.is_none() => {
                    let now = self.clock.lock().unwrap().now();
                    self.wire = host(now);
                    if self.wire.is_none() {
                        return;
                    }
                    let driver = &mut self.driver;
                    self.meter.run(|| driver.handle_connected(link));
                }
                // What was written may have been answered.
                _ if self.wire.as_ref().map(Wire::moved) > before => {}
                _ => return,
            }
        }
    }

    fn pass(&mut self, seconds: u64, pace: usize, mut host: impl FnMut(Instant) -> Option<Wire>) {
        let end = self.clock.lock().unwrap().now() + SECOND * seconds as u32;
        loop {
            let now = self.clock.lock().unwrap().now();
            if now >= end {
                return;
            }
            let until = match self.turn {
                Turn::Dial { until, .. } | Turn::Wait { until } => until,
                _ => None,
            };
            let next = until.unwrap_or(end).min(end).min(now + SECOND);
            self.clock.lock().unwrap().advance_to(next);
            if let Some(wire) = &mut self.wire {
                wire.tick(next, pace);
            }
            self.run(&mut host);
        }
    }
}

fn options(authority: &Authority) -> Options {
    let options = Options::new("mqtts://localhost")
        .unwrap()
        .tls(tls::Options::new().ca(authority.certificate_pem()))
        .connection(|options| options.max_packet_in(4_096).max_packet_out(4_096));
    let no_file = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
    options.load_tls(no_file, Vec::new).unwrap()
}

#[test]
fn a_client_bears_all_that_tls_can_be_abused_for_within_its_budget_and_goes_on() {
    let authority = Authority::new("hostile");
    let identity = authority.server(Server::Good, Key::EcPkcs8);
    let life = |attack: &Attack| {
        let name = attack.name;
        let bad = config(&identity, attack.start, attack.copies);
        let good = config(&identity, Start::Greeted13, 1);
        let budget = options(&authority).memory_budget();
        let budget = budget.link + budget.endpoint + budget.request;
        let mut device = Device::new(&authority);
        let mut wires = Vec::new();
        device.run(|now| {
            let wire = Wire::to_hostile(now, &bad, attack.start, attack.script);
            wires.push(wire.clone());
            Some(wire)
        });
        device.pass(25, attack.pace, |_| None);
        let (peak, turns) = (device.meter.peak(), device.turns);
        assert!(
            peak <= budget,
            "{name}: {peak} bytes, and {budget} may be held"
        );
        assert!(
            turns <= wires[0].moved() / 1_024 + 300,
            "{name}: {turns} turns"
        );
        assert_eq!(device.wire.is_none(), attack.ends, "{name}");
        assert!(attack.ends || wires[0].is_done(), "{name}");
        device.wire = None;
        device.run(|_| None);
        let endpoint = &device.endpoint;
        let mut ticket = device
            .meter
            .run(|| endpoint.submit(&Sample::new(1)).unwrap());
        let mut server = Some(PlatformServer::new(PlatformOptions::default(), 3));
        device.pass(1_200, usize::MAX, |now| {
            Some(Wire::to_platform(now, &good, server.take()?))
        });
        let outcome = device.meter.run(|| ticket.try_outcome());
        assert_eq!(outcome, Some(Ok(())), "{name}");
        device.wire = None;
        let Device {
            mut meter,
            driver,
            client,
            endpoint,
            ..
        } = device;
        meter.run(|| drop((driver, client, endpoint, ticket)));
        meter.live()
    };
    // A thread keeps a block to read into, and what one request left to the next.
    life(&ATTACKS[0]);
    for attack in ATTACKS {
        assert_eq!(life(attack), 0, "{}: something is left", attack.name);
    }
}

/// A hundred links that end as they ended before.
#[test]
fn what_is_resumed_of_a_hundred_links_is_bounded() {
    let authority = Authority::new("hostile");
    let identity = authority.server(Server::Good, Key::EcPkcs8);
    for attack in ATTACKS.iter().filter(|attack| attack.pace == usize::MAX) {
        let config = config(&identity, attack.start, attack.copies);
        let mut device = Device::new(&authority);
        let mut after = Vec::new();
        for link in 1..=100 {
            let (mut wires, client) = (Vec::new(), &device.client);
            device.meter.run(|| client.dial_now());
            device.run(|now| {
                let is_first = wires.is_empty();
                let wire = is_first
                    .then(|| Wire::to_hostile(now, &config, attack.start, attack.script))?;
                wires.push(wire.clone());
                Some(wire)
            });
            assert_eq!(wires.len(), 1, "link {link}");
            device.wire = None;
            device.run(|_| None);
            if [30, 100].contains(&link) {
                after.push(device.meter.live());
            }
        }
        let more = after[1].saturating_sub(after[0]);
        let name = attack.name;
        assert!(
            more <= 4_096,
            "{name}: {more} bytes more after 70 links more"
        );
    }
}
