//! The program `kaa`: what a device can say to the Kaa platform, for people and scripts; and a
//! local platform for devices to speak to.
//!
//! For Unix systems, because of its signals, sockets and file modes.

mod cli;
mod confirm;
mod connection;
mod doctor;
mod exit;
mod outcome;
mod output;
mod plain;
mod platform;
mod problem;
mod stop;
mod time;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Plain(args) => plain::run(&args),
        Command::Platform(args) => return platform::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    let exit = done.unwrap_or_else(|problem| {
        output::say(&problem);
        problem.exit
    });
    exit.into()
}
