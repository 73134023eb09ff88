//! Whether the platform's log and the device's own agree, and what they may not say.

use std::collections::{BTreeMap, BTreeSet};

use kaa_proto::platform::EventKind;

use crate::device::{INTERRUPTED, is_once, number};
use crate::journal::Line;
use crate::killing::Evidence;

/// What happened in short, and what may not have happened.
pub(crate) fn judge(evidence: &Evidence) -> (String, Vec<String>) {
    let mut problems = Vec::new();
    if evidence.journal.last() != Some(&Line::Quiet) {
        problems.push("the device's log does not end quietly".into());
    }
    for (run, kind) in &evidence.events {
        if matches!(kind, EventKind::Breach { .. } | EventKind::Refused { .. }) {
            problems.push(format!("in run {run}: {kind:?}"));
        }
    }
    let commands = judge_commands(evidence, &mut problems);
    let samples = judge_samples(evidence, &mut problems);
    judge_configurations(evidence, &mut problems);
    (format!("{commands}; {samples}"), problems)
}

/// What is known of a command.
#[derive(Default)]
struct Command {
    invoked: usize,
    executed: usize,
    interrupted: usize,
    /// How many results the platform took as the answer.
    accepted: usize,
    /// All statuses that were reported.
    statuses: BTreeSet<i64>,
}

fn judge_commands(evidence: &Evidence, problems: &mut Vec<String>) -> String {
    let mut commands: BTreeMap<i64, Command> = BTreeMap::new();
    for id in &evidence.commands {
        commands.entry(*id).or_default().invoked += 1;
    }
    for line in &evidence.journal {
        if let Line::Executed(id) = line {
            commands.entry(*id).or_default().executed += 1;
        } else if let Line::Interrupted(id) = line {
            commands.entry(*id).or_default().interrupted += 1;
        }
    }
    for (_, kind) in &evidence.events {
        if let EventKind::CommandResult {
            id,
            known,
            status_code,
            ..
        } = kind
        {
            let command = commands.entry(*id).or_default();
            command.accepted += usize::from(*known);
            command.statuses.insert(*status_code);
        } else if let EventKind::CommandExpired { id, .. } = kind {
            problems.push(format!("command {id} expired"));
        }
    }

    let mut count = |id: &i64, is_wrong: bool, what: &str| {
        if is_wrong {
            problems.push(format!("command {id} {what}"));
        }
    };
    for (id, command) in &commands {
        let is = |status: i64| command.statuses.contains(&status);
        count(id, command.invoked != 1, "was not invoked once");
        count(id, command.executed > 1, "was executed twice");
        count(id, command.accepted != 1, "does not have one result");
        count(id, command.statuses.len() > 1, "was answered in two ways");
        count(
            id,
            is(200) && command.executed == 0,
            "was not executed, and answered so",
        );
        let interrupted = is(i64::from(INTERRUPTED));
        let is_wrong = interrupted && command.interrupted == 0;
        count(id, is_wrong, "was not interrupted, and answered so");
    }
    let interrupted = commands.values().filter(|c| c.interrupted > 0).count();
    let either = commands
        .values()
        .filter(|c| c.interrupted > 0 && c.executed > 0)
        .count();
    if interrupted == 0 {
        problems.push("no command was interrupted: it proves nothing".into());
    }
    let n = commands.len();
    format!("{n} commands, {interrupted} interrupted, {either} of them executed")
}

/// What is known of a sample.
#[derive(Default)]
struct Sample {
    /// The runs in which it was there.
    alive_in: usize,
    is_stored: bool,
    /// How often it was told as confirmed.
    confirmed: usize,
    is_unknown: bool,
    resumed: usize,
    /// How often the platform got it.
    taken: usize,
}

fn judge_samples(evidence: &Evidence, problems: &mut Vec<String>) -> String {
    let mut samples = BTreeMap::new();
    read_journal(&evidence.journal, &mut samples, problems);
    let mut latest = 0;
    for (_, kind) in &evidence.events {
        let EventKind::Telemetry { data, .. } = kind else {
            continue;
        };
        let Some(sample) = number(data).and_then(|n| Some((n, samples.get_mut(&n)?))) else {
            problems.push(format!("nobody sent {data}"));
            continue;
        };
        let (n, sample) = sample;
        sample.taken += 1;
        if sample.taken == 1 && !is_once(n) {
            if n < latest {
                problems.push(format!("sample {n} came after {latest}"));
            }
            latest = n;
        }
    }

    let mut count = |n: &u64, is_wrong: bool, what: &str| {
        if is_wrong {
            problems.push(format!("sample {n} {what}"));
        }
    };
    for (n, sample) in &samples {
        let is_lost = sample.is_stored && sample.taken == 0 && !sample.is_unknown;
        count(n, is_lost, "was stored, and is lost");
        count(n, sample.confirmed > 1, "was confirmed twice");
        count(
            n,
            sample.confirmed > 0 && sample.taken == 0,
            "was confirmed and not taken",
        );
        // Each run sends it once at most, and none after it was confirmed.
        let most = if is_once(*n) { 1 } else { sample.alive_in };
        count(n, sample.taken > most, "was sent too often");
        let is_known = sample.is_unknown && (sample.confirmed > 0 || !is_once(*n));
        count(n, is_known, "is called unknown, and is not");
    }
    let sum = |what: fn(&Sample) -> bool| samples.values().filter(|sample| what(sample)).count();
    let (stored, resumed) = (sum(|s| s.is_stored), sum(|s| s.resumed > 0));
    let (unknown, again) = (sum(|s| s.is_unknown), sum(|s| s.taken > 1));
    for (n, what) in [
        (stored, "stored"),
        (resumed, "resumed"),
        (unknown, "unknown"),
    ] {
        if n == 0 {
            problems.push(format!("no sample was {what}: it proves nothing"));
        }
    }
    let n = samples.len();
    format!(
        "{n} samples, {stored} stored, {resumed} resumed, {unknown} unknown, {again} sent again"
    )
}

