//! Ten thousand endpoints on one connection in every binding, against the local platform over TCP,
//! and over TLS in one of them. Everything is waited for; no time is asserted.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

#[allow(dead_code, reason = "the suite of the runtimes uses the rest")]
mod bindings;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bindings::{
    Api, AsyncStd, Blocking, Device, Kit, PATIENCE, Smol, SmolThread, Step, Tokio, Waiting,
};
use kaa_blocking::platform::{LocalOptions, LocalPlatform, LocalTls};
use kaa_proto::client::Options;
use kaa_proto::connection::{Removal, Statistics};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::EventKind;
use kaa_proto::request::{Failure, RequestExt as _, Resend};
use kaa_proto::telemetry::Sample;
use kaa_proto::{client, endpoint, tls};
use kaa_tests::certificates::{Authority, Key, Server};
use serde_json::json;

const COUNT: usize = 10_000;
/// Tasks that have as many devices each.
const WORKERS: usize = 50;
/// One of so many devices leaves while there is traffic, by turns flushed and not.
const LEAVES: usize = 10;
/// One of so many devices observes commands.
const OBSERVES: usize = 10;
/// One of so many devices sends what may be sent only once.
const ONCE: usize = 20;

/// What a gateway does beside what all suites do.
trait Gateway: Api<Device: Meter> {
    fn remove(&self, name: &EndpointName, removal: Removal) -> bool;
    fn counted(&self) -> Statistics;
}

trait Meter: Device {
    fn counted(&self) -> Option<endpoint::Statistics>;
}

macro_rules! gateway {
    ($client:ty, $endpoint:ty) => {
        impl Gateway for $client {
            fn remove(&self, name: &EndpointName, removal: Removal) -> bool {
                self.remove_endpoint(name, removal)
            }

            fn counted(&self) -> Statistics {
                self.statistics()
            }
        }

        impl Meter for $endpoint {
            fn counted(&self) -> Option<endpoint::Statistics> {
                self.statistics()
            }
        }
    };
}

gateway! { client::Client, client::Endpoint }
gateway! { kaa_blocking::Client, kaa_blocking::Endpoint }

/// One after the other: a thousand threads of several gateways only wait for each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn ten_thousand_on_tokio_current_thread() {
    ten_thousand::<Tokio<1>>(None);
}

#[test]
fn ten_thousand_on_tokio_multi_thread() {
    ten_thousand::<Tokio<2>>(None);
}

#[test]
fn ten_thousand_on_smol() {
    ten_thousand::<Smol>(None);
}

#[test]
fn ten_thousand_on_smol_on_a_thread() {
    ten_thousand::<SmolThread>(None);
}

#[test]
fn ten_thousand_on_async_std() {
    ten_thousand::<AsyncStd>(None);
}

#[test]
fn ten_thousand_on_threads() {
    ten_thousand::<Blocking>(None);
}

#[test]
fn ten_thousand_over_tls() {
    ten_thousand::<Tokio<2>>(Some(&Authority::new("root")));
}

fn name(n: usize) -> EndpointName {
    EndpointName::parse("demo-v1", &format!("meter-{n:05}")).unwrap()
}

fn platform(authority: Option<&Authority>) -> LocalPlatform {
    let mut options = LocalOptions::default();
    options.tls = authority.map(|authority| {
        let own = authority.server(Server::Good, Key::EcPkcs8);
        LocalTls::from_pem(own.chain_pem.as_bytes(), own.key_pem.as_bytes(), None).unwrap()
    });
    LocalPlatform::start(options).unwrap()
}

fn options(platform: &LocalPlatform, authority: Option<&Authority>) -> Options {
    let quick = Duration::from_millis(100);
    let options = Options::new(platform.url()).unwrap();
    // Observations are asked for again at once.
    let all = NonZeroU32::new(100_000).unwrap();
    let options = options.connection(|options| options.backoff(quick, quick).observe_rate(all));
    match authority {
        Some(authority) => options.tls(tls::Options::new().ca(authority.certificate_pem())),
        None => options,
    }
}

/// A device, and what it waits for.
struct Sent<D> {
    n: usize,
    device: D,
    outcome: Waiting<Result<(), Failure>>,
    command: Option<Waiting<bool>>,
}

