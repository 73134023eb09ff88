//! Replays the corpus, and small changes of it that are the same in every run.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;

/// How many changed copies of each seed are run.
const CHANGES: u32 = 2_000;

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut seeds: Vec<_> = std::fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "no corpus for {target}");
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
        for _ in 0..CHANGES {
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

#[test]
fn decode_pieces() {
    replay("decode_pieces", kaa_fuzz::decode_pieces);
}

#[test]
fn publish_differential() {
    replay("publish_differential", kaa_fuzz::publish_differential);
}

#[test]
fn topic() {
    replay("topic", kaa_fuzz::topic);
}
