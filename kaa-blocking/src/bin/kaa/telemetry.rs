//! `kaa telemetry`: samples as JSON, one or a stream of them.

mod account;
mod batch;
mod sender;

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kaa_blocking::endpoint::{EndpointOptions, WhenFull};
use kaa_blocking::request::Resend;

use crate::confirm::ConfirmArgs;
use crate::connection::settings::Settings;
use crate::connection::{ConnectionArgs, Session, Wanted};
use crate::exit::Exit;
use crate::json;
use crate::lines::Lines;
use crate::problem::Problem;
use crate::time;

use self::sender::{Plan, Sender};

/// Send samples: one as an argument, or a stream of JSON lines from standard input.
///
/// A sample is any JSON value; an array is several samples. Give each its time as "ts", in milliseconds
/// since 1970, if it may arrive late: then --resend loses nothing and --store does not either.
///
/// Of one argument the outcome is printed: {"outcome": "confirmed"}. Of a stream an account is printed
/// at its end, {"samples": 1000, "confirmed": 998, "rejected": 2}, or with --each a line for each
/// line: {"line": 7, "outcome": "confirmed"}. A line that is no JSON is told and left out. When nobody
/// reads what is printed (`| head`), the samples are sent all the same.
///
/// With --store the end does not wait for the platform: what could not be sent in time is kept in the
/// folder, the exit status is 7, and the next run with that folder sends it, even without samples of
/// its own (`< /dev/null`). There is room for 2 MiB or 5000 messages, those of earlier runs among
/// them. When it is full, input is held back until the platform takes some: nothing is dropped, and
/// whoever writes the samples waits.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  kaa telemetry '{\"temperature\": 21.5}'\n  sensor | kaa telemetry \
                        --store /var/lib/sensor --resend --every 10s"
)]
pub(crate) struct TelemetryArgs {
    /// The sample; without it, or for -, JSON lines are read from standard input
    #[arg(allow_hyphen_values = true)]
    json: Option<String>,

    /// Send a batch when it has so many samples
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,

    /// Send a batch that is not full when its first sample has waited so long
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: String,

    /// Print an outcome for each line; those of a batch share it
    #[arg(long)]
    each: bool,

    /// Send again what was not confirmed when the link went: a sample may then arrive twice
    #[arg(long)]
    resend: bool,

    /// Keep in this folder what could not be sent, for the next run
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    #[command(flatten)]
    confirm: ConfirmArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) fn run(args: &TelemetryArgs) -> Result<Exit, Problem> {
    let every = time::parse(&args.every).filter(|every| *every <= Duration::from_secs(3_600));
    let every = every.ok_or_else(|| {
        let problem = format!("--every: {:?} is no time to wait", args.every);
        Problem::misuse(problem).hint("a number with ms, s, m or h, up to 1h, such as 10s")
    })?;
    let sample = args.json.as_ref().filter(|text| *text != "-");
    if let Some(text) = sample {
        json::argument("the sample", text)?;
    }
    let plan = Plan {
        batch: args.batch.into(),
        every,
        is_stream: sample.is_none(),
        has_each: args.each,
        resend: match args.resend {
            true => Resend::AfterLinkLoss,
            false => Resend::Never,
        },
        has_store: args.store.is_some(),
        confirm: args.confirm,
    };
    let wanted = Wanted {
        endpoint: EndpointOptions::default().bulk_when_full(WhenFull::Refuse),
        store: args.store.as_deref(),
    };
    let session = Session::start_with(&Settings::of(&args.connection)?, wanted)?;
    if !plan.has_store {
        session.ready()?;
    }
    let (samples, total) = match sample {
        Some(text) => (Lines::of(text), None),
        None => (Lines::read(), input_length()),
    };
    Sender::new(session, plan, total).run(&samples)
}

/// How much there is to be read, if standard input is a file.
fn input_length() -> Option<u64> {
    let input = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = input.metadata().ok()?;
    metadata.is_file().then_some(metadata.len())
}
