//! Every scenario on every runtime, and the matrix of it all.
//!
//! A word on the command line runs the scenarios with it in their name only.

use std::process::ExitCode;

use kaa_tests::scenario::{Cell, Column, Matrix, list, play_simulated};

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let columns = vec![
        Column {
            runtime: "core",
            is_tls: false,
            is_real: false,
        },
        Column {
            runtime: "core",
            is_tls: true,
            is_real: false,
        },
    ];
    let mut matrix = Matrix {
        columns: columns.clone(),
        rows: Vec::new(),
    };
    for scenario in list::all() {
        if filter
            .as_ref()
            .is_some_and(|word| !scenario.name.contains(word))
        {
            continue;
        }
        let cells =
            columns.iter().map(|column| {
                let absent = Cell::absent(scenario, column);
                Some(absent.unwrap_or_else(|| {
                    Cell::of_run(column, play_simulated(scenario, column.is_tls))
                }))
            });
        let cells = cells.collect();
        matrix.rows.push((scenario, cells));
    }
    println!("{matrix}");
    let problems = matrix.problems(0, 0);
    for problem in &problems {
        eprintln!("{problem}\n");
    }
    ExitCode::from(u8::from(!problems.is_empty()))
}
