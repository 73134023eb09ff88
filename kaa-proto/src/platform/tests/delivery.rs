use super::super::testing::{Bench, LINK};
use super::super::{LinkId, Recipients};
use crate::QoS;
use crate::names::EndpointName;

fn device() -> EndpointName {
    EndpointName::parse("v", "t").unwrap()
}

#[test]
fn an_answer_goes_to_the_last_speaker_and_to_subscribers_as_the_switch_says() {
    for (value, link, subscribers) in [
        ("both", Some(LINK), true),
        ("last-speaker", Some(LINK), false),
        ("subscription", None, true),
    ] {
        let mut bench = Bench::with(&[("delivery", value)]);
        bench.publish("kp1/v/dcx/t/json/1", "1");
        assert_eq!(
            bench.recipients(),
            Recipients { link, subscribers },
            "{value}"
        );
    }
}

#[test]
fn an_answer_has_the_qos_of_its_request_and_a_push_of_the_latest_message() {
    let mut bench = Bench::new();
    let now = bench.now();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        bench
            .platform
            .handle_message(now, LINK, "kp1/v/dcx/t/json/1", b"1", qos);
        assert_eq!(bench.delivery().qos, qos);
        bench.command(&device(), "x", None);
        assert_eq!(bench.delivery().qos, qos);
    }
}

#[test]
fn the_earliest_of_all_deadlines_is_told() {
    let mut bench = Bench::with(&[("idle-disconnect", "30s")]);
    let start = bench.now();
    let after = |seconds| Some(start + std::time::Duration::from_secs(seconds));
    bench.fault("late 5s dcx");
    bench.fault("black-hole 20s bcx");
    bench.publish("kp1/v/dcx/t/json/1", "1");
    bench.command(&device(), "x", None);
    for seconds in [5, 20, 30, 60] {
        assert_eq!(bench.platform.poll_timeout(), after(seconds));
        let passed = bench.now().duration_since(start).as_secs();
        bench.advance(seconds - passed);
    }
    assert_eq!(bench.platform.poll_timeout(), None);
}

/// Endpoints roam between connections in turns.
#[test]
fn trap_14_everything_of_an_endpoint_follows_the_link_where_it_last_spoke() {
    let mut bench = Bench::with(&[("delivery", "last-speaker")]);
    let other = LinkId::new(2);
    bench.publish("kp1/v/dcx/t/json", "1");
    bench.publish_on(other, "kp1/v/dcx/t/json", "1");
    bench.command(&device(), "x", None);
    assert_eq!(bench.recipients().link, Some(other));
    let now = bench.now();
    bench.platform.handle_link_closed(now, LINK);
    assert!(bench.snapshot("v", "t").online);
    bench.platform.handle_link_closed(now, other);
    assert!(!bench.snapshot("v", "t").online);
    assert!(bench.saw("v/… disconnected cause=\"link closed\""));
    bench.command(&device(), "x", None);
    assert!(bench.is_silent());
}

#[test]
fn trap_13_a_late_answer_finds_the_link_where_the_endpoint_speaks_by_then() {
    let mut bench = Bench::with(&[("delivery", "last-speaker")]);
    bench.fault("late 5s dcx");
    bench.publish("kp1/v/dcx/t/json/1", "1");
    let now = bench.now();
    bench.platform.handle_link_closed(now, LINK);
    bench.publish_on(LinkId::new(2), "kp1/v/epmx/t/update", r#"{"a":1}"#);
    assert!(bench.is_silent());
    bench.advance(5);
    let delivery = bench.delivery();
    assert_eq!(delivery.topic, "kp1/v/dcx/t/json/1/status");
    assert_eq!(delivery.recipients.link, Some(LinkId::new(2)));
}

#[test]
fn trap_35_a_silent_endpoint_gets_no_pushes_until_it_speaks() {
    let mut bench = Bench::with(&[("idle-disconnect", "30s")]);
    bench.publish("kp1/v/dcx/t/json", "1");
    bench.advance(29);
    bench.publish("kp1/v/dcx/t/json", "1");
    bench.advance(29);
    bench.command(&device(), "x", None);
    assert_eq!(bench.drain().len(), 1);
    bench.advance(1);
    assert!(bench.saw("disconnected cause=\"idle\""));
    bench.command(&device(), "x", None);
    assert!(bench.is_silent());
    bench.publish("kp1/v/dcx/t/json", "1");
    bench.command(&device(), "x", None);
    assert_eq!(bench.drain().len(), 1);
}

#[test]
fn trap_16_publishes_are_echoed_to_subscribers_if_it_plays_a_broker() {
    let mut bench = Bench::with(&[("echo", "on"), ("delivery", "last-speaker")]);
    bench.publish("kp1/v/dcx/t/json/1", "1");
    let echo = bench.delivery();
    assert_eq!(
        (echo.topic.as_str(), echo.payload),
        ("kp1/v/dcx/t/json/1", b"1".to_vec())
    );
    assert_eq!(
        echo.recipients,
        Recipients {
            link: None,
            subscribers: true
        }
    );
    assert_eq!(bench.answer().0, "kp1/v/dcx/t/json/1/status");
}

#[test]
fn an_operator_can_kick_who_is_connected() {
    let mut bench = Bench::with_fixture(r#"{"appVersions":{"v":{"endpoints":{"t":{}}}}}"#, &[]);
    let now = bench.now();
    let unknown = EndpointName::parse("v", "x").unwrap();
    let error = bench.platform.kick(now, &unknown).unwrap_err();
    assert_eq!(error.to_string(), "unknown endpoint");
    assert!(
        bench
            .platform
            .set_software(now, &unknown, "1", serde_json::Value::Null)
            .is_err()
    );
    let error = bench.platform.kick(now, &device()).unwrap_err();
    assert_eq!(error.to_string(), "the endpoint is not connected");
    bench.publish("kp1/v/dcx/t/json", "1");
    assert_eq!(bench.platform.kick(now, &device()), Ok(LINK));
    assert_eq!(bench.platform.poll_hang_up(), Some(LINK));
    assert_eq!(bench.platform.endpoints_of(device().token()), [device()]);
}

#[test]
fn neither_tokens_nor_payloads_are_shown() {
    let mut bench = Bench::new();
    bench.publish("kp1/v/bcx/JTjdbENzHh/token/1", "{}");
    let platform = format!("{:?}", bench.platform);
    assert!(platform.contains("endpoints: 1"), "{platform}");
    let delivery = bench.delivery();
    let shown = format!("{delivery:?}");
    assert!(shown.contains("kp1/v/bcx/JTj…/token/1/status"), "{shown}");
    let payload = String::from_utf8(delivery.payload).unwrap();
    for text in [platform, shown] {
        assert!(
            !text.contains("JTjdb") && !text.contains(&payload),
            "{text}"
        );
    }
}
