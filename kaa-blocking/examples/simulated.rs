//! Your own device in the simulator: its logic over links, disks and power that fail, in simulated time.
//!
//! The device measures once a minute, and opens a valve when it is told to. What may not be is that one
//! command opens it twice, or that a sample is never confirmed. It plays 20 seeds, each with another
//! weather; for one that fails it prints the least that has to happen for it.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform,store --example simulated
//! ```
//!
//! The simulator is `kaa_tests::sim` of the repository. It has a platform of its own, so no other is asked.

#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "it says what it does, and a panic is how a program tells the simulator what may not be"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use kaa_blocking::Options;
use kaa_blocking::names::EndpointName;
use kaa_blocking::request::{Adjusted, RequestExt as _, Resend};
use kaa_blocking::telemetry::Sample;
use kaa_proto::client::{Commands, Endpoint, Ticket};
use kaa_tests::sim::{
    Birth, COMMAND_TYPES, Device, Failure, Moment, Plan, Program, Storage, Summary, play_with,
    shorten_with,
};

/// The device. What it remembers over a crash is what a test wants to know, and the valve.
struct Valve {
    name: EndpointName,
    options: Options,
    /// The commands that opened it, by ID: one can see that on the valve.
    opened_by: BTreeSet<String>,
    endpoint: Option<Endpoint>,
    commands: Option<Commands>,
    samples: Vec<Ticket<Adjusted<Sample<f64>>>>,
}

impl Program for Valve {
    fn names(&self) -> Vec<EndpointName> {
        vec![self.name.clone()]
    }

    fn options(&self) -> Options {
        self.options.clone()
    }

    /// The program begins, anew after each crash.
    fn start(&mut self, moment: &mut Moment<'_>, _: Birth) {
        self.samples.clear();
        self.endpoint = moment.client.endpoint(&self.name).ok();
        // The simulator's operators know these types only.
        let observe = |endpoint: &Endpoint| endpoint.commands_of(COMMAND_TYPES[0]).ok();
        self.commands = self.endpoint.as_ref().and_then(observe);
    }

    /// Something may have happened. It must not block.
    fn live(&mut self, moment: &mut Moment<'_>) {
        while let Some(command) = self.commands.as_mut().and_then(Commands::try_next) {
            let is_new = self.opened_by.insert(command.id().as_json().to_owned());
            // An interrupted one is looked at first: it may have opened the valve before the crash.
            let may_be_known = command.is_interrupted() || moment.storage != Storage::Good;
            assert!(is_new || may_be_known, "a command opened the valve twice");
            if let Err(error) = command.done() {
                moment.notes.push(error.to_string());
            }
        }
        self.samples
            .retain_mut(|sample| sample.try_outcome().is_none());
        if let (Some(endpoint), false) = (&self.endpoint, moment.is_calm) {
            let sample = Sample::new(0.5).resend(Resend::AfterLinkLoss);
            self.samples.extend(endpoint.submit(&sample).ok());
        }
        moment.again_in = Duration::from_secs(60);
    }

    /// In calm weather this has to come to be.
    fn is_done(&self) -> bool {
        self.samples.is_empty()
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh")?;
    let options = Options::new("mqtt://127.0.0.1")?;
    let play = |plan: &Plan| -> Result<Summary, Box<Failure>> {
        play_with(plan, |simulation| {
            let device = Device {
                has_disk: true,
                answer_within: Duration::from_secs(30),
            };
            let valve = Valve {
                name: name.clone(),
                options: options.clone(),
                opened_by: BTreeSet::new(),
                endpoint: None,
                commands: None,
                samples: Vec::new(),
            };
            simulation.add(Box::new(valve), device);
        })
    };
    for seed in 0..20 {
        let plan = Plan {
            seed,
            steps: 2_000,
            ..Plan::default()
        };
        if let Err(failure) = play(&plan) {
            let failure = shorten_with(*failure, play);
            println!("seed {seed}: {}", failure.message);
            println!("{}", failure.transcript.join("\n"));
            return Ok(ExitCode::FAILURE);
        }
    }
    println!("20 seeds: each sample had its end, and no command opened the valve twice");
    Ok(ExitCode::SUCCESS)
}
