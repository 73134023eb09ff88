//! Whether what a device takes while it is offline arrives later.
//!
//! Only a number that counts up tells what is missing; any field of the samples may be it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Record;
use crate::doctor::device::record::Act;
use crate::doctor::device::wire::Publish;
use crate::doctor::finding::Finding;

/// The fewest samples that show a counter.
const FEWEST: usize = 3;

pub(super) fn keeps(record: Record<'_>) -> Finding {
    let is_outage = |act: &Act| *act == Act::Refuses;
    let before = counters(record.until(is_outage));
    let after = record.from(is_outage).map(counters).unwrap_or_default();
    let counter = before.iter().find_map(|(field, values)| {
        let step = step(values)?;
        Some((field, step, values, after.get(field)?))
    });
    let Some((field, step, sent, later)) = counter else {
        return Finding::not_judged(
            "Its samples carry no number that counts up, or none came after the outage.",
            "Let a field of the telemetry count the samples; or give it more time with --timeout.",
        );
    };
    let (Some(last), Some(newest)) = (sent.last(), later.iter().max()) else {
        return Finding::not_judged("No sample came.", "Give it more time with --timeout.");
    };
    let seen: BTreeSet<_> = sent.iter().chain(later).collect();
    let wanted = (1..).map(|n| last + n * step).take_while(|n| n < newest);
    let wanted: Vec<_> = wanted.collect();
    let missing = wanted.iter().filter(|n| !seen.contains(n)).count();
    let figure = |found: Finding| {
        let found = found.figure("counter", field.as_str());
        found
            .figure("samples", wanted.len())
            .figure("lost", missing)
    };
    figure(match (wanted.len(), missing) {
        (0, _) => Finding::not_judged(
            "It took no sample during the outage.",
            "Let it go on taking samples while it is offline.",
        ),
        (all, 0) => Finding::pass(format!(
            "All {all} samples that it took around the outage arrived when it was back."
        )),
        (all, lost) => Finding::fail(
            format!("Of {all} samples that it took around the outage {lost} never came."),
            "Queue what is taken while the link is down, and send again what was not acknowledged.",
        ),
    })
}

/// The whole numbers in telemetry by field, in the order they came.
fn counters(record: Record<'_>) -> BTreeMap<String, Vec<i64>> {
    let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (_, _, publish) in record.published() {
        for sample in samples(publish) {
            match sample {
                Value::Object(fields) => {
                    for (field, value) in fields {
                        if let Some(number) = value.as_i64() {
                            found.entry(field).or_default().push(number);
                        }
                    }
                }
                other => {
                    if let Some(number) = other.as_i64() {
                        found.entry(String::new()).or_default().push(number);
                    }
                }
            }
        }
    }
    found
}

fn samples(publish: &Publish) -> Vec<Value> {
    let is_telemetry = kaa_proto::topic::Topic::parse(&publish.topic).is_ok_and(|topic| {
        topic.suffix().is_none() && matches!(topic.levels().next(), Some("json" | "plain"))
    });
    match serde_json::from_slice(&publish.payload) {
        Ok(Value::Array(batch)) if is_telemetry => batch,
        Ok(sample) if is_telemetry => vec![sample],
        _ => Vec::new(),
    }
}

/// By how much they count up, each time.
fn step(values: &[i64]) -> Option<i64> {
    if values.len() < FEWEST {
        return None;
    }
    let step = values.get(1)? - values.first()?;
    let is_regular = values.windows(2).all(|two| two[1] - two[0] == step);
    (is_regular && step > 0).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::device::judge::testing::{Story, good};
    use crate::doctor::finding::Verdict::{Fail, NotJudged, Pass};

    fn found(before: &[i64], after: &[i64]) -> Finding {
        let mut story = Story::default().connected(0.0, 1, good());
        for n in before {
            story = story.says(1.0, 1, "dcx/t/json/1", &format!(r#"{{"n":{n},"t":20}}"#));
        }
        story = story.did(2.0, Act::Refuses).did(9.0, Act::Welcomes);
        for n in after {
            story = story.says(10.0, 2, "dcx/t/json/1", &format!(r#"[{{"n":{n},"t":20}}]"#));
        }
        keeps(Record(&story.ends(12.0)))
    }

    #[test]
    fn what_is_missing_shows_by_a_counter() {
        assert_eq!(found(&[1, 2, 3], &[4, 5, 6, 7]).verdict, Pass);
        assert_eq!(found(&[1, 2, 3], &[3, 7, 4, 5, 6, 8]).verdict, Pass);
        assert_eq!(found(&[2, 4, 6], &[8, 10]).verdict, Pass);
        let lossy = found(&[1, 2, 3], &[7, 8]);
        assert_eq!(lossy.verdict, Fail);
        assert!(lossy.why.contains("Of 4 samples"), "{lossy:?}");
        for (before, after) in [
            (&[1, 2, 3][..], &[][..]),
            (&[1, 2, 3], &[4]),
            (&[5, 5, 5], &[5, 5]),
            (&[1, 2], &[3, 4]),
            (&[1, 2, 4], &[8, 9]),
        ] {
            assert_eq!(found(before, after).verdict, NotJudged, "{before:?}");
        }
    }
}
