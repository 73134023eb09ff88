//! What the doctor found: a line for a program and one for a person.

use serde_json::{Map, Value, json};

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
    /// Nothing was seen that says it.
    NotJudged,
}

/// A verdict, why, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    /// One sentence.
    pub(crate) why: String,
    /// One sentence; empty if there is nothing to do.
    pub(crate) advice: String,
    /// Figures, for programs.
    pub(crate) figures: Map<String, Value>,
}

impl Finding {
    pub(crate) fn pass(why: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, why.into(), String::new())
    }

    pub(crate) fn fail(why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Verdict::Fail, why.into(), advice.into())
    }

    pub(crate) fn not_judged(why: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Verdict::NotJudged, why.into(), advice.into())
    }

    /// With something to think about, which is no mistake.
    pub(crate) fn advising(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    pub(crate) fn figure(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(name.into(), value.into());
        self
    }

    fn new(verdict: Verdict, why: String, advice: String) -> Self {
        Self {
            verdict,
            why,
            advice,
            figures: Map::new(),
        }
    }

    /// The line for programs.
    pub(crate) fn to_json(&self, name: &str) -> Value {
        let mut line = json!({"check": name, "verdict": self.verdict.as_str(), "why": self.why});
        if let Value::Object(fields) = &mut line {
            if !self.advice.is_empty() {
                fields.insert("advice".into(), json!(self.advice));
            }
            fields.extend(self.figures.clone());
        }
        line
    }

    /// The line for people.
    pub(crate) fn to_text(&self, name: &str) -> String {
        let mut text = format!("{:<6} {name}: {}", self.verdict.mark(), self.why);
        if !self.advice.is_empty() {
            text.push_str(&format!("\n       {}", self.advice));
        }
        text
    }
}

impl Verdict {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotJudged => "not-judged",
        }
    }

    const fn mark(self) -> &'static str {
        match self {
            Self::Pass => "ok",
            Self::Fail => "FAIL",
            Self::NotJudged => "?",
        }
    }
}
