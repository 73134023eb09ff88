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

use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

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
const OBSERVES: usize = 100;
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
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
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
    let options = options.connection(|options| options.backoff(quick, quick));
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

/// A device is added and sends its number.
fn send<G: Gateway>(client: &G, n: usize) -> Sent<G::Device> {
    let device = client.endpoint(&name(n));
    let resend = match n % ONCE {
        7 => Resend::Never,
        _ => Resend::AfterLinkLoss,
    };
    let sample = Sample::new(json!({ "n": n })).resend(resend);
    let outcome = device.submit(&sample).unwrap();
    let command = (n % OBSERVES == 0).then(|| device.command());
    Sent {
        n,
        device,
        outcome,
        command,
    }
}

/// A device and what became of its sample.
type Ended<D> = (usize, D, Result<(), Failure>);

async fn end<D>(all: Vec<Sent<D>>) -> Vec<Ended<D>> {
    let mut ended = Vec::new();
    for sent in all {
        let outcome = sent.outcome.await;
        if let Some(command) = sent.command {
            assert!(command.await, "{} has no command", sent.n);
        }
        ended.push((sent.n, sent.device, outcome));
    }
    ended
}

fn ten_thousand<K: Kit<Client: Gateway>>(authority: Option<&Authority>) {
    let _alone = alone();
    let platform = platform(authority);
    let kit = K::new();
    let addr = platform.addr().unwrap();
    let client = kit.connect(
        options(&platform, authority),
        Arc::new(move || Step::Tcp(addr)),
    );
    kit.end_of(client.ready(PATIENCE)).unwrap();

    // The platform stands still until all are queued or in flight.
    let (sender, submitted) = mpsc::channel();
    let workers: Vec<_> = platform.operate(|_, _| {
        let worker = |first| {
            let (client, sender) = (client.clone(), sender.clone());
            kit.spawn(async move {
                let all = (first..COUNT).step_by(WORKERS).map(|n| send(&client, n));
                let all = all.collect();
                sender.send(()).unwrap();
                end(all).await
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        for _ in 0..WORKERS {
            submitted.recv_timeout(PATIENCE).expect("it sends all");
        }
        workers
    });
    let counted = client.counted();
    assert_eq!(counted.endpoints, COUNT);

    // While they are served, some leave and others come.
    let gateway = client.clone();
    let churn = kit.spawn(async move {
        let mut come = Vec::new();
        for (turn, n) in (3..COUNT).step_by(LEAVES).enumerate() {
            let removal = match turn % 2 {
                0 => Removal::Flush(PATIENCE),
                _ => Removal::Discard,
            };
            assert!(gateway.remove(&name(n), removal), "{n} was there");
            come.push(send(&gateway, COUNT + n));
        }
        end(come).await
    });
    let reboot = CommandType::new("reboot").unwrap();
    for n in (0..COUNT).step_by(OBSERVES) {
        platform.command(&name(n), &reboot, None).unwrap();
    }
    // The link is cut in the middle.
    let taken = |kind: &EventKind| matches!(kind, EventKind::Telemetry { .. });
    let events = platform.events(PATIENCE);
    let mut taken = events.filter(|event| taken(&event.kind));
    let last = taken.nth(COUNT / 5);
    platform.kick(&last.unwrap().endpoint.unwrap()).unwrap();
    wait_for_the_end_of_a_link(&platform);

    let ended = workers.into_iter().chain([churn]);
    let ended = ended.flat_map(|worker| worker.recv_timeout(PATIENCE).expect("it ends"));
    let (mut confirmed, mut unknown, mut closed) = (0, 0, 0);
    for (n, device, outcome) in ended {
        let (leaves, is_flushed) = (n < COUNT && n % LEAVES == 3, n / LEAVES % 2 == 0);
        match outcome {
            Ok(()) => confirmed += 1,
            Err(Failure::OutcomeUnknown) if n % ONCE == 7 => unknown += 1,
            Err(Failure::Closed) if leaves && !is_flushed => closed += 1,
            outcome => panic!("{n}: {outcome:?}"),
        }
        let state = platform.state(&name(n));
        let samples = state.as_ref().map_or(0, |state| state.samples);
        if outcome.is_ok() {
            assert!(samples >= 1, "{n}");
            assert_eq!(state.unwrap().last_sample.unwrap()["n"], n);
        }
        match device.counted() {
            None => assert!(leaves, "{n} is gone"),
            Some(counted) => {
                assert!(!leaves, "{n} is there");
                let ended = (counted.confirmed, counted.outcome_unknown);
                let expected = (outcome.is_ok().into(), outcome.is_err().into());
                assert_eq!((counted.submitted, ended), (1, expected), "{n}");
                assert!(counted.resent <= 1 && samples <= 2, "{n}");
            }
        }
    }
    let all = (COUNT + COUNT / LEAVES) as u64;
    assert_eq!(confirmed + unknown + closed, all);
    let counted = client.counted();
    eprintln!(
        "{confirmed} {unknown} {closed} {:?} out {} in {}",
        counted.traffic, counted.messages_out, counted.messages_in
    );
    let requests = &counted.requests;
    assert_eq!(requests.submitted, all);
    assert_eq!(
        (
            requests.confirmed,
            requests.outcome_unknown,
            requests.closed
        ),
        (confirmed, unknown, closed)
    );
    assert_eq!((counted.endpoints, counted.queued), (COUNT, 0));
    assert_eq!((counted.links_up, counted.links_lost), (2, 1));

    let account = kit.end_of(client.shutdown(PATIENCE));
    assert_eq!(account.unfinished, []);
    wait_for_the_end_of_a_link(&platform);
}

fn wait_for_the_end_of_a_link(platform: &LocalPlatform) {
    let mut events = platform.events(PATIENCE);
    assert!(events.any(|event| matches!(event.kind, EventKind::LinkClosed {})));
}
