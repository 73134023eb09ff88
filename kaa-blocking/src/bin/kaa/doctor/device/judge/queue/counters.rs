//! The numbers in the samples of a device that count up, and which of them may be clocks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::doctor::device::record::{Act, Record};
use crate::doctor::device::wire::Publish;

/// The fewest samples that show a counter.
const FEWEST: usize = 3;

/// The units of clocks: how many make a second.
const UNITS: [u64; 5] = [1, 100, 1_000, 1_000_000, 1_000_000_000];

/// How many samples a second a device takes at most: what counts up by less than a clock does from
/// one to the next is none.
const FASTEST: u64 = 10;

/// The time of day, in seconds since 1970, as long as devices of today are around.
const TODAY: std::ops::Range<u64> = 1_500_000_000..4_200_000_000;

/// How far apart networks and schedulers put what comes at regular times.
const LATENCY: f64 = 0.25;

/// A number that counts up.
pub(super) struct Counter {
    pub(super) field: String,
    /// By how much, each time; not 0.
    pub(super) step: u64,
    /// Its values before the outage and since, in the order they came.
    pub(super) sent: Vec<i64>,
    pub(super) later: Vec<i64>,
    pub(super) may_be_clock: bool,
}

/// A number with the time when it came.
type Seen = (Duration, i64);

/// The number that tells best what is missing: one that is no clock, if there is one.
pub(super) fn counter(record: Record<'_>) -> Option<Counter> {
    let is_outage = |act: &Act| *act == Act::Refuses;
    let before = numbers(record.until(is_outage));
    let mut after = numbers(record.from(is_outage)?);
    let counters = before.into_iter().filter_map(|(field, sent)| {
        let later = after.remove(&field)?;
        let values = |seen: &[Seen]| seen.iter().map(|(_, value)| *value).collect::<Vec<_>>();
        let step = step(&values(&sent))?;
        Some(Counter {
            field,
            step,
            sent: values(&sent),
            later: values(&later),
            may_be_clock: may_be_clock(&sent, &later, step),
        })
    });
    counters.min_by_key(|counter| counter.may_be_clock)
}

/// The whole numbers in telemetry by field, in the order they came.
fn numbers(record: Record<'_>) -> BTreeMap<String, Vec<Seen>> {
    let mut found: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for (at, _, publish) in record.published() {
        for sample in samples(publish) {
            let fields = match sample {
                Value::Object(fields) => fields,
                other => [(String::new(), other)].into_iter().collect(),
            };
            for (field, value) in fields {
                if let Some(number) = value.as_i64() {
                    found.entry(field).or_default().push((at, number));
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
fn step(values: &[i64]) -> Option<u64> {
    if values.len() < FEWEST {
        return None;
    }
    let mut steps = values.windows(2).map(|two| two[1].checked_sub(two[0]));
    let step = steps.next()??;
    let is_regular = steps.all(|other| other == Some(step));
    u64::try_from(step)
        .ok()
        .filter(|step| is_regular && *step > 0)
}

/// Whether a clock would show these numbers: the time of day, or any that runs with the time of
/// arrival. Between a counter of one sample a second and a clock of seconds nothing tells.
fn may_be_clock(sent: &[Seen], later: &[Seen], step: u64) -> bool {
    let is_today = |value: i64| {
        let seconds = |unit: &u64| value.unsigned_abs() / unit;
        value > 0 && UNITS.iter().any(|unit| TODAY.contains(&seconds(unit)))
    };
    if sent.iter().all(|(_, value)| is_today(*value)) {
        return true;
    }
    let newest = newest_by_message(sent);
    let Some(((begin, first), rest)) = newest.split_first() else {
        return false;
    };
    let ahead = |(at, value): &Seen, unit: f64| {
        let passed = at.saturating_sub(*begin).as_secs_f64() * unit;
        value.abs_diff(*first) as f64 - passed
    };
    let units = UNITS.iter().filter(|unit| step >= *unit / FASTEST);
    units.map(|unit| *unit as f64).any(|unit| {
        // A coarse clock is up to a step behind, or ahead of its first value.
        let tolerance = step as f64 + LATENCY * unit;
        let runs = rest.iter().all(|seen| ahead(seen, unit).abs() <= tolerance);
        // What was queued shows an earlier time, and nothing a later one.
        let follows = later.iter().all(|seen| ahead(seen, unit) <= tolerance);
        !rest.is_empty() && runs && follows
    })
}

/// The last number of each message: what came before it in a batch is older than its arrival.
fn newest_by_message(seen: &[Seen]) -> Vec<Seen> {
    let mut newest: BTreeMap<Duration, i64> = BTreeMap::new();
    newest.extend(seen.iter().copied());
    newest.into_iter().collect()
}
