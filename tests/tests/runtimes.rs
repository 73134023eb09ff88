//! What every binding promises about its runtime, on each of them, against the local platform
//! over TCP. Everything is waited for; no time is asserted.

#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod bindings;

use std::future::{Future, poll_fn};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use std::{io, thread};

use bindings::{
    Api, AsyncStd, Blocking, Device, Kit, PATIENCE, Script, Smol, SmolThread, Step, Stop, Tokio,
};
use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::client::{NotReady, Options};
use kaa_proto::metadata::Keys;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::{EventKind, Fault};
use kaa_proto::request::{
    DecodeError, Failure, InvalidRequest, Reply, Request, RequestExt as _, RequestWriter, Resend,
    SubmitError,
};
use kaa_proto::telemetry::Sample;
use kaa_tests::scratch::Scratch;
use serde_json::{Value, json};

macro_rules! tests {
    ($kit:ty, $($scenario:ident)*) => {$(
        #[test]
        fn $scenario() {
            super::$scenario::<$kit>();
        }
    )*};
}

macro_rules! on_every_runtime {
    ($($scenario:ident)*) => {
        mod tokio_current_thread { tests! { super::Tokio<1>, $($scenario)* } }
        mod tokio_multi_thread { tests! { super::Tokio<2>, $($scenario)* } }
        mod smol { tests! { super::Smol, $($scenario)* } }
        mod smol_on_a_thread { tests! { super::SmolThread, $($scenario)* } }
        mod async_std { tests! { super::AsyncStd, $($scenario)* } }
        mod blocking { tests! { super::Blocking, $($scenario)* } }
    };
}

on_every_runtime! {
    readers_who_do_not_read_hold_nobody_up
    thousands_of_requests_of_one_task_end
    a_panic_in_code_of_the_application_leaves_the_client_usable
    the_last_handle_flushes_and_ends_the_driver
    the_connector_is_called_for_each_dial_and_may_fail_hang_or_panic
    verbs_are_called_from_any_thread_and_task
    connecting_may_be_given_up_at_any_await
}

/// smol's and async-std's own executors last as long as the process, and so does the thread of
/// kaa-blocking while there is a handle.
mod a_runtime_that_ends {
    mod tokio_current_thread {
        tests! { crate::Tokio<1>, everything_that_waits_ends_as_closed }
    }
    mod tokio_multi_thread {
        tests! { crate::Tokio<2>, everything_that_waits_ends_as_closed }
    }
    mod smol_on_a_thread {
        tests! { crate::SmolThread, everything_that_waits_ends_as_closed }
    }
    use crate::everything_that_waits_ends_as_closed;
}

fn name(token: &str) -> EndpointName {
    EndpointName::parse("demo-v1", token).unwrap()
}

fn options(url: &str) -> Options {
    let quick = Duration::from_millis(100);
    Options::new(url).unwrap().connection(|options| {
        options
            .backoff(quick, quick)
            .dial_within(Duration::from_millis(300))
    })
}

fn platform() -> LocalPlatform {
    LocalPlatform::start(LocalOptions::default()).unwrap()
}

fn sample(n: usize) -> Sample<Value> {
    Sample::new(json!({ "n": n }))
}

/// Dials the platform.
fn to(platform: &LocalPlatform) -> Script {
    let addr = platform.addr().unwrap();
    Arc::new(move || Step::Tcp(addr))
}

fn connected<K: Kit>(platform: &LocalPlatform) -> (K, K::Client) {
    let kit = K::new();
    let client = kit.connect(options(platform.url()), to(platform));
    kit.end_of(client.ready(PATIENCE)).unwrap();
    (kit, client)
}

fn wait_for(platform: &LocalPlatform, is_it: impl Fn(&EventKind) -> bool) {
    let found = platform.events(PATIENCE).any(|event| is_it(&event.kind));
    assert!(found, "it did not happen");
}

