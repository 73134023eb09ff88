//! What happens to a simulation.

use std::time::Duration;

use kaa_proto::names::CommandType;
use kaa_proto::platform::{Fault, FaultKind};
use serde_json::json;

use super::program::{Birth, Order};
use super::weather::Happening;
use super::wire::Mischief;
use super::world::Simulation;
use crate::dice::Dice;
use crate::disk::SimulatedDisk;
use crate::packets::publish;

/// The types of commands that operators invoke.
pub const COMMAND_TYPES: [&str; 3] = ["ask", "fail", "again"];

/// What no client takes for MQTT.
const NO_MQTT: [&[u8]; 6] = [
    &[0xf0, 0x00],
    &[0x36, 0x04, 0x00, 0x01, b'a', b'b'],
    &[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0x20, 0x02, 0x00, 0x00],
    &[0x90, 0x03, 0x00, 0x00, 0x01],
    &[0x30, 0x03, 0x00, 0x01, b'#'],
];

/// IDs rest for twice the time that an answer is waited for: what comes later confirms whoever has the
/// ID then, and no client can tell.
const LATEST: Duration = Duration::from_secs(19);

/// More than a gadget's client takes.
const OVERSIZE: usize = 20_000;

impl Simulation {
    /// Perhaps something happens in this step.
    pub(super) fn happen(&mut self) {
        let mut dice = self.dice(1, self.step);
        let is_due = dice.below(self.weather.rate) == 0;
        let index = dice.below(self.weather.happenings.len() as u64) as usize;
        if !is_due || self.plan.left_out.contains(&self.step) {
            return;
        }
        let Some(happening) = self.weather.happenings.get(index).copied() else {
            return;
        };
        self.summary.count_happening(happening);
        let which = dice.below(self.machines.len() as u64) as usize;
        self.note(&format!("* {} ({which})", happening.name()));
        self.happened.push(self.step);
        self.apply(happening, which, &mut dice);
        self.pump(&mut dice);
    }

    fn apply(&mut self, happening: Happening, which: usize, dice: &mut Dice) {
        let now = self.clock.now();
        let soon = now + Duration::from_millis(dice.scattered(10, 17));
        let short = Duration::from_millis(dice.scattered(8, 17));
        let machine = &mut self.machines[which];
        match happening {
            Happening::Command => self.command(dice),
            Happening::Configure => self.configure(dice),
            Happening::Software => self.software(dice),
            Happening::Cut => machine.cut(now, &mut self.server),
            Happening::CutLater => machine.on_link(|line| line.cut_after = Some(dice.length(400))),
            Happening::HoleUp => machine.on_link(|line| line.swallow(true, false)),
            Happening::HoleDown => machine.on_link(|line| line.swallow(false, true)),
            Happening::Hole => machine.on_link(|line| line.swallow(true, true)),
            Happening::Reopen => machine.reopen(),
            Happening::Away => machine.away_until = Some(soon),
            Happening::Refuse => machine.refused_until = Some(soon),
            Happening::RefuseLinks => machine.refusals = dice.length(4) as u32,
            Happening::AcceptThenKick => machine.kicks = dice.length(20) as u32,
            Happening::Kick => self.kick(dice),
            Happening::Restart => {
                for machine in &mut self.machines {
                    machine.close_all(now, &mut self.server);
                }
            }
            Happening::Jump => {
                let time = Duration::from_secs(dice.scattered(0, 15));
                self.clock.advance_to(now + time);
                self.server.handle_timeout(now + time);
            }
            Happening::WallJump => machine.set_wall_clock(dice),
            Happening::Late => self.fault(FaultKind::Late(short.min(LATEST)), dice),
            Happening::Lose => self.fault(FaultKind::Lose, dice),
            Happening::Duplicate => {
                self.fault(FaultKind::Duplicate(2 + dice.below(4) as u32), dice);
            }
            Happening::Reorder => self.fault(FaultKind::Reorder(2 + dice.below(6) as u32), dice),
            Happening::Error => self.fault(FaultKind::Error(500 + dice.below(50) as u16), dice),
            Happening::KickAnswer => self.fault(FaultKind::Kick, dice),
            Happening::BlackHole => self.fault(FaultKind::BlackHole(short), dice),
            Happening::RefuseSubscription => {
                machine.on_link(|line| line.mischief.push_back(Mischief::RefuseSubscription));
            }
            Happening::Foreign => {
                let bytes = machine.foreign_answers(dice);
                machine.on_link(|line| line.inject(now, bytes, dice));
            }
            Happening::Oversize => {
                let name = &self.names[dice.below(self.names.len() as u64) as usize];
                let (version, token) = (name.app_version(), name.token());
                let topic = format!("kp1/{version}/cmx/{}/config/json", token.as_str());
                let bytes = publish(topic.as_bytes(), &vec![b' '; OVERSIZE], 0, 0);
                machine.on_link(|line| line.inject(now, bytes, dice));
            }
            Happening::Malformed => {
                let bytes = NO_MQTT[dice.below(NO_MQTT.len() as u64) as usize].to_vec();
                machine.on_link(|line| line.mischief.push_back(Mischief::Spoil(bytes)));
            }
            Happening::Repeat => {
                machine.on_link(|line| line.mischief.push_back(Mischief::Duplicate));
            }
            Happening::SlowReader => machine.asleep_until = Some(soon),
            Happening::FailSync => machine.fail_sync(),
            Happening::FailWrite => machine.break_disk(SimulatedDisk::fail_next_write),
            Happening::FullDisk => {
                let room = [dice.below(4_000), u64::MAX][dice.below(2) as usize];
                machine.break_disk(|disk| disk.set_room(room));
            }
            Happening::StuckDisk => machine.stuck_until = Some(soon),
            Happening::PowerCut => self.crash(which, Birth::PowerCut, dice),
            Happening::Killed => self.crash(which, Birth::Killed, dice),
            Happening::ShutDown => machine.shut_down(Duration::from_millis(dice.below(5_000))),
        }
    }

