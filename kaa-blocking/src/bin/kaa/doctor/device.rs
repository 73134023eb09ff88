//! `kaa doctor --device`: plays the platform to a device, and judges it by what it does.

mod case;
mod delays;
mod desk;
mod judge;
mod play;
mod program;
mod record;
mod tap;
mod wire;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kaa_blocking::names::{CommandType, EndpointName};
use serde_json::{Value, json};

use self::case::{Case, Scene};
use self::play::Player;
use self::program::Recipe;
use self::record::Record;
use self::tap::Tap;
use super::DoctorArgs;
use crate::connection::ConnectionArgs;
use crate::connection::settings::Settings;
use crate::exit::Exit;
use crate::output::{self, Reader};
use crate::problem::Problem;
use crate::stop::Stop;

/// Longer than a device with a keep alive of a minute needs to notice that its link is dead.
const TIMEOUT: Duration = Duration::from_secs(130);

/// What the device is told to be, unless the command line says so.
const APP_VERSION: &str = "doctor-v1";
const TOKEN: &str = "DoctorsToken";

/// Judges a device.
///
/// # Errors
/// An argument is wrong, or the program cannot be started.
pub(crate) fn run(args: &DoctorArgs) -> Result<Exit, Problem> {
    let wanted = wanted(&args.only)?;
    let command = args.command.as_deref().map(command).transpose()?;
    refuse_others(&args.connection)?;
    let settings = Settings::of_device(&args.connection)?;
    let timeout = settings.timeout.map_or(TIMEOUT, |found| found.value);
    let name = match &settings.app_version {
        Some(version) => EndpointName::parse(&version.value, TOKEN)
            .map_err(|error| Problem::misuse(format!("{error} (from {})", version.source))),
        None => EndpointName::parse(APP_VERSION, TOKEN)
            .map_err(|error| Problem::misuse(error.to_string())),
    }?;
    let stop = Stop::listen()?;
    let tap = Tap::listen(address(args.listen.as_deref())?)
        .map_err(|error| Problem::local(format!("the platform cannot listen: {error}")))?;
    let recipe = recipe(args, &name, tap.addr());
    let player = Player {
        tap: &tap,
        recipe: recipe.as_ref(),
        name,
        timeout,
        command,
        stop: &stop,
    };
    announce(&player, &wanted);
    examine(&player, &wanted)
}

