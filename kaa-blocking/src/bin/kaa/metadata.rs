//! `kaa metadata`: the attributes of the endpoint.

use clap::{Args, Subcommand};
use kaa_blocking::metadata::{Delete, Get, Keys, Merge, ReplaceAll};
use kaa_blocking::names::MetadataKey;
use serde_json::value::RawValue;

use crate::connection::{ConnectionArgs, ask_once};
use crate::exit::Exit;
use crate::json;
use crate::outcome::Outcome;
use crate::output;
use crate::problem::Problem;

/// Read and write the endpoint's metadata: attributes such as its name or its place.
#[derive(Args, Debug)]
pub(crate) struct MetadataArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the keys that the endpoint may read, as a JSON array
    #[command(after_help = "Example:\n  kaa metadata keys | jq -r '.[]'")]
    Keys {
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Print attributes, as a JSON object
    #[command(after_help = "Example:\n  kaa metadata get\n  kaa metadata get name location")]
    Get {
        /// Which; all, if none is named
        keys: Vec<String>,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Set some attributes and leave the others as they are
    #[command(after_help = "Example:\n  kaa metadata merge '{\"location\": \"roof\"}'")]
    Merge {
        /// A JSON object; - reads it from standard input
        attributes: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Replace all attributes: those that are not mentioned are DELETED
    #[command(after_help = "Example:\n  kaa metadata replace-all '{\"name\": \"pump 3\"}'")]
    ReplaceAll {
        /// A JSON object; - reads it from standard input
        attributes: String,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
    /// Delete attributes
    #[command(after_help = "Example:\n  kaa metadata delete location areaId")]
    Delete {
        /// Which
        #[arg(required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

pub(crate) fn run(args: &MetadataArgs) -> Result<Exit, Problem> {
    match &args.action {
        Action::Keys { connection } => {
            let keys = ask_once(connection, &Keys)?;
            let _ = output::print(&keys)?;
            return Ok(Exit::Done);
        }
        Action::Get { keys, connection } => {
            let get = match keys.is_empty() {
                true => Get::all(),
                false => Get::only(parsed(keys)?),
            };
            let attributes = ask_once(connection, &get.typed::<Box<RawValue>>())?;
            let line = json::compact(attributes.get()) + "\n";
            let _ = output::write(line.as_bytes())?;
            return Ok(Exit::Done);
        }
        Action::Merge {
            attributes,
            connection,
        } => ask_once(connection, &Merge::new(object(attributes)?))?,
        Action::ReplaceAll {
            attributes,
            connection,
        } => ask_once(connection, &ReplaceAll::new(object(attributes)?))?,
        Action::Delete { keys, connection } => ask_once(connection, &Delete::new(parsed(keys)?))?,
    }
    let _ = output::print(&Outcome::confirmed())?;
    Ok(Exit::Done)
}

fn parsed(keys: &[String]) -> Result<Vec<MetadataKey>, Problem> {
    let key = |key: &String| {
        MetadataKey::new(key).map_err(|error| Problem::misuse(format!("{key:?}: {error}")))
    };
    keys.iter().map(key).collect()
}

fn object(text: &str) -> Result<Box<RawValue>, Problem> {
    json::argument("ATTRIBUTES", text)
}
