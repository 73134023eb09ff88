//! Replays the corpus, and small changes of it that are the same in every run.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

/// The inputs that are kept for a target.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let entries = std::fs::read_dir(folder).unwrap();
    let mut seeds: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no corpus for {target}");
    seeds
}

/// Runs each input, and about `changes` changed ones in all.
fn replay(target: &str, body: fn(&[u8]), changes: usize) {
    let seeds = corpus(target);
    let each = changes.div_ceil(seeds.len());
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below.max(1)
    };
    for seed in seeds {
        let seed = std::fs::read(seed).unwrap();
        body(&seed);
        for _ in 0..each {
            let mut changed = seed.clone();
            for _ in 0..=random(3) {
                let at = random(changed.len());
                match random(4) {
                    0 => changed.truncate(at),
                    1 => changed.insert(at, random(256) as u8),
                    2 => changed.extend_from_within(at..),
                    _ if changed.is_empty() => {}
                    _ => changed[at] = random(256) as u8,
                }
            }
            body(&changed);
        }
    }
}

macro_rules! targets {
    ($($target:ident, $changes:literal;)+) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), kaa_fuzz::$target, $changes);
            }
        )+

        #[test]
        fn every_target_is_replayed() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
            let stem = |path: PathBuf| path.file_stem().unwrap().to_owned();
            let entries = std::fs::read_dir(folder).unwrap();
            let mut targets: Vec<_> = entries.map(|entry| stem(entry.unwrap().path())).collect();
            targets.sort();
            assert_eq!(targets, [$(stringify!($target)),+]);
        }
    };
}

targets! {
    decode_pieces, 20_000;
    level_a, 500;
    level_b, 500;
    pair, 50;
    payloads, 5_000;
    platform, 500;
    publish_differential, 20_000;
    store, 500;
    topics, 20_000;
}
