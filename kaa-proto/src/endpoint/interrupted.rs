//! Commands that were in progress when the program ended.

use super::{CommandKey, Endpoint, Record, ResultRecord};
use crate::commands::CommandResult;
use crate::request::{Effect, Prepared, StoredResult};

/// What becomes of a command that was in progress when an earlier run of the program ended, once the
/// platform offers it again. It may have been run, wholly, in part or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenInterrupted {
    /// It is surfaced, marked as
    /// [interrupted](crate::commands::Command::is_interrupted): the application knows, or can find
    /// out. The default. A device that has just come up after `reboot` answers that it was done.
    #[default]
    Ask,
    /// A failure is reported (status 500): it is never run twice, and a person decides.
    Fail,
    /// It is surfaced as if it were new: running it twice does no harm. One that was run again three
    /// times, and interrupted each time, is reported as failed: it may be what ends the program.
    RunAgain,
}

/// How often a command is run again before it is suspected of ending the program.
const MAX_RUNS_AGAIN: u32 = 3;

impl WhenInterrupted {
    /// Whether a command that was interrupted so often is reported as failed.
    pub(super) const fn fails(self, interruptions: u32) -> bool {
        match self {
            Self::Ask => false,
            Self::Fail => true,
            Self::RunAgain => interruptions > MAX_RUNS_AGAIN,
        }
    }

    /// Whether the application is to know that it was interrupted.
    pub(super) const fn is_told(self) -> bool {
        matches!(self, Self::Ask)
    }
}

impl Endpoint {
    /// A command was given back that earlier runs had surfaced so often: they may have run it,
    /// whatever this one did.
    pub(super) fn record_release(&mut self, key: &CommandKey, times: u32) {
        self.record(|| Record::Forgotten(key.clone()));
        for _ in 0..times {
            self.record(|| Record::Surfaced(key.clone()));
        }
    }

    /// Answers an interrupted command with a failure. The result, which is recorded.
    pub(super) fn fail_interrupted(&mut self, key: CommandKey) -> Option<StoredResult> {
        let result = CommandResult::failed(500, "interrupted by a restart");
        let report = Prepared::new(&key.report(result)).ok()?;
        let Effect::Results(_, results) = report.effect else {
            return None;
        };
        let result = results.into_iter().next()?;
        self.ledger
            .finish(key.command_type(), &result, self.options.max_commands);
        self.record(|| Record::Finished(key, ResultRecord(result.clone())));
        Some(result)
    }
}
