//! The handles that all bindings share, on a simulated clock, against the platform in memory.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Driver, Endpoint, NotReady, Options};
use kaa_proto::connection::{Demand, LinkError, LinkId, Removal};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::{self, EventKind, Fault, PlatformOptions, PlatformServer};
use kaa_proto::request::{Failure, RequestError, SubmitError};
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;

const SECOND: Duration = Duration::from_secs(1);

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

/// The driver of a client, and a platform at the other end of its link.
struct Rig {
    driver: Driver,
    server: PlatformServer,
    clock: Arc<Mutex<Clock>>,
    link: Option<(LinkId, platform::LinkId)>,
    /// While set, dials come to nothing.
    is_away: bool,
}

impl Rig {
    fn new() -> (Client, Self) {
        let clock = Arc::new(Mutex::new(Clock::new()));
        let options = Options::new("mqtt://here").unwrap();
        let time = Arc::clone(&clock);
        let now = move || time.lock().unwrap().now();
        let (client, driver) = Client::new(options, 1, 2, now, || {}).unwrap();
        let rig = Self {
            driver,
            server: PlatformServer::new(PlatformOptions::default(), 3),
            clock,
            link: None,
            is_away: false,
        };
        (client, rig)
    }

    fn now(&self) -> Instant {
        self.clock.lock().unwrap().now()
    }

    /// Lets both sides do what they can do now.
    fn run(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let now = self.now();
        match (self.driver.demand(), self.link) {
            (Demand::Dial(link), _) if !self.is_away => {
                self.link = Some((link, self.server.handle_accepted(now)));
                self.driver.handle_connected(link);
                true
            }
            (demand @ (Demand::Exchange(_) | Demand::HangUp(_)), Some((link, peer))) => {
                let (mut out, mut back) = (Vec::new(), Vec::new());
                let written = self.driver.poll_transmit(&mut out);
                if written > 0 {
                    self.driver.handle_written(link, written);
                    self.server.handle_input(now, peer, &out);
                }
                let answered = self.server.poll_transmit(peer, &mut back);
                if answered > 0 {
                    self.server.handle_written(now, peer, answered);
                    self.driver.handle_input(link, &back);
                }
                let is_idle = written == 0 && answered == 0;
                if is_idle && demand == Demand::HangUp(link) {
                    self.cut(LinkError::Closed);
                    return true;
                }
                !is_idle
            }
            _ => false,
        }
    }

    fn cut(&mut self, cause: LinkError) {
        let (link, peer) = self.link.take().unwrap();
        self.server.handle_closed(self.now(), peer);
        self.driver.handle_disconnected(link, cause);
    }

    /// Lets time pass, from one deadline to the next.
    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        self.run();
        while self.now() < end {
            let next = [self.driver.poll_timeout(), self.server.poll_timeout()];
            let next = next
                .into_iter()
                .flatten()
                .chain([end])
                .min()
                .unwrap()
                .min(end);
            self.clock.lock().unwrap().advance_to(next);
            self.driver.handle_timeout();
            self.server.handle_timeout(next);
            self.run();
        }
    }

    /// Whether something of this kind has happened on the platform since it was asked last.
    fn saw(&mut self, is_it: impl Fn(&EventKind) -> bool) -> bool {
        let events: Vec<_> = std::iter::from_fn(|| self.server.poll_event()).collect();
        events.iter().any(|event| is_it(&event.kind))
    }

    fn command(&mut self) -> i64 {
        let now = self.now();
        let send =
            |platform: &mut platform::Platform| platform.command(now, &name(), &reboot(), None);
        self.server.operate(now, send).unwrap()
    }
}