/// Refuses the options about a platform that is reached: here the device reaches the doctor. The
/// variables beside them are for other commands.
fn refuse_others(args: &ConnectionArgs) -> Result<(), Problem> {
    let given = [
        ("--url", args.url.is_some()),
        ("--token-file", args.token_file.is_some()),
        ("--username", args.username.is_some()),
        ("--password-file", args.password_file.is_some()),
        ("--ca", args.ca.is_some()),
        ("--cert", args.cert.is_some()),
        ("--key", args.key.is_some()),
        ("--profile", args.profile.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => Err(Problem::misuse(format!(
            "{option} means nothing with --device: the device comes to the doctor, without a login"
        ))
        .hint("--listen ADDR for where it finds him, --app-version for what it is told")),
        None => Ok(()),
    }
}

/// Plays the scenes that show what is wanted.
fn examine(player: &Player<'_>, wanted: &BTreeSet<Case>) -> Result<Exit, Problem> {
    let mut counts = [0; 3];
    let mut has_come = false;
    for scene in Scene::ALL {
        let cases = scene.cases().iter().filter(|case| wanted.contains(case));
        let cases: Vec<_> = cases.copied().collect();
        if cases.is_empty() {
            continue;
        }
        let entries = player
            .play(scene)
            .map_err(|error| Problem::local(format!("the program cannot be started: {error}")))?;
        if player.stop.is_stopping() {
            return Ok(Exit::Interrupted);
        }
        let record = Record(&entries);
        has_come |= record.connects().next().is_some();
        for case in cases {
            let finding = judge::judge(case, record);
            counts[finding.verdict as usize] += 1;
            output::tell(finding.to_text(case.name()));
            if output::print(&finding.to_json(case.name()))? == Reader::Gone {
                return Ok(Exit::Interrupted);
            }
        }
        if !has_come {
            return Err(
                Problem::new(Exit::Unreachable, "the device did not connect")
                    .hint("let it read KAA_URL, or give the address that it knows with --listen"),
            );
        }
    }
    let [passed, failed, not_judged] = counts;
    output::tell(format!(
        "{passed} passed, {failed} failed, {not_judged} not judged"
    ));
    let sum = json!({"passed": passed, "failed": failed, "notJudged": not_judged});
    let _ = output::print(&sum)?;
    Ok(match failed {
        0 => Exit::Done,
        _ => Exit::Rejected,
    })
}

/// Says what is going to happen.
fn announce(player: &Player<'_>, wanted: &BTreeSet<Case>) {
    let scenes = Scene::ALL
        .iter()
        .filter(|scene| scene.cases().iter().any(|case| wanted.contains(case)))
        .count();
    let timeout = player.timeout.as_secs();
    output::tell(format!(
        "{} cases in {scenes} scenes; each ends as soon as it shows what is to be judged, and after \
         {timeout} s at the latest. A device with a keep alive of 10 s needs about five minutes for all.",
        wanted.len()
    ));
    match player.recipe {
        Some(recipe) => {
            let words: Vec<_> = recipe
                .words
                .iter()
                .map(|word| word.to_string_lossy())
                .collect();
            output::tell(format!(
                "{} is started for each scene, with",
                words.join(" ")
            ));
            for (name, value) in &recipe.environment {
                output::tell(format!("  {name}={value}"));
            }
        }
        None => output::tell(format!(
            "Let a device connect to {}, by any application version and token; it has to dial again \
             by itself when its link is closed.",
            player.tap.addr()
        )),
    }
}

fn recipe(args: &DoctorArgs, name: &EndpointName, addr: SocketAddr) -> Option<Recipe> {
    let (host, port) = match addr.ip().is_unspecified() {
        true => (Ipv4Addr::LOCALHOST.into(), addr.port()),
        false => (addr.ip(), addr.port()),
    };
    let environment = vec![
        ("KAA_URL", format!("mqtt://{}", SocketAddr::new(host, port))),
        ("KAA_APP_VERSION", name.app_version().as_str().into()),
        ("KAA_TOKEN", name.token().as_str().into()),
        ("KAA_HOST", host.to_string()),
        ("KAA_PORT", port.to_string()),
    ];
    (!args.program.is_empty()).then(|| Recipe {
        words: args.program.clone(),
        environment,
        output: args.log.clone(),
    })
}

fn wanted(only: &[String]) -> Result<BTreeSet<Case>, Problem> {
    if only.is_empty() {
        return Ok(Case::all().collect());
    }
    let find = |name: &String| {
        let found = Case::all().find(|case| case.name() == name);
        found.ok_or_else(|| {
            Problem::misuse(format!("--only: there is no case {name:?}"))
                .hint("one of those that `kaa doctor --help` lists")
        })
    };
    only.iter().map(find).collect()
}

/// `TYPE` or `TYPE=JSON`.
fn command(text: &str) -> Result<(CommandType, Option<Value>), Problem> {
    let (of_type, payload) = match text.split_once('=') {
        Some((of_type, payload)) => (of_type, Some(payload)),
        None => (text, None),
    };
    let wrong = |error: &dyn std::fmt::Display| Problem::misuse(format!("--command: {error}"));
    let of_type = CommandType::new(of_type).map_err(|error| wrong(&error))?;
    let payload = payload.map(serde_json::from_str).transpose();
    Ok((of_type, payload.map_err(|error| wrong(&error))?))
}

fn address(text: Option<&str>) -> Result<SocketAddr, Problem> {
    let text = text.unwrap_or("127.0.0.1:0");
    text.parse().map_err(|_| {
        Problem::misuse(format!("--listen: {text:?} is no address")).hint("127.0.0.1:1883")
    })
}

/// The cases, for `--help`.
pub(crate) fn help() -> String {
    let rows = Case::all().map(|case| format!("  {:<14} {}\n", case.name(), case.meaning()));
    rows.collect()
}
