//! What networks and platforms do to devices: the outcome is right, and nothing is stuck.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use kaa_proto::commands::CommandResult;
use kaa_proto::connection::Options;
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Event, Observation};
use kaa_proto::metadata;
use kaa_proto::platform::{EventKind, Platform};
use kaa_proto::request::{Failure, Outcome, RequestExt, RequestId, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::{Device, name};
use kaa_tests::dice::Dice;
use kaa_tests::operations::{EXPECTED, MESSAGES, platform, reboot, run};
use kaa_tests::pair::Pair;
use kaa_tests::pair_a::PairA;
use kaa_tests::pipe::Pieces;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The operations that are done at their acknowledgement.
const ACKNOWLEDGED: &str = "command report";

/// Commands outlive the faults.
const HOUR: &[(&str, &str)] = &[("command-ttl", "1h")];

fn pair() -> Pair {
    Pair::online_with(platform(HOUR), Options::new("device"))
}

fn pair_a() -> PairA {
    PairA::online_with(platform(HOUR), EndpointOptions::default())
}

/// Whether nothing is left, after a while.
fn check_rest(device: &mut impl Device) {
    device.pass(3 * MINUTE);
    let statistics = device.statistics();
    assert_eq!(statistics.submitted, statistics.ended());
    assert_eq!(statistics.malformed, 0);
}

/// Runs all operations under a fault, and gives what is not as usual.
fn unusual(device: &mut impl Device, fault: &str) -> Vec<(&'static str, String)> {
    device.fault(fault);
    let results = run(device).into_iter().zip(EXPECTED);
    let unusual = results.filter(|((_, result), (_, usual))| result != usual);
    let unusual = unusual.map(|(result, _)| result).collect();
    check_rest(device);
    unusual
}

#[test]
fn late_answers_in_time_change_nothing() {
    fn check(device: &mut impl Device) {
        assert_eq!(unusual(device, "late 20s always"), []);
        let statistics = device.statistics();
        assert_eq!(
            (statistics.late_answers, statistics.foreign_answers),
            (0, 0)
        );
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn answers_that_come_again_are_counted_and_end_nothing_twice() {
    fn check(device: &mut impl Device) {
        assert_eq!(unusual(device, "duplicate 3 always"), []);
        let statistics = device.statistics();
        assert_eq!(statistics.confirmed, MESSAGES.len() as u64);
        let repeated = statistics.late_answers + statistics.foreign_answers;
        assert_eq!(repeated, 2 * MESSAGES.len() as u64);
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn lost_answers_leave_their_requests_unanswered() {
    fn check(device: &mut impl Device) {
        let unusual = unusual(device, "lose always");
        let unanswered = "sent, but not answered in time";
        assert!(
            unusual.iter().all(|(_, result)| result == unanswered),
            "{unusual:?}"
        );
        assert_eq!(unusual.len(), EXPECTED.len() - 1);
        assert!(
            unusual
                .iter()
                .all(|(operation, _)| *operation != ACKNOWLEDGED)
        );
        // They had been processed all the same, once each.
        assert_eq!(device.take_seen().len(), MESSAGES.len());
        assert_eq!(device.snapshot().unwrap().samples, 5);
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn answers_that_come_too_late_are_counted_and_taken_for_nothing_else() {
    fn check(device: &mut impl Device) {
        let unusual = unusual(device, "late 40s always");
        assert_eq!(unusual.len(), EXPECTED.len() - 1);
        assert_eq!(device.statistics().late_answers, MESSAGES.len() as u64);
        device.fault("clear");
        assert!(device.ask(&Sample::new(1)).is_ok());
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn errors_reject_whatever_was_asked() {
    fn check(device: &mut impl Device) {
        let unusual = unusual(device, "error 503 always");
        let rejected = |(_, result): &(_, String)| result.contains("status 503");
        assert!(unusual.iter().all(rejected), "{unusual:?}");
        assert_eq!(unusual.len(), EXPECTED.len() - 1);
        let events = device.take_events();
        let told = |event: &&Event| matches!(event, Event::ResultsRejected { .. });
        assert_eq!(
            events.iter().filter(told).count(),
            1,
            "the report was done before"
        );
        assert_eq!(device.snapshot().unwrap().samples, 0);
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn answers_in_the_opposite_order_reach_their_requests() {
    fn check(device: &mut impl Device) {
        device.fault("reorder 8 times 8");
        let samples: Vec<_> = (0..8)
            .map(|n| device.submit(&Sample::new(n)).unwrap())
            .collect();
        let keys = device.submit(&metadata::Keys).unwrap();
        device.pass(5 * SECOND);
        assert!(
            samples
                .iter()
                .all(|id| device.outcome(*id).unwrap().is_ok())
        );
        let reply = device.outcome(keys).unwrap().as_ref().unwrap();
        assert_eq!(&reply.payload()[..], br#"["location","name"]"#);
        check_rest(device);
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn what_was_cut_short_is_asked_again_or_unknown_as_its_policy_says() {
    fn check(device: &mut impl Device) {
        let services = ["dcx", "epmx", "cex", "cmx", "cmx_ota", "bcx", "rsx", "tsx"];
        for service in services {
            device.fault(&format!("kick {service} times 2"));
        }
        let results = run(device);
        let unknown = "sent, but the link was lost before the answer: outcome unknown";
        let unusual = results.iter().zip(EXPECTED).filter(|(a, b)| a.1 != b.1);
        let unusual: Vec<_> = unusual
            .map(|((operation, result), _)| (*operation, &**result))
            .collect();
        let offline = "dropped from the queue, never sent";
        // What must not happen twice, and what is worthless later; the clock went on.
        assert_eq!(
            unusual[..3],
            [("sample", unknown), ("batch", unknown), ("plain", offline)]
        );
        assert!(
            unusual[3..]
                .iter()
                .all(|(operation, _)| *operation == "raw time")
        );
        check_rest(device);
        assert_eq!(device.snapshot().unwrap().samples, 4);
        let resent = device.statistics().resent;
        assert!(resent >= 6 * 2, "{resent}");
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn what_is_sent_again_has_the_same_id() {
    fn check(device: &mut impl Device) {
        device.fault("kick times 3");
        device.take_seen();
        let sample = Sample::new("again").resend(Resend::AfterLinkLoss);
        device.submit(&sample).unwrap();
        device.pass(5 * MINUTE);
        let seen = device.take_seen();
        let topics: Vec<_> = seen.iter().map(|seen| &*seen.topic).collect();
        assert_eq!(topics, ["kp1/demo-v1/dcx/JTjdbENzHh/json/1"; 4]);
        let statistics = device.statistics();
        assert_eq!((statistics.confirmed, statistics.resent), (1, 3));
    }
    check(&mut pair());
    check(&mut pair_a());
}

#[test]
fn a_short_black_hole_is_waited_out_and_a_long_one_ends_the_link() {
    let mut pair = pair();
    pair.ask(&Sample::new(0)).unwrap();
    pair.fault("black-hole 20s");
    pair.ask(&Sample::new(1)).unwrap();
    assert_eq!(pair.connection.statistics().links_lost, 0);
    pair.fault("black-hole 10m");
    let never = pair.submit(&Sample::new(2)).unwrap();
    let again = pair
        .submit(&Sample::new(3).resend(Resend::AfterLinkLoss))
        .unwrap();
    pair.pass(29 * SECOND);
    assert!(pair.outcome(never).is_none());
    pair.pass(2 * MINUTE);
    assert!(pair.connection.statistics().links_lost > 0);
    assert_eq!(pair.outcome(never), Some(&Err(Failure::Unanswered)));
    pair.pass(20 * MINUTE);
    assert!(pair.outcome(again).is_some());
    pair.ask(&Sample::new(4)).unwrap();
    check_rest(&mut pair);
}

#[test]
fn a_command_that_is_delivered_again_and_again_is_surfaced_once() {
    fn check(device: &mut impl Device) {
        for fault in ["duplicate 4 cex always", "kick cex times 4"] {
            device.fault(fault);
        }
        device.observe(&Observation::Commands(reboot())).unwrap();
        device.pass(30 * SECOND);
        let command = device.poll_command().unwrap();
        assert!(device.poll_command().is_none());
        device.fault("kick cex times 2");
        device
            .respond(&CommandKey::from(&command), CommandResult::ok())
            .unwrap();
        device.pass(10 * MINUTE);
        assert!(device.poll_command().is_none());
        assert_eq!(device.statistics().commands_surfaced, 1);
        let snapshot = device.snapshot().unwrap();
        assert!(snapshot.commands.values().all(Vec::is_empty));
        assert!(snapshot.results.iter().all(|result| result.id == 1));
        check_rest(device);
    }
    check(&mut pair());
    check(&mut pair_a());
}

/// What a short conversation leaves: the outcomes of its requests, and the command.
#[derive(Debug, PartialEq)]
struct Conversation {
    outcomes: Vec<Outcome>,
    commands: u64,
    results: usize,
}

/// Connects, observes, reports, asks, answers a command.
fn converse(pair: &mut Pair) -> Conversation {
    pair.observe(&Observation::Commands(reboot())).unwrap();
    let again = Sample::new("again").resend(Resend::AfterLinkLoss);
    let mut requests: Vec<RequestId> = vec![
        pair.submit(&again).unwrap(),
        pair.submit(&Sample::new("once")).unwrap(),
        pair.submit(&metadata::Keys).unwrap(),
    ];
    for _ in 0..600 {
        pair.pass(SECOND);
        if let Some(command) = pair.poll_command() {
            let key = CommandKey::from(&command);
            requests.push(pair.respond(&key, CommandResult::ok()).unwrap());
        }
    }
    assert_eq!(pair.open_len(), 0);
    let outcomes = requests.iter().map(|id| pair.outcome(*id).unwrap().clone());
    Conversation {
        outcomes: outcomes.collect(),
        commands: pair.statistics().commands_surfaced,
        results: pair.snapshot().map_or(0, |snapshot| snapshot.results.len()),
    }
}

fn conversing(pieces: Pieces, seed: u64) -> Pair {
    let mut pair = Pair::new(platform(HOUR), Options::new("device"), seed).unwrap();
    pair.pieces = pieces;
    pair
}

#[test]
fn a_link_that_is_cut_at_any_byte_loses_nothing_and_does_nothing_twice() {
    let mut uncut = conversing(Pieces::Whole, 1);
    let usual = converse(&mut uncut);
    assert!(usual.outcomes.len() == 4 && usual.outcomes.iter().all(Result::is_ok));
    let (mut unknown, mut twice) = (0, 0);
    // The rest of what was carried are pings.
    for cut in 1..uncut.carried - 30 {
        let mut pair = conversing(Pieces::Whole, 1);
        pair.cut_after = Some(cut);
        let conversation = converse(&mut pair);
        assert_eq!(pair.cut_after, None, "it was cut");
        let [again, once, keys, answer] = &conversation.outcomes[..] else {
            panic!("the command is lost when cut after {cut} bytes");
        };
        assert!(again.is_ok() && keys.is_ok() && answer.is_ok(), "{cut}");
        assert!(
            matches!(once, Ok(_) | Err(Failure::OutcomeUnknown)),
            "{cut}"
        );
        assert_eq!(conversation.commands, 1, "{cut}");
        assert!((1..=2).contains(&conversation.results), "{cut}");
        let samples = pair.snapshot().unwrap().samples;
        // What may go once went at most once; what may go again at most once more.
        assert!(samples > u64::from(once.is_ok()) && samples <= 3, "{cut}");
        unknown += u64::from(once.is_err());
        twice += u64::from(samples == 3);
    }
    assert!(unknown > 10 && twice > 10, "{unknown} {twice}");
}

#[test]
fn the_same_bytes_in_any_pieces_have_the_same_outcomes() {
    let mut whole = conversing(Pieces::Whole, 1);
    let usual = converse(&mut whole);
    let seen = whole.take_seen();
    let all = [
        Pieces::UpTo(1),
        Pieces::UpTo(3),
        Pieces::Random(7),
        Pieces::Random(100),
    ];
    for pieces in all {
        for seed in 1..5 {
            let mut pair = conversing(pieces, seed);
            assert_eq!(converse(&mut pair), usual, "{pieces:?}");
            assert_eq!(pair.take_seen().len(), seen.len());
        }
        let mut pair = Pair::online_with(platform(&[]), Options::new("device"));
        pair.pieces = pieces;
        let results = run(&mut pair);
        assert!(
            results.iter().zip(EXPECTED).all(|(a, b)| a.1 == b.1),
            "{pieces:?}"
        );
    }
}

/// A life of random faults, cuts and holes.
fn live(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut pair = conversing(Pieces::Random(60), seed);
    pair.observe(&Observation::Commands(reboot())).unwrap();
    pair.observe(&Observation::Configuration(None)).unwrap();
    let faults = [
        "late 3s percent 20",
        "late 35s percent 5",
        "lose percent 10",
        "duplicate 3 percent 20",
        "reorder 3 percent 20",
        "error 500 percent 5",
        "kick percent 2",
        "black-hole 15s",
        "clear",
    ];
    for step in 0..300 {
        match dice.below(12) {
            0 => pair.fault(faults[dice.below(faults.len() as u64) as usize]),
            1 if dice.below(4) == 0 => pair.cut(),
            2 if dice.below(8) == 0 => pair.black_hole(dice.below(2) == 0, true),
            3 => {
                let verb = |platform: &mut Platform, now| {
                    platform
                        .command(now, &name().unwrap(), &reboot(), None)
                        .unwrap();
                };
                pair.operate(verb);
            }
            4 => {
                if let Some(command) = pair.poll_command() {
                    let key = CommandKey::from(&command);
                    pair.respond(&key, CommandResult::ok()).unwrap();
                }
            }
            5 => drop(pair.submit(&metadata::Keys).unwrap()),
            6..9 => {
                let resend = match dice.below(2) {
                    0 => Resend::Never,
                    _ => Resend::AfterLinkLoss,
                };
                pair.submit(&Sample::new(step).resend(resend)).unwrap();
            }
            _ => pair.pass(Duration::from_millis(dice.below(9_000))),
        }
    }
    pair.fault("clear");
    pair.pass(30 * MINUTE);
    while let Some(command) = pair.poll_command() {
        pair.respond(&CommandKey::from(&command), CommandResult::ok())
            .unwrap();
        pair.pass(SECOND);
    }
    pair.pass(30 * MINUTE);
    let statistics = pair.statistics();
    let endpoint = pair.connection.endpoint(pair.key).unwrap();
    assert!(endpoint.is_idle() && pair.open_len() == 0, "seed {seed}");
    let snapshot = pair.snapshot().unwrap();
    let left: usize = snapshot.commands.values().map(Vec::len).sum();
    assert_eq!(left, 0, "seed {seed}: commands are left");
    let log = pair.take_log();
    let ids = log.iter().filter_map(|event| {
        let EventKind::CommandResult { id, known, .. } = &event.kind else {
            return None;
        };
        known.then_some(*id)
    });
    let ids: BTreeSet<_> = ids.collect();
    assert_eq!(
        ids.len() as u64,
        statistics.commands_surfaced,
        "seed {seed}"
    );
    pair.ask(&Sample::new(1)).unwrap();
}

#[test]
fn after_a_life_of_faults_nothing_is_stuck_and_no_command_ran_twice() {
    for seed in 0..100 {
        live(seed);
    }
}
