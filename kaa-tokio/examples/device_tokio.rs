//! A device on tokio: it measures, obeys and follows its configuration, all at the same time.
//!
//! Each is a future of its own on one endpoint. Whichever is dropped, only its wait is lost: what was
//! submitted goes on.
//!
//! ```sh
//! cargo run --package kaa-tokio --example device_tokio
//! ```
//!
//! It starts a local platform inside this process, and ends when it has had a command and a
//! configuration. With `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN` set it speaks to that platform
//! instead, for 5 s if nothing comes.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "../../kaa-blocking/examples/quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::cell::Cell;
use std::error::Error;
use std::time::{Duration, SystemTime};

use kaa_tokio::config::{Answer, Applied, Rejected};
use kaa_tokio::names::CommandType;
use kaa_tokio::request::{RequestExt as _, Resend};
use kaa_tokio::telemetry::Sample;
use kaa_tokio::{Client, Endpoint};
use serde::Deserialize;
use serde_json::json;
use stage::Stage;

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Deserialize)]
struct Settings {
    interval_ms: u64,
}

#[tokio::main]
async fn main() -> Outcome {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone()).await?;
    let device = client.endpoint(&stage.name)?;

    // An operator's part, on a platform of our own.
    stage.send_command(&CommandType::new("identify")?, json!(null))?;
    stage.configure(json!({"interval_ms": 50}))?;

    // All in one task; the endpoint could be cloned into tasks of their own as well.
    let interval = Cell::new(Duration::from_millis(200));
    let told = async { tokio::try_join!(obey(&device), follow(&device, &interval)).map(drop) };
    tokio::select! {
        ended = measure(&device, &interval) => ended?,
        ended = told => ended?,
        () = tokio::time::sleep(stage.patience) => println!("nothing more came"),
    }
    // What is still under way is waited for.
    let account = client.shutdown(Duration::from_secs(5)).await;
    println!("{} left unfinished", account.unfinished.len());
    Ok(())
}

/// Sends a sample at every interval, whether or not there is a link.
async fn measure(device: &Endpoint, interval: &Cell<Duration>) -> Outcome {
    loop {
        let ts = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
        let sample = Sample::new(json!({"ts": ts, "temperature": 21}));
        device.send(&sample.resend(Resend::AfterLinkLoss))?;
        tokio::time::sleep(interval.get()).await;
    }
}

/// Answers a command. A real device goes on with the next one.
async fn obey(device: &Endpoint) -> Outcome {
    let mut commands = device.commands_of("identify")?;
    if let Some(command) = commands.next().await {
        println!("it blinks");
        command.done()?.await?;
    }
    Ok(())
}

/// Applies a configuration. A real device goes on with the next one.
async fn follow(device: &Endpoint, interval: &Cell<Duration>) -> Outcome {
    let mut configurations = device.configurations()?;
    while let Some(answer) = configurations.next().await {
        let Answer::Assigned(new) = answer else {
            continue;
        };
        match new.parse::<Settings>() {
            Ok(settings) => {
                interval.set(Duration::from_millis(settings.interval_ms.max(10)));
                println!("every {:?}", interval.get());
                device.request(&Applied::of(&new)).await?;
                break;
            }
            Err(error) => {
                let rejected = Rejected::of(&new, 400, error.to_string());
                device.request(&rejected).await?;
            }
        }
    }
    Ok(())
}
