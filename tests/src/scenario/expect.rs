//! Whether what happened is what a scenario expects.

use std::fmt::Debug;

use kaa_proto::request::{Failure, RequestError};
use serde_json::Value;

use super::op::parse;
use super::{Answer, End};

/// What went wrong, for people.
pub(super) type Verdict = Result<(), String>;

/// Whether a request ended as it should.
pub(super) fn end(expected: &End, found: &Result<Answer, RequestError>) -> Verdict {
    let is_so = match (expected, found) {
        (End::Done, Ok(_)) => true,
        (End::Brings(json), Ok(answer)) => answer.value == parse(json),
        (End::Rejected(expected), Err(RequestError::Failed(Failure::Rejected { status, .. }))) => {
            *status == Some(*expected)
        }
        (End::Either(json, _), Ok(answer)) => answer.value == parse(json),
        (End::Fails(name) | End::Either(_, name), Err(RequestError::Failed(failure))) => {
            begins(failure, name)
        }
        (End::NotTaken(reason), Err(RequestError::Submit(error))) => begins(error, reason),
        _ => false,
    };
    is_so
        .then_some(())
        .ok_or_else(|| format!("it ended as {found:?}"))
}

/// Whether all requests of one name ended as they should.
pub(super) fn ends(expected: &End, found: &[Result<Answer, RequestError>]) -> Verdict {
    let End::Some(first, one, other) = expected else {
        return found.iter().try_for_each(|found| end(expected, found));
    };
    let of = |name: &'static str| {
        move |found: &&Result<Answer, RequestError>| match name {
            "" => end(&End::Done, found).is_ok(),
            name => end(&End::Fails(name), found).is_ok(),
        }
    };
    let counts = (
        found.iter().filter(of(one)).count(),
        found.iter().filter(of(other)).count(),
    );
    let is_so = counts == (*first, found.len() - first);
    is_so
        .then_some(())
        .ok_or_else(|| format!("{counts:?} of {} did", found.len()))
}

/// Whether something begins like this when it is shown for developers.
pub(super) fn begins(shown: &impl Debug, words: &str) -> bool {
    format!("{shown:?}").starts_with(words)
}

/// Whether a value has all that the pattern has. Numbers are compared as such: 200 is 200.0.
pub(super) fn holds(value: &Value, pattern: &Value) -> bool {
    match (value, pattern) {
        (Value::Object(fields), Value::Object(pattern)) => {
            let has = |(key, pattern)| fields.get(key).is_some_and(|field| holds(field, pattern));
            pattern.iter().all(has)
        }
        (Value::Array(items), Value::Array(pattern)) => {
            items.len() == pattern.len() && items.iter().zip(pattern).all(|(i, p)| holds(i, p))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_what_its_pattern_asks_for_and_nothing_else() {
        let value = parse(r#"{"a": {"b": 1.0, "c": [1, {"d": 2}]}, "e": null}"#);
        for pattern in [
            r#"{}"#,
            r#"{"a": {"b": 1}}"#,
            r#"{"a": {"c": [1, {}]}, "e": null}"#,
        ] {
            assert!(holds(&value, &parse(pattern)), "{pattern}");
        }
        for pattern in [
            r#"{"f": null}"#,
            r#"{"a": 1}"#,
            r#"{"a": {"c": [1]}}"#,
            "[]",
        ] {
            assert!(!holds(&value, &parse(pattern)), "{pattern}");
        }
    }

    #[test]
    fn each_end_is_told_from_the_others() {
        let done = Ok(Answer::from(parse("{\"a\": 1}")));
        let unknown = Err(RequestError::Failed(Failure::OutcomeUnknown));
        assert!(end(&End::Done, &done).is_ok() && end(&End::Done, &unknown).is_err());
        assert!(end(&End::Brings("{}"), &done).is_err());
        assert!(end(&End::Fails("OutcomeUnknown"), &unknown).is_ok());
        assert!(end(&End::Fails("Closed"), &unknown).is_err());
        assert!(
            ends(
                &End::Some(1, "", "OutcomeUnknown"),
                &[done, unknown.clone()]
            )
            .is_ok()
        );
        assert!(ends(&End::Some(1, "", "OutcomeUnknown"), &[unknown]).is_err());
    }
}
