//! What comes by itself is read as a stream, which wakes whoever waits, and leaves nothing behind.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use allocation_counter::measure;
use futures_core::Stream;
use kaa_proto::client::{Client, Configurations, Endpoint, Options};
use kaa_proto::names::{CommandType, ConfigName, EndpointName};
use kaa_proto::platform::Platform;
use kaa_proto::{config, software};
use kaa_tests::rig::Rig;
use serde_json::json;

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn online() -> (Client, Endpoint, Rig) {
    Rig::with_endpoint(Options::new("mqtt://here").unwrap(), &name())
}

/// An operator does something at the platform.
fn operate<T>(rig: &mut Rig, operate: impl FnOnce(&mut Platform) -> T) -> T {
    let now = rig.now();
    let done = rig.server.operate(now, operate);
    rig.run();
    done
}

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn poll<S: Stream + Unpin>(stream: &mut S, waker: &Waker) -> Poll<Option<S::Item>> {
    Pin::new(stream).poll_next(&mut Context::from_waker(waker))
}

/// The item that a stream gives when it has woken who waited for it, during `meanwhile`.
fn next<S: Stream + Unpin>(
    rig: &mut Rig,
    stream: &mut S,
    meanwhile: impl FnOnce(&mut Rig),
) -> S::Item {
    rig.run();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    while matches!(poll(stream, &waker), Poll::Ready(Some(_))) {}
    meanwhile(rig);
    assert!(bell.0.load(Ordering::SeqCst), "nobody was woken");
    let Poll::Ready(Some(item)) = poll(stream, &waker) else {
        panic!("nothing came");
    };
    assert!(poll(stream, &waker).is_pending());
    item
}

#[test]
fn a_command_is_read_from_its_stream() {
    let (_client, device, mut rig) = online();
    let reboot = CommandType::new("reboot").unwrap();
    let mut stream = device.commands([reboot.clone()]).unwrap();
    let mut sent = None;
    let command = next(&mut rig, &mut stream, |rig| {
        let now = rig.now();
        sent = operate(rig, |p| p.command(now, &name(), &reboot, None)).ok();
    });
    assert_eq!(command.id().as_i64(), sent);
}

#[test]
fn each_configuration_is_read_from_the_stream_of_its_name() {
    let (_client, device, mut rig) = online();
    let network = ConfigName::new("network").unwrap();
    let mut unnamed = device.configurations().unwrap();
    let mut named = device.named_configurations(network.clone()).unwrap();
    let mut assign = |stream: &mut Configurations, config_name: Option<&ConfigName>, body: &str| {
        let mut id = None;
        let answer = next(&mut rig, stream, |rig| {
            let now = rig.now();
            let assign = |p: &mut Platform| {
                p.set_configuration(now, &name(), config_name, json!({"is": body}))
            };
            id = operate(rig, assign).ok();
        });
        let config::Answer::Assigned(assigned) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(Some(assigned.config_id()), id.as_deref());
        assert_eq!(assigned.json(), format!(r#"{{"is":"{body}"}}"#));
    };
    assign(&mut unnamed, None, "unnamed");
    assign(&mut named, Some(&network), "named");
}

#[test]
fn an_update_is_read_from_its_stream() {
    let (_client, device, mut rig) = online();
    let mut stream = device.software_updates("1.0").unwrap();
    let answer = next(&mut rig, &mut stream, |rig| {
        let now = rig.now();
        let offer = |p: &mut Platform| p.set_software(now, &name(), "1.1", json!({"link": "x"}));
        operate(rig, offer).unwrap();
    });
    let software::Answer::Assigned(update) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(update.version(), "1.1");
    assert_eq!(update.json(), r#"{"link":"x"}"#);
}

/// A program that opens one for each thing it waits for does so for years.
#[test]
fn a_listener_that_is_dropped_leaves_nothing_behind() {
    let (client, device, _rig) = online();
    let open_and_drop = || {
        for _ in 0..1_000 {
            drop((client.link_events(), device.events()));
        }
    };
    open_and_drop();
    assert_eq!(measure(open_and_drop).bytes_current, 0);
}
