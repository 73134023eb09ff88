//! Hours and days: slow acknowledgements, a network that comes and goes, outages of up to two
//! hours, and idle links.

use kaa_proto::commands::CommandResult;
use kaa_proto::connection::{LinkState, Options};
use kaa_proto::endpoint::{CommandKey, Observation};
use kaa_proto::names::CommandType;
use kaa_proto::platform::{EventKind, PlatformOptions, Switches};
use kaa_proto::request::{Confirm, Request, RequestExt as _, Resend};
use kaa_proto::telemetry::Sample;
use kaa_proto::{QoS, config};
use kaa_tests::device::{Device as _, name};
use kaa_tests::dice::Dice;
use kaa_tests::pair::{Dials, Pair};
use serde_json::json;

use crate::server::{Bench, Conduct, HOUR, MINUTE, PINGREQ, PROMPT, PUBLISH, SECOND};

fn sample(n: u32) -> impl Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

/// Runs the commands that came, each for the first time.
fn run_commands(pair: &mut Pair, ran: &mut Vec<CommandKey>) {
    while let Some(command) = pair.poll_command() {
        let key = CommandKey::from(&command);
        assert!(!ran.contains(&key), "{key:?} twice");
        pair.respond(&key, CommandResult::ok()).unwrap();
        ran.push(key);
    }
}

/// The base run: every PUBACK takes 15 s, which is no reason to send anything twice or to give the
/// link up.
#[test]
fn acknowledgements_that_take_fifteen_seconds_are_waited_for() {
    let conduct = Conduct {
        puback: Some(15 * SECOND),
        ..PROMPT
    };
    let mut bench = Bench::new(Options::new("device"), 1, conduct);
    let mut taken = 0;
    for round in 0..3 {
        for n in 0..360 {
            let quiet = Sample::new(n).confirm(Confirm::Nothing);
            bench.submit(&quiet.qos(QoS::AtMostOnce));
            bench.submit(&Sample::new(n).confirm(Confirm::Acknowledged));
            bench.submit(&Sample::new(n));
            taken += 3;
            bench.pass(10 * SECOND);
        }
        bench.pass(MINUTE);
        assert_eq!(bench.ended.len(), round, "only the cuts");
        assert_eq!(bench.outcomes.len(), taken);
        bench.cut();
        bench.pass(MINUTE);
    }
    assert!(bench.outcomes.values().all(Result::is_ok));
    assert_eq!(bench.packets(PUBLISH).len(), taken, "each once");
}

/// Cuts at any byte and times without a network, as the seed says: what may be sent again arrives,
/// commands run once, and the link is up within two minutes of the last trouble.
#[test]
fn a_network_that_fails_at_random_for_two_hours_loses_nothing_and_runs_nothing_twice() {
    for seed in 0..20 {
        let mut switches = Switches::default();
        switches.set("command-ttl", "24h").unwrap();
        let platform = PlatformOptions {
            switches,
            ..PlatformOptions::default()
        };
        let mut pair = Pair::new(platform, Options::new("device"), seed).unwrap();
        let mut dice = Dice::new(seed);
        let reboot = CommandType::new("reboot").unwrap();
        pair.observe(&Observation::Commands(reboot.clone()))
            .unwrap();
        let (mut ran, mut sent) = (Vec::new(), 0);
        let end = pair.now() + 2 * HOUR;
        while pair.now() < end {
            match dice.below(20) {
                0 => pair.cut_after = Some(dice.below(2_000) as usize),
                1 => pair.cut(),
                2 => pair.dials = Dials::Fail,
                3 => pair.dials = Dials::Hang,
                4..8 => pair.dials = Dials::Succeed,
                8 => {
                    let invoke = |platform: &mut kaa_proto::platform::Platform, now| {
                        platform.command(now, &name().unwrap(), &reboot, Some(json!(sent)))
                    };
                    // Before the first link the platform knows nobody.
                    let _ = pair.operate(invoke);
                }
                _ => {
                    pair.submit(&sample(sent)).unwrap();
                    sent += 1;
                }
            }
            pair.pass(SECOND * dice.below(30) as u32);
            run_commands(&mut pair, &mut ran);
        }
        (pair.dials, pair.cut_after) = (Dials::Succeed, None);
        pair.pass(3 * MINUTE);
        assert_eq!(pair.connection.link_state(), LinkState::Up, "seed {seed}");
        pair.pass(3 * MINUTE);
        run_commands(&mut pair, &mut ran);
        pair.pass(MINUTE);
        assert_eq!(pair.open_len(), 0, "seed {seed}");
        let snapshot = pair.snapshot().unwrap();
        assert!(snapshot.samples >= u64::from(sent), "seed {seed}");
        assert!(ran.len() > 3, "seed {seed}: {} commands", ran.len());
        let waits = snapshot.commands.values().flatten().count();
        assert_eq!(waits, 0, "seed {seed}: all of them ran");
    }
}

