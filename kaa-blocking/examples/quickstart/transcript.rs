//! Prints what is asked and what comes back, and counts. Shared by the quickstarts of all
//! runtimes.
#![allow(
    clippy::print_stdout,
    reason = "the transcript is what this program is for"
)]

use std::collections::BTreeSet;
use std::fmt::Display;
use std::process::ExitCode;

use kaa_proto::connection::Account;
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Instances, Prepared, Request};
use kaa_proto::upload::UploadToken;
use kaa_proto::{commands, config, software};
use serde_json::Value;

/// How many operations the platform has.
const OPERATIONS: usize = 14;

pub(crate) struct Transcript {
    device: EndpointName,
    /// Whether every operation and every push has to come.
    is_local: bool,
    asked: u32,
    confirmed: u32,
    /// Those that were confirmed.
    operations: BTreeSet<String>,
}

impl Transcript {
    pub(crate) fn new(device: &EndpointName, is_local: bool) -> Self {
        println!("device {device}");
        Self {
            device: device.clone(),
            is_local,
            asked: 0,
            confirmed: 0,
            operations: BTreeSet::new(),
        }
    }

    /// Prints what is asked.
    pub(crate) fn asks<R: Request>(&mut self, what: &str, request: &R) -> Asked<'_> {
        self.asked += 1;
        println!("\n{what}");
        let prepared = Prepared::new(request).ok();
        if let Some(prepared) = &prepared {
            let topic = prepared.shortened_topic(&self.device, &Instances::default());
            println!("  > {topic}\n    {}", text(prepared.payload()));
        }
        Asked {
            operation: prepared.as_ref().map(operation),
            run: self,
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

/// What was asked, and not answered yet.
pub(crate) struct Asked<'a> {
    run: &'a mut Transcript,
    operation: Option<String>,
}

impl Asked<'_> {
    /// Prints what came back, and gives it if that is an answer.
    pub(crate) fn got<T: Show>(self, outcome: Result<T, impl Display>) -> Option<T> {
        match outcome {
            Ok(response) => {
                self.run.confirmed += 1;
                self.run.operations.extend(self.operation);
                println!("  < {}", response.show());
                Some(response)
            }
            Err(failure) => {
                println!("  ! {failure}");
                None
            }
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
