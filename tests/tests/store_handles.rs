//! What the handles say of their store, and how the client goes on when it hangs or fails.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use kaa_proto::client::{Client, ConnectError, Endpoint, NotStored, Options, Ticket};
use kaa_proto::connection::{Event, LinkState};
use kaa_proto::endpoint::{self, EndpointOptions};
use kaa_proto::metadata;
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{EventKind, PlatformOptions};
use kaa_proto::request::{Adjusted, Class, RequestExt as _, RequestId, Resend};
use kaa_proto::store::{Durability, Log, LogOptions, StoreError, Unusable};
use kaa_proto::telemetry::Sample;
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::rig::Rig;
use kaa_tests::scratch::Scratch;
use kaa_tests::scripted_store::{Deed, Script, ScriptedStore};

const SECOND: Duration = Duration::from_secs(1);

type Kept<T> = Ticket<Adjusted<Sample<T>>>;

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn plain() -> Options {
    Options::new("mqtt://here").unwrap()
}

fn on(disk: &SimulatedDisk) -> Options {
    let disk = disk.clone();
    plain().store(move || Ok(Log::new(disk.clone(), LogOptions::default())))
}

fn in_memory(store: &ScriptedStore) -> Options {
    let store = store.clone();
    plain().store(move || Ok(store.clone()))
}

fn start(options: Options) -> (Client, Endpoint, Rig) {
    Rig::with_endpoint(options, &name())
}

fn keep(device: &Endpoint, n: u32) -> Kept<u32> {
    let sample = Sample::new(n).resend(Resend::AfterLinkLoss).durable();
    device.submit(&sample).unwrap()
}

/// The requests of an earlier run that go on.
fn resumed(client: &Client) -> Vec<RequestId> {
    let recovered = client.endpoint(&name()).unwrap().take_recovered();
    let resumed = recovered.unwrap().resumed.into_iter();
    resumed.map(|request| request.id).collect()
}

/// What is told of the store and of links, since it was asked last.
fn told(events: &mut kaa_proto::client::LinkEvents) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

fn failed() -> StoreError {
    StoreError::Failed("it is broken".into())
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_durable_request_is_sent_when_it_is_stored_and_not_before() {
    let (_client, device, mut rig) = start(on(&SimulatedDisk::new(1)));
    rig.is_disk_stuck = true;
    let mut ticket = keep(&device, 1);
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut stored = Box::pin(ticket.stored());
    let context = &mut Context::from_waker(&waker);
    assert!(stored.as_mut().poll(context).is_pending());
    rig.pass(5 * SECOND);
    assert!(stored.as_mut().poll(context).is_pending() && bell.0.load(Ordering::Relaxed) == 0);
    assert!(rig.processed().is_empty());
    rig.is_disk_stuck = false;
    while bell.0.load(Ordering::Relaxed) == 0 {
        assert!(rig.processed().is_empty(), "sent before it was stored");
        assert!(rig.step(), "it is never stored, or who waits is not woken");
    }
    assert_eq!(stored.as_mut().poll(context), Poll::Ready(Ok(())));
    drop(stored);
    rig.run();
    assert_eq!(rig.processed(), [1]);
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
}

#[test]
fn what_is_not_durable_is_never_called_stored() {
    let (_client, device, mut rig) = start(on(&SimulatedDisk::new(1)));
    let mut ticket = device.submit(&Sample::new(1)).unwrap();
    let not_durable = Some(Err(NotStored::NotDurable));
    assert_eq!(ticket.try_stored(), not_durable);
    let poll = pin!(ticket.stored()).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll, Poll::Ready(Err(NotStored::NotDurable)));
    rig.run();
    assert_eq!(ticket.try_stored(), not_durable);

    let (_client, device, mut rig) = start(plain());
    let ticket = keep(&device, 1);
    assert_eq!(ticket.try_stored(), not_durable, "there is no store");
    rig.run();
    assert_eq!(rig.processed(), [1]);
    assert_eq!(ticket.try_stored(), not_durable);
}

