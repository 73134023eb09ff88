//! Every public future, dropped at every point where it can be: only the wait is lost. On a
//! simulated clock, against the platform in memory.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, Options, Transport, Turn};
use kaa_proto::commands::{CommandResult, Pending};
use kaa_proto::metadata::Keys;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::{EventKind, Platform};
use kaa_proto::request::{DecodeError, InvalidRequest, Reply, Request, RequestWriter};
use kaa_proto::telemetry::Sample;
use kaa_tests::rig::Rig;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// No future here needs more polls than this.
const MAX_POLLS: usize = 2_000;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes the future under test.
type Begin = fn(&Client, &Endpoint) -> Work;

/// Gives up every wait at once and waits again, as `select!` in a loop does.
macro_rules! impatiently {
    ($stream:expr) => {{
        let mut stream = $stream;
        Box::pin(async move {
            let mut left = 2;
            while left > 0 {
                let item = once(stream.next()).await;
                left -= usize::from(item.is_some());
            }
        }) as Work
    }};
}

/// Waits for one item; the stream goes with the wait.
macro_rules! next {
    ($stream:expr) => {{
        let mut stream = $stream;
        Box::pin(async move { drop(stream.next().await) }) as Work
    }};
}

const CASES: &[(&str, Begin)] = &[
    ("Ticket", |_, device| {
        let ticket = device.submit(&Sample::new(1)).unwrap();
        Box::pin(async move { ticket.await.unwrap() })
    }),
    ("Endpoint::request", |_, device| {
        let request = device.request(&Sample::new(1));
        Box::pin(async move { request.await.unwrap() })
    }),
    ("several requests in a row", |_, device| {
        let device = device.clone();
        Box::pin(async move {
            device.request(&Sample::new(1)).await.unwrap();
            device.request(&Keys).await.unwrap();
            device.request(&Sample::new(2)).await.unwrap();
        })
    }),
    ("Ready", |client, _| {
        let ready = client.ready(5 * SECOND);
        Box::pin(async move { ready.await.unwrap() })
    }),
    ("Ready, never", |client, _| {
        let closing = client.shutdown(60 * SECOND);
        let ready = client.ready(Duration::ZERO);
        Box::pin(async move {
            drop(ready.await);
            drop(closing.await);
        })
    }),
    ("Shutdown", |client, device| {
        device.send(&Sample::new(1)).unwrap();
        let shutdown = client.shutdown(5 * SECOND);
        Box::pin(async move { assert_eq!(shutdown.await.unfinished, []) })
    }),
    ("Commands::next", |_, device| {
        next!(device.commands([reboot()]).unwrap())
    }),
    ("Commands::next, impatiently", |_, device| {
        impatiently!(device.commands([reboot()]).unwrap())
    }),
    ("Configurations::next", |_, device| {
        next!(device.configurations().unwrap())
    }),
    ("SoftwareUpdates::next", |_, device| {
        next!(device.software_updates("0.0.1").unwrap())
    }),
    ("LinkEvents::next", |client, _| next!(client.link_events())),
    ("LinkEvents::next, impatiently", |client, device| {
        device.send(&Sample::new(1)).unwrap();
        let closing = client.shutdown(60 * SECOND);
        let events = impatiently!(client.link_events());
        Box::pin(async move {
            closing.await;
            drop(events);
        })
    }),
    ("EndpointEvents::next", |client, device| {
        let closing = client.shutdown(SECOND);
        let mut events = device.events();
        Box::pin(async move {
            while events.next().await.is_some() {}
            closing.await;
        })
    }),
    ("Command::respond", |_, device| {
        let mut commands = device.commands([reboot()]).unwrap();
        Box::pin(async move {
            for _ in 0..2 {
                let command = commands.next().await.unwrap();
                let result = CommandResult::ok().with_payload(&json!("now")).unwrap();
                command.respond(result).unwrap().await.unwrap();
            }
        })
    }),
    ("Pending, adopted and answered", |_, device| {
        let device = device.clone();
        Box::pin(async move {
            let pending = device.request(&Pending::new(reboot())).await.unwrap();
            let adopted: Vec<_> = pending.into_iter().map(|c| device.adopt(c)).collect();
            for command in adopted {
                command.done().unwrap().await.unwrap();
            }
        })
    }),
];

