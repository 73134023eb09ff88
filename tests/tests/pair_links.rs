//! What links do, over hours: refusals, outages, half-open links, restarts, goodbyes.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::{Duration, Instant};

use kaa_proto::QoS;
use kaa_proto::connection::{Connection, Demand, Event, LinkError, LinkState, Options};
use kaa_proto::endpoint::Observation;
use kaa_proto::mqtt::{ConnectRefusal, Login};
use kaa_proto::platform::{self, PlatformOptions, Secret, User, UserState};
use kaa_proto::request::{Confirm, Failure, RequestExt, Resend};
use kaa_proto::telemetry::Sample;
use kaa_tests::clock::Clock;
use kaa_tests::device::{Device, name};
use kaa_tests::operations::{platform, reboot};
use kaa_tests::pair::{Dials, Pair};
use kaa_tests::pipe::Bandwidth;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn options() -> Options {
    Options::new("device")
}

fn users(state: UserState) -> PlatformOptions {
    let user = User {
        name: "me@tenant".into(),
        password: Secret::new("right"),
        state,
    };
    PlatformOptions {
        users: vec![user],
        ..PlatformOptions::default()
    }
}

fn login(password: &str) -> Option<Login> {
    Some(Login::new("me@tenant").with_password(password))
}

/// A sample that may go again.
fn sample(n: u32) -> impl kaa_proto::request::Request {
    Sample::new(n).resend(Resend::AfterLinkLoss)
}

/// When links were lost, since a moment.
fn losses(pair: &Pair, since: Instant) -> Vec<Duration> {
    let lost = pair.link_events.iter();
    let lost = lost.filter(|(at, event)| *at >= since && matches!(event, Event::LinkLost { .. }));
    lost.map(|(at, _)| *at - since).collect()
}

/// The errors of lost links.
fn errors(pair: &Pair) -> Vec<LinkError> {
    let error = |(_, event): &(Instant, Event)| {
        let Event::LinkLost { error, .. } = event else {
            return None;
        };
        Some(error.clone())
    };
    pair.link_events.iter().filter_map(error).collect()
}

#[test]
fn links_that_die_at_the_first_message_are_made_ever_more_rarely() {
    let mut options = users(UserState::Active);
    options
        .switches
        .set("auth-failure", "drop-at-publish")
        .unwrap();
    let mut pair = Pair::online_with(options, self::options().login(login("wrong")));
    let start = pair.now();
    pair.submit(&sample(1)).unwrap();
    pair.pass(3 * HOUR);
    let lost = losses(&pair, start);
    let within =
        |from: Duration, to: Duration| lost.iter().filter(|at| **at >= from && **at < to).count();
    // At first quickly, then at a delay of 60 s on the average.
    assert!(within(Duration::ZERO, MINUTE) >= 3, "{lost:?}");
    for hour in 1..3 {
        let count = within(hour * HOUR, (hour + 1) * HOUR);
        assert!((20..=120).contains(&count), "{count} in hour {hour}");
    }
    assert_eq!(pair.open_len(), 1, "it still waits");
    assert!(errors(&pair).iter().all(|error| *error == LinkError::Eof));
}

#[test]
fn a_wrong_login_is_retried_slowly_until_it_is_set_right() {
    let options = options().login(login("wrong"));
    let mut pair = Pair::online_with(users(UserState::Active), options);
    let refused = LinkError::Refused(ConnectRefusal::BadLogin);
    assert_eq!(errors(&pair), std::slice::from_ref(&refused));
    let id = pair.submit(&sample(1)).unwrap();
    pair.pass(2 * HOUR);
    let tries = errors(&pair);
    assert!((6..=14).contains(&tries.len()), "{} tries", tries.len());
    assert!(tries.iter().all(|error| *error == refused));
    assert!(pair.outcome(id).is_none());
    let now = pair.now();
    pair.connection.set_login(now, login("right")).unwrap();
    pair.pass(SECOND);
    assert!(pair.outcome(id).unwrap().is_ok());
}

#[test]
fn a_suspended_user_is_not_authorized() {
    let options = options().login(login("right"));
    let pair = Pair::online_with(users(UserState::Suspended), options);
    let refused = LinkError::Refused(ConnectRefusal::NotAuthorized);
    assert_eq!(errors(&pair), [refused]);
}

