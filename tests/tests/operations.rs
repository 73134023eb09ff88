//! The fourteen operations of PAGE through an endpoint: topics, payloads and answers are those of
//! the page, with the corrections of FACTS sections 1 to 6.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use kaa_proto::QoS;
use kaa_proto::commands::{CommandResult, Pending, Report};
use kaa_proto::endpoint::{EndpointOptions, Subscriptions};
use kaa_proto::names::{CommandType, ConfigName, MetadataKey, Metric};
use kaa_proto::request::{Confirm, Failure, Request, RequestExt, RequestId};
use kaa_proto::telemetry::{Batch, Plain, Sample};
use kaa_proto::{config, metadata, software, upload};
use kaa_tests::endpoint_host::EndpointHost;
use serde_json::json;

fn host() -> EndpointHost {
    let options = EndpointOptions::default().subscriptions(Subscriptions::None);
    EndpointHost::online(options, 1).unwrap()
}

/// Submits a request and checks what is published: one message.
fn publish(
    host: &mut EndpointHost,
    request: &impl Request,
    topic: &str,
    payload: &str,
) -> RequestId {
    let id = host.submit(request).unwrap();
    let sent = host.take_sent();
    assert_eq!(sent.len(), 1, "{topic}");
    assert_eq!((&*sent[0].topic, &*sent[0].payload), (topic, payload));
    id
}

/// Publishes with request ID 1, answers on `/status`, and decodes.
fn answered<R: Request>(request: &R, topic: &str, payload: &str, answer: &str) -> R::Response {
    let mut host = host();
    let id = publish(&mut host, request, topic, payload);
    assert!(host.outcome(id).is_none(), "not answered yet: {topic}");
    let _ = host.receive_raw(&format!("{topic}/status"), answer.as_bytes());
    let reply = host.outcome(id).unwrap().as_ref().unwrap();
    assert_eq!(reply.confirmed(), Confirm::Answered);
    R::decode(reply).unwrap()
}

/// The same without request ID: done when it is handed over.
fn unconfirmed(request: impl Request, topic: &str, payload: &str) {
    let mut host = host();
    let id = publish(
        &mut host,
        &request.confirm(Confirm::Nothing),
        topic,
        payload,
    );
    let reply = host.outcome(id).unwrap().as_ref().unwrap();
    assert_eq!(reply.confirmed(), Confirm::Nothing);
}

fn key(key: &str) -> MetadataKey {
    MetadataKey::new(key).unwrap()
}

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

#[test]
fn telemetry_goes_to_json_one_sample_or_a_batch() {
    let sample = json!({
        "temperature": 21, "humidity": 73,
        "location": {"lat": 34.1340258, "lon": -118.3238652},
    });
    let text =
        r#"{"humidity":73,"location":{"lat":34.1340258,"lon":-118.3238652},"temperature":21}"#;
    let topic = "kp1/demo-v1/dcx/JTjdbENzHh/json/1";
    answered(&Sample::new(&sample), topic, text, "");
    unconfirmed(
        Sample::new(&sample),
        "kp1/demo-v1/dcx/JTjdbENzHh/json",
        text,
    );

    let batch = [
        json!({"ts": "2019-04-26T15:41:07+0000", "temperature": 21}),
        json!({"ts": "2019-04-26T16:41:07+0000", "temperature": 21.5}),
    ];
    let text = concat!(
        r#"[{"temperature":21,"ts":"2019-04-26T15:41:07+0000"},"#,
        r#"{"temperature":21.5,"ts":"2019-04-26T16:41:07+0000"}]"#
    );
    answered(&Batch::new(&batch), topic, text, "");
    unconfirmed(Batch::new(&batch), "kp1/demo-v1/dcx/JTjdbENzHh/json", text);
}

#[test]
fn plain_telemetry_has_no_id_unless_it_is_to_be_answered() {
    let plain = || Plain::new(Metric::new("temperature").unwrap(), 200.0);
    let mut host = host();
    let topic = "kp1/demo-v1/dcx/JTjdbENzHh/plain/temperature";
    let id = publish(&mut host, &plain(), topic, "200");
    assert!(host.outcome(id).unwrap().is_ok());
    let topic = "kp1/demo-v1/dcx/JTjdbENzHh/plain/temperature/1";
    answered(&plain().confirm(Confirm::Answered), topic, "200", "");
    let unit = Plain::with_unit(Metric::new("temperature").unwrap(), 200.0, "C");
    unconfirmed(unit, "kp1/demo-v1/dcx/JTjdbENzHh/plain/temperature", "200C");
}

