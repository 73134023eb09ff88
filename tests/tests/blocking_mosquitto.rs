//! kaa-blocking against a Mosquitto of the distribution, with the platform attached to it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod device;

use std::time::Duration;

use device::{PATIENCE, client, name, options, wait_for};
use kaa_blocking::connection::{Event, LinkError};
use kaa_blocking::mqtt::{ConnectRefusal, Login};
use kaa_blocking::names::CommandType;
use kaa_blocking::platform::{LocalOptions, LocalPlatform, News};
use kaa_blocking::request::{Confirm, Failure, RequestExt as _, Resend};
use kaa_blocking::telemetry::Sample;
use kaa_blocking::{Client, NotReady};
use kaa_proto::platform::{EventKind, Fault};
use kaa_tests::mosquitto::Mosquitto;
use serde_json::{Value, json};

fn attach(broker: &Mosquitto) -> LocalPlatform {
    let platform = LocalPlatform::attach(&broker.url(), None, LocalOptions::default()).unwrap();
    platform.ready(PATIENCE).unwrap();
    platform
}

fn sample(n: usize) -> Sample<Value> {
    Sample::new(json!({ "n": n }))
}

/// Waits until the platform is attached anew, after its broker was away.
fn wait_for_attachment(platform: &LocalPlatform) {
    while !matches!(
        platform.news(PATIENCE).expect("it is attached again"),
        News::Attached
    ) {}
}

#[test]
fn every_operation_is_confirmed_every_push_comes_and_no_rule_is_broken() {
    let broker = Mosquitto::start().unwrap();
    let platform = attach(&broker);
    let client = client(&broker.url());
    let device = client.endpoint(&name()).unwrap();
    device::does_everything(&platform, &device);
    assert_eq!(client.shutdown(PATIENCE).unfinished, []);
    platform.stop();
    let is_broken =
        |kind: &EventKind| matches!(kind, EventKind::Breach { .. } | EventKind::Refused { .. });
    let broken: Vec<_> = platform
        .events(Duration::ZERO)
        .filter(|event| is_broken(&event.kind))
        .collect();
    assert_eq!(broken, []);
}

/// Each request ends once, observations come back, and what was queued is confirmed.
#[test]
fn a_restart_of_the_broker_in_the_middle_of_requests_loses_none_of_them() {
    let mut broker = Mosquitto::start().unwrap();
    let platform = attach(&broker);
    // The platform is to be back first: a broker alone swallows what devices publish.
    let late = Duration::from_secs(24 * 3_600);
    let options = options(&broker.url()).connection(|options| options.backoff(late, late));
    let client = Client::connect(options).unwrap();
    let mut links = client.link_events();
    let device = client.endpoint(&name()).unwrap();
    let reboot = CommandType::new("reboot").unwrap();
    let mut commands = device.commands([reboot.clone()]).unwrap();
    device::wait_for_observers(&platform);

    // The platform has seen them and says nothing: that is the middle.
    platform.fault(Fault::parse(&["lose", "dcx", "always"]).unwrap());
    let mut once = device.submit(&sample(0).resend(Resend::Never)).unwrap();
    let mut again: Vec<_> = (1..200)
        .map(|n| {
            let sample = sample(n).resend(Resend::AfterLinkLoss);
            device.submit(&sample).unwrap()
        })
        .collect();
    wait_for(
        &platform,
        |kind| matches!(kind, EventKind::Telemetry { data, .. } if data["n"] == 1),
    );
    broker.stop().unwrap();
    while !matches!(links.next_within(PATIENCE), Some(Event::LinkLost { .. })) {}
    let queued = sample(200).resend(Resend::AfterLinkLoss);
    let queued = device.submit(&queued).unwrap();
    platform.fault(Fault::parse(&["clear"]).unwrap());
    broker.restart().unwrap();
    wait_for_attachment(&platform);

    client.dial_now();

    assert_eq!(once.wait(PATIENCE), Some(Err(Failure::OutcomeUnknown)));
    again.push(queued);
    for ticket in &mut again {
        assert_eq!(ticket.wait(PATIENCE), Some(Ok(())));
        assert_eq!(ticket.try_outcome(), None);
    }
    device.request(&sample(201)).unwrap();
    let id = platform.command(&name(), &reboot, None).unwrap();
    let command = commands.next_within(PATIENCE).unwrap();
    assert_eq!(command.id().as_i64(), Some(id));
    command.done().unwrap().wait(PATIENCE).unwrap().unwrap();
    assert_eq!(client.shutdown(PATIENCE).unfinished, []);
}

