use serde_json::json;

use super::super::LinkId;
use super::super::testing::{Bench, LINK};
use crate::names::{ConfigName, EndpointName};

const ID: &str = "97016dbe8bb4adff8f754ecbf24612f2";
const FIXTURE: &str = r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
    "configurations": {
        "": {"configId": "97016dbe8bb4adff8f754ecbf24612f2",
             "config": {"key": "value", "array": ["value2"]}},
        "network": {"configId": "n1", "config": {}}},
    "software": {"configId": "0.0.2", "config": {"link": "https://example.com/fw-0.0.2.bin"}}}}}}}"#;
const CLOUD: &str = r#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2","statusCode":200,"reasonPhrase":"ok","config":{"array":["value2"],"key":"value"}}"#;
const SOFTWARE: &str = r#"{"configId":"0.0.2","statusCode":200,"reasonPhrase":"ok","config":{"link":"https://example.com/fw-0.0.2.bin"}}"#;

fn device() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

/// A bench without unsolicited pushes.
fn quiet(switches: &[(&str, &str)]) -> Bench {
    let switches = [&[("unsolicited-config", "off")], switches].concat();
    Bench::with_fixture(FIXTURE, &switches)
}

/// Suffix and payload of what a request of this resource gets.
fn ask(bench: &mut Bench, extension: &str, resource: &str, payload: &str) -> (String, String) {
    let topic = format!("kp1/demo-v1/{extension}/JTjdbENzHh/{resource}/1");
    bench.publish(&topic, payload);
    let (answered, payload) = bench.answer();
    let suffix = answered.strip_prefix(&format!("{topic}/"));
    (suffix.unwrap().into(), payload)
}

fn status(payload: &str) -> (String, String) {
    ("status".into(), payload.into())
}