#[test]
fn metadata_keys_are_read() {
    let topic = "kp1/demo-v1/epmx/JTjdbENzHh/get/keys/1";
    let keys = answered(
        &metadata::Keys,
        topic,
        "",
        r#"["name","location","deviceModel"]"#,
    );
    assert_eq!(keys, ["name", "location", "deviceModel"]);
}

#[test]
fn metadata_is_read_whole_or_in_part() {
    let topic = "kp1/demo-v1/epmx/JTjdbENzHh/get/1";
    let answer = r#"{"name": "Device name", "deviceModel": "new model"}"#;
    let all: metadata::Get = metadata::Get::all();
    let map = answered(&all, topic, "", answer);
    assert_eq!(
        json!(map),
        json!({"name": "Device name", "deviceModel": "new model"})
    );
    let some: metadata::Get = metadata::Get::only([key("name"), key("location")]);
    let map = answered(
        &some,
        topic,
        r#"{"keys":["name","location"]}"#,
        r#"{"name":"x"}"#,
    );
    assert_eq!(json!(map), json!({"name": "x"}));
}

#[test]
fn metadata_is_replaced_merged_and_deleted() {
    let both = json!({"deviceModel": "example model", "name": "Sensor 1"});
    let text = r#"{"deviceModel":"example model","name":"Sensor 1"}"#;
    let replace = metadata::ReplaceAll::new(&both);
    answered(&replace, "kp1/demo-v1/epmx/JTjdbENzHh/update/1", text, "");
    let replace = metadata::ReplaceAll::new(&both);
    unconfirmed(replace, "kp1/demo-v1/epmx/JTjdbENzHh/update", text);

    let one = json!({"deviceModel": "new model"});
    let text = r#"{"deviceModel":"new model"}"#;
    let merge = metadata::Merge::new(&one);
    answered(
        &merge,
        "kp1/demo-v1/epmx/JTjdbENzHh/update/keys/1",
        text,
        "",
    );
    let merge = metadata::Merge::new(&one);
    unconfirmed(merge, "kp1/demo-v1/epmx/JTjdbENzHh/update/keys", text);

    let delete = || metadata::Delete::new([key("location"), key("areaId")]);
    let text = r#"["location","areaId"]"#;
    answered(
        &delete(),
        "kp1/demo-v1/epmx/JTjdbENzHh/delete/keys/1",
        text,
        "",
    );
    unconfirmed(delete(), "kp1/demo-v1/epmx/JTjdbENzHh/delete/keys", text);
}

