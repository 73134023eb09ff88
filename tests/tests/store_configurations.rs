//! What is applied is known to the next run of a program, through the handles.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::client::{Client, Endpoint, Options};
use kaa_proto::config::{Answer, Applied, Configuration, Rejected};
use kaa_proto::endpoint::EndpointOptions;
use kaa_proto::names::{ConfigName, EndpointName};
use kaa_proto::platform::EventKind;
use kaa_proto::software;
use kaa_proto::store::{Log, LogOptions};
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::rig::Rig;
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn wifi() -> ConfigName {
    ConfigName::new("wifi").unwrap()
}

fn on(disk: &SimulatedDisk, keep: bool) -> Options {
    let disk = disk.clone();
    let endpoint = EndpointOptions::default().keep_configurations(keep);
    Options::new("mqtt://here")
        .unwrap()
        .connection(|options| options.endpoint(endpoint))
        .store(move || Ok(Log::new(disk.clone(), LogOptions::default())))
}

fn start(disk: &SimulatedDisk, keep: bool) -> (Client, Endpoint, Rig) {
    Rig::with_endpoint(on(disk, keep), &name())
}

/// The next run, before any link.
fn restart(rig: &Rig, disk: &SimulatedDisk, keep: bool) -> (Client, Endpoint, Rig) {
    let (client, mut rig) = rig.after_crash(on(&disk.after_crash(1), keep), 7);
    let device = client.endpoint(&name()).unwrap();
    rig.is_away = true;
    rig.run();
    (client, device, rig)
}

/// An operator assigns a configuration, and the device reads it.
fn assign(rig: &mut Rig, device: &Endpoint, name_of: Option<&ConfigName>, n: u32) -> Configuration {
    let mut configurations = match name_of {
        Some(name) => device.named_configurations(name.clone()).unwrap(),
        None => device.configurations().unwrap(),
    };
    rig.pass(SECOND);
    while configurations.try_next().is_some() {}
    let now = rig.now();
    let assigned = rig.server.operate(now, |platform| {
        platform.set_configuration(now, &name(), name_of, json!({"n": n}))
    });
    rig.run();
    let Some(Answer::Assigned(configuration)) = configurations.try_next() else {
        panic!("it was assigned");
    };
    assert_eq!(configuration.config_id(), assigned.unwrap());
    configuration
}

fn apply(rig: &mut Rig, device: &Endpoint, configuration: &Configuration) {
    let mut ticket = device.submit(&Applied::of(configuration)).unwrap();
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
}

fn value(device: &Endpoint, name: Option<&ConfigName>) -> Option<Value> {
    let kept = device.applied_configuration(name)?;
    Some(kept.value().unwrap())
}

/// What the platform was asked and sent of configurations and software, since the last time.
fn asked(rig: &mut Rig) -> Vec<(&'static str, Option<String>)> {
    let events = std::iter::from_fn(|| rig.server.poll_event());
    let asked = events.filter_map(|event| match event.kind {
        EventKind::ConfigRequested { config_id, .. } => Some(("asked", config_id)),
        EventKind::ConfigDelivered { config_id, .. } => Some(("sent", Some(config_id))),
        EventKind::SoftwareRequested { version, .. } => Some(("asked", version)),
        EventKind::SoftwareDelivered { version } => Some(("sent", Some(version))),
        EventKind::SoftwareReported { version } => Some(("reported", Some(version))),
        _ => None,
    });
    asked.collect()
}

#[test]
fn what_is_applied_is_asked_by_its_id_after_a_restart_and_costs_no_transfer() {
    let disk = SimulatedDisk::new(1);
    let (_client, device, mut rig) = start(&disk, false);
    let first = assign(&mut rig, &device, None, 1);
    apply(&mut rig, &device, &first);
    let (_client, device, mut rig) = restart(&rig, &disk, false);
    let mut configurations = device.configurations().unwrap();
    let _ = asked(&mut rig);
    rig.is_away = false;
    rig.pass(10 * SECOND);
    let id = Some(first.config_id().to_owned());
    assert_eq!(asked(&mut rig), [("asked", id)]);
    assert!(!matches!(
        configurations.try_next(),
        Some(Answer::Assigned(_))
    ));
    assert_eq!(value(&device, None), None, "nobody asked for it to be kept");
    // One that was only read is sent again.
    let _ = assign(&mut rig, &device, None, 2);
    let (_client, device, mut rig) = restart(&rig, &disk, false);
    let mut configurations = device.configurations().unwrap();
    rig.is_away = false;
    rig.pass(10 * SECOND);
    assert!(matches!(
        configurations.try_next(),
        Some(Answer::Assigned(_))
    ));
}

