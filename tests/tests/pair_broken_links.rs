//! Links that break in the midst of things: nothing is lost, mixed up, done twice or stuck.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use kaa_proto::QoS;
use kaa_proto::connection::{Event, LinkError, LinkState, Options};
use kaa_proto::endpoint::{EndpointOptions, Observation};
use kaa_proto::names::{CommandType, MetadataKey};
use kaa_proto::platform::{Fixture, PlatformOptions};
use kaa_proto::request::{Confirm, Failure, Request, RequestExt, RequestId, Resend};
use kaa_proto::telemetry::Sample;
use kaa_proto::{config, metadata, upload};
use kaa_tests::device::{Device, name};
use kaa_tests::dice::Dice;
use kaa_tests::operations::platform;
use kaa_tests::pair::{Dials, Pair};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn sample(n: u32) -> impl Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

fn errors(pair: &Pair) -> Vec<LinkError> {
    let error = |(_, event): &(_, Event)| {
        let Event::LinkLost { error, .. } = event else {
            return None;
        };
        Some(error.clone())
    };
    pair.link_events.iter().filter_map(error).collect()
}

/// Each answer is a PUBACK of 4 bytes and a PUBLISH of about 40.
#[test]
fn a_platform_that_falls_silent_in_the_middle_of_a_packet_is_found_in_time() {
    for bytes in 1..50 {
        for sends in [false, true] {
            let mut pair = Pair::online();
            pair.ask(&sample(0)).unwrap();
            pair.silent_after = Some(bytes);
            let id = pair.submit(&sample(1)).unwrap();
            let start = pair.now();
            for n in 0..92 {
                if sends {
                    let silent = Sample::new(n).confirm(Confirm::Nothing);
                    pair.submit(&silent.qos(QoS::AtMostOnce)).unwrap();
                }
                pair.pass(SECOND);
            }
            let lost = pair
                .link_events
                .iter()
                .find_map(|(at, event)| matches!(event, Event::LinkLost { .. }).then_some(*at));
            let found = lost.unwrap() - start;
            // The last byte came after 20 ms.
            let most = 90 * SECOND + SECOND / 50;
            assert!(found <= most, "{found:?} after {bytes} bytes");
            assert_eq!(errors(&pair), [LinkError::KeepAliveTimeout]);
            pair.pass(MINUTE);
            assert_eq!(pair.connection.link_state(), LinkState::Up);
            assert!(pair.outcome(id).is_some());
            assert_eq!(pair.connection.statistics().losses.keep_alive_timeout, 1);
        }
    }
}

#[test]
fn two_hours_off_line_with_a_sample_each_second_lose_and_expire_nothing_that_did_not_ask() {
    let mut pair = Pair::online();
    pair.dials = Dials::Fail;
    pair.cut();
    let (mut kept, mut hasty) = (Vec::new(), Vec::new());
    for n in 0..7_200 {
        kept.push(pair.submit(&sample(n)).unwrap());
        if n % 100 == 0 {
            let limited = Sample::new("hasty").expires_after(10 * MINUTE);
            hasty.push(pair.submit(&limited).unwrap());
        }
        pair.pass(SECOND);
    }
    let statistics = pair.connection.statistics();
    // Those of the last ten minutes wait still.
    assert_eq!(statistics.requests.expired, 67);
    assert_eq!(statistics.queued, 7_200 + 5);
    assert_eq!(statistics.in_flight, 0);
    assert!(
        (60..=250).contains(&statistics.losses.dial),
        "{:?}",
        statistics.losses
    );
    pair.dials = Dials::Succeed;
    pair.pass(10 * MINUTE);
    assert_eq!(pair.open_len(), 0);
    assert!(kept.iter().all(|id| pair.outcome(*id).unwrap().is_ok()));
    let expired = hasty
        .iter()
        .filter(|id| pair.outcome(**id) == Some(&Err(Failure::Expired)));
    assert_eq!(expired.count(), 67);
    assert_eq!(pair.snapshot().unwrap().samples, 7_200 + 5);
    let seen = pair.take_seen().into_iter().map(|seen| seen.payload);
    let numbers: Vec<_> = seen
        .map(|payload| String::from_utf8(payload).unwrap())
        .filter(|payload| !payload.contains("hasty"))
        .collect();
    assert!(
        numbers
            .iter()
            .map(|n| n.parse::<u32>().unwrap())
            .eq(0..7_200),
        "in order"
    );
}

