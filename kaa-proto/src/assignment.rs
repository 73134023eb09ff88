//! What configurations and software updates share: 7/CMP, where the platform assigns a document
//! with an identifier to an endpoint, and the endpoint says what it applied.
//!
//! PAGE shows the requests where it means the answers (FACTS trap 21); an answer is
//! `{"configId", "config", "statusCode", "reasonPhrase", "id"}`, each optional.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json::{first_byte, present};
use crate::request::{DecodeError, InvalidRequest};

/// The payload of `config/json`: what is absent is left out, never `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Query<'a> {
    /// What the endpoint has; the platform then answers only what differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_id: Option<&'a str>,
    /// Whether changes are to be pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observe: Option<bool>,
}

impl Query<'_> {
    /// The payload of an observation; an empty `config_id` is none.
    pub(crate) fn observe(config_id: Option<&str>, observe: bool) -> Vec<u8> {
        let query = Query {
            config_id: config_id.filter(|id| !id.is_empty()),
            observe: Some(observe),
        };
        // A string and a boolean are always JSON.
        serde_json::to_vec(&query).unwrap_or_default()
    }
}

/// The payload of `applied/json`: what is absent is left out, never `null`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict<'a> {
    config_id: &'a str,
    /// Absent means 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_phrase: Option<&'a str>,
}

impl<'a> Verdict<'a> {
    /// It was applied.
    pub(crate) const fn applied(config_id: &'a str) -> Result<Self, InvalidRequest> {
        if config_id.is_empty() {
            return Err(NOTHING_ASSIGNED);
        }
        Ok(Self {
            config_id,
            status_code: None,
            reason_phrase: None,
        })
    }

    /// It was not, and why: an empty reason is left out.
    pub(crate) const fn rejected(
        config_id: &'a str,
        status: u16,
        reason: &'a str,
    ) -> Result<Self, InvalidRequest> {
        if config_id.is_empty() {
            return Err(NOTHING_ASSIGNED);
        }
        if status < 400 {
            return Err(InvalidRequest::Content(
                "the status of a rejection is 400 or above",
            ));
        }
        Ok(Self {
            config_id,
            status_code: Some(status),
            reason_phrase: if reason.is_empty() {
                None
            } else {
                Some(reason)
            },
        })
    }
}

const NOTHING_ASSIGNED: InvalidRequest = InvalidRequest::Content(
    "an empty configId means that nothing is assigned, so it cannot be reported",
);

/// What the platform says is assigned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assignment {
    /// What the endpoint has is still right.
    NotModified,
    /// There is none.
    Unassigned,
    /// This one.
    Assigned {
        /// Its identifier, not empty.
        id: Arc<str>,
        /// Its JSON text.
        body: Arc<str>,
    },
}

/// The longest identifier in bytes, of a configuration or a software version. Real ones have 32;
/// the endpoint remembers and repeats them.
pub(crate) const MAX_ID_LEN: usize = 1_024;

/// Reads an answer or a push. `what` names it in the error.
pub(crate) fn parse(payload: &[u8], what: &'static str) -> Result<Assignment, DecodeError> {
    let json = |error| DecodeError::json(what, &error);
    let message = match first_byte(payload) {
        None => return Ok(Assignment::NotModified),
        Some(b'n') => {
            return serde_json::from_slice(payload)
                .map(|()| Assignment::NotModified)
                .map_err(json);
        }
        Some(b'{') => serde_json::from_slice::<Message<'_>>(payload).map_err(json)?,
        // serde would read an array as the fields in their order.
        Some(_) => return Err(DecodeError::new(what)),
    };
    let status = message
        .status_code
        .and_then(|status| status.get().parse::<f64>().ok());
    if status == Some(304.0) {
        return Ok(Assignment::NotModified);
    }
    if status.is_some_and(|status| status >= 400.0) {
        return Err(DecodeError::new(what));
    }
    let body = message.config.map(RawValue::get);
    if message
        .config_id
        .as_ref()
        .is_some_and(|id| id.len() > MAX_ID_LEN)
    {
        return Err(DecodeError::new(what));
    }
    match (message.config_id.as_deref(), body) {
        (Some(""), _) | (None, Some("null")) => Ok(Assignment::Unassigned),
        // A pair that is not whole: the platform repeats what the endpoint has.
        (_, None) => Ok(Assignment::NotModified),
        (None, Some(_)) => Err(DecodeError::new(what)),
        (Some(id), Some(body)) => Ok(Assignment::Assigned {
            id: id.into(),
            body: body.into(),
        }),
    }
}

