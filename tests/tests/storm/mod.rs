//! A binding that does all that the contract allows, at the worst time, from a seed.

mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Driver, Options, Turn};
use kaa_proto::connection;
use kaa_proto::platform::{EventKind, LinkId, PlatformOptions, PlatformServer};
use kaa_tests::clock::Clock;
use kaa_tests::dice::Dice;

use wire::{Hostile, Wire};

/// More turns in one second than this, with no other cause than the time that the driver named,
/// are a busy loop.
const TURNS_PER_SECOND: usize = 200;

/// Turns that say `Again` in a row and moved nothing: a close, or room for input.
const IDLE_TURNS: usize = 3;

/// How often what goes wrong, in a thousand times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// A call would block, for 1 to 100 ms.
    pub(crate) block: u64,
    /// A call is interrupted.
    pub(crate) interrupt: u64,
    /// A call fails.
    pub(crate) fail: u64,
    /// The link ends, when bytes come.
    pub(crate) eof: u64,
    /// The server says what is no MQTT, when bytes come.
    pub(crate) garbage: u64,
    /// A dial fails.
    pub(crate) dial: u64,
    /// A dial comes to something only after it was given up.
    pub(crate) late: u64,
    /// Reads and writes move at most so many bytes; 0: all there are.
    pub(crate) piece: usize,
}

pub(crate) struct Storm {
    driver: Driver,
    server: PlatformServer,
    clock: Arc<Mutex<Clock>>,
    sky: Arc<Mutex<Sky>>,
    transport: Option<Hostile>,
    /// All transports that the client has not dropped, and the server's side of those that it has
    /// not closed.
    links: Vec<(Option<LinkId>, Wire)>,
    /// Dials under way, and when they come to something.
    dials: Vec<(Instant, connection::LinkId)>,
    bell: Arc<Bell>,
    turn: Turn,
    /// There is a cause for a turn.
    is_due: bool,
    /// When what was sent arrives at the server.
    arrives_at: Option<Instant>,
    /// `Again` in a row that moved nothing.
    idle: usize,
    /// Turns of the current second that only the driver's own time caused.
    timed: (Duration, usize),
    /// How often the platform took the sample of each number.
    pub(crate) seen: BTreeMap<u64, usize>,
}

/// The weather, and whom it strikes.
struct Sky {
    weather: Weather,
    dice: Dice,
}

