//! The program `kaa`: a local platform for devices to speak to.
//!
//! For Unix systems, because of its control socket and signals.

mod cli;
mod platform;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Platform(args) => platform::run(&args),
    }
}