/// A request's end, as a task of the runtime waits for it.
fn request<K: Kit>(kit: &K, device: &impl Device) -> Result<(), Failure> {
    kit.end_of(device.submit(&sample(0)).unwrap())
}

fn readers_who_do_not_read_hold_nobody_up<K: Kit>() {
    let platform = platform();
    let (kit, client) = connected::<K>(&platform);
    let [slow, quick] = ["slow", "quick"].map(|token| client.endpoint(&name(token)));
    let unread = slow.readers();
    assert_eq!(request(&kit, &slow), Ok(()));
    let reboot = CommandType::new("reboot").unwrap();
    for n in 0..150 {
        platform.command(&name("slow"), &reboot, None).unwrap();
        let config = json!({ "n": n });
        platform
            .set_configuration(&name("slow"), None, config)
            .unwrap();
        if n % 10 == 0 {
            assert_eq!(request(&kit, &slow), Ok(()));
            assert_eq!(request(&kit, &quick), Ok(()));
        }
    }
    drop(unread);
    assert!(kit.end_of(slow.command()), "it stayed with the platform");
}

fn thousands_of_requests_of_one_task_end<K: Kit>() {
    const MANY: usize = 2_000;
    let platform = platform();
    let (kit, client) = connected::<K>(&platform);
    let device = client.endpoint(&name("busy"));
    let one = device.clone();
    let in_order = async move {
        let all: Vec<_> = (0..MANY).map(|n| one.submit(&sample(n)).unwrap()).collect();
        let mut confirmed = 0;
        for ticket in all {
            confirmed += usize::from(ticket.await.is_ok());
        }
        confirmed
    };
    assert_eq!(kit.end_of(in_order), MANY);

    let joined = async move {
        let all = (0..MANY).map(|n| Box::pin(device.submit(&sample(n)).unwrap()));
        let mut waiting: Vec<_> = all.collect();
        let mut confirmed = 0;
        poll_fn(|context| {
            waiting.retain_mut(|ticket| match ticket.as_mut().poll(context) {
                Poll::Ready(outcome) => {
                    confirmed += usize::from(outcome.is_ok());
                    false
                }
                Poll::Pending => true,
            });
            match waiting.is_empty() {
                true => Poll::Ready(confirmed),
                false => Poll::Pending,
            }
        })
        .await
    };
    assert_eq!(kit.end_of(joined), MANY);
    assert_eq!(
        platform.state(&name("busy")).unwrap().samples,
        2 * MANY as u64
    );
}

/// A request of the application whose answer it cannot bear.
struct Touchy;

impl Request for Touchy {
    type Response = ();

    fn encode(&self, out: &mut RequestWriter) -> Result<(), InvalidRequest> {
        Keys.encode(out)
    }

    fn decode(_: &Reply) -> Result<(), DecodeError> {
        panic!("the request's own");
    }
}

/// A waker that panics, as a broken executor's.
struct Broken(Mutex<Sender<()>>);

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        let _ = self.0.lock().unwrap().send(());
        panic!("the waker's own");
    }
}

fn a_panic_in_code_of_the_application_leaves_the_client_usable<K: Kit>() {
    let platform = platform();
    let (kit, client) = connected::<K>(&platform);
    let device = client.endpoint(&name("calm"));

    let (held, ticket) = (device.clone(), device.submit(&sample(1)).unwrap());
    let panics = async move {
        let _all = (held.readers(), held, ticket);
        panic!("the task's own");
    };
    let ended: Result<(), _> = kit.spawn(panics).recv_timeout(PATIENCE);
    assert!(ended.is_err());

    let touchy = device.submit(&Touchy).unwrap();
    assert!(kit.spawn(touchy).recv_timeout(PATIENCE).is_err());

    platform.fault(Fault::parse(&["late", "200ms", "dcx", "times", "1"]).unwrap());
    let mut ticket = pin!(device.submit(&sample(2)).unwrap());
    let (sender, is_woken) = mpsc::channel();
    let waker = Waker::from(Arc::new(Broken(Mutex::new(sender))));
    // In kaa-blocking it is ready when this returns, and nobody is woken.
    if ticket
        .as_mut()
        .poll(&mut Context::from_waker(&waker))
        .is_pending()
    {
        is_woken.recv_timeout(PATIENCE).expect("it is woken");
    }
    assert_eq!(request(&kit, &device), Ok(()));
}

