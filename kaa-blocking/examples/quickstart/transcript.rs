//! Prints what is asked and what comes back, and counts.
#![allow(
    clippy::print_stdout,
    reason = "the transcript is what this program is for"
)]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use kaa_blocking::connection::Account;
use kaa_blocking::request::{Failure, Instances, Prepared, Request};
use kaa_blocking::upload::UploadToken;
use kaa_blocking::{Endpoint, Ticket, commands, config, software};
use serde_json::Value;

/// How many operations the platform has.
const OPERATIONS: usize = 14;

pub(crate) struct Transcript<'a> {
    device: &'a Endpoint,
    /// Whether every operation and every push has to come.
    is_local: bool,
    asked: u32,
    confirmed: u32,
    /// The operation that is being waited for.
    operation: String,
    /// Those that were confirmed.
    operations: BTreeSet<String>,
}

impl<'a> Transcript<'a> {
    pub(crate) fn new(device: &'a Endpoint, is_local: bool) -> Self {
        println!("device {}", device.name());
        Self {
            device,
            is_local,
            asked: 0,
            confirmed: 0,
            operation: String::new(),
            operations: BTreeSet::new(),
        }
    }

    /// Asks, waits, and prints both.
    pub(crate) fn ask<R: Request>(&mut self, what: &str, request: &R) -> Option<R::Response>
    where
        R::Response: Show,
    {
        self.announce(what, request);
        match self.device.submit(request) {
            Ok(ticket) => self.wait(ticket),
            Err(error) => {
                println!("  ! {error}");
                None
            }
        }
    }

    /// Prints what is asked.
    pub(crate) fn announce<R: Request>(&mut self, what: &str, request: &R) {
        self.asked += 1;
        println!("\n{what}");
        if let Ok(prepared) = Prepared::new(request) {
            let topic = prepared.shortened_topic(self.device.name(), &Instances::default());
            println!("  > {topic}\n    {}", text(prepared.payload()));
            self.operation = operation(&prepared);
        }
    }

    /// Waits for what was asked, and prints what comes back.
    pub(crate) fn wait<R: Request>(&mut self, mut ticket: Ticket<R>) -> Option<R::Response>
    where
        R::Response: Show,
    {
        let outcome = ticket.wait(Duration::from_secs(60));
        match outcome.unwrap_or(Err(Failure::Unanswered)) {
            Ok(response) => {
                self.confirmed += 1;
                self.operations.insert(self.operation.clone());
                println!("  < {}", response.show());
                Some(response)
            }
            Err(failure) => {
                println!("  ! {failure}");
                None
            }
        }
    }

    /// Prints what the platform sent by itself.
    pub(crate) fn pushed(&mut self, what: &str, push: Option<&impl Show>) {
        match push {
            Some(push) => println!("\n{what} came\n  < {}", push.show()),
            None => {
                println!("\n{what} did not come");
                // That is a failure, unless the platform may have none to send.
                self.asked += u32::from(self.is_local);
            }
        }
    }

    pub(crate) fn note(&self, text: &str) {
        println!("  ({text})");
    }

    pub(crate) fn verdict(&self, account: &Account) -> ExitCode {
        let of_all = match self.operations.len() {
            OPERATIONS => "all 14".into(),
            some => format!("{some} of the 14"),
        };
        println!(
            "\n{} of {} operations confirmed, among them {of_all} of the Kaa MQTT API",
            self.confirmed, self.asked
        );
        let is_whole = self.operations.len() == OPERATIONS || !self.is_local;
        match is_whole && self.confirmed == self.asked && account.unfinished.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

/// Which operation a request is: its resource without what the user names, such as a metric.
fn operation(request: &Prepared) -> String {
    let resource = request.resource();
    let first = resource.split('/').next().unwrap_or_default();
    let is_named = ["plain", "command", "result"].contains(&first);
    format!(
        "{:?} {}",
        request.service(),
        if is_named { first } else { resource }
    )
}

fn text(payload: &[u8]) -> &str {
    match std::str::from_utf8(payload) {
        Ok("") => "(empty)",
        Ok(text) => text,
        Err(_) => "(binary)",
    }
}

/// How what comes back is printed.
pub(crate) trait Show {
    fn show(&self) -> String;
}

impl Show for () {
    fn show(&self) -> String {
        "confirmed".into()
    }
}

impl Show for Value {
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Show for Vec<String> {
    fn show(&self) -> String {
        Value::from(self.clone()).to_string()
    }
}

impl Show for commands::Command {
    fn show(&self) -> String {
        let payload = self.payload_json().unwrap_or("(no payload)");
        format!("{} {}: {payload}", self.command_type(), self.id().as_json())
    }
}

impl Show for Vec<commands::Command> {
    fn show(&self) -> String {
        match self.is_empty() {
            true => "none".into(),
            false => self.iter().map(Show::show).collect::<Vec<_>>().join(", "),
        }
    }
}

impl Show for config::Answer {
    fn show(&self) -> String {
        match self {
            Self::NotModified => "not modified".into(),
            Self::Unassigned => "none is assigned".into(),
            Self::Assigned(it) => format!("{}: {}", it.config_id(), it.json()),
        }
    }
}

impl Show for software::Answer {
    fn show(&self) -> String {
        match self {
            Self::NotModified => "not modified".into(),
            Self::Unassigned => "none is assigned".into(),
            Self::Assigned(it) => format!("{}: {}", it.version(), it.json()),
        }
    }
}

impl Show for UploadToken {
    fn show(&self) -> String {
        "an upload token, which is a secret".into()
    }
}
