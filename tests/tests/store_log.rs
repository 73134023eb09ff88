//! The log keeps the contract of a store: on a disk that loses what a disk may lose, at every
//! point at which the power can go.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod store_life;

use std::time::Duration;

use kaa_proto::endpoint::{Record, Stored};
use kaa_proto::names::EndpointName;
use kaa_proto::request::RequestId;
use kaa_proto::store::{
    Disk, Durability, EndpointTag, InvalidLogOptions, Log, LogOptions, SetAside, Store, StoreError,
    Unusable,
};
use kaa_tests::dice::Dice;
use kaa_tests::disk::SimulatedDisk;

use store_life::{Model, batch, by_endpoint, entries, entry, load, loaded, log, records};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// When a simulated disk begins.
const START: Duration = Duration::from_secs(1_800_000_000);

/// The only file of the log, and its bytes.
fn file(disk: &SimulatedDisk) -> (String, Vec<u8>) {
    let files = disk.contents().into_iter();
    let mut logs: Vec<_> = files.filter(|(name, _)| name.starts_with("log.")).collect();
    assert_eq!(logs.len(), 1);
    logs.remove(0)
}

/// A disk with one file, changed by `change`.
fn changed(disk: &SimulatedDisk, change: impl FnOnce(&mut Vec<u8>)) -> SimulatedDisk {
    let (name, mut bytes) = file(disk);
    change(&mut bytes);
    let disk = disk.after_kill();
    disk.put(&name, &bytes);
    disk
}

/// Three committed appends, the last of which says that the first two had been synced.
fn three_commits() -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    for number in 1..4 {
        log.append(&records(&[entry(1, number)])).unwrap();
        log.commit(Durability::Sync).unwrap();
    }
    disk
}

#[test]
fn records_come_back_in_their_order() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    let (first, second) = ([entry(2, 1), entry(1, 2), entry(2, 3)], [entry(1, 4)]);
    log.append(&records(&first)).unwrap();
    log.append(&records(&second)).unwrap();
    log.commit(Durability::Flush).unwrap();

    let expected = by_endpoint([first.to_vec(), second.to_vec()].concat());
    let loaded = load(&disk.after_kill());
    assert_eq!(entries(&loaded), expected);
    assert_eq!((loaded.torn_bytes, loaded.set_aside), (0, vec![]));
}

#[test]
fn nothing_is_taken_before_it_is_loaded_and_it_is_loaded_once() {
    let disk = SimulatedDisk::new(1);
    let mut log = log(&disk);
    assert!(log.append(&records(&[entry(1, 1)])).is_err());
    assert!(log.commit(Durability::None).is_err());
    assert!(log.compact(&[]).is_err());
    assert!(!log.wants_compaction());
    log.load().unwrap();
    assert!(log.load().is_err());
}

#[test]
fn whatever_the_power_leaves_what_was_committed_is_there_and_the_rest_is_a_prefix() {
    for life in 0..12 {
        for operation in 0.. {
            let disk = SimulatedDisk::new(life);
            disk.crash_at(operation);
            let mut model = Model::default();
            if model.live(&disk, &mut Dice::new(life), 60).is_ok() {
                assert!(operation > 50);
                break;
            }
            for way in 0..16 {
                let mut model = model.clone();
                let _ = model.load(&disk.after_crash(way)).unwrap();
            }
        }
    }
}

#[test]
fn crash_after_crash_leaves_no_trace_of_what_was_lost_before() {
    for seed in 0..1_500 {
        let mut dice = Dice::new(seed);
        let mut disk = SimulatedDisk::new(seed);
        let mut model = Model::default();
        for _ in 0..12 {
            disk.crash_at(disk.operations() + dice.below(60));
            let _ = model.live(&disk, &mut dice, 30);
            disk = disk.after_crash(dice.below(u64::MAX));
        }
        let _ = model.load(&disk).unwrap();
    }
}

#[test]
fn a_torn_append_leaves_no_trace_wherever_it_was_cut() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    let kept = [entry(1, 1)];
    log.append(&records(&kept)).unwrap();
    let before = file(&disk).1.len();
    log.append(&records(&batch(2, 2..5))).unwrap();
    for len in before..file(&disk).1.len() {
        let torn = changed(&disk, |bytes| bytes.truncate(len));
        let loaded = load(&torn);
        assert_eq!(entries(&loaded), kept);
        assert_eq!(loaded.torn_bytes, (len - before) as u64);
        assert_eq!(loaded.set_aside, vec![]);
        assert_eq!(load(&torn).torn_bytes, 0);
    }
}

