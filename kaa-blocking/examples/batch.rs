//! A batch: samples that carry their own time, collected and sent together.
//!
//! A device that measures often and sends seldom saves messages, and loses nothing while it has no
//! link: each sample says when it was taken, so a second copy does no harm.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform --example batch
//! ```
//!
//! It starts a local platform inside this process. With `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN`
//! set it speaks to that platform instead.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::time::{Duration, SystemTime};

use kaa_blocking::Client;
use kaa_blocking::request::{RequestExt as _, Resend};
use kaa_blocking::telemetry::Batch;
use serde::Serialize;
use stage::Stage;

/// How many samples share a message. One has up to 256 KiB by default.
const BATCH: usize = 10;

#[derive(Clone, Serialize)]
struct Reading {
    /// Milliseconds since 1970. The settings of the application say which field is the time.
    ts: u64,
    temperature: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone())?;
    let device = client.endpoint(&stage.name)?;

    // What was measured since the last time, here once a second.
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_millis() as u64;
    let backlog: Vec<_> = (0..25)
        .map(|n| Reading {
            ts: now - (25 - n) * 1_000,
            temperature: 20.0 + n as f64 / 10.0,
        })
        .collect();

    let mut tickets = Vec::new();
    for readings in backlog.chunks(BATCH) {
        let batch = Batch::new(readings)
            // Telemetry is sent once unless it may be sent again: its own time makes that harmless.
            .resend(Resend::AfterLinkLoss)
            // After a day without a link nobody wants it.
            .expires_after(Duration::from_secs(24 * 3_600));
        tickets.push((readings.len(), device.submit(&batch)?));
    }
    for (count, ticket) in tickets {
        ticket.outcome()?;
        println!("{count} samples processed");
    }
    let _ = client.shutdown(Duration::from_secs(5));
    Ok(())
}