fn online() -> (Client, Endpoint, Rig) {
    let (client, mut rig) = Rig::new();
    let device = client.endpoint(&name()).unwrap();
    rig.run();
    (client, device, rig)
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

fn bell() -> (Arc<Bell>, Waker) {
    let bell = Arc::new(Bell::default());
    (Arc::clone(&bell), Waker::from(bell))
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn poll_next<S: futures_core::Stream + Unpin>(
    stream: &mut S,
    waker: &Waker,
) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

#[test]
fn a_ticket_wakes_who_asked_last_once_and_gives_its_outcome_once() {
    let (_client, device, mut rig) = online();
    let mut ticket = device.submit(&Sample::new(1)).unwrap();
    let ((first, one), (second, two)) = (bell(), bell());
    assert!(poll(&mut ticket, &one).is_pending());
    assert!(poll(&mut ticket, &two).is_pending());
    rig.run();
    assert_eq!((first.rung(), second.rung()), (0, 1));
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    assert_eq!((ticket.try_outcome(), ticket.is_taken()), (None, true));
    rig.pass(60 * SECOND);
    assert_eq!(second.rung(), 0);
}

#[test]
fn the_request_of_a_dropped_ticket_goes_on() {
    let (_client, device, mut rig) = online();
    drop(device.submit(&Sample::new(1)).unwrap());
    rig.run();
    assert!(rig.saw(|kind| matches!(kind, EventKind::Telemetry { .. })));
    assert_eq!(device.statistics().unwrap().confirmed, 1);
}

/// A replaced waker may be the last thing that holds a task, and with it handles of this client.
#[test]
fn a_waker_may_use_the_client_when_it_is_dropped() {
    struct Nosy(Client);
    impl Wake for Nosy {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            let _ = self.0.link_state();
        }
    }
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let (client, device, _rig) = online();
        let mut ticket = device.submit(&Sample::new(1)).unwrap();
        let mut ready = client.ready(SECOND);
        let (mut links, mut events) = (client.link_events(), device.events());
        let mut commands = device.commands_of("reboot").unwrap();
        let mut shutdown = client.shutdown(SECOND);
        // Each has one of its own: what waits holds the last of it.
        let nosy = || Waker::from(Arc::new(Nosy(client.clone())));
        for _ in 0..2 {
            let _ = poll(&mut ticket, &nosy());
            let _ = poll(&mut ready, &nosy());
            let _ = poll_next(&mut links, &nosy());
            let _ = poll_next(&mut events, &nosy());
            let _ = poll_next(&mut commands, &nosy());
            let _ = poll(&mut shutdown, &nosy());
        }
        drop((ticket, ready, links, events, commands, shutdown));
        done.send(()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(30 * SECOND), Ok(()));
}

#[test]
fn two_readers_of_one_type_share_its_commands_and_the_last_one_stops_observing() {
    let stops = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::CommandsRequested {
                observe: Some(false),
                ..
            }
        )
    };
    let (_client, device, mut rig) = online();
    let mut one = device.commands([reboot()]).unwrap();
    let mut two = device.commands([reboot()]).unwrap();
    rig.run();
    let (bell, waker) = bell();
    assert!(poll_next(&mut two, &waker).is_pending());
    let ids = [rig.command(), rig.command()];
    rig.run();
    assert!(bell.rung() > 0);
    let commands = [one.try_next().unwrap(), two.try_next().unwrap()];
    assert_eq!(
        commands
            .each_ref()
            .map(|command| command.id().as_i64().unwrap()),
        ids
    );
    assert!(one.try_next().is_none() && two.try_next().is_none());

    drop(one);
    rig.run();
    assert!(!rig.saw(stops));
    drop(two);
    rig.run();
    assert!(rig.saw(stops));
}

#[test]
fn a_command_dropped_unanswered_is_surfaced_by_the_next_delivery_and_an_answered_one_is_not() {
    let (_client, device, mut rig) = online();
    let mut commands = device.commands([reboot()]).unwrap();
    rig.run();
    let (given_back, answered) = (rig.command(), rig.command());
    rig.run();
    drop(commands.try_next().unwrap());
    let mut ticket = commands.try_next().unwrap().done().unwrap();
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    rig.cut(LinkError::Eof);
    rig.pass(10 * SECOND);
    let again = commands.try_next().unwrap();
    assert_eq!(again.id().as_i64(), Some(given_back));
    assert_ne!(given_back, answered);
    assert!(commands.try_next().is_none());
}

#[test]
fn ready_ends_when_the_link_is_up_or_its_time_is_over() {
    let (client, mut rig) = Rig::new();
    rig.is_away = true;
    let (bell, waker) = bell();
    let mut ready = client.ready(5 * SECOND);
    assert!(poll(&mut ready, &waker).is_pending());
    rig.pass(4 * SECOND);
    assert_eq!(bell.rung(), 0);
    rig.pass(SECOND);
    assert_eq!(bell.rung(), 1);
    assert_eq!(
        poll(&mut ready, &waker),
        Poll::Ready(Err(NotReady::TimedOut(None)))
    );

    let mut ready = client.ready(5 * SECOND);
    assert!(poll(&mut ready, &waker).is_pending());
    rig.is_away = false;
    rig.run();
    assert_eq!(bell.rung(), 1);
    assert_eq!(poll(&mut ready, &waker), Poll::Ready(Ok(())));
}