#[test]
fn pending_commands_are_read() {
    let topic = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/1";
    let answer = r#"[{"id":1,"payload":{"delay":5}},{"id":2}]"#;
    let commands = answered(&Pending::new(reboot()), topic, "{}", answer);
    assert_eq!(commands.len(), 2);
    assert_eq!(
        (commands[0].id().as_i64(), commands[0].payload_json()),
        (Some(1), Some(r#"{"delay":5}"#))
    );
    assert_eq!(
        (commands[1].id().as_i64(), commands[1].payload_json()),
        (Some(2), None)
    );
    assert!(answered(&Pending::new(reboot()), topic, "{}", "[]").is_empty());
    let topic = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot";
    unconfirmed(Pending::new(reboot()), topic, "{}");
}

#[test]
fn results_are_reported_and_done_when_acknowledged() {
    let report = || {
        let result = CommandResult::ok().with_reason("Ok");
        Report::new(
            reboot(),
            1,
            result.with_payload(&json!({"engine_on": true})).unwrap(),
        )
    };
    let text = r#"[{"id":1,"statusCode":200,"reasonPhrase":"Ok","payload":{"engine_on":true}}]"#;
    let topic = "kp1/demo-v1/cex/JTjdbENzHh/result/reboot/1";
    let mut host = host();
    let id = host.submit(&report()).unwrap();
    let sent = host.take_sent();
    assert_eq!((&*sent[0].topic, &*sent[0].payload), (topic, text));
    assert_eq!(sent[0].qos, QoS::AtLeastOnce, "only then there is a PUBACK");
    host.acknowledge(sent[0].key);
    let reply = host.outcome(id).unwrap().as_ref().unwrap();
    assert_eq!(reply.confirmed(), Confirm::Acknowledged);

    answered(&report(), topic, text, "");
    unconfirmed(report(), "kp1/demo-v1/cex/JTjdbENzHh/result/reboot", text);
}

#[test]
fn configurations_are_read() {
    let topic = "kp1/demo-v1/cmx/JTjdbENzHh/config/json/1";
    let answer = r#"{"id":42,"configId":"97016dbe8bb4adff8f754ecbf24612f2","statusCode":200,
        "reasonPhrase":"ok","config":{"key":"value","array":["value2"]}}"#;
    let config::Answer::Assigned(configuration) =
        answered(&config::Get::new(), topic, "{}", answer)
    else {
        panic!("there is one");
    };
    assert_eq!(
        configuration.config_id(),
        "97016dbe8bb4adff8f754ecbf24612f2"
    );
    assert_eq!(
        configuration.json(),
        r#"{"key":"value","array":["value2"]}"#
    );

    let known = config::Get::new().unless("97016dbe8bb4adff8f754ecbf24612f2");
    let query = r#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2"}"#;
    for same in ["{}", "", "null", r#"{"statusCode":304}"#] {
        assert_eq!(
            answered(&known, topic, query, same),
            config::Answer::NotModified
        );
    }
    let none = answered(
        &config::Get::new(),
        topic,
        "{}",
        r#"{"configId":"","config":null}"#,
    );
    assert_eq!(none, config::Answer::Unassigned);

    let named = config::Get::new().named(ConfigName::new("wifi").unwrap());
    let topic = "kp1/demo-v1/cmx/JTjdbENzHh/config/json/wifi/1";
    let answer = answered(&named, topic, "{}", r#"{"configId":"a","config":1}"#);
    assert!(matches!(answer, config::Answer::Assigned(c) if c.name().unwrap().as_str() == "wifi"));
}

#[test]
fn configurations_are_reported() {
    let topic = "kp1/demo-v1/cmx/JTjdbENzHh/applied/json/1";
    let applied = || config::Applied::new("97016dbe8bb4adff8f754ecbf24612f2");
    let text = r#"{"configId":"97016dbe8bb4adff8f754ecbf24612f2"}"#;
    answered(&applied(), topic, text, "");
    unconfirmed(applied(), "kp1/demo-v1/cmx/JTjdbENzHh/applied/json", text);
    let rejected = config::Rejected::new("97016dbe", 400, "WPA2 is not supported");
    let text = r#"{"configId":"97016dbe","statusCode":400,"reasonPhrase":"WPA2 is not supported"}"#;
    answered(&rejected, topic, text, "");
    let named = config::Applied::new("a").named(ConfigName::new("wifi").unwrap());
    let topic = "kp1/demo-v1/cmx/JTjdbENzHh/applied/json/wifi/1";
    answered(&named, topic, r#"{"configId":"a"}"#, "");
}

#[test]
fn software_updates_are_read_and_reported() {
    let topic = "kp1/demo-v1/cmx_ota/JTjdbENzHh/config/json/1";
    let answer = r#"{"configId":"1.0.0","config":{"link":"http://host/file"},"statusCode":200}"#;
    let software::Answer::Assigned(update) = answered(&software::Get::new(), topic, "{}", answer)
    else {
        panic!("there is one");
    };
    assert_eq!(update.version(), "1.0.0");
    assert_eq!(update.link().unwrap(), "http://host/file");
    let known = software::Get::new().unless("1.0.0");
    let same = answered(&known, topic, r#"{"configId":"1.0.0"}"#, "{}");
    assert_eq!(same, software::Answer::NotModified);

    let topic = "kp1/demo-v1/cmx_ota/JTjdbENzHh/applied/json/1";
    let current = || software::ReportCurrent::new("0.0.2");
    answered(&current(), topic, r#"{"configId":"0.0.2"}"#, "");
    let without = "kp1/demo-v1/cmx_ota/JTjdbENzHh/applied/json";
    unconfirmed(current(), without, r#"{"configId":"0.0.2"}"#);
    let rejected = software::Rejected::new("0.0.3", 400, "Not enough free memory");
    let text = r#"{"configId":"0.0.3","statusCode":400,"reasonPhrase":"Not enough free memory"}"#;
    answered(&rejected, topic, text, "");
}

#[test]
fn an_upload_token_is_read() {
    let topic = "kp1/demo-v1/bcx/JTjdbENzHh/token/1";
    let token = answered(&upload::GetToken, topic, "", r#"{"token":"2222"}"#);
    assert_eq!(token.expose(), "2222");
}

#[test]
fn an_error_answer_rejects_whatever_was_asked() {
    fn rejected(request: &impl Request, path: &str) {
        let mut host = host();
        let id = host.submit(request).unwrap();
        assert_eq!(host.take_paths(), [path]);
        let error = r#"{"statusCode":404,"reasonPhrase":"no such thing"}"#;
        host.receive(&format!("{path}/error"), error);
        let failure = Failure::Rejected {
            status: Some(404),
            reason: "no such thing".into(),
        };
        assert_eq!(host.outcome(id), Some(&Err(failure)), "{path}");
        assert_eq!(host.statistics().rejected, 1);
    }
    let object = json!({"a": 1});
    rejected(&Sample::new(1), "dcx/json/1");
    let plain = Plain::new(Metric::new("t").unwrap(), 1.0).confirm(Confirm::Answered);
    rejected(&plain, "dcx/plain/t/1");
    rejected(&metadata::Keys, "epmx/get/keys/1");
    let get: metadata::Get = metadata::Get::all();
    rejected(&get, "epmx/get/1");
    rejected(&metadata::ReplaceAll::new(&object), "epmx/update/1");
    rejected(&metadata::Merge::new(&object), "epmx/update/keys/1");
    rejected(&metadata::Delete::new([key("a")]), "epmx/delete/keys/1");
    rejected(&Pending::new(reboot()), "cex/command/reboot/1");
    rejected(
        &Report::new(reboot(), 1, CommandResult::ok()),
        "cex/result/reboot/1",
    );
    rejected(&config::Get::new(), "cmx/config/json/1");
    rejected(&config::Applied::new("a"), "cmx/applied/json/1");
    rejected(&software::Get::new(), "cmx_ota/config/json/1");
    rejected(&software::ReportCurrent::new("1"), "cmx_ota/applied/json/1");
    rejected(&upload::GetToken, "bcx/token/1");
}

#[test]
fn a_failing_status_in_the_body_rejects_a_configuration() {
    for (request, path) in [
        (config::Get::new(), "cmx/config/json/1"),
        (
            config::Get::new().named(ConfigName::new("wifi").unwrap()),
            "cmx/config/json/wifi/1",
        ),
    ] {
        let mut host = host();
        let id = host.submit(&request).unwrap();
        let body = r#"{"configId":"x","config":{},"statusCode":500,"reasonPhrase":"broken"}"#;
        host.receive(&format!("{path}/status"), body);
        let failure = Failure::Rejected {
            status: Some(500),
            reason: "broken".into(),
        };
        assert_eq!(host.outcome(id), Some(&Err(failure)));
    }
}

#[test]
fn a_not_modified_error_is_a_success_for_what_can_be_unmodified_only() {
    let mut host = host();
    let get = host.submit(&config::Get::new()).unwrap();
    host.receive(
        "cmx/config/json/1/error",
        r#"{"statusCode":304,"reasonPhrase":"Not Modified"}"#,
    );
    let reply = host.outcome(get).unwrap().as_ref().unwrap();
    assert_eq!(
        config::Get::decode(reply).unwrap(),
        config::Answer::NotModified
    );
    let keys = host.submit(&metadata::Keys).unwrap();
    host.receive("epmx/get/keys/1/error", r#"{"statusCode":304}"#);
    assert!(host.outcome(keys).unwrap().is_err());
}