#[test]
fn any_damage_of_what_was_committed_is_found_and_set_aside_whole() {
    let disk = three_commits();
    let (name, bytes) = file(&disk);
    let third = bytes
        .windows(2)
        .rposition(|mark| mark == [0xff, 0xf5])
        .unwrap();
    for at in 0..third {
        let damaged = changed(&disk, |bytes| bytes[at] ^= 0x10);
        let whole = file(&damaged).1;
        let loaded = load(&damaged);
        assert_eq!(entries(&loaded), []);
        let [aside] = &loaded.set_aside[..] else {
            panic!("byte {at}: {loaded:?}");
        };
        if let Unusable::Damaged { at: bad } = aside.reason {
            assert_eq!(aside.name, format!("damaged-1.{name}"));
            assert!(bad <= at as u64);
        } else {
            // A bit of the version.
            assert!((8..12).contains(&at), "byte {at}: {aside:?}");
        }
        assert_eq!(damaged.contents()[&aside.name], whole);
    }
}

#[test]
fn a_file_that_lost_its_end_after_it_was_compacted_is_damaged() {
    let disk = SimulatedDisk::new(1);
    loaded(&disk).compact(&records(&batch(1, 1..4))).unwrap();
    let damaged = changed(&disk, |bytes| bytes.truncate(70));
    let reason = Unusable::Damaged { at: 64 };
    assert_eq!(load(&damaged).set_aside[0].reason, reason);
}

#[test]
fn what_is_set_aside_is_never_overwritten() {
    let disk = SimulatedDisk::new(1);
    let mut names = Vec::new();
    for round in 1..4 {
        disk.put("log.1", &[round; 100]);
        let loaded = load(&disk);
        names.extend(loaded.set_aside.into_iter().map(|aside| aside.name));
        let (name, _) = file(&disk);
        disk.clone().remove(&name).unwrap();
    }
    let expected = ["damaged-1.log.1", "damaged-2.log.1", "damaged-3.log.1"];
    assert_eq!(names, expected);
    for (round, name) in (1..).zip(expected) {
        assert_eq!(disk.contents()[name], [round; 100]);
    }
}

#[test]
fn what_a_newer_version_wrote_is_set_aside_and_told() {
    let disk = three_commits();
    let newer = changed(&disk, |bytes| bytes[8] = 9);
    let whole = file(&newer).1;
    let mut log = log(&newer);
    let loaded = log.load().unwrap();
    assert_eq!(loaded.set_aside[0].name, "newer-1.log.1");
    assert_eq!(loaded.set_aside[0].reason, Unusable::Newer { version: 9 });
    assert_eq!(newer.contents()["newer-1.log.1"], whole);
    // The store begins anew.
    log.append(&records(&[entry(1, 7)])).unwrap();
    assert_eq!(entries(&load(&newer)), [entry(1, 7)]);
}

#[test]
fn a_compaction_is_whole_or_not_at_all_at_every_point_and_leaves_one_file() {
    let (old, new) = (batch(1, 1..6), batch(2, 6..9));
    for operation in 0.. {
        let disk = SimulatedDisk::new(1);
        let mut log = loaded(&disk);
        log.append(&records(&old)).unwrap();
        log.commit(Durability::Sync).unwrap();
        disk.crash_at(disk.operations() + operation);
        let done = log.compact(&records(&new)).is_ok();
        for way in 0..64 {
            let disk = disk.after_crash(way);
            let found = entries(&load(&disk));
            assert!(found == new || (found == old && !done));
            assert_eq!(disk.contents().len(), 1);
        }
        if done {
            assert!(operation >= 5);
            break;
        }
    }
}

#[test]
fn what_a_compaction_has_replaced_never_comes_back() {
    for way in 0..64 {
        let disk = SimulatedDisk::new(1);
        let mut log = loaded(&disk);
        log.append(&records(&batch(1, 1..6))).unwrap();
        log.compact(&records(&batch(2, 6..9))).unwrap();
        log.append(&records(&[entry(2, 9)])).unwrap();
        log.commit(Durability::Sync).unwrap();
        let disk = disk.after_crash(way);
        // Not even if there is nothing else.
        disk.put("log.2", b"damaged");
        let loaded = load(&disk);
        assert_eq!((entries(&loaded), loaded.set_aside.len()), (vec![], 1));
    }
}

