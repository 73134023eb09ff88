//! What devices may send: the request schemas of 7/CMP, 10/EPMP and 11/CEP, checked strictly.
//!
//! A payload that a schema forbids is answered by `/error` 400 with what is wrong with it.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::answer::Refusal;
use super::weight;

type Checked<T> = Result<T, Refusal>;

/// `{"configId"?, "observe"?}` of 7/CMP.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ConfigRequest {
    pub(super) config_id: Option<String>,
    pub(super) observe: Option<bool>,
}

/// `{"configId", "statusCode"?, "reasonPhrase"?}` of 7/CMP.
#[derive(Debug, PartialEq)]
pub(super) struct Applied {
    pub(super) config_id: String,
    /// 200 where absent; a float is legal (FACTS trap 39).
    pub(super) status_code: f64,
    pub(super) reason_phrase: Option<String>,
}

/// One element of the result array of 11/CEP.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CommandResult {
    pub(super) id: i64,
    pub(super) status_code: i64,
    pub(super) reason_phrase: Option<String>,
    pub(super) payload: Option<Value>,
}

/// Any JSON value.
pub(super) fn json(payload: &[u8]) -> Checked<Value> {
    // Nothing is built of what turns out to be none at its end.
    let built = weight::of_json(payload).and_then(|_| serde_json::from_slice(payload));
    built.map_err(|error| {
        Refusal::breach(
            400,
            format!(
                "Malformed JSON at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })
}

/// The `observe` of a command request; an empty payload is `{}`.
pub(super) fn command_request(payload: &[u8]) -> Checked<Option<bool>> {
    let mut fields = object_or_empty(payload)?;
    let observe = flag(&mut fields, "observe")?;
    nothing_else(&fields)?;
    Ok(observe)
}

/// A configuration request; an empty payload is `{}`.
pub(super) fn config_request(payload: &[u8]) -> Checked<ConfigRequest> {
    let mut fields = object_or_empty(payload)?;
    let request = ConfigRequest {
        config_id: text(&mut fields, "configId")?,
        observe: flag(&mut fields, "observe")?,
    };
    nothing_else(&fields)?;
    Ok(request)
}

/// The report of an applied configuration.
pub(super) fn applied(payload: &[u8]) -> Checked<Applied> {
    let mut fields = object(json(payload)?)?;
    let status_code = match fields.remove("statusCode") {
        None => Some(200.0),
        Some(value) => value.as_f64(),
    };
    let applied = Applied {
        config_id: text(&mut fields, "configId")?.ok_or_else(|| missing("configId"))?,
        status_code: status_code.ok_or_else(|| wrong_type("statusCode", "a number"))?,
        reason_phrase: text(&mut fields, "reasonPhrase")?,
    };
    nothing_else(&fields)?;
    Ok(applied)
}

/// An array of command results.
pub(super) fn results(payload: &[u8]) -> Checked<Vec<CommandResult>> {
    array(json(payload)?)?.into_iter().map(result).collect()
}

/// The chosen keys of a metadata read; `None` for all of them.
pub(super) fn metadata_request(payload: &[u8]) -> Checked<Option<Vec<String>>> {
    let mut fields = object_or_empty(payload)?;
    let keys = fields.remove("keys").map(metadata_keys).transpose()?;
    nothing_else(&fields)?;
    Ok(keys)
}

/// A metadata object with at least one property.
pub(super) fn metadata_object(payload: &[u8]) -> Checked<Map<String, Value>> {
    let fields = object(json(payload)?)?;
    if fields.is_empty() {
        return Err(Refusal::breach(400, "At least one property is required"));
    }
    fields.keys().try_for_each(|key| metadata_key(key))?;
    Ok(fields)
}

/// The array of a metadata delete: at least one key.
pub(super) fn metadata_deletion(payload: &[u8]) -> Checked<Vec<String>> {
    let keys = metadata_keys(json(payload)?)?;
    match keys.is_empty() {
        true => Err(Refusal::breach(400, "At least one key is required")),
        false => Ok(keys),
    }
}

fn result(value: Value) -> Checked<CommandResult> {
    let mut fields = object(value)?;
    let result = CommandResult {
        id: integer(&mut fields, "id")?,
        status_code: integer(&mut fields, "statusCode")?,
        reason_phrase: text(&mut fields, "reasonPhrase")?,
        payload: fields.remove("payload"),
    };
    nothing_else(&fields)?;
    Ok(result)
}

fn metadata_keys(value: Value) -> Checked<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for item in array(value)? {
        let Value::String(key) = item else {
            return Err(wrong_type("key", "a string"));
        };
        metadata_key(&key)?;
        if !seen.insert(key.clone()) {
            return Err(Refusal::breach(400, "Keys must be unique"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn metadata_key(key: &str) -> Checked<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !key.is_empty() && key.chars().all(fits) {
        return Ok(());
    }
    Err(Refusal::breach(400, "A key must match ^[a-zA-Z0-9_]+$"))
}

fn object_or_empty(payload: &[u8]) -> Checked<Map<String, Value>> {
    match payload.is_empty() {
        true => Ok(Map::new()),
        false => object(json(payload)?),
    }
}

fn object(value: Value) -> Checked<Map<String, Value>> {
    if let Value::Object(fields) = value {
        Ok(fields)
    } else {
        Err(wrong_type("payload", "an object"))
    }
}

fn array(value: Value) -> Checked<Vec<Value>> {
    if let Value::Array(items) = value {
        Ok(items)
    } else {
        Err(wrong_type("payload", "an array"))
    }
}

fn text(fields: &mut Map<String, Value>, key: &str) -> Checked<Option<String>> {
    match fields.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong_type(key, "a string")),
    }
}

fn flag(fields: &mut Map<String, Value>, key: &str) -> Checked<Option<bool>> {
    match fields.remove(key) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(_) => Err(wrong_type(key, "a boolean")),
    }
}

fn integer(fields: &mut Map<String, Value>, key: &str) -> Checked<i64> {
    let value = fields.remove(key).ok_or_else(|| missing(key))?;
    value.as_i64().ok_or_else(|| wrong_type(key, "an integer"))
}

/// `additionalProperties: false`. The unknown key is named: a device's author looks for it.
fn nothing_else(fields: &Map<String, Value>) -> Checked<()> {
    match fields.keys().next() {
        None => Ok(()),
        Some(key) => Err(Refusal::breach(400, format!("Unexpected property {key:?}"))),
    }
}

fn missing(key: &str) -> Refusal {
    Refusal::breach(400, format!("{key} is required"))
}

fn wrong_type(key: &str, kind: &str) -> Refusal {
    Refusal::breach(400, format!("{key} must be {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason<T: std::fmt::Debug>(checked: Checked<T>) -> String {
        let refusal = checked.unwrap_err();
        assert!(refusal.is_breach && refusal.status == 400);
        refusal.reason
    }

    #[test]
    fn the_examples_of_the_device_api_page_pass() {
        assert_eq!(command_request(br#"{"observe": true}"#), Ok(Some(true)));
        assert_eq!(command_request(b""), Ok(None));
        assert_eq!(config_request(b"{}"), Ok(ConfigRequest::default()));
        let page = br#"{"configId": "97016dbe8bb4adff8f754ecbf24612f2"}"#;
        assert_eq!(applied(page).map(|a| a.status_code), Ok(200.0));
        assert_eq!(
            metadata_deletion(br#"["location","areaId"]"#).map(|keys| keys.len()),
            Ok(2)
        );
        let page =
            br#"[{"id":1,"statusCode":200,"reasonPhrase":"Ok","payload":{"engine_on":true}}]"#;
        assert_eq!(results(page).map(|r| r.len()), Ok(1));
        assert_eq!(results(b"[]"), Ok(vec![]));
        assert_eq!(metadata_request(br#"{"keys":[]}"#), Ok(Some(vec![])));
    }

    #[test]
    fn what_the_schemas_forbid_is_refused_with_the_reason() {
        assert_eq!(
            reason(json(b"{\"a\":")),
            "Malformed JSON at line 1 column 5"
        );
        assert_eq!(reason(json(b"\xff")), "Malformed JSON at line 1 column 1");
        assert_eq!(reason(command_request(b"[]")), "payload must be an object");
        assert_eq!(
            reason(command_request(br#"{"observe":1}"#)),
            "observe must be a boolean"
        );
        assert_eq!(
            reason(command_request(br#"{"id":1}"#)),
            "Unexpected property \"id\""
        );
        assert_eq!(
            reason(config_request(br#"{"configId":7}"#)),
            "configId must be a string"
        );
        assert_eq!(
            reason(applied(br#"{"statusCode":400}"#)),
            "configId is required"
        );
        assert_eq!(
            reason(applied(br#"{"configId":"a","statusCode":"200"}"#)),
            "statusCode must be a number"
        );
        assert_eq!(
            reason(results(br#"{"id":1,"statusCode":200}"#)),
            "payload must be an array"
        );
        assert_eq!(reason(results(br#"[{"id":1}]"#)), "statusCode is required");
        assert_eq!(
            reason(results(br#"[{"id":1.5,"statusCode":200}]"#)),
            "id must be an integer"
        );
        assert_eq!(
            reason(results(br#"[{"id":1,"statusCode":200,"type":"x"}]"#)),
            "Unexpected property \"type\""
        );
        assert_eq!(
            reason(metadata_object(b"{}")),
            "At least one property is required"
        );
        assert_eq!(
            reason(metadata_object(br#"{"a-b":1}"#)),
            "A key must match ^[a-zA-Z0-9_]+$"
        );
        assert_eq!(
            reason(metadata_deletion(b"[]")),
            "At least one key is required"
        );
        assert_eq!(
            reason(metadata_deletion(br#"["a","a"]"#)),
            "Keys must be unique"
        );
        assert_eq!(reason(metadata_deletion(b"[1]")), "key must be a string");
        assert_eq!(
            reason(metadata_request(br#"{"keys":"a"}"#)),
            "payload must be an array"
        );
    }
}