/// Tells when it is dropped.
struct Guard(Mutex<Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap().send(());
    }
}

/// A script that tells when nobody can call it any more: the driver has ended.
fn watched(script: impl Fn() -> Step + Send + Sync + 'static) -> (Script, Receiver<()>) {
    let (sender, is_gone) = mpsc::channel();
    let guard = Guard(Mutex::new(sender));
    let script = move || {
        let _ = &guard;
        script()
    };
    (Arc::new(script), is_gone)
}

fn the_last_handle_flushes_and_ends_the_driver<K: Kit>() {
    let platform = platform();
    let kit = K::new();
    let dial = to(&platform);
    let (script, is_gone) = watched(move || dial());
    let client = kit.connect(options(platform.url()), script);
    let device = client.endpoint(&name("brief"));
    for n in 0..100 {
        drop(device.submit(&sample(n)).unwrap());
    }
    drop((client, device));
    is_gone.recv_timeout(PATIENCE).expect("the driver ends");
    wait_for(&platform, |kind| matches!(kind, EventKind::LinkClosed {}));
    assert_eq!(platform.state(&name("brief")).unwrap().samples, 100);
}

/// Carries bytes between a Unix socket and the platform, one link after another.
fn proxy(path: &Path, to: SocketAddr) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        for inner in listener.incoming() {
            let (inner, outer) = (inner.unwrap(), TcpStream::connect(to).unwrap());
            let back = (outer.try_clone().unwrap(), inner.try_clone().unwrap());
            let ends = (inner.try_clone().unwrap(), outer.try_clone().unwrap());
            thread::spawn(move || carry(inner, outer));
            carry(back.0, back.1);
            // When the platform has closed, so has the proxy.
            let _ = (
                ends.0.shutdown(Shutdown::Both),
                ends.1.shutdown(Shutdown::Both),
            );
        }
    });
}

fn carry(mut from: impl io::Read, mut to: impl io::Write) {
    let mut block = [0; 4_096];
    while let Ok(n) = from.read(&mut block) {
        if n == 0 || to.write_all(&block[..n]).is_err() {
            return;
        }
    }
}

fn the_connector_is_called_for_each_dial_and_may_fail_hang_or_panic<K: Kit>() {
    let (first, second) = (platform(), platform());
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("gateway");
    proxy(&path, first.addr().unwrap());
    let elsewhere = second.addr().unwrap();

    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let script = move || match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Step::Fail,
        1 => Step::Hang,
        2 => Step::Panic,
        3 => Step::Unix(path.clone()),
        _ => Step::Tcp(elsewhere),
    };
    let kit = K::new();
    let client = kit.connect(options(first.url()), Arc::new(script));
    let device = client.endpoint(&name("mobile"));
    assert_eq!(request(&kit, &device), Ok(()));
    assert_eq!(calls.load(Ordering::Relaxed), 4);
    assert_eq!(first.state(&name("mobile")).unwrap().samples, 1);

    first.stop();
    // It may still be written to the old link, before the client knows.
    let again = sample(1).resend(Resend::AfterLinkLoss);
    assert_eq!(kit.end_of(device.submit(&again).unwrap()), Ok(()));
    assert_eq!(second.state(&name("mobile")).unwrap().samples, 1);
}

