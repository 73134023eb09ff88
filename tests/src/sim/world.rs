//! All devices of a simulation, their platform, and what happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use kaa_proto::names::EndpointName;
use kaa_proto::platform::{Fault, FaultKind, PlatformServer};

use super::clock::SharedClock;
use super::machine::{Job, Machine, Parts};
use super::meter::Meter;
use super::program::{Birth, Order, Program};
use super::summary::Summary;
use super::transcript::Transcript;
use super::trouble::OldLinks;
use super::weather::Weather;
use crate::dice::Dice;
use crate::disk::SimulatedDisk;

/// How long calm weather may last until everything has to be done: the client looks after its
/// observations twice an hour, and waits a quarter of one for an operator.
const CALM: Duration = Duration::from_secs(3 * 3_600);

/// So many steps at one instant are an endless loop. A message of 20,000 bytes takes 60,000, byte by byte.
const AT_ONCE: u64 = 1_000_000;

/// What is simulated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// How many steps there are in which something may happen.
    pub steps: u64,
    /// Steps in which nothing happens although the seed says so.
    pub left_out: BTreeSet<u64>,
    /// Whether the transcript is kept.
    pub is_traced: bool,
}

/// A device as it is added to a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whether it has a disk, and so a store.
    pub has_disk: bool,
    /// How long its client waits for answers.
    pub answer_within: Duration,
}

/// A simulation: devices, their platform, and the networks between them.
pub struct Simulation {
    pub(super) plan: Plan,
    pub(super) weather: Weather,
    pub(super) clock: SharedClock,
    pub(super) server: PlatformServer,
    pub(super) machines: Vec<Machine>,
    pub(super) names: Vec<EndpointName>,
    pub(super) summary: Summary,
    owners: BTreeMap<EndpointName, usize>,
    transcript: Transcript,
    pub(super) notes: Vec<String>,
    pub(super) step: u64,
    /// The steps in which something happened.
    pub(super) happened: Vec<u64>,
    /// The steps since time passed.
    at_once: u64,
    is_calm: bool,
    ready: Vec<(usize, Job)>,
    meter: Meter,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("plan", &self.plan)
            .field("weather", &self.weather)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl Simulation {
    /// One without devices, in the weather that the seed makes.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut dice = Dice::new(plan.seed);
        let weather = Weather::drawn(&mut dice);
        Self::in_weather(plan, weather)
    }

    /// One without devices, in a weather of one's choice.
    #[must_use]
    pub fn in_weather(plan: Plan, weather: Weather) -> Self {
        Self {
            server: PlatformServer::new(weather.platform.clone(), plan.seed),
            clock: SharedClock::default(),
            machines: Vec::new(),
            names: Vec::new(),
            owners: BTreeMap::new(),
            summary: Summary {
                seeds: 1,
                ..Summary::default()
            },
            transcript: Transcript::new(plan.is_traced),
            notes: Vec::new(),
            step: 0,
            happened: Vec::new(),
            at_once: 0,
            is_calm: false,
            ready: Vec::new(),
            meter: Meter::default(),
            weather,
            plan,
        }
    }

    /// The weather.
    #[must_use]
    pub const fn weather(&self) -> &Weather {
        &self.weather
    }

    /// Has what the devices to come hold counted.
    pub const fn count_memory(&mut self, meter: Meter) {
        self.meter = meter;
    }

    /// Adds a device.
    pub fn add(&mut self, program: Box<dyn Program>, device: Device) {
        let number = self.machines.len() as u64;
        let mut dice = self.dice(3, number);
        for name in program.names() {
            self.owners.insert(name.clone(), self.machines.len());
            self.names.push(name);
        }
        let mut machine = Machine::new(Parts {
            number: number + 1,
            seed: dice.below(u64::MAX),
            program,
            disk: device
                .has_disk
                .then(|| SimulatedDisk::new(dice.below(u64::MAX))),
            carriage: self.weather.carriage(&mut dice),
            answer_within: device.answer_within,
            clock: self.clock.clone(),
            meter: self.meter,
        });
        machine.start(Birth::First, &mut dice, &mut self.notes);
        self.machines.push(machine);
    }

    /// Lets the weather do its worst for the steps of the plan, then be calm until everything is
    /// done.
    pub fn run(&mut self) {
        while self.step < self.plan.steps {
            self.happen();
            self.go_on();
        }
        self.calm_down();
        let end = self.clock.now() + CALM;
        while !self.is_done() {
            assert!(
                self.clock.now() < end,
                "no progress in calm weather: {}",
                self.undone()
            );
            self.go_on();
        }
        for machine in &mut self.machines {
            machine.program.finish();
            for statistics in machine.statistics() {
                self.summary.count_client(&statistics);
            }
        }
        self.summary.steps = self.step;
        self.summary.simulated = self.clock.elapsed();
        self.summary.transcript = self.transcript.hash();
    }

