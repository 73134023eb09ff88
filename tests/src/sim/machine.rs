//! A simulated device: its client, the program on it, its disk and its links.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Driver, Options, Shutdown, StoreTurn, StoreWriter, Turn};
use kaa_proto::connection;
use kaa_proto::platform::PlatformServer;
use kaa_proto::store::{Log, LogOptions};

use super::clock::SharedClock;
use super::dials::Dials;
use super::program::{Birth, LinkEnd, Moment, Passed, Program, Storage};
use super::spin::Spin;
use super::transport::Wire;
use super::wire::{Carriage, Line};
use crate::dice::Dice;
use crate::disk::SimulatedDisk;
use crate::pipe::Arrival;
use crate::sniffer::Seen;
use crate::wire_ids::WireIds;

/// How many of the latest requests somebody else may answer.
const RECENT: usize = 8;

/// How much of a payload stands in the transcript.
const TOLD: usize = 60;

/// What a machine can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Its driver is turned.
    Turn,
    /// Its dial ends.
    Dial,
    /// What it has written is taken by the network.
    Send,
    /// Bytes arrive at the platform.
    ArriveUp,
    /// Bytes arrive at the client.
    ArriveDown,
    /// Its store is written.
    Write,
    /// Its program is called.
    Live,
}

/// What a machine is built from.
pub(super) struct Parts {
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) program: Box<dyn Program>,
    pub(super) disk: Option<SimulatedDisk>,
    pub(super) carriage: Carriage,
    /// How long an ID is not used again after its request was sent, unless it was answered.
    pub(super) rest: Duration,
    pub(super) clock: SharedClock,
}

pub(super) struct Machine {
    pub(super) program: Box<dyn Program>,
    pub(super) disk: Option<SimulatedDisk>,
    /// Links, the latest last; of earlier ones only the platform's end is left.
    pub(super) lines: Vec<(u64, Line)>,
    /// Dials come to nothing until then.
    pub(super) away_until: Option<Instant>,
    /// Dials are refused until then.
    pub(super) refused_until: Option<Instant>,
    /// The medium hangs until then.
    pub(super) stuck_until: Option<Instant>,
    /// The program is not called until then.
    pub(super) asleep_until: Option<Instant>,
    /// So many links to come are closed by the platform as soon as it has accepted them.
    pub(super) kicks: u32,
    /// What it has to remember things.
    pub(super) storage: Storage,
    pub(super) carriage: Carriage,
    number: u64,
    seed: u64,
    clock: SharedClock,
    rest: Duration,
    runs: u64,
    process: Option<Process>,
    ids: WireIds,
    links: u64,
    spin: Spin,
    dials: Dials,
    /// What clients of earlier runs had counted.
    past: Vec<connection::Statistics>,
    /// The latest requests it has sent, by topic.
    pub(super) recent: VecDeque<String>,
}

