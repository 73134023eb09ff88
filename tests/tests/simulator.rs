//! The simulator itself: it is deterministic, it finds what it is given to find, and it shows the
//! shortest way there. What it says of the library is `tests/sim`'s.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::client::{Endpoint, Options, Ticket};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{Event, EventKind};
use kaa_proto::telemetry::Sample;
use kaa_tests::sim::{
    Birth, Device, Failure, Happening, Moment, Plan, Program, Simulation, Summary, play, play_with,
    shorten_with,
};

/// A device that sends a sample now and then, and breaks a rule of its own: no more than three are
/// to reach the platform while it is told of none.
struct Meter {
    name: EndpointName,
    endpoint: Option<Endpoint>,
    waits: Vec<Ticket<Sample<u64>>>,
    untold: u32,
}

impl Meter {
    fn new() -> Self {
        Self {
            name: EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap(),
            endpoint: None,
            waits: Vec::new(),
            untold: 0,
        }
    }
}

impl Program for Meter {
    fn names(&self) -> Vec<EndpointName> {
        vec![self.name.clone()]
    }

    fn options(&self) -> Options {
        Options::new("mqtt://127.0.0.1").unwrap()
    }

    fn start(&mut self, moment: &mut Moment<'_>, _: Birth) {
        self.waits.clear();
        self.endpoint = Some(moment.client.endpoint(&self.name).unwrap());
    }

    fn live(&mut self, moment: &mut Moment<'_>) {
        for mut wait in std::mem::take(&mut self.waits) {
            match wait.try_outcome() {
                Some(_) => self.untold = 0,
                None => self.waits.push(wait),
            }
        }
        if let (false, Some(endpoint)) = (moment.is_calm, &self.endpoint) {
            self.waits.extend(endpoint.submit(&Sample::new(1)).ok());
        }
        moment.again_in = Duration::from_secs(2);
    }

    fn is_done(&self) -> bool {
        self.waits.is_empty()
    }

    fn handle_log(&mut self, event: &Event) {
        if let EventKind::Telemetry { .. } = event.kind {
            self.untold += 1;
            assert!(self.untold <= 3, "{} reached the platform", self.untold);
        }
    }
}

fn add_meter(simulation: &mut Simulation) {
    let device = Device {
        has_disk: false,
        answer_within: Duration::from_secs(30),
    };
    simulation.add(Box::new(Meter::new()), device);
}

fn play_meter(plan: &Plan) -> Result<Summary, Box<Failure>> {
    play_with(plan, add_meter)
}

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        steps: 1_000,
        ..Plan::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    for seed in 0..20 {
        let (first, again) = (play(&plan(seed)).unwrap(), play(&plan(seed)).unwrap());
        assert_eq!(first, again, "{seed}");
    }
    let (one, other) = (play(&plan(0)).unwrap(), play(&plan(1)).unwrap());
    assert_ne!(one.transcript, other.transcript);
}

#[test]
fn a_few_hundred_seeds_have_everything_happen_and_requests_end_in_every_way() {
    let mut all = Summary::default();
    for seed in 0..300 {
        match play(&plan(seed)) {
            Ok(summary) => all += &summary,
            Err(failure) => panic!("seed {seed}: {}", failure.message),
        }
    }
    for happening in Happening::ALL {
        assert!(all.happenings.contains_key(happening), "{happening:?}");
    }
    for (outcome, count) in &all.outcomes {
        assert!(*count > 0, "none is {outcome}");
    }
}

#[test]
fn what_breaks_a_rule_of_a_program_is_found_and_shown_with_no_more_than_it_needs() {
    let seeds = 0..200;
    let failure = seeds.map(plan).find_map(|plan| play_meter(&plan).err());
    let failure = *failure.expect("answers are lost in some seed");
    let before = failure.happened.len();
    let short = shorten_with(failure, play_meter);
    assert!(short.message.contains("reached the platform"));
    assert!(short.happened.len() < before);
    assert!(!short.transcript.is_empty());
    for left_out in &short.happened {
        let mut plan = short.plan.clone();
        plan.left_out.insert(*left_out);
        let again = play_meter(&plan).err();
        let is_same = again.is_some_and(|again| again.message.contains("reached the platform"));
        assert!(!is_same, "step {left_out} is not needed");
    }
}
