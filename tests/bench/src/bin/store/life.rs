//! The life of samples, from their acceptance to their end, in commits of some records each.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kaa_bench::in_log::Counts;
use kaa_bench::spread::Spread;
use kaa_bench::work::{self, OUTSTANDING};
use kaa_bench::{Outbox, Outcome};

use super::measure::{Written, written_to_device};
use super::peer::Peer;

/// So many groups of so many records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) group: u64,
    pub(crate) groups: u64,
}

impl Life {
    /// How many samples live in it.
    pub(crate) const fn samples(self) -> u64 {
        self.group / 2 * self.groups
    }
}

/// What the rounds of one store gave.
pub(crate) struct Figures {
    pub(crate) records_per_second: Spread,
    pub(crate) bytes_to_medium: Spread,
    pub(crate) bytes_handed: Spread,
    /// By everybody.
    pub(crate) bytes_of_device: Option<Spread>,
    /// As our log counts them.
    pub(crate) bytes_appended: Option<Spread>,
    pub(crate) syncs: Option<Spread>,
}

/// What a round took.
struct Round {
    seconds: f64,
    to_medium: u64,
    handed: u64,
    of_device: Option<u64>,
    appended: Option<u64>,
    syncs: Option<u64>,
}

/// A store that lives.
struct Alive {
    outbox: Box<dyn Outbox>,
    counts: Option<Arc<Counts>>,
    rounds: Vec<Round>,
}

/// All stores, in turns. A first round, in which each gets its size, is not counted.
pub(crate) fn compare(folder: &Path, life: Life, rounds: usize) -> Outcome<[Figures; 3]> {
    let begin = |peer: Peer| -> Outcome<Alive> {
        let (mut outbox, counts) = peer.create(&folder.join(peer.name()))?;
        outbox.write(&[work::first()?])?;
        let rounds = Vec::new();
        Ok(Alive {
            outbox,
            counts,
            rounds,
        })
    };
    let [log, sqlite, redb] = Peer::ALL.map(begin);
    let mut alive = [log?, sqlite?, redb?];
    let mut next = OUTSTANDING;
    for round in 0..=rounds {
        let groups = work::groups(next, life.group, life.groups)?;
        next += life.samples();
        for alive in &mut alive {
            let measured = alive.round(folder, &groups)?;
            if round > 0 {
                alive.rounds.push(measured);
            }
        }
    }
    let [log, sqlite, redb] = alive.map(|alive| alive.figures(life));
    Ok([log?, sqlite?, redb?])
}

/// One store alone, once.
pub(crate) fn live(peer: Peer, folder: &Path, life: Life) -> Outcome<()> {
    let (mut outbox, _) = peer.create(folder)?;
    outbox.write(&[work::first()?])?;
    outbox.write(&work::groups(OUTSTANDING, life.group, life.groups)?)
}

impl Alive {
    fn round(&mut self, folder: &Path, groups: &[Vec<work::Step>]) -> Outcome<Round> {
        let counts = |counts: &Option<Arc<Counts>>| {
            let counts = counts.as_ref();
            counts.map(|counts| (counts.bytes(), counts.syncs()))
        };
        let (written, counted) = (Written::now()?, counts(&self.counts));
        let device = written_to_device(folder);
        let start = Instant::now();
        self.outbox.write(groups)?;
        let seconds = start.elapsed().as_secs_f64();
        let (after, counted) = (Written::now()?, counted.zip(counts(&self.counts)));
        Ok(Round {
            seconds,
            to_medium: after.to_medium - written.to_medium,
            handed: after.handed - written.handed,
            of_device: device
                .zip(written_to_device(folder))
                .map(|(before, after)| after - before),
            appended: counted.map(|(before, after)| after.0 - before.0),
            syncs: counted.map(|(before, after)| after.1 - before.1),
        })
    }

    fn figures(&self, life: Life) -> Outcome<Figures> {
        let (samples, records) = (life.samples() as f64, (life.group * life.groups) as f64);
        let spread = |value: fn(&Round) -> f64| {
            let values = self.rounds.iter().map(value);
            Spread::of(values.map(|value| value / samples))
        };
        let some = |value: fn(&Round) -> Option<u64>| {
            let values = self.rounds.iter().filter_map(value);
            Spread::of(values.map(|value| value as f64 / samples)).ok()
        };
        let speeds = self.rounds.iter().map(|round| records / round.seconds);
        Ok(Figures {
            records_per_second: Spread::of(speeds)?,
            bytes_to_medium: spread(|round| round.to_medium as f64)?,
            bytes_handed: spread(|round| round.handed as f64)?,
            bytes_of_device: some(|round| round.of_device),
            bytes_appended: some(|round| round.appended),
            syncs: some(|round| round.syncs),
        })
    }
}
