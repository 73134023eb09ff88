//! What comes in: answers find their request, pushes their observation, the rest is counted.
//!
//! An answer matches on the whole topic: extension, resource, ID and suffix, after the host has
//! matched application version and token. Nothing is matched by prefix, and nothing that arrives
//! can end anything but the request it is for.

use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::flight::{Flight, Owner, Stage};
use super::ids::Holder;
use super::journal::Mark;
use super::ledger::Offer;
use super::observe::{Reading, Unread};
use super::trace;
use super::{CommandKey, Endpoint, Event, Observation, Record, Rest, ResultRecord};
use crate::commands::{self, Command};
use crate::names::{CommandType, ConfigName};
use crate::request::{Confirm, Effect, Failure, Prepared, Reply, RequestId, Service, StoredResult};
use crate::topic::{MAX_REST, Suffix, Topic, cut};
use crate::{config, software};

impl Endpoint {
    /// As [`handle_message`](Self::handle_message), for a topic that has the endpoint's name.
    pub(crate) fn handle_topic(&mut self, now: Instant, topic: &Topic<'_>, payload: &[u8]) {
        let now = self.advance(now);
        match (topic.suffix(), topic.id()) {
            // A request, ours or another client's, that a broker echoed (FACTS trap 16).
            (None, _) => {
                trace::ignored(topic, "an echo");
                self.counters.others.echoes += 1;
            }
            (Some(suffix), Some(id)) => self.handle_numbered(now, topic, suffix, id, payload),
            (Some(Suffix::Status), None) => self.handle_push(topic, payload),
            (Some(Suffix::Error), None) => {
                let (resource, failure) = (cut(topic.resource()), rejection(payload));
                self.notify(Event::UnassignedError { resource, failure });
            }
        }
    }

    /// An answer, or a push on the ID of an observation (FACTS traps 9 and 10).
    fn handle_numbered(
        &mut self,
        now: Instant,
        topic: &Topic<'_>,
        suffix: Suffix,
        wire_id: u32,
        payload: &[u8],
    ) {
        let Some(space) = self.spaces.get(topic.extension()) else {
            trace::ignored(topic, "nobody waits for it");
            self.counters.others.foreign_answers += 1;
            return;
        };
        match space.holder(wire_id) {
            Some(&Holder::Request(id)) if self.resource_of(id) == Some(topic.resource()) => {
                self.handle_answer(now, topic, id, suffix, payload);
            }
            Some(Holder::Observation(observation))
                if subject(self.service_of(topic), topic.resource())
                    == Some(Subject::One(observation.clone())) =>
            {
                let observation = observation.clone();
                self.handle_observation(now, topic, &observation, suffix, payload);
            }
            _ if space.is_tombstone(wire_id, topic.resource()) => {
                trace::ignored(topic, "late");
                self.counters.others.late_answers += 1;
            }
            _ => {
                trace::ignored(topic, "nobody waits for it");
                self.counters.others.foreign_answers += 1;
            }
        }
    }

    fn handle_answer(
        &mut self,
        now: Instant,
        topic: &Topic<'_>,
        id: RequestId,
        suffix: Suffix,
        payload: &[u8],
    ) {
        // It may wait in the queue to be sent again after a link loss: any answer is right. If it
        // was sent again, that will be answered too.
        let (rest, entry) = match self.room.flights.remove(id) {
            Some(flight) if flight.stage == Stage::Listening => {
                return self.handle_late_verdict(now, &flight, suffix, payload);
            }
            Some(flight) => (flight.rest_after_answer(), Some(flight.into_entry())),
            None => (Rest::None, self.room.queue.remove(id)),
        };
        let Some(entry) = entry else { return };
        let verdict = verdict(suffix, payload, entry.request.status_in_body);
        let ours = entry.asks_what_is_outstanding().cloned();
        let outstanding = ours.zip(verdict.as_ref().ok().copied());
        let outcome = match verdict {
            Err(failure) => Err(failure),
            Ok(_) if entry.request.drops_answer || outstanding.is_some() => {
                let resource = entry.request.resource.clone();
                Ok(Reply::new(Confirm::Answered, resource, Bytes::new()))
            }
            Ok(payload) => {
                let resource = entry.request.resource.clone();
                let reply = |payload| Reply::new(Confirm::Answered, resource, payload);
                Ok(match &entry.request.effect {
                    Effect::Pending(command_type) => {
                        reply(self.sift(command_type, payload)).handing_out(command_type.clone())
                    }
                    Effect::None
                    | Effect::Results(..)
                    | Effect::Applied(..)
                    | Effect::Current(_) => reply(Bytes::copy_from_slice(payload)),
                })
            }
        };
        self.end(now, entry, outcome, rest);
        if let Some((command_type, payload)) = outstanding {
            self.take_commands(topic, Some(&command_type), payload, true);
            self.ask_for_held();
        }
    }