/// Half an hour and two hours without the server: nothing is lost, the dials stay rare, the first
/// one after the outage comes within the cap, and all is observed anew.
#[test]
fn a_server_that_is_away_for_half_an_hour_or_two_hours_is_found_again_and_loses_nothing() {
    for outage in [HOUR / 2, 2 * HOUR] {
        let mut switches = Switches::default();
        switches.set("command-ttl", "24h").unwrap();
        let platform = PlatformOptions {
            switches,
            ..PlatformOptions::default()
        };
        let mut pair = Pair::online_with(platform, Options::new("device"));
        let reboot = CommandType::new("reboot").unwrap();
        pair.observe(&Observation::Commands(reboot.clone()))
            .unwrap();
        pair.observe(&Observation::Configuration(None)).unwrap();
        pair.pass(MINUTE);
        pair.dials = Dials::Fail;
        pair.cut();
        let before = pair.connection.statistics().dials;
        let mut sent = 0;
        let end = pair.now() + outage;
        while pair.now() < end {
            pair.submit(&sample(sent)).unwrap();
            sent += 1;
            pair.pass(5 * SECOND);
        }
        let dials = pair.connection.statistics().dials - before;
        let most = outage.as_secs() / 60 * 2 + 10;
        assert!((5..=most).contains(&dials), "{dials} in {outage:?}");
        pair.operate(|platform, now| {
            platform
                .command(now, &name().unwrap(), &reboot, None)
                .unwrap();
            platform
                .set_configuration(now, &name().unwrap(), None, json!({"rate": 5}))
                .unwrap();
        });
        pair.take_log();
        pair.dials = Dials::Succeed;
        pair.pass(2 * MINUTE + SECOND);
        assert_eq!(pair.connection.link_state(), LinkState::Up);
        pair.pass(MINUTE);
        assert_eq!(pair.open_len(), 0);
        let log = pair.take_log();
        let numbers = log.iter().filter_map(|event| match &event.kind {
            EventKind::Telemetry { data, .. } => data.as_u64(),
            _ => None,
        });
        assert!(numbers.eq(0..u64::from(sent)), "each once, in order");
        assert!(pair.poll_command().is_some());
        let Some(config::Answer::Assigned(found)) = pair.poll_configuration(None) else {
            panic!("the new configuration did not come");
        };
        assert_eq!(found.value(), Ok(json!({"rate": 5})));
    }
}

#[test]
fn an_idle_link_is_kept_alive_for_a_day_by_one_question_in_each_interval() {
    let mut bench = Bench::online();
    let connected = bench.now();
    bench.pass(24 * HOUR);
    assert_eq!(bench.ended, []);
    let asked: Vec<_> = bench.packets(PINGREQ).iter().map(|seen| seen.at).collect();
    assert_eq!(asked.len(), 24 * 60);
    let waits = std::iter::once(&connected).chain(&asked).zip(&asked);
    assert!(
        waits
            .into_iter()
            .all(|(last, next)| *next - *last <= MINUTE),
        "MQTT-3.1.2-23"
    );
}
