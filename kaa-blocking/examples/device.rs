//! A device as one would write it: it measures, goes on doing so while it is offline, runs
//! commands, and says goodbye when it is told to end.
//!
//! Where the platform is and which endpoint this is say `KAA_URL`, `KAA_APP_VERSION` and
//! `KAA_TOKEN`. `kaa doctor` judges it as any other device:
//!
//! ```sh
//! cargo build --package kaa-blocking --example device
//! cargo run --package kaa-blocking --features cli --bin kaa -- \
//!     doctor --device -- target/debug/examples/device 10
//! ```

use std::error::Error;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use std::{env, io};

use kaa_blocking::commands::CommandResult;
use kaa_blocking::connection::LinkState;
use kaa_blocking::names::EndpointName;
use kaa_blocking::request::{RequestExt as _, Resend};
use kaa_blocking::telemetry::Sample;
use kaa_blocking::{Client, Endpoint, Options};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// How often it measures.
const PERIOD: Duration = Duration::from_millis(300);

/// How long it waits for an answer before it measures again, while there is a link. The request goes on
/// being confirmed, and sent again after a lost link, behind its back.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    // The keep alive, in seconds.
    let keep_alive = env::args().nth(1).map_or(Ok(60), |word| word.parse())?;
    let keep_alive = Duration::from_secs(keep_alive);
    let options = Options::from_env()?.connection(|options| options.keep_alive(keep_alive));
    let client = Client::connect(options)?;
    let device = client.endpoint(&EndpointName::from_env()?)?;

    let (end, ended) = mpsc::channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || signals.forever().next().map(|_| end.send(())));

    let light = device.clone();
    thread::spawn(move || switch_light(&light));

    for n in 1_u64.. {
        let sample = Sample::new(json!({"n": n, "temperature": 21}));
        let ticket = device.submit(&sample.resend(Resend::AfterLinkLoss));
        // A full queue loses a sample, not the device.
        if let (Ok(mut ticket), LinkState::Up) = (ticket, client.link_state()) {
            ticket.wait(PATIENCE);
        }
        if ended.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
            break;
        }
    }
    // What is queued is sent, and the platform told that this is no accident.
    client.shutdown(Duration::from_secs(5));
    Ok(())
}

/// Each command comes once, however often the platform repeats it.
fn switch_light(device: &Endpoint) -> io::Result<()> {
    let commands = device.commands_of("switch-light");
    let mut times = 0_u64;
    for command in commands.map_err(io::Error::other)? {
        times += 1;
        let result = CommandResult::ok().with_payload(&json!({"times": times}));
        let answered = command.respond(result.map_err(io::Error::other)?);
        // The result is on its way, and is sent again if the command comes again.
        drop(answered);
    }
    Ok(())
}
