//! One client of the handles, its driver and its platform, on a simulated clock.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Driver, Options, Transport, Turn};
use kaa_proto::platform::{EventKind, LinkId, PlatformOptions, PlatformServer};

use crate::clock::Clock;

/// What a binding is to a client, and a platform at the other end of its link.
#[derive(Debug)]
pub struct Rig {
    /// The client's driver.
    pub driver: Driver,
    /// The platform.
    pub server: PlatformServer,
    /// While set, dials come to nothing.
    pub is_away: bool,
    /// What the driver wanted last.
    pub turn: Turn,
    clock: Arc<Mutex<Clock>>,
    transport: Option<Wire>,
    /// The platform's side of the transport.
    link: Option<(LinkId, Wire)>,
}

impl Rig {
    /// A client with these options, not connected yet.
    #[must_use]
    pub fn new(options: Options) -> (Client, Self) {
        let clock = Arc::new(Mutex::new(Clock::new()));
        let time = Arc::clone(&clock);
        let now = move || lock(&time).now();
        let Ok((client, driver)) = Client::new(options, 1, 2, now) else {
            panic!("the options are wrong");
        };
        let rig = Self {
            driver,
            server: PlatformServer::new(PlatformOptions::default(), 3),
            is_away: false,
            turn: Turn::Again,
            clock,
            transport: None,
            link: None,
        };
        (client, rig)
    }

    /// The time it is.
    #[must_use]
    pub fn now(&self) -> Instant {
        lock(&self.clock).now()
    }

    /// Lets both sides do what they can do now.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Ends the link from the platform's side.
    pub fn cut(&mut self) {
        let now = self.now();
        if let Some((link, wire)) = self.link.take() {
            self.server.handle_closed(now, link);
            lock(&wire.0).is_over = true;
        }
        self.run();
    }

    /// Lets time pass, from one deadline to the next.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        self.run();
        while self.now() < end {
            let next = [self.deadline(), self.server.poll_timeout()];
            let next = next.into_iter().flatten().min().unwrap_or(end).min(end);
            lock(&self.clock).advance_to(next);
            self.server.handle_timeout(next);
            self.run();
        }
    }

    /// Whether something of this kind has happened on the platform since it was asked last.
    pub fn saw(&mut self, is_it: impl Fn(&EventKind) -> bool) -> bool {
        let events: Vec<_> = std::iter::from_fn(|| self.server.poll_event()).collect();
        events.iter().any(|event| is_it(&event.kind))
    }

    fn deadline(&self) -> Option<Instant> {
        match self.turn {
            Turn::Dial { until, .. } | Turn::Wait { until } => until,
            Turn::Again | Turn::Finished => None,
        }
    }

    /// One turn of the driver, and what follows from it on the platform; whether there is more.
    pub fn step(&mut self) -> bool {
        let now = self.now();
        self.turn = self.driver.turn(Waker::noop(), &mut self.transport);
        if let Turn::Dial { link, .. } = self.turn {
            if self.is_away {
                return false;
            }
            let wire = Wire::default();
            self.link = Some((self.server.handle_accepted(now), wire.clone()));
            self.transport = Some(wire);
            self.driver.handle_connected(link);
            return true;
        }
        let Some((link, wire)) = &self.link else {
            return self.turn == Turn::Again;
        };
        let sent = std::mem::take(&mut lock(&wire.0).to_server);
        if !sent.is_empty() {
            self.server.handle_input(now, *link, &sent);
        }
        let mut answers = Vec::new();
        let answered = self.server.poll_transmit(*link, &mut answers);
        self.server.handle_written(now, *link, answered);
        lock(&wire.0).to_client.extend(answers);
        let is_over = self.transport.is_none() || lock(&wire.0).is_closed;
        if is_over && sent.is_empty() {
            self.cut();
            return true;
        }
        self.turn == Turn::Again || !sent.is_empty() || answered > 0
    }
}

/// A byte stream in memory; clones are its two ends.
#[derive(Clone, Debug, Default)]
struct Wire(Arc<Mutex<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    to_server: Vec<u8>,
    to_client: VecDeque<u8>,
    /// The client has closed its direction.
    is_closed: bool,
    /// The server has closed.
    is_over: bool,
}

impl Transport for Wire {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let mut ends = lock(&self.0);
        if ends.to_client.is_empty() && !ends.is_over {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut ends.to_client, block)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).to_server.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        lock(&self.0).is_closed = true;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