#[test]
fn what_becomes_of_each_class_of_request_when_the_link_is_lost() {
    let once = || Sample::new(1).resend(Resend::Never);
    let acknowledged = || Sample::new(1).confirm(Confirm::Acknowledged);
    check_fate(&once(), Fate::Unknown);
    check_fate(&sample(1), Fate::Again);
    check_fate(&acknowledged().resend(Resend::Never), Fate::Unknown);
    check_fate(&acknowledged().resend(Resend::AfterLinkLoss), Fate::Again);
    check_fate(&metadata::Keys, Fate::Again);
    check_fate(&metadata::Merge::new(json!({"a": 1})), Fate::Again);
    check_fate(&config::Get::new(), Fate::Again);
    check_fate(&config::Applied::new("97016dbe"), Fate::Again);
    check_fate(&upload::GetToken, Fate::Again);
    // What nobody confirms has ended when it was sent.
    let mut pair = Pair::online();
    let id = pair.submit(&once().confirm(Confirm::Nothing)).unwrap();
    pair.cut();
    assert!(pair.outcome(id).unwrap().is_ok());
}

/// What becomes of a request that was sent and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its outcome is unknown, and it is not sent again.
    Unknown,
    /// It is sent again, and confirmed.
    Again,
}

fn check_fate<R: Request>(request: &R, fate: Fate) {
    let online = || {
        let mut pair = Pair::online_with(platform(&[]), Options::new("device"));
        // What it needs is subscribed to.
        pair.submit(request).unwrap();
        pair.pass(SECOND);
        assert_eq!(pair.open_len(), 0);
        pair.take_seen();
        pair
    };
    // Sent, and lost before any answer.
    let mut pair = online();
    pair.black_hole(false, true);
    let id = pair.submit(request).unwrap();
    pair.pass(SECOND);
    assert_eq!(pair.take_seen().len(), 1);
    assert!(pair.outcome(id).is_none());
    pair.cut();
    let unknown = Some(&Err(Failure::OutcomeUnknown));
    assert_eq!(pair.outcome(id) == unknown, fate == Fate::Unknown);
    pair.pass(5 * MINUTE);
    assert_eq!(pair.take_seen().len(), usize::from(fate == Fate::Again));
    assert_eq!(pair.outcome(id).unwrap().is_ok(), fate == Fate::Again);
    // Queued: whatever it is, it waits and goes out once.
    let mut pair = online();
    pair.dials = Dials::Fail;
    pair.cut();
    let id = pair.submit(request).unwrap();
    pair.pass(MINUTE);
    assert!(pair.outcome(id).is_none());
    pair.dials = Dials::Succeed;
    pair.pass(5 * MINUTE);
    assert!(pair.outcome(id).unwrap().is_ok());
    assert_eq!(pair.take_seen().len(), 1);
}

/// Each key has a value of its own, so that an answer says whose it is.
#[test]
fn no_answer_reaches_another_request_while_the_ids_wrap_under_loss() {
    let values: Vec<_> = (0..10).map(|n| format!(r#""k{n}": {n}"#)).collect();
    let fixture = format!(
        r#"{{"appVersions": {{"demo-v1": {{"endpoints": {{"JTjdbENzHh":
            {{"metadata": {{{}}}}}}}}}}}}}"#,
        values.join(",")
    );
    for seed in 0..8 {
        let mut dice = Dice::new(seed);
        let endpoint = EndpointOptions::default().max_request_id(5).unwrap();
        let endpoint = endpoint.answer_within(2 * SECOND).unwrap();
        let options = Options::new("device").endpoint(endpoint);
        let platform = PlatformOptions {
            fixture: Some(Fixture::parse(&fixture).unwrap()),
            ..PlatformOptions::default()
        };
        let mut pair = Pair::online_with(platform, options);
        pair.expect_answers_within(2 * SECOND);
        for fault in [
            "late 1500ms percent 10",
            "late 3s percent 10",
            "duplicate 3 percent 20",
            "lose percent 5",
            "reorder 3 percent 10",
        ] {
            pair.fault(fault);
        }
        let mut asked: BTreeMap<RequestId, u64> = BTreeMap::new();
        let (mut answered, mut sent) = (0, 0);
        while sent < 2_000 {
            while pair.open_len() < 8 {
                let n = dice.below(10);
                let key = MetadataKey::new(format!("k{n}")).unwrap();
                let id = pair.submit(&metadata::Get::only([key])).unwrap();
                asked.insert(id, n);
                sent += 1;
            }
            pair.pass(Duration::from_millis(dice.below(400)));
            if dice.below(100) == 0 {
                pair.cut();
                pair.connection.dial_now(pair.now());
            }
            let ended: Vec<_> = asked
                .keys()
                .copied()
                .filter(|id| pair.outcome(*id).is_some())
                .collect();
            for id in ended {
                let n = asked.remove(&id).unwrap();
                if let Some(Ok(reply)) = pair.outcome(id) {
                    let expected = format!(r#"{{"k{n}":{n}}}"#);
                    assert_eq!(reply.payload(), expected.as_bytes(), "seed {seed}");
                    answered += 1;
                }
            }
        }
        // Five IDs, so each was in use some hundred times.
        assert!(answered > 1_000, "{answered} of {sent} answered");
        let statistics = pair.statistics();
        assert!(
            statistics.late_answers > 20 && statistics.resent > 3,
            "{statistics:?}"
        );
    }
}

