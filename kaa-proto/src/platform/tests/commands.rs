use super::super::LinkId;
use super::super::testing::{Bench, LINK};
use crate::names::EndpointName;

const REBOOT: &str = r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
    "commands": {"reboot": [{"id": 1, "payload": {"delay": 5}}]}}}}}}"#;
const REQUEST: &str = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/1";
const RESULT: &str = "kp1/demo-v1/cex/JTjdbENzHh/result/reboot/1";
const PUSHED: &str = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/status";

fn device() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

fn ask(bench: &mut Bench, payload: &str) -> String {
    bench.publish(REQUEST, payload);
    let (topic, answer) = bench.answer();
    assert_eq!(topic, "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/1/status");
    answer
}

/// Not the schema of the page, which shows the request (FACTS trap 21).
#[test]
fn trap_26_a_command_is_delivered_until_its_result_is_reported() {
    let mut bench = Bench::with_fixture(REBOOT, &[]);
    for _ in 0..2 {
        assert_eq!(
            ask(&mut bench, r#"{"observe": true}"#),
            r#"[{"id":1,"payload":{"delay":5}}]"#
        );
    }
    assert!(bench.saw(r#"command-delivered id=1 type="reboot""#));
    bench.publish(
        RESULT,
        r#"[{"id": 1, "statusCode": 200, "reasonPhrase": "Ok", "payload": {"engine_on": true}}]"#,
    );
    let confirmed = "kp1/demo-v1/cex/JTjdbENzHh/result/reboot/1/status";
    assert_eq!(bench.answer(), (confirmed.into(), "".into()));
    assert!(bench.saw(r#"command-result id=1 known=true payload={"engine_on":true}"#));
    assert_eq!(ask(&mut bench, "{}"), "[]");
    let state = bench.snapshot("demo-v1", "JTjdbENzHh");
    assert_eq!(
        state.results.first().map(|r| (r.id, r.status_code)),
        Some((1, 200))
    );
    assert!(state.commands.is_empty());
}

#[test]
fn trap_29_a_command_is_gone_after_its_time() {
    let mut bench = Bench::new();
    bench.command(&device(), "reboot", None);
    bench.drain();
    bench.advance(59);
    assert_eq!(ask(&mut bench, "{}"), r#"[{"id":1}]"#);
    bench.advance(1);
    assert!(bench.saw(r#"command-expired id=1 type="reboot""#));
    assert_eq!(ask(&mut bench, "{}"), "[]");
    assert_eq!(bench.platform.poll_timeout(), None);
}

#[test]
fn the_time_of_a_command_and_where_it_begins_are_switches() {
    let mut bench = Bench::with(&[("command-ttl", "5s"), ("command-clock", "delivery")]);
    bench.publish("kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
    bench.publish(REQUEST, r#"{"observe": false}"#);
    bench.drain();
    bench.command(&device(), "reboot", None);
    bench.advance(100);
    assert_eq!(ask(&mut bench, "{}"), r#"[{"id":1}]"#);
    bench.advance(4);
    assert_eq!(ask(&mut bench, "{}"), r#"[{"id":1}]"#);
    bench.advance(1);
    assert_eq!(ask(&mut bench, "{}"), "[]");
}

#[test]
fn without_time_to_live_a_command_is_pushed_once_and_never_listed() {
    let mut bench = Bench::with(&[("command-ttl", "0s")]);
    bench.command(&device(), "reboot", Some(r#"{"delay":5}"#));
    assert_eq!(
        bench.answer(),
        (PUSHED.into(), r#"[{"id":1,"payload":{"delay":5}}]"#.into())
    );
    assert_eq!(ask(&mut bench, "{}"), "[]");
}

/// Not even where the time begins with the delivery.
#[test]
fn without_time_to_live_a_command_that_could_not_be_pushed_is_lost() {
    let mut bench = Bench::with(&[("command-ttl", "0s"), ("command-clock", "delivery")]);
    ask(&mut bench, r#"{"observe": false}"#);
    bench.command(&device(), "reboot", None);
    assert_eq!(ask(&mut bench, "{}"), "[]");
}

#[test]
fn the_time_of_a_fixture_command_begins_when_its_endpoint_speaks() {
    let mut bench = Bench::with_fixture(REBOOT, &[]);
    bench.advance(3_600);
    bench.publish("kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
    bench.advance(59);
    assert_ne!(ask(&mut bench, "{}"), "[]");
    bench.advance(1);
    assert_eq!(ask(&mut bench, "{}"), "[]");
}

/// IDs are unique within endpoint and type only.
#[test]
fn trap_08_a_command_is_pushed_without_any_request_and_without_id() {
    let mut bench = Bench::new();
    bench.publish("kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
    assert_eq!(bench.command(&device(), "reboot", None), 1);
    let delivery = bench.delivery();
    assert_eq!(delivery.topic, PUSHED);
    assert_eq!(delivery.payload, br#"[{"id":1}]"#);
    assert_eq!(delivery.recipients.link, Some(LINK));
    assert_eq!(bench.command(&device(), "reboot", None), 2);
    assert_eq!(bench.command(&device(), "blink", None), 1);
}

#[test]
fn trap_18_observe_false_stops_pushes_of_its_type_until_the_endpoint_disconnects() {
    let mut bench = Bench::new();
    ask(&mut bench, r#"{"observe": false}"#);
    bench.command(&device(), "reboot", None);
    assert!(bench.is_silent());
    bench.command(&device(), "blink", None);
    assert_eq!(bench.drain().len(), 1);
    bench.publish_on(LinkId::new(2), "kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
    bench.command(&device(), "reboot", None);
    assert_eq!(bench.answer().0, PUSHED);
}

#[test]
fn the_scope_and_the_end_of_observe_false_are_switches() {
    let mut bench = Bench::with(&[
        ("observe-scope", "endpoint"),
        ("observe-until", "withdrawn"),
    ]);
    ask(&mut bench, r#"{"observe": false}"#);
    bench.command(&device(), "blink", None);
    assert!(bench.is_silent());
    let now = bench.now();
    bench.platform.handle_link_closed(now, LINK);
    bench.publish_on(LinkId::new(2), "kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
    bench.command(&device(), "blink", None);
    assert!(bench.is_silent());
    ask(&mut bench, r#"{"observe": true}"#);
    bench.command(&device(), "blink", None);
    assert_eq!(bench.drain().len(), 1);
}

#[test]
fn trap_10_pushes_go_where_the_switch_says() {
    for (value, topics) in [
        ("no-id", &[PUSHED][..]),
        (
            "with-id",
            &["kp1/demo-v1/cex/JTjdbENzHh/command/reboot/1/status"],
        ),
        (
            "both",
            &[PUSHED, "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/1/status"],
        ),
    ] {
        let mut bench = Bench::with(&[("push-topic", value)]);
        ask(&mut bench, r#"{"observe": true}"#);
        bench.command(&device(), "reboot", None);
        let pushed: Vec<_> = bench.drain().into_iter().map(|(topic, _)| topic).collect();
        assert_eq!(pushed, topics, "{value}");
    }
}

#[test]
fn a_request_without_id_gets_the_commands_there_are() {
    let request = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot";
    let mut bench = Bench::with_fixture(REBOOT, &[]);
    bench.publish(request, r#"{"observe":true}"#);
    assert_eq!(
        bench.answer(),
        (PUSHED.into(), r#"[{"id":1,"payload":{"delay":5}}]"#.into())
    );
    let mut bench = Bench::with_fixture(REBOOT, &[("without-id", "none")]);
    bench.publish(request, r#"{"observe":true}"#);
    assert!(bench.is_silent());
    let mut bench = Bench::new();
    bench.publish(request, "");
    assert!(bench.is_silent());
}

#[test]
fn trap_27_the_path_of_all_types_names_the_type() {
    let mut bench = Bench::new();
    bench.command(&device(), "reboot", None);
    bench.command(&device(), "blink", Some("3"));
    bench.drain();
    bench.publish(
        "kp1/demo-v1/cex/JTjdbENzHh/command/9",
        r#"{"observe":true}"#,
    );
    assert_eq!(
        bench.answer(),
        (
            "kp1/demo-v1/cex/JTjdbENzHh/command/9/status".into(),
            r#"[{"id":1,"payload":3,"type":"blink"},{"id":1,"type":"reboot"}]"#.into()
        )
    );
    bench.command(&device(), "blink", None);
    assert_eq!(
        bench.answer(),
        (
            "kp1/demo-v1/cex/JTjdbENzHh/command/status".into(),
            r#"[{"id":2,"type":"blink"}]"#.into()
        )
    );
}

#[test]
fn trap_28_results_may_be_confirmed_by_silence() {
    let mut bench = Bench::with(&[("result-success", "silence")]);
    bench.publish(RESULT, r#"[{"id":1,"statusCode":200}]"#);
    assert!(bench.is_silent());
    bench.publish(RESULT, "{}");
    assert!(bench.answer().0.ends_with("/error"));
}

#[test]
fn an_unknown_result_is_a_success_or_404_and_the_known_ones_count() {
    let results = r#"[{"id":1,"statusCode":200},{"id":7,"statusCode":409.0}]"#;
    let mut bench = Bench::with_fixture(REBOOT, &[]);
    bench.publish(RESULT, results);
    assert!(bench.answer().1.contains("statusCode must be an integer"));
    let results = results.replace("409.0", "409");
    let mut bench = Bench::with_fixture(REBOOT, &[]);
    bench.publish(RESULT, &results);
    assert!(bench.answer().0.ends_with("/status"));
    let mut bench = Bench::with_fixture(REBOOT, &[("unknown-result", "404")]);
    bench.publish(RESULT, &results);
    assert_eq!(
        bench.answer().1,
        r#"{"statusCode":404,"reasonPhrase":"Unknown command"}"#
    );
    assert_eq!(ask(&mut bench, ""), "[]");
    assert!(bench.saw("command-result id=7 known=false"));
}

#[test]
fn commands_and_their_types_are_bounded() {
    let mut bench = Bench::new();
    let of_type = crate::names::CommandType::new("a").unwrap();
    let now = bench.now();
    for _ in 0..1_024 {
        bench.command(&device(), "a", None);
    }
    assert!(
        bench
            .platform
            .command(now, &device(), &of_type, None)
            .is_err()
    );
    bench.drain();
    for n in 0..255 {
        bench.publish(
            &format!("kp1/demo-v1/cex/JTjdbENzHh/command/t{n}/1"),
            r#"{"observe":true}"#,
        );
    }
    bench.drain();
    bench.publish("kp1/demo-v1/cex/JTjdbENzHh/command/more/1", "{}");
    assert!(bench.answer().1.contains("429"));
}
