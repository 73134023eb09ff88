//! Every payload that a request can build keeps the rules of its RFC, which stand here a second time, as code;
//! and says what it was built of, no more and no less.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a helper that cannot go on fails its test"
)]

mod choices;
mod rules;

use kaa_proto::commands::{CommandId, CommandResult, Pending, Report};
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Observation, Subscriptions};
use kaa_proto::metadata::{Delete, Get, Keys, Merge, ReplaceAll};
use kaa_proto::names::{CommandType, ConfigName, MetadataKey, Metric};
use kaa_proto::request::{Prepared, Request};
use kaa_proto::telemetry::{Batch, Plain, Sample};
use kaa_proto::upload::GetToken;
use kaa_proto::{config, software};
use kaa_tests::endpoint_host::EndpointHost;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Any JSON that is not nested too deep.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // serde_json reads other fractions back a little off, unless it is told to take its time.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Keys of metadata, good ones and bad ones.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![9 => "[a-zA-Z0-9_]{1,8}", 1 => any::<String>()]
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    let map = prop::collection::btree_map(key(), value(), 0..5);
    map.prop_map(|map| map.into_iter().collect())
}

fn keys() -> impl Strategy<Value = Vec<MetadataKey>> {
    prop::collection::vec(
        "[a-z_0-9]{1,2}".prop_map(|key| MetadataKey::new(key).unwrap()),
        0..8,
    )
}

fn name() -> impl Strategy<Value = Option<ConfigName>> {
    prop::option::of("[a-z][a-zA-Z0-9_-]{0,8}").prop_filter_map(
        "it is taken for a suffix",
        |name| match name {
            Some(name) => ConfigName::new(name).ok().map(Some),
            None => Some(None),
        },
    )
}

/// Texts, and often an empty one.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just(String::new()), 4 => any::<String>()]
}

/// The IDs that the platform may have given: numbers by RFC 11, and what it says nobody gives.
fn command_id() -> impl Strategy<Value = CommandId> {
    prop_oneof![
        8 => any::<i64>().prop_map(CommandId::from),
        1 => "-?[1-9][0-9]{0,40}".prop_map(|json| CommandId::from_json(&json).unwrap()),
        1 => "[a-z \\\\/]{0,20}".prop_map(|text| CommandId::from_json(&json!(text).to_string()).unwrap()),
    ]
}

/// What is sent: resource and payload.
fn sent(request: &impl Request) -> Option<(String, Vec<u8>)> {
    let prepared = Prepared::new(request).ok()?;
    Some((prepared.resource().into(), prepared.payload().to_vec()))
}

fn read(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap()
}

fn reboot() -> CommandType {
    CommandType::new("reboot").unwrap()
}

/// A result, and what it is to be.
fn result() -> impl Strategy<Value = (CommandResult, Value)> {
    let parts = (
        any::<u16>(),
        prop::option::of(text()),
        prop::option::of(value()),
    );
    parts.prop_map(|(status, reason, payload)| {
        let mut result = CommandResult::new(status);
        let mut expected = json!({"statusCode": status});
        if let Some(reason) = reason {
            result = result.with_reason(&reason);
            expected["reasonPhrase"] = json!(reason);
        }
        if let Some(payload) = payload {
            result = result.with_payload(&payload).unwrap();
            expected["payload"] = payload;
        }
        (result, expected)
    })
}

