//! Plays seeds, and finds the shortest way to a failure.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::gadget::{ANSWER_WITHIN, Gadget};
use super::summary::Summary;
use super::world::{Device, Plan, Simulation};

/// Something that may not be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was simulated.
    pub plan: Plan,
    /// What may not be.
    pub message: String,
    /// The step in which it came out.
    pub step: u64,
    /// The steps in which something happened before.
    pub happened: Vec<u64>,
    /// The transcript, if the plan says that it is kept.
    pub transcript: Vec<String>,
}

/// Plays a seed with the devices that it makes, which do something of everything.
///
/// # Errors
/// What may not be.
pub fn play(plan: &Plan) -> Result<Summary, Box<Failure>> {
    play_with(plan, add_gadgets)
}

/// Plays a seed with devices of one's own.
///
/// # Errors
/// What may not be.
pub fn play_with(plan: &Plan, add: impl FnOnce(&mut Simulation)) -> Result<Summary, Box<Failure>> {
    let mut simulation = Simulation::new(plan.clone());
    let played = catch_unwind(AssertUnwindSafe(|| {
        add(&mut simulation);
        simulation.run();
    }));
    simulation.flush_notes();
    let (step, happened) = (simulation.step, std::mem::take(&mut simulation.happened));
    let (summary, transcript) = simulation.into_account();
    match played {
        Ok(()) => Ok(summary),
        Err(panic) => Err(Box::new(Failure {
            plan: plan.clone(),
            message: text(&*panic),
            step,
            happened,
            transcript,
        })),
    }
}

/// The devices that a seed makes.
fn add_gadgets(simulation: &mut Simulation) {
    let mut dice = simulation.dice(4, 0);
    for number in 0..1 + dice.below(4) {
        let gadget = Gadget::new(number, simulation.weather(), &mut dice);
        let device = Device {
            has_disk: dice.below(2) == 0,
            answer_within: ANSWER_WITHIN,
        };
        simulation.add(Box::new(gadget), device);
    }
}

/// Leaves out of a failure's plan what it does not need, as long as the same may not be.
#[must_use]
pub fn shorten(failure: Failure) -> Failure {
    shorten_with(failure, play)
}

/// As [`shorten`], for what [`play_with`] has found.
#[must_use]
pub fn shorten_with(
    failure: Failure,
    play: impl Fn(&Plan) -> Result<Summary, Box<Failure>>,
) -> Failure {
    let mut best = failure;
    let fails = |plan: &Plan, what: &str| {
        let again = play(plan).err()?;
        (kind(&again.message) == kind(what)).then_some(*again)
    };
    // Nothing happens after the step in which it came out.
    let mut plan = best.plan.clone();
    plan.steps = plan.steps.min(best.step);
    if let Some(shorter) = fails(&plan, &best.message) {
        best = shorter;
    }
    let mut size = best.happened.len().div_ceil(2);
    while size > 0 {
        let mut begin = 0;
        while begin < best.happened.len() {
            let end = best.happened.len().min(begin + size);
            let mut plan = best.plan.clone();
            plan.left_out.extend(&best.happened[begin..end]);
            match fails(&plan, &best.message) {
                Some(shorter) => best = shorter,
                None => begin = end,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    let mut plan = best.plan.clone();
    plan.is_traced = true;
    fails(&plan, &best.message).unwrap_or(best)
}

/// A message without its numbers and names.
fn kind(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.chars()
        .filter(|c| !c.is_ascii_digit())
        .take(60)
        .collect()
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}
