//! cex: commands, delivered until their result is reported or their time is over (11/CEP, FACTS
//! section 3).

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::{Value, json};

use super::answer::{Answer, Call, Refusal, Reply};
use super::choices::{CommandClock, ObserveScope, ObserveUntil, ResultSuccess, UnknownResult};
use super::event::EventKind;
use super::observation::{Observation, Push};
use super::operator::OperatorError;
use super::switches::Switches;
use super::validate::{self, CommandResult};
use super::weight::Weigh;
use crate::timers::later;

/// How many commands of an endpoint are outstanding; more are refused to the operator.
const MAX_OUTSTANDING: usize = 1_024;
/// How many command types an endpoint may have; a request for one more is refused.
const MAX_TYPES: usize = 256;
/// How many results are kept for the operator; the oldest goes.
const MAX_RESULTS: usize = 64;

/// What a type takes beside its name.
const TYPE: usize = 512;
/// What a result takes beside its texts.
const RESULT: usize = 256;

/// The commands of one endpoint.
#[derive(Clone, Debug, Default)]
pub(super) struct Commands {
    /// By type.
    types: BTreeMap<String, CommandsOfType>,
    /// What the device said on the path of all types.
    all_types: Observation,
    /// Whether `observe: false` silenced the whole endpoint, by the switch of its scope.
    is_silenced: bool,
    /// How many are outstanding in all types.
    outstanding: usize,
    /// The latest results with their type.
    results: VecDeque<(String, CommandResult)>,
}

#[derive(Clone, Debug, Default)]
struct CommandsOfType {
    /// The last ID given out.
    last_id: i64,
    /// Neither finished nor expired, oldest first.
    outstanding: Vec<Command>,
    observation: Observation,
}

#[derive(Clone, Debug)]
struct Command {
    id: i64,
    payload: Option<Value>,
    /// `None` until its time begins to run.
    expires: Option<Instant>,
}

impl Commands {
    pub(super) fn handle(&mut self, call: &mut Call<'_>) -> Answer {
        for event in self.expire(call.now) {
            call.note(event);
        }
        match *call.levels().as_slice() {
            ["command"] => self.pending(call, None),
            ["command", of_type] => self.pending(call, Some(of_type)),
            ["result", of_type] => self.report(call, of_type),
            _ => Err(Refusal::unknown_resource()),
        }
    }

    /// Adds a command of the fixture; its time begins with [`Self::start_clocks`].
    pub(super) fn restore(&mut self, of_type: &str, id: Option<i64>, payload: Option<Value>) {
        let commands = self.types.entry(of_type.into()).or_default();
        let id = id.unwrap_or_else(|| commands.last_id.saturating_add(1));
        commands.last_id = commands.last_id.max(id);
        self.outstanding += 1;
        commands.outstanding.push(Command {
            id,
            payload,
            expires: None,
        });
    }

    /// The endpoint spoke: the time of its waiting commands runs.
    pub(super) fn start_clocks(&mut self, now: Instant, switches: &Switches) {
        if switches.command_clock == CommandClock::Invocation {
            let all = self.types.values_mut().flat_map(|t| &mut t.outstanding);
            for command in all {
                command
                    .expires
                    .get_or_insert_with(|| later(now, switches.command_ttl));
            }
        }
    }

    /// A new command, and the push of it unless the device does not want any.
    pub(super) fn invoke(
        &mut self,
        now: Instant,
        of_type: &str,
        payload: Option<Value>,
        switches: &Switches,
    ) -> Result<(i64, Option<Push>), OperatorError> {
        if self.outstanding >= MAX_OUTSTANDING {
            return Err(OperatorError::TooMany);
        }
        self.check_room(of_type)
            .map_err(|_| OperatorError::TooMany)?;
        let is_silenced = self.is_silenced;
        let commands = self.types.entry(of_type.into()).or_default();
        commands.last_id = commands.last_id.saturating_add(1);
        let id = commands.last_id;
        let observes_type = commands.observation.is_wanted();
        let refused = is_silenced || commands.observation.is_refused();
        let push = if refused || (self.all_types.is_refused() && !observes_type) {
            None
        } else if self.all_types.is_wanted() && !observes_type {
            let entry = json_of(Some(of_type), id, payload.as_ref());
            Some(push_of("command".into(), &self.all_types, &entry, switches))
        } else {
            let entry = json_of(None, id, payload.as_ref());
            let resource = format!("command/{of_type}");
            Some(push_of(resource, &commands.observation, &entry, switches))
        };
        if !switches.command_ttl.is_zero() {
            let starts = switches.command_clock == CommandClock::Invocation;
            self.outstanding += 1;
            commands.outstanding.push(Command {
                id,
                payload,
                expires: starts.then(|| later(now, switches.command_ttl)),
            });
        }
        Ok((id, push))
    }