    /// The platform's word on something that was acknowledged before.
    fn handle_late_verdict(
        &mut self,
        now: Instant,
        flight: &Flight,
        suffix: Suffix,
        payload: &[u8],
    ) {
        self.tidy_deadlines();
        self.free_id(now, &flight.entry, flight.rest_after_answer());
        if let (Suffix::Error, Effect::Results(command_type, results)) =
            (suffix, &flight.entry.request.effect)
        {
            let key =
                |result: &StoredResult| CommandKey::new(command_type.clone(), result.id.clone());
            let commands: Vec<_> = results.iter().map(key).collect();
            for key in &commands {
                if let Some(result) = self.ledger.handle_result_refused(key) {
                    self.record(|| Record::Finished(key.clone(), ResultRecord(result)));
                }
            }
            self.notify(Event::ResultsRejected {
                commands,
                failure: rejection(payload),
            });
        }
    }

    /// A message on the ID of an observation: the answer to it, or a push.
    fn handle_observation(
        &mut self,
        now: Instant,
        topic: &Topic<'_>,
        observation: &Observation,
        suffix: Suffix,
        payload: &[u8],
    ) {
        let standing = self.standing.get(observation);
        let asked = standing.and_then(|standing| standing.request);
        let was_live = standing.is_some_and(|standing| standing.is_live);
        let verdict = verdict(suffix, payload, true);
        self.regard.handle(verdict.as_ref().err());
        let flight = asked.and_then(|id| self.room.flights.remove(id));
        // What comes on a live one may be a push, which does not list all that is outstanding.
        let is_answer = flight.is_some() && !was_live;
        if let Some(Flight { entry, .. }) = flight {
            trace::observed(now, &self.name, &entry, verdict.as_ref().err());
            self.tidy_deadlines();
            self.free_id(now, &entry, Rest::None);
            self.handle_observed(now, observation, verdict.as_ref().err().cloned());
        } else if let (Err(failure), None) = (&verdict, asked) {
            self.handle_observed(now, observation, Some(failure.clone()));
        }
        // One that waits in the queue is sent all the same: the platform has to hear from us on
        // this link before it pushes (FACTS trap 35).
        if let Ok(payload) = verdict {
            self.take_in(topic, observation, payload, is_answer);
        }
    }

    /// A message without ID: whatever it holds for us is taken (FACTS traps 8 and 10).
    fn handle_push(&mut self, topic: &Topic<'_>, payload: &[u8]) {
        match subject(self.service_of(topic), topic.resource()) {
            Some(Subject::AllCommands) => self.take_commands(topic, None, payload, false),
            Some(Subject::One(Observation::Commands(command_type))) => {
                self.take_commands(topic, Some(&command_type), payload, false);
            }
            Some(Subject::One(observation)) if self.standing.contains_key(&observation) => {
                match verdict(Suffix::Status, payload, true) {
                    Ok(payload) => self.take_in(topic, &observation, payload, false),
                    Err(failure) => {
                        self.notify(Event::ObservationFailed {
                            observation,
                            failure,
                        });
                    }
                }
            }
            Some(Subject::One(_)) | None => {
                trace::ignored(topic, "not observed");
                self.counters.others.unsolicited += 1;
            }
        }
    }

