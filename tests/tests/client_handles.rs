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
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, NotReady, NotStored, Options, Turn};
use kaa_proto::connection::Removal;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::{EventKind, Fault, Platform};
use kaa_proto::request::{Failure, RequestError, RequestExt as _, SubmitError};
use kaa_proto::store::{Durability, Log, LogOptions};
use kaa_proto::telemetry::Sample;
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::rig::{Rig, Wire};

const SECOND: Duration = Duration::from_secs(1);

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

fn offline() -> (Client, Rig) {
    Rig::new(Options::new("mqtt://here").unwrap())
}

/// An operator sends a command; its ID.
fn command(rig: &mut Rig) -> i64 {
    let now = rig.now();
    let send = |platform: &mut Platform| platform.command(now, &name(), &reboot(), None);
    rig.server.operate(now, send).unwrap()
}

fn online() -> (Client, Endpoint, Rig) {
    let (client, mut rig) = offline();
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
    let ids = [command(&mut rig), command(&mut rig)];
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

/// An endpoint observes 256 things at most.
#[test]
fn several_types_are_read_together_or_not_at_all() {
    let (_client, device, mut rig) = online();
    let types =
        |range: std::ops::Range<u32>| range.map(|n| CommandType::new(format!("type{n}")).unwrap());
    let first = device.commands(types(0..1)).unwrap();
    assert!(matches!(
        device.commands(types(0..257)),
        Err(SubmitError::QueueFull(_))
    ));
    rig.run();
    // Only what is read by somebody else is still observed.
    let all = device.commands(types(500..755)).unwrap();
    assert!(device.commands(types(900..901)).is_err());
    drop(first);
    assert!(device.commands(types(900..901)).is_ok());
    drop(all);
}

#[test]
fn a_command_dropped_unanswered_is_surfaced_by_the_next_delivery_and_an_answered_one_is_not() {
    let (_client, device, mut rig) = online();
    let mut commands = device.commands([reboot()]).unwrap();
    rig.run();
    let (given_back, answered) = (command(&mut rig), command(&mut rig));
    rig.run();
    drop(commands.try_next().unwrap());
    let mut ticket = commands.try_next().unwrap().done().unwrap();
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    rig.cut();
    rig.pass(10 * SECOND);
    let again = commands.try_next().unwrap();
    assert_eq!(again.id().as_i64(), Some(given_back));
    assert_ne!(given_back, answered);
    assert!(commands.try_next().is_none());
}

#[test]
fn ready_ends_when_the_link_is_up_or_its_time_is_over() {
    let (client, mut rig) = offline();
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
fn a_listener_that_does_not_read_keeps_the_latest_256_events() {
    let (client, _device, mut rig) = online();
    let (mut reader, mut sleeper) = (client.link_events(), client.link_events());
    let mut events = Vec::new();
    while events.len() < 300 {
        rig.cut();
        rig.pass(200 * SECOND);
        events.extend(std::iter::from_fn(|| reader.try_next()));
    }
    let kept: Vec<_> = std::iter::from_fn(|| sleeper.try_next()).collect();
    assert_eq!(kept, events[events.len() - 256..]);
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
    assert_eq!(rig.turn, Turn::Finished);
}

#[test]
fn a_client_that_is_closed_between_two_links_wakes_its_driver() {
    let (client, mut rig) = offline();
    rig.refuses = true;
    rig.run();
    assert!(matches!(rig.turn, Turn::Wait { .. }), "it rests");
    let (bell, waker) = bell();
    let driver = rig.driver.as_mut().unwrap();
    assert_eq!(driver.turn(&waker, &mut None::<Wire>), rig.turn);
    let mut shutdown = client.shutdown(SECOND);
    assert!(poll(&mut shutdown, &waker).is_ready());
    assert_eq!(bell.rung(), 1);
    assert_eq!(driver.turn(&waker, &mut None::<Wire>), Turn::Finished);
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
    assert!(matches!(rig.turn, Turn::Wait { .. }), "the ticket is one");
    drop(ticket);
    rig.run();
    assert_eq!(rig.turn, Turn::Finished);
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

#[test]
fn an_endpoint_that_is_added_again_while_it_leaves_serves_all_its_handles() {
    let (client, before, mut rig) = online();
    rig.is_away = true;
    rig.cut();
    let (bell, waker) = bell();
    let mut first = before.submit(&Sample::new(1)).unwrap();
    let mut commands = before.commands([reboot()]).unwrap();
    let mut events = before.events();
    assert!(poll_next(&mut commands, &waker).is_pending());
    assert!(poll_next(&mut events, &waker).is_pending());
    assert!(client.remove_endpoint(&name(), Removal::Flush(600 * SECOND)));
    let refused = before.send(&Sample::new(2));
    assert_eq!(refused, Err(SubmitError::UnknownEndpoint));

    let after = client.endpoint(&name()).unwrap();
    assert_eq!(after.key(), before.key());
    assert_eq!(bell.rung(), 2);
    let mut anew = after.commands([reboot()]).unwrap();
    let over = |next: Poll<Option<_>>| matches!(next, Poll::Ready(None));
    assert!(over(
        poll_next(&mut commands, &waker).map(|next| next.map(drop))
    ));
    assert!(over(
        poll_next(&mut events, &waker).map(|next| next.map(drop))
    ));
    let mut second = before.submit(&Sample::new(2)).unwrap();
    rig.is_away = false;
    rig.pass(60 * SECOND);
    assert_eq!(first.try_outcome(), Some(Ok(())));
    assert_eq!(second.try_outcome(), Some(Ok(())));
    assert_eq!(after.statistics().unwrap().submitted, 2);

    // Streams of before take nothing from new ones, and nothing back when they go.
    command(&mut rig);
    rig.run();
    assert!(commands.try_next().is_none());
    assert!(anew.try_next().is_some());
    drop(commands);
    command(&mut rig);
    rig.run();
    assert!(anew.try_next().is_some());
    drop(anew);
    rig.run();
    command(&mut rig);
    rig.run();
    assert!(after.commands([reboot()]).unwrap().try_next().is_none());
}

#[test]
fn an_endpoint_that_is_gone_is_added_anew() {
    let (client, before, mut rig) = online();
    assert!(client.remove_endpoint(&name(), Removal::Flush(600 * SECOND)));
    let after = client.endpoint(&name()).unwrap();
    assert_ne!(after.key(), before.key());
    rig.run();
    assert_eq!(
        before.send(&Sample::new(1)),
        Err(SubmitError::UnknownEndpoint)
    );
    assert!(after.send(&Sample::new(1)).is_ok());
}

#[test]
fn only_a_store_that_promises_something_is_said_to_store() {
    let cases = [
        (Durability::None, Err(NotStored::InMemory)),
        (Durability::Flush, Ok(())),
        (Durability::Sync, Ok(())),
    ];
    for (durability, expected) in cases {
        let disk = SimulatedDisk::new(1);
        let options = Options::new("mqtt://here").unwrap().durability(durability);
        let open = move || Ok(Log::new(disk.clone(), LogOptions::default()));
        let (client, mut rig) = Rig::new(options.store(open));
        let device = client.endpoint(&name()).unwrap();
        let mut durable = device.submit(&Sample::new(1).durable()).unwrap();
        let volatile = device.submit(&Sample::new(2).volatile()).unwrap();
        assert_eq!(durable.try_stored(), None);
        assert_eq!(volatile.try_stored(), Some(Err(NotStored::NotDurable)));
        rig.run();
        assert_eq!(durable.try_stored(), Some(expected), "{durability:?}");
        assert_eq!(durable.try_outcome(), Some(Ok(())));
    }
}

#[test]
fn a_command_that_is_dropped_is_new_after_a_crash_and_one_that_is_held_was_interrupted() {
    for is_dropped in [true, false] {
        let disk = SimulatedDisk::new(1);
        let options = || {
            let disk = disk.clone();
            let open = move || Ok(Log::new(disk.clone(), LogOptions::default()));
            Options::new("mqtt://here").unwrap().store(open)
        };
        let (client, mut rig) = Rig::new(options());
        let device = client.endpoint(&name()).unwrap();
        let mut commands = device.commands_of("reboot").unwrap();
        rig.run();
        command(&mut rig);
        rig.run();
        let held = commands.try_next().filter(|_| !is_dropped);
        rig.run();

        let (client, mut next) = rig.after_crash(options(), 2);
        let device = client.endpoint(&name()).unwrap();
        let mut commands = device.commands_of("reboot").unwrap();
        next.run();
        let again = commands.try_next().unwrap();
        assert_eq!(again.is_interrupted(), !is_dropped);
        drop(held);
    }
}

/// Goes off when the last one that knows of it lets go.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the application");
    }
}

#[test]
fn a_waker_that_panics_where_it_is_replaced_stops_nobody() {
    let (_client, device, mut rig) = online();
    let mut ticket = device.submit(&Sample::new(1)).unwrap();
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(poll(&mut ticket, &bomb).is_pending());
    drop(bomb);
    assert!(poll(&mut ticket, Waker::noop()).is_pending());
    rig.run();
    assert_eq!(poll(&mut ticket, Waker::noop()), Poll::Ready(Ok(())));
}
