//! What became of the samples.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::exit::Exit;
use crate::outcome::Outcome;

/// How many samples ended how.
#[derive(Debug, Default, Serialize)]
pub(super) struct Account {
    pub(super) samples: u64,
    #[serde(flatten)]
    outcomes: BTreeMap<&'static str, u64>,
    /// Messages of earlier runs that were kept in the store.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    earlier: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    exit: Option<Exit>,
}

impl Account {
    /// These samples ended so.
    pub(super) fn add(&mut self, samples: u64, outcome: &Outcome) {
        self.samples += samples;
        *self.outcomes.entry(outcome.outcome).or_default() += samples;
        self.note(outcome.exit);
    }

    /// A message of an earlier run ended so.
    pub(super) fn add_earlier(&mut self, outcome: &Outcome) {
        *self.earlier.entry(outcome.outcome).or_default() += 1;
        self.note(outcome.exit);
    }

    pub(super) fn note(&mut self, exit: Exit) {
        self.exit = Some(self.exit().and(exit));
    }

    pub(super) fn exit(&self) -> Exit {
        self.exit.unwrap_or(Exit::Done)
    }

    /// Of the samples that ended so.
    pub(super) fn count(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or_default()
    }
}

/// For people.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples", self.samples)?;
        for (outcome, count) in &self.outcomes {
            write!(f, ", {count} {outcome}")?;
        }
        if !self.earlier.is_empty() {
            f.write_str("; of earlier runs")?;
            let told: Vec<String> = self
                .earlier
                .iter()
                .map(|(outcome, count)| format!(" {count} {outcome}"))
                .collect();
            f.write_str(&told.join(","))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_words_json_and_a_status() {
        let mut account = Account::default();
        assert_eq!(account.exit(), Exit::Done);
        account.add(3, &Outcome::confirmed());
        account.add(1, &Outcome::new("kept", Exit::Kept));
        account.add_earlier(&Outcome::confirmed());
        assert_eq!(
            account.to_string(),
            "4 samples, 3 confirmed, 1 kept; of earlier runs 1 confirmed"
        );
        let json = serde_json::to_string(&account).unwrap();
        assert_eq!(
            json,
            r#"{"samples":4,"confirmed":3,"kept":1,"earlier":{"confirmed":1}}"#
        );
        assert_eq!((account.exit(), account.count("kept")), (Exit::Kept, 1));
    }
}