#[test]
fn a_store_that_promises_nothing_keeps_nothing() {
    let options = on(&SimulatedDisk::new(1)).durability(Durability::None);
    let (client, device, mut rig) = start(options);
    rig.is_away = true;
    rig.cut();
    let ticket = keep(&device, 1);
    while rig.step() {
        assert_ne!(ticket.try_stored(), Some(Ok(())));
    }
    assert_eq!(ticket.try_stored(), Some(Err(NotStored::InMemory)));
    let mut shutdown = client.shutdown(Duration::ZERO);
    rig.run();
    let account = pin!(&mut shutdown).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(account) = account else {
        panic!("it is over");
    };
    assert_eq!(ticket.try_stored(), Some(Err(NotStored::InMemory)));
    assert_eq!(account.unfinished.len(), 1);
}

#[test]
fn a_medium_that_hangs_holds_back_only_what_has_to_be_stored() {
    let (client, device, mut rig) = start(on(&SimulatedDisk::new(1)));
    let mut events = client.link_events();
    rig.is_disk_stuck = true;
    let mut kept = keep(&device, 1);
    let mut plain = device.submit(&metadata::Keys).unwrap();
    rig.run();
    assert!(matches!(plain.try_outcome(), Some(Ok(_))));
    rig.pass(600 * SECOND);
    assert!(!rig.saw(|kind| matches!(kind, EventKind::LinkClosed {})));
    assert_eq!(client.link_state(), LinkState::Up);
    let other = EndpointName::parse("demo-v1", "another").unwrap();
    let other = client.endpoint(&other).unwrap();
    let mut last = other.submit(&Sample::new(3)).unwrap();
    rig.run();
    assert_eq!(last.try_outcome(), Some(Ok(())));
    assert_eq!((kept.try_stored(), kept.try_outcome()), (None, None));
    assert_eq!(told(&mut events), []);
    rig.is_disk_stuck = false;
    rig.run();
    assert_eq!(kept.try_outcome(), Some(Ok(())));
    assert_eq!(rig.processed(), [3, 1]);
}

#[test]
fn a_store_that_fails_once_is_written_anew_at_once_and_nobody_is_told() {
    let breaks: [fn(&SimulatedDisk); 2] = [
        SimulatedDisk::fail_next_sync,
        SimulatedDisk::fail_next_write,
    ];
    for break_disk in breaks {
        let disk = SimulatedDisk::new(1);
        let (client, device, mut rig) = start(on(&disk));
        let mut events = client.link_events();
        rig.is_away = true;
        rig.cut();
        let first = keep(&device, 1);
        rig.run();
        break_disk(&disk);
        let second = keep(&device, 2);
        rig.run();
        assert_eq!(first.try_stored(), Some(Ok(())));
        assert_eq!(second.try_stored(), Some(Ok(())));
        let status = client.store_status().unwrap();
        assert_eq!((status.lost, status.compactions), (None, 1));
        let lost = |event: &Event| matches!(event, Event::StoreLost(_) | Event::StoreBack);
        assert!(!told(&mut events).iter().any(lost));
        for seed in 0..20 {
            let (client, _rig) = rig.after_crash(on(&disk.after_crash(seed)), seed);
            assert_eq!(resumed(&client), [first.id(), second.id()]);
        }
    }
}

#[test]
fn any_failure_of_an_append_or_a_commit_is_mended_by_a_new_file() {
    let append = |deed| Script {
        append: deed,
        ..Script::default()
    };
    let commit = |deed| Script {
        commit: deed,
        ..Script::default()
    };
    let scripts = [
        append(Deed::Fails(StoreError::Full)),
        append(Deed::Fails(failed())),
        append(Deed::Panics),
        commit(Deed::Fails(failed())),
        commit(Deed::Panics),
    ];
    for script in scripts {
        let store = ScriptedStore::default();
        let (client, device, mut rig) = start(in_memory(&store));
        store.set(script.clone());
        let mut ticket = keep(&device, 1);
        while store.calls().appends == 0 {
            rig.step();
        }
        store.set(Script::default());
        rig.run();
        assert_eq!(store.calls().compactions, 1, "{script:?}");
        assert_eq!(ticket.try_stored(), Some(Ok(())), "{script:?}");
        assert_eq!(ticket.try_outcome(), Some(Ok(())), "{script:?}");
        assert_eq!(client.statistics().store_losses, 0, "{script:?}");
    }
}