/// MQTT-3.2.2, table 3.1.
#[test]
fn each_refusal_has_its_name_and_only_one_is_retried_soon() {
    use ConnectRefusal as R;
    let refusals = [
        R::ProtocolVersion,
        R::ClientId,
        R::ServerUnavailable,
        R::BadLogin,
        R::NotAuthorized,
    ];
    for (code, refusal) in (1..).zip(refusals) {
        let now = Clock::new().now();
        let mut connection = Connection::new(options(), now, 1).unwrap();
        let Demand::Dial(link) = connection.demand() else {
            panic!("no dial is wanted");
        };
        connection.handle_connected(now, link);
        connection.handle_input(now, link, &[0x20, 2, 0, code]);
        let Some(Event::LinkLost { error, .. }) = connection.poll_event() else {
            panic!("refused");
        };
        assert_eq!(error, LinkError::Refused(refusal));
        assert_eq!(connection.demand(), Demand::Abandon(link));
        connection.handle_disconnected(now, link, LinkError::Eof);
        let wait = connection.poll_timeout().unwrap() - now;
        assert_eq!(
            wait < 2 * SECOND,
            refusal == R::ServerUnavailable,
            "{wait:?}"
        );
        assert!(wait < HOUR / 2);
    }
}

#[test]
fn a_refusal_may_end_everything() {
    let options = options().login(login("wrong")).give_up_on_refusal(true);
    let mut pair = Pair::new(users(UserState::Active), options, 1).unwrap();
    let id = pair.submit(&sample(1)).unwrap();
    pair.pass(SECOND);
    assert_eq!(pair.connection.link_state(), LinkState::Finished);
    assert_eq!(pair.outcome(id), Some(&Err(Failure::Closed)));
    assert_eq!(pair.link_events.last().unwrap().1, Event::Finished);
}

#[test]
fn a_half_open_link_is_found_within_one_and_a_half_intervals_even_by_who_only_sends() {
    for (up, down) in [(true, true), (true, false), (false, true)] {
        for sends in [false, true] {
            let mut pair = Pair::online_with(PlatformOptions::default(), options());
            pair.pass(7 * SECOND);
            pair.black_hole(up, down);
            let start = pair.now();
            for n in 0..100 {
                if sends {
                    let silent = Sample::new(n)
                        .confirm(Confirm::Nothing)
                        .qos(QoS::AtMostOnce);
                    pair.submit(&silent).unwrap();
                }
                pair.pass(SECOND);
            }
            let lost = losses(&pair, start);
            let found = *lost.first().unwrap();
            assert!(
                found <= 90 * SECOND,
                "{found:?} up {up} down {down} sends {sends}"
            );
            assert_eq!(errors(&pair), [LinkError::KeepAliveTimeout]);
            pair.pass(MINUTE);
            assert_eq!(pair.connection.link_state(), LinkState::Up);
        }
    }
}

#[test]
fn two_hours_without_a_link_lose_no_telemetry_within_the_bounds() {
    let mut pair = Pair::online();
    pair.dials = Dials::Fail;
    pair.cut();
    let start = pair.now();
    for n in 0..1_440 {
        pair.submit(&sample(n)).unwrap();
        pair.pass(5 * SECOND);
    }
    let dials = losses(&pair, start).len();
    assert!((60..=250).contains(&dials), "{dials} dials in two hours");
    assert_eq!(pair.open_len(), 1_440);
    pair.dials = Dials::Succeed;
    pair.pass(5 * MINUTE);
    assert_eq!(pair.open_len(), 0);
    assert_eq!(pair.statistics().confirmed, 1_440);
    assert_eq!(pair.snapshot().unwrap().samples, 1_440);
    let seen = pair.take_seen();
    let numbers = seen
        .iter()
        .map(|seen| String::from_utf8_lossy(&seen.payload));
    assert!(
        numbers.eq((0..1_440).map(|n: u32| n.to_string())),
        "in order"
    );
}

#[test]
fn a_dial_that_hangs_is_given_up() {
    let mut pair = Pair::new(PlatformOptions::default(), options(), 1).unwrap();
    pair.dials = Dials::Hang;
    pair.pass(25 * SECOND);
    assert_eq!(errors(&pair), [LinkError::DialTimeout]);
    pair.dials = Dials::Succeed;
    pair.pass(MINUTE);
    assert_eq!(pair.connection.link_state(), LinkState::Up);
}