    /// A pushed command counts as delivered.
    pub(super) fn handle_pushed(
        &mut self,
        now: Instant,
        of_type: &str,
        id: i64,
        switches: &Switches,
    ) {
        let commands = self.types.get_mut(of_type).map(|t| &mut t.outstanding);
        if let Some(command) = commands.into_iter().flatten().find(|c| c.id == id) {
            command
                .expires
                .get_or_insert_with(|| later(now, switches.command_ttl));
        }
    }

    /// The endpoint disconnected or moved to another link.
    pub(super) fn end_session(&mut self, switches: &Switches) {
        if switches.observe_until == ObserveUntil::Disconnect {
            self.is_silenced = false;
            self.all_types = Observation::default();
            for commands in self.types.values_mut() {
                commands.observation = Observation::default();
            }
        }
    }

    /// Drops what ran out of time.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<EventKind> {
        let mut events = Vec::new();
        for (of_type, commands) in &mut self.types {
            commands.outstanding.retain(|command| {
                let is_over = command.expires.is_some_and(|at| at <= now);
                if is_over {
                    events.push(EventKind::CommandExpired {
                        command_type: of_type.clone(),
                        id: command.id,
                    });
                }
                !is_over
            });
        }
        self.outstanding -= events.len();
        events
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let all = self.types.values().flat_map(|t| &t.outstanding);
        all.filter_map(|command| command.expires).min()
    }

    /// The outstanding commands by type, as they stand in an answer.
    pub(super) fn outstanding(&self) -> BTreeMap<String, Vec<Value>> {
        let shown = |commands: &CommandsOfType| {
            let entries = commands.outstanding.iter();
            entries
                .map(|c| json_of(None, c.id, c.payload.as_ref()))
                .collect()
        };
        let with_any = self.types.iter().filter(|(_, t)| !t.outstanding.is_empty());
        with_any.map(|(name, t)| (name.clone(), shown(t))).collect()
    }

    /// The latest results with their type.
    pub(super) fn results(&self) -> impl Iterator<Item = &(String, CommandResult)> {
        self.results.iter()
    }

    /// Every outstanding command of the type, or of all types, again and again (FACTS trap 26).
    fn pending(&mut self, call: &mut Call<'_>, of_type: Option<&str>) -> Answer {
        let observe = validate::command_request(call.payload)?;
        if let Some(of_type) = of_type {
            self.check_room(of_type)?;
            if TYPE + of_type.len() > call.room && !self.types.contains_key(of_type) {
                return Err(Refusal::denied(429, "Too many command types"));
            }
        }
        if call.switches.observe_scope == ObserveScope::Endpoint && observe.is_some() {
            self.is_silenced = observe == Some(false);
        }
        let id = call.topic.id();
        match of_type {
            None => self.all_types.note(observe, id),
            Some(of_type) if observe.is_some() => {
                let commands = self.types.entry(of_type.into()).or_default();
                commands.observation.note(observe, id);
            }
            Some(_) => {}
        }
        let expires = later(call.now, call.switches.command_ttl);
        let mut list = Vec::new();
        let mut events = Vec::new();
        for (name, commands) in &mut self.types {
            if of_type.is_some_and(|one| one != name) {
                continue;
            }
            for command in &mut commands.outstanding {
                command.expires.get_or_insert(expires);
                let shown = of_type.is_none().then_some(name.as_str());
                list.push(json_of(shown, command.id, command.payload.as_ref()));
                events.push(EventKind::CommandDelivered {
                    command_type: name.clone(),
                    id: command.id,
                });
            }
        }
        call.note(EventKind::CommandsRequested {
            command_type: of_type.map(String::from),
            observe,
            outstanding: list.len(),
        });
        events.into_iter().for_each(|event| call.note(event));
        let is_empty = list.is_empty();
        let payload = Value::Array(list).to_string().into_bytes();
        Ok(match is_empty {
            true => Reply::Status(payload),
            false => Reply::Content(payload),
        })
    }

    fn report(&mut self, call: &mut Call<'_>, of_type: &str) -> Answer {
        let results = validate::results(call.payload)?;
        let (mut all_known, mut room) = (true, call.room);
        for result in results {
            let commands = self.types.get_mut(of_type).map(|t| &mut t.outstanding);
            let index = commands
                .as_ref()
                .and_then(|c| c.iter().position(|c| c.id == result.id));
            if let (Some(commands), Some(index)) = (commands, index) {
                commands.remove(index);
                self.outstanding -= 1;
            }
            all_known &= index.is_some();
            call.note(EventKind::CommandResult {
                command_type: of_type.into(),
                id: result.id,
                known: index.is_some(),
                status_code: result.status_code,
                reason_phrase: result.reason_phrase.clone(),
                payload: result.payload.clone(),
            });
            self.keep(of_type, result, &mut room);
        }
        if !all_known && call.switches.unknown_result == UnknownResult::NotFound {
            return Err(Refusal::denied(404, "Unknown command"));
        }
        Ok(match call.switches.result_success {
            ResultSuccess::Status => Reply::done(),
            ResultSuccess::Silence => Reply::Silence,
        })
    }

    /// Keeps a result, if older ones leave room for it.
    fn keep(&mut self, of_type: &str, result: CommandResult, room: &mut usize) {
        let weight = weight_of(of_type, &result);
        while self.results.len() == MAX_RESULTS || *room < weight {
            let Some((of_type, oldest)) = self.results.pop_front() else {
                return;
            };
            *room += weight_of(&of_type, &oldest);
        }
        *room -= weight;
        self.results.push_back((of_type.into(), result));
    }

    fn check_room(&self, of_type: &str) -> Result<(), Refusal> {
        match self.types.len() >= MAX_TYPES && !self.types.contains_key(of_type) {
            true => Err(Refusal::denied(429, "Too many command types")),
            false => Ok(()),
        }
    }
}