#[test]
fn when_a_new_file_fails_too_the_client_goes_on_in_memory_until_the_disk_is_good_again() {
    let disk = SimulatedDisk::new(1);
    let (client, device, mut rig) = start(on(&disk));
    let mut events = client.link_events();
    disk.set_room(0);
    let mut first = keep(&device, 1);
    rig.run();
    assert_eq!(
        told(&mut events),
        [Event::StoreLost(StoreError::MediumFull)]
    );
    assert_eq!(first.try_stored(), Some(Err(NotStored::InMemory)));
    assert_eq!(first.try_outcome(), Some(Ok(())), "it goes on all the same");
    let mut second = keep(&device, 2);
    assert_eq!(second.try_stored(), Some(Err(NotStored::InMemory)));
    rig.pass(300 * SECOND);
    assert_eq!(second.try_outcome(), Some(Ok(())));
    assert_eq!(told(&mut events), [], "it is told once");
    let status = client.store_status().unwrap();
    assert_eq!(status.lost, Some(StoreError::MediumFull));
    assert_eq!(client.statistics().store_losses, 1);

    rig.is_away = true;
    rig.cut();
    let open = keep(&device, 3);
    rig.run();
    assert_eq!(open.try_stored(), Some(Err(NotStored::InMemory)));
    let _ = told(&mut events);
    disk.set_room(u64::MAX);
    rig.pass(60 * SECOND);
    let back = |event: &&Event| matches!(event, Event::StoreLost(_) | Event::StoreBack);
    let of_store: Vec<_> = told(&mut events);
    let of_store: Vec<_> = of_store.iter().filter(back).collect();
    assert_eq!(of_store, [&Event::StoreBack]);
    assert_eq!(client.store_status().unwrap().lost, None);
    assert_eq!(open.try_stored(), Some(Ok(())), "with the new file");
    let later = keep(&device, 4);
    rig.run();
    assert_eq!(later.try_stored(), Some(Ok(())));
    for seed in 0..20 {
        let (client, mut rig) = rig.after_crash(on(&disk.after_crash(seed)), seed);
        assert_eq!(resumed(&client), [open.id(), later.id()]);
        let _ = rig.processed();
        rig.run();
        assert_eq!(rig.processed(), [3, 4]);
    }
}

#[test]
fn a_lost_store_is_tried_again_after_a_second_then_twice_as_long_up_to_a_minute() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(in_memory(&store));
    let broken = Script {
        append: Deed::Fails(failed()),
        compact: Deed::Fails(StoreError::Full),
        ..Script::default()
    };
    store.set(broken.clone());
    drop(keep(&device, 1));
    rig.run();
    assert_eq!(store.calls().compactions, 1);
    let begin = rig.now();
    let mut tried = Vec::new();
    while tried.len() < 9 {
        let before = store.calls().compactions;
        rig.pass(SECOND);
        for _ in before..store.calls().compactions {
            tried.push((rig.now() - begin).as_secs());
        }
    }
    assert_eq!(tried, [1, 3, 7, 15, 31, 63, 123, 183, 243]);
    assert_eq!(client.statistics().store_losses, 1);
    store.set(Script::default());
    rig.pass(60 * SECOND);
    assert_eq!(client.store_status().unwrap().lost, None);
    // The pauses begin anew.
    store.set(broken);
    drop(keep(&device, 2));
    rig.run();
    let before = store.calls().compactions;
    rig.pass(SECOND);
    assert_eq!(store.calls().compactions, before + 1);
    assert_eq!(client.statistics().store_losses, 2);
}

/// Makes so many records of 200 kB, whose requests end at once.
fn flood(device: &Endpoint, records: usize) {
    let text = "x".repeat(200_000);
    for _ in 0..records {
        let sample = Sample::new(text.as_str()).durable();
        assert!(device.submit(&sample).unwrap().cancel());
    }
}

