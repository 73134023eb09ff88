//! A device is killed in the middle of traffic, five hundred times in each binding, over a
//! Mosquitto with the platform attached; then the platform's log and the device's own are compared.
//!
//! The program starts itself as the device: SIGKILL takes a process, and nothing less is the point.
//! A word on the command line runs the bindings with it in their name, `kills=N` as many.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that reports; a device that cannot go on has failed"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "the suites of the runtimes use the rest"
)]
#[path = "../bindings/mod.rs"]
mod bindings;
mod device;
mod hands;
mod journal;
mod killing;
mod verdict;

use std::collections::VecDeque;
use std::env;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use bindings::{AsyncStd, Blocking, Smol, Tokio};
use device::Order;
use killing::Plan;

/// How often a device is killed.
const KILLS: usize = 500;
/// How often one without a store is, to see that it does not pass.
const KILLS_WITHOUT_STORE: usize = 40;
/// How many devices there are at a time.
const AT_A_TIME: usize = 2;
/// How many problems are shown.
const SHOWN: usize = 12;

/// A device in some binding.
type Device = fn(&Order);

/// The bindings by name.
const BINDINGS: [(&str, Device); 5] = [
    ("tokio-multi-thread", device::run::<Tokio<2>>),
    ("tokio-current-thread", device::run::<Tokio<1>>),
    ("smol", device::run::<Smol>),
    ("async-std", device::run::<AsyncStd>),
    ("blocking", device::run::<Blocking>),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if let Some((binding, order)) = Order::from_words(&words) {
        let (_, run) = BINDINGS
            .iter()
            .find(|(name, _)| *name == binding)
            .expect("it is a binding");
        run(&order);
        return ExitCode::SUCCESS;
    }
    let kills = words.iter().find_map(|word| word.strip_prefix("kills="));
    let kills = kills.map_or(KILLS, |kills| kills.parse().expect("a number"));
    let is_option = |word: &str| word.starts_with('-') || word.contains('=');
    let chosen = words.iter().find(|word| !is_option(word));

    let bindings = BINDINGS.iter().map(|(name, _)| *name);
    let mut plans: VecDeque<Plan> = bindings.map(|name| Plan::new(name, kills)).collect();
    plans.push_back(Plan::without_store("blocking", KILLS_WITHOUT_STORE));
    plans.retain(|plan| chosen.is_none_or(|word| plan.to_string().contains(&**word)));
    let n_failed = play_all(plans);
    match n_failed {
        0 => println!("all of it holds"),
        n => println!("{n} do not hold"),
    }
    ExitCode::from(u8::from(n_failed > 0))
}

/// Plays them, some at a time; how many do not hold.
fn play_all(plans: VecDeque<Plan>) -> usize {
    let (plans, n_failed) = (Mutex::new(plans), Mutex::new(0));
    let next = || lock(&plans).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(plan) = next() {
                    *lock(&n_failed) += usize::from(!is_held(&plan));
                }
            });
        }
    });
    n_failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Plays one, and says what came of it.
fn is_held(plan: &Plan) -> bool {
    let (account, mut problems) = match killing::play(plan) {
        Ok(evidence) => verdict::judge(&evidence),
        Err(error) => ("it broke off".into(), vec![error]),
    };
    println!("{plan}: {account}");
    if !plan.has_store {
        // It has to be found out.
        let found = problems
            .iter()
            .any(|problem| problem.contains("executed twice"));
        problems.clear();
        if !found {
            problems.push("a device without a store passes: nothing is checked".into());
        }
    }
    for problem in problems.iter().take(SHOWN) {
        eprintln!("{plan}: {problem}");
    }
    if problems.len() > SHOWN {
        eprintln!("{plan}: and {} more", problems.len() - SHOWN);
    }
    problems.is_empty()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
