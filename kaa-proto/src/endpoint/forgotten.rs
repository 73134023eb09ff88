//! Commands that the ledger forgot a short while ago.
//!
//! A list of what is outstanding may be held up on its way until the platform has the results of what
//! it names, and the ledger has forgotten those for want of room: they would be run a second time. So
//! they rest, as IDs do. What comes after that is offered as new, for the platform may have lost the
//! result.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::CommandKey;
use crate::rare::Blank;

/// How long a forgotten command is not taken for a new one: longer than any list is on its way, and
/// than the platform offers a command unless an operator says otherwise.
const REST: Duration = Duration::from_secs(300);

/// How many rest. Beyond it the oldest is forgotten for good.
const MAX_RESTING: usize = 64;

/// Those that rest, and until when; the oldest first.
#[derive(Debug, Default)]
pub(super) struct Forgotten(VecDeque<(Instant, CommandKey)>);

impl Blank for Forgotten {
    const BLANK: &'static Self = &Self(VecDeque::new());
}

impl Forgotten {
    /// The ledger forgot a command.
    pub(super) fn add(&mut self, now: Instant, key: CommandKey) {
        if self.0.len() == MAX_RESTING {
            self.0.pop_front();
        }
        self.0.push_back((now + REST, key));
    }

    /// Whether a command that is not known was, until a short while ago.
    pub(super) fn has(&mut self, now: Instant, key: &CommandKey) -> bool {
        while self.0.front().is_some_and(|(until, _)| *until <= now) {
            self.0.pop_front();
        }
        self.0.iter().any(|(_, resting)| resting == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::CommandType;

    fn key(id: usize) -> CommandKey {
        let command_type = CommandType::new("reboot").unwrap();
        CommandKey::new(command_type, (id as i64).into())
    }

    #[test]
    fn a_forgotten_command_rests_for_its_time_and_only_so_many_do() {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let mut forgotten = Forgotten::default();
        for id in 0..=MAX_RESTING {
            forgotten.add(now, key(id));
        }
        assert!(!forgotten.has(now, &key(0)));
        assert!(forgotten.has(now, &key(1)) && forgotten.has(now, &key(MAX_RESTING)));
        let last = now + REST - Duration::from_nanos(1);
        assert!(forgotten.has(last, &key(1)));
        assert!(!forgotten.has(now + REST, &key(1)));
        assert!(forgotten.0.is_empty());
    }
}
