//! Results of commands: from lines of standard input, and from programs that ran.

use kaa_blocking::commands::{CommandId, CommandResult};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::exec::Ran;
use crate::json;
use crate::lines::Line;

/// A result as it is written on a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written<'a> {
    r#type: String,
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(default = "ok")]
    status_code: u16,
    reason_phrase: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

const fn ok() -> u16 {
    200
}

/// Which command a result is for: its type, and its ID as JSON.
pub(super) type Key = (String, String);

/// Reads the result on a line.
///
/// # Errors
/// It is none; says where.
pub(super) fn of_line(line: &Line) -> Result<(Key, CommandResult), String> {
    let number = line.number;
    let text = line.text.as_ref();
    let text = text.map_err(|problem| format!("line {number} {problem}"))?;
    let written: Written<'_> = serde_json::from_str(text)
        .map_err(|error| format!("no result: {}", json::place(&error, Some(number))))?;
    let id = CommandId::from_json(written.id.get())
        .map_err(|error| format!("line {number}: {error}"))?;
    let mut result = CommandResult::new(written.status_code);
    if let Some(reason) = written.reason_phrase {
        result = result.with_reason(reason);
    }
    let result = match written.payload {
        Some(payload) => result
            .with_payload(payload)
            .map_err(|error| error.to_string())?,
        None => result,
    };
    Ok(((written.r#type, id.as_json().into()), result))
}

/// What a program did, as a result.
pub(super) fn of_run(ran: Ran) -> CommandResult {
    let result = match ran.failure {
        None => CommandResult::ok(),
        Some(failed) => CommandResult::failed(failed.status, failed.words),
    };
    if ran.output.is_empty() {
        return result;
    }
    let payload = RawValue::from_string(json::shown(ran.output.as_bytes()));
    let with_payload = payload.map(|payload| result.clone().with_payload(&payload));
    match with_payload {
        Ok(Ok(with_payload)) => with_payload,
        // It is JSON, or a string; so this does not happen.
        _ => result,
    }
}
