//! Which records share a commit, and how long they wait for each other.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, Options, Ticket};
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Adjusted, RequestExt as _, RequestId, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::rig::Rig;
use kaa_tests::scripted_store::{Calls, ScriptedStore};

const SECOND: Duration = Duration::from_secs(1);

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn in_memory(store: &ScriptedStore) -> Options {
    let store = store.clone();
    let options = Options::new("mqtt://here").unwrap();
    options.store(move || Ok(store.clone()))
}

/// A client without a link.
fn start(options: Options) -> (Client, Endpoint, Rig) {
    let (client, device, mut rig) = Rig::with_endpoint(options, &name());
    rig.is_away = true;
    rig.cut();
    (client, device, rig)
}

fn keep(device: &Endpoint, n: u32) -> Ticket<Adjusted<Sample<u32>>> {
    let sample = Sample::new(n).resend(Resend::AfterLinkLoss).durable();
    device.submit(&sample).unwrap()
}

/// The requests of an earlier run that go on.
fn resumed(client: &Client) -> Vec<RequestId> {
    let recovered = client.endpoint(&name()).unwrap().take_recovered();
    let resumed = recovered.unwrap().resumed.into_iter();
    resumed.map(|request| request.id).collect()
}

#[test]
fn what_gathers_while_the_medium_is_busy_goes_by_one_commit() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(in_memory(&store));
    rig.is_disk_stuck = true;
    let tickets: Vec<_> = (0..50).map(|n| keep(&device, n)).collect();
    rig.run();
    rig.is_disk_stuck = false;
    rig.run();
    assert!(tickets.iter().all(|t| t.try_stored() == Some(Ok(()))));
    let calls = Calls {
        appends: 1,
        commits: 1,
        compactions: 0,
    };
    assert_eq!(store.calls(), calls);
    let status = client.store_status().unwrap();
    assert_eq!((status.commits, status.records), (1, 50));
}

#[test]
fn records_wait_for_others_as_long_and_for_as_many_as_the_options_say() {
    let store = ScriptedStore::default();
    let options = in_memory(&store).group_commit(10 * SECOND, 3);
    let (client, device, mut rig) = start(options);
    let commits = || client.store_status().unwrap().commits;
    let first = keep(&device, 1);
    rig.pass(9 * SECOND);
    let second = keep(&device, 2);
    rig.pass(SECOND - Duration::from_millis(1));
    assert_eq!((first.try_stored(), commits()), (None, 0));
    rig.pass(Duration::from_millis(1));
    assert_eq!(second.try_stored(), Some(Ok(())), "with the first");
    assert_eq!((first.try_stored(), commits()), (Some(Ok(())), 1));
    let tickets: Vec<_> = (0..3).map(|n| keep(&device, n)).collect();
    rig.run();
    assert!(tickets.iter().all(|t| t.try_stored() == Some(Ok(()))));
    assert_eq!(commits(), 2);
    // The end of the client does not wait for others.
    let last = keep(&device, 9);
    rig.run();
    assert_eq!(last.try_stored(), None);
    let now = rig.now();
    drop(client.shutdown(Duration::ZERO));
    rig.run();
    assert!(rig.writer.is_none() && rig.now() == now);
    let (client, _rig) = Rig::new(in_memory(&store));
    assert_eq!(resumed(&client).last(), Some(&last.id()));
}

/// Four megabytes that wait would count as a medium that stalls.
#[test]
fn a_megabyte_waits_for_no_others() {
    let store = ScriptedStore::default();
    let options = in_memory(&store).group_commit(60 * SECOND, 1_000);
    let (client, device, mut rig) = start(options);
    let sample = Sample::new("x".repeat(250_000)).durable();
    let some: Vec<_> = (0..4).map(|_| device.submit(&sample).unwrap()).collect();
    rig.run();
    assert!(some.iter().all(|ticket| ticket.try_stored().is_none()));
    let one_more = device.submit(&sample).unwrap();
    rig.run();
    assert_eq!(one_more.try_stored(), Some(Ok(())));
    let commits = client.store_status().unwrap().commits;
    assert_eq!((commits, store.calls().commits), (1, 1));
}