/// A device and what became of its sample.
struct Ended<D> {
    n: usize,
    device: D,
    outcome: Result<(), Failure>,
}

/// A device is added and sends its number.
fn add<G: Gateway>(client: &G, n: usize) -> Sent<G::Device> {
    let device = client.endpoint(&name(n));
    let resend = match n % ONCE {
        7 => Resend::Never,
        _ => Resend::AfterLinkLoss,
    };
    let mut sent = send(device, n, resend);
    sent.command = (n % OBSERVES == 0).then(|| sent.device.command());
    sent
}

fn send<D: Device>(device: D, n: usize, resend: Resend) -> Sent<D> {
    let sample = Sample::new(json!({ "n": n })).resend(resend);
    let outcome = device.submit(&sample).unwrap();
    Sent {
        n,
        device,
        outcome,
        command: None,
    }
}

async fn end<D>(all: Vec<Sent<D>>) -> Vec<Ended<D>> {
    let mut ended = Vec::new();
    for Sent {
        n,
        device,
        outcome,
        command,
    } in all
    {
        let outcome = outcome.await;
        if let Some(command) = command {
            assert!(command.await, "{n} has no command");
        }
        ended.push(Ended { n, device, outcome });
    }
    ended
}

fn ten_thousand<K: Kit<Client: Gateway>>(authority: Option<&Authority>) {
    let _alone = alone();
    let platform = platform(authority);
    let (kit, addr) = (K::new(), platform.addr().unwrap());
    let is_away = Arc::new(AtomicBool::new(false));
    let client = {
        let is_away = Arc::clone(&is_away);
        let script = move || match is_away.load(Ordering::Relaxed) {
            true => Step::Fail,
            false => Step::Tcp(addr),
        };
        kit.connect(options(&platform, authority), Arc::new(script))
    };
    kit.end_of(client.ready(PATIENCE)).unwrap();

    let devices = come_and_go(&kit, &platform, &client);
    // The platform cuts the link of one that has spoken on it.
    let last = send(client.endpoint(&name(2 * COUNT)), 0, Resend::AfterLinkLoss);
    assert_eq!(kit.end_of(last.outcome), Ok(()));
    is_away.store(true, Ordering::Relaxed);
    platform.kick(&name(2 * COUNT)).unwrap();
    wait_for_the_end_of_a_link(&platform);
    wait_until(|| client.counted().links_lost == 2);
    let again = |(n, device)| send(device, n, Resend::AfterLinkLoss);
    let all: Vec<_> = devices.into_iter().map(again).collect();
    let before = client.counted();
    assert_eq!(before.queued, COUNT);
    is_away.store(false, Ordering::Relaxed);
    for Ended { n, device, outcome } in kit.end_of(end(all)) {
        let submitted = device.counted().unwrap().submitted;
        assert_eq!((outcome, submitted), (Ok(()), 2), "{n}");
        assert!(platform.state(&name(n)).unwrap().samples >= 1, "{n}");
    }
    let after = client.counted();
    let messages = |counted: &Statistics| counted.messages_out + counted.messages_in;
    // CONNECT and SUBSCRIBE: all but the messages, and the acknowledgements of those that came.
    let others = after.traffic.packets_out - before.traffic.packets_out;
    let others = others - (messages(&after) - messages(&before));
    assert!((40..=100).contains(&others), "{others} packets");

    let account = kit.end_of(client.shutdown(PATIENCE));
    assert_eq!(account.unfinished, []);
    wait_for_the_end_of_a_link(&platform);
}

