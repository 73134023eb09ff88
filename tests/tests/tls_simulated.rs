//! TLS in the driver, on a simulated clock and over a transport that takes what it likes: what
//! counts as sent, what a silence is, and how a link ends.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use kaa_proto::client::{Client, Driver, Endpoint, Options, Ticket, Transport, Turn};
use kaa_proto::connection::{Event, LinkError};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{EventKind, LinkId, PlatformOptions, PlatformServer};
use kaa_proto::request::{Failure, RequestExt as _, Resend};
use kaa_proto::telemetry::Sample;
use kaa_proto::tls::{self, TlsError};
use kaa_tests::certificates::{Authority, Identity, Key, Server};
use kaa_tests::clock::Clock;
use kaa_tests::tls_end::{TlsEnd, server_config};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};

const SECOND: Duration = Duration::from_secs(1);

/// The authority, and what the server has of it: the same for all, and of RSA, so that handshakes are
/// equally long. The signatures of elliptic curves differ by some bytes, whoever makes them.
static SERVER: LazyLock<(String, Identity)> = LazyLock::new(|| {
    let authority = Authority::new("simulated");
    let identity = authority.server(Server::Good, Key::RsaPkcs8);
    (authority.certificate_pem(), identity)
});

/// A client over TLS, and a platform that it reaches through a narrow transport.
struct Rig {
    driver: Driver,
    server: PlatformServer,
    config: Arc<ServerConfig>,
    clock: Arc<Mutex<Clock>>,
    transport: Option<Narrow>,
    link: Option<Link>,
    turn: Turn,
    /// How the transports of the next links behave.
    manner: Manner,
    /// While set, what the server sends is kept back.
    is_silent: bool,
}

/// The server's end of a link.
struct Link {
    id: LinkId,
    tls: TlsEnd,
    wire: Arc<Mutex<Wire>>,
}

/// How a transport behaves.
#[derive(Clone, Copy)]
struct Manner {
    /// How many bytes it moves in one call.
    piece: usize,
    /// How many it takes in all before it fails.
    takes: usize,
    /// How many it gives in all before it ends.
    gives: usize,
}

const WIDE: Manner = Manner {
    piece: usize::MAX,
    takes: usize::MAX,
    gives: usize::MAX,
};

#[derive(Default)]
struct Wire {
    to_server: Vec<u8>,
    to_client: VecDeque<u8>,
    taken: usize,
    given: usize,
    is_over: bool,
    is_closed: bool,
}

struct Narrow {
    wire: Arc<Mutex<Wire>>,
    manner: Manner,
}

impl Transport for Narrow {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.wire.lock().unwrap();
        let left = self.manner.gives - wire.given;
        if wire.to_client.is_empty() && !wire.is_over && left > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = block.len().min(self.manner.piece).min(left);
        let n = io::Read::read(&mut wire.to_client, &mut block[..most])?;
        wire.given += n;
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty(), "that is promised");
        let mut wire = self.wire.lock().unwrap();
        let n = bytes
            .len()
            .min(self.manner.piece)
            .min(self.manner.takes - wire.taken);
        if n == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        wire.to_server.extend(&bytes[..n]);
        wire.taken += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.wire.lock().unwrap().is_closed = true;
        Ok(())
    }
}

impl Rig {
    fn new(version: &'static SupportedProtocolVersion, manner: Manner) -> (Client, Self) {
        let (authority, identity) = &*SERVER;
        let options = Options::new("mqtts://localhost")
            .unwrap()
            .tls(tls::Options::new().ca(authority.as_str()));
        let no_file = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
        let options = options.load_tls(no_file, Vec::new).unwrap();
        let clock = Arc::new(Mutex::new(Clock::new()));
        let time = Arc::clone(&clock);
        let now = move || time.lock().unwrap().now();
        let (client, driver) = Client::new(options, 1, 2, now).unwrap();
        let rig = Self {
            driver,
            server: PlatformServer::new(PlatformOptions::default(), 3),
            config: server_config(identity, &[version]),
            clock,
            transport: None,
            link: None,
            turn: Turn::Again,
            manner,
            is_silent: false,
        };
        (client, rig)
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap()
    }

