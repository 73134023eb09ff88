//! `tests/sim`: plays simulations; see the docs of `kaa_tests::sim`.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "it is a program that reports"
)]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, panic, thread};

use kaa_tests::sim::{Failure, Plan, Summary, play, shorten};

const HELP: &str = "\
tests/sim [--seeds N] [--steps N] [--seed S] [--only STEPS] [--trace] [--quick]

Plays seeds: devices, a platform and all that can go wrong between them, decided by the seed alone.

  --seeds N      how many seeds; default 1000
  --seed S       the first seed, default 0; without --seeds this one only
  --steps N      steps in which something may happen, then calm weather; default 1000
  --only STEPS   of what the seed makes happen, only what it makes happen in these steps,
                 separated by commas: as printed for a failure
  --trace        prints the transcript
  --quick        does not look for the shortest way to a failure
";

/// How many steps there are unless somebody says otherwise.
const STEPS: u64 = 1_000;
/// How many seeds.
const SEEDS: u64 = 1_000;
/// How often is told how far it is.
const PROGRESS: Duration = Duration::from_secs(10);
/// How much of a transcript is shown with a failure.
const SHOWN: usize = 150;

/// What the command line says.
struct Order {
    first: u64,
    seeds: u64,
    steps: u64,
    only: Option<BTreeSet<u64>>,
    is_traced: bool,
    is_quick: bool,
}

fn main() -> ExitCode {
    let order = match read(env::args().skip(1)) {
        Ok(Some(order)) => order,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // What panics is told with its seed.
    panic::set_hook(Box::new(|_| {}));
    let (summary, failure) = play_all(&order);
    println!("{summary}");
    let Some(failure) = failure else {
        println!("all of it holds");
        return ExitCode::SUCCESS;
    };
    let short = if order.is_quick {
        failure
    } else {
        shorten(failure)
    };
    tell(&short, &order);
    ExitCode::FAILURE
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Option<Order>, String> {
    let (mut first, mut seeds, mut steps) = (None, None, STEPS);
    let (mut only, mut is_traced, mut is_quick) = (None, false, false);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match &*word {
            "--seeds" => seeds = Some(number(&value()?)?),
            "--seed" => first = Some(number(&value()?)?),
            "--steps" => steps = number(&value()?)?,
            "--only" => {
                let list = value()?;
                let steps = list.split(',').filter(|step| !step.is_empty());
                only = Some(steps.map(number).collect::<Result<_, _>>()?);
            }
            "--trace" => is_traced = true,
            "--quick" => is_quick = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("what is {other}?")),
        }
    }
    Ok(Some(Order {
        first: first.unwrap_or_default(),
        seeds: seeds.unwrap_or_else(|| if first.is_some() { 1 } else { SEEDS }),
        steps,
        only,
        is_traced,
        is_quick,
    }))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word:?} is no number"))
}

/// Plays all seeds, on all cores, until one fails; of several that do, the smallest.
fn play_all(order: &Order) -> (Summary, Option<Failure>) {
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let all = Mutex::new((Summary::default(), None::<Failure>));
    let (begin, told) = (Instant::now(), Mutex::new(Instant::now()));
    let lock = || all.lock().unwrap_or_else(PoisonError::into_inner);
    let work = || {
        while !is_over.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= order.seeds {
                return;
            }
            let played = play(&plan(order, order.first + index));
            let mut all = lock();
            match played {
                Ok(summary) => all.0 += &summary,
                Err(failure) => {
                    is_over.store(true, Ordering::Relaxed);
                    let is_first = all
                        .1
                        .as_ref()
                        .is_none_or(|f| failure.plan.seed < f.plan.seed);
                    if is_first {
                        all.1 = Some(*failure);
                    }
                }
            }
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.elapsed() > PROGRESS {
                *told = Instant::now();
                let seconds = begin.elapsed().as_secs();
                eprintln!("{} seeds, {} steps, {seconds} s", all.0.seeds, all.0.steps);
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn plan(order: &Order, seed: u64) -> Plan {
    let left_out = order.only.as_ref().map(|only| {
        let all = 0..order.steps;
        all.filter(|step| !only.contains(step)).collect()
    });
    Plan {
        seed,
        steps: order.steps,
        left_out: left_out.unwrap_or_default(),
        is_traced: order.is_traced,
    }
}

/// What may not be, how it comes to be, and how to see it again.
fn tell(failure: &Failure, order: &Order) {
    let Failure {
        plan,
        message,
        step,
        happened,
        transcript,
    } = failure;
    let shown = match order.is_traced {
        true => transcript.len(),
        false => SHOWN,
    };
    let skipped = transcript.len().saturating_sub(shown);
    if skipped > 0 {
        println!("… {skipped} lines before; --trace shows them");
    }
    for line in &transcript[skipped..] {
        println!("{line}");
    }
    let only: Vec<String> = happened.iter().map(u64::to_string).collect();
    println!("\nseed {}, step {step}: {message}", plan.seed);
    println!(
        "again: tests/sim --seed {} --steps {} --only {} --trace",
        plan.seed,
        plan.steps,
        only.join(",")
    );
}
