//! A store or a medium that is full: what is given up for it, and in which order.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, Options};
use kaa_proto::connection::Removal;
use kaa_proto::endpoint::{Record, Stored};
use kaa_proto::names::EndpointName;
use kaa_proto::request::{RequestExt as _, RequestId, Resend};
use kaa_proto::store::{EndpointTag, Log, LogOptions, Store as _, StoreError};
use kaa_proto::telemetry::Sample;
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::rig::Rig;

const HOUR: Duration = Duration::from_secs(3_600);

/// The time that a disk begins with.
const START: Duration = Duration::from_secs(1_800_000_000);

/// What a request of [`keep`] takes, roughly.
const LARGE: u64 = 10_000;

fn device(n: u32) -> EndpointName {
    EndpointName::parse("demo-v1", &format!("device{n}")).unwrap()
}

fn on(disk: &SimulatedDisk) -> Options {
    within(disk, LogOptions::default())
}

fn within(disk: &SimulatedDisk, options: LogOptions) -> Options {
    let disk = disk.clone();
    Options::new("mqtt://here")
        .unwrap()
        .store(move || Ok(Log::new(disk.clone(), options)))
}

fn keep(device: &Endpoint) -> RequestId {
    let sample = Sample::new("x".repeat(LARGE as usize));
    let sample = sample.resend(Resend::AfterLinkLoss).durable();
    device.submit(&sample).unwrap().id()
}

fn resumed(client: &Client, name: &EndpointName) -> Vec<RequestId> {
    let endpoint = client.endpoint(name).unwrap();
    let found = endpoint.take_recovered().into_iter();
    found
        .flat_map(|found| found.resumed)
        .map(|request| request.id)
        .collect()
}

fn size(disk: &SimulatedDisk) -> u64 {
    disk.contents().values().map(|file| file.len() as u64).sum()
}

/// Devices 1 to 3, an hour apart, and who left which request.
fn three_devices() -> (SimulatedDisk, Rig, Vec<RequestId>) {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = Rig::new(on(&disk));
    rig.is_away = true;
    let keep_one = |n| {
        disk.set_clock(START + n * HOUR);
        let id = keep(&client.endpoint(&device(n)).unwrap());
        rig.run();
        id
    };
    let ids = (1..=3).map(keep_one).collect();
    (disk, rig, ids)
}

#[test]
fn the_half_of_the_absent_endpoints_that_left_the_longest_ago_makes_room_for_those_that_are_here() {
    let (disk, rig, ids) = three_devices();
    disk.set_clock(START + 4 * HOUR);
    // A file of it has room for four and a half.
    let bound = LogOptions::default().max_bytes(LARGE * 9).unwrap();
    let (client, mut rig) = rig.after_crash(within(&disk, bound), 7);
    rig.is_away = true;
    // One more that is away, although it left just now.
    let left = client.endpoint(&device(4)).unwrap();
    keep(&left);
    rig.run();
    client.remove_endpoint(&device(4), Removal::Discard);
    rig.pass(HOUR);
    let here = client.endpoint(&device(5)).unwrap();
    assert_eq!(client.store_status().unwrap().absent, 4);

    let kept = keep(&here);
    rig.run();
    let status = client.store_status().unwrap();
    assert_eq!(status.lost, None);
    assert_eq!((status.given_up, status.absent), (2, 2));

    let (client, _rig) = rig.after_crash(on(&disk.after_crash(1)), 8);
    assert_eq!(resumed(&client, &device(5)), [kept]);
    assert_eq!(resumed(&client, &device(3)), ids[2..]);
    for gone in [1, 2] {
        assert_eq!(resumed(&client, &device(gone)), []);
    }
}

