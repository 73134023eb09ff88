//! A snapshot stands for the records before it, wherever it is taken; and a lost store withholds
//! nothing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::fmt::Write as _;

use kaa_proto::commands::CommandResult;
use kaa_proto::endpoint::{Observation, Record, Stored};
use kaa_tests::durable_life::{
    kept, key, life, life_without_store_from, offline, once, reboot, stored,
};
use kaa_tests::endpoint_host::EndpointHost;

const OFFER: &str = r#"[{"id":1},{"id":2},{"id":3}]"#;

fn restored(records: &[Record]) -> EndpointHost {
    let mut host = offline();
    host.restore(stored(records));
    host
}

/// All that can be seen of an endpoint with these records.
fn behaviour(records: &[Record]) -> String {
    let mut host = restored(records);
    let mut seen = format!("{:?}\n", host.take_recovered());
    host.link_up();
    host.observe(&reboot()).unwrap();
    host.observe(&Observation::Configuration(None)).unwrap();
    host.observe(&Observation::Software).unwrap();
    writeln!(seen, "{:#?}", host.take_lines()).unwrap();
    host.receive("cex/command/reboot/status", OFFER);
    while let Some(command) = host.endpoint.poll_command(|_| true) {
        writeln!(seen, "{command:?} {}", command.interruptions()).unwrap();
    }
    host.drain();
    writeln!(seen, "{:#?}", host.take_lines()).unwrap();
    let next = host.submit(&kept(99)).unwrap();
    writeln!(
        seen,
        "{next:?} {:?} {:?}",
        host.take_lines(),
        host.endpoint.durable_len()
    )
    .unwrap();
    seen
}

fn written(snapshot: Vec<Stored>) -> Vec<Record> {
    snapshot.into_iter().map(|stored| stored.record).collect()
}

/// The snapshot of an endpoint with these records.
fn snapshot(records: &[Record]) -> Vec<Record> {
    let mut host = restored(records);
    let now = host.now();
    written(host.endpoint.snapshot(now))
}

#[test]
fn a_snapshot_stands_for_the_records_before_it_at_every_point_of_a_life() {
    let crashes = life().crashes;
    assert!(crashes.len() > 40);
    for (point, world) in crashes.iter().enumerate() {
        let before = behaviour(&world.store);
        let once = snapshot(&world.store);
        assert_eq!(behaviour(&once), before, "{point}");
        assert_eq!(
            behaviour(&snapshot(&once)),
            before,
            "{point}: of a snapshot"
        );
    }
}

/// What an endpoint does after a restart, and the records of it.
fn go_on(records: &[Record]) -> Vec<Record> {
    let mut host = restored(records);
    host.submit(&kept(5)).unwrap();
    host.submit(&once(6)).unwrap();
    host.link_up();
    host.observe(&reboot()).unwrap();
    host.receive("cex/command/reboot/status", OFFER);
    let _ = host.respond(&key(2), CommandResult::ok());
    let _ = host.take_recovered();
    host.records
}

#[test]
fn records_go_on_after_a_snapshot_as_after_what_it_stands_for() {
    for (point, world) in life().crashes.iter().enumerate() {
        let mut whole = world.store.clone();
        let mut short = snapshot(&whole);
        let texts = |records: &[Record]| records.iter().map(Record::to_json).collect::<Vec<_>>();
        let (after, after_short) = (go_on(&whole), go_on(&short));
        assert_eq!(texts(&after), texts(&after_short), "{point}");
        whole.extend(after);
        short.extend(after_short);
        assert_eq!(behaviour(&whole), behaviour(&short), "{point}");
        assert_eq!(behaviour(&snapshot(&short)), behaviour(&whole), "{point}");
    }
}

#[test]
fn a_snapshot_of_a_running_endpoint_waits_for_its_place_among_the_records() {
    for (point, world) in life().crashes.iter().enumerate() {
        let mut host = restored(&world.store);
        host.link_up();
        let _ = host.take_sent();
        let now = host.now();
        host.endpoint.submit(now, &kept(7)).unwrap();
        let short = written(host.endpoint.snapshot(now));
        assert_eq!(host.endpoint.poll_record().map(|_| ()), None, "it is in it");
        assert!(host.endpoint.poll_message(now).is_none(), "{point}");
        let covered = host.endpoint.unstored_len();
        host.endpoint.handle_stored(now, covered);
        let message = host.endpoint.poll_message(now).expect("it is stored");
        assert_eq!(&*message.payload, b"7");
        let mut next = restored(&short);
        next.link_up();
        let sent = next.take_lines();
        assert!(
            sent.iter().any(|line| line.ends_with(" 7")),
            "{point}: {sent:?}"
        );
    }
}

#[test]
fn wherever_the_store_is_lost_nothing_is_withheld_and_a_snapshot_mends_it() {
    let mut whole = life();
    let points = whole.crashes.len();
    let last = &whole.crashes[points - 1];
    let now = whole.now();
    let expected = behaviour(&written(whole.endpoint.snapshot(now)));
    // But for the number that comes next: a snapshot counts what left no records too.
    let but_last = |seen: &str| seen.trim_end().rsplit_once('\n').unwrap().0.to_owned();
    assert_eq!(but_last(&expected), but_last(&behaviour(&last.store)));
    for point in 1..points {
        let mut run = life_without_store_from(point);
        assert_eq!(run.world.sent, last.sent, "{point}");
        assert_eq!(run.world.told, last.told, "{point}");
        assert_eq!(run.world.read, last.read, "{point}");
        assert!(run.endpoint.poll_record().is_none());
        let before = run.world.store.len();
        assert!(before <= last.store.len());
        let now = run.now();
        let mended = written(run.endpoint.snapshot(now));
        assert_eq!(behaviour(&mended), expected, "{point}");
        run.endpoint.handle_stored(now, run.endpoint.unstored_len());
        // It records again.
        run.submit(&kept(8));
        let accepted = |record: &Record| matches!(record, Record::Accepted(..));
        assert!(run.world.store[before..].iter().any(accepted), "{point}");
    }
}