#[test]
fn a_full_disk_refuses_an_append_and_leaves_the_rest_as_good_as_it_was() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    log.append(&records(&[entry(1, 1)])).unwrap();
    let size = log.size();
    for room in 0..20 {
        disk.set_room(size + room);
        let refused = log.append(&records(&batch(2, 2..9)));
        assert_eq!(refused, Err(StoreError::MediumFull));
        assert_eq!(log.size(), size);
        assert_eq!(file(&disk).1.len() as u64, size);
    }
    // A compaction for which there is no room changes nothing either.
    assert_eq!(
        log.compact(&records(&batch(2, 2..9))),
        Err(StoreError::MediumFull)
    );
    disk.set_room(u64::MAX);
    log.append(&records(&[entry(3, 9)])).unwrap();
    log.commit(Durability::Sync).unwrap();
    let found = entries(&load(&disk.after_crash(1)));
    assert_eq!(found, [entry(1, 1), entry(3, 9)]);
    assert_eq!(disk.contents().len(), 1);
}

#[test]
fn a_disk_that_is_full_at_the_start_still_gives_what_is_kept() {
    let disk = three_commits();
    disk.set_room(0);
    let mut log = log(&disk);
    assert_eq!(entries(&log.load().unwrap()), batch(1, 1..4));
    let refused = log.append(&records(&[entry(1, 9)]));
    assert_eq!(refused, Err(StoreError::MediumFull));
    disk.set_room(u64::MAX);
    log.compact(&records(&batch(1, 3..4))).unwrap();
    log.append(&records(&[entry(1, 9)])).unwrap();
    assert_eq!(entries(&load(&disk)), [entry(1, 3), entry(1, 9)]);
}

#[test]
fn the_log_stays_within_its_bound_and_asks_for_a_compaction_before_it() {
    let disk = SimulatedDisk::new(1);
    let options = LogOptions::default().max_bytes(64 * 1024).unwrap();
    let mut log = Log::new(disk, options);
    log.load().unwrap();
    let (mut asked, mut number) = (None, 0);
    let refused = loop {
        number += 1;
        if let Err(error) = log.append(&records(&[entry(1, number)])) {
            break error;
        }
        asked = asked.or_else(|| log.wants_compaction().then(|| log.size()));
    };
    assert_eq!(refused, StoreError::Full);
    assert!(log.size() <= 32 * 1024 && log.size() > 31 * 1024);
    assert!(asked.unwrap() < 17 * 1024);
    // It can be compacted to as much as it holds, and to no more.
    log.compact(&records(&batch(1, 1..number))).unwrap();
    let more = records(&batch(1, 1..2 * number));
    assert_eq!(log.compact(&more), Err(StoreError::Full));
    log.compact(&records(&[entry(1, 1)])).unwrap();
    assert!(log.size() < 200 && !log.wants_compaction());
}

#[test]
fn compactions_write_at_most_twice_what_the_appends_write() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    let live = batch(1, 1..2_000);
    let (mut appended, mut compacted) = (0, 0);
    for number in 0..20_000 {
        let before = log.size();
        log.append(&records(&[entry(2, number)])).unwrap();
        appended += log.size() - before;
        if log.wants_compaction() {
            log.compact(&records(&live)).unwrap();
            compacted += log.size();
        }
    }
    assert!(compacted > 0 && compacted < 2 * appended);
}

#[test]
fn after_a_failed_sync_nothing_is_taken_until_a_compaction_has_mended_it() {
    for way in 0..64 {
        let disk = SimulatedDisk::new(1);
        let mut log = loaded(&disk);
        log.append(&records(&[entry(1, 1)])).unwrap();
        log.commit(Durability::Sync).unwrap();
        log.append(&records(&[entry(1, 2)])).unwrap();
        disk.fail_next_sync();
        let error = log.commit(Durability::Sync).unwrap_err();
        // The disk would take it now, and lose it.
        assert_eq!(log.commit(Durability::Sync), Err(error.clone()));
        assert_eq!(log.append(&records(&[entry(1, 3)])), Err(error));
        assert!(log.wants_compaction());
        let found = entries(&load(&disk.after_crash(way)));
        assert!(batch(1, 1..3).starts_with(&found) && !found.is_empty());

        log.compact(&records(&batch(1, 1..3))).unwrap();
        log.append(&records(&[entry(1, 3)])).unwrap();
        log.commit(Durability::Sync).unwrap();
        assert_eq!(entries(&load(&disk.after_crash(way))), batch(1, 1..4));
    }
}