proptest! {
    #![proptest_config(choices::cases(1_500))]

    #[test]
    fn a_sample_is_one_value_to_the_platform_whatever_it_is(value in value()) {
        let (resource, payload) = sent(&Sample::new(&value)).unwrap();
        prop_assert_eq!(resource, "json");
        // A top-level array is a batch (FACTS trap 22).
        let samples = match read(&payload) {
            Value::Array(samples) => samples,
            sample => vec![sample],
        };
        prop_assert_eq!(samples, vec![value]);
    }

    #[test]
    fn a_sample_of_raw_json_is_one_value_too(value in value(), before in "[ \n\t\r]{0,3}") {
        let raw = RawValue::from_string(format!("{before}{value}{before}")).unwrap();
        let (_, payload) = sent(&Sample::new(raw)).unwrap();
        let samples = match read(&payload) {
            Value::Array(samples) => samples,
            sample => vec![sample],
        };
        prop_assert_eq!(samples, vec![value]);
    }

    #[test]
    fn a_batch_is_an_array_of_its_samples(samples in prop::collection::vec(value(), 0..6)) {
        let sent = sent(&Batch::new(&samples));
        prop_assert_eq!(sent.is_some(), !samples.is_empty());
        if let Some((resource, payload)) = sent {
            prop_assert_eq!(resource, "json");
            prop_assert_eq!(read(&payload), Value::from(samples));
        }
    }

    #[test]
    fn a_plain_number_is_read_back_with_its_unit(
        number in any::<f64>(),
        unit in prop::option::of(prop_oneof![3 => "[a-zA-Z%°/.+0-9 -]{0,4}", 1 => any::<String>()]),
    ) {
        let metric = Metric::new("m").unwrap();
        let plain = match &unit {
            Some(unit) => Plain::with_unit(metric, number, unit.clone()),
            None => Plain::new(metric, number),
        };
        if let Some((resource, payload)) = sent(&plain) {
            prop_assert_eq!(resource, "plain/m");
            let (read, rest) = rules::plain(std::str::from_utf8(&payload).unwrap());
            prop_assert_eq!(read, Some(number));
            prop_assert_eq!(rest, unit.unwrap_or_default());
        } else {
            prop_assert!(!number.is_finite() || unit.is_some());
        }
    }

    #[test]
    fn metadata_are_written_as_an_object_with_valid_keys(object in object()) {
        let is_valid = rules::metadata(&Value::Object(object.clone())).is_ok();
        let requests = [sent(&Merge::new(&object)), sent(&ReplaceAll::new(&object))];
        for (request, expected) in requests.into_iter().zip(["update/keys", "update"]) {
            prop_assert_eq!(request.is_some(), is_valid);
            if let Some((resource, payload)) = request {
                prop_assert_eq!(resource, expected);
                prop_assert_eq!(read(&payload), Value::Object(object.clone()));
            }
        }
    }

    #[test]
    fn metadata_of_any_other_shape_are_refused(value in value()) {
        let is_taken = sent(&Merge::new(&value)).is_some();
        prop_assert_eq!(is_taken, rules::metadata(&value).is_ok());
    }

    #[test]
    fn keys_of_metadata_are_named_once_each(keys in keys()) {
        let requests = [sent(&Delete::new(keys.clone())), sent(&Get::only(keys.clone()))];
        let [delete, get] = &requests;
        prop_assert_eq!((delete.is_some(), get.is_some()), (!keys.is_empty(), !keys.is_empty()));
        let (Some((to, deleted)), Some((from, got))) = (delete, get) else {
            return Ok(());
        };
        prop_assert_eq!((&**to, &**from), ("delete/keys", "get"));
        let (deleted, got) = (read(deleted), read(got));
        prop_assert_eq!(rules::keys(&deleted), Ok(()));
        prop_assert_eq!(rules::fields(&got, &["keys"], &[]), Ok(()));
        prop_assert_eq!(&got["keys"], &deleted);
        let named = |key: &MetadataKey| deleted.as_array().unwrap().contains(&json!(key.as_str()));
        prop_assert!(keys.iter().all(named));
    }

    #[test]
    fn a_report_is_an_array_of_results(
        results in prop::collection::vec((command_id(), result()), 1..5),
    ) {
        let mut all = results.iter();
        let (id, (result, _)) = all.next().unwrap();
        let first = Report::new(reboot(), id.clone(), result.clone());
        let report = all.fold(first, |report, (id, (result, _))| report.and(id.clone(), result.clone()));
        let (resource, payload) = sent(&report).unwrap();
        prop_assert_eq!(resource, "result/reboot");
        let raw: Vec<Map<String, Value>> = serde_json::from_slice(&payload).unwrap();
        prop_assert_eq!(raw.len(), results.len());
        for (mut element, (id, (_, expected))) in raw.into_iter().zip(&results) {
            let is_number = !id.as_json().starts_with('"');
            prop_assert!(rules::result(&Value::Object(element.clone())).is_ok() || !is_number);
            element.remove("id");
            prop_assert_eq!(&Value::Object(element), expected);
            // As the platform wrote it, byte for byte (FACTS trap 39).
            let text = String::from_utf8_lossy(&payload).into_owned();
            let named = format!("{{\"id\":{},", id.as_json());
            prop_assert!(text.contains(&named), "{}", text);
        }
    }

    #[test]
    fn a_configuration_is_asked_for_with_what_is_known_and_nothing_else(
        name in name(), id in prop::option::of(text()),
    ) {
        let mut get = config::Get::new();
        let mut software = software::Get::new();
        if let Some(name) = &name {
            get = get.named(name.clone());
        }
        if let Some(id) = &id {
            (get, software) = (get.unless(id.clone()), software.unless(id.clone()));
        }
        let (resource, payload) = sent(&get).unwrap();
        prop_assert_eq!(resource, rules::path("config/json", name.as_ref().map(ConfigName::as_str)));
        let query = read(&payload);
        prop_assert_eq!(rules::query(&query), Ok(()));
        prop_assert_eq!(query.get("configId").and_then(Value::as_str), id.as_deref().filter(|id| !id.is_empty()));
        prop_assert_eq!(sent(&software), Some((String::from("config/json"), payload)));
    }

    #[test]
    fn a_verdict_names_what_it_is_about(
        name in name(), id in text(), status in any::<u16>(), reason in text(),
    ) {
        let (mut applied, mut rejected) = (config::Applied::new(&id), config::Rejected::new(&id, status, &reason));
        if let Some(name) = &name {
            (applied, rejected) = (applied.named(name.clone()), rejected.named(name.clone()));
        }
        let reported = sent(&software::ReportCurrent::new(&id));
        let failed = sent(&software::Rejected::new(&id, status, &reason));
        // `""` means that nothing is assigned (FACTS trap 24).
        let (good, bad) = (sent(&applied), sent(&rejected));
        prop_assert_eq!((good.is_some(), reported.is_some()), (!id.is_empty(), !id.is_empty()));
        let may_fail = !id.is_empty() && status >= 400;
        prop_assert_eq!((bad.is_some(), failed.is_some()), (may_fail, may_fail));
        let path = rules::path("applied/json", name.as_ref().map(ConfigName::as_str));
        for (resource, payload) in good.into_iter().chain(bad.clone()) {
            prop_assert_eq!(&resource, &path);
            let verdict = read(&payload);
            prop_assert_eq!(rules::verdict(&verdict), Ok(()));
            prop_assert_eq!(&verdict["configId"], &json!(id));
        }
        if let (Some((_, bad)), Some((resource, failed))) = (bad, failed) {
            prop_assert_eq!(&bad, &failed);
            prop_assert_eq!(resource, "applied/json");
            prop_assert_eq!(&read(&bad)["statusCode"], &json!(status));
            let told = read(&bad).get("reasonPhrase").cloned();
            prop_assert_eq!(told, (!reason.is_empty()).then(|| json!(reason)));
        }
    }

    #[test]
    fn what_an_endpoint_says_by_itself_keeps_the_rules_too(
        name in name(), version in text(), id in any::<i64>(), (result, expected) in result(),
    ) {
        let options = EndpointOptions::default().subscriptions(Subscriptions::None);
        let mut host = EndpointHost::online(options, 1).unwrap();
        let observations = [
            Observation::Commands(reboot()),
            Observation::Configuration(name),
        ];
        for observation in &observations {
            host.observe(observation).unwrap();
        }
        let _ = host.endpoint.observe_software(host.now(), &version);
        host.drain();
        let offer = json!([{"id": id}]).to_string();
        host.receive("cex/command/reboot/status", &offer);
        let command = host.endpoint.poll_command(|_| true).unwrap();
        host.respond(&CommandKey::from(&command), result).unwrap();
        for sent in host.take_sent() {
            host.acknowledge(sent.key);
            check_own(&sent.path, &sent.payload, id, &expected)?;
        }
        // It is offered again, so its result is sent again; and all is taken back.
        host.receive("cex/command/reboot/status", &offer);
        for observation in &observations {
            host.unobserve(observation);
        }
        let again = host.take_sent();
        prop_assert!(again.iter().any(|sent| sent.path.starts_with("cex/result/reboot/")));
        for sent in again {
            check_own(&sent.path, &sent.payload, id, &expected)?;
        }
    }
}