/// An answer or a push as it comes. Other fields are ignored (FACTS trap 25).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    config_id: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    config: Option<&'a RawValue>,
    /// Any number; what is none is no status (FACTS trap 39).
    #[serde(borrow)]
    status_code: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(payload: &str) -> Option<Assignment> {
        parse(payload.as_bytes(), "configuration").ok()
    }

    fn assigned(id: &str, body: &str) -> Option<Assignment> {
        Some(Assignment::Assigned {
            id: id.into(),
            body: body.into(),
        })
    }

    /// FACTS trap 21: PAGE's schema of the answer is that of the request; its example is right.
    #[test]
    fn trap_21_the_answer_is_the_example_of_the_page_not_its_schema() {
        let example = r#"{"id":42,"configId":"97016dbe8bb4adff8f754ecbf24612f2","statusCode":200,
            "reasonPhrase":"ok","config":{"key":"value","array":["value2"]}}"#;
        assert_eq!(
            parsed(example),
            assigned(
                "97016dbe8bb4adff8f754ecbf24612f2",
                r#"{"key":"value","array":["value2"]}"#
            )
        );
        assert_eq!(
            parsed(r#"{"configId":"x","observe":true}"#),
            Some(Assignment::NotModified)
        );
    }

    #[test]
    fn an_id_is_taken_up_to_a_length_that_no_platform_gives() {
        let with_id = |len| format!(r#"{{"configId":"{}","config":1}}"#, "x".repeat(len));
        assert_eq!(parsed(&with_id(1_024)), assigned(&"x".repeat(1_024), "1"));
        assert_eq!(parsed(&with_id(1_025)), None);
        assert_eq!(parsed(&with_id(5_000)), None);
    }

    #[test]
    fn each_form_of_not_modified_is_known() {
        let forms = [
            "",
            " ",
            "{}",
            "null",
            r#"{"statusCode":304}"#,
            r#"{"statusCode":304.0,"configId":"","config":null}"#,
            r#"{"configId":"x","statusCode":304,"config":{}}"#,
            r#"{"configId":null}"#,
            r#"{"observe":true}"#,
        ];
        for form in forms {
            assert_eq!(parsed(form), Some(Assignment::NotModified), "{form:?}");
        }
    }

    /// FACTS trap 24.
    #[test]
    fn trap_24_absent_null_and_empty_configurations_are_three_things() {
        assert_eq!(parsed(r#"{"configId":"x"}"#), Some(Assignment::NotModified));
        assert_eq!(
            parsed(r#"{"configId":"x","config":null}"#),
            assigned("x", "null")
        );
        assert_eq!(
            parsed(r#"{"configId":"x","config":{}}"#),
            assigned("x", "{}")
        );
        for none in [
            r#"{"configId":"","config":null}"#,
            r#"{"configId":""}"#,
            r#"{"config":null}"#,
            r#"{"configId":"","config":{},"statusCode":200}"#,
        ] {
            assert_eq!(parsed(none), Some(Assignment::Unassigned), "{none}");
        }
        assert_eq!(parsed(r#"{"config":{}}"#), None);
    }

    /// FACTS trap 20: the body of a `/status` decides.
    #[test]
    fn trap_20_a_failing_status_is_no_assignment() {
        for status in ["400", "404.0", "5e2"] {
            let answer = format!(r#"{{"configId":"x","config":{{}},"statusCode":{status}}}"#);
            assert_eq!(parsed(&answer), None, "{status}");
        }
    }

    /// FACTS trap 25.
    #[test]
    fn trap_25_other_fields_of_an_answer_are_ignored() {
        assert_eq!(
            parsed(r#"{"id":[],"configId":"x","config":1,"type":{"a":1},"reasonPhrase":5}"#),
            assigned("x", "1")
        );
    }

    /// FACTS trap 39.
    #[test]
    fn trap_39_a_status_of_any_form_does_no_harm() {
        for status in ["200.0", "2e2", "-1", "1e999", "\"200\"", "null", "{}"] {
            let answer = format!(r#"{{"configId":"x","config":1,"statusCode":{status}}}"#);
            let expected = match status {
                "1e999" => None,
                _ => assigned("x", "1"),
            };
            assert_eq!(parsed(&answer), expected, "{status}");
        }
    }

    #[test]
    fn what_is_no_object_is_no_answer() {
        for other in ["[]", "7", "\"a\"", "{", "nul", r#"{"configId":7}"#, "\u{0}"] {
            assert_eq!(parsed(other), None, "{other:?}");
        }
        assert!(parse(b"{\"config\":\"\xff\"}", "configuration").is_err());
    }

    #[test]
    fn the_identifier_is_kept_with_its_escapes_read() {
        assert_eq!(
            parsed(r#"{"configId":"a\"\u0062","config":[ 1 ]}"#),
            assigned("a\"b", "[ 1 ]")
        );
    }
}
