//! A device that is told to reboot, does it once, and says so when it is up again.
//!
//! It starts a local platform inside this process, and itself as the device, in a process of its
//! own. The device is told to reboot: its process ends with the command unanswered, as by a power
//! cut. Started again on the same store, it is offered the command once more, finds that an
//! earlier run took it, and answers that it is done.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform,store --example reboot
//! ```

#![allow(clippy::print_stdout, reason = "it says what it does")]

use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;
use std::{env, fs, process};

use kaa_blocking::names::{CommandType, EndpointName};
use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_blocking::{Client, Options};
use kaa_proto::platform::EventKind;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the process says of itself when the device reboots.
const REBOOTS: u8 = 75;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [url, folder] => device(url, folder),
        _ => operator(),
    }
}

/// The device.
fn device(url: &str, folder: &str) -> Result<ExitCode, Box<dyn Error>> {
    let client = Client::connect(Options::new(url)?.store_in(folder))?;
    let device = client.endpoint(&name()?)?;
    // What an earlier run left comes first.
    let recovered = device.take_recovered().unwrap_or_default();
    println!("device: up, {} interrupted", recovered.interrupted.len());

    let mut commands = device.commands_of("reboot")?;
    let command = commands.next_within(PATIENCE).ok_or("no command came")?;
    if command.is_interrupted() {
        println!("device: asked to reboot, which it has done");
        command.done()?.outcome()?;
    } else {
        println!("device: asked to reboot");
        // Here a device calls its system. The command is neither answered nor dropped.
        process::exit(REBOOTS.into());
    }
    // Nothing else may come of it.
    let again = commands.next_within(Duration::from_millis(200));
    let account = client.shutdown(PATIENCE);
    Ok(match again.is_none() && account.unfinished.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The operator, and the platform.
fn operator() -> Result<ExitCode, Box<dyn Error>> {
    let platform = LocalPlatform::start(LocalOptions::default())?;
    platform.command(&name()?, &CommandType::new("reboot")?, None)?;
    let folder = env::temp_dir().join(format!("kaa-reboot-{}", process::id()));
    let first = start_device(&platform, &folder);
    let second = start_device(&platform, &folder);
    let _ = fs::remove_dir_all(&folder);
    let (first, second) = (first?, second?);

    platform.stop();
    let mut results = 0;
    for event in platform.events(Duration::ZERO) {
        if let EventKind::CommandResult { status_code, .. } = event.kind {
            println!("platform: the result is {status_code}");
            results += 1;
        }
    }
    let is_good = first.code() == Some(REBOOTS.into()) && second.success() && results == 1;
    Ok(match is_good {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Starts the device, and waits until it ends.
fn start_device(platform: &LocalPlatform, folder: &Path) -> Result<ExitStatus, Box<dyn Error>> {
    let mut device = Command::new(env::current_exe()?);
    Ok(device.arg(platform.url()).arg(folder).status()?)
}

fn name() -> Result<EndpointName, Box<dyn Error>> {
    Ok(EndpointName::parse("demo-v1", "JTjdbENzHh")?)
}
