//! What reached the platform, and what it made of it: from the bytes and from its own log.

use std::collections::BTreeMap;

use kaa_proto::commands::CommandId;
use kaa_proto::endpoint::CommandKey;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::{Event, EventKind};
use serde_json::Value;

use super::setup::TOKENS;
use crate::sniffer::Seen;

/// A queue whose order is kept: an endpoint's telemetry, or its metadata.
type Queue = (String, &'static str);

/// What is known from the other side.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// How often the request of each number came.
    seen: BTreeMap<u64, u32>,
    /// How often it was processed.
    processed: BTreeMap<u64, u32>,
    /// The last new number of each queue.
    last: BTreeMap<Queue, u64>,
    /// How often a request was refused, by mistake or not.
    pub(super) refusals: u32,
    /// The results that the applications gave.
    expected: BTreeMap<(usize, CommandKey), Vec<u64>>,
    /// The commands whose results were taken.
    results: Vec<(usize, CommandKey)>,
}

impl Witness {
    pub(super) fn seen(&self, number: u64) -> u32 {
        self.seen.get(&number).copied().unwrap_or_default()
    }

    pub(super) fn processed(&self, number: u64) -> u32 {
        self.processed.get(&number).copied().unwrap_or_default()
    }

    /// Whether the platform has the result of a command.
    pub(super) fn has_result(&self, who: usize, command: &CommandKey) -> bool {
        let mut results = self.results.iter();
        results.any(|(of, key)| (*of, key) == (who, command))
    }

    /// An application answers a command with this number.
    pub(super) fn expect_result(&mut self, who: usize, command: &CommandKey, number: u64) {
        let expected = self.expected.entry((who, command.clone())).or_default();
        expected.push(number);
    }

    /// A message came.
    pub(super) fn see(&mut self, seen: &Seen) {
        let levels: Vec<_> = seen.topic.split('/').collect();
        let [_, _, extension, token, ..] = levels[..] else {
            panic!("no topic of ours: {}", seen.topic);
        };
        let payload: Value = serde_json::from_slice(&seen.payload).unwrap_or_default();
        let (queue, number) = match extension {
            "dcx" => ("dcx", sample(&payload)),
            "epmx" => (
                "epmx",
                payload
                    .as_object()
                    .and_then(|all| merged(&all.keys().cloned().collect::<Vec<_>>())),
            ),
            _ => return,
        };
        let Some(number) = number else {
            return;
        };
        let count = self.seen.entry(number).or_default();
        *count += 1;
        if *count == 1 {
            let last = self.last.entry((token.into(), queue)).or_default();
            assert!(*last < number, "{number} came after {last} on {queue}");
            *last = number;
        }
    }

    /// The platform noted something.
    pub(super) fn note(&mut self, event: &Event) {
        let who = event.endpoint.as_ref().and_then(device);
        #[allow(clippy::wildcard_enum_match_arm, reason = "the others say nothing new")]
        match &event.kind {
            EventKind::Telemetry { data, .. } => self.process(sample(data)),
            EventKind::MetadataMerged { keys } => self.process(merged(keys)),
            EventKind::CommandResult {
                command_type,
                id,
                known,
                payload,
                ..
            } => {
                let (Ok(of_type), Some(who)) = (CommandType::new(command_type), who) else {
                    panic!("a result of nobody: {event}");
                };
                let key = (who, CommandKey::new(of_type, CommandId::from(*id)));
                let number = payload.as_ref().and_then(Value::as_u64);
                let expected = self.expected.get(&key);
                assert!(
                    expected
                        .zip(number)
                        .is_some_and(|(all, one)| all.contains(&one)),
                    "nobody gave that result: {event}"
                );
                if *known {
                    self.results.push(key);
                }
            }
            EventKind::Refused { .. } | EventKind::Fault { .. } => self.refusals += 1,
            EventKind::Breach { .. } => panic!("a device broke the protocol: {event}"),
            _ => {}
        }
    }

    fn process(&mut self, number: Option<u64>) {
        if let Some(number) = number {
            *self.processed.entry(number).or_default() += 1;
        }
    }
}

/// The number in a sample: as JSON, as plain text, or as what the platform makes of that.
fn sample(data: &Value) -> Option<u64> {
    let number = data.get("n").or_else(|| data.get("n-value"));
    number.unwrap_or(data).as_f64().map(|number| number as u64)
}

/// The number in the keys of metadata.
fn merged(keys: &[String]) -> Option<u64> {
    keys.iter()
        .find_map(|key| key.strip_prefix('n')?.parse().ok())
}

fn device(name: &EndpointName) -> Option<usize> {
    TOKENS
        .iter()
        .position(|token| *token == name.token().as_str())
}
