//! Every operation of the device API page, asked one after the other, with their results as text:
//! what a suite expects is a table.

use kaa_proto::commands::{CommandResult, Pending, Report};
use kaa_proto::names::{CommandType, ConfigName, Extension, MetadataKey, Metric, NameError};
use kaa_proto::platform::{Fixture, PlatformOptions, Switches};
use kaa_proto::raw::Call;
use kaa_proto::request::{Confirm, Failure, Reply, RequestExt, Service};
use kaa_proto::telemetry::{Batch, Plain, Sample};
use kaa_proto::{config, metadata, software, upload};
use serde_json::{Map, Value, json};

use crate::device::Device;

/// The state in which [`run`] expects the platform.
pub const FIXTURE: &str = r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
    "metadata": {"name": "Device name", "location": "here"},
    "configurations": {
        "": {"configId": "97016dbe", "config": {"key": "value"}},
        "wifi": {"configId": "w1", "config": {"channel": 6}}},
    "software": {"configId": "0.0.2", "config": {"link": "https://example.com/fw-0.0.2.bin"}},
    "commands": {"reboot": [{"id": 1, "payload": {"delay": 5}}]},
    "uploadToken": "2222"}}}}}"#;

/// What [`run`] gives with the default switches: the name of each operation and its result.
pub const EXPECTED: &[(&str, &str)] = &[
    ("sample", "done"),
    ("batch", "done"),
    ("plain", "done"),
    ("metadata keys", r#"["location","name"]"#),
    (
        "metadata get",
        r#"{"location":"here","name":"Device name"}"#,
    ),
    ("metadata get some", r#"{"name":"Device name"}"#),
    ("metadata merge", "done"),
    (
        "metadata merged",
        r#"{"location":"here","model":"m","name":"Device name"}"#,
    ),
    ("metadata delete", "done"),
    ("metadata replace all", "done"),
    ("metadata replaced", r#"{"name":"new"}"#),
    ("commands pending", r#"1 {"delay":5}"#),
    ("command report", "done"),
    ("commands left", ""),
    ("config get", r#"97016dbe {"key":"value"}"#),
    ("config get unless", "not modified"),
    ("config get named", r#"w1 {"channel":6}"#),
    ("config get unassigned", "unassigned"),
    ("config applied", "done"),
    ("config rejected", "done"),
    ("software report", "done"),
    (
        "software get",
        r#"0.0.2 {"link":"https://example.com/fw-0.0.2.bin"}"#,
    ),
    ("software get unless", "not modified"),
    ("software rejected", "done"),
    ("upload token", "2222"),
    ("raw time", "1700000000"),
    (
        "raw status",
        r#"{"reasonPhrase":"Ok","requestId":7,"statusCode":200}"#,
    ),
];

/// The messages of [`run`] as the platform sees them, without `kp1/demo-v1`, with `T` for the
/// token.
pub const MESSAGES: &[&str] = &[
    r#"dcx/T/json/1 {"temperature":21}"#,
    r#"dcx/T/json/2 [1,2]"#,
    r#"dcx/T/plain/humidity/3 47"#,
    r#"epmx/T/get/keys/1 "#,
    r#"epmx/T/get/2 "#,
    r#"epmx/T/get/3 {"keys":["name"]}"#,
    r#"epmx/T/update/keys/4 {"model":"m"}"#,
    r#"epmx/T/get/5 "#,
    r#"epmx/T/delete/keys/6 ["location"]"#,
    r#"epmx/T/update/7 {"name":"new"}"#,
    r#"epmx/T/get/8 "#,
    r#"cex/T/command/reboot/1 {}"#,
    r#"cex/T/result/reboot/2 [{"id":1,"statusCode":200}]"#,
    r#"cex/T/command/reboot/3 {}"#,
    r#"cmx/T/config/json/1 {}"#,
    r#"cmx/T/config/json/2 {"configId":"97016dbe"}"#,
    r#"cmx/T/config/json/wifi/3 {}"#,
    r#"cmx/T/config/json/none/4 {}"#,
    r#"cmx/T/applied/json/5 {"configId":"97016dbe"}"#,
    r#"cmx/T/applied/json/wifi/6 {"configId":"w1","statusCode":400,"reasonPhrase":"no such channel"}"#,
    r#"cmx_ota/T/applied/json/1 {"configId":"0.0.1"}"#,
    r#"cmx_ota/T/config/json/2 {}"#,
    r#"cmx_ota/T/config/json/3 {"configId":"0.0.2"}"#,
    r#"cmx_ota/T/applied/json/4 {"configId":"0.0.2","statusCode":500,"reasonPhrase":"too large"}"#,
    r#"bcx/T/token/1 "#,
    r#"tsx/T/1 "#,
    r#"dcx/T/json/7 1"#,
    r#"rsx/T/dcx/7 "#,
];

/// A platform with [`FIXTURE`], and these switches set.
///
/// # Panics
/// If there is no such switch.
#[must_use]
pub fn platform(switches: &[(&str, &str)]) -> PlatformOptions {
    let mut all = Switches::default();
    for (name, value) in switches {
        assert_eq!(all.set(name, value), Ok(()), "{name}={value}");
    }
    PlatformOptions {
        switches: all,
        fixture: Fixture::parse(FIXTURE).ok(),
        ..PlatformOptions::default()
    }
}

/// The command type of [`FIXTURE`].
///
/// # Panics
/// Never.
#[must_use]
pub fn reboot() -> CommandType {
    named(CommandType::new("reboot"))
}

/// Asks for everything, and tells how it ended.
pub fn run(device: &mut impl Device) -> Vec<(&'static str, String)> {
    let mut results = Vec::new();
    run_telemetry(device, &mut results);
    run_metadata(device, &mut results);
    run_commands(device, &mut results);
    run_configurations(device, &mut results);
    run_software(device, &mut results);
    run_others(device, &mut results);
    results
}

type Results = Vec<(&'static str, String)>;

fn run_telemetry(device: &mut impl Device, results: &mut Results) {
    let sample = device.ask(&Sample::new(json!({"temperature": 21})));
    results.push(("sample", text(sample, done)));
    results.push(("batch", text(device.ask(&Batch::new([1, 2])), done)));
    let plain = Plain::new(named(Metric::new("humidity")), 47.0);
    let plain = device.ask(&plain.confirm(Confirm::Answered));
    results.push(("plain", text(plain, done)));
}

fn run_metadata(device: &mut impl Device, results: &mut Results) {
    let key = |key| named(MetadataKey::new(key));
    let keys = device.ask(&metadata::Keys);
    results.push(("metadata keys", text(keys, |keys| json!(keys).to_string())));
    let all = || metadata::Get::<Map<String, Value>>::all();
    let map = |map: Map<String, Value>| Value::Object(map).to_string();
    results.push(("metadata get", text(device.ask(&all()), map)));
    let some = metadata::Get::<Map<String, Value>>::only([key("name")]);
    results.push(("metadata get some", text(device.ask(&some), map)));
    let merge = device.ask(&metadata::Merge::new(json!({"model": "m"})));
    results.push(("metadata merge", text(merge, done)));
    results.push(("metadata merged", text(device.ask(&all()), map)));
    let delete = device.ask(&metadata::Delete::new([key("location")]));
    results.push(("metadata delete", text(delete, done)));
    let replace = device.ask(&metadata::ReplaceAll::new(json!({"name": "new"})));
    results.push(("metadata replace all", text(replace, done)));
    results.push(("metadata replaced", text(device.ask(&all()), map)));
}

fn run_commands(device: &mut impl Device, results: &mut Results) {
    let commands = |commands: Vec<kaa_proto::commands::Command>| {
        let one = |command: &kaa_proto::commands::Command| {
            format!("{} {}", command.id(), command.payload_json().unwrap_or("-"))
        };
        commands.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let pending = device.ask(&Pending::new(reboot()));
    results.push(("commands pending", text(pending, commands)));
    let report = device.ask(&Report::new(reboot(), 1, CommandResult::ok()));
    results.push(("command report", text(report, done)));
    let pending = device.ask(&Pending::new(reboot()));
    results.push(("commands left", text(pending, commands)));
}

fn run_configurations(device: &mut impl Device, results: &mut Results) {
    let answer = |answer: config::Answer| match answer {
        config::Answer::Assigned(one) => format!("{} {}", one.config_id(), one.json()),
        config::Answer::NotModified => "not modified".into(),
        config::Answer::Unassigned => "unassigned".into(),
    };
    let name = |name| named(ConfigName::new(name));
    let get = config::Get::new;
    results.push(("config get", text(device.ask(&get()), answer)));
    let same = device.ask(&get().unless("97016dbe"));
    results.push(("config get unless", text(same, answer)));
    let wifi = device.ask(&get().named(name("wifi")));
    results.push(("config get named", text(wifi, answer)));
    let none = device.ask(&get().named(name("none")));
    results.push(("config get unassigned", text(none, answer)));
    let applied = device.ask(&config::Applied::new("97016dbe"));
    results.push(("config applied", text(applied, done)));
    let rejected = config::Rejected::new("w1", 400, "no such channel").named(name("wifi"));
    results.push(("config rejected", text(device.ask(&rejected), done)));
}

fn run_software(device: &mut impl Device, results: &mut Results) {
    let answer = |answer: software::Answer| match answer {
        software::Answer::Assigned(one) => format!("{} {}", one.version(), one.json()),
        software::Answer::NotModified => "not modified".into(),
        software::Answer::Unassigned => "unassigned".into(),
    };
    let report = device.ask(&software::ReportCurrent::new("0.0.1"));
    results.push(("software report", text(report, done)));
    let get = device.ask(&software::Get::new());
    results.push(("software get", text(get, answer)));
    let same = device.ask(&software::Get::new().unless("0.0.2"));
    results.push(("software get unless", text(same, answer)));
    let rejected = device.ask(&software::Rejected::new("0.0.2", 500, "too large"));
    results.push(("software rejected", text(rejected, done)));
}

fn run_others(device: &mut impl Device, results: &mut Results) {
    let token = device.ask(&upload::GetToken);
    results.push(("upload token", text(token, |token| token.expose().into())));
    let other = |name| Service::Other(named(Extension::new(name)));
    let time = device.ask(&Call::new(other("tsx"), ""));
    let seconds = |reply: Reply| {
        let answer: Value = reply.json("time").unwrap_or_default();
        let millis = answer["timestamp"].as_u64().unwrap_or_default();
        (millis / 1_000).to_string()
    };
    results.push(("raw time", text(time, seconds)));
    let asked = Call::new(Service::Telemetry, "json")
        .payload("1")
        .fixed_id(7);
    let _ = device.ask(&asked);
    let status = device.ask(&Call::new(other("rsx"), "dcx").fixed_id(7));
    let body = |reply: Reply| String::from_utf8_lossy(reply.payload()).into_owned();
    results.push(("raw status", text(status, body)));
}

fn done<T>(_: T) -> String {
    "done".into()
}

fn text<T>(result: Result<T, Failure>, show: impl Fn(T) -> String) -> String {
    result.map_or_else(|failure| failure.to_string(), show)
}

fn named<T>(name: Result<T, NameError>) -> T {
    match name {
        Ok(name) => name,
        Err(error) => panic!("{error}"),
    }
}