/// Devices are added and send; while they are served some leave, others come, and the link is cut.
/// Those that are there at the end.
fn come_and_go<K: Kit<Client: Gateway>>(
    kit: &K,
    platform: &LocalPlatform,
    client: &K::Client,
) -> Vec<(usize, <K::Client as Api>::Device)> {
    // The platform stands still until all are queued or in flight.
    let (sender, added) = mpsc::channel();
    let workers: Vec<_> = platform.operate(|_, _| {
        let worker = |first| {
            let (client, sender) = (client.clone(), sender.clone());
            kit.spawn(async move {
                let all = (first..COUNT).step_by(WORKERS).map(|n| add(&client, n));
                let all = all.collect();
                sender.send(()).unwrap();
                end(all).await
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        for _ in 0..WORKERS {
            added.recv_timeout(PATIENCE).expect("it adds all");
        }
        let counted = client.counted();
        assert_eq!(counted.requests.confirmed, 0);
        assert!(counted.queued + counted.in_flight >= COUNT);
        workers
    });

    let gateway = client.clone();
    let churn = kit.spawn(async move {
        let mut come = Vec::new();
        for n in (0..COUNT).filter(|n| leaves(*n)) {
            let removal = match is_flushed(n) {
                true => Removal::Flush(PATIENCE),
                false => Removal::Discard,
            };
            assert!(gateway.remove(&name(n), removal), "{n} was there");
            come.push(add(&gateway, COUNT + n));
        }
        end(come).await
    });
    let reboot = CommandType::new("reboot").unwrap();
    for n in (0..COUNT).step_by(OBSERVES) {
        platform.command(&name(n), &reboot, None).unwrap();
    }
    let is_sample = |kind: &EventKind| matches!(kind, EventKind::Telemetry { .. });
    let events = platform.events(PATIENCE);
    let mut samples = events.filter(|event| is_sample(&event.kind));
    let one = samples.nth(COUNT / 5).and_then(|event| event.endpoint);
    platform.kick(&one.unwrap()).unwrap();
    wait_for_the_end_of_a_link(platform);

    let workers = workers.into_iter().chain([churn]);
    let ended = workers.flat_map(|worker| worker.recv_timeout(PATIENCE).expect("it ends"));
    let ended: Vec<_> = ended.collect();
    balance(&client.counted(), &ended);
    let there = ended.into_iter().filter(|ended| stays(platform, ended));
    there.map(|ended| (ended.n, ended.device)).collect()
}

/// Every sample ended, as it may, and was counted.
fn balance<D>(counted: &Statistics, ended: &[Ended<D>]) {
    let (mut confirmed, mut unknown, mut closed) = (0, 0, 0);
    for Ended { n, outcome, .. } in ended {
        match outcome {
            Ok(()) => confirmed += 1,
            Err(Failure::OutcomeUnknown) if n % ONCE == 7 => unknown += 1,
            Err(Failure::Closed) if leaves(*n) && !is_flushed(*n) => closed += 1,
            outcome => panic!("{n}: {outcome:?}"),
        }
    }
    let all = (COUNT + COUNT / LEAVES) as u64;
    assert_eq!(confirmed + unknown + closed, all);
    let requests = &counted.requests;
    assert_eq!(
        (
            requests.confirmed,
            requests.outcome_unknown,
            requests.closed
        ),
        (confirmed, unknown, closed)
    );
    assert_eq!((requests.submitted, requests.ended()), (all, all));
    assert_eq!(counted.endpoints, COUNT);
    assert_eq!((counted.links_up, counted.links_lost), (2, 1));
}

/// Whether a device is still there, as it should; the platform has its sample, and both counted it.
fn stays<D: Meter>(platform: &LocalPlatform, ended: &Ended<D>) -> bool {
    let Ended { n, device, outcome } = ended;
    let state = platform.state(&name(*n));
    let samples = state.as_ref().map_or(0, |state| state.samples);
    if outcome.is_ok() {
        assert!(samples >= 1, "{n}");
        assert_eq!(state.unwrap().last_sample.unwrap()["n"], *n);
    }
    let counted = device.counted();
    assert_eq!(counted.is_none(), leaves(*n), "{n}");
    let Some(counted) = counted else {
        return false;
    };
    let numbers = (
        counted.submitted,
        counted.confirmed,
        counted.outcome_unknown,
    );
    let expected = (1, outcome.is_ok().into(), outcome.is_err().into());
    assert_eq!(numbers, expected, "{n}");
    assert!(samples <= 2, "{n}");
    true
}

const fn leaves(n: usize) -> bool {
    n < COUNT && n % LEAVES == 3
}

const fn is_flushed(n: usize) -> bool {
    n / LEAVES % 2 == 0
}

fn wait_until(is_it: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_it() {
        assert!(start.elapsed() < PATIENCE, "it did not happen");
        thread::sleep(Duration::from_millis(10));
    }
}

/// News that is older is forgotten.
fn wait_for_the_end_of_a_link(platform: &LocalPlatform) {
    let mut events = platform.events(PATIENCE);
    assert!(events.any(|event| matches!(event.kind, EventKind::LinkClosed {})));
}