#[test]
fn the_delays_begin_anew_only_after_a_link_was_stable() {
    let mut pair = Pair::online();
    // Ten links that die after 10 s.
    let mut waits = Vec::new();
    for _ in 0..10 {
        pair.pass(10 * SECOND);
        pair.cut();
        let start = pair.now();
        while pair.connection.link_state() != LinkState::Up {
            pair.pass(SECOND / 10);
        }
        waits.push(pair.now() - start);
    }
    let last: Duration = waits[5..].iter().sum();
    assert!(last > MINUTE, "{waits:?}");
    assert!(pair.connection.statistics().failures_in_a_row >= 9);
    pair.pass(31 * SECOND);
    assert_eq!(pair.connection.statistics().failures_in_a_row, 0);
    pair.cut();
    pair.pass(2 * SECOND);
    assert_eq!(pair.connection.link_state(), LinkState::Up);
}

#[test]
fn observations_are_asked_for_again_on_every_link() {
    let mut pair = Pair::online();
    pair.observe(&Observation::Commands(reboot())).unwrap();
    pair.observe(&Observation::Configuration(None)).unwrap();
    pair.observe_software("1").unwrap();
    pair.pass(SECOND);
    for _ in 0..3 {
        pair.take_seen();
        pair.cut();
        pair.pass(3 * MINUTE);
        let seen = pair.take_seen();
        let count = |end: &str| {
            let topics = seen.iter().map(|seen| &seen.topic);
            topics.filter(|topic| topic.contains(end)).count()
        };
        assert_eq!(count("/cex/JTjdbENzHh/command/reboot/"), 1);
        assert_eq!(count("/cmx/JTjdbENzHh/config/json/"), 1);
        assert_eq!(count("/cmx_ota/JTjdbENzHh/config/json/"), 1);
        let id = pair.operate(|platform, now| {
            platform
                .command(now, &name().unwrap(), &reboot(), None)
                .unwrap()
        });
        pair.pass(SECOND);
        assert_eq!(pair.poll_command().unwrap().id().as_i64(), Some(id));
    }
}

#[test]
fn who_takes_our_client_id_throws_us_out_and_we_come_back_slowly() {
    let mut pair = Pair::online();
    let start = pair.now();
    // Another device with the same client ID that comes back at once.
    let mut rounds = 0;
    while pair.now() < start + HOUR {
        let now = pair.now();
        let other = pair.server.handle_accepted(now);
        pair.server.handle_input(
            now,
            other,
            b"\x10\x12\x00\x04MQTT\x04\x02\x00\x00\x00\x06device",
        );
        let mut out = Vec::new();
        pair.server.poll_transmit(other, &mut out);
        assert_eq!(out, b"\x20\x02\x00\x00");
        pair.settle();
        pair.pass(SECOND / 20);
        assert_ne!(pair.connection.link_state(), LinkState::Up);
        let now = pair.now();
        while pair.connection.link_state() != LinkState::Up {
            pair.pass(SECOND);
        }
        assert_ne!(pair.now(), now, "we waited");
        rounds += 1;
    }
    assert!((20..=180).contains(&rounds), "{rounds} rounds in an hour");
    let log = pair.take_log();
    assert!(log.iter().any(|event| {
        matches!(&event.kind, platform::EventKind::Kicked { cause } if cause.contains("client ID"))
    }));
}

#[test]
fn requests_outlive_a_platform_that_starts_anew_in_their_midst() {
    let mut pair = Pair::online_with(platform(&[]), options());
    pair.observe(&Observation::Commands(reboot())).unwrap();
    let once = pair.submit(&Sample::new("once")).unwrap();
    for n in 0..200 {
        pair.submit(&sample(n)).unwrap();
    }
    // Between the first messages and their answers.
    pair.pass(SECOND / 100);
    pair.restart_platform(platform(&[]));
    pair.pass(5 * MINUTE);
    assert_eq!(pair.open_len(), 0);
    assert_eq!(pair.outcome(once), Some(&Err(Failure::OutcomeUnknown)));
    assert_eq!(pair.statistics().confirmed, 200);
    assert_eq!(pair.snapshot().unwrap().samples, 200);
    // What the first one had delivered comes again, and is surfaced once.
    assert_eq!(pair.statistics().commands_surfaced, 1);
}

