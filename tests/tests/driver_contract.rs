//! The contract between the driver and its binding, with a hostile transport on a simulated
//! clock: bytes in any pieces, calls that block or are interrupted at random, links that end
//! anywhere, dials that come late. Nothing is lost or sent twice, no turn is in vain, and no wait
//! is a lie.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod storm;

use std::io;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, Options, Ticket, Transport, Turn};
use kaa_proto::connection::LinkState;
use kaa_proto::endpoint::{EndpointOptions, Subscriptions};
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Adjusted, Failure, RequestExt as _, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;
use kaa_tests::rig::Rig;
use serde_json::{Value, json};
use storm::{Storm, Weather};

const SECOND: Duration = Duration::from_secs(1);
const SEEDS: u64 = 150;

fn options() -> Options {
    let quick = Duration::from_millis(200);
    Options::new("mqtt://here").unwrap().connection(|options| {
        let options = options.backoff(quick, SECOND).slow_retry(SECOND);
        options.dial_within(2 * SECOND).kick_limit(1_000)
    })
}

fn device(client: &Client) -> Endpoint {
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    let options = EndpointOptions::default().max_in_flight(NonZeroU16::new(20).unwrap());
    client.endpoint_with(&name, options).unwrap()
}

/// A sample of a size that needs several writes now and then, and may be sent once only or again.
fn submit(device: &Endpoint, n: u64) -> Ticket<Adjusted<Sample<Value>>> {
    let filling = "x".repeat((n as usize * 37) % 400);
    let sample = Sample::new(json!({ "n": n, "filling": filling }));
    let again = match n % 3 {
        0 => Resend::AfterLinkLoss,
        _ => Resend::Never,
    };
    device.submit(&sample.resend(again)).unwrap()
}

/// Slow, but nothing is lost.
const ROUGH: Weather = Weather {
    block: 300,
    interrupt: 100,
    fail: 0,
    eof: 0,
    garbage: 0,
    dial: 0,
    late: 0,
    piece: 40,
};

/// How often each outcome came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    confirmed: u64,
    outcome_unknown: u64,
    unanswered: u64,
}

/// Sends samples through the storm, lets it calm down, and compares the account with what the
/// platform saw.
fn weather(seed: u64, weather: Weather) {
    let (client, mut storm) = Storm::new(options(), seed, weather);
    let device = device(&client);
    let mut tickets = Vec::new();
    for n in 0..60 {
        tickets.push((n, submit(&device, n)));
        // Often several at once, so that some wait for the transport.
        let pause = [0, 0, 0, 600][storm.below(4) as usize];
        storm.pass(Duration::from_millis(storm.below(1 + pause)));
    }
    storm.set(Weather::default());
    storm.pass(180 * SECOND);

    let mut tally = Tally::default();
    for (n, ticket) in &mut tickets {
        let outcome = ticket.try_outcome();
        let seen = storm.seen.get(n).copied().unwrap_or_default();
        let is_once = *n % 3 != 0;
        assert!(
            seen <= 1 || !is_once,
            "{n} was sent {seen} times, seed {seed}"
        );
        match outcome.expect("every request ends") {
            Ok(()) => {
                tally.confirmed += 1;
                assert!(seen > 0, "{n} was confirmed and not seen, seed {seed}");
            }
            Err(Failure::OutcomeUnknown) => {
                tally.outcome_unknown += 1;
                assert!(is_once, "{n} might have been sent again, seed {seed}");
            }
            Err(Failure::Unanswered) => tally.unanswered += 1,
            Err(other) => panic!("{n} ended as {other}, seed {seed}"),
        }
    }
    let statistics = device.statistics().unwrap();
    let account = Tally {
        confirmed: statistics.confirmed,
        outcome_unknown: statistics.outcome_unknown,
        unanswered: statistics.unanswered,
    };
    assert_eq!((tally, statistics.submitted), (account, 60), "seed {seed}");

    storm.set(ROUGH);
    device.send(&Sample::new(json!({"n": 60}))).unwrap();
    drop(client.shutdown(5 * SECOND));
    storm.pass(10 * SECOND);
    assert!(storm.is_finished(), "seed {seed}");
}