#[test]
fn a_shutdown_gives_the_same_account_to_everyone_who_waits() {
    let (client, device, mut rig) = online();
    let now = rig.now();
    let lose = Fault::parse(&["lose", "dcx"]).unwrap();
    rig.server
        .operate(now, |platform| platform.fault(now, lose));
    let unanswered = device.send(&Sample::new(1)).unwrap();
    rig.run();
    device.send(&Sample::new(2)).unwrap();
    let (bell, waker) = bell();
    let (mut one, mut two) = (client.shutdown(5 * SECOND), client.shutdown(5 * SECOND));
    assert!(poll(&mut one, &waker).is_pending());
    assert!(poll(&mut two, &waker).is_pending());
    rig.pass(10 * SECOND);
    assert_eq!(bell.rung(), 2);
    let Poll::Ready(account) = poll(&mut one, &waker) else {
        panic!("it is over");
    };
    assert_eq!(
        (account.outcomes.confirmed, account.outcomes.closed),
        (1, 1)
    );
    assert_eq!(account.unfinished.len(), 1);
    assert_eq!(account.unfinished[0].1.id, unanswered);
    assert_eq!(poll(&mut two, &waker), Poll::Ready(account));
    assert_eq!(device.send(&Sample::new(3)), Err(SubmitError::Closed));
    assert_eq!(rig.driver.demand(), Demand::Finished);
}

#[test]
fn when_the_driver_is_dropped_everything_that_waits_ends_as_closed() {
    let (client, device, rig) = online();
    let (bell, waker) = bell();
    let mut ticket = device.submit(&Sample::new(1)).unwrap();
    let mut commands = device.commands([reboot()]).unwrap();
    let mut events = device.events();
    let mut shutdown = client.shutdown(60 * SECOND);
    assert!(poll(&mut ticket, &waker).is_pending());
    assert!(poll_next(&mut commands, &waker).is_pending());
    assert!(poll_next(&mut events, &waker).is_pending());
    assert!(poll(&mut shutdown, &waker).is_pending());
    drop(rig);
    assert_eq!(bell.rung(), 4);
    assert_eq!(ticket.try_outcome(), Some(Err(Failure::Closed)));
    assert!(matches!(
        poll_next(&mut commands, &waker),
        Poll::Ready(None)
    ));
    assert!(matches!(poll_next(&mut events, &waker), Poll::Ready(None)));
    assert!(poll(&mut shutdown, &waker).is_ready());
    let closed = RequestError::Submit(SubmitError::Closed);
    let mut late = Box::pin(device.request(&Sample::new(2)));
    assert_eq!(poll(&mut late, &waker), Poll::Ready(Err(closed)));
}

#[test]
fn the_last_handle_of_any_kind_closes_when_it_is_dropped() {
    let (client, device, mut rig) = online();
    let ticket = device.submit(&Sample::new(1)).unwrap();
    drop((client, device));
    rig.run();
    assert!(
        matches!(rig.driver.demand(), Demand::Exchange(_)),
        "the ticket is one"
    );
    drop(ticket);
    rig.run();
    assert_eq!(rig.driver.demand(), Demand::Finished);
    assert!(rig.saw(|kind| matches!(kind, EventKind::Telemetry { .. })));
}

#[test]
fn removing_an_endpoint_wakes_and_ends_what_waits_for_it() {
    let (client, device, mut rig) = online();
    let (bell, waker) = bell();
    let mut ticket = device.submit(&Sample::new(1)).unwrap();
    let mut commands = device.commands([reboot()]).unwrap();
    let mut events = device.events();
    assert!(poll(&mut ticket, &waker).is_pending());
    assert!(poll_next(&mut commands, &waker).is_pending());
    assert!(poll_next(&mut events, &waker).is_pending());
    assert!(client.remove_endpoint(&name(), Removal::Discard));
    assert_eq!(bell.rung(), 3);
    assert_eq!(ticket.try_outcome(), Some(Err(Failure::Closed)));
    assert!(matches!(
        poll_next(&mut commands, &waker),
        Poll::Ready(None)
    ));
    assert!(matches!(poll_next(&mut events, &waker), Poll::Ready(None)));
    rig.run();
    assert!(device.statistics().is_none());
}
