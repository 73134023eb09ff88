//! The rules of the RFCs for payloads of devices, as code. Each function says what is wrong.

use std::collections::BTreeSet;

use serde_json::Value;

type Kept = Result<(), String>;

/// An object with these fields, of which the second may be missing, and no other.
pub(crate) fn fields(value: &Value, required: &[&str], optional: &[&str]) -> Kept {
    let object = value.as_object().ok_or("it is no object")?;
    if let Some(field) = required.iter().find(|field| !object.contains_key(**field)) {
        return Err(format!("{field} is missing"));
    }
    let known =
        |key: &&String| required.contains(&key.as_str()) || optional.contains(&key.as_str());
    match object.keys().find(|key| !known(key)) {
        Some(key) => Err(format!("{key} has no place there")),
        None => Ok(()),
    }
}

/// 10/EPMP `update` and `update/keys`.
pub(crate) fn metadata(value: &Value) -> Kept {
    let object = value.as_object().ok_or("it is no object")?;
    if object.is_empty() {
        return Err("it is empty".into());
    }
    object.keys().try_for_each(|key| metadata_key(key))
}

/// 10/EPMP `delete/keys`, and the keys of `get`.
pub(crate) fn keys(value: &Value) -> Kept {
    let keys = value.as_array().ok_or("it is no array")?;
    if keys.is_empty() {
        return Err("it is empty".into());
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        let key = key.as_str().ok_or("a key is no text")?;
        metadata_key(key)?;
        if !seen.insert(key) {
            return Err(format!("{key} is there twice"));
        }
    }
    Ok(())
}

/// An element of 11/CEP `result`.
pub(crate) fn result(value: &Value) -> Kept {
    fields(value, &["id", "statusCode"], &["reasonPhrase", "payload"])?;
    is(value, "id", is_integer)?;
    is(value, "statusCode", is_integer)?;
    is(value, "reasonPhrase", Value::is_string)
}

/// 7/CMP `config`.
pub(crate) fn query(value: &Value) -> Kept {
    fields(value, &[], &["configId", "observe"])?;
    is(value, "configId", Value::is_string)?;
    is(value, "observe", Value::is_boolean)
}

/// 7/CMP `applied`, with what PAGE says of the status: 200, or 400 and above.
pub(crate) fn verdict(value: &Value) -> Kept {
    fields(value, &["configId"], &["statusCode", "reasonPhrase"])?;
    is(value, "configId", |id| {
        id.as_str().is_some_and(|id| !id.is_empty())
    })?;
    is(value, "statusCode", |status| {
        status.as_u64().is_some_and(|status| status >= 400)
    })?;
    is(value, "reasonPhrase", Value::is_string)
}

/// A path with a name at its end, if there is one.
pub(crate) fn path(resource: &str, name: Option<&str>) -> String {
    name.map_or_else(|| resource.into(), |name| format!("{resource}/{name}"))
}

/// A number at the begin of a text, and what follows it: as long a number as there is.
pub(crate) fn plain(text: &str) -> (Option<f64>, &str) {
    let begins_number = |len: &usize| {
        let number = text.get(..*len).filter(|text| !text.starts_with(' '));
        let looks_like_one = |text: &str| text.chars().all(|c| "+-.0123456789eE".contains(c));
        number
            .filter(|text| looks_like_one(text))
            .and_then(|text| text.parse::<f64>().ok())
            .is_some()
    };
    let len = (1..=text.len())
        .rev()
        .find(begins_number)
        .unwrap_or_default();
    let (number, unit) = text.split_at(len);
    (number.parse().ok(), unit)
}

fn metadata_key(key: &str) -> Kept {
    let is_valid = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_valid
        .then_some(())
        .ok_or_else(|| format!("{key:?} is no key"))
}

/// A field is as it has to be, if it is there.
fn is(value: &Value, field: &str, rule: impl Fn(&Value) -> bool) -> Kept {
    match value.get(field) {
        Some(value) if !rule(value) => Err(format!("{field} is {value}")),
        _ => Ok(()),
    }
}

/// A whole number of any size.
fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}
