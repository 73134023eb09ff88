//! One device, every operation of the Kaa MQTT API, on tokio.
//!
//! It starts a local platform inside this process, connects a device to it over TCP, and goes
//! through all fourteen operations and the three kinds of pushes. With `KAA_URL`,
//! `KAA_APP_VERSION` and `KAA_TOKEN` set it speaks to that platform instead, and asks nothing
//! destructive of it; `KAA_USERNAME` and `KAA_PASSWORD` are the login there.
//!
//! ```sh
//! cargo run --package kaa-tokio --example quickstart_tokio
//! ```

#[path = "../../../kaa-blocking/examples/quickstart/stage.rs"]
mod stage;
#[path = "../../../kaa-blocking/examples/quickstart/transcript.rs"]
mod transcript;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use kaa_tokio::commands::{CommandResult, Pending, Report};
use kaa_tokio::metadata::{Delete, Get, Keys, Merge, ReplaceAll};
use kaa_tokio::names::{CommandType, MetadataKey, Metric};
use kaa_tokio::request::{Confirm, RequestExt as _};
use kaa_tokio::telemetry::{Batch, Plain, Sample};
use kaa_tokio::upload::GetToken;
use kaa_tokio::{Client, config, software};
use serde_json::{Value, json};
use tokio::time::timeout;

use stage::{Machine, Stage};
use transcript::Transcript;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Where the platform is: what `Options::from_env()` says, or one of our own.
    let stage = Stage::set()?;

    // The client connects in the background, and goes on connecting for as long as it lives.
    let client = Client::connect(stage.options.clone()).await?;
    client.ready(Duration::from_secs(20)).await?;
    let device = client.endpoint(&stage.name)?;
    let mut run = Transcript::new(device.name(), stage.is_local());

    // Telemetry: `request` waits until the platform says that it has processed it.
    let machine = Machine::look();
    let load = Plain::new(Metric::new("load")?, machine.load).confirm(Confirm::Answered);
    let sample = Sample::new(&machine);
    run.asks("send a sample", &sample)
        .got(device.request(&sample).await);
    let batch = Batch::new([machine, Machine::look()]);
    run.asks("send a batch of two", &batch)
        .got(device.request(&batch).await);
    run.asks("send a plain value", &load)
        .got(device.request(&load).await);

    // Metadata. `ReplaceAll` deletes what it does not mention, so what is not ours is spared.
    if stage.is_local() {
        let all = json!({"name": "Sensor 1", "deviceModel": "example model", "areaId": 7});
        let replace = ReplaceAll::new(all);
        run.asks("replace all metadata", &replace)
            .got(device.request(&replace).await);
        let merge = Merge::new(json!({"deviceModel": "new model"}));
        run.asks("merge metadata", &merge)
            .got(device.request(&merge).await);
    }
    run.asks("list the metadata keys", &Keys)
        .got(device.request(&Keys).await);
    let read = Get::all().typed::<Value>();
    run.asks("read all metadata", &read)
        .got(device.request(&read).await);
    if stage.is_local() {
        let delete = Delete::new([MetadataKey::new("areaId")?]);
        run.asks("delete a metadata key", &delete)
            .got(device.request(&delete).await);
    }

    // Commands: observe a type, run what comes, answer it. The platform repeats a command until
    // it has the result; it is surfaced here once.
    let switch_light = CommandType::new("switch-light")?;
    let mut commands = device.commands([switch_light.clone()])?;
    stage.send_command(&switch_light, json!({"on": true}))?;
    let command = timeout(stage.patience, commands.next())
        .await
        .ok()
        .flatten();
    run.pushed("a command", command.as_deref());
    if let Some(command) = command {
        let result = CommandResult::ok().with_payload(&json!({"light": "on"}))?;
        run.asks("report its result", &Report::of(&command, result.clone()))
            .got(command.respond(result)?.await);
    }
    let pending = Pending::new(CommandType::new("reboot")?);
    run.asks("list pending commands", &pending)
        .got(device.request(&pending).await);

    // Configuration: observe it. What there is comes first, then every change. Apply it, and
    // report it as applied.
    let mut configurations = device.configurations()?;
    let mut newest = timeout(stage.patience, configurations.next())
        .await
        .ok()
        .flatten();
    run.pushed("the configuration so far", newest.as_ref());
    if stage.is_local() {
        stage.configure(json!({"key": "value", "array": ["value2"]}))?;
        newest = timeout(stage.patience, configurations.next())
            .await
            .ok()
            .flatten();
        run.pushed("a new configuration", newest.as_ref());
    }
    if let Some(config::Answer::Assigned(configuration)) = newest {
        let applied = config::Applied::of(&configuration);
        run.asks("report it as applied", &applied)
            .got(device.request(&applied).await);
    }
    let get = config::Get::new();
    run.asks("read the configuration", &get)
        .got(device.request(&get).await);

    // Software: observing says what runs; take the update, then say what runs now. Only our own
    // platform is told of versions that were never installed.
    if stage.is_local() {
        let mut updates = device.software_updates("0.0.1")?;
        stage.offer_software("0.0.2", json!({"link": "https://example.com/fw-0.0.2.bin"}))?;
        let offer = timeout(stage.patience, updates.next()).await.ok().flatten();
        run.pushed("a software update", offer.as_ref());
        if let Some(software::Answer::Assigned(update)) = offer {
            let current = software::ReportCurrent::new(update.version());
            run.asks("report the new version", &current)
                .got(device.request(&current).await);
        }
    }
    let get = software::Get::new();
    run.asks("ask for software", &get)
        .got(device.request(&get).await);

    // Uploads go over HTTP, with a token from here.
    let token = run
        .asks("get an upload token", &GetToken)
        .got(device.request(&GetToken).await);
    if let Some(token) = token {
        let upload = token.binary_data(Some("snapshot.jpg"));
        run.note(&format!(
            "upload with it: {} {}",
            upload.method(),
            upload.path()
        ));
    }

    // What is still under way is waited for; the account says how it ended.
    let account = client.shutdown(Duration::from_secs(5)).await;
    Ok(run.verdict(&account))
}