    /// What it came to so far, and the transcript, if it is kept.
    #[must_use]
    pub fn into_account(self) -> (Summary, Vec<String>) {
        (self.summary, self.transcript.into_lines())
    }

    /// Chance for a purpose, the same however much was drawn for others.
    pub(super) fn dice(&self, purpose: u64, number: u64) -> Dice {
        let mut dice = Dice::new(self.plan.seed ^ purpose << 56);
        let seed = dice.below(u64::MAX).wrapping_add(number);
        Dice::new(Dice::new(seed).below(u64::MAX))
    }

    /// One job of one machine, or time passes.
    fn go_on(&mut self) {
        self.step += 1;
        let now = self.clock.now();
        self.at_once += 1;
        assert!(self.at_once < AT_ONCE, "time does not pass");
        if self.server.poll_timeout().is_some_and(|at| at <= now) {
            self.server.handle_timeout(now);
            let next = self.server.poll_timeout();
            assert!(
                next.is_none_or(|next| next > now),
                "the platform's timer is in the past"
            );
        }
        let mut dice = self.dice(2, self.step);
        self.ready.clear();
        for (index, machine) in self.machines.iter().enumerate() {
            let jobs = machine.jobs(now, &self.server);
            self.ready.extend(jobs.map(|job| (index, job)));
        }
        match self.ready.len() {
            0 => self.let_time_pass(now),
            ready => {
                let (index, job) = self.ready[dice.below(ready as u64) as usize];
                self.note(&format!("{index} {job:?}"));
                let machine = &mut self.machines[index];
                machine.work(
                    job,
                    &mut self.server,
                    &mut dice,
                    self.is_calm,
                    &mut self.notes,
                );
            }
        }
        self.pump(&mut dice);
        self.flush_notes();
    }

    /// What the machines noted stands in the transcript.
    pub(super) fn flush_notes(&mut self) {
        for line in std::mem::take(&mut self.notes) {
            self.note(&line);
        }
    }

    fn let_time_pass(&mut self, now: Instant) {
        let machines = self.machines.iter();
        let next = machines
            .filter_map(|machine| machine.next(&self.server))
            .min();
        let next = [next, self.server.poll_timeout()]
            .into_iter()
            .flatten()
            .min();
        let Some(next) = next else {
            panic!("nothing will ever happen");
        };
        assert!(next > now, "time does not pass");
        self.clock.advance_to(next);
        self.at_once = 0;
        for machine in &mut self.machines {
            machine.check_spin(next);
        }
    }

    /// Moves what the platform has to say.
    pub(super) fn pump(&mut self, dice: &mut Dice) {
        let now = self.clock.now();
        for machine in &mut self.machines {
            machine.take_down(now, &mut self.server, dice);
        }
        while let Some(link) = self.server.poll_hang_up() {
            for machine in &mut self.machines {
                machine.close_down(now, link);
            }
            self.server.handle_closed(now, link);
        }
        while let Some(event) = self.server.poll_event() {
            if let Some(index) = event
                .endpoint
                .as_ref()
                .and_then(|name| self.owners.get(name))
            {
                self.machines[*index].program.handle_log(&event);
            }
            if self.plan.is_traced {
                let line = format!("platform: {event}");
                self.note(&line);
            }
        }
    }

    /// Tells the program of an endpoint what an operator wants.
    pub(super) fn tell(&mut self, name: &EndpointName, order: &Order) {
        if let Some(index) = self.owners.get(name) {
            self.machines[*index].program.handle_order(name, order);
        }
    }

    pub(super) fn note(&mut self, line: &str) {
        self.transcript.note(self.step, self.clock.elapsed(), line);
    }

    /// Nothing goes wrong any more.
    fn calm_down(&mut self) {
        self.note("calm weather");
        self.is_calm = true;
        let now = self.clock.now();
        let clear = Fault::new(FaultKind::Clear);
        self.server
            .operate(now, |platform| platform.fault(now, clear));
        let mut dice = self.dice(5, 0);
        let ends = [OldLinks::Heal, OldLinks::Stay, OldLinks::Close];
        for machine in &mut self.machines {
            let end = ends[dice.below(3) as usize];
            machine.calm_down(now, &mut self.server, end);
        }
    }

    fn is_done(&self) -> bool {
        self.machines.iter().all(Machine::is_done)
    }

    fn undone(&self) -> String {
        let machines = self.machines.iter().enumerate();
        let undone = machines.filter(|(_, machine)| !machine.is_done());
        let texts = undone.map(|(index, machine)| format!("{index}: {}", machine.undone()));
        texts.collect::<Vec<_>>().join("; ")
    }
}
