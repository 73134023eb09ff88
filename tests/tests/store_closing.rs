//! The end of a client with a store: what the account says, and what the store keeps.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use kaa_proto::client::{Client, Endpoint, Options, Shutdown, StoreTurn, Ticket, Turn};
use kaa_proto::connection::{Account, Event};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{PlatformOptions, Secret, User, UserState};
use kaa_proto::request::{Adjusted, Failure, RequestExt as _, RequestId, Resend};
use kaa_proto::store::StoreError;
use kaa_proto::telemetry::Sample;
use kaa_tests::rig::{Rig, Wire};
use kaa_tests::scripted_store::{Deed, Script, ScriptedStore};

const SECOND: Duration = Duration::from_secs(1);

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn on(store: &ScriptedStore) -> Options {
    let store = store.clone();
    Options::new("mqtt://here")
        .unwrap()
        .store(move || Ok(store.clone()))
}

/// A client without a link.
fn start(store: &ScriptedStore) -> (Client, Endpoint, Rig) {
    let (client, mut rig) = Rig::new(on(store));
    let device = client.endpoint(&name()).unwrap();
    rig.is_away = true;
    rig.run();
    (client, device, rig)
}

fn keep(device: &Endpoint, n: u32) -> Ticket<Adjusted<Sample<u32>>> {
    let sample = Sample::new(n).resend(Resend::AfterLinkLoss).durable();
    device.submit(&sample).unwrap()
}

fn end(shutdown: &mut Shutdown) -> Option<Account> {
    let context = &mut Context::from_waker(Waker::noop());
    match Pin::new(shutdown).poll(context) {
        Poll::Ready(account) => Some(account),
        Poll::Pending => None,
    }
}

/// What the next run finds.
fn resumed(store: &ScriptedStore) -> Vec<RequestId> {
    let (client, _rig) = Rig::new(on(store));
    let recovered = client.endpoint(&name()).unwrap().take_recovered();
    let resumed = recovered.into_iter().flat_map(|found| found.resumed);
    resumed.map(|request| request.id).collect()
}

#[test]
fn the_account_says_which_requests_the_next_run_takes_up() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    let stored = keep(&device, 1);
    rig.run();
    rig.is_disk_stuck = true;
    let waiting = keep(&device, 2);
    let plain = device.send(&Sample::new(3)).unwrap();
    let mut shutdown = client.shutdown(2 * SECOND);
    rig.pass(2 * SECOND);
    assert_eq!(end(&mut shutdown), None, "it waits for the store");
    rig.is_disk_stuck = false;
    rig.run();
    let account = end(&mut shutdown).expect("it is over");
    assert_eq!(account.outcomes.closed, 3);
    let unfinished = account.unfinished.iter();
    let unfinished: Vec<_> = unfinished
        .map(|(of, request)| (of.clone(), request.id, request.stored, request.sent))
        .collect();
    let not_sent = |id, stored| (name(), id, stored, false);
    let expected = [
        not_sent(stored.id(), true),
        // By the time that all is over.
        not_sent(waiting.id(), true),
        not_sent(plain, false),
    ];
    assert_eq!(unfinished, expected);
    assert_eq!(rig.turn, Turn::Finished);
    assert!(rig.writer.is_none(), "the writer ends too");
    assert_eq!(resumed(&store), [stored.id(), waiting.id()]);
}

#[test]
fn the_end_waits_for_a_medium_that_hangs_five_seconds_and_the_writer_goes_on() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    rig.is_disk_stuck = true;
    let mut ticket = keep(&device, 1);
    let mut shutdown = client.shutdown(2 * SECOND);
    rig.pass(7 * SECOND - Duration::from_millis(1));
    assert_eq!(end(&mut shutdown), None);
    assert!(matches!(rig.turn, Turn::Wait { .. }));
    rig.pass(Duration::from_millis(1));
    assert!(end(&mut shutdown).is_some());
    assert_eq!(rig.turn, Turn::Finished);
    assert_eq!(ticket.try_outcome(), Some(Err(Failure::Closed)));
    assert!(rig.writer.is_some());
    rig.is_disk_stuck = false;
    rig.run();
    assert!(rig.writer.is_none());
    assert_eq!(resumed(&store), [ticket.id()]);
}

#[test]
fn without_anything_to_store_the_end_waits_only_until_the_store_is_let_go() {
    let store = ScriptedStore::default();
    let (client, _device, mut rig) = start(&store);
    let mut writer = rig.writer.take().unwrap();
    let mut shutdown = client.shutdown(SECOND);
    rig.run();
    assert_eq!(end(&mut shutdown), None, "the store is open");
    assert!(matches!(rig.turn, Turn::Wait { .. }));
    assert_eq!(writer.turn(), StoreTurn::Finished);
    assert!(end(&mut shutdown).is_some());
    assert_eq!(writer.turn(), StoreTurn::Finished, "again, without a store");
    rig.run();
    assert_eq!(rig.turn, Turn::Finished);
}

#[test]
fn a_writer_that_is_gone_ends_the_wait_for_the_store() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    let _ticket = keep(&device, 1);
    let mut shutdown = client.shutdown(Duration::ZERO);
    rig.is_disk_stuck = true;
    rig.run();
    assert_eq!(end(&mut shutdown), None);
    rig.writer = None;
    assert!(end(&mut shutdown).is_some());
    rig.run();
    assert_eq!(rig.turn, Turn::Finished);
}