/// What is gone when the power goes.
struct Process {
    client: Client,
    driver: Driver,
    writer: Option<StoreWriter>,
    /// Somebody has work for the driver.
    flag: Arc<Flag>,
    turn: Turn,
    /// The dial under way, and when it ends.
    dial: Option<(connection::LinkId, Instant)>,
    transport: Option<Wire>,
    writes_at: Option<Instant>,
    lives_at: Instant,
    shutdown: Option<Shutdown>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Machine {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            program: parts.program,
            lines: Vec::new(),
            away_until: None,
            refused_until: None,
            stuck_until: None,
            asleep_until: None,
            kicks: 0,
            storage: match parts.disk {
                Some(_) => Storage::Good,
                None => Storage::None,
            },
            disk: parts.disk,
            carriage: parts.carriage,
            number: parts.number,
            seed: parts.seed,
            ids: WireIds::new(parts.rest),
            rest: parts.rest,
            clock: parts.clock,
            runs: 0,
            process: None,
            links: 0,
            spin: Spin::default(),
            dials: Dials::default(),
            past: Vec::new(),
            recent: VecDeque::new(),
        }
    }

    /// What its clients have counted.
    pub(super) fn statistics(&self) -> Vec<connection::Statistics> {
        let present = self
            .process
            .as_ref()
            .map(|process| process.client.statistics());
        self.past.iter().cloned().chain(present).collect()
    }

    /// Starts the program, with another client.
    pub(super) fn start(&mut self, birth: Birth, dice: &mut Dice, notes: &mut Vec<String>) {
        let now = self.clock.now();
        self.runs += 1;
        self.ids = WireIds::new(self.rest);
        let seed = self.seed.wrapping_add(self.runs);
        let (client, mut driver) = self.client_of(self.program.options(), seed);
        let writer = driver.take_store_writer();
        let mut moment = Moment {
            now,
            client: &client,
            storage: self.storage,
            dice,
            is_calm: false,
            is_settled: false,
            notes,
            again_in: Duration::ZERO,
        };
        self.program.start(&mut moment, birth);
        self.spin.restart(now);
        self.dials = Dials::default();
        self.process = Some(Process {
            client,
            driver,
            writes_at: writer.is_some().then_some(now),
            writer,
            flag: Arc::new(Flag(AtomicBool::new(true))),
            turn: Turn::Again,
            dial: None,
            transport: None,
            lives_at: now,
            shutdown: None,
        });
    }

    fn client_of(&self, options: Options, seed: u64) -> (Client, Driver) {
        let options = match &self.disk {
            None => options,
            Some(disk) => {
                let disk = disk.clone();
                let log = LogOptions::default();
                options.store(move || Ok(Log::new(disk.clone(), log)))
            }
        };
        let clock = self.clock.clone();
        let opened = options.open_store();
        let opened = opened.map_err(|error| error.to_string());
        let made = opened.and_then(|options| {
            let made = Client::new(options, self.number, seed, move || clock.now());
            made.map_err(|error| error.to_string())
        });
        match made {
            Ok(made) => made,
            Err(error) => panic!("the client cannot be made: {error}"),
        }
    }

    /// The power goes, or the process is killed, and it starts again.
    pub(super) fn crash(&mut self, birth: Birth, dice: &mut Dice, notes: &mut Vec<String>) {
        let now = self.clock.now();
        let seed = dice.below(u64::MAX);
        if let Some(disk) = &mut self.disk {
            *disk = match birth {
                Birth::PowerCut => disk.after_crash(seed),
                Birth::First | Birth::Killed | Birth::ShutDown => disk.after_kill(),
            };
        }
        self.watch_wire(now, notes);
        self.program.note_crash(now, notes);
        self.past = self.statistics();
        // Only the operating system of a living machine tells the platform.
        self.process = None;
        self.let_go(birth == Birth::PowerCut);
        self.start(birth, dice, notes);
    }

    /// It is told to end, and starts again when it has.
    pub(super) fn shut_down(&mut self, within: Duration) {
        if let Some(process) = self.process.as_mut().filter(|p| p.shutdown.is_none()) {
            process.shutdown = Some(process.client.shutdown(within));
        }
    }

    /// The client's ends of all links are gone.
    fn let_go(&mut self, is_silent: bool) {
        for (number, line) in &mut self.lines {
            if line.forget() {
                let end = if line.is_partial() {
                    LinkEnd::Partial
                } else {
                    LinkEnd::Whole
                };
                self.program.handle_link_gone(*number, end);
            }
            if is_silent {
                line.swallow(true, true);
            }
        }
    }

    /// Whether its driver has nothing to do by now.
    fn is_settled(&self, now: Instant) -> bool {
        !self.is_turned_at(now)
    }

    /// Whether its driver is to be turned by now.
    fn is_turned_at(&self, now: Instant) -> bool {
        self.process.as_ref().is_some_and(|process| {
            let until = match process.turn {
                Turn::Again => return true,
                Turn::Dial { until, .. } | Turn::Wait { until } => until,
                Turn::Finished => return false,
            };
            let is_ready = process.transport.is_some()
                && self.lines.last().is_some_and(|(_, line)| line.wants_turn());
            let is_due = until.is_some_and(|until| until <= now);
            process.flag.0.load(Ordering::Relaxed) || is_due || is_ready
        })
    }

    /// What it can do now.
    pub(super) fn jobs(
        &self,
        now: Instant,
        server: &PlatformServer,
    ) -> impl Iterator<Item = Job> + use<> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let lines = || self.lines.iter().map(|(_, line)| line);
        let jobs = [
            (Job::Turn, self.is_turned_at(now)),
            (Job::Dial, self.dials_at().is_some_and(|at| at <= now)),
            (Job::Send, lines().any(Line::has_up)),
            (
                Job::ArriveUp,
                lines().any(|line| line.is_up_due(now, server)),
            ),
            (Job::ArriveDown, lines().any(|line| line.is_down_due(now))),
            (Job::Write, due(self.writes_at())),
            (Job::Live, due(self.lives_at())),
        ];
        jobs.into_iter()
            .filter(|(_, is_due)| *is_due)
            .map(|(job, _)| job)
    }

    /// When it has something to do next, if it has nothing to do now.
    pub(super) fn next(&self, server: &PlatformServer) -> Option<Instant> {
        let turn = self
            .process
            .as_ref()
            .and_then(|process| match process.turn {
                Turn::Dial { until, .. } | Turn::Wait { until } => until,
                Turn::Again | Turn::Finished => None,
            });
        let lines = self.lines.iter();
        let arrivals = lines.flat_map(|(_, line)| [line.next_up(server), line.next_down()]);
        let own = [turn, self.dials_at(), self.writes_at(), self.lives_at()];
        own.into_iter().chain(arrivals).flatten().min()
    }

    fn dials_at(&self) -> Option<Instant> {
        let (_, at) = self.process.as_ref()?.dial?;
        Some(self.away_until.map_or(at, |until| at.max(until)))
    }

    fn writes_at(&self) -> Option<Instant> {
        let at = self.process.as_ref()?.writes_at?;
        Some(self.stuck_until.map_or(at, |until| at.max(until)))
    }

    fn lives_at(&self) -> Option<Instant> {
        let process = self.process.as_ref()?;
        let at = process.shutdown.is_none().then_some(process.lives_at)?;
        Some(self.asleep_until.map_or(at, |until| at.max(until)))
    }

    /// Does one of its jobs.
    pub(super) fn work(
        &mut self,
        job: Job,
        server: &mut PlatformServer,
        dice: &mut Dice,
        is_calm: bool,
        notes: &mut Vec<String>,
    ) {
        let now = self.clock.now();
        match job {
            Job::Turn => self.turn(now, dice, notes),
            Job::Dial => self.end_dial(now, server, dice),
            Job::Send => {
                for (_, line) in &mut self.lines {
                    line.take_up(now, dice);
                }
            }
            Job::ArriveUp => self.arrive_up(now, server, dice),
            Job::ArriveDown => {
                for (_, line) in &mut self.lines {
                    line.arrive_down(now, dice);
                }
            }
            Job::Write => self.write(now, dice, notes),
            Job::Live => self.live(now, dice, is_calm, notes),
        }
        self.cut_due(now, server);
    }

    fn turn(&mut self, now: Instant, dice: &mut Dice, notes: &mut Vec<String>) {
        let Some(process) = &mut self.process else {
            return;
        };
        process.flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&process.flag));
        process.turn = process.driver.turn(&waker, &mut process.transport);
        let (turn, has_transport) = (process.turn, process.transport.is_some());
        match turn {
            Turn::Dial { link, .. } if process.dial.is_none_or(|(dialed, _)| dialed != link) => {
                process.dial = Some((link, now + self.carriage.latency));
                self.dials.dial(now);
            }
            Turn::Dial { .. } | Turn::Again => {}
            Turn::Wait { .. } | Turn::Finished => process.dial = None,
        }
        if let Turn::Dial { until, .. } | Turn::Wait { until } = turn {
            assert!(
                until.is_none_or(|until| until > now),
                "its timer is in the past"
            );
        }
        if process.writer.is_some() && process.writes_at.is_none() {
            process.writes_at = Some(now);
        }
        self.spin.turned();
        self.spin.check(now);
        self.watch_wire(now, notes);
        if !has_transport {
            self.let_go(false);
        }
        if turn == Turn::Finished {
            self.finish(now, dice, notes);
        }
    }

    /// It has ended as it was told to; its store may not be written yet.
    fn finish(&mut self, now: Instant, dice: &mut Dice, notes: &mut Vec<String>) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.writer.is_some() {
            // What it has to write comes first.
            return;
        }
        if let Some(mut shutdown) = process.shutdown.take() {
            let mut context = Context::from_waker(Waker::noop());
            match Pin::new(&mut shutdown).poll(&mut context) {
                Poll::Ready(account) => self.program.handle_account(&account),
                Poll::Pending => panic!("it has ended, and has no account"),
            }
        }
        self.watch_wire(now, notes);
        self.crash(Birth::ShutDown, dice, notes);
    }

    fn end_dial(&mut self, now: Instant, server: &mut PlatformServer, dice: &mut Dice) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some((link, _)) = process.dial.take() else {
            return;
        };
        process.flag.0.store(true, Ordering::Relaxed);
        if self.refused_until.is_some_and(|until| until > now) {
            let error = std::io::ErrorKind::ConnectionRefused.into();
            process.driver.handle_failed(link, &error);
            return;
        }
        let seed = Dice::new(dice.below(u64::MAX));
        let (mut line, wire) = Line::new(server.handle_accepted(now), self.carriage, seed);
        if self.kicks > 0 {
            self.kicks -= 1;
            line.is_kicked = true;
        }
        self.links += 1;
        self.lines.push((self.links, line));
        process.transport = Some(wire);
        process.driver.handle_connected(link);
        self.dials.connected(now);
        self.spin.allow(4);
    }

    fn arrive_up(&mut self, now: Instant, server: &mut PlatformServer, dice: &mut Dice) {
        for (_, line) in &mut self.lines {
            let Some(link) = line.server.filter(|link| server.wants_input(*link)) else {
                continue;
            };
            match line.arrived_up(now, dice) {
                None => {}
                Some(Arrival::Bytes(bytes)) => server.handle_input(now, link, &bytes),
                Some(Arrival::End) => {
                    line.close_down(now);
                    server.handle_closed(now, link);
                }
            }
        }
    }

    fn write(&mut self, now: Instant, dice: &mut Dice, notes: &mut Vec<String>) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(writer) = &mut process.writer else {
            process.writes_at = None;
            return;
        };
        process.writes_at = match writer.turn() {
            StoreTurn::Again => Some(now),
            StoreTurn::Wait { until } => until,
            StoreTurn::Finished => None,
        };
        self.spin.allow(2);
        if process.writes_at.is_none() && process.turn == Turn::Finished {
            process.writer = None;
            self.finish(now, dice, notes);
        }
    }

    fn live(&mut self, now: Instant, dice: &mut Dice, is_calm: bool, notes: &mut Vec<String>) {
        let (is_settled, storage) = (self.is_settled(now), self.storage);
        let Some(process) = &mut self.process else {
            return;
        };
        let mut moment = Moment {
            now,
            client: &process.client,
            storage,
            dice,
            is_calm,
            is_settled,
            notes,
            again_in: Duration::from_secs(1),
        };
        self.program.live(&mut moment);
        process.lives_at = now + moment.again_in.max(Duration::from_millis(1));
        if process.writer.is_some() && process.writes_at.is_none() {
            process.writes_at = Some(now);
        }
        self.spin.allow(16);
    }

    /// Cuts the links whose time has come, and forgets those that nobody holds.
    pub(super) fn cut_due(&mut self, now: Instant, server: &mut PlatformServer) {
        for (_, line) in &mut self.lines {
            if line.is_cut() {
                line.cut();
                if let Some(link) = line.server.take() {
                    server.handle_closed(now, link);
                }
            }
        }
        let latest = self.links;
        let is_held = |number: u64, line: &Line| {
            line.server.is_some() || number == latest && !line.is_forgotten()
        };
        self.lines.retain(|(number, line)| is_held(*number, line));
    }

    /// The messages that went through the client's ends.
    fn watch_wire(&mut self, now: Instant, notes: &mut Vec<String>) {
        for (number, line) in &self.lines {
            let sight = line.take_sight();
            self.spin.allow(sight.calls);
            for seen in &sight.received {
                notes.push(told(self.number - 1, *number, "got", seen));
                self.ids.handle_answer(&seen.topic);
                self.program
                    .handle_wire(now, *number, Passed::Received(seen));
            }
            for seen in &sight.sent {
                notes.push(told(self.number - 1, *number, "sent", seen));
                self.ids.check(now, *number as usize, seen);
                self.recent.push_front(seen.topic.clone());
                self.recent.truncate(RECENT);
                self.program.handle_wire(now, *number, Passed::Sent(seen));
            }
        }
    }

    /// Time has come to `now`: it may not have been turned for nothing.
    pub(super) fn check_spin(&mut self, now: Instant) {
        self.spin.check(now);
    }
}

/// A message that went through a transport, for the transcript.
fn told(machine: u64, link: u64, verb: &str, seen: &Seen) -> String {
    let payload = String::from_utf8_lossy(&seen.payload);
    let payload: String = payload.chars().take(TOLD).collect();
    format!("  {machine} {verb} on {link}: {} {payload}", seen.topic)
}
