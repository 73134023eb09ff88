//! Configuration: a device that follows its configuration, and says what became of it.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform --example configuration
//! ```
//!
//! It starts a local platform inside this process, and assigns three configurations there. With
//! `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN` set it speaks to that platform instead, and follows
//! until nothing comes for 5 s.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::time::Duration;

use kaa_blocking::Client;
use kaa_blocking::config::{Answer, Applied, Rejected};
use serde::Deserialize;
use serde_json::json;
use stage::Stage;

#[derive(Debug, Deserialize)]
struct Settings {
    interval_s: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone())?;
    let device = client.endpoint(&stage.name)?;
    let mut settings = Settings { interval_s: 60 };

    // What is assigned comes first, then each change. Of changes that were not read only the newest
    // is kept: a device wants what is right now.
    let mut configurations = device.configurations()?;
    let mut operator = [
        json!({"interval_s": 5}),
        json!({"interval_s": 0}),
        json!({"interval_s": 10}),
    ]
    .into_iter();
    while let Some(answer) = configurations.next_within(stage.patience) {
        match answer {
            Answer::Unassigned => println!("none is assigned; every {} s", settings.interval_s),
            Answer::NotModified => {}
            Answer::Assigned(new) => match new.parse::<Settings>() {
                Ok(parsed) if parsed.interval_s > 0 => {
                    settings = parsed;
                    println!("every {} s", settings.interval_s);
                    // Only what is reported counts as applied.
                    device.request(&Applied::of(&new))?;
                }
                Ok(_) => {
                    println!("refused; still every {} s", settings.interval_s);
                    device.request(&Rejected::of(&new, 400, "interval_s is at least 1"))?;
                }
                Err(error) => {
                    println!("refused: {error}; still every {} s", settings.interval_s);
                    device.request(&Rejected::of(&new, 400, error.to_string()))?;
                }
            },
        }
        // An operator's part, on a platform of our own.
        match operator.next() {
            Some(next) => stage.configure(next)?,
            None if stage.is_local() => break,
            None => {}
        }
    }
    let _ = client.shutdown(Duration::from_secs(5));
    Ok(())
}
