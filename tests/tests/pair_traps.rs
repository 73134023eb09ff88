//! The traps of FACTS that need a link: client and platform over bytes. Trap 34 is in
//! `pair_gateway.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::time::Duration;

use kaa_proto::QoS;
use kaa_proto::connection::{Event, LinkError, LinkState, Options};
use kaa_proto::endpoint::{EndpointOptions, Observation, Subscriptions};
use kaa_proto::mqtt::Login;
use kaa_proto::names::{EndpointName, Extension};
use kaa_proto::platform::{Platform, PlatformOptions, Secret, User, UserState};
use kaa_proto::raw::Call;
use kaa_proto::request::{Confirm, Failure, RequestExt, Resend, Service};
use kaa_proto::telemetry::Sample;
use kaa_proto::{config, metadata};
use kaa_tests::device::{Device, name};
use kaa_tests::operations::{EXPECTED, MESSAGES, platform, reboot, run};
use kaa_tests::pair::Pair;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn pair(switches: &[(&str, &str)]) -> Pair {
    Pair::online_with(platform(switches), Options::new("device"))
}

#[test]
fn trap_02_a_device_whose_token_is_a_number_is_served_like_any_other() {
    let mut pair = Pair::online();
    let imei = pair.add("356307042441013");
    let tsx = Service::Other(Extension::new("tsx").unwrap());
    let ids = [
        pair.submit_of(imei, &Call::new(tsx, "")),
        pair.submit_of(imei, &Sample::new(1)),
        pair.submit_of(imei, &metadata::Keys),
        pair.submit_of(imei, &config::Get::new()),
    ];
    pair.pass(SECOND);
    for id in ids {
        let outcome = pair.outcome_of(imei, id.unwrap()).unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    // Without resource and ID the token is the last level, and still no ID.
    let tsx = Call::new(Service::Other(Extension::new("tsx").unwrap()), "");
    pair.submit_of(imei, &tsx.confirm(Confirm::Nothing))
        .unwrap();
    pair.pass(SECOND);
    let seen = pair.take_seen();
    assert_eq!(
        seen.last().unwrap().topic,
        "kp1/demo-v1/tsx/356307042441013"
    );
    assert!(pair.take_log_names().ends_with(&["time-asked"]));
}

#[test]
fn trap_13_an_answer_that_comes_on_the_next_link_is_for_no_new_request() {
    let mut pair = pair(&[]);
    pair.fault("late 5s dcx");
    let old = pair.submit(&Sample::new("old")).unwrap();
    pair.pass(SECOND);
    pair.cut();
    pair.pass(2 * SECOND);
    assert_eq!(pair.connection.link_state(), LinkState::Up);
    assert_eq!(pair.outcome(old), Some(&Err(Failure::OutcomeUnknown)));
    pair.fault("lose dcx times 98");
    let new: Vec<_> = (0..98)
        .map(|n| pair.submit(&Sample::new(n)).unwrap())
        .collect();
    pair.pass(10 * SECOND);
    assert_eq!(pair.statistics().late_answers, 1, "it came");
    assert!(
        new.iter().all(|id| pair.outcome(*id).is_none()),
        "it is taken for none of them"
    );
    let seen = pair.take_seen();
    let first = "kp1/demo-v1/dcx/JTjdbENzHh/json/1";
    assert_eq!(seen.iter().filter(|seen| seen.topic == first).count(), 1);
}

#[test]
fn trap_16_own_publishes_that_are_echoed_are_no_answers() {
    for subscriptions in [Subscriptions::PerResource, Subscriptions::PerEndpoint] {
        let endpoint = EndpointOptions::default().subscriptions(subscriptions);
        let options = Options::new("device").endpoint(endpoint);
        let mut pair = Pair::online_with(platform(&[("echo", "on")]), options);
        let results = run(&mut pair);
        let results: Vec<_> = results
            .iter()
            .map(|(name, text)| (*name, &**text))
            .collect();
        assert_eq!(results, EXPECTED);
        pair.observe(&Observation::Commands(reboot())).unwrap();
        pair.observe(&Observation::Configuration(None)).unwrap();
        pair.pass(SECOND);
        assert!(
            pair.poll_command().is_none(),
            "our own results are no commands"
        );
        let statistics = pair.statistics();
        assert_eq!((statistics.malformed, statistics.foreign_answers), (0, 0));
        // The two raw calls are the only ones that subscribe to a whole extension.
        let all = match subscriptions {
            Subscriptions::PerEndpoint => MESSAGES.len() as u64 + 2,
            Subscriptions::PerResource | Subscriptions::None => 2,
        };
        assert_eq!(statistics.echoes, all, "{subscriptions:?}");
        assert_eq!(pair.connection.statistics().malformed_topics, 0);
    }
}

#[test]
fn trap_17_answers_that_go_to_subscribers_only_find_their_subscription() {
    for latency in [1, 100, 2_000] {
        for subscriptions in [Subscriptions::PerResource, Subscriptions::PerEndpoint] {
            let endpoint = EndpointOptions::default().subscriptions(subscriptions);
            let options = Options::new("device").endpoint(endpoint);
            let switches = platform(&[("delivery", "subscription")]);
            let mut pair = Pair::new(switches, options, 1).unwrap();
            pair.latency = Duration::from_millis(latency);
            // Submitted before there is a link, so all is sent as soon as it may be.
            let sample = pair.submit(&Sample::new(1)).unwrap();
            let keys = pair.submit(&metadata::Keys).unwrap();
            pair.observe(&Observation::Commands(reboot())).unwrap();
            pair.pass(MINUTE);
            assert!(pair.outcome(sample).unwrap().is_ok(), "{latency} ms");
            // CONNECT and SUBSCRIBE were answered before: five times one way.
            let log = pair.take_log();
            let at = |name| {
                log.iter()
                    .find(|event| event.kind.name() == name)
                    .unwrap()
                    .at
            };
            let waited = at("telemetry") - at("link-opened");
            assert_eq!(waited, 5 * pair.latency, "{latency} ms");
            assert!(pair.outcome(keys).unwrap().is_ok(), "{latency} ms");
            assert!(pair.poll_command().is_some(), "{latency} ms");
        }
    }
}

fn with_user(switches: &[(&str, &str)]) -> PlatformOptions {
    PlatformOptions {
        users: vec![User {
            name: "device@b62f2e36-4f22-4a3c".into(),
            password: Secret::new("p@ss:word/"),
            state: UserState::Active,
        }],
        ..platform(switches)
    }
}

#[test]
fn trap_32_a_login_that_is_refused_at_the_first_publish_is_no_hammer() {
    let switches = [("auth-failure", "drop-at-publish")];
    let options = Options::new("device").login(Some(Login::new("nobody")));
    let mut pair = Pair::online_with(with_user(&switches), options);
    assert_eq!(
        pair.connection.link_state(),
        LinkState::Up,
        "CONNACK says yes"
    );
    let id = pair
        .submit(&Sample::new(1).resend(Resend::AfterLinkLoss))
        .unwrap();
    pair.pass(60 * MINUTE);
    let statistics = pair.connection.statistics();
    assert!(
        (20..=130).contains(&statistics.dials),
        "{} dials",
        statistics.dials
    );
    let kicked = pair.link_events.iter().filter(|(_, event)| {
        matches!(
            event,
            Event::LinkLost {
                error: LinkError::Eof,
                was: LinkState::Up,
                ..
            }
        )
    });
    assert_eq!(kicked.count() as u64, statistics.links_lost);
    assert!(statistics.failures_in_a_row > 10);
    // Mended, it goes on at once.
    let login = Login::new("device@b62f2e36-4f22-4a3c").with_password("p@ss:word/");
    let now = pair.now();
    pair.connection.set_login(now, Some(login)).unwrap();
    pair.pass(3 * MINUTE);
    assert!(pair.outcome(id).unwrap().is_ok());
}

#[test]
fn trap_33_a_user_name_with_its_tenant_goes_over_the_wire_as_it_is() {
    let login = Login::new("device@b62f2e36-4f22-4a3c").with_password("p@ss:word/");
    let options = Options::new("device").login(Some(login));
    let mut pair = Pair::online_with(with_user(&[]), options);
    assert_eq!(pair.ask(&Sample::new(1)), Ok(()));
    // Half of the name is another one.
    let login = Login::new("device").with_password("p@ss:word/");
    let options = Options::new("device").login(Some(login));
    let pair = Pair::online_with(with_user(&[]), options);
    assert_eq!(pair.connection.statistics().links_up, 0);
}

#[test]
fn trap_35_an_observing_endpoint_speaks_on_every_link_before_it_expects_pushes() {
    let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
    let options = Options::new("device").endpoint(endpoint);
    let switches = [("delivery", "last-speaker")];
    let mut pair = Pair::online_with(platform(&switches), options);
    pair.observe(&Observation::Commands(reboot())).unwrap();
    pair.pass(SECOND);
    assert!(pair.poll_command().is_some());
    for _ in 0..3 {
        pair.cut();
        assert!(!pair.snapshot().unwrap().online);
        pair.pass(3 * MINUTE);
        assert!(
            pair.snapshot().unwrap().online,
            "it spoke, though nobody asked it to"
        );
        let command = |platform: &mut Platform, now| {
            platform
                .command(now, &name().unwrap(), &reboot(), None)
                .unwrap();
        };
        pair.operate(command);
        pair.pass(SECOND);
        assert!(pair.poll_command().is_some(), "pushed");
    }
}

#[test]
fn trap_36_an_acknowledged_message_is_not_taken_for_a_processed_one() {
    let mut pair = pair(&[]);
    pair.ask(&metadata::Keys).unwrap();
    // The front end acknowledges, the extension takes nothing.
    pair.fault("black-hole 2m dcx");
    let answered = pair.submit(&Sample::new(1).qos(QoS::AtLeastOnce)).unwrap();
    let acknowledged = pair
        .submit(&Sample::new(2).confirm(Confirm::Acknowledged))
        .unwrap();
    pair.pass(SECOND);
    assert!(
        pair.outcome(answered).is_none(),
        "there was a PUBACK, but no answer"
    );
    let reply = pair.outcome(acknowledged).unwrap().as_ref().unwrap();
    assert_eq!(reply.confirmed(), Confirm::Acknowledged);
    pair.pass(MINUTE);
    assert_eq!(pair.outcome(answered), Some(&Err(Failure::Unanswered)));
    assert_eq!(pair.snapshot().unwrap().samples, 0);
    // And it is not sent twice to make sure of it.
    let seen = pair.take_seen();
    assert_eq!(
        seen.iter()
            .filter(|seen| seen.topic.contains("/dcx/"))
            .count(),
        2
    );
    pair.cut();
    pair.pass(3 * MINUTE);
    assert!(
        pair.take_seen()
            .iter()
            .all(|seen| !seen.topic.contains("/dcx/"))
    );
}

#[test]
fn trap_14_an_endpoint_that_speaks_elsewhere_too_gets_answers_it_did_not_ask_for() {
    let mut pair = pair(&[]);
    pair.ask(&Sample::new(1)).unwrap();
    // Another client speaks for the same token; its answers come to us, who subscribed to them.
    let now = pair.now();
    let other = pair.server.handle_accepted(now);
    let input = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c\
        \x30\x25\x00\x22kp1/demo-v1/dcx/JTjdbENzHh/json/771";
    pair.server.handle_input(now, other, input);
    pair.settle();
    pair.pass(SECOND);
    let name = EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap();
    assert_eq!(pair.platform().state(&name).unwrap().samples, 2);
    assert_eq!(pair.statistics().foreign_answers, 1);
    pair.ask(&Sample::new(3)).unwrap();
}