#[test]
fn a_cut_with_every_id_in_flight_stalls_nobody() {
    let endpoint = EndpointOptions::default()
        .max_in_flight(NonZeroU16::new(200).unwrap())
        .max_request_id(99)
        .unwrap();
    let options = Options::new("device").endpoint(endpoint).window(200);
    let mut pair = Pair::online_with(PlatformOptions::default(), options);
    pair.ask(&sample(0)).unwrap();
    pair.black_hole(false, true);
    let ids: Vec<_> = (0..150)
        .map(|n| pair.submit(&Sample::new(n)).unwrap())
        .collect();
    pair.pass(SECOND);
    assert_eq!(pair.connection.statistics().in_flight, 99);
    pair.cut();
    let unknown = |pair: &Pair| {
        let unknown = Some(&Err(Failure::OutcomeUnknown));
        ids.iter()
            .filter(|id| pair.outcome(**id) == unknown)
            .count()
    };
    assert_eq!(unknown(&pair), 99);
    // Other resources have IDs at once; this one has when its own have rested.
    pair.pass(5 * SECOND);
    assert!(pair.ask(&metadata::Keys).is_ok());
    pair.pass(2 * MINUTE);
    assert_eq!((pair.open_len(), unknown(&pair)), (0, 99));
    assert_eq!(pair.statistics().confirmed, 1 + 51 + 1);
}

#[test]
fn configurations_that_nobody_reads_over_many_links_become_one() {
    let mut pair = Pair::online();
    pair.observe(&Observation::Configuration(None)).unwrap();
    pair.pass(SECOND);
    let mut last = String::new();
    for n in 0..20 {
        last = pair.operate(|platform, now| {
            let name = name().unwrap();
            platform
                .set_configuration(now, &name, None, json!(n))
                .unwrap()
        });
        pair.pass(SECOND);
        pair.cut();
        pair.pass(3 * MINUTE);
    }
    let Some(config::Answer::Assigned(one)) = pair.poll_configuration(None) else {
        panic!("there is a configuration to read");
    };
    assert_eq!(one.config_id(), last);
    assert_eq!(pair.poll_configuration(None), None);
}

#[test]
fn closing_over_a_lost_link_gives_the_account_that_the_platform_saw() {
    for cut_after in [1, 500, 5_000, 20_000, 50_000] {
        let mut pair = Pair::online();
        // What ended before is no part of it.
        pair.ask(&sample(5_000)).unwrap();
        pair.take_seen();
        for n in 0..1_000 {
            pair.submit(&sample(n)).unwrap();
        }
        let now = pair.now();
        pair.connection.close(now, 10 * SECOND);
        pair.cut_after = Some(cut_after);
        pair.pass(MINUTE);
        assert_eq!(pair.connection.link_state(), LinkState::Finished);
        let account = pair.connection.account().unwrap();
        let sum = account.outcomes.confirmed + account.outcomes.closed;
        assert_eq!(sum, 1_000);
        assert_eq!(account.unfinished.len() as u64, account.outcomes.closed);
        // Whatever was confirmed was processed; what was not sent was not.
        let samples: std::collections::BTreeSet<_> = pair
            .take_seen()
            .into_iter()
            .map(|seen| seen.payload)
            .collect();
        let unsent = pair.connection.account().unwrap().unfinished.iter();
        let unsent: Vec<_> = unsent.filter(|(_, one)| !one.sent).collect();
        assert!(
            unsent
                .iter()
                .all(|(_, one)| !samples.contains(&one.payload[..]))
        );
        assert_eq!(samples.len() + unsent.len(), 1_000);
        assert_eq!(pair.open_len(), 0);
    }
}

/// A broker that delivers to subscribers only, and forgets them.
#[test]
fn after_a_restart_everything_is_subscribed_to_and_observed_anew() {
    let switches = &[("delivery", "subscription")];
    let mut pair = Pair::online_with(platform(switches), Options::new("device"));
    let types = ["first", "second", "third"].map(|name| CommandType::new(name).unwrap());
    for of_type in &types {
        let observation = Observation::Commands(of_type.clone());
        pair.observe(&observation).unwrap();
    }
    pair.ask(&sample(0)).unwrap();
    for (restarts, of_type) in (1..).zip(&types) {
        let waiting: Vec<_> = (0..20).map(|n| pair.submit(&sample(n)).unwrap()).collect();
        pair.restart_platform(platform(switches));
        pair.pass(3 * MINUTE);
        assert!(waiting.iter().all(|id| pair.outcome(*id).unwrap().is_ok()));
        let name = name().unwrap();
        pair.operate(|platform, now| platform.command(now, &name, of_type, None).unwrap());
        pair.pass(SECOND);
        let command = pair.poll_command().unwrap();
        assert_eq!(command.command_type(), of_type);
        assert_eq!(pair.connection.statistics().losses.eof, restarts);
    }
}