fn verbs_are_called_from_any_thread_and_task<K: Kit>() {
    let platform = platform();
    let (kit, client) = connected::<K>(&platform);
    let device = client.endpoint(&name("shared"));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (client, device) = (client.clone(), device.clone());
            thread::spawn(move || {
                for n in 0..50 {
                    drop(device.submit(&sample(n)).unwrap());
                    let ready = pin!(client.ready(PATIENCE));
                    let _ = ready.poll(&mut Context::from_waker(Waker::noop()));
                }
                // No runtime is entered here.
                ::smol::block_on(device.submit(&sample(50)).unwrap())
            })
        })
        .collect();
    let tasks: Vec<_> = (0..4)
        .map(|_| kit.spawn(device.submit(&sample(0)).unwrap()))
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
    for task in tasks {
        assert_eq!(task.recv_timeout(PATIENCE), Ok(Ok(())));
    }
    let account = kit.end_of(client.shutdown(PATIENCE));
    assert_eq!(account.unfinished, []);
    assert_eq!(platform.state(&name("shared")).unwrap().samples, 208);
}

/// With TLS there is something to wait for: certificates are read.
fn connecting_may_be_given_up_at_any_await<K: Kit>() {
    for polls in 0..3 {
        let kit = K::new();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let (script, is_gone) = watched(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Step::Fail
        });
        let mut connecting = kit.connecting(options("mqtts://localhost"), script);
        let work = async move {
            let mut polled = 0;
            let mut has_ended = false;
            poll_fn(move |context| {
                while polled < polls && !has_ended {
                    polled += 1;
                    if let Poll::Ready(client) = connecting.as_mut().poll(context) {
                        has_ended = true;
                        drop(client.unwrap());
                    }
                }
                Poll::Ready(has_ended)
            })
            .await
        };
        let has_ended = kit.end_of(work);
        is_gone.recv_timeout(PATIENCE).expect("nothing is left");
        assert!(has_ended || calls.load(Ordering::Relaxed) == 0);
    }
}

fn everything_that_waits_ends_as_closed<K: Stop>() {
    let platform = platform();
    platform.fault(Fault::parse(&["lose", "dcx", "always"]).unwrap());
    let (kit, client) = connected::<K>(&platform);
    let device = client.endpoint(&name("orphan"));
    let elsewhere = {
        let script = Arc::new(|| Step::Hang);
        kit.connect(options("mqtt://nowhere"), script)
    };

    let (sender, ends) = mpsc::channel();
    let wait = |what: &'static str, waiting: Box<dyn FnOnce() -> bool + Send>| {
        let sender = sender.clone();
        thread::spawn(move || sender.send((what, waiting())));
    };
    let ticket = device.submit(&sample(1)).unwrap();
    wait(
        "a request",
        Box::new(|| ::smol::block_on(ticket) == Err(Failure::Closed)),
    );
    let command = device.command();
    wait("commands", Box::new(|| !::smol::block_on(command)));
    let ready = elsewhere.ready(Duration::from_secs(3_600));
    let is_closed = |ready| matches!(ready, Err(NotReady::Closed));
    wait(
        "ready",
        Box::new(move || is_closed(::smol::block_on(ready))),
    );
    let shutdown = elsewhere.shutdown(Duration::from_secs(3_600));
    let nothing = |account: kaa_proto::connection::Account| account.unfinished.is_empty();
    wait(
        "shutdown",
        Box::new(move || nothing(::smol::block_on(shutdown))),
    );
    wait_for(&platform, |kind| {
        matches!(kind, EventKind::Telemetry { .. })
    });

    kit.stop();
    for _ in 0..4 {
        let (what, is_closed) = ends.recv_timeout(PATIENCE).expect("each wait ends");
        assert!(is_closed, "{what} ended otherwise");
    }
    let late = device.submit(&sample(2));
    assert_eq!(late.err(), Some(SubmitError::Closed));
}

#[test]
fn clients_and_endpoints_are_shared_and_cloned_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<kaa_proto::client::Client>();
    shared::<kaa_proto::client::Endpoint>();
    shared::<kaa_tokio::Client>();
    shared::<kaa_smol::Client>();
    shared::<kaa_smol::async_std::Client>();
    shared::<kaa_blocking::Client>();
    shared::<kaa_blocking::Endpoint>();
}
