//! The program `kaa`: a local platform for devices to speak to.
//!
//! For Unix systems, because of its control socket and signals.

mod answer;
mod args;
mod console;
mod control;
mod expect;
mod inbox;
mod lines;
mod outlet;
mod program;
mod setup;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Platform(args) => program::run(&args),
    }
}
