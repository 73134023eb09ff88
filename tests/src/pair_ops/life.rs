//! Does the operations, and writes down what the application knows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kaa_proto::commands::Pending;
use kaa_proto::connection::{Demand, EndpointKey, Event};
use kaa_proto::endpoint::CommandKey;
use kaa_proto::request::{Confirm, Outcome, Request, RequestId};
use kaa_proto::{config, metadata, software};
use serde_json::json;

use super::acts::check_owner;
use super::setup::{Setup, TOKENS};
use super::witness::Witness;
use super::{Hand, Op, Subject, Treatment};
use crate::device::Device as _;
use crate::pair::{Dials, Pair};
use crate::pipe::Pieces;

pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A request that was taken.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What is in its payload and in no other; nothing is told apart by 0.
    pub(super) number: u64,
    /// Whose it is.
    pub(super) who: usize,
    pub(super) what: What,
    pub(super) treatment: Treatment,
    /// How many links had been lost before.
    pub(super) losses: usize,
    pub(super) is_cancelled: bool,
    /// The metadata that were known to be merged.
    pub(super) merged: BTreeSet<u64>,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Telemetry,
    Merge,
    Read,
    Get(Subject),
    Report,
    Verdict,
}

/// A device, as its application sees it.
#[derive(Debug, Default)]
pub(super) struct Device {
    /// There until it is removed.
    pub(super) key: Option<EndpointKey>,
    pub(super) observed: BTreeSet<Subject>,
    /// Commands that run.
    pub(super) hands: Vec<CommandKey>,
    /// Commands that were run.
    pub(super) run: BTreeSet<CommandKey>,
    /// What is in force, by its identifier.
    pub(super) applied: BTreeMap<Subject, String>,
    /// What was no good: what was in force stayed so.
    pub(super) rejected: BTreeSet<String>,
    /// Metadata that were confirmed as merged.
    pub(super) merged: BTreeSet<u64>,
}

impl Device {
    /// The application read what was assigned, and applies it or not.
    pub(super) fn judge(&mut self, subject: Subject, id: String, is_good: bool) {
        if is_good {
            self.applied.insert(subject, id);
        } else {
            self.rejected.insert(id);
        }
    }
}

/// All that there is.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) setup: Setup,
    pub(super) pair: Pair,
    pub(super) devices: Vec<Device>,
    /// The requests that have not ended.
    pub(super) open: BTreeMap<(EndpointKey, RequestId), Asked>,
    /// Those that have, and how.
    pub(super) ended: Vec<(Asked, Outcome)>,
    /// The newest that an operator assigned.
    pub(super) assigned: BTreeMap<(usize, Subject), String>,
    /// The commands that an operator invoked.
    pub(super) invoked: BTreeSet<(usize, CommandKey)>,
    pub(super) witness: Witness,
    /// How many links were lost.
    pub(super) losses: usize,
    pub(super) numbers: u64,
    /// What can be seen from outside, in order.
    transcript: Vec<String>,
}

/// Does all of it to a new pair, then lets the weather be fine, and closes it. Gives what could be seen
/// from outside.
///
/// # Panics
/// If the contract does not hold.
pub fn live(setup: &Setup, ops: &[Op]) -> Vec<String> {
    let mut life = Life::new(setup.clone());
    for op in ops {
        life.act(*op);
        life.look();
    }
    if !setup.ends_badly {
        life.calm_down();
        life.check_calm();
    }
    life.close();
    life.transcript
}