#[test]
fn after_a_failed_write_nothing_is_taken_until_a_compaction_has_mended_it() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    log.append(&records(&[entry(1, 1)])).unwrap();
    disk.fail_next_write();
    let error = log.append(&records(&[entry(1, 2)])).unwrap_err();
    assert_eq!(log.append(&records(&[entry(1, 3)])), Err(error.clone()));
    assert_eq!(log.commit(Durability::Flush), Err(error));
    assert_eq!(entries(&load(&disk.after_kill())), [entry(1, 1)]);
    log.compact(&records(&batch(1, 1..3))).unwrap();
    log.append(&records(&[entry(1, 3)])).unwrap();
    assert_eq!(entries(&load(&disk)), batch(1, 1..4));
}

/// What that load cut off is not gone for certain.
#[test]
fn after_a_load_that_could_not_sync_what_was_lost_may_come_back_until_a_compaction_has_mended_it() {
    let (kept, all) = (batch(1, 1..2), batch(1, 1..3));
    let mut came_back = 0;
    for seed in 0..200 {
        let disk = SimulatedDisk::new(seed);
        let mut before = loaded(&disk);
        before.append(&records(&kept)).unwrap();
        before.commit(Durability::Sync).unwrap();
        before.append(&records(&all[1..])).unwrap();
        let disk = disk.after_crash(seed);
        disk.fail_next_write();
        let mut log = log(&disk);
        if entries(&log.load().unwrap()) == all {
            continue;
        }
        assert!(log.commit(Durability::Sync).is_err());
        for way in 64 * seed..64 * (seed + 1) {
            let found = entries(&load(&disk.after_crash(way)));
            assert!(found == kept || found == all);
            came_back += usize::from(found == all);
        }
        log.compact(&records(&kept)).unwrap();
        for way in 0..8 {
            assert_eq!(entries(&load(&disk.after_crash(way))), kept);
        }
    }
    assert!(came_back > 0);
}

#[test]
fn nothing_is_synced_that_was_synced_already_or_need_not_be() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    log.append(&records(&[entry(1, 1)])).unwrap();
    let before = disk.operations();
    log.commit(Durability::None).unwrap();
    log.commit(Durability::Flush).unwrap();
    assert_eq!(disk.operations(), before);
    log.commit(Durability::Sync).unwrap();
    assert_eq!(disk.operations(), before + 1);
    log.commit(Durability::Sync).unwrap();
    log.append(&[]).unwrap();
    log.commit(Durability::Sync).unwrap();
    assert_eq!(disk.operations(), before + 1);
}

#[test]
fn ages_go_on_while_nothing_runs_through_restarts_and_compactions() {
    let disk = SimulatedDisk::new(1);
    let aged = |age| {
        let record = Record::Sent(RequestId::from_number(1));
        [(EndpointTag([1; 16]), Stored { record, age })]
    };
    let found = |disk: &SimulatedDisk| load(disk).records.pop_first().unwrap().1[0].age;
    let mut log = loaded(&disk);
    log.append(&aged(HOUR)).unwrap();
    disk.set_clock(START + DAY);
    assert_eq!(found(&disk), DAY + HOUR);
    loaded(&disk).compact(&aged(DAY + HOUR)).unwrap();
    disk.set_clock(START + 2 * DAY);
    assert_eq!(found(&disk), 2 * DAY + HOUR);
    // The clock went back.
    disk.set_clock(START - DAY);
    assert_eq!(found(&disk), DAY + HOUR);
}

#[test]
fn the_time_of_a_clock_that_was_not_set_is_not_counted() {
    let disk = SimulatedDisk::new(1);
    disk.set_clock(HOUR);
    loaded(&disk).append(&records(&[entry(1, 1)])).unwrap();
    disk.set_clock(START);
    assert_eq!(
        load(&disk).records.pop_first().unwrap().1[0].age,
        Duration::ZERO
    );
}

#[test]
fn nothing_is_left_out_for_its_age_when_it_is_loaded() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    log.append(&records(&[entry(1, 1)])).unwrap();
    disk.set_clock(START + 1_000 * DAY);
    let loaded = load(&disk);
    assert_eq!(entries(&loaded), [entry(1, 1)]);
    assert_eq!(loaded.max_age, Some(30 * DAY));
}

