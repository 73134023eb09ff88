//! The power goes at every write and every sync of long lives, and what comes after is checked
//! against what the program had been told, and the platform's log.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

#[path = "crash/app.rs"]
mod app;
#[path = "crash/life.rs"]
mod life;
#[path = "crash/world.rs"]
mod world;

use life::{Weather, live};

#[test]
fn one() {
    let start = std::time::Instant::now();
    for (n, weather) in [Weather::Calm, Weather::Rough, Weather::BadDisk]
        .into_iter()
        .enumerate()
    {
        let points = live(n as u64, 2, weather);
        eprintln!("{weather:?} {points} {:?}", start.elapsed());
    }
}
