//! A client whose driver runs where you say: here on an executor of your own, on a thread of your own.
//!
//! ```sh
//! cargo run --package kaa-smol --example own_executor
//! ```
//!
//! It starts a local platform inside this process. With `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN`
//! set it speaks to that platform instead.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "../../kaa-blocking/examples/quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::thread;
use std::time::Duration;

use kaa_smol::Client;
use kaa_smol::telemetry::Sample;
use serde_json::json;
use smol::LocalExecutor;
use stage::Stage;

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let (client, driver) = smol::block_on(Client::with_driver(stage.options.clone()))?;

    // It ends when the client is closed, and the thread with it.
    let driving = thread::spawn(move || {
        let executor = LocalExecutor::new();
        let task = executor.spawn(driver);
        smol::block_on(executor.run(task));
    });

    // The handles are for any thread and any executor.
    let device = client.endpoint(&stage.name)?;
    smol::block_on(device.request(&Sample::new(json!({"temperature": 21}))))?;
    println!("processed");

    let account = smol::block_on(client.shutdown(Duration::from_secs(5)));
    println!("{} left unfinished", account.unfinished.len());
    driving.join().map_err(|_| "the driver panicked")?;
    println!("the driver has ended");
    Ok(())
}
