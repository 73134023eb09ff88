//! A software update: offered, downloaded with resume, checked, installed, and reported.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform --example software_update
//! ```
//!
//! It starts a local platform inside this process, and a small HTTP server that breaks off in the middle
//! of each file. The first update has a wrong checksum and is rejected; the second one is installed, which
//! here means that its file is in place. With `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN` set it speaks
//! to that platform instead, installs nothing, and says what is offered.

#![allow(clippy::print_stdout, reason = "it says what it does")]

mod download;
mod server;
#[path = "../quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::path::Path;
use std::time::Duration;
use std::{env, fs, process};

use kaa_blocking::software::{Answer, Rejected, ReportCurrent, Update};
use kaa_blocking::{Client, Endpoint};
use serde::Deserialize;
use serde_json::json;
use stage::Stage;

/// What the operator writes for an update. The platform passes it through; only `link` is a habit.
#[derive(Deserialize)]
struct Specification {
    /// Where the file is. It may expire: then the platform has to offer it again.
    link: String,
    /// SHA-256 of the file, in hexadecimal digits. It came over MQTT, so it is as good as that link.
    sha256: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone())?;
    let device = client.endpoint(&stage.name)?;
    if !stage.is_local() {
        let offered = device.request(&kaa_blocking::software::Get::new())?;
        println!("offered: {offered:?}");
        return Ok(());
    }
    let folder = env::temp_dir().join(format!("kaa-update-{}", process::id()));
    fs::create_dir_all(&folder)?;
    let followed = follow(&stage, &device, &folder);
    let _ = fs::remove_dir_all(&folder);
    let _ = client.shutdown(Duration::from_secs(5));
    followed
}

fn follow(stage: &Stage, device: &Endpoint, folder: &Path) -> Result<(), Box<dyn Error>> {
    // The device says what it runs before it asks: what is offered depends on that.
    let mut updates = device.software_updates("0.0.1")?;

    // An operator's part.
    let image = vec![7; 100_000];
    let link = server::serve(image.clone())?;
    let wrong = "00".repeat(32);
    stage.offer_software("0.0.2", json!({"link": link, "sha256": wrong}))?;

    while let Some(answer) = updates.next_within(stage.patience) {
        let Answer::Assigned(update) = answer else {
            continue;
        };
        println!("offered {}", update.version());
        match install(&update, folder) {
            Ok(()) => {
                // After the new version has come up: what runs now.
                device.request(&ReportCurrent::new(update.version()))?;
                println!("runs {}", update.version());
                return Ok(());
            }
            Err(error) => {
                device.request(&Rejected::of(&update, 400, error.to_string()))?;
                println!("rejected {}: {error}", update.version());
                // The operator mends it.
                let right = download::digest(&image);
                stage.offer_software("0.0.3", json!({"link": link, "sha256": right}))?;
            }
        }
    }
    Err("nothing was offered".into())
}

/// Downloads it, checks it, and puts it in place.
fn install(update: &Update, folder: &Path) -> Result<(), Box<dyn Error>> {
    let specification: Specification = update.parse()?;
    let part = download::part(folder, update.version());
    download::file(&specification.link, &part)?;
    if download::digest(&fs::read(&part)?) != specification.sha256 {
        fs::remove_file(&part)?;
        return Err("the checksum is another one".into());
    }
    // In place at once or not at all.
    fs::rename(&part, folder.join("image"))?;
    Ok(())
}
