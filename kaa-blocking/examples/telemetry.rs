//! Telemetry: samples of your own type, confirmed in three ways.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform --example telemetry
//! ```
//!
//! It starts a local platform inside this process. With `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN`
//! set it speaks to that platform instead.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::time::Duration;

use kaa_blocking::Client;
use kaa_blocking::names::Metric;
use kaa_blocking::request::{Confirm, RequestExt as _};
use kaa_blocking::telemetry::{Plain, Sample};
use serde::Serialize;
use stage::Stage;

/// Whatever serde writes as JSON is a sample.
#[derive(Serialize)]
struct Reading {
    temperature: f64,
    humidity: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone())?;
    let device = client.endpoint(&stage.name)?;

    // Waits until the platform has processed it. If the link is not there yet, it waits for that.
    let reading = Reading {
        temperature: 21.5,
        humidity: 40.0,
    };
    device.request(&Sample::new(&reading))?;
    println!("processed");

    // Goes on, and looks at the outcome later. PUBACK will do: the platform's front end has it.
    let sample = Sample::new(&reading).confirm(Confirm::Acknowledged);
    let mut ticket = device.submit(&sample)?;
    match ticket.wait(Duration::from_secs(10)) {
        Some(outcome) => outcome?,
        None => println!("not yet; the ticket can be asked again"),
    }
    println!("acknowledged");

    // Waits for nothing. A number by itself needs no JSON, and no confirmation.
    device.send(&Plain::with_unit(Metric::new("load")?, 0.7, "%"))?;

    let account = client.shutdown(Duration::from_secs(5));
    println!("{} left unfinished", account.unfinished.len());
    Ok(())
}
