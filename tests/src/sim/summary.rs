//! What simulations have shown, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use kaa_proto::connection::Statistics;

use super::Happening;

/// What one simulation, or many, came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many simulations.
    pub seeds: u64,
    /// How many steps, those in calm weather at the end too.
    pub steps: u64,
    /// How much time passed for the devices.
    pub simulated: Duration,
    /// What happened, and how often.
    pub happenings: BTreeMap<Happening, u64>,
    /// How many requests ended in which way.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// What else the clients have counted.
    pub counts: BTreeMap<&'static str, u64>,
    /// The transcript as a number: the same for the same seed.
    pub transcript: u64,
}

impl Summary {
    pub(super) fn count_happening(&mut self, happening: Happening) {
        *self.happenings.entry(happening).or_default() += 1;
    }

    /// Adds what a client has counted until its end.
    pub(super) fn count_client(&mut self, statistics: &Statistics) {
        let requests = &statistics.requests;
        let outcomes = [
            ("confirmed", requests.confirmed),
            ("rejected", requests.rejected),
            ("unanswered", requests.unanswered),
            ("outcome unknown", requests.outcome_unknown),
            ("expired", requests.expired),
            ("dropped", requests.dropped),
            ("cancelled", requests.cancelled),
            ("closed", requests.closed),
            ("gone with a crash", requests.submitted - requests.ended()),
        ];
        for (name, count) in outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        let counts = [
            ("dials", statistics.dials),
            ("links up", statistics.links_up),
            ("links lost", statistics.links_lost),
            ("sent again", requests.resent),
            ("late answers", requests.late_answers),
            ("foreign answers", requests.foreign_answers),
            ("commands", requests.commands_surfaced),
            ("commands repeated", requests.commands_repeated),
            ("results sent again", requests.results_resent),
            ("configurations", requests.configurations_surfaced),
            ("suspensions", statistics.suspensions),
            ("stores lost", statistics.store_losses),
        ];
        for (name, count) in counts {
            *self.counts.entry(name).or_default() += count;
        }
    }
}

impl AddAssign<&Self> for Summary {
    fn add_assign(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.simulated += other.simulated;
        for (happening, count) in &other.happenings {
            *self.happenings.entry(*happening).or_default() += count;
        }
        for (name, count) in &other.outcomes {
            *self.outcomes.entry(name).or_default() += count;
        }
        for (name, count) in &other.counts {
            *self.counts.entry(name).or_default() += count;
        }
        self.transcript ^= other.transcript.rotate_left((other.seeds % 64) as u32);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated.as_secs() / 3_600;
        writeln!(
            f,
            "{} seeds, {} steps, {hours} simulated hours",
            self.seeds, self.steps
        )?;
        let happenings: u64 = self.happenings.values().sum();
        writeln!(f, "what happened ({happenings}):")?;
        for (happening, count) in &self.happenings {
            writeln!(f, "  {:<26}{count:>10}", happening.name())?;
        }
        writeln!(f, "requests by outcome:")?;
        for (name, count) in &self.outcomes {
            writeln!(f, "  {name:<26}{count:>10}")?;
        }
        writeln!(f, "and:")?;
        for (name, count) in &self.counts {
            writeln!(f, "  {name:<26}{count:>10}")?;
        }
        Ok(())
    }
}