    fn crash(&mut self, which: usize, birth: Birth, dice: &mut Dice) {
        self.machines[which].crash(birth, dice, &mut self.notes);
    }

    fn command(&mut self, dice: &mut Dice) {
        let now = self.clock.now();
        let name = self.names[dice.below(self.names.len() as u64) as usize].clone();
        let word = COMMAND_TYPES[dice.below(COMMAND_TYPES.len() as u64) as usize];
        let Ok(command_type) = CommandType::new(word) else {
            return;
        };
        let verb = |platform: &mut kaa_proto::platform::Platform| {
            platform.command(now, &name, &command_type, Some(json!({"now": true})))
        };
        if let Ok(id) = self.server.operate(now, verb) {
            let order = Order::Command(word, id);
            self.tell(&name, &order);
        }
    }

    fn configure(&mut self, dice: &mut Dice) {
        let now = self.clock.now();
        let name = self.names[dice.below(self.names.len() as u64) as usize].clone();
        let config = json!({"n": self.step, "token": name.token().as_str()});
        let verb = |platform: &mut kaa_proto::platform::Platform| {
            platform.set_configuration(now, &name, None, config)
        };
        if let Ok(id) = self.server.operate(now, verb) {
            self.tell(&name, &Order::Configuration(id));
        }
    }

    fn software(&mut self, dice: &mut Dice) {
        let now = self.clock.now();
        let name = self.names[dice.below(self.names.len() as u64) as usize].clone();
        let version = format!("1.{}", self.step);
        let verb = |platform: &mut kaa_proto::platform::Platform| {
            platform.set_software(now, &name, &version, json!({"link": "http://localhost/"}))
        };
        if self.server.operate(now, verb).is_ok() {
            self.tell(&name, &Order::Software(version));
        }
    }

    fn kick(&mut self, dice: &mut Dice) {
        let now = self.clock.now();
        let name = self.names[dice.below(self.names.len() as u64) as usize].clone();
        let _ = self
            .server
            .operate(now, |platform| platform.kick(now, &name));
    }

    fn fault(&mut self, kind: FaultKind, dice: &mut Dice) {
        let now = self.clock.now();
        let mut fault = Fault::new(kind);
        fault.times = Some(dice.length(6) as u32);
        fault.percent = [100, 50, 10][dice.below(3) as usize];
        if dice.below(2) == 0 {
            let name = &self.names[dice.below(self.names.len() as u64) as usize];
            fault.token = Some(name.token().clone());
        }
        self.server
            .operate(now, |platform| platform.fault(now, fault));
    }
}
