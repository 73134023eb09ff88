//! The command line. What stands here is what `--help` says.

use clap::{Parser, Subcommand};

use crate::commands::CommandsArgs;
use crate::config::ConfigArgs;
use crate::doctor::DoctorArgs;
use crate::exit;
use crate::generate::{CompletionsArgs, ManArgs};
use crate::metadata::MetadataArgs;
use crate::plain::PlainArgs;
use crate::platform::PlatformArgs;
use crate::profile::ProfileArgs;
use crate::request::RequestArgs;
use crate::software::SoftwareArgs;
use crate::telemetry::TelemetryArgs;
use crate::topics::TopicsArgs;
use crate::upload::UploadArgs;

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
    Telemetry(Box<TelemetryArgs>),
    Plain(Box<PlainArgs>),
    Metadata(Box<MetadataArgs>),
    Commands(Box<CommandsArgs>),
    Config(Box<ConfigArgs>),
    Software(Box<SoftwareArgs>),
    Upload(Box<UploadArgs>),
    Request(Box<RequestArgs>),
    Topics(TopicsArgs),
    Profile(Box<ProfileArgs>),
    Platform(Box<PlatformArgs>),
    Doctor(Box<DoctorArgs>),
    Completions(CompletionsArgs),
    Man(ManArgs),
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
