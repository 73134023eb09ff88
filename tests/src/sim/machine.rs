//! A simulated device: its client, the program on it, its disk and its links.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Driver, Shutdown, StoreWriter, Turn};
use kaa_proto::connection;
use kaa_proto::platform::PlatformServer;

use super::clock::SharedClock;
use super::dials::Dials;
use super::meter::Meter;
use super::program::{Program, Storage};
use super::spin::Spin;
use super::transport::Wire;
use super::wire::{Carriage, Line};
use crate::disk::SimulatedDisk;
use crate::wire_ids::WireIds;

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
    /// How long its client waits for answers.
    pub(super) answer_within: Duration,
    pub(super) clock: SharedClock,
    pub(super) meter: Meter,
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
    /// So many links to come are refused by the platform.
    pub(super) refusals: u32,
    /// What it has to remember things.
    pub(super) storage: Storage,
    pub(super) carriage: Carriage,
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) clock: SharedClock,
    pub(super) answer_within: Duration,
    pub(super) runs: u64,
    pub(super) process: Option<Process>,
    pub(super) ids: WireIds,
    pub(super) links: u64,
    pub(super) spin: Spin,
    pub(super) dials: Dials,
    /// What clients of earlier runs had counted.
    pub(super) past: Vec<connection::Statistics>,
    /// The latest requests it has sent, by topic.
    pub(super) recent: VecDeque<String>,
    meter: Meter,
}

/// What is gone when the power goes.
pub(super) struct Process {
    pub(super) client: Client,
    pub(super) driver: Driver,
    pub(super) writer: Option<StoreWriter>,
    /// Somebody has work for the driver.
    pub(super) flag: Arc<Flag>,
    pub(super) turn: Turn,
    /// The dial under way, and when it ends.
    pub(super) dial: Option<(connection::LinkId, Instant)>,
    pub(super) transport: Option<Wire>,
    pub(super) writes_at: Option<Instant>,
    pub(super) lives_at: Instant,
    pub(super) shutdown: Option<Shutdown>,
}

#[derive(Default)]
pub(super) struct Flag(pub(super) AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The meter of one machine.
#[derive(Clone, Copy)]
pub(super) struct Metered(pub(super) Meter, u64);

impl Metered {
    pub(super) fn run<T>(self, code: impl FnOnce() -> T) -> T {
        self.0.run(self.1, code)
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
            refusals: 0,
            storage: match parts.disk {
                Some(_) => Storage::Good,
                None => Storage::None,
            },
            disk: parts.disk,
            carriage: parts.carriage,
            number: parts.number,
            seed: parts.seed,
            ids: WireIds::new(parts.answer_within).resting(parts.answer_within * 2),
            answer_within: parts.answer_within,
            clock: parts.clock,
            runs: 0,
            process: None,
            links: 0,
            spin: Spin::default(),
            dials: Dials::default(),
            past: Vec::new(),
            recent: VecDeque::new(),
            meter: parts.meter,
        }
    }

    /// Runs code of its client, or of its program.
    pub(super) fn metered(&self) -> Metered {
        Metered(self.meter, self.number - 1)
    }

    /// Whether its driver and its store have nothing to do by now. What has ended is told when it is
    /// stored, so that a medium that hangs holds it back.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        let writes_at = self.process.as_ref().and_then(|process| process.writes_at);
        !self.is_turned_at(now) && writes_at.is_none_or(|at| at > now)
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
}
