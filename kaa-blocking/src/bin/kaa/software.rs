//! `kaa software`: which version runs, and which one is to.

use std::time::Duration;

use clap::{Args, Subcommand};
use kaa_blocking::SoftwareUpdates;
use kaa_blocking::software::{Answer, Get, Rejected, ReportCurrent};

use crate::connection::{ConnectionArgs, Session, ask_once};
use crate::exec::Failed;
use crate::exit::Exit;
use crate::outcome::Outcome;
use crate::output;
use crate::problem::Problem;
use crate::watch::{self, Assigned, RejectedArgs, Source, WatchArgs};

/// Say which software runs, receive updates, and say what became of them.
#[derive(Args, Debug)]
pub(crate) struct SoftwareArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say which version runs
    #[command(
        visible_alias = "applied",
        after_help = "Example:\n  kaa software report 1.4.2"
    )]
    Report {
        /// Which
        version: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Print the version that is to run, as {"configId": …, "config": …}; null if none is assigned
    #[command(after_help = "Example:\n  kaa software get | jq -r .config.link")]
    Get {
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Print updates as they are offered, until Ctrl-C
    ///
    /// With --exec the program is run for each: the specification on its standard input and
    /// KAA_SOFTWARE_VERSION in its environment. Exit status 0 is reported as the version that runs
    /// now, any other as rejected, with what it printed as the reason.
    #[command(after_help = "Example:\n  kaa software watch --current 1.4.2 --exec install-update")]
    Watch {
        /// The version that runs
        #[arg(long, value_name = "VERSION")]
        current: String,
        #[command(flatten)]
        watch: WatchArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Say that a version cannot be installed, and why
    #[command(
        after_help = "Example:\n  kaa software rejected 1.5.0 --status 507 --reason 'no room'"
    )]
    Rejected {
        #[command(flatten)]
        rejected: RejectedArgs,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

pub(crate) fn run(args: &SoftwareArgs) -> Result<Exit, Problem> {
    match &args.action {
        Action::Report {
            version,
            connection,
        } => ask_once(connection, &ReportCurrent::new(version))?,
        Action::Get { connection } => {
            let _ = watch::print(assigned(ask_once(connection, &Get::new())?).as_ref())?;
            return Ok(Exit::Done);
        }
        Action::Watch {
            current,
            watch,
            connection,
        } => {
            return watch::watch(Session::start(connection)?, watch, |session| {
                let stream = session.device.software_updates(current);
                let stream = stream.map_err(|error| Problem::misuse(error.to_string()))?;
                Ok(Watched(stream))
            });
        }
        Action::Rejected {
            rejected: why,
            connection,
        } => ask_once(connection, &Rejected::new(&why.id, why.status, &why.reason))?,
    }
    let _ = output::print(&Outcome::confirmed())?;
    Ok(Exit::Done)
}

struct Watched(SoftwareUpdates);

impl Source for Watched {
    const VARIABLE: &'static str = "KAA_SOFTWARE_VERSION";

    fn next(&mut self, within: Duration) -> Option<Option<Assigned>> {
        self.0.next_within(within).map(assigned)
    }

    fn report(
        &self,
        session: &Session,
        assigned: &Assigned,
        failed: Option<&Failed>,
    ) -> Result<(), Problem> {
        let (id, within) = (&assigned.id, session.timeout);
        match failed {
            None => session.send(&ReportCurrent::new(id), within),
            Some(failed) => {
                let request = Rejected::new(id, failed.status, &failed.words);
                session.send(&request, within)
            }
        }
    }
}

fn assigned(answer: Answer) -> Option<Assigned> {
    let Answer::Assigned(update) = answer else {
        return None;
    };
    Some(Assigned {
        id: update.version().into(),
        name: None,
        body: update.json().into(),
    })
}
