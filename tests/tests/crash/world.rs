//! The platform's side of a life: what it was asked, and what it has processed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kaa_proto::names::CommandType;
use kaa_proto::platform::EventKind;
use kaa_tests::rig::Rig;
use serde_json::json;

use crate::app::{Key, TYPES, name};

/// What the platform's log says.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    /// Samples in the order in which they were processed.
    pub(crate) processed: Vec<u64>,
    /// Commands that were invoked.
    pub(crate) invoked: BTreeSet<Key>,
    /// The results of each.
    pub(crate) results: BTreeMap<Key, Vec<i64>>,
    /// Commands that ran out of time.
    pub(crate) expired: BTreeSet<Key>,
    /// The configuration that is assigned.
    pub(crate) assigned: Option<String>,
}

impl World {
    /// Reads on in the platform's log.
    pub(crate) fn read(&mut self, rig: &mut Rig) {
        while let Some(event) = rig.server.poll_event() {
            match event.kind {
                EventKind::Telemetry { data, .. } => self.processed.extend(data["n"].as_u64()),
                EventKind::CommandResult {
                    command_type,
                    id,
                    known: true,
                    status_code,
                    ..
                } => {
                    let results = self.results.entry((command_type, id.to_string()));
                    results.or_default().push(status_code);
                }
                EventKind::CommandExpired { command_type, id } => {
                    self.expired.insert((command_type, id.to_string()));
                }
                EventKind::Breach { reason_phrase, .. } => panic!("{reason_phrase}"),
                _ => {}
            }
        }
    }

    /// An operator invokes a command.
    pub(crate) fn invoke(&mut self, rig: &mut Rig, kind: usize) {
        let (now, of_type) = (rig.now(), TYPES[kind].0);
        let command_type = CommandType::new(of_type).unwrap();
        let invoked = rig.server.operate(now, |platform| {
            platform.command(now, &name(), &command_type, None)
        });
        if let Ok(id) = invoked {
            self.invoked.insert((of_type.to_owned(), id.to_string()));
        }
    }

    /// An operator assigns a configuration.
    pub(crate) fn assign(&mut self, rig: &mut Rig, n: u64) {
        let now = rig.now();
        let assigned = rig.server.operate(now, |platform| {
            platform.set_configuration(now, &name(), None, json!({"n": n}))
        });
        self.assigned = assigned.ok().or_else(|| self.assigned.take());
    }

    /// How often a sample was processed.
    pub(crate) fn count(&self, n: u64) -> usize {
        self.processed.iter().filter(|other| **other == n).count()
    }

    /// Commands that the platform still offers.
    pub(crate) fn outstanding(rig: &mut Rig) -> usize {
        let now = rig.now();
        let state = rig.server.operate(now, |platform| platform.state(&name()));
        state.map_or(0, |state| state.commands.values().map(Vec::len).sum())
    }
}

/// Lets time pass; `watch` sees the rig after every step.
pub(crate) fn pass(rig: &mut Rig, time: Duration, watch: &mut impl FnMut(&mut Rig)) {
    let end = rig.now() + time;
    run(rig, watch);
    while rig.now() < end {
        let next: Instant = rig.next().unwrap_or(end).min(end);
        rig.tick(next);
        run(rig, watch);
    }
}

fn run(rig: &mut Rig, watch: &mut impl FnMut(&mut Rig)) {
    while rig.step() {
        watch(rig);
    }
    watch(rig);
}