/// Not the schema of the page, which shows the request (FACTS trap 21).
#[test]
fn trap_21_a_configuration_comes_wrapped_as_the_pages_example_or_bare() {
    let mut bench = quiet(&[]);
    assert_eq!(ask(&mut bench, "cmx", "config/json", "{}"), status(CLOUD));
    assert_eq!(
        ask(&mut bench, "cmx", "config/json/default", ""),
        status(CLOUD)
    );
    assert!(bench.saw(r#"config-delivered configId="97016dbe8bb4adff8f754ecbf24612f2" name="""#));
    let mut bench = quiet(&[("config-body", "rfc")]);
    assert_eq!(
        ask(
            &mut bench,
            "cmx",
            "config/json/network",
            r#"{"observe": false}"#
        ),
        status(r#"{"configId":"n1","config":{}}"#)
    );
}

#[test]
fn trap_20_an_unchanged_configuration_has_five_forms() {
    let known = format!(r#"{{"configId":"{ID}"}}"#);
    let wrapped = r#"{"statusCode":304,"reasonPhrase":"Not Modified"}"#;
    for (form, suffix, payload) in [
        ("object", "status", "{}"),
        ("empty", "status", ""),
        ("null", "status", "null"),
        ("304-status", "status", wrapped),
        ("304-error", "error", wrapped),
    ] {
        let mut bench = quiet(&[("not-modified", form)]);
        let answer = ask(&mut bench, "cmx", "config/json", &known);
        assert_eq!(answer, (suffix.into(), payload.into()), "{form}");
        assert!(!bench.saw("breach"));
    }
    let other = r#"{"configId":"older"}"#;
    assert_eq!(
        ask(&mut quiet(&[]), "cmx", "config/json", other),
        status(CLOUD)
    );
}

#[test]
fn trap_24_no_configuration_is_null_under_an_empty_id() {
    let mut bench = quiet(&[]);
    assert_eq!(
        ask(&mut bench, "cmx", "config/json/other", "{}"),
        status(r#"{"configId":"","statusCode":200,"reasonPhrase":"ok","config":null}"#)
    );
    assert_eq!(
        ask(&mut bench, "cmx", "config/json/other", r#"{"configId":""}"#),
        status("{}")
    );
    let mut bench = quiet(&[("config-body", "rfc")]);
    let answer = ask(&mut bench, "cmx", "config/json/other", "{}");
    assert_eq!(answer, status(r#"{"configId":"","config":null}"#));
    let mut bench = quiet(&[("no-config", "not-modified")]);
    assert_eq!(
        ask(&mut bench, "cmx", "config/json/other", "{}"),
        status("{}")
    );
    let (suffix, answer) = ask(&mut bench, "cmx", "applied/json", r#"{"configId":""}"#);
    assert_eq!(suffix, "error");
    assert!(answer.contains("400"));
}

#[test]
fn applied_and_rejected_are_told_apart_by_2xx() {
    let mut bench = quiet(&[]);
    let page = format!(r#"{{"configId": "{ID}"}}"#);
    assert_eq!(ask(&mut bench, "cmx", "applied/json", &page), status(""));
    assert!(bench.saw(&format!(r#"config-applied configId="{ID}" name="""#)));
    let rejected = r#"{"configId":"n1","statusCode":400.0,"reasonPhrase":"WPA2 is not supported"}"#;
    assert_eq!(
        ask(&mut bench, "cmx", "applied/json/network", rejected),
        status("")
    );
    assert!(bench.saw(r#"config-rejected configId="n1" name="network" reasonPhrase="WPA2"#));
    let redirected = r#"{"configId":"n1","statusCode":302}"#;
    assert_eq!(
        ask(&mut bench, "cmx", "applied/json/network", redirected),
        status("")
    );
    let state = bench.snapshot("demo-v1", "JTjdbENzHh");
    assert!(
        state.configurations[""]
            .reported
            .as_ref()
            .unwrap()
            .is_applied()
    );
    assert!(
        !state.configurations["network"]
            .reported
            .as_ref()
            .unwrap()
            .is_applied()
    );
    // Some device in the field sends this.
    let (suffix, answer) = ask(
        &mut bench,
        "cmx_ota",
        "applied/json",
        r#"{"statusCode":400}"#,
    );
    assert_eq!(
        (suffix.as_str(), answer.contains("configId is required")),
        ("error", true)
    );
    assert!(bench.saw("breach"));
}

/// The upgrade is judged against what the device reported (FACTS trap 30).
#[test]
fn trap_30_software_is_offered_until_its_version_is_reported() {
    let mut bench = quiet(&[]);
    assert_eq!(
        ask(
            &mut bench,
            "cmx_ota",
            "applied/json",
            r#"{"configId":"0.0.1"}"#
        ),
        status("")
    );
    assert_eq!(
        ask(&mut bench, "cmx_ota", "config/json", r#"{"observe": true}"#),
        status(SOFTWARE)
    );
    let failed = r#"{"configId":"0.0.2","statusCode":400,"reasonPhrase":"Not enough free memory"}"#;
    assert_eq!(
        ask(&mut bench, "cmx_ota", "applied/json", failed),
        status("")
    );
    assert!(bench.saw(r#"software-rejected reasonPhrase="Not enough free memory""#));
    assert_eq!(
        ask(&mut bench, "cmx_ota", "config/json", "{}"),
        status(SOFTWARE)
    );
    assert_eq!(
        ask(
            &mut bench,
            "cmx_ota",
            "applied/json",
            r#"{"configId":"0.0.2"}"#
        ),
        status("")
    );
    assert!(bench.saw(r#"software-reported version="0.0.2""#));
    assert_eq!(
        ask(&mut bench, "cmx_ota", "config/json", "{}"),
        status("{}")
    );
}

#[test]
fn no_software_is_not_modified() {
    let mut bench = Bench::new();
    bench.publish(
        "kp1/demo-v1/cmx_ota/t/config/json/1",
        r#"{"configId":"1.0.0"}"#,
    );
    assert_eq!(bench.answer().1, "{}");
}

#[test]
fn trap_08_the_first_message_on_a_link_brings_unsolicited_configurations() {
    let mut bench = Bench::with_fixture(FIXTURE, &[]);
    let pushes = |bench: &mut Bench, link: u64| {
        bench.publish_on(LinkId::new(link), "kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
        bench.drain()
    };
    let first = pushes(&mut bench, 1);
    let topics: Vec<_> = first.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "kp1/demo-v1/cmx/JTjdbENzHh/config/json/status",
            "kp1/demo-v1/cmx/JTjdbENzHh/config/json/network/status",
            "kp1/demo-v1/cmx_ota/JTjdbENzHh/config/json/status",
        ]
    );
    assert_eq!(first[0].1, CLOUD);
    assert!(pushes(&mut bench, 1).is_empty());
    bench.publish(
        "kp1/demo-v1/cmx/JTjdbENzHh/applied/json",
        &format!(r#"{{"configId":"{ID}"}}"#),
    );
    assert_eq!(pushes(&mut bench, 2).len(), 2);
    let mut bench = Bench::with_fixture(FIXTURE, &[("unsolicited-config", "off")]);
    assert!(pushes(&mut bench, 1).is_empty());
}

/// What a request was answered with is not pushed once more.
#[test]
fn an_answered_configuration_is_not_pushed_too() {
    let mut bench = Bench::with_fixture(FIXTURE, &[]);
    bench.publish("kp1/demo-v1/cmx/JTjdbENzHh/config/json/1", "{}");
    let topics: Vec<_> = bench.drain().into_iter().map(|(topic, _)| topic).collect();
    assert_eq!(topics.len(), 3);
    assert!(!topics.contains(&"kp1/demo-v1/cmx/JTjdbENzHh/config/json/status".into()));
}

#[test]
fn trap_09_a_change_is_pushed_where_the_switch_says_unless_observe_is_false() {
    let network = ConfigName::new("network").unwrap();
    for (value, topics) in [
        ("no-id", &["config/json/network/status"][..]),
        ("with-id", &["config/json/network/1/status"]),
        (
            "both",
            &["config/json/network/status", "config/json/network/1/status"],
        ),
    ] {
        let mut bench = quiet(&[("push-topic", value)]);
        ask(
            &mut bench,
            "cmx",
            "config/json/network",
            r#"{"observe": true}"#,
        );
        let now = bench.now();
        let id = bench
            .platform
            .set_configuration(now, &device(), Some(&network), json!({"a": 1}));
        assert_eq!(id.as_ref().map(String::len), Ok(32));
        let pushed = bench.drain();
        let expected = topics
            .iter()
            .map(|t| format!("kp1/demo-v1/cmx/JTjdbENzHh/{t}"));
        let seen: Vec<_> = pushed.iter().map(|(topic, _)| topic.clone()).collect();
        assert_eq!(seen, expected.collect::<Vec<_>>());
        assert!(pushed[0].1.contains(&id.unwrap()) && pushed[0].1.contains(r#"{"a":1}"#));
        ask(
            &mut bench,
            "cmx",
            "config/json/network",
            r#"{"observe": false}"#,
        );
        let _ = bench
            .platform
            .set_configuration(now, &device(), Some(&network), json!(2));
        assert!(bench.is_silent());
    }
}

#[test]
fn a_new_version_is_pushed_without_any_request() {
    let mut bench = quiet(&[]);
    bench.publish("kp1/demo-v1/dcx/JTjdbENzHh/json", "1");
    let now = bench.now();
    bench
        .platform
        .set_software(now, &device(), "0.0.3", json!({}))
        .unwrap();
    let delivery = bench.delivery();
    assert_eq!(
        delivery.topic,
        "kp1/demo-v1/cmx_ota/JTjdbENzHh/config/json/status"
    );
    assert!(delivery.payload.starts_with(br#"{"configId":"0.0.3","#));
    assert_eq!(delivery.recipients.link, Some(LINK));
    assert!(bench.saw(r#"software-delivered version="0.0.3""#));
}

#[test]
fn what_is_no_configuration_path_or_request_is_refused() {
    let mut bench = quiet(&[]);
    for (resource, payload, code) in [
        ("config/json/a/b", "{}", 404),
        ("config", "{}", 404),
        ("config/json/a.b", "{}", 400),
        ("config/json", r#"{"id":1}"#, 400),
        ("applied/json", "", 400),
    ] {
        let (suffix, answer) = ask(&mut bench, "cmx", resource, payload);
        assert_eq!(suffix, "error", "{resource}");
        assert!(
            answer.contains(&format!(r#""statusCode":{code}"#)),
            "{resource}: {answer}"
        );
    }
    for n in 0..256 {
        ask(&mut bench, "cmx", &format!("config/json/n{n}"), "");
    }
    assert!(
        ask(&mut bench, "cmx", "config/json/more", "")
            .1
            .contains("429")
    );
}

#[test]
fn a_request_without_id_gets_a_configuration_that_changed_and_no_other_answer() {
    let mut bench = quiet(&[]);
    bench.publish(
        "kp1/demo-v1/cmx/JTjdbENzHh/config/json",
        r#"{"observe":true}"#,
    );
    assert_eq!(
        bench.answer().0,
        "kp1/demo-v1/cmx/JTjdbENzHh/config/json/status"
    );
    let known = format!(r#"{{"configId":"{ID}"}}"#);
    bench.publish("kp1/demo-v1/cmx/JTjdbENzHh/config/json", &known);
    bench.publish("kp1/demo-v1/cmx/JTjdbENzHh/applied/json", &known);
    assert!(bench.is_silent());
}
