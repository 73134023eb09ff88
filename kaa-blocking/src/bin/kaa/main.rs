//! The program `kaa`: what a device can say to the Kaa platform, for people and scripts; and a
//! local platform for devices to speak to.
//!
//! For Unix systems, because of its signals, sockets and file modes.

mod cli;
mod commands;
mod config;
mod confirm;
mod connection;
mod doctor;
mod exec;
mod exit;
mod generate;
mod input;
mod json;
mod lines;
mod metadata;
mod outcome;
mod output;
mod plain;
mod platform;
mod problem;
mod profile;
mod progress;
mod request;
mod software;
mod stop;
mod telemetry;
mod time;
mod topics;
mod upload;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Telemetry(args) => telemetry::run(&args),
        Command::Plain(args) => plain::run(&args),
        Command::Metadata(args) => metadata::run(&args),
        Command::Commands(args) => commands::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Software(args) => software::run(&args),
        Command::Upload(args) => upload::run(&args),
        Command::Request(args) => request::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
        Command::Platform(args) => return platform::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    };
    let exit = done.unwrap_or_else(|problem| {
        output::say(&problem);
        problem.exit
    });
    exit.into()
}