#[test]
fn what_the_medium_cannot_give_back_is_set_aside_and_the_log_begins_anew() {
    let disk = SimulatedDisk::new(1);
    loaded(&disk).append(&records(&[entry(1, 1)])).unwrap();
    let (name, _) = file(&disk);
    disk.lose(&name);
    let mut log = log(&disk);
    let found = log.load().unwrap();
    assert_eq!(entries(&found), []);
    let reason = Unusable::Damaged { at: 0 };
    let expected = SetAside {
        name: format!("damaged-1.{name}"),
        reason,
    };
    assert_eq!(found.set_aside, [expected]);
    log.append(&records(&[entry(1, 2)])).unwrap();
    let next = load(&disk);
    assert_eq!(
        (entries(&next), next.set_aside),
        (vec![entry(1, 2)], vec![])
    );
}

#[test]
fn what_was_set_aside_by_a_start_that_got_no_further_is_told_by_the_next() {
    let disk = SimulatedDisk::new(1);
    loaded(&disk).append(&records(&[entry(1, 1)])).unwrap();
    let (name, _) = file(&disk);
    disk.lose(&name);
    disk.set_room(0);
    assert_eq!(log(&disk).load().unwrap_err(), StoreError::MediumFull);
    disk.set_room(u64::MAX);
    let told = load(&disk).set_aside;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].name, format!("damaged-1.{name}"));
    assert_eq!(load(&disk).set_aside, []);
}

#[test]
fn options_outside_their_bounds_are_refused() {
    let options = LogOptions::default();
    for bytes in [0, 64 * 1024 - 1, 1024 * 1024 * 1024 + 1] {
        let refused = options.max_bytes(bytes);
        assert_eq!(refused, Err(InvalidLogOptions::MaxBytes));
    }
    for age in [Duration::ZERO, Duration::MAX] {
        assert_eq!(options.max_age(age), Err(InvalidLogOptions::MaxAge));
    }
    assert!(options.max_bytes(64 * 1024).is_ok() && options.max_age(HOUR).is_ok());
}

#[test]
fn a_tag_stays_that_of_its_endpoint_and_no_token_is_ever_written() {
    let token = "JTjdbENzHhSecret";
    let name = EndpointName::parse("demo-v1", token).unwrap();
    let disk = SimulatedDisk::new(1);
    let mut log = log(&disk);
    let tag = (log.load().unwrap().tagger)(&name);
    let stored = [(tag, Stored::from(Record::Sent(RequestId::from_number(1))))];
    log.append(&stored).unwrap();
    let written = |disk: &SimulatedDisk| {
        let files = disk.contents();
        files
            .values()
            .any(|bytes| bytes.windows(8).any(|w| w == &token.as_bytes()[..8]))
    };
    assert!(!written(&disk));
    log.compact(&stored).unwrap();
    assert!(!written(&disk));
    let loaded = load(&disk);
    assert_eq!((loaded.tagger)(&name), tag);
    assert!(loaded.records.contains_key(&tag));
    // Another store has another key.
    assert_ne!((load(&SimulatedDisk::new(2)).tagger)(&name), tag);
}

#[test]
fn no_bytes_in_the_folder_stop_it() {
    let whole = file(&three_commits()).1;
    let mut dice = Dice::new(1);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..dice.length(3) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] = dice.below(256) as u8;
        }
        bytes.truncate(dice.below(2 * whole.len() as u64) as usize);
        let disk = SimulatedDisk::new(1);
        disk.put("log.7", &bytes);
        disk.put("unfinished", &bytes);
        disk.put("log.07", &bytes);
        disk.put("something else", &bytes);
        let mut log = log(&disk);
        let mut expected = entries(&log.load().unwrap());
        log.append(&records(&[entry(9, 9)])).unwrap();
        expected.push(entry(9, 9));
        assert_eq!(entries(&load(&disk)), expected);
    }
}

#[test]
fn a_record_costs_few_bytes_besides_its_text() {
    let disk = SimulatedDisk::new(1);
    let mut log = loaded(&disk);
    log.append(&records(&[entry(1, 1)])).unwrap();
    let before = log.size();
    let text: usize = records(&batch(1, 2..12))
        .iter()
        .map(|(_, stored)| stored.record.to_json().len())
        .sum();
    log.append(&records(&batch(1, 2..12))).unwrap();
    assert!(log.size() - before <= text as u64 + 10 * 4 + 20);
}
