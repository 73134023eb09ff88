//! Commands to the device, and their results (11/CEP, `cex`).
//!
//! The platform repeats every command of a type until its result was reported or its time is up
//! (60 s unless the operator says otherwise, FACTS trap 29). Commands are often not idempotent, so
//! they are told apart by endpoint, type and ID (FACTS trap 26). PAGE shows the request where it
//! means the answer (FACTS trap 21); the answer is an array of commands.
//!
//! ```
//! use kaa_proto::commands::Pending;
//! use kaa_proto::names::CommandType;
//! use kaa_proto::request::Prepared;
//!
//! let request = Prepared::new(&Pending::new(CommandType::new("reboot")?))?;
//! assert_eq!(request.resource(), "command/reboot");
//! assert_eq!(request.payload(), b"{}");
//! # Ok::<(), kaa_proto::request::InvalidRequest>(())
//! ```

mod report;

pub(crate) use report::resend;
pub use report::{CommandResult, Report};

use std::fmt::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer as _, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::{first_byte, present};
use crate::names::CommandType;
use crate::request::{
    DecodeError, Effect, InvalidRequest, Prepared, Reply, Request, RequestWriter, Service,
};

/// The longest command ID in bytes of JSON. Real ones are 32-bit numbers; the bound keeps what
/// the ledger remembers small.
pub const MAX_COMMAND_ID_LEN: usize = 128;

/// The ID of a command: unique for its endpoint and type (11/CEP).
///
/// It is kept as the platform wrote it, so that a result names exactly what was asked: numbers of
/// any size (FACTS trap 39) and, although 11/CEP knows only numbers, strings. Ordered by its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(Arc<str>);

impl CommandId {
    /// The ID of this JSON text, a number or a string.
    ///
    /// # Errors
    /// [`InvalidRequest::Content`] if it is something else, or longer than
    /// [`MAX_COMMAND_ID_LEN`].
    pub fn from_json(json: &str) -> Result<Self, InvalidRequest> {
        serde_json::from_str::<&RawValue>(json)
            .ok()
            .and_then(Self::read)
            .ok_or(InvalidRequest::Content(
                "a command ID is a JSON number or string of at most 128 bytes",
            ))
    }

    /// The JSON text, as the platform wrote it.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The number, if it is a whole one of at most 64 bits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    fn read(json: &RawValue) -> Option<Self> {
        let text = json.get();
        let known = text.starts_with(|c: char| matches!(c, '"' | '-') || c.is_ascii_digit());
        (known && text.len() <= MAX_COMMAND_ID_LEN).then(|| Self(text.into()))
    }
}

impl From<i64> for CommandId {
    fn from(id: i64) -> Self {
        Self(id.to_string().into())
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommandId({})", self.0)
    }
}

/// A command that the platform sent. `Debug` shows the payload's length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    command_type: CommandType,
    id: CommandId,
    payload: Option<Arc<str>>,
    /// How often it was in progress when the program ended.
    interruptions: u32,
}

impl Command {
    pub(crate) const fn new(
        command_type: CommandType,
        id: CommandId,
        payload: Option<Arc<str>>,
    ) -> Self {
        Self {
            command_type,
            id,
            payload,
            interruptions: 0,
        }
    }

    pub(crate) fn interrupted(self, interruptions: u32) -> Self {
        Self {
            interruptions,
            ..self
        }
    }

    /// Whether it was in progress when an earlier run of the program ended, as the store knows:
    /// it may have been run, wholly or in part.
    #[must_use]
    pub const fn is_interrupted(&self) -> bool {
        self.interruptions > 0
    }

    /// How many runs of the program ended while it was in progress: one that is interrupted again
    /// and again may be what ends them.
    #[must_use]
    pub const fn interruptions(&self) -> u32 {
        self.interruptions
    }

    /// What it takes while it waits to be read, in bytes of type, ID and payload.
    pub(crate) fn size(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, |payload| payload.len());
        self.command_type.as_str().len() + self.id.as_json().len() + payload
    }

    /// Its type.
    #[must_use]
    pub const fn command_type(&self) -> &CommandType {
        &self.command_type
    }

    /// Its ID, unique for this endpoint and type.
    #[must_use]
    pub const fn id(&self) -> &CommandId {
        &self.id
    }

    /// Its payload as the JSON text that came; `None` if it has none.
    #[must_use]
    pub fn payload_json(&self) -> Option<&str> {
        self.payload.as_deref()
    }

    /// Reads its payload; a missing one reads as `null`, so that `Option<T>` and `()` take it.
    ///
    /// # Errors
    /// [`DecodeError`] if it is not a `T`. The command stays as it is: it can be read again, or be
    /// answered with a failure.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(self.payload_json().unwrap_or("null"))
            .map_err(|error| DecodeError::json("command payload", &error))
    }

    /// Its payload as a JSON value; a missing one is [`Value::Null`].
    ///
    /// # Errors
    /// [`DecodeError`] if it is nested more than 127 deep.
    pub fn value(&self) -> Result<Value, DecodeError> {
        self.payload()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("type", &self.command_type.as_str())
            .field("id", &self.id)
            .field("payload_len", &self.payload.as_ref().map(|json| json.len()))
            .finish()
    }
}