impl Weigh for Commands {
    fn weigh(&self) -> usize {
        let types = self.types.keys().map(|name| TYPE + name.len());
        let results = self.results.iter();
        let results = results.map(|(of_type, result)| weight_of(of_type, result));
        types.chain(results).sum()
    }
}

fn weight_of(of_type: &str, result: &CommandResult) -> usize {
    let CommandResult {
        reason_phrase,
        payload,
        ..
    } = result;
    RESULT + of_type.len() + reason_phrase.weigh() + payload.weigh()
}

fn push_of(
    resource: String,
    observation: &Observation,
    entry: &Value,
    switches: &Switches,
) -> Push {
    Push {
        resource,
        ids: observation.push_ids(switches.push_topic),
        payload: json!([entry]).to_string().into_bytes(),
    }
}

/// A command as it stands in an array; `type` on the path of all types only.
fn json_of(of_type: Option<&str>, id: i64, payload: Option<&Value>) -> Value {
    let mut entry = json!({"id": id});
    if let Some(of_type) = of_type {
        entry["type"] = json!(of_type);
    }
    if let Some(payload) = payload {
        entry["payload"] = payload.clone();
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::super::testing::Bench;
    use super::*;
    use crate::names::EndpointName;

    fn result(id: i64) -> CommandResult {
        CommandResult {
            id,
            status_code: 200,
            reason_phrase: None,
            payload: None,
        }
    }

    fn kept(commands: &Commands) -> Vec<i64> {
        let results = commands.results.iter();
        results.map(|(_, result)| result.id).collect()
    }

    #[test]
    fn the_newest_results_are_kept_that_fit_into_the_room() {
        let mut commands = Commands::default();
        let weight = weight_of("reboot", &result(1));
        let mut keep = |result, mut room: usize| {
            commands.keep("reboot", result, &mut room);
            (kept(&commands), room)
        };
        assert_eq!(keep(result(1), 3 * weight), (vec![1], 2 * weight));
        assert_eq!(keep(result(2), 2 * weight), (vec![1, 2], weight));
        assert_eq!(keep(result(3), weight), (vec![1, 2, 3], 0));
        assert_eq!(keep(result(4), 0), (vec![2, 3, 4], 0));
        let mut large = result(5);
        large.reason_phrase = Some("x".repeat(weight));
        assert_eq!(keep(large, 1), (vec![4, 5], 1));
        let mut larger = result(6);
        larger.reason_phrase = Some("x".repeat(9 * weight));
        assert!(keep(larger, 0).0.is_empty(), "it does not fit at all");
    }

    #[test]
    fn no_more_results_are_kept_than_there_may_be() {
        let mut commands = Commands::default();
        let mut room = usize::MAX / 2;
        for id in 0..=MAX_RESULTS as i64 {
            commands.keep("reboot", result(id), &mut room);
        }
        let expected: Vec<_> = (1..=MAX_RESULTS as i64).collect();
        assert_eq!(kept(&commands), expected);
    }

    #[test]
    fn a_push_starts_the_time_of_its_own_command_only() {
        let mut bench = Bench::with(&[
            ("command-clock", "delivery"),
            ("command-ttl", "60s"),
            ("delivery", "last-speaker"),
        ]);
        let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
        let unreached = bench.command(&name, "reboot", None);
        bench.publish("kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
        let pushed = bench.command(&name, "reboot", None);
        assert_ne!(unreached, pushed);
        assert!(!bench.is_silent());
        bench.advance(61);
        bench.publish("kp1/demo-v1/cex/JTjdbENzHh/command/reboot/1", "");
        assert_eq!(bench.answer().1, format!(r#"[{{"id":{unreached}}}]"#));
    }
}
