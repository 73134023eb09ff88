//! `kaa request`: any request to any extension.

use clap::Args;
use kaa_blocking::names::Extension;
use kaa_blocking::raw::Call;
use kaa_blocking::request::{RequestExt as _, Service};

use crate::confirm::ConfirmArgs;
use crate::connection::{ConnectionArgs, ask_once};
use crate::exit::Exit;
use crate::input;
use crate::json;
use crate::output;
use crate::problem::Problem;

/// Send any request to any extension, and print its answer.
///
/// The topic is kp1/APP_VERSION/EXTENSION/TOKEN/PATH/ID; the program fills in the rest. The answer is
/// printed as JSON; text that is no JSON becomes a string. If it is empty, {"outcome": "confirmed"}
/// is printed, or what --confirm makes of it.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  kaa request epmx get/keys\n  kaa request cmx config/json '{\"observe\": false}'"
)]
pub(crate) struct RequestArgs {
    /// The extension's instance: dcx, epmx, cex, cmx, cmx_ota, bcx or another
    extension: String,

    /// The resource path, without a leading slash
    path: String,

    /// What to send, as it is; - reads it from standard input
    #[arg(allow_hyphen_values = true, default_value = "")]
    payload: String,

    /// Take a statusCode in the answer's body for the platform's verdict, as cmx means it
    #[arg(long)]
    status_in_body: bool,

    #[command(flatten)]
    confirm: ConfirmArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &RequestArgs) -> Result<Exit, Problem> {
    let payload = input::argument("the payload", &args.payload)?;
    let call = Call::new(service(&args.extension)?, &*args.path).payload(payload);
    let call = match args.status_in_body {
        true => call.status_in_body(),
        false => call,
    };
    let reply = ask_once(&args.connection, &call.confirm(args.confirm.confirm()))?;
    let _ = match reply.payload().is_empty() {
        true => output::print(&args.confirm.outcome())?,
        false => output::write((json::shown(reply.payload()) + "\n").as_bytes())?,
    };
    Ok(Exit::Done)
}

fn service(name: &str) -> Result<Service, Problem> {
    Ok(match name {
        "dcx" => Service::Telemetry,
        "epmx" => Service::Metadata,
        "cex" => Service::Commands,
        "cmx" => Service::Configurations,
        "cmx_ota" => Service::Software,
        "bcx" => Service::Uploads,
        _ => Service::Other(
            Extension::new(name).map_err(|error| Problem::misuse(error.to_string()))?,
        ),
    })
}
