//! Metadata: what is known of the device, read and changed.
//!
//! It only touches keys of its own. `ReplaceAll`, which deletes every key that it does not mention, is
//! shown in the quickstart.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform --example metadata
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
use kaa_blocking::metadata::{Delete, Get, Keys, Merge};
use kaa_blocking::names::MetadataKey;
use serde::{Deserialize, Serialize};
use stage::Stage;

/// The keys of this example. Those that are missing are read as `None`.
#[derive(Debug, Deserialize, Serialize)]
struct About {
    example_model: Option<String>,
    example_floor: Option<i32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone())?;
    let device = client.endpoint(&stage.name)?;

    // Sets these two and leaves all others alone.
    let about = About {
        example_model: Some("TH-1".into()),
        example_floor: Some(3),
    };
    device.request(&Merge::new(&about))?;

    // Reads them back, as the same type.
    let model = MetadataKey::new("example_model")?;
    let floor = MetadataKey::new("example_floor")?;
    let get = Get::only([model.clone(), floor.clone()]).typed::<About>();
    println!("{:?}", device.request(&get)?);

    device.request(&Delete::new([floor.clone()]))?;
    println!("{:?}", device.request(&get)?);

    let keys = device.request(&Keys)?;
    println!(
        "the floor is among the keys: {}",
        keys.contains(&floor.as_str().into())
    );

    device.request(&Delete::new([model]))?;
    let _ = client.shutdown(Duration::from_secs(5));
    Ok(())
}