#[test]
fn a_medium_that_hangs_for_ten_seconds_while_four_mebibytes_wait_for_it_counts_as_lost() {
    let disk = SimulatedDisk::new(1);
    let (client, device, mut rig) = start(on(&disk));
    let mut events = client.link_events();
    rig.is_disk_stuck = true;
    let mut ticket = keep(&device, 1);
    flood(&device, 25);
    rig.pass(9 * SECOND);
    assert_eq!(told(&mut events), [], "it may be a burst");
    rig.pass(SECOND);
    let _ = device.send(&Sample::new(0));
    rig.run();
    assert_eq!(told(&mut events), [Event::StoreLost(StoreError::Stalled)]);
    let lost = client.store_status().unwrap().lost;
    assert_eq!(lost, Some(StoreError::Stalled));
    assert_eq!(ticket.try_stored(), Some(Err(NotStored::InMemory)));
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    rig.pass(60 * SECOND);
    rig.is_disk_stuck = false;
    rig.pass(SECOND);
    assert_eq!(told(&mut events), [Event::StoreBack]);
    assert_eq!(client.store_status().unwrap().lost, None);
    let ticket = keep(&device, 2);
    rig.run();
    assert_eq!(ticket.try_stored(), Some(Ok(())));
}

#[test]
fn a_commit_that_ends_after_the_store_was_given_up_promises_nothing() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(in_memory(&store));
    rig.is_away = true;
    rig.cut();
    let ticket = keep(&device, 1);
    store.meanwhile(move || flood(&device, 350));
    while store.calls().commits == 0 {
        rig.step();
    }
    assert_eq!(ticket.try_stored(), Some(Err(NotStored::InMemory)));
    let lost = client.store_status().unwrap().lost;
    assert_eq!(lost, Some(StoreError::Stalled));
    rig.pass(SECOND);
    assert_eq!(client.store_status().unwrap().lost, None);
    assert_eq!(ticket.try_stored(), Some(Ok(())));
}

#[test]
fn a_store_that_panics_is_lost_and_the_client_is_not() {
    let store = ScriptedStore::default();
    let (client, device, mut rig) = start(in_memory(&store));
    let mut events = client.link_events();
    store.set(Script {
        append: Deed::Panics,
        compact: Deed::Panics,
        ..Script::default()
    });
    let mut ticket = keep(&device, 1);
    rig.run();
    let lost = Event::StoreLost(StoreError::Failed("it panicked".into()));
    assert_eq!(told(&mut events), [lost]);
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    store.set(Script::default());
    rig.pass(SECOND);
    assert_eq!(told(&mut events), [Event::StoreBack]);
    // So is one that panics when it is looked at.
    store.set(Script {
        looks_panic: true,
        ..Script::default()
    });
    let mut ticket = keep(&device, 2);
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    assert_eq!(client.link_state(), LinkState::Up);
}

