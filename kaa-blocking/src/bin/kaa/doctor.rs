//! `kaa doctor`: says in plain words what is wrong with a connection, or with a device.

mod certificate;
mod delivery;
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "a judge looks at one kind of packet, whatever others there are"
)]
mod device;
mod finding;
mod link;
mod raw;
mod report;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::connection::ConnectionArgs;
use crate::connection::settings::Settings;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::time;

/// How long a push is waited for that nobody promised.
const WATCH: Duration = Duration::from_secs(1);

/// Find out what is wrong with a connection to the platform, or with a device.
///
/// Checks the name, TCP, TLS and the certificate, the login, the token, and how answers and pushes
/// come, and says what is wrong and what to do. It changes nothing. It speaks for the endpoint, so
/// a device that is online hears nothing before it speaks again.
///
/// Prints a JSON line for each check, and words for people on standard error.
#[derive(Args, Debug)]
#[command(after_long_help = after_help())]
pub(crate) struct DoctorArgs {
    /// Play the platform to a device, and judge it by what it does
    #[arg(long)]
    device: bool,

    /// Wait that long for a push, which you cause, to see how they come [default: 1s]
    #[arg(long, value_name = "TIME", conflicts_with = "device")]
    watch: Option<String>,

    /// With --device: where the device finds the platform [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDR", requires = "device")]
    listen: Option<String>,

    /// With --device: judge this case only; may be given again
    #[arg(long, value_name = "CASE", requires = "device")]
    only: Vec<String>,

    /// With --device: the command that is invoked, some times [default: the first type that the
    /// device asks for, without payload]
    #[arg(long, value_name = "TYPE[=JSON]", requires = "device")]
    command: Option<String>,

    /// With --device: append what the program prints to this file
    #[arg(long, value_name = "FILE", requires = "device")]
    log: Option<PathBuf>,

    #[command(flatten)]
    connection: ConnectionArgs,

    /// With --device: the device's program and its arguments, which is started for each scene;
    /// without it a device comes by itself
    #[arg(last = true, value_name = "PROGRAM", requires = "device")]
    program: Vec<OsString>,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Problem> {
    if args.device {
        return device::run(args);
    }
    let watch = match &args.watch {
        None => WATCH,
        Some(text) => time::parse(text).ok_or_else(|| {
            Problem::misuse(format!("--watch: {text:?} is no time to wait")).hint("60s, or 5m")
        })?,
    };
    link::run(&Settings::of(&args.connection)?, watch)
}

fn after_help() -> String {
    format!(
        "Cases of --device:\n{}\n\
         With --device --timeout is for each scene, 130s unless given; of the other options under \
         Connection it takes --app-version only. The program is started with \
         KAA_URL, KAA_APP_VERSION and KAA_TOKEN, and KAA_HOST and KAA_PORT for clients that take no \
         URL; it inherits no other KAA_ variable. Exit status: 0 no case failed, 3 one did, 5 no device came.\n\n\
         Examples:\n  kaa doctor\n  kaa doctor --device -- ./my-device --verbose\n  \
         kaa doctor --device --only backoff --only dead-link -- ./my-device",
        device::help()
    )
}