/// Polls a future once and drops it.
async fn once<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut polled = false;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending if !std::mem::replace(&mut polled, true) => Poll::Pending,
        Poll::Pending => Poll::Ready(None),
        item => item,
    })
    .await
}

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client, its platform, and what an operator wants of the device.
struct World {
    client: Client,
    device: Endpoint,
    rig: Rig,
    commands: [i64; 2],
    /// How many requests of the application the platform processed.
    processed: u64,
    /// How often each command was reported as done.
    results: BTreeMap<i64, usize>,
}

impl World {
    fn new() -> Self {
        let (client, mut rig) = Rig::new(Options::new("mqtt://here").unwrap());
        let device = client.endpoint(&name()).unwrap();
        let now = rig.now();
        let command = |platform: &mut Platform| platform.command(now, &name(), &reboot(), None);
        let operate = |platform: &mut Platform| {
            let config = json!({"key": "value"});
            platform
                .set_configuration(now, &name(), None, config)
                .unwrap();
            platform
                .set_software(now, &name(), "0.0.2", json!({}))
                .unwrap();
            [command(platform).unwrap(), command(platform).unwrap()]
        };
        let commands = rig.server.operate(now, operate);
        Self {
            client,
            device,
            rig,
            commands,
            processed: 0,
            results: BTreeMap::new(),
        }
    }

    /// One step of the driver or of the platform; when there is none to be made, time passes.
    fn go_on(&mut self) {
        if !self.rig.step() {
            self.rig.pass(Duration::from_millis(100));
        }
        self.look();
    }

    fn look(&mut self) {
        while let Some(event) = self.rig.server.poll_event() {
            let is_asked = matches!(
                event.kind,
                EventKind::Telemetry { .. }
                    | EventKind::MetadataRead { .. }
                    | EventKind::CommandsRequested { observe: None, .. }
                    | EventKind::CommandResult { .. }
            );
            self.processed += u64::from(is_asked);
            if let EventKind::CommandResult { id, .. } = event.kind {
                *self.results.entry(id).or_default() += 1;
            } else if let EventKind::Breach { .. } | EventKind::Refused { .. } = event.kind {
                panic!("{event}");
            }
        }
    }

    /// Nothing but the wait was lost: every request ended once, the platform saw what the account
    /// says, and each command comes until it is answered.
    fn check(mut self, what: &str) {
        let before = self.device.statistics().unwrap();
        if let Ok(mut commands) = self.device.commands([reboot()]) {
            self.rig.run();
            self.rig.cut();
            self.rig.pass(10 * SECOND);
            while let Some(command) = commands.try_next() {
                drop(command.done().unwrap());
            }
            self.rig.pass(40 * SECOND);
            self.look();
            let answered = self.results.keys().copied().collect::<Vec<_>>();
            assert_eq!(answered, self.commands, "{what}: a command is lost");
        }
        let mut closed = Box::pin(self.client.shutdown(60 * SECOND));
        self.rig.pass(70 * SECOND);
        self.look();
        assert_eq!(self.rig.turn, Turn::Finished, "{what}");
        let context = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(account) = closed.as_mut().poll(context) else {
            panic!("{what}: it is over");
        };
        assert_eq!(account.unfinished, [], "{what}");

        let after = self.device.statistics().unwrap();
        let ended = after.confirmed
            + after.rejected
            + after.unanswered
            + after.outcome_unknown
            + after.expired
            + after.dropped
            + after.cancelled
            + after.closed;
        assert!(before.submitted <= after.submitted);
        assert_eq!(after.submitted, ended, "{what}: {after:?}");
        assert_eq!(after.confirmed, ended, "{what}: {after:?}");
        assert_eq!(
            after.confirmed, self.processed,
            "{what}: the platform saw others"
        );
    }
}

