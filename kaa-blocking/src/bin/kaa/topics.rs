//! `kaa topics`: what an operation says on which topic. Nothing is sent.

use clap::{Args, ValueEnum};
use kaa_blocking::names::{EndpointName, Extension};
use kaa_blocking::topic::{Suffix, Topic};
use serde::Serialize;

use crate::exit::Exit;
use crate::output;
use crate::problem::Problem;

/// Print the topics that an operation uses, to look for them in a broker's log.
///
/// A line for each: {"operation": "telemetry", "request": …, "answers": [ok, failure]}, and "push" where
/// the platform speaks by itself. VERSION and TOKEN stand for the application version and the token,
/// 1 for the request ID and NAME or TYPE for what the operation is about.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  kaa topics telemetry\n  kaa topics | jq -r .request")]
pub(crate) struct TopicsArgs {
    /// The operation; all, if none is named
    #[arg(value_enum)]
    operation: Option<Operation>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Operation {
    Telemetry,
    Plain,
    Metadata,
    Commands,
    Config,
    Software,
    Upload,
}

/// Operation, what it is called, extension, resource, and whether the platform repeats it unasked.
const TOPICS: &[(Operation, &str, &str, &str, bool)] = &[
    (Operation::Telemetry, "telemetry", "dcx", "json", false),
    (Operation::Plain, "plain", "dcx", "plain/NAME", false),
    (
        Operation::Metadata,
        "metadata keys",
        "epmx",
        "get/keys",
        false,
    ),
    (Operation::Metadata, "metadata get", "epmx", "get", false),
    (
        Operation::Metadata,
        "metadata merge",
        "epmx",
        "update/keys",
        false,
    ),
    (
        Operation::Metadata,
        "metadata replace-all",
        "epmx",
        "update",
        false,
    ),
    (
        Operation::Metadata,
        "metadata delete",
        "epmx",
        "delete/keys",
        false,
    ),
    (Operation::Commands, "commands", "cex", "command/TYPE", true),
    (
        Operation::Commands,
        "commands result",
        "cex",
        "result/TYPE",
        false,
    ),
    (Operation::Config, "config get", "cmx", "config/json", true),
    (
        Operation::Config,
        "config get --name",
        "cmx",
        "config/json/NAME",
        true,
    ),
    (
        Operation::Config,
        "config applied",
        "cmx",
        "applied/json",
        false,
    ),
    (
        Operation::Config,
        "config applied --name",
        "cmx",
        "applied/json/NAME",
        false,
    ),
    (
        Operation::Software,
        "software get",
        "cmx_ota",
        "config/json",
        true,
    ),
    (
        Operation::Software,
        "software report",
        "cmx_ota",
        "applied/json",
        false,
    ),
    (Operation::Upload, "upload", "bcx", "token", false),
];

#[derive(Serialize)]
struct Printed {
    operation: &'static str,
    request: String,
    answers: [String; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<String>,
}

pub(crate) fn run(args: &TopicsArgs) -> Result<Exit, Problem> {
    let local = |error: &dyn std::fmt::Display| Problem::local(error.to_string());
    let endpoint = EndpointName::parse("VERSION", "TOKEN").map_err(|error| local(&error))?;
    for &(operation, name, extension, resource, is_pushed) in TOPICS {
        if args.operation.is_some_and(|wanted| wanted != operation) {
            continue;
        }
        let extension = Extension::new(extension).map_err(|error| local(&error))?;
        let topic = Topic::new(&endpoint, &extension, resource).map_err(|error| local(&error))?;
        let request = topic.with_id(Some(1));
        let answer = |suffix| request.with_suffix(Some(suffix)).to_wire();
        let _ = output::print(&Printed {
            operation: name,
            request: request.to_wire(),
            answers: [answer(Suffix::Status), answer(Suffix::Error)],
            push: is_pushed.then(|| topic.with_suffix(Some(Suffix::Status)).to_wire()),
        })?;
    }
    Ok(Exit::Done)
}