#[test]
fn more_durable_requests_than_the_bound_are_kept_in_memory() {
    let options = on(&SimulatedDisk::new(1)).connection(|o| o.max_durable(8, 1_000_000));
    let (_client, device, mut rig) = start(options);
    let mut events = device.events();
    rig.is_away = true;
    rig.cut();
    let kept: Vec<_> = (0..7).map(|n| keep(&device, n)).collect();
    // Telemetry leaves an eighth to others.
    let beyond = keep(&device, 7);
    assert_eq!(beyond.try_stored(), Some(Err(NotStored::InMemory)));
    let control = device.submit(&metadata::Keys.durable()).unwrap();
    let last = device.submit(&metadata::Keys.durable()).unwrap();
    rig.run();
    assert!(kept.iter().all(|kept| kept.try_stored() == Some(Ok(()))));
    assert_eq!(control.try_stored(), Some(Ok(())));
    let in_memory = Some(Err(NotStored::InMemory));
    assert_eq!(
        (beyond.try_stored(), last.try_stored()),
        (in_memory, in_memory)
    );
    let told: Vec<_> = std::iter::from_fn(|| events.try_next()).collect();
    let not_stored = [beyond.id(), last.id()].map(endpoint::Event::NotStored);
    assert_eq!(told, not_stored);
    assert_eq!(device.statistics().unwrap().not_stored, 2);
    // Room comes back with the ends of requests.
    assert!(kept[0].cancel() && kept[1].cancel());
    let again = keep(&device, 8);
    rig.run();
    assert_eq!(again.try_stored(), Some(Ok(())));
    assert_eq!(device.statistics().unwrap().not_stored, 2);
    rig.is_away = false;
    rig.pass(60 * SECOND);
    assert_eq!(rig.processed(), [2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn the_bytes_of_durable_requests_are_bounded_too() {
    let options = on(&SimulatedDisk::new(1)).connection(|o| o.max_durable(100, 8_000));
    let (_client, device, mut rig) = start(options);
    rig.is_away = true;
    rig.cut();
    let text = "x".repeat(3_400);
    let sample = Sample::new(text).durable();
    let tickets: Vec<_> = (0..3).map(|_| device.submit(&sample).unwrap()).collect();
    rig.run();
    let stored: Vec<_> = tickets.iter().map(Ticket::try_stored).collect();
    let in_memory = Some(Err(NotStored::InMemory));
    assert_eq!(stored, [Some(Ok(())), Some(Ok(())), in_memory]);
}

#[test]
fn a_class_is_durable_by_default_where_the_options_say_so() {
    let endpoint = EndpointOptions::default()
        .durable_requests(Class::Bulk, true)
        .queue(Class::Bulk, NonZeroUsize::MIN, NonZeroUsize::MAX);
    let options = on(&SimulatedDisk::new(1)).connection(|o| o.endpoint(endpoint));
    let (_client, device, mut rig) = start(options);
    rig.is_disk_stuck = true;
    let ticket = device.submit(&Sample::new(1)).unwrap();
    let volatile = device.submit(&metadata::Keys).unwrap();
    assert_eq!(ticket.try_stored(), None);
    assert_eq!(volatile.try_stored(), Some(Err(NotStored::NotDurable)));
    rig.is_disk_stuck = false;
    rig.run();
    assert_eq!(ticket.try_stored(), Some(Ok(())));
    let volatile = device.submit(&Sample::new(2).volatile()).unwrap();
    assert_eq!(volatile.try_stored(), Some(Err(NotStored::NotDurable)));
}

#[test]
fn a_folder_in_use_is_told_when_the_client_is_started() {
    let scratch = Scratch::new().unwrap();
    let options = || plain().store_in(scratch.path());
    let opened = options().open_store().unwrap();
    let Err(ConnectError::Store(error)) = kaa_blocking::Client::connect(options()) else {
        panic!("it is in use");
    };
    assert_eq!(error, StoreError::InUse);
    drop(opened);
    assert!(options().open_store().is_ok());
}

#[test]
fn what_was_torn_or_set_aside_is_shown() {
    let disk = SimulatedDisk::new(1);
    let (_client, device, mut rig) = start(on(&disk));
    rig.is_away = true;
    rig.cut();
    for n in 0..3 {
        drop(keep(&device, n));
        rig.run();
    }
    let contents = disk.contents();
    let (file, bytes) = contents.first_key_value().unwrap();

    let torn = disk.after_kill();
    torn.put(file, &[bytes.as_slice(), b"12345"].concat());
    let (client, _) = Rig::with(on(&torn), PlatformOptions::default(), None);
    let status = client.store_status().unwrap();
    assert_eq!((status.torn_bytes, status.absent), (5, 1));
    assert_eq!(status.set_aside, []);

    let damaged = disk.after_kill();
    let mut bytes = bytes.clone();
    let early = bytes.len() / 3;
    bytes[early] ^= 1;
    damaged.put(file, &bytes);
    let (client, _) = Rig::with(on(&damaged), PlatformOptions::default(), None);
    let status = client.store_status().unwrap();
    let [aside] = status.set_aside.as_slice() else {
        panic!("{status:?}");
    };
    assert!(matches!(aside.reason, Unusable::Damaged { .. }));
    assert_eq!(damaged.contents()[&aside.name], bytes, "it is kept whole");
    assert_eq!(status.absent, 0);
}
