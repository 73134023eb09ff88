//! What applications and operators do.

use std::time::Duration;

use kaa_proto::commands::{self, Command, CommandResult, Pending};
use kaa_proto::connection::Removal;
use kaa_proto::endpoint::{CommandKey, Observation};
use kaa_proto::names::{CommandType, ConfigName, EndpointName, Metric, NameError};
use kaa_proto::platform::Platform;
use kaa_proto::request::{Adjusted, Confirm, Request, RequestExt, RequestId, Resend, SubmitError};
use kaa_proto::telemetry::{Plain, Sample};
use kaa_proto::{config, metadata, software};
use serde_json::json;

use super::life::{Asked, Life, MINUTE, What};
use super::setup::TOKENS;
use super::{Act, Hand, Subject, Treatment};
use crate::device::Device as _;

/// How requests are treated that say nothing else.
const USUAL: Treatment = Treatment {
    confirm: Confirm::Answered,
    again: true,
    expires: None,
};

impl Life {
    pub(super) fn act_for(&mut self, who: usize, act: Act) {
        // Also those that have none take one: so nothing but the operations decides which.
        self.numbers += 1;
        let number = self.numbers;
        if let Some(key) = self.devices[who].key {
            self.pair.key = key;
        } else if !matches!(act, Act::Operate(_) | Act::Add | Act::Kick) {
            return;
        }
        match act {
            Act::Sample(treatment) => {
                let sample = Sample::new(json!({"n": number}));
                let taken = self.pair.submit(&treated(sample, treatment));
                self.take(taken, who, What::Telemetry, number, treatment);
            }
            Act::Plain => {
                let plain = Plain::new(named(Metric::new("n")), number as f64);
                let taken = self.pair.submit(&plain);
                let treatment = Treatment {
                    confirm: Confirm::Nothing,
                    again: false,
                    ..USUAL
                };
                self.take(taken, who, What::Telemetry, number, treatment);
            }
            Act::Merge(treatment) => {
                let merge = metadata::Merge::new(json!({format!("n{number}"): number}));
                let taken = self.pair.submit(&treated(merge, treatment));
                self.take(taken, who, What::Merge, number, treatment);
            }
            Act::Read => {
                let taken = self.pair.submit(&metadata::Get::all());
                self.take(taken, who, What::Read, 0, USUAL);
            }
            Act::Get(subject) => {
                let taken = match subject {
                    Subject::Reboot | Subject::Open => {
                        self.pair.submit(&Pending::new(command_type(subject)))
                    }
                    Subject::Unnamed => self.pair.submit(&config::Get::new()),
                    Subject::Wifi => self.pair.submit(&config::Get::new().named(wifi())),
                    Subject::Software => self.pair.submit(&software::Get::new()),
                };
                self.take(taken, who, What::Get(subject), 0, USUAL);
            }
            Act::Cancel(index) => self.cancel(who, index),
            Act::Observe(subject) => {
                let done = if subject == Subject::Software {
                    self.pair.observe_software("v0")
                } else {
                    self.pair.observe(&observation(subject))
                };
                if done.is_ok() {
                    self.devices[who].observed.insert(subject);
                }
            }
            Act::Unobserve(subject) => {
                let stood = self.pair.unobserve(&observation(subject));
                let known = self.devices[who].observed.remove(&subject);
                assert_eq!(stood, known, "{subject:?}");
            }
            Act::TakeCommand(hand) => drop(self.take_command(who, hand, number)),
            Act::Answer(index) => self.answer(who, index, number),
            Act::TakeAssigned(subject, is_good) => self.take_assigned(who, subject, is_good),
            Act::Remove(at_once) => self.remove(who, at_once),
            Act::Add => self.add(who),
            Act::Operate(subject) => self.operate(who, subject, number),
            Act::Kick => {
                let name = name(who);
                let _ = self.pair.operate(|platform, now| platform.kick(now, &name));
            }
        }
    }

