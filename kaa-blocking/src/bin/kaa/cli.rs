//! The command line. What stands here is what `--help` says.

use clap::{Parser, Subcommand};

use crate::platform::PlatformArgs;

/// Tools for the Kaa IoT device protocol.
#[derive(Debug, Parser)]
#[command(name = "kaa", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Platform(Box<PlatformArgs>),
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
