//! Every scenario on every runtime, and the matrix of it all.
//!
//! A word on the command line runs the scenarios with it in their name only, and `column=WORD`
//! those columns.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "it is a program that reports"
)]

mod blocking;
mod gate;
mod real;
mod runtime;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use kaa_tests::scenario::{Cell, Column, Matrix, Scenario, list, play_simulated};

use runtime::Runtime;

/// How many scenarios there have to be, and how many of them over sockets.
const MIN_VIRTUAL: usize = 60;
const MIN_REAL: usize = 25;

/// How many run at a time: they wait most of the time.
const AT_A_TIME: usize = 8;

/// When one scenario has hung for so long, nothing more will come of it.
const HANGING: Duration = Duration::from_secs(90);

/// What is to be run: where its cell is, and how.
struct Job {
    row: usize,
    column: usize,
    scenario: &'static Scenario,
    runtime: Option<Runtime>,
    is_tls: bool,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let column_word = words.iter().find_map(|word| word.strip_prefix("column="));
    let mut names = words
        .iter()
        .filter(|word| !word.starts_with('-') && !word.contains('='));
    let name = names.next();

    let mut runtimes: Vec<Option<Runtime>> = vec![None];
    runtimes.extend(runtime::ALL.map(Some));
    let columns = runtimes
        .iter()
        .flat_map(|runtime| [false, true].map(|is_tls| (*runtime, is_tls)));
    let columns: Vec<_> = columns
        .map(|(runtime, is_tls)| (column(runtime, is_tls), runtime))
        .collect();
    let columns: Vec<_> = columns
        .into_iter()
        .filter(|(column, _)| column_word.is_none_or(|word| column.to_string().contains(word)))
        .collect();

    let mut matrix = Matrix {
        columns: columns.iter().map(|(column, _)| *column).collect(),
        rows: Vec::new(),
    };
    let mut jobs = VecDeque::new();
    let chosen = |scenario: &&Scenario| name.is_none_or(|word| scenario.name.contains(word));
    for (row, scenario) in list::all().into_iter().filter(chosen).enumerate() {
        let cells = columns
            .iter()
            .map(|(column, _)| Cell::absent(scenario, column));
        let cells: Vec<_> = cells.collect();
        for (index, (column, runtime)) in columns.iter().enumerate() {
            if cells.get(index).is_some_and(Option::is_none) {
                jobs.push_back(Job {
                    row,
                    column: index,
                    scenario,
                    runtime: *runtime,
                    is_tls: column.is_tls,
                });
            }
        }
        matrix.rows.push((scenario, cells));
    }
    run_all(jobs, &mut matrix);

    println!("{matrix}");
    let is_whole = name.is_none() && column_word.is_none();
    let (virtuals, reals) = if is_whole {
        (MIN_VIRTUAL, MIN_REAL)
    } else {
        (0, 0)
    };
    let problems = matrix.problems(virtuals, reals);
    for problem in &problems {
        eprintln!("{problem}\n");
    }
    match problems.len() {
        0 => println!("all of it holds"),
        n => println!("{n} problems"),
    }
    ExitCode::from(u8::from(!problems.is_empty()))
}

fn column(runtime: Option<Runtime>, is_tls: bool) -> Column {
    Column {
        runtime: runtime.map_or("core", |runtime| runtime.name),
        is_tls,
        is_real: runtime.is_some(),
    }
}

/// Fills the cells. A scenario that hangs leaves its cell empty.
fn run_all(jobs: VecDeque<Job>, matrix: &mut Matrix) {
    let jobs = Arc::new(Mutex::new(jobs));
    let (done, results) = mpsc::channel();
    for _ in 0..AT_A_TIME {
        let (jobs, done) = (Arc::clone(&jobs), done.clone());
        thread::spawn(move || {
            let next = || {
                jobs.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front()
            };
            while let Some(job) = next() {
                let place = (job.row, job.column);
                // What panics is a failure like any other.
                let run = thread::spawn(move || match job.runtime {
                    None => play_simulated(job.scenario, job.is_tls),
                    Some(runtime) => real::play_real(job.scenario, runtime, job.is_tls),
                });
                let run = run.join().unwrap_or_else(|_| Err("it panicked".into()));
                if done.send((place, run)).is_err() {
                    return;
                }
            }
        });
    }
    drop(done);
    loop {
        match results.recv_timeout(HANGING) {
            Ok(((row, index), run)) => {
                let column = matrix.columns.get(index).copied();
                let cell = matrix
                    .rows
                    .get_mut(row)
                    .and_then(|(_, cells)| cells.get_mut(index));
                if let (Some(cell), Some(column)) = (cell, column) {
                    *cell = Some(Cell::of_run(&column, run));
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}
