//! The command line. What stands here is what `--help` says.

use clap::{Parser, Subcommand};

use crate::doctor::DoctorArgs;
use crate::exit;
use crate::plain::PlainArgs;
use crate::platform::PlatformArgs;

/// Speak to the Kaa IoT platform as a device does, or be the platform.
///
/// Results are JSON on standard output, one a line; words for people go to standard error.
#[derive(Debug, Parser)]
#[command(name = "kaa", version, after_help = exit::TABLE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Plain(Box<PlainArgs>),
    Platform(Box<PlatformArgs>),
    Doctor(Box<DoctorArgs>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
