//! What the platform wants of an endpoint: commands, configurations, software.

use std::collections::{BTreeMap, BTreeSet};

use kaa_proto::client::{Command, Commands, Configurations, Endpoint, SoftwareUpdates, Ticket};
use kaa_proto::commands::CommandResult;
use kaa_proto::names::CommandType;
use kaa_proto::platform::EventKind;
use kaa_proto::request::{Request, SubmitError};
use kaa_proto::{config, software};
use serde_json::Value;

use super::super::COMMAND_TYPES;
use super::super::program::{Moment, Order, Storage};
use crate::dice::Dice;

/// A command, by type and identifier.
type Key = (String, i64);

/// What is answered to a command that was interrupted.
const INTERRUPTED: u16 = 503;

pub(super) struct Service {
    token: String,
    commands: Option<Commands>,
    configurations: Option<Configurations>,
    updates: Option<SoftwareUpdates>,
    /// Commands that take their time.
    held: Vec<Command>,
    ordered: BTreeSet<Key>,
    executed: BTreeSet<Key>,
    /// Those that came marked as interrupted.
    interrupted: BTreeSet<Key>,
    /// The results that the platform took.
    results: BTreeMap<Key, Vec<i64>>,
    /// Configurations in the order in which they were assigned.
    configured: Vec<String>,
    /// The one that was read last, in this process or before.
    read: Option<String>,
    /// The one that the platform knows as applied.
    applied: Option<String>,
    /// What is to be reported, until the platform has confirmed it.
    to_report: Option<config::Applied>,
    to_tell: Option<software::ReportCurrent>,
    /// The reports under way.
    reporting: Option<Ticket<config::Applied>>,
    telling: Option<Ticket<software::ReportCurrent>>,
    versions: Vec<String>,
    current: String,
    reported: Option<String>,
}

impl Service {
    pub(super) fn new(token: &str) -> Self {
        Self {
            token: token.to_owned(),
            commands: None,
            configurations: None,
            updates: None,
            held: Vec::new(),
            ordered: BTreeSet::new(),
            executed: BTreeSet::new(),
            interrupted: BTreeSet::new(),
            results: BTreeMap::new(),
            configured: Vec::new(),
            read: None,
            applied: None,
            to_report: None,
            to_tell: None,
            reporting: None,
            telling: None,
            versions: Vec::new(),
            current: "1.0.0".to_owned(),
            reported: None,
        }
    }

    pub(super) fn start(&mut self, endpoint: &Endpoint) {
        self.observe(endpoint);
    }

    fn observe(&mut self, endpoint: &Endpoint) {
        let types = COMMAND_TYPES
            .iter()
            .filter_map(|word| CommandType::new(word).ok());
        let types: Vec<_> = types.collect();
        if self.commands.is_none() {
            self.commands = taken(endpoint.commands(types));
        }
        if self.configurations.is_none() {
            self.configurations = taken(endpoint.configurations());
        }
        if self.updates.is_none() {
            self.updates = taken(endpoint.software_updates(&self.current));
        }
    }

    /// It observes nothing for a while.
    pub(super) fn stop(&mut self) {
        self.commands = None;
        self.configurations = None;
        self.updates = None;
    }

    pub(super) fn handle_crash(&mut self, storage: Storage) {
        self.held.clear();
        self.stop();
        (self.to_report, self.to_tell) = (None, None);
        (self.reporting, self.telling) = (None, None);
        match storage {
            // One that may be run again may be, after a crash.
            Storage::Good => self.executed.retain(|(of, _)| of != "again"),
            // It remembers nothing.
            Storage::None | Storage::Unreliable | Storage::Doubtful => self.executed.clear(),
        }
    }

    pub(super) fn live(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint) {
        self.observe(endpoint);
        let is_calm = moment.is_calm;
        while let Some(command) = self.commands.as_mut().and_then(Commands::try_next) {
            self.obey(command, moment.dice, is_calm);
        }
        if is_calm || moment.dice.below(2) == 0 {
            for command in self.held.drain(..) {
                // Refused while the queue is full: it is given back, and comes again.
                if let Err(refused) = command.done() {
                    let key = key(&refused.command);
                    self.executed.remove(&key);
                }
            }
        }
        while let Some(answer) = self
            .configurations
            .as_mut()
            .and_then(Configurations::try_next)
        {
            if let config::Answer::Assigned(configuration) = answer {
                self.configure(&configuration);
            }
        }
        while let Some(answer) = self.updates.as_mut().and_then(SoftwareUpdates::try_next) {
            if let software::Answer::Assigned(update) = answer {
                self.current = update.version().to_owned();
                self.to_tell = Some(software::ReportCurrent::new(update.version()));
                self.telling = None;
            }
        }
        report(endpoint, &mut self.to_report, &mut self.reporting);
        report(endpoint, &mut self.to_tell, &mut self.telling);
    }

