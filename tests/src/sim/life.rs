//! How a machine's program begins and ends.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Driver, Options, Turn};
use kaa_proto::connection;
use kaa_proto::store::{Log, LogOptions};

use super::dials::Dials;
use super::machine::{Flag, Machine, Process};
use super::program::{Birth, LinkEnd, Moment};
use crate::dice::Dice;
use crate::wire_ids::WireIds;

/// How often a store is opened that fails.
const TRIES: usize = 3;

impl Machine {
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
        self.ids = WireIds::new(self.answer_within).resting(self.answer_within * 2);
        let seed = self.seed.wrapping_add(self.runs);
        let meter = self.metered();
        let options = self.program.options();
        let (client, driver, writer) = meter.run(|| {
            let (client, mut driver) = self.client_of(&options, seed);
            let writer = driver.take_store_writer();
            (client, driver, writer)
        });
        let mut moment = Moment {
            now,
            client: &client,
            storage: self.storage,
            link: self.links,
            dice,
            is_calm: false,
            is_settled: false,
            notes,
            again_in: Duration::ZERO,
        };
        meter.run(|| self.program.start(&mut moment, birth));
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

    /// A client; a store that cannot be opened is tried again, as the system would start the program
    /// again.
    fn client_of(&self, options: &Options, seed: u64) -> (Client, Driver) {
        let mut last = String::new();
        for _ in 0..TRIES {
            let options = match &self.disk {
                None => options.clone(),
                Some(disk) => {
                    let disk = disk.clone();
                    let log = move || Ok(Log::new(disk.clone(), LogOptions::default()));
                    options.clone().store(log)
                }
            };
            let clock = self.clock.clone();
            match options.open_store() {
                Err(error) => {
                    last = error.to_string();
                    // Without a log there has to be room for one.
                    if let Some(disk) = &self.disk {
                        disk.set_room(u64::MAX);
                    }
                }
                Ok(options) => match Client::new(options, self.number, seed, move || clock.now()) {
                    Ok(made) => return made,
                    Err(error) => last = error.to_string(),
                },
            }
        }
        panic!("the client cannot be made: {last}");
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
        let process = self.process.take();
        self.metered().run(|| drop(process));
        self.let_go(birth == Birth::PowerCut);
        self.start(birth, dice, notes);
    }

    /// It is told to end, and starts again when it has.
    pub(super) fn shut_down(&mut self, within: Duration) {
        let meter = self.metered();
        if let Some(process) = self.process.as_mut().filter(|p| p.shutdown.is_none()) {
            process.shutdown = Some(meter.run(|| process.client.shutdown(within)));
            self.program.handle_shutdown();
        }
    }

    /// The client's ends of all links are gone.
    pub(super) fn let_go(&mut self, is_silent: bool) {
        for (number, line) in &mut self.lines {
            if line.forget() {
                let end = if line.is_known_refused() {
                    self.ids.handle_refused(*number as usize);
                    LinkEnd::Refused
                } else if line.is_partial() {
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

    /// It has ended as it was told to; its store may not be written yet.
    pub(super) fn finish(&mut self, now: Instant, dice: &mut Dice, notes: &mut Vec<String>) {
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
}