    /// Writes down a request that was taken.
    fn take(
        &mut self,
        taken: Result<RequestId, SubmitError>,
        who: usize,
        what: What,
        number: u64,
        treatment: Treatment,
    ) {
        let device = &self.devices[who];
        let (Ok(id), Some(key)) = (taken, device.key) else {
            return;
        };
        let asked = Asked {
            number,
            who,
            what,
            treatment,
            losses: self.losses,
            is_cancelled: false,
            merged: device.merged.clone(),
        };
        self.open.insert((key, id), asked);
    }

    fn cancel(&mut self, who: usize, index: u8) {
        let open = self.open.iter().filter(|(_, asked)| asked.who == who);
        let open: Vec<_> = open.map(|(key, _)| *key).collect();
        if let Some((key, id)) = open.get(usize::from(index) % open.len().max(1)).copied() {
            let now = self.pair.now();
            let was_there = self.pair.connection.cancel(now, key, id);
            self.pair.settle();
            if let Some(asked) = self.open.get_mut(&(key, id)) {
                asked.is_cancelled = was_there;
            }
        }
    }

    /// Whether there was one.
    pub(super) fn take_command(&mut self, who: usize, hand: Hand, number: u64) -> bool {
        let Some(command) = self.pair.poll_command() else {
            return false;
        };
        if hand == Hand::GiveBack {
            let now = self.pair.now();
            let key = CommandKey::from(&command);
            self.pair.connection.release(now, self.pair.key, &key);
            self.pair.settle();
            return true;
        }
        self.run(who, &command);
        if hand == Hand::Answer {
            self.answer(who, u8::MAX, number);
        }
        true
    }

    /// The application runs a command, and keeps it until it answers.
    pub(super) fn run(&mut self, who: usize, command: &Command) {
        let device = &mut self.devices[who];
        let key = CommandKey::from(command);
        assert!(device.run.insert(key.clone()), "{command:?} was run twice");
        assert!(
            self.invoked.contains(&(who, key.clone())),
            "nobody invoked {command:?} for this device"
        );
        device.hands.push(key);
    }

    /// Answers a command that runs, the last one with the largest index.
    pub(super) fn answer(&mut self, who: usize, index: u8, number: u64) {
        let hands = &mut self.devices[who].hands;
        if hands.is_empty() {
            return;
        }
        let index = match index {
            u8::MAX => hands.len() - 1,
            index => usize::from(index) % hands.len(),
        };
        let command = hands.remove(index);
        let Ok(result) = CommandResult::ok().with_payload(&number) else {
            panic!("a number is JSON");
        };
        self.witness.expect_result(who, &command, number);
        let taken = self.pair.respond(&command, result);
        assert!(taken.is_ok(), "a result was not taken: {taken:?}");
        let treatment = Treatment {
            confirm: Confirm::Acknowledged,
            ..USUAL
        };
        self.take(taken, who, What::Report, 0, treatment);
    }

    /// Reads what was assigned, if it is new, and says whether it is good.
    pub(super) fn take_assigned(&mut self, who: usize, subject: Subject, is_good: bool) {
        let taken = match subject {
            Subject::Reboot | Subject::Open => return,
            Subject::Software => match self.pair.poll_software() {
                Some(software::Answer::Assigned(update)) => {
                    let version = String::from(update.version());
                    self.devices[who].judge(subject, version.clone(), is_good);
                    match is_good {
                        true => self.pair.submit(&software::ReportCurrent::new(version)),
                        false => self
                            .pair
                            .submit(&software::Rejected::of(&update, 400, "no")),
                    }
                }
                _ => return,
            },
            Subject::Unnamed | Subject::Wifi => {
                let name = (subject == Subject::Wifi).then(wifi);
                match self.pair.poll_configuration(name.as_ref()) {
                    Some(config::Answer::Assigned(configuration)) => {
                        check_owner(who, subject, &configuration);
                        let id = String::from(configuration.config_id());
                        self.devices[who].judge(subject, id, is_good);
                        match is_good {
                            true => self.pair.submit(&config::Applied::of(&configuration)),
                            false => {
                                let rejected = config::Rejected::of(&configuration, 400, "no");
                                self.pair.submit(&rejected)
                            }
                        }
                    }
                    _ => return,
                }
            }
        };
        self.take(taken, who, What::Verdict, 0, USUAL);
    }

