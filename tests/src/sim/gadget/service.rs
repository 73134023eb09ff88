//! What the platform wants of an endpoint: commands, configurations, software.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kaa_proto::client::{Command, Commands, Configurations, Endpoint, SoftwareUpdates, Ticket};
use kaa_proto::commands::{CommandResult, Report};
use kaa_proto::names::CommandType;
use kaa_proto::platform::EventKind;
use kaa_proto::request::{Confirm, Request, SubmitError};
use kaa_proto::{config, software};
use serde_json::Value;

use super::super::COMMAND_TYPES;
use super::super::program::{Moment, Order, Storage};
use super::Inbox;
use super::book::Book;
use crate::dice::Dice;

/// A command, by type and identifier.
type Key = (String, i64);

/// What is answered to a command that was interrupted.
const INTERRUPTED: u16 = 503;

pub(super) struct Service {
    token: String,
    inbox: Inbox,
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
    reporting: Option<Wait<config::Applied>>,
    telling: Option<Wait<software::ReportCurrent>>,
    /// The results under way.
    told: Vec<Wait<Report>>,
    versions: Vec<String>,
    current: String,
    reported: Option<String>,
}

impl Service {
    pub(super) fn new(token: &str, inbox: Inbox) -> Self {
        Self {
            token: token.to_owned(),
            inbox,
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
            told: Vec::new(),
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
        self.told.clear();
        match storage {
            // One that may be run again may be, after a crash.
            Storage::Good => self.executed.retain(|(of, _)| of != "again"),
            // It remembers nothing.
            Storage::None | Storage::Unreliable | Storage::Doubtful => self.executed.clear(),
        }
    }

    /// What it has been told by now.
    pub(super) fn take_note(&mut self, now: Instant, book: &mut Book) {
        self.told.retain_mut(|wait| wait.end(now, book).is_none());
        settle(now, book, &mut self.to_report, &mut self.reporting);
        settle(now, book, &mut self.to_tell, &mut self.telling);
    }

    pub(super) fn live(&mut self, moment: &mut Moment<'_>, endpoint: &Endpoint, book: &mut Book) {
        self.observe(endpoint);
        let is_calm = moment.is_calm;
        for command in self.read_commands() {
            self.obey(command, moment.dice, is_calm, book);
        }
        if is_calm || moment.dice.below(2) == 0 {
            for command in std::mem::take(&mut self.held) {
                self.finish_command(command, CommandResult::ok(), book);
            }
        }
        for answer in unread(&mut self.configurations, Configurations::try_next, 1) {
            if let config::Answer::Assigned(configuration) = answer {
                self.configure(&configuration);
            }
        }
        for answer in unread(&mut self.updates, SoftwareUpdates::try_next, 1) {
            if let software::Answer::Assigned(update) = answer {
                self.current = update.version().to_owned();
                self.to_tell = Some(software::ReportCurrent::new(update.version()));
                self.telling = None;
            }
        }
        let says = |of: &str, id: Option<&str>| format!("{of} {}", id.unwrap_or_default());
        let applied = says("cmx", self.read.as_deref());
        let current = says("cmx_ota", Some(&self.current));
        report(
            endpoint,
            book,
            &applied,
            self.to_report.as_ref(),
            &mut self.reporting,
        );
        report(
            endpoint,
            book,
            &current,
            self.to_tell.as_ref(),
            &mut self.telling,
        );
    }

    /// How many requests are not known to have ended.
    pub(super) fn waits(&self) -> usize {
        let reports = [self.reporting.is_some(), self.telling.is_some()];
        self.told.len() + reports.into_iter().map(usize::from).sum::<usize>()
    }

    /// All commands that wait, which are as many as may: nothing comes between one and the next.
    fn read_commands(&mut self) -> Vec<Command> {
        let Inbox {
            known,
            unread: most,
            unread_bytes,
        } = self.inbox;
        let commands = unread(&mut self.commands, Commands::try_next, known);
        for word in COMMAND_TYPES {
            let of_type = |command: &&Command| command.command_type().as_str() == word;
            let count = commands.iter().filter(of_type).count();
            assert!(
                count <= most,
                "{count} commands wait to be read, at most {most} of a type may"
            );
        }
        let bytes: usize = commands.iter().map(size).sum();
        assert!(
            commands.len() <= 1 || bytes <= unread_bytes,
            "commands of {bytes} bytes wait to be read, at most {unread_bytes} may"
        );
        let held = self.held.len() + commands.len();
        assert!(
            held <= known,
            "{held} commands are in progress, at most {known} may be"
        );
        commands
    }

    /// Answers to a command. Refused while the queue is full: it is given back, and comes again.
    fn finish_command(&mut self, command: Command, result: CommandResult, book: &mut Book) {
        let key = key(&command);
        let says = says(&key);
        match command.respond(result) {
            Ok(ticket) => {
                self.told.retain(|wait| wait.says != says);
                self.told
                    .push(Wait::new(ticket, says, Confirm::Acknowledged, book));
            }
            Err(_) => {
                self.executed.remove(&key);
            }
        }
    }

    fn obey(&mut self, command: Command, dice: &mut Dice, is_calm: bool, book: &mut Book) {
        let key = key(&command);
        assert!(self.ordered.contains(&key), "{key:?} was never invoked");
        if command.is_interrupted() {
            assert!(key.0 == "ask", "{key:?} came marked as interrupted");
            self.interrupted.insert(key);
            let result = CommandResult::failed(INTERRUPTED, "nobody knows");
            self.finish_command(command, result, book);
            return;
        }
        if !is_calm && dice.below(8) == 0 {
            // Not now: it is given back.
            return;
        }
        let is_new = self.executed.insert(key.clone());
        let may_come_again = book.is_refused_unheard(&says(&key));
        assert!(is_new || may_come_again, "{key:?} was executed twice");
        match dice.below(2) {
            0 => self.finish_command(command, CommandResult::ok(), book),
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

    pub(super) fn handle_log(&mut self, kind: &EventKind, book: &mut Book) {
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
            book.do_errand(format!("cmx {config_id}"));
            self.applied = Some(config_id.clone());
        } else if let EventKind::SoftwareReported { version } = kind {
            book.do_errand(format!("cmx_ota {version}"));
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

/// A request under way, and what it says.
struct Wait<R> {
    ticket: Ticket<R>,
    says: String,
}

impl<R: Request> Wait<R> {
    fn new(ticket: Ticket<R>, says: String, confirm: Confirm, book: &mut Book) -> Self {
        book.add_errand(&says, confirm);
        Self { ticket, says }
    }

    /// How it ended; whether it was confirmed.
    fn end(&mut self, now: Instant, book: &mut Book) -> Option<bool> {
        let outcome = self.ticket.try_outcome()?;
        book.end_errand(now, &self.says, outcome.as_ref().map(drop));
        Some(outcome.is_ok())
    }
}

/// What is confirmed needs no report any more.
fn settle<R: Request>(
    now: Instant,
    book: &mut Book,
    what: &mut Option<R>,
    under_way: &mut Option<Wait<R>>,
) {
    match under_way.as_mut().and_then(|wait| wait.end(now, book)) {
        Some(true) => (*what, *under_way) = (None, None),
        Some(false) => *under_way = None,
        None => {}
    }
}

/// Reports something, unless that is under way.
fn report<R: Request>(
    endpoint: &Endpoint,
    book: &mut Book,
    says: &str,
    what: Option<&R>,
    under_way: &mut Option<Wait<R>>,
) {
    if let (Some(what), None) = (what, &under_way) {
        let ticket = endpoint.submit(what).ok();
        *under_way =
            ticket.map(|ticket| Wait::new(ticket, says.to_owned(), Confirm::Answered, book));
    }
}

/// All that waits to be read of a stream, which is `most` at most.
fn unread<S, T>(
    stream: &mut Option<S>,
    mut next: impl FnMut(&mut S) -> Option<T>,
    most: usize,
) -> Vec<T> {
    let unread: Vec<T> = std::iter::from_fn(|| next(stream.as_mut()?)).collect();
    let count = unread.len();
    assert!(count <= most, "{count} wait to be read, at most {most} may");
    unread
}

/// What the result of a command says.
fn says((of, id): &Key) -> String {
    format!("{of} {id}")
}

/// What a command counts for, in bytes.
fn size(command: &Command) -> usize {
    let payload = command.payload_json().map_or(0, str::len);
    command.command_type().as_str().len() + command.id().as_json().len() + payload
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
