//! A program on a device: it sends, obeys, configures itself, and remembers what it was told.

use std::collections::{BTreeMap, BTreeSet};

use kaa_proto::client::{Client, Commands, Configurations, Endpoint, Options, Ticket};
use kaa_proto::commands::CommandResult;
use kaa_proto::config::{self, Answer};
use kaa_proto::endpoint::{EndpointOptions, Recovered, Subscriptions, WhenInterrupted};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::request::{Adjusted, RequestExt as _, Resend};
use kaa_proto::store::{Disk, Log, LogOptions};
use kaa_proto::telemetry::Sample;
use kaa_tests::dice::Dice;
use serde_json::{Value, json};

/// A command, by type and identifier.
pub(crate) type Key = (String, String);

/// The types of commands, and what becomes of them when they are interrupted.
pub(crate) const TYPES: [(&str, WhenInterrupted); 3] = [
    ("ask", WhenInterrupted::Ask),
    ("fail", WhenInterrupted::Fail),
    ("again", WhenInterrupted::RunAgain),
];

/// What the program knows, having been told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Samples that were submitted, and may be sent again.
    pub(crate) repeatable: BTreeSet<u64>,
    /// Samples that were submitted, and may be sent only once.
    pub(crate) once: BTreeSet<u64>,
    /// Samples that are stored.
    pub(crate) stored: BTreeSet<u64>,
    /// Samples that are confirmed.
    pub(crate) confirmed: BTreeSet<u64>,
    /// Samples that were taken back, or ended otherwise.
    pub(crate) ended: BTreeSet<u64>,
    /// Commands that were executed.
    pub(crate) executed: BTreeSet<Key>,
    /// Commands that came marked as interrupted; they were not executed.
    pub(crate) interrupted: BTreeSet<Key>,
    /// The configuration whose report was confirmed.
    pub(crate) applied: Option<String>,
    /// Configurations that were read.
    pub(crate) configurations: usize,
}

pub(crate) struct App {
    pub(crate) client: Client,
    pub(crate) facts: Facts,
    /// Whether it gives commands back now and then: the platform offers them again only when it is
    /// asked to.
    pub(crate) is_moody: bool,
    /// What each sample has beside its number, in bytes.
    pub(crate) padding: usize,
    /// What an earlier run left.
    pub(crate) recovered: Recovered,
    device: Endpoint,
    commands: Commands,
    configurations: Configurations,
    tickets: BTreeMap<u64, Ticket<Adjusted<Sample<Value>>>>,
    applying: Option<(String, Ticket<Adjusted<config::Applied>>)>,
    /// Commands that take their time.
    held: Vec<kaa_proto::client::Command>,
}

pub(crate) fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

/// Those of a client that keeps its store on `disk`. The log is small, so that it is rewritten often.
pub(crate) fn options<D: Disk + Clone + Sync + 'static>(disk: &D) -> Options {
    let mut endpoint = EndpointOptions::default().subscriptions(Subscriptions::PerEndpoint);
    for (name, policy) in TYPES {
        endpoint = endpoint.interrupted(CommandType::new(name).unwrap(), policy);
    }
    let disk = disk.clone();
    Options::new("mqtt://127.0.0.1")
        .unwrap()
        .connection(|options| options.endpoint(endpoint))
        .store(move || Ok(Log::new(disk.clone(), LogOptions::default())))
}

/// The number of a sample.
pub(crate) fn number(payload: &[u8]) -> Option<u64> {
    let sample: Value = serde_json::from_slice(payload).ok()?;
    sample["n"].as_u64()
}

impl App {
    pub(crate) fn start(client: Client) -> Self {
        let device = client.endpoint(&name()).unwrap();
        let recovered = device.take_recovered().unwrap_or_default();
        let types = TYPES.map(|(name, _)| CommandType::new(name).unwrap());
        Self {
            facts: Facts::default(),
            is_moody: false,
            padding: 0,
            recovered,
            commands: device.commands(types).unwrap(),
            configurations: device.configurations().unwrap(),
            tickets: BTreeMap::new(),
            applying: None,
            held: Vec::new(),
            device,
            client,
        }
    }

    /// Sends a sample.
    pub(crate) fn send(&mut self, n: u64, resend: Resend) {
        let padding = " ".repeat(self.padding);
        let sample = Sample::new(json!({"n": n, "padding": padding}));
        let sample = sample.resend(resend).durable();
        let Ok(ticket) = self.device.submit(&sample) else {
            return;
        };
        match resend {
            Resend::AfterLinkLoss => self.facts.repeatable.insert(n),
            Resend::Never => self.facts.once.insert(n),
        };
        self.tickets.insert(n, ticket);
    }

    /// Takes a sample back.
    pub(crate) fn cancel(&mut self, n: u64) {
        if self.tickets.get(&n).is_some_and(Ticket::cancel) {
            self.facts.ended.insert(n);
        }
    }

    /// Sends something that needs no store.
    pub(crate) fn chat(&self) {
        let _ = self.device.send(&kaa_proto::metadata::Keys);
    }

    /// Takes note of all that it was told, and obeys. The dice decide how hard it works.
    pub(crate) fn live(&mut self, dice: &mut Dice) {
        self.take_note();
        while let Some(command) = self.commands.try_next() {
            self.obey(command, dice);
        }
        if dice.below(2) == 0 {
            for command in self.held.drain(..) {
                let _ = command.done();
            }
        }
        if let Some(Answer::Assigned(configuration)) = self.configurations.try_next() {
            self.facts.configurations += 1;
            let applied = config::Applied::of(&configuration).durable();
            if let Ok(ticket) = self.device.submit(&applied) {
                self.applying = Some((configuration.config_id().to_owned(), ticket));
            }
        }
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_idle(&self) -> bool {
        let statistics = self.client.statistics();
        statistics.queued == 0 && statistics.in_flight == 0 && self.held.is_empty()
    }

    fn take_note(&mut self) {
        let facts = &mut self.facts;
        self.tickets.retain(|n, ticket| {
            if ticket.try_stored() == Some(Ok(())) {
                facts.stored.insert(*n);
            }
            let outcome = ticket.try_outcome();
            match outcome {
                None => return true,
                Some(Ok(())) => facts.confirmed.insert(*n),
                Some(Err(_)) => facts.ended.insert(*n),
            };
            false
        });
        if let Some((id, ticket)) = &mut self.applying {
            if let Some(outcome) = ticket.try_outcome() {
                if outcome.is_ok() {
                    facts.applied = Some(std::mem::take(id));
                }
                self.applying = None;
            }
        }
    }

    fn obey(&mut self, command: kaa_proto::client::Command, dice: &mut Dice) {
        let key = (
            command.command_type().to_string(),
            command.id().as_json().to_owned(),
        );
        if command.is_interrupted() {
            assert!(key.0 == "ask", "{key:?} came marked");
            self.facts.interrupted.insert(key);
            let _ = command.respond(CommandResult::failed(503, "nobody knows"));
            return;
        }
        if self.is_moody && dice.below(8) == 0 {
            // Not now: it is given back.
            return;
        }
        let is_new = self.facts.executed.insert(key.clone());
        assert!(is_new, "{key:?} was executed twice");
        match dice.below(2) {
            0 => drop(command.done()),
            _ => self.held.push(command),
        }
    }
}