fn check_own(path: &str, payload: &str, id: i64, expected: &Value) -> Result<(), TestCaseError> {
    let payload = read(payload.as_bytes());
    let kept = match path.split('/').take(2).collect::<Vec<_>>()[..] {
        ["cex", "command"] => rules::fields(&payload, &[], &["observe"]),
        ["cex", "result"] => {
            let mut result = payload[0].clone();
            prop_assert_eq!(result["id"].take(), json!(id));
            result.as_object_mut().unwrap().remove("id");
            prop_assert_eq!(&result, expected);
            rules::result(&payload[0])
        }
        ["cmx" | "cmx_ota", "config"] => rules::query(&payload),
        ["cmx_ota", "applied"] => rules::verdict(&payload),
        _ => panic!("{path}"),
    };
    prop_assert_eq!(kept, Ok(()), "{} {}", path, payload);
    Ok(())
}

#[test]
fn requests_that_have_no_choice_say_what_the_page_says() {
    let expected =
        |resource: &str, payload: &str| Some((resource.into(), payload.as_bytes().to_vec()));
    assert_eq!(sent(&Keys), expected("get/keys", ""));
    assert_eq!(sent(&Get::all()), expected("get", ""));
    assert_eq!(sent(&GetToken), expected("token", ""));
    assert_eq!(
        sent(&Pending::new(reboot())),
        expected("command/reboot", "{}")
    );
}
