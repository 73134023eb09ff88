//! A client and platforms that send anything: what it holds at most, that it goes on, and that it
//! loses nothing. What the platforms do is in `attacks`; memory is counted, the clock simulated.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod attacks;
mod device;
#[path = "../meter/mod.rs"]
mod meter;
mod packets;
mod peer;

use std::time::Duration;

use attacks::{ATTACKS, Attack, Manners};
use device::{Device, Size};

/// What a device of this size may hold at most, in bytes, by the documented formula. A change of it is
/// news.
const fn stated(size: Size) -> usize {
    match size {
        Size::Default => 12_456_960,
        Size::Small => 1_516_544,
        Size::Large => 80_352_256,
    }
}

/// Those of the attacks that are chosen, on a device of this size.
fn bear(size: Size, is_chosen: fn(&Attack) -> bool) {
    let budget = size.budget();
    assert_eq!(budget, stated(size));
    leave_what_threads_keep(size);
    let chosen: Vec<_> = ATTACKS.iter().filter(|attack| is_chosen(attack)).collect();
    assert!(chosen.len() > 1);
    for attack in chosen {
        let name = attack.name;
        let mut device = Device::new(size);
        let given = device.meet(*attack);
        let peak = device.meter.peak();
        assert!(
            peak <= budget,
            "{name}: {peak} bytes, and {budget} may be held"
        );
        let statistics = device.statistics();
        assert!((attack.counted)(&statistics), "{name}: {statistics:#?}");
        let seconds = attack.lasts.as_secs() as usize;
        let (turns, most) = (device.turns, given / 4_096 + 8 * seconds + 64);
        assert!(turns <= most, "{name}: the driver was turned {turns} times");
        device.cut();
        device.recover(name);
        assert_eq!(device.end(), 0, "{name}: something is left");
    }
}

/// A thread keeps a block to read into, and what one request left to the next: the first life takes
/// that, later ones find it.
fn leave_what_threads_keep(size: Size) {
    let mut device = Device::new(size);
    device.recover("the first life");
    device.end();
}

#[test]
fn a_device_bears_every_attack_within_its_budget_and_goes_on() {
    bear(Size::Default, |_| true);
}

#[test]
fn a_small_device_bears_every_attack_within_a_smaller_budget_and_goes_on() {
    bear(Size::Small, |_| true);
}

#[test]
fn a_device_that_takes_megabytes_bears_json_a_megabyte_deep_or_wide_within_its_budget() {
    bear(Size::Large, |attack| attack.name.starts_with("JSON"));
}

/// A thousand links, each of which ends as it ended before.
#[test]
fn what_happens_a_thousand_times_leaves_nothing_behind() {
    for attack in ATTACKS.iter().filter(|attack| attack.pace == usize::MAX) {
        let name = attack.name;
        let brief = Attack {
            after: 0,
            pieces: 8,
            lasts: Duration::from_secs(1),
            ..*attack
        };
        let mut device = Device::new(Size::Small);
        let mut after = Vec::new();
        for round in 1..=1_000 {
            device.meet(brief);
            device.cut();
            if [300, 1_000].contains(&round) {
                after.push(device.meter.live());
            }
        }
        let more = after[1].saturating_sub(after[0]);
        assert!(
            more <= 4_096,
            "{name}: {more} bytes more after 700 links more"
        );
        device.recover(name);
    }
}

/// A gateway with a thousand devices, on a hundred and eighty links.
#[test]
fn a_million_filters_are_refused_and_nothing_is_left_of_them() {
    let refusal = ATTACKS
        .iter()
        .find(|attack| attack.manners == Manners::Refuses);
    let mut device = Device::gateway(1_000);
    let (mut refused, mut after) = (0, Vec::new());
    for link in 1..=180 {
        device.meet(*refusal.unwrap());
        refused += device.filters();
        device.cut();
        if [60, 180].contains(&link) {
            after.push(device.settled());
        }
    }
    assert!(refused > 1_000_000, "{refused}");
    let more = after[1].saturating_sub(after[0]);
    assert!(more <= 16_384, "{more} bytes more after 120 links more");
}
