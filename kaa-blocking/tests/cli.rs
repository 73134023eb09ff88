//! The program `kaa`, driven as a person or a script would: arguments, pipes, signals and a real
//! terminal, against the local platform, and once through Mosquitto. Everything waits for what it
//! needs, nothing for a fixed time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

#[path = "cli/assignments.rs"]
mod assignments;
#[path = "cli/broker.rs"]
mod broker;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/exits.rs"]
mod exits;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/input.rs"]
mod input;
#[path = "cli/kit.rs"]
mod kit;
#[path = "cli/operations.rs"]
mod operations;
#[path = "cli/options.rs"]
mod options;
#[path = "cli/profiles.rs"]
mod profiles;
#[path = "cli/telemetry.rs"]
mod telemetry;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/uploads.rs"]
mod uploads;