/// What the device knows of its samples.
fn read_journal(journal: &[Line], samples: &mut BTreeMap<u64, Sample>, problems: &mut Vec<String>) {
    // Samples by the library's numbers; it gives one again that was not stored.
    let mut numbers: BTreeMap<u64, u64> = BTreeMap::new();
    let mut resumed = BTreeSet::new();
    // One of which the device did not get to know the library's number.
    let mut nameless = None;
    let mut is_recovered = true;
    // Those called unknown in this run, and those of which the store knows that they were.
    let (mut told, mut settled) = (BTreeSet::new(), BTreeSet::new());
    for line in journal {
        match line {
            Line::Run(_) => {
                if !is_recovered {
                    // It may have sent what it had no time to write down.
                    let open = numbers.iter().filter(|(id, _)| !resumed.contains(*id));
                    for n in open.map(|(_, n)| *n).chain(nameless) {
                        samples.entry(n).or_default().alive_in += 1;
                    }
                }
                is_recovered = false;
                resumed.clear();
                told.clear();
            }
            Line::Resumed(id) => {
                let known = numbers.get(id).copied().or(nameless);
                let Some(sample) = known.and_then(|n| Some((n, samples.get_mut(&n)?))) else {
                    problems.push(format!("nobody knows the resumed request {id}"));
                    continue;
                };
                let (n, sample) = sample;
                if sample.confirmed > 0 || sample.is_unknown {
                    problems.push(format!("sample {n} ended, and was resumed"));
                }
                sample.resumed += 1;
                sample.alive_in += 1;
                numbers.insert(*id, n);
                resumed.insert(*id);
            }
            Line::Recovered => {
                is_recovered = true;
                numbers.retain(|id, _| resumed.contains(id));
                nameless = None;
            }
            Line::Intended(n) => {
                nameless = Some(*n);
                samples.entry(*n).or_default().alive_in = 1;
            }
            Line::Submitted(n, id) => {
                nameless = None;
                numbers.insert(*id, *n);
            }
            Line::Stored(n) => {
                samples.entry(*n).or_default().is_stored = true;
                // So is all that was recorded before.
                settled.append(&mut told);
            }
            Line::Confirmed(n) => samples.entry(*n).or_default().confirmed += 1,
            Line::Unknown(n) => {
                samples.entry(*n).or_default().is_unknown = true;
                told.insert(*n);
                if settled.contains(n) {
                    problems.push(format!("sample {n} was called unknown twice"));
                }
            }
            Line::Ended(id, Ok(())) => {
                let n = numbers.get(id).copied().unwrap_or_default();
                samples.entry(n).or_default().confirmed += 1;
            }
            Line::NotStored(..) | Line::Failed(..) | Line::Ended(_, Err(_)) => {
                problems.push(format!("nothing broke, and yet: {line}"));
            }
            Line::Executed(_)
            | Line::Interrupted(_)
            | Line::Given(_)
            | Line::Applied(_)
            | Line::Quiet => {}
        }
    }
}

/// What was applied is neither asked for nor delivered again.
fn judge_configurations(evidence: &Evidence, problems: &mut Vec<String>) {
    let place = |id: &str| evidence.configurations.iter().position(|known| known == id);
    // The latest that was applied before each run.
    let mut applied_before: BTreeMap<u64, Option<usize>> = BTreeMap::new();
    let (mut given, mut applied) = (None, None);
    for line in &evidence.journal {
        if let Line::Run(run) = line {
            applied_before.insert(*run, applied);
        } else if let Line::Given(id) = line {
            given = place(id);
        } else if let Line::Applied(id) = line {
            applied = applied.max(place(id));
        }
    }
    for (run, kind) in &evidence.events {
        // A run that did not come to write anything did not apply anything either.
        let before = applied_before.range(..=run).next_back();
        let before = before.and_then(|(_, before)| *before);
        if let EventKind::ConfigRequested { config_id, .. } = kind {
            let has = config_id.as_deref().and_then(place);
            if has < before {
                problems.push(format!("run {run} asked with {has:?}, but had {before:?}"));
            }
        } else if let EventKind::ConfigDelivered { config_id, .. } = kind {
            if before.is_some() && place(config_id) <= before {
                problems.push(format!("run {run} was given {config_id} again"));
            }
        }
    }
    // The platform knows the last one as applied, or it would not have come to an end.
    if given.map(|place| place + 1) != Some(evidence.configurations.len()) {
        problems.push("the last configuration was not given to the device".into());
    }
}
