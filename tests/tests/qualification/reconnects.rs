//! When a client dials again: after no CONNACK, after a kick, after many of them.

use std::time::Duration;

use kaa_proto::connection::{LinkError, LinkState, Options};
use kaa_tests::delays::{FEWEST, Growth, Shape, shape};

use crate::server::{Bench, CONNECT, Conduct, HOUR, MINUTE, PROMPT, SECOND};

const SEEDS: u64 = 100;

const SILENT: Conduct = Conduct {
    connack: None,
    ..PROMPT
};

const fn kicks_after(time: Duration) -> Conduct {
    Conduct {
        kick: Some(time),
        ..PROMPT
    }
}

/// The delays after so many failures in a row, the first of which follows when all was well; then
/// the server is good again.
fn run(bench: &mut Bench, conduct: Conduct, failures: usize) -> Vec<Duration> {
    let before = bench.ended.len();
    bench.conduct = conduct;
    if bench.connection.link_state() == LinkState::Up {
        bench.cut();
    }
    let patience = bench.now() + HOUR;
    // No delay is shorter than two of these.
    while bench.ended.len() < before + failures {
        assert!(bench.now() < patience, "it does not dial any more");
        bench.pass(SECOND / 20);
    }
    bench.conduct = PROMPT;
    bench.pass(3 * MINUTE);
    assert_eq!(bench.connection.link_state(), LinkState::Up);
    assert_eq!(bench.ended.len(), before + failures);
    bench.delays()[before..].to_vec()
}

/// Two whole cycles of one client: failures, and then a link that is good.
fn two_cycles(seed: u64, conduct: Conduct, failures: usize) -> [Vec<Duration>; 2] {
    let mut bench = Bench::new(Options::new("device"), seed, conduct);
    let cycles = [(); 2].map(|()| run(&mut bench, conduct, failures));
    let connects = bench.packets(CONNECT).len();
    assert!(connects > 2 * failures, "{connects} times CONNECT");
    cycles
}

fn assert_exponential_with_jitter(cycles: impl Fn(u64) -> [Vec<Duration>; 2]) {
    let all: Vec<_> = (0..SEEDS).map(cycles).collect();
    let exponential = Shape {
        growth: Growth::Exponential,
        is_jittered: true,
    };
    let few: Vec<_> = all.iter().filter_map(|two| shape(two)).collect();
    assert_eq!(few.len(), all.len());
    // What one device is found to do in two cycles depends on its dice.
    let right = few.iter().filter(|found| **found == exponential).count();
    assert!(right >= 90, "{right} of {SEEDS} seeds");
    assert!(
        few.iter()
            .all(|found| found.is_jittered && found.growth != Growth::Constant)
    );
    // What a fleet does, does not.
    let fleet: Vec<_> = all.into_iter().flatten().collect();
    assert_eq!(shape(&fleet), Some(exponential));
}

#[test]
fn without_connack_the_delays_are_exponential_with_jitter_in_two_cycles_of_twelve_connects() {
    assert_exponential_with_jitter(|seed| two_cycles(seed, SILENT, 12));
}

#[test]
fn kicks_right_after_connack_are_answered_by_exponential_delays_with_jitter() {
    let kicked = kicks_after(SECOND / 10);
    assert_exponential_with_jitter(|seed| two_cycles(seed, kicked, 12));
}

/// The fewest kicks that are asked for say something, too.
#[test]
fn five_kicks_are_enough_to_see_it() {
    let runs = (0..SEEDS).map(|seed| {
        let mut bench = Bench::new(Options::new("device"), seed, PROMPT);
        run(&mut bench, kicks_after(SECOND), FEWEST)
    });
    let runs: Vec<_> = runs.collect();
    let exponential = Shape {
        growth: Growth::Exponential,
        is_jittered: true,
    };
    assert_eq!(shape(&runs), Some(exponential));
}

/// Quick on purpose, for a link that was good is mostly good again at once; but never a hot loop,
/// and not with all others in the same instant.
#[test]
fn a_kick_after_a_stable_link_is_followed_by_a_dial_between_a_tenth_of_a_second_and_one() {
    let waits: Vec<_> = (0..SEEDS)
        .map(|seed| {
            let mut bench = Bench::new(Options::new("device"), seed, PROMPT);
            bench.pass(MINUTE);
            bench.cut();
            bench.pass(2 * SECOND);
            assert_eq!(bench.ended[0].1, LinkError::Eof);
            bench.delays()[0]
        })
        .collect();
    let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*shortest >= SECOND / 10 && *longest <= SECOND);
    assert!(*longest - *shortest > SECOND / 2, "they are spread");
}