#[test]
fn nobody_waits_for_a_writer_that_was_not_taken() {
    let clock = Instant::now();
    let options = on(&ScriptedStore::default()).open_store().unwrap();
    let (client, mut driver) = Client::new(options, 1, 2, move || clock).unwrap();
    client.endpoint(&name()).unwrap();
    let mut shutdown = client.shutdown(Duration::ZERO);
    assert_eq!(end(&mut shutdown), None);
    let turn = driver.turn(Waker::noop(), &mut None::<Wire>);
    assert_eq!(turn, Turn::Finished);
    assert!(end(&mut shutdown).is_some());
}

#[test]
fn a_refusal_that_ends_the_client_leaves_no_record_behind_that_waits_for_others() {
    let store = ScriptedStore::default();
    let options = on(&store)
        .login("me@tenant", "wrong")
        .group_commit(30 * SECOND, 64)
        .connection(|options| options.give_up_on_refusal(true));
    let user = User {
        name: "me@tenant".into(),
        password: Secret::new("right"),
        state: UserState::Active,
    };
    let platform = PlatformOptions {
        users: vec![user],
        ..PlatformOptions::default()
    };
    let (client, mut rig) = Rig::with(options, platform, None);
    let kept = keep(&client.endpoint(&name()).unwrap(), 1);
    rig.pass(SECOND);
    assert_eq!(rig.turn, Turn::Finished);
    assert_eq!(kept.try_stored(), Some(Ok(())));
    assert_eq!(resumed(&store), [kept.id()]);
}

#[test]
fn when_the_driver_is_dropped_the_writer_still_writes_what_is_pending() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    rig.is_disk_stuck = true;
    let mut ticket = keep(&device, 1);
    let mut shutdown = client.shutdown(60 * SECOND);
    rig.driver = None;
    assert_eq!(ticket.try_outcome(), Some(Err(Failure::Closed)));
    assert!(end(&mut shutdown).is_some());
    rig.is_disk_stuck = false;
    rig.run();
    assert!(rig.writer.is_none());
    assert_eq!(resumed(&store), [ticket.id()]);
}

#[test]
fn the_last_handle_that_goes_ends_the_writer() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    let id = keep(&device, 1).id();
    drop((client, device));
    rig.pass(60 * SECOND);
    assert!(rig.writer.is_none());
    assert_eq!(rig.turn, Turn::Finished);
    assert_eq!(resumed(&store), [id]);
}

#[test]
fn a_store_that_is_lost_does_not_delay_the_end() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    store.set(Script {
        append: Deed::Fails(StoreError::Full),
        compact: Deed::Fails(StoreError::Full),
        ..Script::default()
    });
    drop(keep(&device, 1));
    rig.run();
    let mut shutdown = client.shutdown(Duration::ZERO);
    let now = rig.now();
    rig.run();
    let account = end(&mut shutdown).expect("there is nothing to wait for");
    assert!(!account.unfinished[0].1.stored);
    assert!(rig.writer.is_none() && rig.now() == now);
}

/// There is nothing to write a new file from when all requests have ended for the client.
#[test]
fn a_store_that_fails_at_the_end_does_not_delay_it() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    let mut events = client.link_events();
    store.set(Script {
        append: Deed::Fails(StoreError::Full),
        ..Script::default()
    });
    drop(keep(&device, 1));
    while store.calls().appends == 0 {
        rig.step();
    }
    let mut shutdown = client.shutdown(Duration::ZERO);
    let now = rig.now();
    rig.run();
    assert!(end(&mut shutdown).is_some() && rig.now() == now);
    // The writer looks once more.
    rig.run();
    assert!(rig.writer.is_none());
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    assert!(
        told.contains(&Event::StoreLost(StoreError::Full)),
        "{told:?}"
    );
    assert_eq!(store.calls().compactions, 0);
}

#[test]
fn what_a_resumed_request_of_this_run_leaves_is_found_by_the_next_again() {
    let store = ScriptedStore::default();
    let (_client, device, mut rig) = start(&store);
    let id = keep(&device, 1).id();
    rig.run();
    for _ in 0..3 {
        let (client, _device, mut rig) = start(&store);
        let mut shutdown = client.shutdown(SECOND);
        rig.pass(SECOND);
        let account = end(&mut shutdown).expect("it is over");
        let [(_, unfinished)] = account.unfinished.as_slice() else {
            panic!("{account:?}");
        };
        assert_eq!((unfinished.id, unfinished.stored), (id, true));
    }
    assert_eq!(resumed(&store), [id]);
}

/// It is void: what came after the loss is not in the file that it has written.
#[test]
fn a_new_file_that_is_there_after_it_was_given_up_mends_nothing() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(&store);
    store.set(Script {
        append: Deed::Fails(StoreError::Full),
        ..Script::default()
    });
    let ticket = keep(&device, 1);
    let endpoint = device.clone();
    store.meanwhile(move || {
        // More than may wait.
        let sample = Sample::new("x".repeat(200_000)).durable();
        for _ in 0..350 {
            assert!(endpoint.submit(&sample).unwrap().cancel());
        }
    });
    while store.calls().compactions == 0 {
        rig.step();
    }
    let lost = || client.store_status().unwrap().lost;
    assert_eq!(lost(), Some(StoreError::Stalled));
    let later = keep(&device, 2);
    store.set(Script::default());
    rig.pass(SECOND);
    assert_eq!((lost(), store.calls().compactions), (None, 2));
    assert_eq!(later.try_stored(), Some(Ok(())));
    assert_eq!(resumed(&store), [ticket.id(), later.id()]);
}
