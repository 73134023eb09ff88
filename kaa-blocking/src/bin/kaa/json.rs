//! JSON that people type or pipe in, kept as it was written.

use serde_json::value::RawValue;

use crate::input;
use crate::problem::Problem;

/// Reads an argument; `-` stands for standard input.
///
/// # Errors
/// It is no JSON; the error says where.
pub(crate) fn argument(what: &str, text: &str) -> Result<Box<RawValue>, Problem> {
    let bytes = input::argument(what, text)?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(what, &error))
}

fn wrong(what: &str, error: &serde_json::Error) -> Problem {
    Problem::misuse(format!("{what} has to be JSON: {}", place(error, None)))
        .hint("single quotes around it: '{\"key\": \"value\"}'")
}

/// What is wrong with JSON and where; `line` counts the lines of a stream of which it is one.
pub(crate) fn place(error: &serde_json::Error, line: Option<u64>) -> String {
    let text = error.to_string();
    // serde_json appends the place in a form of its own.
    let words = text.split(" at line ").next().unwrap_or(&text);
    let line = line.unwrap_or_else(|| error.line() as u64);
    format!("{words} at line {line}, column {}", error.column())
}

/// JSON without the blanks between its parts, so that it is one line. It has to be valid.
pub(crate) fn compact(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let (mut is_text, mut is_escaped) = (false, false);
    for c in json.chars() {
        if !is_text && matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        }
        if c == '"' && !is_escaped {
            is_text = !is_text;
        }
        is_escaped = is_text && c == '\\' && !is_escaped;
        compact.push(c);
    }
    compact
}

/// JSON as it came, on one line; text that is no JSON as a string.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if serde_json::from_str::<&RawValue>(text).is_ok() => compact(text),
        _ => serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_go_and_texts_stay() {
        let json = "{ \"a b\" :\n [1, \"c \\\" d\", \"\\\\\"] }\n";
        assert_eq!(compact(json), "{\"a b\":[1,\"c \\\" d\",\"\\\\\"]}");
    }

    #[test]
    fn an_answer_is_json_or_becomes_a_string() {
        assert_eq!(
            shown(b" {\"n\": 12345678901234567890123}"),
            "{\"n\":12345678901234567890123}"
        );
        // White space for Unicode, and none for JSON.
        assert_eq!(shown("\u{a0}1\u{2003}".as_bytes()), "\"\u{a0}1\u{2003}\"");
        assert_eq!(shown(b"\r\n\t 1 \n"), "1");
        assert_eq!(shown(b"not \"JSON\""), "\"not \\\"JSON\\\"\"");
    }

    #[test]
    fn a_mistake_is_placed_in_the_stream() {
        let error = serde_json::from_str::<Box<RawValue>>("{\"a\": }").unwrap_err();
        assert_eq!(place(&error, Some(7)), "expected value at line 7, column 7");
        assert_eq!(place(&error, None), "expected value at line 1, column 7");
    }
}