    fn take_in(
        &mut self,
        topic: &Topic<'_>,
        observation: &Observation,
        payload: &[u8],
        is_answer: bool,
    ) {
        let unread = match observation {
            Observation::Commands(command_type) => {
                return self.take_commands(topic, Some(command_type), payload, is_answer);
            }
            Observation::Configuration(name) => {
                config::parse(payload, name.as_ref()).map(|answer| {
                    let id = match &answer {
                        config::Answer::NotModified => return None,
                        config::Answer::Unassigned => "".into(),
                        config::Answer::Assigned(configuration) => configuration.config_id().into(),
                    };
                    Some((id, Unread::Configuration(answer)))
                })
            }
            Observation::Software => software::parse(payload).map(|answer| {
                let id = match &answer {
                    software::Answer::NotModified => return None,
                    software::Answer::Unassigned => "".into(),
                    software::Answer::Assigned(update) => update.version().into(),
                };
                Some((id, Unread::Software(answer)))
            }),
        };
        match unread {
            Err(_) => self.malformed(topic),
            Ok(None) => {}
            Ok(Some((id, unread))) => {
                let reading: &mut Reading = self.readings.get_or_default(observation.clone());
                // The same update comes with and without ID, and again after a reconnect.
                if reading.surfaced.as_ref() == Some(&id) {
                    self.counters.others.configurations_repeated += 1;
                    return;
                }
                if let (true, Unread::Configuration(config::Answer::Assigned(assigned))) =
                    (self.options.keep_configurations, &unread)
                {
                    reading.assigned = Some(assigned.clone());
                }
                reading.surface(id, unread);
                self.counters.configurations_surfaced += 1;
                self.notify(Event::Unread(observation.clone()));
            }
        }
    }

    fn take_commands(
        &mut self,
        topic: &Topic<'_>,
        of: Option<&CommandType>,
        payload: &[u8],
        is_answer: bool,
    ) {
        let Ok(list) = commands::parse_list(payload, of) else {
            self.malformed(topic);
            return;
        };
        if list.malformed > 0 {
            self.malformed(topic);
        }
        if let (Some(command_type), true) = (of, is_answer && list.is_complete) {
            self.settle(command_type, &list.commands);
        }
        // In place: there may be a hundred thousand of them.
        let mut observed = list.commands;
        observed.retain(|command| {
            let observation = Observation::Commands(command.command_type().clone());
            let is_observed = self.standing.contains_key(&observation);
            if !is_observed {
                trace::not_observed(&self.name, command);
                self.counters.others.commands_unobserved += 1;
            }
            is_observed
        });
        let surfaced = self.pass_ledger(observed, true);
        let mark = self.journal.mark();
        for command in surfaced {
            let observation = Observation::Commands(command.command_type().clone());
            self.ledger.push_unread(mark, command);
            self.tell_unread(mark, observation);
        }
    }

    /// What the ledger leaves of an answer to `Pending`.
    fn sift(&mut self, command_type: &CommandType, payload: &[u8]) -> Bytes {
        match commands::parse_list(payload, Some(command_type)) {
            Ok(list) => {
                if list.is_complete {
                    self.settle(command_type, &list.commands);
                }
                commands::write_list(&self.pass_ledger(list.commands, false))
            }
            // The request's own decoding says what is wrong with it.
            Err(_) => Bytes::copy_from_slice(payload),
        }
    }

