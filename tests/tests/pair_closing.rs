//! What a connection that closes still owes, and what it does not wait for.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::commands::CommandResult;
use kaa_proto::connection::{Demand, Options};
use kaa_proto::endpoint::{CommandKey, Observation};
use kaa_proto::names::{CommandType, EndpointName};
use kaa_proto::platform::PlatformOptions;
use kaa_proto::request::{Failure, RequestExt, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::Device;
use kaa_tests::pair::{Dials, Pair};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Types of packets.
const SUBSCRIBE: u8 = 8;
const DISCONNECT: u8 = 14;

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

fn send_command(pair: &mut Pair) -> i64 {
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    pair.operate(|platform, now| platform.command(now, &name, &reboot(), None).unwrap())
}

/// Without its result a command would be run again by the next run of the program.
#[test]
fn while_closing_a_command_in_hand_is_answered_and_a_new_one_stays_with_the_platform() {
    let mut pair = Pair::online();
    pair.observe(&Observation::Commands(reboot())).unwrap();
    let first = send_command(&mut pair);
    pair.pass(SECOND);
    let command = pair.poll_command().unwrap();
    pair.fault("lose dcx");
    pair.submit(&Sample::new(1)).unwrap();
    pair.connection.close(pair.now(), 60 * SECOND);
    send_command(&mut pair);
    pair.pass(SECOND);
    assert!(pair.poll_command().is_none());
    pair.respond(&CommandKey::from(&command), CommandResult::ok())
        .unwrap();
    pair.pass(SECOND);
    let results: Vec<_> = pair
        .snapshot()
        .unwrap()
        .results
        .iter()
        .map(|result| result.id)
        .collect();
    assert_eq!(results, [first]);
    pair.pass(60 * SECOND);
    let account = pair.connection.account().unwrap();
    assert_eq!(account.outcomes.confirmed, 1);
    assert_eq!(account.outcomes.unanswered, 1);
}

#[test]
fn an_observation_of_our_own_is_not_waited_for() {
    let options = Options::new("c");
    let mut pair = Pair::new(PlatformOptions::default(), options, 1).unwrap();
    pair.dials = Dials::Fail;
    pair.observe(&Observation::Commands(reboot())).unwrap();
    pair.pass(SECOND);
    pair.connection.close(pair.now(), HOUR);
    pair.pass(SECOND);
    assert!(pair.connection.account().is_some());
}

/// The session ends with its subscriptions, and what was observed ends with them.
#[test]
fn at_the_end_nothing_but_disconnect_is_sent() {
    let mut pair = Pair::online();
    pair.observe(&Observation::Commands(reboot())).unwrap();
    pair.observe(&Observation::Configuration(None)).unwrap();
    pair.observe_software("1.0").unwrap();
    pair.submit(&Sample::new(1)).unwrap();
    pair.pass(60 * SECOND);
    let before = pair.take_packets();
    assert!(before.iter().any(|(kind, _)| *kind == SUBSCRIBE));
    pair.connection.close(pair.now(), HOUR);
    pair.pass(60 * SECOND);
    let after = pair.take_packets();
    assert_eq!(after, [(DISCONNECT, 2)]);
    assert_eq!(pair.connection.demand(), Demand::Finished);
}

/// Found by the fuzz target `level_b`: the account waited for the next timer.
#[test]
fn when_the_link_is_given_up_and_with_it_the_last_request_the_account_is_there_at_once() {
    let options = Options::new("c")
        .keep_alive(HOUR)
        .window(1)
        .acknowledge_within(20 * SECOND);
    let mut pair = Pair::online_with(PlatformOptions::default(), options);
    let sample = Sample::new(1).resend(Resend::Never);
    pair.submit(&sample).unwrap();
    pair.pass(SECOND);
    pair.black_hole(true, true);
    let id = pair.submit(&sample).unwrap();
    pair.connection.close(pair.now(), HOUR);
    pair.clock.advance(20 * SECOND);
    pair.connection.handle_timeout(pair.clock.now());
    let account = pair.connection.account().unwrap();
    assert_eq!(account.outcomes.outcome_unknown, 1);
    pair.settle();
    assert_eq!(pair.outcome(id), Some(&Err(Failure::OutcomeUnknown)));
}
