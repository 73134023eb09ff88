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

use life::{Shown, Weather, live};

/// Lives so many lives.
fn lives(weather: Weather, seeds: std::ops::Range<u64>) -> Shown {
    let mut all = Shown::default();
    for seed in seeds {
        let Shown {
            points,
            compactions,
            losses,
        } = live(seed, 3, weather);
        all.points += points;
        all.compactions += compactions;
        all.losses += losses;
    }
    all
}

#[test]
fn nothing_durable_is_lost_or_done_twice_wherever_the_power_goes_in_calm_weather() {
    let shown = lives(Weather::Calm, 0..200);
    assert!(shown.points >= 50_000 && shown.compactions >= 20 && shown.losses == 0);
}

#[test]
fn nothing_durable_is_lost_or_done_twice_wherever_the_power_goes_in_rough_weather() {
    let shown = lives(Weather::Rough, 200..400);
    assert!(shown.points >= 50_000 && shown.compactions >= 20 && shown.losses == 0);
}

#[test]
fn a_disk_that_fails_stops_no_device_and_what_is_called_stored_is_stored() {
    let shown = lives(Weather::BadDisk, 400..560);
    assert!(shown.points >= 30_000 && shown.losses >= 20);
}