    fn obey(&mut self, command: Command, dice: &mut Dice, is_calm: bool) {
        let key = key(&command);
        assert!(self.ordered.contains(&key), "{key:?} was never invoked");
        if command.is_interrupted() {
            assert!(key.0 == "ask", "{key:?} came marked as interrupted");
            self.interrupted.insert(key);
            drop(command.respond(CommandResult::failed(INTERRUPTED, "nobody knows")));
            return;
        }
        if !is_calm && dice.below(8) == 0 {
            // Not now: it is given back.
            return;
        }
        let is_new = self.executed.insert(key.clone());
        assert!(is_new, "{key:?} was executed twice");
        match dice.below(2) {
            0 => {
                if command.done().is_err() {
                    self.executed.remove(&key);
                }
            }
            _ => self.held.push(command),
        }
    }

    fn configure(&mut self, configuration: &config::Configuration) {
        let id = configuration.config_id();
        let is_known = self.configured.iter().any(|known| known == id);
        assert!(is_known, "the configuration {id} was never assigned");
        let value = configuration
            .value()
            .unwrap_or_else(|error| panic!("{error}"));
        let token = value.get("token").and_then(Value::as_str);
        assert_eq!(
            token,
            Some(&*self.token),
            "another endpoint's configuration"
        );
        self.read = Some(id.to_owned());
        self.to_report = Some(config::Applied::of(configuration));
        self.reporting = None;
    }

    pub(super) fn handle_order(&mut self, order: &Order) {
        match order {
            Order::Command(of, id) => {
                self.ordered.insert(((*of).to_owned(), *id));
            }
            Order::Configuration(id) => self.configured.push(id.clone()),
            Order::Software(version) => self.versions.push(version.clone()),
        }
    }

    pub(super) fn handle_log(&mut self, kind: &EventKind) {
        if let EventKind::CommandResult {
            command_type,
            id,
            known: true,
            status_code,
            ..
        } = kind
        {
            let key = (command_type.clone(), *id);
            self.results.entry(key).or_default().push(*status_code);
        } else if let EventKind::CommandExpired { command_type, id } = kind {
            panic!("{command_type} {id} ran out of time");
        } else if let EventKind::ConfigApplied { config_id, .. } = kind {
            self.applied = Some(config_id.clone());
        } else if let EventKind::SoftwareReported { version } = kind {
            self.reported = Some(version.clone());
        }
    }

    fn outstanding(&self) -> Vec<&Key> {
        let ordered = self.ordered.iter();
        ordered
            .filter(|key| !self.results.contains_key(*key))
            .collect()
    }

    pub(super) fn is_done(&self) -> bool {
        let is_configured =
            self.configured.last() == self.applied.as_ref() || self.configured.is_empty();
        let is_current = self.versions.last() == self.reported.as_ref() || self.versions.is_empty();
        self.outstanding().is_empty() && is_configured && is_current
    }

    pub(super) fn undone(&self) -> String {
        format!(
            "commands {:?}, configuration {:?} not {:?}, software {:?} not {:?}",
            self.outstanding(),
            self.applied,
            self.configured.last(),
            self.reported,
            self.versions.last()
        )
    }

    pub(super) fn finish(&self) {
        for key in &self.ordered {
            let results = self.results.get(key).map_or(&[][..], Vec::as_slice);
            assert_eq!(results.len(), 1, "the results of {key:?}");
            let is_told = results == [i64::from(INTERRUPTED)] && !self.interrupted.contains(key);
            assert!(!is_told, "{key:?} was not interrupted, and is called so");
        }
    }
}

/// Reports something, again until it is confirmed.
fn report<R: Request>(
    endpoint: &Endpoint,
    what: &mut Option<R>,
    under_way: &mut Option<Ticket<R>>,
) {
    match under_way.as_mut().and_then(Ticket::try_outcome) {
        Some(Ok(_)) => (*what, *under_way) = (None, None),
        Some(Err(_)) => *under_way = None,
        None => {}
    }
    if let (Some(what), None) = (what, &under_way) {
        *under_way = endpoint.submit(what).ok();
    }
}

fn taken<T>(stream: Result<T, SubmitError>) -> Option<T> {
    match stream {
        Ok(stream) => Some(stream),
        Err(SubmitError::QueueFull(_) | SubmitError::Closed) => None,
        Err(error) => panic!("{error}"),
    }
}

fn key(command: &Command) -> Key {
    let id = command
        .id()
        .as_i64()
        .unwrap_or_else(|| panic!("{:?} is no number", command.id()));
    (command.command_type().to_string(), id)
}