impl Sky {
    fn strikes(&mut self, of_thousand: u64) -> bool {
        self.dice.below(1_000) < of_thousand
    }
}

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Storm {
    pub(crate) fn new(options: Options, seed: u64, weather: Weather) -> (Client, Self) {
        let clock = Arc::new(Mutex::new(Clock::new()));
        let time = Arc::clone(&clock);
        let now = move || lock(&time).now();
        let (client, driver) = Client::new(options, seed, seed, now).unwrap();
        let dice = Dice::new(seed);
        let storm = Self {
            driver,
            server: PlatformServer::new(PlatformOptions::default(), seed),
            clock,
            sky: Arc::new(Mutex::new(Sky { weather, dice })),
            transport: None,
            links: Vec::new(),
            dials: Vec::new(),
            bell: Arc::default(),
            turn: Turn::Again,
            is_due: true,
            arrives_at: None,
            idle: 0,
            timed: (Duration::ZERO, 0),
            seen: BTreeMap::new(),
        };
        (client, storm)
    }

    pub(crate) fn now(&self) -> Instant {
        lock(&self.clock).now()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.turn == Turn::Finished
    }

    /// A number from the same seed.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        lock(&self.sky).dice.below(bound)
    }

    pub(crate) fn set(&self, weather: Weather) {
        lock(&self.sky).weather = weather;
    }

    /// Lets time pass, from one cause to the next.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        loop {
            self.act();
            let now = self.now();
            if now >= end {
                return;
            }
            let dial = self.dials.iter().map(|(at, _)| *at).min();
            let ready = self
                .links
                .iter()
                .filter_map(|(_, wire)| lock(wire).ready_at);
            let causes = [self.until(), dial, ready.min(), self.arrives_at];
            let server = self.server.poll_timeout();
            let next = causes.into_iter().chain([server]).flatten().min();
            let next = next.map_or(end, |next| next.min(end));
            lock(&self.clock).advance_to(next);
            self.strike(next);
        }
    }

    fn until(&self) -> Option<Instant> {
        match self.turn {
            Turn::Dial { until, .. } | Turn::Wait { until } => until,
            Turn::Again | Turn::Finished => None,
        }
    }

    /// Turns the driver while there is a cause.
    fn act(&mut self) {
        loop {
            let is_timed = self.until().is_some_and(|until| until <= self.now());
            let is_due =
                std::mem::take(&mut self.is_due) | self.bell.0.swap(false, Ordering::Relaxed);
            if !is_due && !is_timed {
                return;
            }
            if !is_due {
                self.count();
            }
            self.turn();
        }
    }

    fn count(&mut self) {
        let second = Duration::from_secs(lock(&self.clock).elapsed().as_secs());
        if self.timed.0 != second {
            self.timed = (second, 0);
        }
        self.timed.1 += 1;
        assert!(self.timed.1 < TURNS_PER_SECOND, "the driver is busy");
    }

    fn turn(&mut self) {
        let now = self.now();
        let waker = Waker::from(Arc::clone(&self.bell));
        self.turn = self.driver.turn(&waker, &mut self.transport);
        let tally = self
            .transport
            .as_mut()
            .map(Hostile::tally)
            .unwrap_or_default();
        assert!(tally.calls <= tally.moved + 20, "calls in vain: {tally:?}");
        assert!(
            self.until().is_none_or(|until| until > now),
            "{:?}",
            self.turn
        );
        match self.turn {
            Turn::Again => {
                self.is_due = true;
                self.idle = if tally.moved > 0 { 0 } else { self.idle + 1 };
                assert!(self.idle <= IDLE_TURNS, "again and again for nothing");
            }
            Turn::Dial { link, .. } if self.dials.iter().all(|(_, known)| *known != link) => {
                let mut sky = lock(&self.sky);
                let late = sky.weather.late;
                let wait = match sky.strikes(late) {
                    true => 2_000 + sky.dice.below(3_000),
                    false => sky.dice.below(100),
                };
                self.dials.push((now + Duration::from_millis(wait), link));
            }
            Turn::Dial { .. } | Turn::Wait { .. } | Turn::Finished => {}
        }
        self.reap(now);
        let is_sent = |(_, wire): &(Option<LinkId>, Wire)| !lock(wire).to_server.is_empty();
        if self.arrives_at.is_none() && self.links.iter().any(is_sent) {
            self.arrives_at = Some(now + Duration::from_millis(self.below(20)));
        }
    }

    /// What happens at this time.
    fn strike(&mut self, now: Instant) {
        self.server.handle_timeout(now);
        let dials = std::mem::take(&mut self.dials);
        for (at, link) in dials {
            match at <= now {
                true => self.finish_dial(now, link),
                false => self.dials.push((at, link)),
            }
        }
        for (_, wire) in &self.links {
            self.is_due |= lock(wire).clear(now);
        }
        if self.arrives_at.is_some_and(|at| at <= now) {
            self.arrives_at = None;
            for (link, wire) in open(&self.links) {
                let sent = std::mem::take(&mut lock(wire).to_server);
                self.server.handle_input(now, link, &sent);
            }
        }
        self.answer(now);
    }

    /// A dial comes to something, also one that nobody waits for any more.
    fn finish_dial(&mut self, now: Instant, link: connection::LinkId) {
        self.is_due = true;
        let mut sky = lock(&self.sky);
        let dial = sky.weather.dial;
        if sky.strikes(dial) {
            drop(sky);
            let error = io::ErrorKind::ConnectionRefused.into();
            return self.driver.handle_failed(link, &error);
        }
        drop(sky);
        if self.transport.is_none() {
            let wire = Wire::default();
            let link = self.server.handle_accepted(now);
            self.links.push((Some(link), Arc::clone(&wire)));
            self.transport = Some(Hostile::new(
                wire,
                Arc::clone(&self.sky),
                Arc::clone(&self.clock),
            ));
        }
        self.driver.handle_connected(link);
    }

    /// The server's bytes come, and perhaps the end with them.
    fn answer(&mut self, now: Instant) {
        for (link, wire) in open(&self.links) {
            let mut answers = Vec::new();
            let n = self.server.poll_transmit(link, &mut answers);
            self.server.handle_written(now, link, n);
            if answers.is_empty() {
                continue;
            }
            let mut sky = lock(&self.sky);
            let mut wire = lock(wire);
            wire.to_client.extend(&answers);
            let Weather { garbage, eof, .. } = sky.weather;
            if sky.strikes(garbage) {
                // No packet begins like that.
                wire.to_client.extend([0, 0]);
            }
            if sky.strikes(eof) {
                let left = sky.dice.below(wire.to_client.len() as u64) as usize;
                wire.to_client.truncate(left);
                wire.is_over = true;
            }
            self.is_due |= std::mem::take(&mut wire.is_hungry);
        }
        while let Some(link) = self.server.poll_hang_up() {
            for (_, wire) in open(&self.links).filter(|(of, _)| *of == link) {
                lock(wire).is_over = true;
                self.is_due = true;
            }
        }
        self.reap(now);
        while let Some(event) = self.server.poll_event() {
            if let EventKind::Telemetry { data, .. } = event.kind {
                *self.seen.entry(data["n"].as_u64().unwrap()).or_default() += 1;
            }
        }
    }

    /// Closes links that one side has ended: what was flushed still arrives, or not.
    fn reap(&mut self, now: Instant) {
        for (link, wire) in &mut self.links {
            let mut ends = lock(wire);
            let is_over = ends.is_dropped || ends.is_over || ends.is_closed;
            let Some(closed) = link.take_if(|_| is_over) else {
                continue;
            };
            let sent = std::mem::take(&mut ends.to_server);
            if ends.is_closed || lock(&self.sky).strikes(500) {
                self.server.handle_input(now, closed, &sent);
            }
            self.server.handle_closed(now, closed);
            ends.is_over = true;
            self.is_due |= std::mem::take(&mut ends.is_hungry);
        }
        self.links.retain(|(_, wire)| !lock(wire).is_dropped);
    }
}

/// Those that the server has not closed.
fn open(links: &[(Option<LinkId>, Wire)]) -> impl Iterator<Item = (LinkId, &Wire)> {
    links
        .iter()
        .filter_map(|(link, wire)| link.map(|link| (link, wire)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