    fn run(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let now = self.clock().now();
        self.turn = self.driver.turn(Waker::noop(), &mut self.transport);
        if let Turn::Dial { link, .. } = self.turn {
            let wire = Arc::default();
            self.transport = Some(Narrow {
                wire: Arc::clone(&wire),
                manner: self.manner,
            });
            self.driver.handle_connected(link);
            self.hang_up();
            self.link = Some(Link {
                id: self.server.handle_accepted(now),
                tls: TlsEnd::new(&self.config),
                wire,
            });
            return true;
        }
        let Some(link) = &mut self.link else {
            return self.turn == Turn::Again;
        };
        let sent = std::mem::take(&mut link.wire.lock().unwrap().to_server);
        let plain = link.tls.open(&sent).unwrap();
        self.server.handle_input(now, link.id, &plain);
        let mut answers = Vec::new();
        if !self.is_silent {
            let n = self.server.poll_transmit(link.id, &mut answers);
            self.server.handle_written(now, link.id, n);
            answers = link.tls.seal(&answers);
            link.wire.lock().unwrap().to_client.extend(&answers);
        }
        let is_over = self.transport.is_none() || link.wire.lock().unwrap().is_closed;
        if is_over && sent.is_empty() {
            self.hang_up();
            return true;
        }
        self.turn == Turn::Again || !sent.is_empty() || !answers.is_empty()
    }

