//! What the next run of a program finds in its store, through the handles.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, Options, Ticket};
use kaa_proto::commands::CommandResult;
use kaa_proto::connection::Removal;
use kaa_proto::endpoint::Event;
use kaa_proto::names::{EndpointName, Extension};
use kaa_proto::platform::{EventKind, Fault};
use kaa_proto::raw::Call;
use kaa_proto::request::{
    Adjusted, Failure, RequestExt as _, RequestId, Resend, Service, SubmitError,
};
use kaa_proto::store::{Log, LogOptions};
use kaa_proto::telemetry::Sample;
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

/// The time that a disk begins with.
const START: Duration = Duration::from_secs(1_800_000_000);

fn device(n: usize) -> EndpointName {
    EndpointName::parse("demo-v1", &format!("device{n}")).unwrap()
}

fn on(disk: &SimulatedDisk) -> Options {
    let disk = disk.clone();
    Options::new("mqtt://here")
        .unwrap()
        .store(move || Ok(Log::new(disk.clone(), LogOptions::default())))
}

/// A client that has no link.
fn start(disk: &SimulatedDisk) -> (Client, Rig) {
    let (client, mut rig) = Rig::new(on(disk));
    rig.is_away = true;
    rig.run();
    (client, rig)
}

/// The next run of the program, which has no link. The disk is as it was.
fn restart(rig: &Rig, disk: &SimulatedDisk) -> (Client, Rig) {
    let (client, mut rig) = rig.after_crash(on(disk), 7);
    rig.is_away = true;
    rig.run();
    (client, rig)
}

fn keep(device: &Endpoint, n: u32) -> Ticket<Adjusted<Sample<u32>>> {
    let sample = Sample::new(n).resend(Resend::AfterLinkLoss).durable();
    device.submit(&sample).unwrap()
}

fn resumed(endpoint: &Endpoint) -> Vec<RequestId> {
    let recovered = endpoint.take_recovered();
    let resumed = recovered.into_iter().flat_map(|found| found.resumed);
    resumed.map(|request| request.id).collect()
}

/// Lets the store be written anew: a commit fails, and only a new file mends that.
fn compact(client: &Client, rig: &mut Rig, disk: &SimulatedDisk) {
    let status = || client.store_status().unwrap();
    let before = status().compactions;
    let other = client.endpoint(&device(999_999)).unwrap();
    disk.fail_next_sync();
    let ticket = keep(&other, 0);
    rig.run();
    assert!(ticket.cancel());
    rig.run();
    assert_eq!((status().compactions, status().lost), (before + 1, None));
}

#[test]
fn resumed_requests_keep_their_order_and_numbers_and_each_is_told_of() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    let ids: Vec<_> = (1..=3).map(|n| keep(&endpoint, n).id()).collect();
    drop(endpoint.send(&Sample::new(9)));
    rig.run();
    let (client, mut rig) = restart(&rig, &disk.after_crash(1));
    assert_eq!(client.store_status().unwrap().absent, 1);
    let endpoint = client.endpoint(&device(1)).unwrap();
    assert_eq!(client.store_status().unwrap().absent, 0);
    let mut events = endpoint.events();
    assert_eq!(resumed(&endpoint), ids);
    assert_eq!(endpoint.take_recovered(), None, "it is told once");
    let next = keep(&endpoint, 4);
    assert!(!ids.contains(&next.id()), "numbers go on");
    rig.is_away = false;
    rig.pass(10 * SECOND);
    assert_eq!(rig.processed(), [1, 2, 3, 4]);
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let ended = |id: &RequestId, told: &Event| matches!(told, Event::RestoredCompleted { id: other, outcome: Ok(_) } if other == id);
    for id in &ids {
        assert_eq!(told.iter().filter(|told| ended(id, told)).count(), 1);
    }
}

#[test]
fn the_time_in_the_queue_counts_on_while_the_power_is_off() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    let sample = Sample::new(1).durable().expires_after(100 * SECOND);
    let id = endpoint.submit(&sample).unwrap().id();
    rig.pass(40 * SECOND);
    disk.set_clock(START + 70 * SECOND);
    let (client, mut rig) = restart(&rig, &disk.after_kill());
    let endpoint = client.endpoint(&device(1)).unwrap();
    let mut events = endpoint.events();
    rig.pass(30 * SECOND - Duration::from_millis(1));
    assert_eq!(endpoint.statistics().unwrap().ended(), 0);
    rig.pass(Duration::from_millis(1));
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let outcome = Err(Failure::Expired);
    assert!(
        told.contains(&Event::RestoredCompleted { id, outcome }),
        "{told:?}"
    );
}