/// Runs a case with at most `polls` polls, then drops it; whether it had ended.
fn cancelled_after(polls: usize, what: &str, begin: Begin) -> bool {
    let mut world = World::new();
    let bell = Arc::new(Bell::default());
    let mut work = begin(&world.client, &world.device);
    let submitted = world.device.statistics().unwrap().submitted;
    let mut has_ended = false;
    for _ in 0..polls {
        // Each poll has a waker of its own, which the library has to replace.
        let waker = Waker::from(Arc::clone(&bell));
        has_ended = work
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        if has_ended {
            break;
        }
        drop(waker);
        world.go_on();
        assert!(Arc::strong_count(&bell) <= 3, "{what}: a waker leaks");
    }
    drop(work);
    assert_eq!(Arc::strong_count(&bell), 1, "{what}: a waker is left");
    let taken = world.device.statistics().unwrap().submitted;
    assert!(taken >= submitted, "{what}");
    world.check(&format!("{what} after {polls} polls"));
    has_ended
}

#[test]
fn a_future_that_is_dropped_at_any_await_loses_only_its_wait() {
    for (what, begin) in CASES {
        let ends = (0..MAX_POLLS).find(|polls| cancelled_after(*polls, what, *begin));
        assert!(ends.is_some_and(|polls| polls > 0), "{what} never ends");
    }
}

/// What is ready was told: nobody has to poll in vain.
#[test]
fn a_future_that_is_polled_only_when_it_is_woken_ends() {
    for (what, begin) in CASES
        .iter()
        .filter(|(what, _)| !what.contains("impatiently"))
    {
        let mut world = World::new();
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let mut work = begin(&world.client, &world.device);
        let mut is_pending = work
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending();
        for _ in 0..MAX_POLLS {
            if !is_pending {
                break;
            }
            if bell.0.swap(0, Ordering::Relaxed) > 0 {
                is_pending = work
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending();
            }
            world.go_on();
        }
        assert!(!is_pending, "{what} was not woken");
        drop(work);
        world.check(what);
    }
}

/// A request of the application's that asks for commands and cannot read the answer.
struct Unreadable;

impl Request for Unreadable {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        Pending::new(reboot()).encode(out)
    }

    fn decode(reply: &Reply) -> Result<(), DecodeError> {
        reply.json::<u64>("a number").map(drop)
    }
}

#[test]
fn commands_in_an_answer_that_cannot_be_read_are_given_back() {
    let mut world = World::new();
    let mut ticket = world.device.submit(&Unreadable).unwrap();
    world.rig.run();
    assert!(matches!(ticket.try_outcome(), Some(Err(_))));
    assert_eq!(ticket.try_outcome(), None);
    drop(ticket);
    world.check("an answer that cannot be read");
}

/// What was held back for want of room is asked for at once.
#[test]
fn dropping_an_answer_with_commands_wakes_the_driver() {
    struct Nothing;
    impl Transport for Nothing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
        fn close(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut world = World::new();
    let ticket = world.device.submit(&Pending::new(reboot())).unwrap();
    world.rig.run();
    world
        .rig
        .driver
        .as_mut()
        .unwrap()
        .turn(&waker, &mut None::<Nothing>);
    drop(ticket);
    assert_eq!(bell.0.swap(0, Ordering::Relaxed), 1);

    // A driver that is gone holds nobody's waker.
    world
        .rig
        .driver
        .as_mut()
        .unwrap()
        .turn(&waker, &mut None::<Nothing>);
    drop(world.rig);
    drop(waker);
    assert_eq!(Arc::strong_count(&bell), 1);
}
