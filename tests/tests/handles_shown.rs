//! What the handles show of themselves, and what a command tells whose result is not taken.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::error::Error as _;
use std::fmt::Debug;
use std::time::Duration;

use kaa_proto::client::{Client, Command, Endpoint, NotStored, Options};
use kaa_proto::commands::CommandResult;
use kaa_proto::connection::Removal;
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::{EventKind, Platform};
use kaa_proto::request::SubmitError;
use kaa_proto::telemetry::Sample;
use kaa_tests::rig::Rig;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn online() -> (Client, Endpoint, Rig) {
    Rig::with_endpoint(Options::new("mqtt://here").unwrap(), &name())
}

/// A command with a payload, in the application's hands.
fn command(device: &Endpoint, rig: &mut Rig) -> Command {
    let unlock = CommandType::new("unlock").unwrap();
    let mut commands = device.commands([unlock.clone()]).unwrap();
    let now = rig.now();
    let pin = Some(json!({ "pin": 4711 }));
    rig.server
        .operate(now, |platform: &mut Platform| {
            platform.command(now, &name(), &unlock, pin)
        })
        .unwrap();
    rig.run();
    let command = commands.try_next().unwrap();
    // The reader goes; the command stays with the application.
    drop(commands);
    command
}

#[test]
fn no_handle_shows_a_token_or_a_payload_and_none_shows_nothing() {
    let (client, device, mut rig) = online();
    let command = command(&device, &mut rig);
    let ticket = device.submit(&Sample::new("hunter2")).unwrap();
    let shown: [&dyn Debug; 11] = [
        &client,
        &device,
        &command,
        &ticket,
        &client.ready(SECOND),
        &client.link_events(),
        &device.events(),
        &device.configurations().unwrap(),
        &device.software_updates("1.0").unwrap(),
        &rig.driver,
        &client.shutdown(SECOND),
    ];
    for shown in shown {
        let shown = format!("{shown:?}");
        assert!(shown.len() > 4, "{shown:?}");
        for secret in ["JTjdbENzHh", "4711", "hunter2"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert_eq!(format!("{device:?}"), "Endpoint(demo-v1/JTj…)");
    assert_eq!(command.to_string(), format!("unlock {}", command.id()));
    assert_eq!(device.name(), &name());
}

#[test]
fn a_command_whose_result_is_not_taken_is_given_back_and_can_be_answered_otherwise() {
    let (_client, device, mut rig) = online();
    let command = command(&device, &mut rig);
    let id = command.id().clone();
    let too_large = CommandResult::ok()
        .with_payload(&"x".repeat(300 * 1024))
        .unwrap();
    let refused = command.respond(too_large).unwrap_err();
    let SubmitError::TooLarge { limit, .. } = refused.error else {
        panic!("{refused}");
    };
    let told = refused.to_string();
    assert!(told.starts_with("the result was not taken: message of "));
    assert!(told.ends_with(&format!("is over the limit of {limit} bytes")));
    assert_eq!(
        refused.source().map(ToString::to_string),
        Some(refused.error.to_string())
    );
    assert_eq!(refused.command.id(), &id);
    let mut ticket = refused.command.reject(507, "it is too large").unwrap();
    rig.run();
    assert_eq!(ticket.try_outcome(), Some(Ok(())));
    assert!(rig.saw(
        |kind| matches!(kind, EventKind::CommandResult { status_code, .. } if *status_code == 507)
    ));
}

#[test]
fn an_endpoint_that_is_not_there_is_not_removed() {
    let (client, _device, _rig) = online();
    let other = EndpointName::parse("demo-v1", "other").unwrap();
    assert!(!client.remove_endpoint(&other, Removal::Discard));
    assert!(client.remove_endpoint(&name(), Removal::Discard));
    assert!(!client.remove_endpoint(&name(), Removal::Discard));
}

#[test]
fn a_ticket_tells_how_its_request_is_not_stored() {
    let told = [
        (NotStored::NotDurable, "the request is not durable"),
        (NotStored::InMemory, "the store does not keep the request"),
        (NotStored::Ended, "the request ended before it was stored"),
    ];
    for (error, text) in told {
        assert_eq!(error.to_string(), text);
    }
}
