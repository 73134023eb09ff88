//! The loop of the asynchronous runtimes on one that is simulated: what it asks of streams, of dials and of
//! sleep, whoever implements them.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Endpoint, Options, Runtime, Task};
use kaa_proto::connection::{Event, LinkError};
use kaa_proto::platform::{LinkId, PlatformOptions, PlatformServer};
use kaa_proto::request::{RequestExt as _, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;
use kaa_tests::device::name;

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dials {
    Succeed,
    Fail,
    Panic,
    /// It never ends.
    Hang,
    /// Nor does this one, and it panics when it is dropped.
    HangAndPanic,
}

#[derive(Default)]
struct Wire {
    to_server: Vec<u8>,
    to_client: VecDeque<u8>,
    flushes: u32,
    is_closed: bool,
    /// The calls of which the next panics.
    panics_in: Vec<&'static str>,
}

/// The client's end.
struct Stream(Arc<Mutex<Wire>>);

impl Stream {
    fn wire(&self, call: &'static str) -> MutexGuard<'_, Wire> {
        let mut wire = self.0.lock().unwrap();
        if let Some(place) = wire.panics_in.iter().position(|panics| *panics == call) {
            wire.panics_in.remove(place);
            drop(wire);
            panic!("in a stream");
        }
        wire
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.wire("drop"));
    }
}

/// What the runtime and the test share.
struct World {
    clock: Clock,
    dials: Dials,
    /// How many dials were begun and dropped.
    begun: u32,
    dropped: u32,
    slept: Option<Instant>,
    wire: Arc<Mutex<Wire>>,
}

struct Simulated(Arc<Mutex<World>>);

struct Dial(Arc<Mutex<World>>);

impl Future for Dial {
    type Output = io::Result<Stream>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let dials = self.0.lock().unwrap().dials;
        match dials {
            Dials::Succeed => {
                let wire = Arc::default();
                self.0.lock().unwrap().wire = Arc::clone(&wire);
                Poll::Ready(Ok(Stream(wire)))
            }
            Dials::Fail => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            Dials::Panic => panic!("in a dial"),
            Dials::Hang | Dials::HangAndPanic => Poll::Pending,
        }
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        let mut world = self.0.lock().unwrap();
        world.dropped += 1;
        let panics = world.dials == Dials::HangAndPanic;
        drop(world);
        assert!(!panics, "in the drop of a dial");
    }
}

impl Runtime for Simulated {
    type Stream = Stream;

