//! A device that sleeps most of the time: it wakes, sends what it has, and sleeps again.
//!
//! With `eager_start` CONNECT, subscriptions and the sample leave in one flight, so that it is awake for
//! as few round trips as there can be. With a store, what it could not send is sent the next time.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform,store --example sleepy
//! ```
//!
//! It starts a local platform inside this process, and itself as the device three times, each in a
//! process of its own; the first time there is no network. With `KAA_URL`, `KAA_APP_VERSION` and
//! `KAA_TOKEN` set the device speaks to that platform instead.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::path::Path;
use std::process::{self, Command, ExitStatus};
use std::time::{Duration, SystemTime};
use std::{env, fs};

use kaa_blocking::names::EndpointName;
use kaa_blocking::request::{RequestExt as _, Resend};
use kaa_blocking::telemetry::Sample;
use kaa_blocking::{Client, Options};
use serde_json::json;
use stage::Stage;

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1) {
        Some(folder) => wake(folder.as_ref()),
        None => time_passes(),
    }
}

/// The device, from one sleep to the next one. What outlives the sleep is in `folder`.
fn wake(folder: &Path) -> Result<(), Box<dyn Error>> {
    let options = Options::from_env()?
        .connection(|connection| connection.eager_start(true))
        .store_in(folder);
    let client = Client::connect(options)?;
    let device = client.endpoint(&EndpointName::from_env()?)?;
    let before = device.take_recovered().map_or(0, |left| left.resumed.len());

    // It carries its own time and may be sent again; the store has it before it leaves.
    let ts = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    let sample = Sample::new(json!({"ts": ts, "battery": 3.6}))
        .resend(Resend::AfterLinkLoss)
        .durable();
    let mut ticket = device.submit(&sample)?;
    // As long as it may be awake.
    match ticket.wait(Duration::from_secs(3)) {
        Some(outcome) => outcome?,
        None => println!("no network; it will be sent the next time"),
    }

    let account = client.shutdown(Duration::from_secs(1));
    let confirmed = client.statistics().requests.confirmed;
    let kept = account.unfinished.iter().filter(|(_, left)| left.stored);
    let kept = kept.count();
    println!("{before} from before, {confirmed} confirmed, {kept} kept");
    Ok(())
}

/// The platform, and what wakes the device.
fn time_passes() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let there = stage.options.target().to_string();
    let folder = env::temp_dir().join(format!("kaa-sleepy-{}", process::id()));
    let wake = |url: &str| -> Result<ExitStatus, Box<dyn Error>> {
        let mut device = Command::new(env::current_exe()?);
        device.arg(&folder).env("KAA_URL", url);
        device.env("KAA_APP_VERSION", stage.name.app_version().as_str());
        device.env("KAA_TOKEN", stage.name.token().as_str());
        if url != there {
            for of_tls in ["KAA_CA_FILE", "KAA_CERT_FILE", "KAA_KEY_FILE"] {
                device.env_remove(of_tls);
            }
        }
        Ok(device.status()?)
    };
    // Nobody listens at the first.
    let woken = ["mqtt://127.0.0.1:9", &there, &there].map(wake);
    let _ = fs::remove_dir_all(&folder);
    for status in woken {
        if !status?.success() {
            return Err("the device failed".into());
        }
    }
    Ok(())
}
