use super::super::testing::{Bench, LINK};
use super::super::{Platform, PlatformOptions, Service};
use crate::QoS;
use crate::names::Extension;

const FIXTURE: &str = r#"{"appVersions": {"v": {"endpoints": {"t": {}}}}}"#;

#[test]
fn without_fixture_any_version_and_token_is_created_on_first_contact() {
    let mut bench = Bench::new();
    bench.publish("kp1/1.0/dcx/356938035643809/json/1", "1");
    assert_eq!(
        bench.answer().0,
        "kp1/1.0/dcx/356938035643809/json/1/status"
    );
    assert!(bench.saw("1.0/356… connected"));
    assert_eq!(bench.platform.endpoints().count(), 1);
}

#[test]
fn with_a_fixture_an_unknown_token_gets_what_the_switch_says() {
    for (value, code) in [("401", 401), ("403", 403), ("404", 404)] {
        let mut bench = Bench::with_fixture(FIXTURE, &[("bad-token", value)]);
        bench.publish("kp1/v/dcx/secret-token/json/1", "1");
        let body = format!(r#"{{"statusCode":{code},"reasonPhrase":"Unknown endpoint token"}}"#);
        assert_eq!(
            bench.answer(),
            ("kp1/v/dcx/secret-token/json/1/error".into(), body)
        );
        assert!(bench.saw("breach") && !bench.saw("secret-token"));
    }
    let mut bench = Bench::with_fixture(FIXTURE, &[("bad-token", "disconnect")]);
    bench.publish("kp1/v/dcx/x/json/1", "1");
    assert!(bench.is_silent());
    assert_eq!(bench.platform.poll_hang_up(), Some(LINK));
    let mut bench = Bench::with_fixture(FIXTURE, &[]);
    bench.publish("kp1/v/dcx/t/json/1", "1");
    assert_eq!(bench.answer().0, "kp1/v/dcx/t/json/1/status");
}

#[test]
fn unknown_versions_extensions_and_foreign_topics_get_what_the_switches_say() {
    let version = "kp1/w/dcx/t/json/1";
    let extension = "kp1/v/xyz/t/json/1";
    let foreign = "kp2/v/dcx/t/json/1";
    for (topic, switch) in [
        (version, "unknown-version"),
        (extension, "unknown-extension"),
    ] {
        let mut bench = Bench::with_fixture(FIXTURE, &[]);
        bench.publish(topic, "1");
        let (answered, body) = bench.answer();
        assert_eq!(answered, format!("{topic}/error"));
        assert!(body.contains("404"));
        let mut bench = Bench::with_fixture(FIXTURE, &[(switch, "silence")]);
        bench.publish(topic, "1");
        assert!(bench.is_silent() && bench.platform.poll_hang_up().is_none());
        let mut bench = Bench::with_fixture(FIXTURE, &[(switch, "disconnect")]);
        bench.publish(topic, "1");
        assert!(bench.is_silent() && bench.platform.poll_hang_up() == Some(LINK));
    }
    let mut bench = Bench::with(&[]);
    for topic in [foreign, "", "kp1/v", "kp1/v/dcx/+/json", "a/#"] {
        bench.publish(topic, "1");
        assert!(
            bench.is_silent() && bench.platform.poll_hang_up().is_none(),
            "{topic}"
        );
    }
    assert!(bench.saw("link 1 breach"));
    let mut bench = Bench::with(&[("foreign-topic", "disconnect")]);
    bench.publish(foreign, "1");
    assert_eq!(bench.platform.poll_hang_up(), Some(LINK));
}

#[test]
fn trap_16_answers_and_own_publishes_that_come_back_are_no_requests() {
    let mut bench = Bench::new();
    bench.publish("kp1/v/dcx/t/json/1/status", "");
    bench.publish("kp1/v/dcx/t/json/1/error", "{");
    bench.publish("kp1/v/cex/t/command/x/status", "[]");
    assert!(bench.is_silent());
    assert!(!bench.saw("breach") && !bench.saw("connected"));
}

#[test]
fn a_message_above_the_limit_closes_its_link() {
    let mut bench = Bench::with(&[("max-packet", "30")]);
    bench.publish("kp1/v/dcx/t/json/1", "123456789012");
    assert_eq!(bench.drain().len(), 1);
    bench.publish("kp1/v/dcx/t/json/1", "1234567890123");
    assert!(bench.is_silent());
    assert_eq!(bench.platform.poll_hang_up(), Some(LINK));
    assert!(bench.saw("kicked"));
}

#[test]
fn the_number_of_endpoints_is_bounded() {
    let mut bench = Bench::new();
    let options = PlatformOptions {
        max_endpoints: 1,
        ..PlatformOptions::default()
    };
    bench.platform = Platform::new(options, 1);
    bench.publish("kp1/v/dcx/a/json/1", "1");
    assert!(bench.answer().0.ends_with("status"));
    bench.publish("kp1/v/dcx/b/json/1", "1");
    assert!(bench.answer().1.contains("401"));
}

#[test]
fn extension_instances_can_have_other_names() {
    let mut options = PlatformOptions::default();
    let name = Extension::new("ota2").unwrap();
    options.extensions = [(name, Service::CmxOta)].into();
    let mut bench = Bench::new();
    bench.platform = Platform::new(options, 1);
    bench.publish("kp1/v/ota2/t/config/json/1", "");
    assert_eq!(
        bench.answer(),
        ("kp1/v/ota2/t/config/json/1/status".into(), "{}".into())
    );
    bench.publish("kp1/v/dcx/t/json/1", "");
    assert!(bench.answer().1.contains("Unknown extension"));
}

#[test]
fn the_same_seed_and_messages_give_the_same_platform() {
    let run = |seed| {
        let mut bench = Bench::new();
        bench.platform = Platform::new(PlatformOptions::default(), seed);
        let now = bench.now();
        bench
            .platform
            .handle_message(now, LINK, "kp1/v/bcx/t/token/1", b"", QoS::AtMostOnce);
        bench.answer()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