/// Asks for the outstanding commands of one type: `command/{type}`.
///
/// The response are those that this endpoint has not yet finished or under way. Without an answer
/// to wait for (another [`Confirm`](crate::request::Confirm)) the response is empty: the platform may then send the
/// commands as a push.
#[derive(Clone, Debug)]
pub struct Pending {
    command_type: CommandType,
}

impl Pending {
    /// Asks for those of this type.
    #[must_use]
    pub const fn new(command_type: CommandType) -> Self {
        Self { command_type }
    }
}

impl Request for Pending {
    type Response = Vec<Command>;

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        out.start(Service::Commands, &command_resource(&self.command_type))?;
        out.pattern(COMMAND_PATTERN);
        out.bytes(b"{}");
        out.effect(Effect::Pending(self.command_type.clone()));
        Ok(())
    }

    fn decode(reply: &Reply) -> Result<Vec<Command>, DecodeError> {
        let asked = reply.resource().strip_prefix("command/");
        let command_type = asked.and_then(|name| CommandType::new(name).ok());
        Ok(parse_list(reply.payload(), command_type.as_ref())?.commands)
    }
}

/// Tells the platform to push the commands of a type, or to stop. The answer to the first holds
/// what is outstanding; what answers the second is of no interest.
pub(crate) fn observe(command_type: &CommandType, observe: bool) -> Prepared {
    let payload: &[u8] = match observe {
        true => br#"{"observe":true}"#,
        false => br#"{"observe":false}"#,
    };
    let resource = command_resource(command_type);
    Prepared {
        pattern: Some(COMMAND_PATTERN),
        effect: match observe {
            true => Effect::Pending(command_type.clone()),
            false => Effect::None,
        },
        ..Prepared::of_valid(Service::Commands, &resource, payload.to_vec())
    }
}

/// What a message with commands holds.
#[derive(Debug)]
pub(crate) struct CommandList {
    /// Those that can be read, in the order they came.
    pub(crate) commands: Vec<Command>,
    /// How many elements are no commands.
    pub(crate) malformed: usize,
    /// Whether they were listed, and each can be read: what is not among them is not outstanding.
    /// Nothing, "not modified" or a lone command do not say that.
    pub(crate) is_complete: bool,
}

/// Reads an answer or a push: an array of commands, a single one, or nothing. `command_type` is
/// that of the topic; without one, each element says its own (11/CEP, all types).
pub(crate) fn parse_list(
    payload: &[u8],
    command_type: Option<&CommandType>,
) -> Result<CommandList, DecodeError> {
    let mut list = CommandList {
        commands: Vec::new(),
        malformed: 0,
        is_complete: false,
    };
    each_element(payload, |element| {
        match parse_command(element, command_type) {
            Some(command) => list.commands.push(command),
            None => list.malformed += 1,
        }
    })
    .map_err(|error| DecodeError::json("command list", &error))?;
    list.is_complete = list.malformed == 0 && first_byte(payload) == Some(b'[');
    Ok(list)
}

/// Writes commands of one type the way [`parse_list`] reads them: what the ledger leaves of an
/// answer to [`Pending`].
pub(crate) fn write_list(commands: &[Command]) -> Bytes {
    let mut list = String::from("[");
    for command in commands {
        let separator = if list.len() > 1 { "," } else { "" };
        // Writing to a `String` cannot fail, and all parts are JSON already.
        let _ = write!(list, "{separator}{{\"id\":{}", command.id);
        if let Some(payload) = &command.payload {
            let _ = write!(list, ",\"payload\":{payload}");
        }
        if command.is_interrupted() {
            let _ = write!(list, ",\"interrupted\":{}", command.interruptions);
        }
        list.push('}');
    }
    list.push(']');
    list.into_boxed_str().into_boxed_bytes().into()
}

const COMMAND_PATTERN: &str = "command/+";

fn command_resource(command_type: &CommandType) -> String {
    format!("command/{command_type}")
}

/// Takes the elements of an array one by one, because there may be a hundred thousand of them; one
/// object alone counts as one, nothing and `null` as none.
fn each_element<'a>(
    payload: &'a [u8],
    mut take: impl FnMut(&'a RawValue),
) -> serde_json::Result<()> {
    match first_byte(payload) {
        None => Ok(()),
        Some(b'{') => serde_json::from_slice(payload).map(take),
        Some(b'n') => serde_json::from_slice(payload),
        Some(_) => {
            let mut json = serde_json::Deserializer::from_slice(payload);
            json.deserialize_seq(Elements(&mut take))?;
            json.end()
        }
    }
}

struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of commands")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            (self.0)(element);
        }
        Ok(())
    }
}

fn parse_command(element: &RawValue, command_type: Option<&CommandType>) -> Option<Command> {
    let json = element.get();
    // serde would read an array as the fields in their order.
    let element: Element<'_> = match json.starts_with('{') {
        true => serde_json::from_str(json).ok()?,
        false => return None,
    };
    let command_type = match (command_type, element.command_type) {
        (Some(command_type), _) => command_type.clone(),
        (None, Some(name)) => {
            let name: String = serde_json::from_str(name.get()).ok()?;
            CommandType::new(name).ok()?
        }
        (None, None) => return None,
    };
    let id = CommandId::read(element.id)?;
    let payload = element.payload.map(|payload| payload.get().into());
    let interrupted = element.interrupted.and_then(|json| json.get().parse().ok());
    let command = Command::new(command_type, id, payload);
    Some(command.interrupted(interrupted.unwrap_or_default()))
}

/// One command as it comes. Other fields are ignored (FACTS trap 25).
#[derive(Deserialize)]
struct Element<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    /// Only where several types are mixed.
    #[serde(borrow, rename = "type")]
    command_type: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    /// Written by [`write_list`] only; the ledger has the last word on what the platform sends.
    #[serde(borrow)]
    interrupted: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::request::{Confirm, RequestExt, Resend};

    fn reboot() -> CommandType {
        CommandType::new("reboot").unwrap()
    }

    fn parsed(payload: &str) -> (Vec<String>, usize) {
        let list = parse_list(payload.as_bytes(), Some(&reboot())).unwrap();
        let shown = list.commands.iter().map(|command| {
            assert_eq!(command.command_type(), &reboot());
            format!("{} {:?}", command.id(), command.payload_json())
        });
        (shown.collect(), list.malformed)
    }

    #[test]
    fn pending_is_asked_for_by_type() {
        let request = Prepared::new(&Pending::new(reboot())).unwrap();
        assert_eq!(request.service(), &Service::Commands);
        assert_eq!(request.resource(), "command/reboot");
        assert_eq!(request.pattern, Some("command/+"));
        assert_eq!(request.payload(), b"{}");
        assert_eq!(request.effect, Effect::Pending(reboot()));
        assert_eq!(request.policy().confirm, Confirm::Answered);
        assert_eq!(request.policy().resend, Resend::AfterLinkLoss);
        let silent = Pending::new(reboot()).confirm(Confirm::Nothing);
        assert!(!Prepared::new(&silent).unwrap().with_id);
    }

    #[test]
    fn an_observation_is_what_the_page_shows() {
        let start = observe(&reboot(), true);
        assert_eq!(start.service(), &Service::Commands);
        assert_eq!(start.resource(), "command/reboot");
        assert_eq!(start.pattern, Some("command/+"));
        assert_eq!(start.payload(), br#"{"observe":true}"#);
        assert_eq!(start.effect, Effect::Pending(reboot()));
        assert!(start.with_id);
        let stop = observe(&reboot(), false);
        assert_eq!(stop.payload(), br#"{"observe":false}"#);
        assert_eq!(stop.effect, Effect::None);
    }

    #[test]
    fn a_list_is_an_array_one_object_or_nothing() {
        let one = (vec![String::from(r#"1 Some("{\"delay\":5}")"#)], 0);
        assert_eq!(parsed(r#"[{"id":1,"payload":{"delay":5}}]"#), one);
        assert_eq!(parsed(r#" {"id":1,"payload":{"delay":5}} "#), one);
        for none in ["[]", "", " \n", "null"] {
            assert_eq!(parsed(none), (Vec::new(), 0), "{none:?}");
        }
        for other in ["7", "\"a\"", "[", "{", "nul", "[{]", "\u{0}"] {
            assert!(parse_list(other.as_bytes(), None).is_err(), "{other:?}");
        }
        assert!(parse_list(b"[{\"id\":1,\"payload\":\"\xff\"}]", None).is_err());
    }

    /// FACTS trap 21: what PAGE shows as the answer is the request.
    #[test]
    fn trap_21_the_request_that_the_page_shows_as_the_answer_is_no_command() {
        assert_eq!(parsed(r#"{"observe":true}"#), (Vec::new(), 1));
    }

    /// FACTS trap 25.
    #[test]
    fn trap_25_other_fields_of_a_command_are_ignored() {
        assert_eq!(
            parsed(r#"[{"statusCode":200,"type":7,"id":1,"x":{"id":2},"reasonPhrase":null}]"#),
            (vec![String::from("1 None")], 0)
        );
    }

    /// FACTS trap 39.
    #[test]
    fn trap_39_ids_of_any_size_and_form_are_kept_as_they_came() {
        let ids = [
            "0",
            "-1",
            "2147483648",
            "9223372036854775807",
            "99999999999999999999999999",
            "1.5",
            "1e3",
            r#""a-\u0031""#,
        ];
        for id in ids {
            let list = parsed(&format!(r#"[{{"id":{id}}}]"#));
            assert_eq!(list, (vec![format!("{id} None")], 0));
            assert_eq!(CommandId::from_json(id).unwrap().as_json(), id);
        }
        assert_eq!(CommandId::from(7).as_i64(), Some(7));
        assert_eq!(CommandId::from_json("1.5").unwrap().as_i64(), None);
        assert_eq!(CommandId::from_json(ids[4]).unwrap().as_i64(), None);
        for id in [
            "",
            "a",
            "null",
            "true",
            "[1]",
            "{}",
            "1 2",
            &"1".repeat(129),
        ] {
            assert!(CommandId::from_json(id).is_err(), "{id}");
        }
    }

    #[test]
    fn malformed_elements_are_counted_and_the_others_kept() {
        let long = "1".repeat(129);
        let list = format!(
            r#"[{{"id":1}},{{}},{{"id":null}},{{"id":[2]}},{{"id":{long}}},7,[3,"reboot",5],null,{{"id":4}}]"#
        );
        let kept = vec![String::from("1 None"), String::from("4 None")];
        assert_eq!(parsed(&list), (kept, 7));
    }

    #[test]
    fn without_a_type_in_the_topic_each_command_says_its_own() {
        let list =
            br#"[{"id":1,"type":"reboot"},{"id":1,"type":"a/b"},{"id":2},{"id":3,"type":5}]"#;
        let list = parse_list(list, None).unwrap();
        assert_eq!(
            list.commands,
            [Command::new(reboot(), CommandId::from(1), None)]
        );
        assert_eq!(list.malformed, 3);
    }

    #[test]
    fn a_payload_that_is_null_is_not_an_absent_one() {
        assert_eq!(
            parsed(r#"[{"id":1,"payload":null},{"id":2}]"#).0,
            [r#"1 Some("null")"#, "2 None"]
        );
        let absent = Command::new(reboot(), CommandId::from(1), None);
        assert_eq!(absent.payload::<Option<u8>>(), Ok(None));
        assert_eq!(absent.value(), Ok(Value::Null));
        assert!(absent.payload::<u8>().is_err());
        let given = Command::new(reboot(), CommandId::from(1), Some(r#"{"delay":5}"#.into()));
        assert_eq!(given.value(), Ok(json!({"delay": 5})));
    }

    #[test]
    fn a_command_shows_no_payload() {
        let command = Command::new(reboot(), CommandId::from(1), Some("\"secret\"".into()));
        assert_eq!(
            format!("{command:?}"),
            r#"Command { type: "reboot", id: CommandId(1), payload_len: Some(8) }"#
        );
    }

    #[test]
    fn what_the_ledger_leaves_is_what_pending_reads() {
        let commands = [
            Command::new(reboot(), CommandId::from(1), None),
            Command::new(reboot(), CommandId::from(2), Some("[0]".into())),
        ];
        let list = write_list(&commands);
        assert_eq!(list, r#"[{"id":1},{"id":2,"payload":[0]}]"#);
        let reply = Reply::new(Confirm::Answered, "command/reboot".into(), list);
        assert_eq!(Pending::decode(&reply).unwrap(), commands);
        assert_eq!(write_list(&[]), "[]");
        let silent = Reply::new(Confirm::Nothing, "command/reboot".into(), Bytes::new());
        assert_eq!(Pending::decode(&silent).unwrap(), []);
    }

    /// A deep payload is not followed: it is read whole or not at all.
    #[test]
    fn a_deeply_nested_payload_does_no_harm() {
        let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
        let list = format!(r#"[{{"id":1,"payload":{deep}}}]"#);
        let list = parse_list(list.as_bytes(), Some(&reboot())).unwrap();
        assert_eq!(list.commands.len(), 1);
        assert!(list.commands[0].value().is_err());
    }

    #[test]
    fn how_often_a_command_was_interrupted_is_kept() {
        let command = |times| Command::new(reboot(), CommandId::from(1), None).interrupted(times);
        let list = write_list(&[command(0), command(2)]);
        assert_eq!(list, r#"[{"id":1},{"id":1,"interrupted":2}]"#);
        let read = parse_list(&list, Some(&reboot())).unwrap().commands;
        assert_eq!(read, [command(0), command(2)]);
        assert_eq!(
            (read[0].is_interrupted(), read[0].interruptions()),
            (false, 0)
        );
        assert_eq!(
            (read[1].is_interrupted(), read[1].interruptions()),
            (true, 2)
        );
    }
}
