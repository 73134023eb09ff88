//! kaa-blocking with a store on a real disk, written by its own thread, over TCP. The behaviour of
//! the store is shown by the simulated suites; here is that its thread runs, sleeps, wakes and ends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_blocking::request::{RequestExt as _, RequestId, Resend};
use kaa_blocking::telemetry::Sample;
use kaa_blocking::{Client, ConnectError, Endpoint, Options};
use kaa_proto::names::EndpointName;
use kaa_proto::platform::EventKind;
use kaa_proto::store::StoreError;
use kaa_tests::ports::free_port;
use kaa_tests::scratch::Scratch;

/// How long anything may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn options(port: u16, folder: &Scratch) -> Options {
    let quick = Duration::from_millis(100);
    Options::new(&format!("mqtt://127.0.0.1:{port}"))
        .unwrap()
        .connection(|options| options.backoff(quick, quick))
        .store_in(folder.path().join("store"))
}

fn connect(port: u16, folder: &Scratch) -> Result<Client, ConnectError> {
    Client::connect(options(port, folder))
}

fn start(port: u16, folder: &Scratch) -> Client {
    connect(port, folder).unwrap()
}

/// Takes a sample that survives a crash, and waits until the disk has it.
fn keep(device: &Endpoint, n: u32) -> RequestId {
    let sample = Sample::new(n).resend(Resend::AfterLinkLoss).durable();
    let mut ticket = device.submit(&sample).unwrap();
    assert_eq!(ticket.wait_stored(PATIENCE), Some(Ok(())));
    ticket.id()
}

#[test]
fn what_one_run_stored_the_next_one_sends() {
    let (folder, port) = (Scratch::new().unwrap(), free_port().unwrap());
    let client = start(port, &folder);
    let device = client.endpoint(&name()).unwrap();
    // One after the other: the writer sleeps in between, and is woken.
    let ids = [1, 2, 3].map(|n| keep(&device, n));
    let in_use = connect(port, &folder).unwrap_err();
    assert!(matches!(in_use, ConnectError::Store(StoreError::InUse)));
    let account = client.shutdown(Duration::ZERO);
    assert_eq!(account.unfinished.len(), 3);
    drop((device, client));

    let mut local = LocalOptions::default();
    local.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let platform = LocalPlatform::start(local).unwrap();
    let client = start(port, &folder);
    let device = client.endpoint(&name()).unwrap();
    let found = device.take_recovered().unwrap();
    let resumed: Vec<_> = found.resumed.iter().map(|request| request.id).collect();
    assert_eq!(resumed, ids);
    let samples = platform
        .events(PATIENCE)
        .filter_map(|event| match event.kind {
            EventKind::Telemetry { data, .. } => data.as_u64(),
            _ => None,
        });
    assert_eq!(samples.take(3).collect::<Vec<_>>(), [1, 2, 3]);
    client.shutdown(PATIENCE);
}

#[test]
fn a_client_that_closes_stores_and_sends_at_once_what_waits_for_others() {
    let (folder, port) = (Scratch::new().unwrap(), free_port().unwrap());
    let mut local = LocalOptions::default();
    local.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let _platform = LocalPlatform::start(local).unwrap();
    let options = options(port, &folder).group_commit(Duration::from_secs(60), 64);
    let client = Client::connect(options).unwrap();
    let device = client.endpoint(&name()).unwrap();
    client.ready(PATIENCE).unwrap();
    let sample = Sample::new(1).resend(Resend::AfterLinkLoss).durable();
    device.send(&sample).unwrap();
    // The thread that stores it sleeps by now, most of the time.
    std::thread::sleep(Duration::from_millis(50));
    let account = client.shutdown(PATIENCE);
    assert_eq!(
        (account.outcomes.confirmed, account.unfinished.len()),
        (1, 0)
    );
}

#[test]
fn a_folder_is_free_again_when_the_client_has_ended() {
    let (folder, port) = (Scratch::new().unwrap(), free_port().unwrap());
    for n in 1..=3 {
        let client = start(port, &folder);
        let id = keep(&client.endpoint(&name()).unwrap(), n);
        assert_eq!(id.number(), u64::from(n), "numbers go on");
        client.shutdown(Duration::ZERO);
    }
}