#[test]
fn the_last_good_configuration_is_at_hand_before_there_is_a_link() {
    let disk = SimulatedDisk::new(1);
    let (_client, device, mut rig) = start(&disk, true);
    let unnamed = assign(&mut rig, &device, None, 1);
    assert_eq!(value(&device, None), None, "it is not applied");
    apply(&mut rig, &device, &unnamed);
    let named = assign(&mut rig, &device, Some(&wifi()), 2);
    apply(&mut rig, &device, &named);
    for n in 3..6 {
        let (_client, device, _) = restart(&rig, &disk, true);
        assert_eq!(value(&device, Some(&wifi())), Some(json!({"n": 2})));
        let expected = if n == 3 { 1 } else { n - 1 };
        assert_eq!(value(&device, None), Some(json!({"n": expected})));
        // The next that is applied takes its place.
        let (client, mut live) = rig.after_crash(on(&disk, true), u64::from(n));
        let again = client.endpoint(&name()).unwrap();
        live.run();
        let next = assign(&mut live, &again, None, n);
        apply(&mut live, &again, &next);
        assert_eq!(value(&again, None), Some(json!({"n": n})));
        rig = live;
    }
}

#[test]
fn a_rejected_configuration_is_not_kept_and_the_one_before_stays() {
    let disk = SimulatedDisk::new(1);
    let (_client, device, mut rig) = start(&disk, true);
    let rejected = assign(&mut rig, &device, None, 1);
    let reject = |rig: &mut Rig, configuration: &Configuration| {
        let mut ticket = device
            .submit(&Rejected::of(configuration, 409, "no"))
            .unwrap();
        rig.run();
        assert_eq!(ticket.try_outcome(), Some(Ok(())));
    };
    reject(&mut rig, &rejected);
    let (_other, next, _rig) = restart(&rig, &disk, true);
    assert_eq!(value(&next, None), None);
    let good = assign(&mut rig, &device, None, 2);
    apply(&mut rig, &device, &good);
    let rejected = assign(&mut rig, &device, None, 3);
    reject(&mut rig, &rejected);
    assert_eq!(value(&device, None), Some(json!({"n": 2})));
    let (_other, next, _rig) = restart(&rig, &disk, true);
    assert_eq!(value(&next, None), Some(json!({"n": 2})));
}

#[test]
fn the_software_that_runs_is_known_after_a_restart() {
    let disk = SimulatedDisk::new(1);
    let (_client, device, mut rig) = start(&disk, false);
    let now = rig.now();
    let assigned = rig.server.operate(now, |platform| {
        platform.set_software(now, &name(), "2.0.0", json!({"link": "http://here"}))
    });
    assigned.unwrap();
    let mut ticket = device
        .submit(&software::ReportCurrent::new("2.0.0"))
        .unwrap();
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    let (_client, device, mut rig) = restart(&rig, &disk, false);
    let mut updates = device.software_updates("2.0.0").unwrap();
    let _ = asked(&mut rig);
    rig.is_away = false;
    rig.pass(10 * SECOND);
    let seen = asked(&mut rig);
    assert!(seen.iter().all(|(what, _)| *what != "sent"), "{seen:?}");
    let is_current = |(_, version): &(_, Option<String>)| version.as_deref() == Some("2.0.0");
    assert!(!seen.is_empty() && seen.iter().all(is_current), "{seen:?}");
    assert!(!matches!(
        updates.try_next(),
        Some(software::Answer::Assigned(_))
    ));
}
