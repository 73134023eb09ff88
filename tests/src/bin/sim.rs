//! Plays simulations from the command line; see `tests/README.md`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]

use kaa_tests::sim::{Plan, play, shorten};

fn main() {
    let args: Vec<u64> = std::env::args()
        .skip(1)
        .map(|a| a.parse().expect("number"))
        .collect();
    let (from, to, steps) = (args[0], args[1], args[2]);
    let begin = std::time::Instant::now();
    let mut all = kaa_tests::sim::Summary::default();
    let mut failed = 0;
    for seed in from..to {
        let plan = Plan {
            seed,
            steps,
            ..Plan::default()
        };
        match play(&plan) {
            Ok(summary) => all += &summary,
            Err(failure) => {
                failed += 1;
                println!("seed {seed} step {} : {}", failure.step, failure.message);
                if failed == 1 && args.len() > 3 {
                    let short = shorten(*failure);
                    for line in &short.transcript {
                        println!("{line}");
                    }
                    println!("{} {:?}", short.message, short.happened);
                }
                if failed > 20 {
                    break;
                }
            }
        }
    }
    println!("{all}\n{failed} failed, {:?}", begin.elapsed());
}
