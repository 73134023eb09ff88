//! What is answered to a line.

use serde_json::{Map, Value, json};

/// The answer to a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The command's name, as it was written.
    pub(crate) verb: String,
    /// What came of it, empty if there is nothing to say; or why nothing did.
    pub(crate) result: Result<Map<String, Value>, String>,
    /// What people are told before.
    pub(crate) lines: Vec<String>,
}

impl Answer {
    pub(crate) fn done(verb: &str) -> Self {
        Self::with(verb, Map::new())
    }

    pub(crate) fn with(verb: &str, result: Map<String, Value>) -> Self {
        Self {
            verb: verb.into(),
            result: Ok(result),
            lines: Vec::new(),
        }
    }

    pub(crate) fn failed(verb: &str, problem: impl Into<String>) -> Self {
        Self {
            verb: verb.into(),
            result: Err(problem.into()),
            lines: Vec::new(),
        }
    }

    /// `ok VERB [JSON]` or `error VERB PROBLEM`, after lines that begin with two blanks.
    pub(crate) fn to_text(&self) -> String {
        let mut text: String = self
            .lines
            .iter()
            .map(|line| format!("  {line}\n"))
            .collect();
        let (word, rest) = match &self.result {
            Ok(result) if result.is_empty() => ("ok", String::new()),
            Ok(result) => ("ok", format!(" {}", Value::Object(result.clone()))),
            Err(problem) => ("error", format!(" {problem}")),
        };
        text.push_str(word);
        if !self.verb.is_empty() {
            text.push(' ');
            text.push_str(&self.verb);
        }
        text.push_str(&rest);
        text
    }

    /// The fields of a JSON line.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("verb".into(), json!(self.verb));
        fields.insert("ok".into(), json!(self.result.is_ok()));
        match &self.result {
            Ok(result) if result.is_empty() => {}
            Ok(result) => _ = fields.insert("result".into(), json!(result)),
            Err(problem) => _ = fields.insert("problem".into(), json!(problem)),
        }
        if !self.lines.is_empty() {
            fields.insert("lines".into(), json!(self.lines));
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_text_or_json() {
        assert_eq!(Answer::done("kick").to_text(), "ok kick");
        let failed = Answer::failed("kick", "unknown endpoint");
        assert_eq!(failed.to_text(), "error kick unknown endpoint");
        let expected = json!({"verb": "kick", "ok": false, "problem": "unknown endpoint"});
        assert_eq!(Value::Object(failed.to_json()), expected);
        let mut fields = Map::new();
        fields.insert("id".into(), json!(1));
        let mut answer = Answer::with("command", fields);
        answer.lines.push("a word".into());
        assert_eq!(answer.to_text(), "  a word\nok command {\"id\":1}");
        let expected =
            json!({"verb": "command", "ok": true, "result": {"id": 1}, "lines": ["a word"]});
        assert_eq!(Value::Object(answer.to_json()), expected);
    }
}
