//! Commands: a device that switches a light when it is told to.
//!
//! Each command comes once, however often the platform repeats it. It is answered when its effect is
//! there; one that cannot be carried out is answered with a failure.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform --example commands
//! ```
//!
//! It starts a local platform inside this process, and gives three commands there. With `KAA_URL`,
//! `KAA_APP_VERSION` and `KAA_TOKEN` set it speaks to that platform instead, and waits for commands
//! until none comes for 5 s. What becomes of a command when the program crashes: the example `reboot`.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::time::Duration;

use kaa_blocking::commands::CommandResult;
use kaa_blocking::names::CommandType;
use kaa_blocking::{Client, Command};
use serde::Deserialize;
use serde_json::json;
use stage::Stage;

#[derive(Deserialize)]
struct SwitchLight {
    on: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone())?;
    let device = client.endpoint(&stage.name)?;

    let [switch, blink] = [
        CommandType::new("switch-light")?,
        CommandType::new("blink")?,
    ];
    let mut commands = device.commands([switch.clone(), blink.clone()])?;

    // An operator's part, on a platform of our own.
    stage.send_command(&switch, json!({"on": true}))?;
    stage.send_command(&switch, json!({"on": "perhaps"}))?;
    stage.send_command(&blink, json!(null))?;

    let mut expected = stage.is_local().then_some(3);
    while expected != Some(0) {
        let Some(command) = commands.next_within(stage.patience) else {
            break;
        };
        obey(command)?;
        expected = expected.map(|count| count - 1);
    }
    let _ = client.shutdown(Duration::from_secs(5));
    Ok(())
}

fn obey(command: Command) -> Result<(), Box<dyn Error>> {
    let kind = command.command_type().clone();
    let reported = match kind.as_str() {
        "switch-light" => match command.payload::<SwitchLight>() {
            Ok(SwitchLight { on }) => {
                println!("the light is {}", if on { "on" } else { "off" });
                let result = CommandResult::ok().with_payload(&json!({"on": on}))?;
                command.respond(result)?
            }
            Err(error) => {
                println!("{kind}: {error}");
                command.reject(400, error.to_string())?
            }
        },
        _ => {
            println!("{kind}: there is no such thing here");
            command.reject(501, "not on this model")?
        }
    };
    // The platform repeats a command until it has the result. It is kept, and sent again.
    reported.outcome()?;
    Ok(())
}