    fn remove(&mut self, who: usize, at_once: bool) {
        let removal = match at_once {
            true => Removal::Discard,
            false => Removal::Flush(Duration::from_secs(20)),
        };
        let (now, key) = (self.pair.now(), self.pair.key);
        if self.pair.connection.remove_endpoint(now, key, removal) {
            self.devices[who].observed.clear();
            self.devices[who].applied.clear();
        }
        self.pair.settle();
    }

    fn add(&mut self, who: usize) {
        match self.devices[who].key {
            Some(key) if !self.pair.connection.is_leaving(key) => return,
            Some(_) => {}
            // What answers its predecessor has come by then: IDs begin anywhere, and two in a
            // hundred would meet.
            None => self.pair.pass(2 * MINUTE),
        }
        let key = self.pair.add(TOKENS[who]);
        self.devices[who].key = Some(key);
    }

    fn operate(&mut self, who: usize, subject: Subject, number: u64) {
        let name = name(who);
        let body = json!({"of": who, "name": format!("{subject:?}"), "n": number});
        let id = match subject {
            Subject::Reboot | Subject::Open => {
                let of_type = command_type(subject);
                let invoked = self
                    .pair
                    .operate(|platform, now| platform.command(now, &name, &of_type, Some(body)));
                if let Ok(id) = invoked {
                    let key = CommandKey::new(of_type, commands::CommandId::from(id));
                    self.invoked.insert((who, key));
                }
                return;
            }
            Subject::Software => {
                let version = format!("v{number}");
                let set = |platform: &mut Platform, now| {
                    platform.set_software(now, &name, &version, body)
                };
                self.pair.operate(set).map(|()| version.clone())
            }
            Subject::Unnamed | Subject::Wifi => {
                let config = (subject == Subject::Wifi).then(wifi);
                self.pair.operate(|platform, now| {
                    platform.set_configuration(now, &name, config.as_ref(), body)
                })
            }
        };
        if let Ok(id) = id {
            self.assigned.insert((who, subject), id);
        }
    }
}

/// A configuration is the one that was asked for, of the device that asked.
pub(super) fn check_owner(who: usize, subject: Subject, configuration: &config::Configuration) {
    let body = configuration.value().unwrap_or_default();
    let is_right = body["of"] == json!(who) && body["name"] == json!(format!("{subject:?}"));
    assert!(is_right, "device {who} read {body} for {subject:?}");
}

fn treated<R: Request>(request: R, treatment: Treatment) -> Adjusted<R> {
    let resend = match treatment.again {
        true => Resend::AfterLinkLoss,
        false => Resend::Never,
    };
    let request = request.confirm(treatment.confirm).resend(resend);
    match treatment.expires {
        Some(seconds) => request.expires_after(Duration::from_secs(seconds)),
        None => request,
    }
}

fn observation(subject: Subject) -> Observation {
    match subject {
        Subject::Reboot | Subject::Open => Observation::Commands(command_type(subject)),
        Subject::Unnamed => Observation::Configuration(None),
        Subject::Wifi => Observation::Configuration(Some(wifi())),
        Subject::Software => Observation::Software,
    }
}

pub(super) fn command_type(subject: Subject) -> CommandType {
    let is_open = subject == Subject::Open;
    named(CommandType::new(if is_open { "open" } else { "reboot" }))
}

fn wifi() -> ConfigName {
    named(ConfigName::new("wifi"))
}

fn name(who: usize) -> EndpointName {
    named(EndpointName::parse("demo-v1", TOKENS[who]))
}

fn named<T>(name: Result<T, NameError>) -> T {
    match name {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}
