//! `kaa config`: what the platform configures the endpoint to be.

use std::time::Duration;

use clap::{Args, Subcommand};
use kaa_blocking::Configurations;
use kaa_blocking::config::{Answer, Applied, Get, Rejected};
use kaa_blocking::names::ConfigName;

use crate::connection::{ConnectionArgs, Session, ask_once};
use crate::exec::Failed;
use crate::exit::Exit;
use crate::outcome::Outcome;
use crate::output;
use crate::problem::Problem;
use crate::watch::{self, Assigned, RejectedArgs, Source, WatchArgs};

/// Receive the endpoint's configuration, and say what became of it.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the configuration as {"configId": …, "config": …}; null if none is assigned
    #[command(after_help = "Example:\n  kaa config get | jq .config")]
    Get {
        #[command(flatten)]
        place: Place,
    },
    /// Print the configuration now and whenever it changes, until Ctrl-C
    ///
    /// With --exec the program is run for each: the configuration on its standard input, KAA_CONFIG_ID
    /// and KAA_CONFIG_NAME in its environment. Exit status 0 is reported as applied, any other as
    /// rejected, with what it printed as the reason.
    #[command(after_help = "Example:\n  kaa config watch --exec '/usr/local/bin/apply-config'")]
    Watch {
        #[command(flatten)]
        watch: WatchArgs,
        #[command(flatten)]
        place: Place,
    },
    /// Say that a configuration is applied
    #[command(after_help = "Example:\n  kaa config applied 97016dbe8bb4adff8f754ecbf24612f2")]
    Applied {
        /// Which: its configId
        id: String,
        #[command(flatten)]
        place: Place,
    },
    /// Say that a configuration cannot be applied, and why
    #[command(after_help = "Example:\n  kaa config rejected 9701… --reason 'unknown key \"rate\"'")]
    Rejected {
        #[command(flatten)]
        rejected: RejectedArgs,
        #[command(flatten)]
        place: Place,
    },
}

/// Whose configuration.
#[derive(Args, Debug)]
struct Place {
    /// The named configuration instead of the default one
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Place {
    fn name(&self) -> Result<Option<ConfigName>, Problem> {
        let name = self.name.as_ref().map(ConfigName::new).transpose();
        name.map_err(|error| Problem::misuse(error.to_string()))
    }
}

pub(crate) fn run(args: &ConfigArgs) -> Result<Exit, Problem> {
    match &args.action {
        Action::Get { place } => {
            let get = match place.name()? {
                Some(name) => Get::new().named(name),
                None => Get::new(),
            };
            let _ = watch::print(assigned(ask_once(&place.connection, &get)?).as_ref())?;
            return Ok(Exit::Done);
        }
        Action::Watch { watch, place } => {
            let name = place.name()?;
            let session = Session::start(&place.connection)?;
            return watch::watch(session, watch, |session| {
                let stream = match name {
                    Some(name) => session.device.named_configurations(name),
                    None => session.device.configurations(),
                };
                let stream = stream.map_err(|error| Problem::misuse(error.to_string()))?;
                Ok(Watched(stream))
            });
        }
        Action::Applied { id, place } => {
            ask_once(&place.connection, &applied(id, place.name()?))?;
        }
        Action::Rejected {
            rejected: why,
            place,
        } => {
            let request = rejected(&why.id, why.status, &why.reason, place.name()?);
            ask_once(&place.connection, &request)?;
        }
    }
    let _ = output::print(&Outcome::confirmed())?;
    Ok(Exit::Done)
}

struct Watched(Configurations);

impl Source for Watched {
    const VARIABLE: &'static str = "KAA_CONFIG_ID";

    fn next(&mut self, within: Duration) -> Option<Option<Assigned>> {
        self.0.next_within(within).map(assigned)
    }

    fn report(
        &self,
        session: &Session,
        assigned: &Assigned,
        failed: Option<&Failed>,
    ) -> Result<(), Problem> {
        let name = assigned.name.as_ref().map(ConfigName::new).transpose();
        let name = name.map_err(|error| Problem::local(error.to_string()))?;
        let (id, within) = (&assigned.id, session.timeout);
        match failed {
            None => session.send(&applied(id, name), within),
            Some(failed) => {
                let request = rejected(id, failed.status, &failed.words, name);
                session.send(&request, within)
            }
        }
    }
}

fn assigned(answer: Answer) -> Option<Assigned> {
    let Answer::Assigned(configuration) = answer else {
        return None;
    };
    Some(Assigned {
        id: configuration.config_id().into(),
        name: configuration.name().map(|name| name.as_str().into()),
        body: configuration.json().into(),
    })
}

fn applied(id: &str, name: Option<ConfigName>) -> Applied {
    match name {
        Some(name) => Applied::new(id).named(name),
        None => Applied::new(id),
    }
}

fn rejected(id: &str, status: u16, reason: &str, name: Option<ConfigName>) -> Rejected {
    match name {
        Some(name) => Rejected::new(id, status, reason).named(name),
        None => Rejected::new(id, status, reason),
    }
}
