//! `kaa plain`, `kaa metadata`, `kaa request` and `kaa topics`.

use serde_json::{Value, json};

use crate::kit::{Kit, run};

#[test]
fn a_plain_value_is_a_number_with_or_without_unit() {
    let kit = Kit::new();
    let sample = |value: &str| {
        kit.run(&["plain", "t", value]).one(0);
        kit.state().unwrap().last_sample.unwrap()
    };
    assert_eq!(
        sample("-12.5"),
        json!({"t-value": -12.5, "t-unit": "number"})
    );
    assert_eq!(sample("47%"), json!({"t-value": 47, "t-unit": "%"}));
    // Whether it is one, the platform decides.
    kit.run(&["plain", "t", "dry"]).complains(3, "A number");
}

#[test]
fn metadata_are_written_and_read() {
    let kit = Kit::new();
    let confirmed = json!({"outcome": "confirmed"});
    let merge = kit.pipe(
        &["metadata", "merge", "-"],
        "{\"name\": \"pump\",\n\"n\": 9007199254740993}",
    );
    assert_eq!(merge.one(0), confirmed);
    kit.run(&["metadata", "merge", "{\"place\": \"roof\"}"])
        .one(0);
    assert_eq!(
        kit.run(&["metadata", "keys"]).one(0),
        json!(["n", "name", "place"])
    );
    let all = json!({"name": "pump", "n": 9_007_199_254_740_993_u64, "place": "roof"});
    assert_eq!(kit.run(&["metadata", "get"]).one(0), all);
    assert_eq!(
        kit.run(&["metadata", "get", "name"]).one(0),
        json!({"name": "pump"})
    );
    assert_eq!(
        kit.run(&["metadata", "delete", "name", "n"]).one(0),
        confirmed
    );
    assert_eq!(
        kit.run(&["metadata", "get"]).one(0),
        json!({"place": "roof"})
    );
    assert_eq!(
        kit.run(&["metadata", "replace-all", "{\"a\": 1}"]).one(0),
        confirmed
    );
    assert_eq!(kit.run(&["metadata", "get"]).one(0), json!({"a": 1}));
    kit.run(&["metadata", "get", "a-b"])
        .complains(2, "\"a-b\": metadata key");
}

#[test]
fn any_request_can_be_made() {
    let kit = Kit::new();
    let written = kit.run(&["request", "epmx", "update/keys", "{\"a\": 1}"]);
    assert_eq!(written.one(0), json!({"outcome": "confirmed"}));
    assert_eq!(kit.run(&["request", "epmx", "get"]).one(0), json!({"a": 1}));
    let piped = kit.pipe(&["request", "dcx", "json", "-"], "{\"t\": 1}");
    assert_eq!(piped.one(0), json!({"outcome": "confirmed"}));
    assert_eq!(kit.samples(), 1);
    kit.run(&["request", "dcx", "/json", "1"])
        .complains(2, "is empty");
    kit.run(&["request", "a/b", "json"])
        .complains(2, "extension name");
    // The platform's words.
    kit.run(&["request", "epmx", "update/keys", "[]"])
        .complains(3, "status 400");
}

#[test]
fn topics_are_those_of_the_page_and_no_token_is_in_them() {
    let kit = Kit::new();
    let mut told = kit.bare();
    let lines = run(told.args(["topics", "config"]), "").json();
    let get = json!({
        "operation": "config get",
        "request": "kp1/VERSION/cmx/TOKEN/config/json/1",
        "answers": [
            "kp1/VERSION/cmx/TOKEN/config/json/1/status",
            "kp1/VERSION/cmx/TOKEN/config/json/1/error"
        ],
        "push": "kp1/VERSION/cmx/TOKEN/config/json/status"
    });
    assert_eq!(lines[0], get);
    let all = kit.run(&["topics"]).json();
    let requests: Vec<&Value> = all.iter().map(|line| &line["request"]).collect();
    let expected = [
        "dcx/TOKEN/json",
        "dcx/TOKEN/plain/NAME",
        "epmx/TOKEN/get/keys",
        "epmx/TOKEN/get",
        "epmx/TOKEN/update/keys",
        "epmx/TOKEN/update",
        "epmx/TOKEN/delete/keys",
        "cex/TOKEN/command/TYPE",
        "cex/TOKEN/result/TYPE",
        "cmx/TOKEN/config/json",
        "cmx/TOKEN/config/json/NAME",
        "cmx/TOKEN/applied/json",
        "cmx/TOKEN/applied/json/NAME",
        "cmx_ota/TOKEN/config/json",
        "cmx_ota/TOKEN/applied/json",
        "bcx/TOKEN/token",
    ];
    let expected = expected.map(|part| json!(format!("kp1/VERSION/{part}/1")));
    assert_eq!(requests, expected.iter().collect::<Vec<_>>());
}
