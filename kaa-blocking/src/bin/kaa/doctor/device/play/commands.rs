//! What the doctor does with commands: invokes them, and repeats one as the platform does until its
//! result arrives.

use std::time::Duration;

use kaa_proto::names::CommandType;
use kaa_proto::topic::{Suffix, Topic};
use serde_json::Value;

use super::{SECOND, Stage};
use crate::doctor::device::record::{Act, Record, What, is_result};
use crate::doctor::device::wire::{Packet, Publish};

/// How long a device may take for a command.
const RUNS: Duration = Duration::from_secs(20);

impl Stage<'_> {
    pub(super) fn commands(&mut self) {
        self.wait(10 * SECOND, |record| asked_type(record).is_some());
        let given = self.player.command.clone();
        let seen = || self.act(|desk| asked_type(Record(desk.entries())));
        let Some((of_type, payload)) = given.or_else(|| Some((seen()?, None))) else {
            return;
        };
        self.pause(SECOND);
        for _ in 0..2 {
            if !self.invoke(&of_type, payload.as_ref()) || !self.reports(RUNS) {
                return;
            }
        }
        self.note(Act::HoldsResults);
        self.act(|desk| desk.conduct.holds_results = true);
        if !self.invoke(&of_type, payload.as_ref()) {
            return;
        }
        // Before it can have run, after it has, and on the next link.
        self.repeat();
        self.repeat();
        if !self.reports(RUNS) {
            return;
        }
        self.pause(SECOND);
        self.repeat();
        self.pause(SECOND);
        self.act(|desk| {
            desk.note(What::Did(Act::Cut));
            desk.cut();
        });
        self.speaks(self.left());
        self.pause(2 * SECOND);
        self.repeat();
        self.pause(2 * SECOND);
        self.note(Act::TakesResults);
        self.act(|desk| desk.conduct.holds_results = false);
        self.repeat();
        self.pause(2 * SECOND);
    }

    fn invoke(&self, of_type: &CommandType, payload: Option<&Value>) -> bool {
        let name = self.endpoint();
        self.act(|desk| {
            let invoked = desk
                .operate(|platform, now| platform.command(now, &name, of_type, payload.cloned()));
            if let Ok(id) = invoked {
                desk.note(What::Did(Act::Commands(id)));
            }
            invoked.is_ok()
        })
    }

    /// Pushes the latest command again.
    fn repeat(&self) {
        self.act(|desk| {
            if let Some(Publish { topic, payload, .. }) = pushed(Record(desk.entries())) {
                desk.note(What::Did(Act::Repeats));
                desk.say(&topic, &payload);
            }
        });
    }

    /// Waits for the first result of the latest command.
    fn reports(&mut self, time: Duration) -> bool {
        self.wait(time, |record| {
            let after = record
                .0
                .iter()
                .rposition(|entry| matches!(entry.what, What::Did(Act::Commands(_))));
            let after = Record(after.and_then(|at| record.0.get(at..)).unwrap_or_default());
            after.published().any(|(_, _, publish)| is_result(publish))
        })
    }
}

/// The type of commands that the device asks for, or subscribes to.
fn asked_type(record: Record<'_>) -> Option<CommandType> {
    record.heard().find_map(|(_, _, packet)| match packet {
        Packet::Publish(publish) => command_type(&publish.topic),
        Packet::Subscribe(filters) => filters.iter().find_map(|filter| command_type(filter)),
        _ => None,
    })
}

/// `…/command/{type}…`
fn command_type(topic: &str) -> Option<CommandType> {
    let mut levels = topic.split('/').skip(4);
    match levels.next() {
        Some("command") => CommandType::new(levels.next()?).ok(),
        _ => None,
    }
}

/// The latest push or list with a command in it that the device was told.
fn pushed(record: Record<'_>) -> Option<Publish> {
    record.0.iter().rev().find_map(|entry| match &entry.what {
        What::Told(_, Packet::Publish(publish)) => {
            let topic = Topic::parse(&publish.topic).ok()?;
            let is_command = topic.levels().next() == Some("command")
                && topic.suffix() == Some(Suffix::Status)
                && publish.payload.starts_with(b"[{");
            is_command.then(|| publish.clone())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_commands_is_read_from_requests_and_filters() {
        for (topic, found) in [
            ("kp1/v/cex/t/command/reboot/7", Some("reboot")),
            ("kp1/v/cex/t/command/reboot/+/status", Some("reboot")),
            ("kp1/v/cex/t/command/+/status", None),
            ("kp1/v/cex/t/command/#", None),
            ("kp1/v/cex/t/result/reboot", None),
            ("kp1/v/dcx/t/json/7", None),
        ] {
            let of_type = command_type(topic);
            assert_eq!(of_type.as_ref().map(CommandType::as_str), found, "{topic}");
        }
    }
}
