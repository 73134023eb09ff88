//! What a machine does when it is its turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use kaa_proto::client::{StoreTurn, Turn};
use kaa_proto::platform::PlatformServer;

use super::machine::{Job, Machine};
use super::program::{Moment, Passed};
use super::wire::Line;
use crate::dice::Dice;
use crate::pipe::Arrival;
use crate::sniffer::Seen;

/// How many of the latest requests somebody else may answer.
const RECENT: usize = 8;

/// How much of a payload stands in the transcript.
const TOLD: usize = 60;

impl Machine {
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
        let meter = self.metered();
        let Some(process) = &mut self.process else {
            return;
        };
        process.flag.0.store(false, Ordering::Relaxed);
        if let Some((_, line)) = self.lines.last() {
            line.begin_turn();
        }
        let waker = Waker::from(Arc::clone(&process.flag));
        process.turn = meter.run(|| process.driver.turn(&waker, &mut process.transport));
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

    fn end_dial(&mut self, now: Instant, server: &mut PlatformServer, dice: &mut Dice) {
        let meter = self.metered();
        let Some(process) = &mut self.process else {
            return;
        };
        let Some((link, _)) = process.dial.take() else {
            return;
        };
        process.flag.0.store(true, Ordering::Relaxed);
        if self.refused_until.is_some_and(|until| until > now) {
            let error = std::io::ErrorKind::ConnectionRefused.into();
            meter.run(|| process.driver.handle_failed(link, &error));
            return;
        }
        let seed = Dice::new(dice.below(u64::MAX));
        let (mut line, wire) = Line::new(server.handle_accepted(now), self.carriage, seed, meter.0);
        if self.refusals > 0 {
            self.refusals -= 1;
            line.is_refused = true;
        }
        if self.kicks > 0 {
            self.kicks -= 1;
            line.is_kicked = true;
        }
        self.links += 1;
        self.lines.push((self.links, line));
        process.transport = Some(wire);
        meter.run(|| process.driver.handle_connected(link));
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
                Some(Arrival::Bytes(_)) if line.is_refused => {
                    line.refuse(now, dice);
                    server.handle_closed(now, link);
                }
                Some(Arrival::Bytes(bytes)) => server.handle_input(now, link, &bytes),
                Some(Arrival::End) => {
                    line.close_down(now);
                    server.handle_closed(now, link);
                }
            }
        }
    }

    fn write(&mut self, now: Instant, dice: &mut Dice, notes: &mut Vec<String>) {
        let meter = self.metered();
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(writer) = &mut process.writer else {
            process.writes_at = None;
            return;
        };
        process.writes_at = match meter.run(|| writer.turn()) {
            StoreTurn::Again => Some(now),
            StoreTurn::Wait { until } => until,
            StoreTurn::Finished => None,
        };
        self.spin.allow(2);
        if process.writes_at.is_none() && process.turn == Turn::Finished {
            meter.run(|| process.writer = None);
            self.finish(now, dice, notes);
        }
    }

    fn live(&mut self, now: Instant, dice: &mut Dice, is_calm: bool, notes: &mut Vec<String>) {
        let (is_settled, storage) = (self.is_settled(now), self.storage);
        let meter = self.metered();
        let Some(process) = &mut self.process else {
            return;
        };
        let mut moment = Moment {
            now,
            client: &process.client,
            storage,
            link: self.links,
            dice,
            is_calm,
            is_settled,
            notes,
            again_in: Duration::from_secs(1),
        };
        meter.run(|| self.program.live(&mut moment));
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
    pub(super) fn watch_wire(&mut self, now: Instant, notes: &mut Vec<String>) {
        for (number, line) in &mut self.lines {
            for seen in &line.take_copied() {
                self.program.handle_wire(now, *number, Passed::Copied(seen));
            }
            let sight = line.take_sight();
            self.spin.allow(sight.calls);
            self.program.handle_output(sight.waiting);
            for seen in &sight.doubtful {
                self.ids.handle_answer(&seen.topic);
                self.program
                    .handle_wire(now, *number, Passed::Doubtful(seen));
            }
            for seen in &sight.received {
                notes.push(told(self.number - 1, *number, "got", seen));
                self.ids.handle_answer(&seen.topic);
                self.program
                    .handle_wire(now, *number, Passed::Received(seen));
            }
            for seen in &sight.acknowledged {
                self.program
                    .handle_wire(now, *number, Passed::Acknowledged(seen));
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
