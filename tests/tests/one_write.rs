//! What a program says when it hears something goes out in one write with what the link itself has to
//! say: those who are woken have their turn first. Nothing waits for longer than that turn.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use kaa_proto::client::{Client, Endpoint, Options, Runtime, Task, Ticket};
use kaa_proto::endpoint::{EndpointOptions, Subscriptions};
use kaa_proto::names::EndpointName;
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;
use kaa_tests::packets::publish;

const PUBACK: [u8; 4] = [0x40, 2, 0, 7];

/// The far end of a stream, and the runtime that gives it.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    input: Vec<u8>,
    writes: Vec<Vec<u8>>,
}

impl Runtime for Line {
    type Stream = Self;

    fn dial(&mut self) -> impl Future<Output = io::Result<Self>> + Send + 'static {
        ready(Ok(self.clone()))
    }

    fn poll_sleep(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
        Poll::Pending
    }

    fn poll_read(
        line: &mut Self,
        _: &mut Context<'_>,
        block: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let input = &mut line.0.lock().unwrap().input;
        let n = input.len().min(block.len());
        block[..n].copy_from_slice(&input[..n]);
        input.drain(..n);
        if n == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(n))
        }
    }

    fn poll_write(line: &mut Self, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        line.0.lock().unwrap().writes.push(bytes.into());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(_: &mut Self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(_: &mut Self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Remembers that it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A program whose link is up, and that has sent one sample.
struct Program {
    line: Line,
    task: Task<Line>,
    /// Of the task.
    bell: Arc<Bell>,
    device: Endpoint,
    first: Ticket<Sample<u32>>,
    /// Where its answer comes.
    status: Vec<u8>,
    _client: Client,
}

impl Program {
    fn new() -> Self {
        let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
        let options = Options::new("mqtt://here").unwrap();
        let options = options.connection(|options| options.endpoint(endpoint));
        let now = Clock::new().now();
        let (client, driver) = Client::new(options, 1, 2, move || now).unwrap();
        let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
        let device = client.endpoint(&name).unwrap();
        let line = Line::default();
        let first = device.submit(&Sample::new(1)).unwrap();
        let mut program = Self {
            task: Task::new(driver, line.clone()),
            line,
            bell: Arc::default(),
            device,
            first,
            status: Vec::new(),
            _client: client,
        };
        program.turn();
        program.hear(&[0x20, 2, 0, 0]);
        let written = program.turn();
        assert_eq!(written.len(), 1, "the sample was sent");
        program.status = status(&written[0]);
        program
    }

    /// Polls the task once; what it wrote.
    fn turn(&mut self) -> Vec<Vec<u8>> {
        self.bell.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.bell));
        let polled = Pin::new(&mut self.task).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        std::mem::take(&mut self.line.0.lock().unwrap().writes)
    }

    fn is_to_be_polled(&self) -> bool {
        self.bell.0.load(Ordering::Relaxed)
    }

    fn hear(&self, bytes: &[u8]) {
        self.line.0.lock().unwrap().input.extend_from_slice(bytes);
    }

    /// The sample is confirmed, in a message that is to be acknowledged.
    fn hear_confirmation(&self) {
        self.hear(&publish(&self.status, b"", 1, 7));
    }

    /// Somebody waits for the first sample.
    fn wait(&mut self) -> Poll<()> {
        let polled = Pin::new(&mut self.first).poll(&mut Context::from_waker(Waker::noop()));
        polled.map(Result::unwrap)
    }
}

/// Where the answer to a PUBLISH of less than 128 bytes comes.
fn status(packet: &[u8]) -> Vec<u8> {
    let length = usize::from(packet[3]);
    [&packet[4..4 + length], b"/status"].concat()
}

#[test]
fn what_follows_an_answer_goes_out_in_one_write_with_its_acknowledgement() {
    let mut program = Program::new();
    assert_eq!(program.wait(), Poll::Pending);
    program.hear_confirmation();
    assert!(program.turn().is_empty(), "those who were woken come first");
    assert!(program.is_to_be_polled());

    assert_eq!(program.wait(), Poll::Ready(()));
    program.device.send(&Sample::new(2)).unwrap();
    let written = program.turn();
    assert_eq!(written.len(), 1, "{written:?}");
    assert!(written[0].starts_with(&PUBACK) && written[0].get(4) == Some(&0x32));
}

#[test]
fn an_acknowledgement_waits_for_one_turn_of_the_others_at_most() {
    let mut program = Program::new();
    let mut second = program.device.submit(&Sample::new(2)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut second).poll(&mut context).is_pending());
    let written = program.turn();
    assert_eq!(program.wait(), Poll::Pending);

    program.hear_confirmation();
    assert!(program.turn().is_empty());
    // More comes meanwhile, and wakes somebody again.
    program.hear(&publish(&status(&written[0]), b"", 1, 8));
    let written = program.turn();
    assert!(written[0].starts_with(&PUBACK), "{written:?}");
    assert_eq!(
        Pin::new(&mut second).poll(&mut context),
        Poll::Ready(Ok(()))
    );
}

#[test]
fn an_acknowledgement_goes_at_once_where_nobody_waits() {
    let mut program = Program::new();
    program.hear_confirmation();
    assert_eq!(program.turn(), [PUBACK]);
}
