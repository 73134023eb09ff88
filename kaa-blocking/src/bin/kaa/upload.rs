//! `kaa upload`: a token over MQTT, then the bytes over HTTP.

mod http;

use std::fs::File;
use std::path::PathBuf;

use clap::Args;
use kaa_blocking::upload::{GetToken, UploadStatus, UploadToken};
use serde::Serialize;

use crate::connection::settings::Settings;
use crate::connection::{ConnectionArgs, Session, Wanted};
use crate::exit::Exit;
use crate::output::{self, say};
use crate::problem::Problem;
use crate::progress::Progress;

use self::http::{Answer, Http};

/// Upload a file: a token is fetched over MQTT, and the bytes go over HTTP.
///
/// Prints {"outcome": "confirmed", "status": 204}, or 201 and the location of --binary. A file of the same
/// name is replaced. A token that the platform does not take any more is renewed once.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  kaa upload /var/log/pump.log\n  kaa upload --binary --name \
                        'front door.jpg' photo.jpg"
)]
pub(crate) struct UploadArgs {
    /// What to upload
    file: PathBuf,

    /// The name that it gets; without it, its own
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Store it as binary data, a new entry each time, instead of a file
    #[arg(long)]
    binary: bool,

    // No doc comment: rustdoc takes the brackets for links.
    #[arg(
        long,
        value_name = "URL",
        help = "Where uploads go; over https:// the system's authorities are trusted, and those of --ca \
                [env: KAA_HTTP_URL] [default: https://cloud.kaaiot.com]"
    )]
    http_url: Option<String>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What is printed of an upload that succeeded.
#[derive(Serialize)]
struct Uploaded {
    outcome: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

pub(crate) fn run(args: &UploadArgs) -> Result<Exit, Problem> {
    let name = name(args)?;
    let length = open(args)?
        .metadata()
        .map_err(|error| unreadable(args, &error))?;
    if !length.is_file() {
        let problem = format!("{} is not a file", args.file.display());
        return Err(Problem::misuse(problem));
    }
    let settings = Settings::of(&args.connection)?;
    let url = settings.http_url(args.http_url.as_ref());
    let http = Http::new(&settings, url)?;
    let mut session = Session::start_with(&settings, Wanted::default())?;
    let mut answer = attempt(args, &name, length.len(), &http, &session)?;
    if UploadStatus::of(answer.status) == UploadStatus::RenewToken {
        say("the platform does not take the upload token any more; getting a new one");
        session.begin_anew();
        answer = attempt(args, &name, length.len(), &http, &session)?;
    }
    session.close();
    let Answer { status, location } = answer;
    match UploadStatus::of(status) {
        meaning if meaning.is_success() => {
            let _ = output::print(&Uploaded {
                outcome: "confirmed",
                status,
                location,
            })?;
            Ok(Exit::Done)
        }
        UploadStatus::RenewToken => Err(Problem::new(
            Exit::Rejected,
            "the upload was rejected with status 403, with a new token too",
        )
        .hint("check that --http-url belongs to the same platform as --url")),
        UploadStatus::Other(500..) => Err(Problem::new(
            Exit::Unknown,
            format!("the server failed with status {status}; the upload may have been stored"),
        )
        .hint("look whether it is there, and try again later")),
        UploadStatus::Created
        | UploadStatus::Stored
        | UploadStatus::Invalid
        | UploadStatus::Other(_) => Err(Problem::new(
            Exit::Rejected,
            format!("the upload was rejected with status {status}"),
        )
        .hint("check --http-url and --name")),
    }
}

/// One token, one upload.
fn attempt(
    args: &UploadArgs,
    name: &str,
    length: u64,
    http: &Http,
    session: &Session,
) -> Result<Answer, Problem> {
    let token: UploadToken = session.ask(&GetToken)?;
    let request = match args.binary {
        true => token.binary_data(Some(name)),
        false => {
            let request = token.file(name);
            request.map_err(|error| Problem::misuse(error.to_string()))?
        }
    };
    let progress = Progress::show(Some(length));
    http.send(request, open(args)?, length, &session.stop, &progress)
}

fn name(args: &UploadArgs) -> Result<String, Problem> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let name = args.file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| {
        let problem = format!("{} has no name that can be sent", args.file.display());
        Problem::misuse(problem).hint("--name NAME")
    })?;
    Ok(name.into())
}

fn open(args: &UploadArgs) -> Result<File, Problem> {
    File::open(&args.file).map_err(|error| unreadable(args, &error))
}

fn unreadable(args: &UploadArgs, error: &std::io::Error) -> Problem {
    let path = args.file.display();
    Problem::misuse(format!("{path} cannot be read: {error}"))
}