#[test]
fn nothing_is_lost_or_sent_twice_by_a_transport_that_blocks_and_splits() {
    for seed in 0..SEEDS {
        weather(seed, ROUGH);
    }
}

#[test]
fn nothing_is_lost_or_sent_twice_when_links_end_anywhere_and_dials_come_late() {
    let hostile = Weather {
        block: 200,
        interrupt: 50,
        fail: 2,
        eof: 15,
        garbage: 30,
        dial: 200,
        late: 300,
        piece: 40,
    };
    for seed in 0..SEEDS {
        weather(seed, hostile);
    }
}

/// What waits for the transport when the server says something wrong goes out on the next link,
/// and not on this one too.
#[test]
fn nothing_is_sent_twice_when_a_link_fails_while_its_output_is_blocked() {
    let wrong = Weather {
        garbage: 300,
        block: 100,
        ..ROUGH
    };
    for seed in 0..SEEDS {
        weather(seed, wrong);
    }
}

/// One byte at a time is slow, not wrong.
#[test]
fn a_transport_of_single_bytes_is_enough() {
    let drops = Weather {
        piece: 1,
        ..Weather::default()
    };
    weather(1, drops);
}

/// A binding may learn how an old dial ended when the next link is up already.
#[test]
fn what_becomes_of_an_old_dial_says_nothing_about_the_link_that_is_up() {
    let (client, mut rig) = Rig::new(options());
    let _device = device(&client);
    rig.is_away = true;
    rig.run();
    let Turn::Dial { link: old, .. } = rig.turn else {
        panic!("it dials at once");
    };
    rig.pass(5 * SECOND);
    rig.is_away = false;
    rig.run();
    let driver = rig.driver.as_mut().unwrap();
    driver.handle_failed(old, &io::ErrorKind::ConnectionRefused.into());
    driver.handle_connected(old);
    rig.pass(SECOND);
    assert_eq!(client.link_state(), LinkState::Up);
    assert_eq!(client.statistics().links_lost, 0);
}

/// Takes what it has room for, and says CONNACK.
struct Narrow {
    room: Arc<Mutex<usize>>,
    taken: Arc<Mutex<Vec<u8>>>,
    greeting: &'static [u8],
}

impl Transport for Narrow {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match io::Read::read(&mut self.greeting, block)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let n = bytes.len().min(*room);
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        *room -= n;
        self.taken.lock().unwrap().extend(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A second for the goodbye of TLS and the close of the server is apart from that.
#[test]
fn a_hang_up_has_all_its_time_to_write_what_is_left() {
    let within = 10 * SECOND;
    let options = options().connection(|options| options.hang_up_within(within));
    let clock = Arc::new(Mutex::new(Clock::new()));
    let time = Arc::clone(&clock);
    let (client, mut driver) =
        Client::new(options, 1, 1, move || time.lock().unwrap().now()).unwrap();
    let pass = |time| {
        let mut clock = clock.lock().unwrap();
        let end = clock.now() + time;
        clock.advance_to(end);
    };
    let room = Arc::new(Mutex::new(usize::MAX));
    let taken = Arc::default();
    let mut transport = None;
    let mut run = |transport: &mut Option<Narrow>| loop {
        match driver.turn(Waker::noop(), transport) {
            Turn::Dial { link, .. } => {
                *transport = Some(Narrow {
                    room: Arc::clone(&room),
                    taken: Arc::clone(&taken),
                    greeting: b"\x20\x02\0\0",
                });
                driver.handle_connected(link);
            }
            Turn::Again => {}
            Turn::Wait { .. } | Turn::Finished => break,
        }
    };
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    let silent = EndpointOptions::default().subscriptions(Subscriptions::None);
    let device = client.endpoint_with(&name, silent).unwrap();
    run(&mut transport);
    *room.lock().unwrap() = 100;
    let sample = Sample::new("x".repeat(4_000));
    drop(device.submit(&sample));
    run(&mut transport);
    drop(client.shutdown(SECOND));
    pass(SECOND);
    run(&mut transport);
    pass(within - SECOND);
    run(&mut transport);
    *room.lock().unwrap() = usize::MAX;
    run(&mut transport);
    assert!(
        taken.lock().unwrap().ends_with(b"xx\"\xe0\x00"),
        "and DISCONNECT"
    );
}