#[test]
fn the_time_in_the_queue_counts_on_for_an_endpoint_that_is_absent() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    let sample = Sample::new(1).durable().expires_after(100 * SECOND);
    drop(endpoint.submit(&sample).unwrap());
    rig.run();
    // A run without it, which writes everything anew after a minute.
    let disk = disk.after_kill();
    let (client, mut rig) = restart(&rig, &disk);
    rig.pass(60 * SECOND);
    disk.set_clock(START + 60 * SECOND);
    compact(&client, &mut rig, &disk);
    disk.set_clock(START + 70 * SECOND);
    let (client, mut rig) = restart(&rig, &disk.after_kill());
    rig.pass(10 * SECOND);
    let endpoint = client.endpoint(&device(1)).unwrap();
    rig.pass(20 * SECOND - Duration::from_millis(1));
    assert_eq!(endpoint.statistics().unwrap().expired, 0);
    rig.pass(Duration::from_millis(1));
    assert_eq!(endpoint.statistics().unwrap().expired, 1);
}

#[test]
fn a_request_with_an_unknown_outcome_is_found_by_every_run_until_it_is_taken() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    rig.is_away = false;
    let endpoint = client.endpoint(&device(1)).unwrap();
    rig.pass(10 * SECOND);
    let now = rig.now();
    let lose = Fault::parse(&["lose", "dcx"]).unwrap();
    rig.server
        .operate(now, |platform| platform.fault(now, lose));
    let id = endpoint.send(&Sample::new(5).durable()).unwrap();
    rig.run();
    let _ = rig.processed();
    for _ in 0..3 {
        let client;
        (client, rig) = restart(&rig, &disk);
        let endpoint = client.endpoint(&device(1)).unwrap();
        let left = endpoint.recovered().unwrap();
        assert_eq!((left.unknown.len(), left.unknown[0].id), (1, id));
        rig.run();
    }
    let (client, mut rig) = restart(&rig, &disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    compact(&client, &mut rig, &disk);
    let recovered = endpoint.take_recovered().unwrap();
    let [unknown] = recovered.unknown.as_slice() else {
        panic!("{recovered:?}");
    };
    assert_eq!((unknown.id, &*unknown.payload), (id, b"5".as_slice()));
    assert!(unknown.sent && unknown.stored && recovered.resumed.is_empty());
    rig.is_away = false;
    rig.pass(10 * SECOND);
    assert!(rig.processed().is_empty(), "it is not sent again");
    let (client, _rig) = restart(&rig, &disk);
    assert_eq!(client.endpoint(&device(1)).unwrap().take_recovered(), None);
}

#[test]
fn a_fixed_id_of_a_resumed_request_is_in_use() {
    let call = || {
        let service = Service::Other(Extension::new("rsx").unwrap());
        Call::new(service, "dcx").fixed_id(7).durable()
    };
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    drop(endpoint.submit(&call()).unwrap());
    rig.run();
    let (client, _rig) = restart(&rig, &disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    assert_eq!(endpoint.send(&call()), Err(SubmitError::IdInUse(7)));
}

#[test]
fn what_became_of_a_request_that_goes_on_outlives_its_endpoint() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    drop(keep(&client.endpoint(&device(1)).unwrap(), 1));
    rig.run();
    let (client, mut rig) = restart(&rig, &disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    let id = resumed(&endpoint)[0];
    let mut ticket = endpoint.resumed::<Sample<u32>>(id).unwrap();
    rig.is_away = false;
    rig.pass(10 * SECOND);
    assert!(client.remove_endpoint(&device(1), Removal::Discard));
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
}

#[test]
fn a_removed_endpoint_takes_up_what_it_left_when_it_is_added_again() {
    for removal in [Removal::Discard, Removal::Flush(5 * SECOND)] {
        let disk = SimulatedDisk::new(1);
        let (client, mut rig) = start(&disk);
        let endpoint = client.endpoint(&device(1)).unwrap();
        let mut tickets = [1, 2].map(|n| keep(&endpoint, n));
        let ids = tickets.each_ref().map(Ticket::id);
        let _ = endpoint.send(&Sample::new(3));
        rig.run();
        assert!(client.remove_endpoint(&device(1), removal));
        rig.pass(5 * SECOND);
        let ends = tickets.each_mut().map(Ticket::try_outcome);
        assert_eq!(
            ends,
            [Some(Err(Failure::Closed)), Some(Err(Failure::Closed))]
        );
        assert_eq!(client.store_status().unwrap().absent, 1);
        compact(&client, &mut rig, &disk);
        compact(&client, &mut rig, &disk);
        // By the next run,
        let (next, mut next_rig) = restart(&rig, &disk.after_crash(1));
        assert_eq!(resumed(&next.endpoint(&device(1)).unwrap()), ids);
        next_rig.is_away = false;
        next_rig.pass(10 * SECOND);
        assert_eq!(next_rig.processed(), [1, 2]);
        // and by the same one.
        let endpoint = client.endpoint(&device(1)).unwrap();
        assert_eq!(client.store_status().unwrap().absent, 0);
        assert_eq!(resumed(&endpoint), ids);
        rig.is_away = false;
        rig.pass(60 * SECOND);
        assert_eq!(rig.processed(), [1, 2]);
        let (last, _rig) = restart(&rig, &disk.after_crash(1));
        assert_eq!(last.endpoint(&device(1)).unwrap().take_recovered(), None);
    }
}

#[test]
fn commands_of_a_removed_endpoint_are_known_when_it_is_added_again() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    rig.is_away = false;
    let endpoint = client.endpoint(&device(1)).unwrap();
    let mut commands = endpoint.commands_of("reboot").unwrap();
    rig.pass(10 * SECOND);
    for _ in 0..2 {
        let now = rig.now();
        let of_type = kaa_proto::names::CommandType::new("reboot").unwrap();
        let invoked = rig.server.operate(now, |platform| {
            platform.command(now, &device(1), &of_type, None)
        });
        invoked.unwrap();
    }
    rig.run();
    let (_held, answered) = (commands.try_next().unwrap(), commands.try_next().unwrap());
    rig.is_away = true;
    rig.cut();
    drop(answered.respond(CommandResult::ok()).unwrap());
    rig.run();
    assert!(client.remove_endpoint(&device(1), Removal::Discard));
    compact(&client, &mut rig, &disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    let recovered = endpoint.take_recovered().unwrap();
    assert_eq!(
        (recovered.interrupted.len(), recovered.finished.len()),
        (1, 1)
    );
    let mut commands = endpoint.commands_of("reboot").unwrap();
    rig.is_away = false;
    rig.pass(60 * SECOND);
    let command = commands.try_next().unwrap();
    assert_eq!(command.interruptions(), 1);
    assert!(commands.try_next().is_none());
    let result = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::CommandResult {
                status_code: 200,
                ..
            }
        )
    };
    assert!(rig.saw(result), "its result is sent");
}