#[test]
fn what_the_broker_acknowledges_reaches_the_platform() {
    let broker = Mosquitto::start().unwrap();
    let platform = attach(&broker);
    let client = client(&broker.url());
    let device = client.endpoint(&name()).unwrap();
    for n in 0..500 {
        device
            .send(&sample(n).confirm(Confirm::Acknowledged))
            .unwrap();
    }
    drop((client, device));
    for n in 0..500 {
        let event = wait_for(&platform, |kind| {
            matches!(kind, EventKind::Telemetry { .. })
        });
        assert!(matches!(event.kind, EventKind::Telemetry { data, .. } if data["n"] == n));
    }
}

#[test]
fn the_broker_lets_in_who_knows_the_password_and_nobody_else() {
    let broker = Mosquitto::with_user("gateway@0f1f3e2c", "right").unwrap();
    let login = Login::new("gateway@0f1f3e2c").with_password(b"right");
    let local = LocalOptions::default();
    let platform = LocalPlatform::attach(&broker.url(), Some(login.clone()), local).unwrap();
    platform.ready(PATIENCE).unwrap();

    let refused = NotReady::Refused(LinkError::Refused(ConnectRefusal::NotAuthorized));
    let nobody = client(&broker.url());
    assert_eq!(nobody.ready(PATIENCE), Err(refused.clone()));
    let wrong = options(&broker.url()).login("gateway@0f1f3e2c", "wrong");
    let client = Client::connect(wrong).unwrap();
    let device = client.endpoint(&name()).unwrap();
    let mut waiting = device.submit(&sample(1)).unwrap();
    assert_eq!(client.ready(PATIENCE), Err(refused));
    assert_eq!(waiting.try_outcome(), None);
    client.set_login(Some(login)).unwrap();
    client.ready(PATIENCE).unwrap();
    assert_eq!(waiting.wait(PATIENCE), Some(Ok(())));
}

/// MQTT 3.1.1, section 3.1.4, and MQTT-3.1.4-5.
#[test]
fn what_is_behind_connect_in_its_flight_is_served_and_not_looked_at_after_a_refusal() {
    let broker = Mosquitto::with_user("gateway@0f1f3e2c", "right").unwrap();
    let login = Login::new("gateway@0f1f3e2c").with_password(b"right");
    let local = LocalOptions::default();
    let platform = LocalPlatform::attach(&broker.url(), Some(login.clone()), local).unwrap();
    platform.ready(PATIENCE).unwrap();

    let eager = options(&broker.url()).connection(|options| options.eager_start(true));
    for n in 0..20 {
        let client = Client::connect(eager.clone().login("gateway@0f1f3e2c", "right")).unwrap();
        let device = client.endpoint(&name()).unwrap();
        device.request(&sample(n)).unwrap();
        let statistics = client.statistics();
        assert_eq!((statistics.early_links, statistics.links_up), (1, 1));
        assert_eq!(client.shutdown(PATIENCE).unfinished, []);
    }

    let client = Client::connect(eager.login("gateway@0f1f3e2c", "wrong")).unwrap();
    let device = client.endpoint(&name()).unwrap();
    let mut once = device.submit(&sample(20)).unwrap();
    let refused = LinkError::Refused(ConnectRefusal::NotAuthorized);
    assert_eq!(client.ready(PATIENCE), Err(NotReady::Refused(refused)));
    assert_eq!(once.try_outcome(), None);
    client.set_login(Some(login)).unwrap();
    assert_eq!(once.wait(PATIENCE), Some(Ok(())));
    device.request(&sample(21)).unwrap();
    let samples: Vec<_> = platform
        .events(Duration::ZERO)
        .filter_map(|event| match event.kind {
            EventKind::Telemetry { data, .. } => data["n"].as_u64(),
            _ => None,
        })
        .collect();
    assert!(samples.into_iter().eq(0..=21));
}