    /// The commands that are to be surfaced. Results of finished ones are sent again.
    fn pass_ledger(&mut self, commands: Vec<Command>, into_inbox: bool) -> Vec<Command> {
        let (mut surfaced, mut surfaced_bytes) = (Vec::new(), 0);
        let mut again: Vec<(CommandType, Vec<StoredResult>)> = Vec::new();
        for command in commands {
            let key = CommandKey::from(&command);
            let of_type = |other: &&Command| other.command_type() == command.command_type();
            let unread = self.ledger.unread_len(command.command_type())
                + surfaced.iter().filter(of_type).count();
            let bytes = self.ledger.unread_bytes() + surfaced_bytes;
            let is_known = self.ledger.is_known(&key);
            let is_late = !is_known && self.is_forgotten(&key);
            let is_new = !is_known && !is_late;
            let is_full = unread >= self.options.max_unread_commands
                // A lone one is taken, however large.
                || bytes > 0 && bytes + command.size() > self.options.max_unread_bytes;
            let policy = self.options.when_interrupted(&key);
            let surfaces = is_new || self.ledger.comes_again(&key, policy);
            if surfaces && into_inbox && is_full {
                self.hold_back(command.command_type());
                continue;
            }
            if is_new {
                self.make_room();
            }
            let offer = match is_late {
                true => Offer::Late,
                false => self.ledger.offer(&key, self.options.max_commands, policy),
            };
            trace::offered(&self.name, &key, &offer);
            match offer {
                Offer::Surface { interruptions } => {
                    self.record(|| Record::Surfaced(key));
                    self.counters.others.commands_surfaced += 1;
                    surfaced_bytes += command.size();
                    surfaced.push(command.interrupted(interruptions));
                }
                Offer::Running | Offer::Late => self.counters.others.commands_repeated += 1,
                Offer::Resend(result) => {
                    self.counters.others.results_resent += 1;
                    self.report_again(&mut again, command.command_type(), result);
                }
                Offer::Fail => {
                    if let Some(result) = self.fail_interrupted(key) {
                        self.report_again(&mut again, command.command_type(), result);
                    }
                }
                Offer::NoRoom => {
                    self.hold_back(command.command_type());
                    match self.ledger.retry() {
                        Some((command_type, result)) => {
                            self.counters.others.results_resent += 1;
                            self.report_again(&mut again, &command_type, result);
                        }
                        None => self.ask_what_is_outstanding(),
                    }
                }
            }
        }
        for (command_type, results) in again {
            let request = commands::resend(&command_type, &results);
            let effect = Effect::Results(command_type, results);
            self.push_own(Prepared { effect, ..request }, Owner::Ledger, None);
        }
        surfaced
    }

    /// Puts a result to those that are to be reported again, in as few messages as hold them.
    fn report_again(
        &self,
        again: &mut Vec<(CommandType, Vec<StoredResult>)>,
        command_type: &CommandType,
        result: StoredResult,
    ) {
        let room = self.report_room(command_type);
        let room = room.saturating_sub(result.json.len());
        let fits = |(name, results): &&mut (CommandType, Vec<StoredResult>)| {
            name == command_type && report_len(results) < room
        };
        match again.iter_mut().find(fits) {
            Some((_, results)) => results.push(result),
            None => again.push((command_type.clone(), vec![result])),
        }
    }

    /// How many bytes a message with results may have, beside its topic.
    fn report_room(&self, command_type: &CommandType) -> usize {
        let name = self.name.app_version().as_str().len() + self.name.token().as_str().len();
        let extension = self.options.instances.of(&Service::Commands).as_str();
        let resource = "result/".len() + command_type.as_str().len();
        let topic = name + extension.len() + resource + MAX_REST;
        let packet = self.options.max_publish.saturating_sub(topic);
        self.options.max_message.min(packet)
    }

    /// Tells that a command is there to be read, once it may be.
    fn tell_unread(&mut self, mark: Mark, observation: Observation) {
        // If it has to wait, it is told when it comes out.
        if let Some(event) = self.hold(mark, Event::Unread(observation)) {
            self.notify(event);
        }
    }

    /// Whether a command that is not known was, until a short while ago.
    fn is_forgotten(&mut self, key: &CommandKey) -> bool {
        let forgotten = self.now.zip(self.forgotten.there());
        forgotten.is_some_and(|(now, forgotten)| forgotten.has(now, key))
    }

    /// Room in the ledger, if there can be.
    pub(super) fn make_room(&mut self) {
        let max = self.options.max_commands;
        let ledger = self.ledger.there();
        if let Some(key) = ledger.and_then(|ledger| ledger.make_room(max)) {
            self.forget(key);
        }
    }

    fn hold_back(&mut self, command_type: &CommandType) {
        self.counters.others.commands_held += 1;
        if self.ledger.hold(command_type) {
            self.notify(Event::CommandsHeld(command_type.clone()));
        }
    }

    fn malformed(&mut self, topic: &Topic<'_>) {
        self.counters.others.malformed += 1;
        self.notify(Event::Malformed {
            topic: cut(&topic.shortened()),
        });
    }

