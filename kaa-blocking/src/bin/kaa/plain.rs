//! `kaa plain`: one number without JSON around it.

use clap::Args;
use kaa_blocking::names::Metric;
use kaa_blocking::request::RequestExt as _;
use kaa_blocking::telemetry::Plain;

use crate::confirm::ConfirmArgs;
use crate::connection::{ConnectionArgs, ask_once};
use crate::exit::Exit;
use crate::output;
use crate::problem::Problem;

/// Send one number without JSON around it, such as 21.5 or 47%.
///
/// Prints {"outcome": "confirmed"}, or what --confirm makes of it. Plain values are for devices that
/// cannot write JSON; `kaa telemetry` is for everything else.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kaa plain temperature 21.5\n  kaa plain humidity 47%")]
pub(crate) struct PlainArgs {
    /// What is measured
    metric: String,

    /// The number, perhaps with its unit
    #[arg(allow_hyphen_values = true)]
    value: String,

    #[command(flatten)]
    confirm: ConfirmArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &PlainArgs) -> Result<Exit, Problem> {
    let metric = Metric::new(&args.metric).map_err(|error| Problem::misuse(error.to_string()))?;
    let request = Plain::text(metric, &*args.value).confirm(args.confirm.confirm());
    ask_once(&args.connection, &request)?;
    let _ = output::print(&args.confirm.outcome())?;
    Ok(Exit::Done)
}
