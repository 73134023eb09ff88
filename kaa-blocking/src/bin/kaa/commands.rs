//! `kaa commands`: what the platform asks the endpoint to do.

mod desk;
mod result;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kaa_blocking::endpoint::{EndpointOptions, WhenInterrupted};
use kaa_blocking::names::CommandType;

use crate::connection::settings::Settings;
use crate::connection::{ConnectionArgs, Session, Wanted};
use crate::exec::ExecArgs;
use crate::exit::Exit;
use crate::lines::Lines;
use crate::problem::Problem;

use self::desk::Desk;

/// Receive commands, run them, and report their results.
///
/// With --exec the program is run for each command, one after the other: the command's payload on its
/// standard input, KAA_COMMAND_TYPE and KAA_COMMAND_ID in its environment. What it prints is the
/// result's payload (JSON, or else a string). Exit status 0 is reported as 200, any other as 500, a
/// timeout as 504. A line is printed for each result that was reported:
/// {"type": "reboot", "id": 1, "statusCode": 200, "outcome": "confirmed"}.
///
/// Without --exec each command is printed as a line, {"type": "reboot", "id": 1, "payload": {"delay":
/// 5}}, and results are read from standard input, one a line: {"type": "reboot", "id": 1, "statusCode":
/// 200, "reasonPhrase": "OK", "payload": {}}. The last three are optional; 200 is the default.
///
/// It ends at Ctrl-C, or after --count commands; without --exec also when nobody reads what it prints.
/// A program that runs at Ctrl-C is ended: with --store the next run does with its command what
/// --interrupted says, without it the result is 503.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  kaa commands reboot --store /var/lib/pump --interrupted done \
                        --exec /usr/local/bin/reboot-soon\n  kaa commands switch-light --exec \
                        'light.sh --room 3' --exec-timeout 10s"
)]
pub(crate) struct CommandsArgs {
    /// The types of commands to receive
    #[arg(required = true, value_name = "TYPE")]
    types: Vec<String>,

    #[command(flatten)]
    exec: ExecArgs,

    /// Keep commands and results in this folder, so that a restart runs nothing twice
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// With --store: what becomes of a command that was running when this program ended
    #[arg(long, value_enum, value_name = "WHAT", requires = "store", default_value_t = Interrupted::Fail)]
    interrupted: Interrupted,

    /// End after so many commands
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Interrupted {
    /// It is reported as failed, status 500, and not run: a person decides
    Fail,
    /// It is reported as done: for reboot, which ends the program by itself
    Done,
    /// It is run again: for what does no harm twice
    Again,
}

impl Interrupted {
    const fn policy(self) -> WhenInterrupted {
        match self {
            Self::Fail => WhenInterrupted::Fail,
            Self::Done => WhenInterrupted::Ask,
            Self::Again => WhenInterrupted::RunAgain,
        }
    }
}

pub(crate) fn run(args: &CommandsArgs) -> Result<Exit, Problem> {
    let mut types = Vec::new();
    let mut endpoint = EndpointOptions::default();
    for name in &args.types {
        let of_type = CommandType::new(name)
            .map_err(|error| Problem::misuse(format!("{name:?}: {error}")))?;
        endpoint = endpoint.interrupted(of_type.clone(), args.interrupted.policy());
        types.push(of_type);
    }
    let program = args.exec.program()?;
    let wanted = Wanted {
        endpoint,
        store: args.store.as_deref(),
    };
    let session = Session::start_with(&Settings::of(&args.connection)?, wanted)?;
    let commands = session
        .device
        .commands(types)
        .map_err(|error| Problem::misuse(error.to_string()))?;
    session.ready()?;
    let results = program.is_none().then(Lines::read);
    let mut desk = Desk::new(session, args.store.is_some());
    desk.serve(commands, args.count, program.as_ref(), results)?;
    desk.close()
}