#[test]
fn a_full_medium_costs_no_endpoint_what_is_stored_of_it() {
    let (disk, rig, ids) = three_devices();
    let (client, mut rig) = rig.after_crash(on(&disk), 7);
    rig.is_away = true;
    let here = client.endpoint(&device(4)).unwrap();
    rig.run();
    disk.set_room(size(&disk));
    let kept = keep(&here);
    rig.run();
    let status = client.store_status().unwrap();
    assert_eq!(status.lost, Some(StoreError::MediumFull));
    assert_eq!((status.given_up, status.absent), (0, 3));
    // There is room again.
    disk.set_room(u64::MAX);
    rig.pass(HOUR);
    assert_eq!(client.store_status().unwrap().lost, None);
    let (client, _rig) = rig.after_crash(on(&disk.after_crash(1)), 8);
    for (n, id) in (1..).zip(ids.into_iter().chain([kept])) {
        assert_eq!(resumed(&client, &device(n)), [id]);
    }
}

#[test]
fn an_endpoint_that_nobody_asks_for_is_given_up_after_a_day_and_one_that_comes_back_is_not() {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let (disk, rig, ids) = three_devices();
    // Or the clock was wrong: nobody knows.
    disk.set_clock(START + 600 * DAY);
    let (client, mut rig) = rig.after_crash(on(&disk), 7);
    rig.is_away = true;
    assert_eq!(resumed(&client, &device(1)), ids[..1]);
    rig.run();
    // A file that fails is replaced.
    let replace = |rig: &mut Rig, n| {
        disk.fail_next_sync();
        keep(&client.endpoint(&device(n)).unwrap());
        rig.run();
        client.store_status().unwrap()
    };
    let status = replace(&mut rig, 4);
    assert_eq!(
        (status.compactions, status.given_up, status.absent),
        (1, 0, 2)
    );
    rig.pass(DAY - HOUR);
    let status = replace(&mut rig, 5);
    assert_eq!((status.compactions, status.given_up), (2, 0));
    rig.pass(HOUR);
    assert_eq!(resumed(&client, &device(2)), ids[1..2]);
    let status = replace(&mut rig, 6);
    assert_eq!(
        (status.compactions, status.given_up, status.absent),
        (3, 1, 0)
    );
    let (client, _rig) = rig.after_crash(on(&disk.after_crash(1)), 8);
    assert_eq!(resumed(&client, &device(2)), ids[1..2]);
    assert_eq!(resumed(&client, &device(3)), []);
}

#[test]
fn when_nobody_is_absent_a_full_medium_is_a_lost_store() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = Rig::new(on(&disk));
    rig.is_away = true;
    let here = client.endpoint(&device(1)).unwrap();
    rig.run();
    disk.set_room(size(&disk) + LARGE / 2);
    keep(&here);
    rig.run();
    let status = client.store_status().unwrap();
    assert_eq!(status.lost, Some(StoreError::MediumFull));
    assert_eq!((status.given_up, status.compactions), (0, 0));
}

/// What an append left of itself on a full disk has to go, or the next one would stand behind it.
#[test]
fn a_log_whose_torn_end_cannot_be_cut_off_takes_nothing_more() {
    let disk = SimulatedDisk::new(1);
    let mut log = Log::new(disk.clone(), LogOptions::default());
    log.load().unwrap();
    let (record, age) = (Record::Sent(RequestId::from_number(1)), Duration::ZERO);
    let records = [(EndpointTag([1; 16]), Stored { record, age })];
    log.append(&records).unwrap();
    disk.set_room(size(&disk) + 3);
    // The append, and then the truncation.
    disk.crash_at(disk.operations() + 1);
    let failed = log.append(&records).unwrap_err();
    assert_ne!(failed, StoreError::MediumFull);
    let operations = disk.operations();
    assert_eq!(log.append(&records), Err(failed));
    assert_eq!(disk.operations(), operations, "the disk is left alone");
}

#[test]
fn a_log_that_has_grown_is_made_small_again() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = Rig::new(on(&disk));
    let here = client.endpoint(&device(1)).unwrap();
    for _ in 0..20 {
        keep(&here);
        rig.pass(Duration::from_secs(1));
    }
    let status = client.store_status().unwrap();
    assert!(status.compactions > 0 && status.size < 10 * LARGE);
    assert_eq!(status.size, size(&disk));
}