    fn dial(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static {
        self.0.lock().unwrap().begun += 1;
        Dial(Arc::clone(&self.0))
    }

    fn poll_sleep(&mut self, _: &mut Context<'_>, until: Instant) -> Poll<()> {
        let mut world = self.0.lock().unwrap();
        world.slept = Some(until);
        match until <= world.clock.now() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    fn poll_read(
        stream: &mut Self::Stream,
        _: &mut Context<'_>,
        block: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut wire = stream.wire("read");
        match wire.to_client.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(io::Read::read(&mut wire.to_client, block)),
        }
    }

    fn poll_write(
        stream: &mut Self::Stream,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        stream.wire("write").to_server.extend(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(stream: &mut Self::Stream, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.wire("flush").flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_close(stream: &mut Self::Stream, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        stream.wire("close").is_closed = true;
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client, its task, and a platform.
struct Rig {
    client: Client,
    device: Endpoint,
    task: Task<Simulated>,
    world: Arc<Mutex<World>>,
    server: PlatformServer,
    link: Option<(LinkId, Arc<Mutex<Wire>>)>,
    flag: Arc<Flag>,
    is_over: bool,
}

impl Rig {
    fn new(dials: Dials) -> Self {
        let world = Arc::new(Mutex::new(World {
            clock: Clock::new(),
            dials,
            begun: 0,
            dropped: 0,
            slept: None,
            wire: Arc::default(),
        }));
        let time = Arc::clone(&world);
        let now = move || time.lock().unwrap().clock.now();
        let options = Options::new("mqtt://127.0.0.1").unwrap();
        let (client, driver) = Client::new(options, 1, 2, now).unwrap();
        Self {
            device: client.endpoint(&name().unwrap()).unwrap(),
            client,
            task: Task::new(driver, Simulated(Arc::clone(&world))),
            world,
            server: PlatformServer::new(PlatformOptions::default(), 3),
            link: None,
            flag: Arc::default(),
            is_over: false,
        }
    }

    fn poll(&mut self) {
        let waker = Waker::from(Arc::clone(&self.flag));
        let poll = Pin::new(&mut self.task).poll(&mut Context::from_waker(&waker));
        self.is_over |= poll.is_ready();
    }

    /// Polls as often as somebody wakes the task, and carries what it writes and reads.
    fn run(&mut self) {
        loop {
            self.poll();
            while self.flag.0.swap(false, Ordering::Relaxed) && !self.is_over {
                self.poll();
            }
            if !self.carry() || self.is_over {
                break;
            }
        }
    }

    /// Whether there was anything.
    fn carry(&mut self) -> bool {
        let world = self.world.lock().unwrap();
        let (now, wire) = (world.clock.now(), Arc::clone(&world.wire));
        drop(world);
        let is_known = |(_, known): &(LinkId, Arc<Mutex<Wire>>)| Arc::ptr_eq(known, &wire);
        if !self.link.as_ref().is_some_and(is_known) {
            self.link = Some((self.server.handle_accepted(now), Arc::clone(&wire)));
        }
        let link = self.link.as_ref().unwrap().0;
        let sent = std::mem::take(&mut wire.lock().unwrap().to_server);
        self.server.handle_input(now, link, &sent);
        let mut answers = Vec::new();
        let n = self.server.poll_transmit(link, &mut answers);
        self.server.handle_written(now, link, n);
        wire.lock().unwrap().to_client.extend(&answers);
        !sent.is_empty() || n > 0
    }

    fn pass(&mut self, time: Duration) {
        let end = self.world.lock().unwrap().clock.now() + time;
        self.run();
        loop {
            let mut world = self.world.lock().unwrap();
            let now = world.clock.now();
            if now >= end {
                break;
            }
            let next = world.slept.filter(|until| *until > now);
            world.clock.advance_to(next.unwrap_or(end).min(end));
            drop(world);
            self.run();
        }
    }

    fn begun(&self) -> u32 {
        self.world.lock().unwrap().begun
    }

    fn is_dialing(&self) -> bool {
        let world = self.world.lock().unwrap();
        world.begun > world.dropped
    }

    fn panic_in(&self, calls: &[&'static str]) {
        let world = self.world.lock().unwrap();
        world.wire.lock().unwrap().panics_in = calls.to_vec();
    }

    fn set_dials(&self, dials: Dials) {
        self.world.lock().unwrap().dials = dials;
    }
}

#[test]
fn a_request_is_written_handed_on_and_answered() {
    let mut rig = Rig::new(Dials::Succeed);
    let mut ticket = rig.device.submit(&Sample::new(1)).unwrap();
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    assert!(!rig.is_over && !rig.is_dialing() && rig.begun() == 1);
    assert!(rig.link.unwrap().1.lock().unwrap().flushes > 0);
    assert!(format!("{:?}", rig.task).starts_with("Task("));
}

#[test]
fn much_at_once_comes_through() {
    let mut rig = Rig::new(Dials::Succeed);
    rig.run();
    let submit = |n: usize| rig.device.submit(&Sample::new("x".repeat(n))).unwrap();
    let mut tickets: Vec<_> = (0..500).map(submit).collect();
    rig.run();
    let is_done = |ticket: &mut kaa_proto::client::Ticket<_>| ticket.try_outcome() == Some(Ok(()));
    assert!(tickets.iter_mut().all(is_done));
}

/// Who is woken runs on the same thread.
#[test]
fn who_was_woken_has_a_turn_before_it_goes_on() {
    let mut rig = Rig::new(Dials::Succeed);
    let mut ticket = pin!(rig.device.submit(&Sample::new(1)).unwrap());
    let told = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&told));
    let mut context = Context::from_waker(&waker);
    assert!(ticket.as_mut().poll(&mut context).is_pending());
    while !told.0.load(Ordering::Relaxed) {
        rig.carry();
        rig.flag.0.store(false, Ordering::Relaxed);
        rig.poll();
    }
    assert!(
        rig.flag.0.load(Ordering::Relaxed),
        "it asks for a turn of its own"
    );
    assert!(ticket.as_mut().poll(&mut context).is_ready());
}

#[test]
fn a_dial_goes_on_while_it_is_wanted_and_what_it_panics_costs_it_alone() {
    let mut rig = Rig::new(Dials::Hang);
    let mut events = rig.client.link_events();
    for _ in 0..5 {
        rig.poll();
    }
    assert!(rig.begun() == 1 && rig.is_dialing());
    let mut rests = false;
    for _ in 0..600 {
        rig.pass(SECOND / 10);
        rests |= !rig.is_dialing();
    }
    assert!(rests, "between two dials nobody dials");
    rig.set_dials(Dials::HangAndPanic);
    rig.pass(600 * SECOND);
    rig.set_dials(Dials::Panic);
    rig.pass(600 * SECOND);
    rig.set_dials(Dials::Fail);
    rig.pass(600 * SECOND);
    rig.set_dials(Dials::Succeed);
    let mut ticket = rig.device.submit(&Sample::new(1)).unwrap();
    rig.pass(600 * SECOND);
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    let mut causes = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::LinkLost { error, .. } = event {
            causes.push(error.to_string());
        }
    }
    assert_eq!(causes[0], LinkError::DialTimeout.to_string());
    for words in ["the connector panicked", "refused"] {
        assert!(
            causes.iter().any(|cause| cause.contains(words)),
            "{causes:?}"
        );
    }
    let world = rig.world.lock().unwrap();
    assert_eq!(world.begun as usize, causes.len() + 1);
    assert_eq!(world.begun, world.dropped);
}

#[test]
fn a_stream_that_panics_costs_its_link_alone() {
    // What panics when it is dropped is dropped because of something.
    for calls in [&["read"][..], &["write"], &["flush"], &["read", "drop"]] {
        let mut rig = Rig::new(Dials::Succeed);
        rig.run();
        rig.panic_in(calls);
        let sample = Sample::new(1).resend(Resend::AfterLinkLoss);
        let mut ticket = rig.device.submit(&sample).unwrap();
        rig.pass(2 * SECOND);
        assert!(!rig.is_over, "{calls:?}");
        assert_eq!(ticket.try_outcome(), Some(Ok(())), "{calls:?}");
        assert_eq!(rig.begun(), 2, "{calls:?}");
    }
    let mut rig = Rig::new(Dials::Succeed);
    rig.run();
    rig.panic_in(&["close"]);
    drop(rig.client.shutdown(SECOND));
    rig.pass(2 * SECOND);
    assert!(rig.is_over);
}

#[test]
fn it_ends_with_its_client_after_the_goodbye_and_leaves_no_dial() {
    let mut rig = Rig::new(Dials::Succeed);
    rig.run();
    let _ending = rig.client.shutdown(SECOND);
    rig.pass(10 * SECOND);
    assert!(rig.is_over);
    assert!(rig.link.unwrap().1.lock().unwrap().is_closed);

    let mut rig = Rig::new(Dials::Hang);
    rig.run();
    assert!(rig.is_dialing());
    let _ending = rig.client.shutdown(SECOND);
    rig.pass(10 * SECOND);
    assert!(rig.is_over);
    drop(rig.task);
    let world = rig.world.lock().unwrap();
    assert_eq!((world.begun, world.dropped), (1, 1));
}