impl Life {
    fn new(setup: Setup) -> Self {
        let made = Pair::new(setup.platform(), setup.connection(), setup.seed);
        let Ok(mut pair) = made else {
            panic!("the options are right");
        };
        let mut devices = Vec::new();
        for token in &TOKENS[..setup.devices] {
            let key = match devices.is_empty() {
                true => pair.key,
                false => pair.add(token),
            };
            devices.push(Device {
                key: Some(key),
                ..Device::default()
            });
        }
        Self {
            setup,
            pair,
            devices,
            open: BTreeMap::new(),
            ended: Vec::new(),
            assigned: BTreeMap::new(),
            invoked: BTreeSet::new(),
            witness: Witness::default(),
            losses: 0,
            numbers: 0,
            transcript: Vec::new(),
        }
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Of(who, act) => self.act_for(usize::from(who) % self.devices.len(), act),
            Op::Fault(words) => self.pair.fault(words),
            Op::Cut => self.pair.cut(),
            Op::Hole(up, down) => self.pair.black_hole(up, down),
            Op::Heal => self.heal(),
            Op::CutAfter(bytes) => self.pair.cut_after = Some(bytes.into()),
            Op::SilentAfter(bytes) => self.pair.silent_after = Some(bytes.into()),
            Op::Dials(dials) => self.pair.dials = dials,
            Op::Pieces(pieces) => self.pair.pieces = pieces,
            Op::Latency(hundredths) => {
                self.pair.latency = Duration::from_millis(10) * u32::from(hundredths);
            }
            Op::Pass(time) => self.pair.pass(time),
        }
    }

    /// Looks at all that happened, and checks it.
    pub(super) fn look(&mut self) {
        for seen in self.pair.take_seen() {
            self.transcript.push(format!(
                "> {} {}",
                seen.topic,
                String::from_utf8_lossy(&seen.payload)
            ));
            self.witness.see(&seen);
        }
        for event in self.pair.take_log() {
            self.transcript.push(format!("platform: {event}"));
            self.witness.note(&event);
        }
        for (_, event) in std::mem::take(&mut self.pair.link_events) {
            if let Event::LinkLost { error, was, .. } = event {
                self.losses += 1;
                self.transcript.push(format!("lost: {error} {was:?}"));
            }
        }
        for event in self.pair.take_events() {
            self.transcript.push(format!("{event:?}"));
        }
        self.end();
        for device in &mut self.devices {
            let is_gone = |key: &EndpointKey| self.pair.connection.endpoint(*key).is_none();
            if device.key.is_some_and(|key| is_gone(&key)) {
                *device = Device::default();
            }
        }
        self.check_bounds();
    }

    /// The requests that have ended.
    fn end(&mut self) {
        let open = std::mem::take(&mut self.open);
        for ((key, id), asked) in open {
            let Some(outcome) = self.pair.outcome_of(key, id).cloned() else {
                self.open.insert((key, id), asked);
                continue;
            };
            let shown = (id.number(), &asked.what, &outcome);
            self.transcript.push(format!("{key:?} {shown:?}"));
            self.check_end(&asked, &outcome);
            self.learn(key, &asked, &outcome);
            self.ended.push((asked, outcome));
        }
    }

    /// What the application learns from how a request ended.
    fn learn(&mut self, key: EndpointKey, asked: &Asked, outcome: &Outcome) {
        let is_there = self.devices[asked.who].key == Some(key);
        let (Ok(reply), true) = (outcome, is_there) else {
            return;
        };
        match asked.what {
            What::Merge if reply.confirmed() == Confirm::Answered => {
                self.devices[asked.who].merged.insert(asked.number);
            }
            What::Read => {
                let Ok(all) = <metadata::Get as Request>::decode(reply) else {
                    panic!("the platform's metadata can be read");
                };
                assert_eq!(all.get("me"), Some(&json!(TOKENS[asked.who])));
                let mut merged = asked.merged.iter();
                let has = |number: &u64| all.contains_key(&format!("n{number}"));
                assert!(merged.all(has), "what was confirmed is not there");
            }
            What::Get(Subject::Reboot | Subject::Open) => {
                let Ok(commands) = Pending::decode(reply) else {
                    panic!("the platform's commands can be read");
                };
                for command in commands {
                    self.run(asked.who, &command);
                }
            }
            What::Get(subject @ (Subject::Unnamed | Subject::Wifi)) => {
                if let Ok(config::Answer::Assigned(configuration)) = config::Get::decode(reply) {
                    check_owner(asked.who, subject, &configuration);
                }
            }
            What::Get(Subject::Software) => assert!(software::Get::decode(reply).is_ok()),
            What::Telemetry | What::Merge | What::Report | What::Verdict => {}
        }
    }

    fn heal(&mut self) {
        self.pair.cut_after = None;
        self.pair.silent_after = None;
        self.pair.dials = Dials::Succeed;
        self.pair.black_hole(false, false);
    }

    /// The weather is fine, and the applications do what they have to, until nothing is left.
    fn calm_down(&mut self) {
        self.heal();
        self.pair.pieces = Pieces::Whole;
        self.pair.latency = Duration::from_millis(10);
        self.pair.fault("clear");
        let mut patience = 0;
        while patience < 3 {
            self.pair.pass(10 * MINUTE);
            patience += 1;
            self.look();
            for who in 0..self.devices.len() {
                let Some(key) = self.devices[who].key else {
                    continue;
                };
                self.pair.key = key;
                while !self.devices[who].hands.is_empty() {
                    self.numbers += 1;
                    self.answer(who, 0, self.numbers);
                }
                self.numbers += 1;
                while self.take_command(who, Hand::Answer, self.numbers) {
                    self.numbers += 1;
                    patience = 0;
                }
                for subject in [Subject::Unnamed, Subject::Wifi, Subject::Software] {
                    self.take_assigned(who, subject, true);
                }
            }
        }
        self.pair.pass(MINUTE);
        self.look();
    }

    fn close(&mut self) {
        let now = self.pair.now();
        self.pair.connection.close(now, MINUTE);
        self.pair.pass(5 * MINUTE);
        self.look();
        assert_eq!(self.pair.connection.demand(), Demand::Finished);
        assert!(self.open.is_empty(), "not ended: {:?}", self.open);
        assert_eq!(self.pair.open_len(), 0);
        self.check_ended();
    }
}