#[test]
fn shutdown_under_load_gives_the_account_that_the_platform_saw() {
    let mut pair = Pair::online();
    for n in 0..5_000 {
        pair.submit(&sample(n)).unwrap();
    }
    let now = pair.now();
    pair.connection.close(now, SECOND / 2);
    pair.pass(MINUTE);
    assert_eq!(pair.connection.link_state(), LinkState::Finished);
    let account = pair.connection.account().unwrap().clone();
    let (confirmed, closed) = (account.outcomes.confirmed, account.outcomes.closed);
    assert_eq!(confirmed + closed, 5_000);
    assert!(confirmed > 100 && closed > 100, "{confirmed} {closed}");
    assert_eq!(account.unfinished.len() as u64, closed);
    let sent = account
        .unfinished
        .iter()
        .filter(|(_, one)| one.sent)
        .count() as u64;
    assert_eq!(pair.snapshot().unwrap().samples, confirmed + sent);
    assert_eq!(pair.open_len(), 0);
}

#[test]
fn shutdown_waits_for_what_is_asked_and_says_goodbye() {
    let mut pair = Pair::online();
    for n in 0..100 {
        pair.submit(&sample(n)).unwrap();
    }
    let now = pair.now();
    pair.connection.close(now, MINUTE);
    pair.pass(10 * SECOND);
    assert_eq!(pair.connection.link_state(), LinkState::Finished);
    let account = pair.connection.account().unwrap();
    assert_eq!(
        (account.outcomes.confirmed, account.unfinished.len()),
        (100, 0)
    );
    assert_eq!(pair.snapshot().unwrap().samples, 100);
    let log = pair.take_log_names();
    assert!(log.contains(&"disconnected") && !log.contains(&"kicked"));
    assert!(pair.submit(&Sample::new(1)).is_err());
}

#[test]
fn shutdown_without_a_link_ends_in_time_and_nothing_was_sent() {
    let mut pair = Pair::online();
    pair.dials = Dials::Fail;
    pair.cut();
    for n in 0..10 {
        pair.submit(&sample(n)).unwrap();
    }
    let now = pair.now();
    pair.connection.close(now, 10 * SECOND);
    pair.pass(11 * SECOND);
    assert_eq!(pair.connection.link_state(), LinkState::Finished);
    let account = pair.connection.account().unwrap();
    assert_eq!(
        (account.outcomes.closed, account.unfinished.len()),
        (10, 10)
    );
    assert!(account.unfinished.iter().all(|(_, one)| !one.sent));
    assert!(pair.snapshot().is_none_or(|snapshot| snapshot.samples == 0));
}

#[test]
fn shutdown_uses_a_link_that_comes_back_in_time() {
    let mut pair = Pair::online();
    pair.dials = Dials::Fail;
    pair.cut();
    pair.submit(&sample(1)).unwrap();
    let now = pair.now();
    pair.connection.close(now, 10 * MINUTE);
    pair.pass(20 * SECOND);
    pair.dials = Dials::Succeed;
    pair.pass(5 * MINUTE);
    assert_eq!(pair.connection.account().unwrap().outcomes.confirmed, 1);
    assert_eq!(pair.connection.link_state(), LinkState::Finished);
    assert_eq!(pair.snapshot().unwrap().samples, 1);
}

/// What it reads may be all that a slow link shows of its life.
#[test]
fn answers_are_read_while_a_large_message_is_written() {
    let mut pair = Pair::new(PlatformOptions::default(), options(), 1).unwrap();
    pair.bandwidth = Some(Bandwidth {
        rate: 4_000,
        buffer: 16_384,
    });
    pair.pass(SECOND);
    let small = pair.submit(&sample(1)).unwrap();
    let large = Sample::new("x".repeat(250_000)).resend(Resend::Never);
    let large = pair.submit(&large).unwrap();
    pair.pass(10 * SECOND);
    assert!(pair.outcome(small).is_some_and(Result::is_ok));
    assert!(pair.outcome(large).is_none());
    pair.pass(MINUTE);
    assert!(pair.outcome(large).is_some_and(Result::is_ok));
    assert_eq!(pair.connection.statistics().losses.total(), 0);
}