#[test]
fn endpoints_that_are_not_added_are_kept_through_compactions() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    let ids: Vec<_> = (0..3)
        .map(|n| keep(&client.endpoint(&device(n)).unwrap(), n as u32).id())
        .collect();
    rig.run();
    // The one by which it is compacted is known from the second run on.
    for absent in [2, 3, 3] {
        let client;
        (client, rig) = restart(&rig, &disk);
        assert_eq!(resumed(&client.endpoint(&device(0)).unwrap()), ids[..1]);
        assert_eq!(client.store_status().unwrap().absent, absent);
        compact(&client, &mut rig, &disk);
        compact(&client, &mut rig, &disk);
    }
    let (client, _rig) = restart(&rig, &disk.after_crash(3));
    for n in 0..3 {
        let endpoint = client.endpoint(&device(n)).unwrap();
        assert_eq!(resumed(&endpoint), ids[n..=n]);
    }
    assert_eq!(client.store_status().unwrap().absent, 1);
}

#[test]
fn a_gateway_of_ten_thousand_endpoints_stores_compacts_and_starts_again() {
    const MANY: usize = 10_000;
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    let tickets: Vec<_> = (0..MANY)
        .map(|n| keep(&client.endpoint(&device(n)).unwrap(), n as u32))
        .collect();
    rig.run();
    assert!(tickets.iter().all(|t| t.try_stored() == Some(Ok(()))));
    let status = client.store_status().unwrap();
    assert_eq!((status.records, status.lost), (MANY as u64, None));
    compact(&client, &mut rig, &disk);
    let (client, mut rig) = restart(&rig, &disk.after_crash(1));
    assert_eq!(client.store_status().unwrap().absent, MANY + 1);
    for n in 0..MANY / 2 {
        assert_eq!(resumed(&client.endpoint(&device(n)).unwrap()).len(), 1);
    }
    assert_eq!(client.store_status().unwrap().absent, MANY / 2 + 1);
    rig.is_away = false;
    rig.pass(120 * SECOND);
    let mut sent = rig.processed();
    sent.sort_unstable();
    let expected: Vec<_> = (0..MANY as u64 / 2).collect();
    assert_eq!(sent, expected);
    assert_eq!(client.statistics().queued, 0);
}

/// Nothing is amiss with the file that there is: it is only to be made smaller.
#[test]
fn a_compaction_that_fails_is_tried_once_more_before_the_store_counts_as_lost() {
    let disk = SimulatedDisk::new(1);
    let (client, mut rig) = start(&disk);
    let endpoint = client.endpoint(&device(1)).unwrap();
    let text = "x".repeat(70_000);
    assert!(endpoint.submit(&Sample::new(text).durable()).is_ok());
    rig.run();
    assert_eq!(client.store_status().unwrap().compactions, 0);
    // With the next record it is worth its cost.
    disk.fail_next_sync();
    let ticket = keep(&endpoint, 1);
    rig.run();
    let status = client.store_status().unwrap();
    assert_eq!((status.compactions, status.lost), (1, None));
    assert_eq!(ticket.try_stored(), Some(Ok(())));
    assert_eq!(client.statistics().store_losses, 0);
}