    /// The resource of a request that may be answered: one in flight, or one that waits to be
    /// sent again. One with a fixed ID holds that even before it is sent.
    fn resource_of(&self, id: RequestId) -> Option<&str> {
        let flight = self.room.flights.get(id).map(|flight| &*flight.entry);
        let entry = flight.or_else(|| self.room.queue.find(id).filter(|entry| entry.was_sent))?;
        Some(entry.request.resource())
    }

    /// Which of the services that push a topic belongs to.
    fn service_of(&self, topic: &Topic<'_>) -> Option<Service> {
        [
            Service::Commands,
            Service::Configurations,
            Service::Software,
        ]
        .into_iter()
        .find(|service| self.options.instances.of(service).as_str() == topic.extension())
    }
}

/// How long a report of these results is, in bytes.
fn report_len(results: &[StoredResult]) -> usize {
    let elements = results.iter().map(|result| result.json.len() + 1);
    elements.sum::<usize>() + 1
}

/// What a push is about.
#[derive(Debug, PartialEq, Eq)]
enum Subject {
    One(Observation),
    /// Commands that say their types themselves (11/CEP "MAY").
    AllCommands,
}

/// By levels, never by prefix (FACTS trap 6).
fn subject(service: Option<Service>, resource: &str) -> Option<Subject> {
    let mut levels = resource.split('/');
    let levels = (levels.next(), levels.next(), levels.next(), levels.next());
    let one = match (service?, levels) {
        (Service::Commands, (Some("command"), None, None, None)) => {
            return Some(Subject::AllCommands);
        }
        (Service::Commands, (Some("command"), Some(name), None, None)) => {
            Observation::Commands(CommandType::new(name).ok()?)
        }
        (Service::Configurations, (Some("config"), Some("json"), None, None)) => {
            Observation::Configuration(None)
        }
        (Service::Configurations, (Some("config"), Some("json"), Some(name), None)) => {
            Observation::Configuration(Some(ConfigName::new(name).ok()?))
        }
        (Service::Software, (Some("config"), Some("json"), None, None)) => Observation::Software,
        _ => return None,
    };
    Some(Subject::One(one))
}

/// What a message says of success: the suffix decides, unless the body has a status of its own
/// (FACTS trap 20). "Not modified" may come either way; it is an empty success.
fn verdict(suffix: Suffix, payload: &[u8], status_in_body: bool) -> Result<&[u8], Failure> {
    let status = match suffix == Suffix::Error || status_in_body {
        true => Status::read(payload),
        false => return Ok(payload),
    };
    match (suffix, status.code()) {
        (_, Some(304)) if status_in_body => Ok(b""),
        (Suffix::Error, _) | (Suffix::Status, Some(400..)) => Err(status.into_failure()),
        (Suffix::Status, _) => Ok(payload),
    }
}

fn rejection(payload: &[u8]) -> Failure {
    Status::read(payload).into_failure()
}

/// The error object of 1/KP, read leniently: whatever is missing or of another type is left out
/// (FACTS section 9). Nothing is built of what else stands there.
#[derive(Default, Deserialize)]
struct Status<'a> {
    #[serde(borrow, rename = "statusCode")]
    code: Option<&'a RawValue>,
    #[serde(borrow, rename = "reasonPhrase")]
    reason: Option<&'a RawValue>,
}

impl<'a> Status<'a> {
    fn read(payload: &'a [u8]) -> Self {
        // serde would read an array, such as a list of commands, as the fields in their order.
        match payload.trim_ascii().first() {
            Some(b'{') => serde_json::from_slice(payload).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// A whole number, which may be written as a float (FACTS trap 39).
    fn code(&self) -> Option<u16> {
        let number: f64 = serde_json::from_str(self.code?.get()).ok()?;
        let whole = number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&number);
        whole.then_some(number as u16)
    }

    fn into_failure(self) -> Failure {
        let text = self.reason.map(|reason| serde_json::from_str(reason.get()));
        let reason: String = text.and_then(Result::ok).unwrap_or_default();
        Failure::Rejected {
            status: self.code(),
            reason: cut(&reason),
        }
    }
}
