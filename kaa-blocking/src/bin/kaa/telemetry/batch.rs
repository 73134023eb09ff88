//! Samples on their way into one message.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::json;
use crate::lines::Line;

/// What a message should not exceed: half of what it may hold.
const MAX_BYTES: usize = 128 * 1_024;

/// Samples of a few lines.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) samples: Vec<Box<RawValue>>,
    pub(super) lines: Vec<u64>,
    /// Of the input.
    pub(super) bytes: u64,
    since: Option<Instant>,
}

impl Batch {
    /// Adds the samples of a line.
    ///
    /// # Errors
    /// There is none in it; says why.
    pub(super) fn add(&mut self, line: &Line, now: Instant) -> Result<(), String> {
        let number = line.number;
        let text = line.text.as_ref();
        let text = text.map_err(|problem| format!("line {number} {problem}"))?;
        let mistake = |error| format!("not JSON: {}", json::place(&error, Some(number)));
        if text.trim_start().starts_with('[') {
            let several: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(mistake)?;
            if several.is_empty() {
                return Err(format!("line {number} is an array without samples"));
            }
            self.samples.extend(several);
        } else {
            self.samples
                .push(serde_json::from_str(text).map_err(mistake)?);
        }
        self.lines.push(number);
        self.bytes += line.bytes;
        self.since.get_or_insert(now);
        Ok(())
    }

    /// Whether there is room for a line of so many bytes.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.lines.is_empty() || self.bytes.saturating_add(bytes) <= MAX_BYTES as u64
    }

    /// Whether it is to be sent: it has `count` samples, or has waited for `every`.
    pub(super) fn is_due(&self, count: usize, every: Duration, now: Instant) -> bool {
        self.samples.len() >= count || self.since.is_some_and(|since| now >= since + every)
    }

    /// How long it may wait yet.
    pub(super) fn left(&self, every: Duration, now: Instant) -> Duration {
        let left = self
            .since
            .map(|since| (since + every).saturating_duration_since(now));
        left.unwrap_or(Duration::MAX)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, text: &str) -> Line {
        Line {
            number,
            bytes: text.len() as u64 + 1,
            text: Ok(text.into()),
        }
    }

    #[test]
    fn an_array_is_several_samples_and_numbers_stay_as_they_are() {
        let mut batch = Batch::default();
        let now = Instant::now();
        batch.add(&line(1, "[1, {\"a\": 1e400}]"), now).unwrap();
        batch
            .add(&line(2, " 12345678901234567890123 "), now)
            .unwrap();
        let samples: Vec<&str> = batch.samples.iter().map(|sample| sample.get()).collect();
        assert_eq!(samples, ["1", "{\"a\": 1e400}", "12345678901234567890123"]);
        assert_eq!(batch.lines, [1, 2]);
    }

    #[test]
    fn a_mistake_names_line_and_column_and_adds_nothing() {
        let mut batch = Batch::default();
        let error = batch
            .add(&line(3, "{\"a\" 1}"), Instant::now())
            .unwrap_err();
        assert_eq!(error, "not JSON: expected `:` at line 3, column 6");
        assert!(batch.add(&line(4, "[]"), Instant::now()).is_err());
        assert!(batch.is_empty() && batch.lines.is_empty());
    }

    #[test]
    fn a_batch_is_due_by_count_or_by_time_and_never_too_long() {
        let mut batch = Batch::default();
        let (now, every) = (Instant::now(), Duration::from_secs(1));
        assert!(!batch.is_due(2, every, now) && batch.has_room(1 << 20));
        batch.add(&line(1, "1"), now).unwrap();
        assert!(!batch.is_due(2, every, now));
        assert!(batch.is_due(2, every, now + every));
        assert_eq!(batch.left(every, now), every);
        batch.add(&line(2, "1"), now).unwrap();
        assert!(batch.is_due(2, every, now));
        assert!(batch.has_room(1_000) && !batch.has_room(128 * 1_024));
    }
}