    /// The server closes.
    fn hang_up(&mut self) {
        let now = self.clock().now();
        if let Some(link) = self.link.take() {
            self.server.handle_closed(now, link.id);
            link.wire.lock().unwrap().is_over = true;
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.clock().now() + time;
        self.run();
        while self.clock().now() < end {
            let of_driver = match self.turn {
                Turn::Dial { until, .. } | Turn::Wait { until } => until,
                Turn::Again | Turn::Finished => None,
            };
            let next = of_driver.into_iter().chain(self.server.poll_timeout());
            let next = next.min().unwrap_or(end).min(end);
            self.clock().advance_to(next);
            self.server.handle_timeout(next);
            self.run();
        }
    }

    /// How many samples the platform has processed since it was asked last.
    fn samples(&mut self) -> usize {
        std::iter::from_fn(|| self.server.poll_event())
            .filter(|event| matches!(event.kind, EventKind::Telemetry { .. }))
            .count()
    }
}

fn device(client: &Client) -> Endpoint {
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    client.endpoint(&name).unwrap()
}

fn once(device: &Endpoint) -> Ticket<impl kaa_proto::request::Request<Response = ()>> {
    device
        .submit(&Sample::new(21).resend(Resend::Never))
        .unwrap()
}

fn causes(events: &mut kaa_proto::client::LinkEvents) -> Vec<LinkError> {
    std::iter::from_fn(|| events.try_next())
        .filter_map(|event| {
            let Event::LinkLost { error, .. } = event else {
                return None;
            };
            Some(error)
        })
        .collect()
}

#[test]
fn requests_go_through_tls_1_2_and_1_3_in_pieces_of_every_size() {
    for version in [&TLS12, &TLS13] {
        for piece in [1, 2, 7, 100, usize::MAX] {
            let (client, mut rig) = Rig::new(version, Manner { piece, ..WIDE });
            let device = device(&client);
            let mut ticket = once(&device);
            rig.run();
            assert_eq!(ticket.try_outcome(), Some(Ok(())), "{version:?} {piece}");
            assert_eq!(rig.samples(), 1);
        }
    }
}

/// The peer can read a record only when it is whole. Wherever the transport fails, what the
/// client says of the request is what the platform saw: never processed twice, never confirmed
/// by nobody, and unknown only if the whole record was out.
#[test]
fn a_request_whose_record_was_cut_counts_as_unsent_and_goes_out_again() {
    let (client, mut rig) = Rig::new(&TLS13, WIDE);
    let device = device(&client);
    rig.run();
    let written_before = rig.link.as_ref().unwrap().wire.lock().unwrap().taken;
    let mut ticket = once(&device);
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    let written_after = rig.link.as_ref().unwrap().wire.lock().unwrap().taken;
    let mut unknown = 0;
    for takes in written_before..=written_after {
        let (client, mut rig) = Rig::new(&TLS13, Manner { takes, ..WIDE });
        let device = self::device(&client);
        rig.run();
        let mut ticket = once(&device);
        rig.run();
        rig.manner = WIDE;
        rig.hang_up();
        rig.pass(10 * SECOND);
        match ticket.try_outcome() {
            Some(Ok(())) => assert_eq!(rig.samples(), 1, "cut after {takes}"),
            Some(Err(Failure::OutcomeUnknown)) => unknown += 1,
            other => panic!("cut after {takes}: {other:?}"),
        }
    }
    assert!(
        unknown < 40,
        "only where the record of the request was whole: {unknown}"
    );
}

#[test]
fn a_handshake_that_ends_at_any_byte_is_a_cut_and_is_dialed_again_slower_and_slower() {
    for version in [&TLS12, &TLS13] {
        let (_client, mut rig) = Rig::new(version, WIDE);
        while rig.link.as_ref().is_none_or(|link| !link.tls.is_ready()) {
            rig.step();
        }
        let needed = rig.link.as_ref().unwrap().wire.lock().unwrap().given;
        for gives in (0..needed).step_by(7) {
            let (client, mut rig) = Rig::new(version, Manner { gives, ..WIDE });
            let mut events = client.link_events();
            rig.pass(60 * SECOND);
            let causes = causes(&mut events);
            let is_cut = |cause: &LinkError| *cause == LinkError::Tls(TlsError::Cut);
            assert!(causes.iter().all(is_cut), "{gives}: {causes:?}");
            assert!((3..20).contains(&causes.len()), "{gives}: {}", causes.len());
        }
    }
}

#[test]
fn a_server_that_is_silent_in_the_handshake_is_given_up_in_time() {
    let (client, mut rig) = Rig::new(&TLS13, WIDE);
    let mut events = client.link_events();
    rig.is_silent = true;
    rig.pass(19 * SECOND);
    assert_eq!(causes(&mut events), []);
    rig.pass(SECOND);
    assert_eq!(causes(&mut events), [LinkError::DialTimeout]);
}

#[test]
fn a_server_that_is_silent_in_the_middle_of_a_record_is_found_by_keep_alive() {
    let (client, mut rig) = Rig::new(&TLS13, WIDE);
    let mut events = client.link_events();
    rig.run();
    rig.is_silent = true;
    let link = rig.link.as_mut().unwrap();
    let mut record = link.tls.seal(&[0xd0, 0x00]);
    record.truncate(record.len() / 2);
    link.wire.lock().unwrap().to_client.extend(&record);
    rig.pass(90 * SECOND);
    assert_eq!(causes(&mut events), [LinkError::KeepAliveTimeout]);
}

/// A device that was suspended finds a silence that is over and what came since, at once. The
/// first part of the largest record there is says nothing yet.
#[test]
fn a_record_that_waited_through_a_stall_is_seen_before_the_silence_is_judged() {
    let (client, mut rig) = Rig::new(&TLS13, WIDE);
    let mut events = client.link_events();
    rig.run();
    rig.is_silent = true;
    rig.pass(60 * SECOND);
    // The beginning of a PUBLISH of 32 KiB.
    let mut message = vec![0x30, 0x80, 0x80, 0x02, 0, 1, b'x'];
    message.resize(16 * 1_024, b' ');
    let link = rig.link.as_mut().unwrap();
    let record = link.tls.seal(&message);
    assert!(record.len() > message.len());
    link.wire.lock().unwrap().to_client.extend(&record);
    let later = rig.clock().now() + 40 * SECOND;
    rig.clock().advance_to(later);
    rig.run();
    assert_eq!(causes(&mut events), []);
}

/// Whatever comes later, it is no wrong port.
#[test]
fn what_is_no_record_on_a_link_that_was_up_does_not_wait_for_an_operator() {
    let (client, mut rig) = Rig::new(&TLS13, WIDE);
    let mut events = client.link_events();
    rig.run();
    let link = rig.link.as_mut().unwrap();
    link.wire.lock().unwrap().to_client.extend(b"HTTP/1.1 ");
    rig.driver.turn(Waker::noop(), &mut rig.transport);
    let [LinkError::Tls(cause @ TlsError::Other(_))] = &causes(&mut events)[..] else {
        panic!("it is told as something else");
    };
    assert!(!cause.needs_operator());
}

#[test]
fn an_answer_in_front_of_what_is_no_record_counts() {
    let (client, mut rig) = Rig::new(&TLS13, WIDE);
    rig.run();
    let device = device(&client);
    let mut ticket = once(&device);
    let wire = Arc::clone(&rig.link.as_ref().unwrap().wire);
    while ticket.try_outcome().is_none() {
        let mut wire = wire.lock().unwrap();
        // As soon as there is any answer, everything after it is damaged.
        if !wire.to_client.is_empty() && rig.samples() > 0 {
            wire.to_client.extend(b"HTTP/1.1 ");
            drop(wire);
            rig.driver.turn(Waker::noop(), &mut rig.transport);
            assert_eq!(ticket.try_outcome(), Some(Ok(())));
            return;
        }
        drop(wire);
        assert!(rig.step(), "it is never answered");
    }
    panic!("it was answered before");
}

#[test]
fn the_goodbye_ends_with_that_of_tls() {
    let (client, mut rig) = Rig::new(&TLS13, WIDE);
    rig.run();
    let _ending = client.shutdown(SECOND);
    while !rig.link.as_ref().unwrap().wire.lock().unwrap().is_closed {
        rig.step();
    }
    let link = rig.link.as_mut().unwrap();
    let rest = std::mem::take(&mut link.wire.lock().unwrap().to_server);
    link.tls.open(&rest).unwrap();
    assert!(link.tls.has_client_closed());
    rig.run();
    assert_eq!(rig.turn, Turn::Finished);
}
