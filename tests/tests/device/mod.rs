//! What the suites with real sockets share: a device, and what it does in full.

use std::time::Duration;

use kaa_blocking::commands::{CommandResult, Pending, Report};
use kaa_blocking::metadata::{Delete, Get, Keys, Merge, ReplaceAll};
use kaa_blocking::names::{CommandType, ConfigName, EndpointName, MetadataKey, Metric};
use kaa_blocking::platform::LocalPlatform;
use kaa_blocking::raw::Call;
use kaa_blocking::request::{Confirm, RequestExt as _, Service};
use kaa_blocking::telemetry::{Batch, Plain, Sample};
use kaa_blocking::upload::{GetToken, UploadToken};
use kaa_blocking::{Client, Configurations, Endpoint, Options, config, software};
use kaa_proto::platform::{Event, EventKind};
use serde_json::{Value, json};

/// How long anything may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn name() -> EndpointName {
    EndpointName::parse("demo-v1", "JTjdbENzHh").unwrap()
}

/// Options of a client that does not wait long before it dials again.
pub(crate) fn options(url: &str) -> Options {
    let quick = Duration::from_millis(100);
    Options::new(url)
        .unwrap()
        .connection(|options| options.backoff(quick, quick))
}

pub(crate) fn client(url: &str) -> Client {
    Client::connect(options(url)).unwrap()
}

/// The first event that `is_it`; those before it are lost.
pub(crate) fn wait_for(platform: &LocalPlatform, is_it: impl Fn(&EventKind) -> bool) -> Event {
    let mut seen = Vec::new();
    for event in platform.events(PATIENCE) {
        if is_it(&event.kind) {
            return event;
        }
        seen.push(event.to_string());
    }
    panic!("it did not happen; what did: {seen:#?}");
}

/// Waits until the device observes by the platform's own account.
pub(crate) fn wait_for_observers(platform: &LocalPlatform) {
    let observes = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::CommandsRequested {
                observe: Some(true),
                ..
            } | EventKind::ConfigRequested {
                observe: Some(true),
                ..
            } | EventKind::SoftwareRequested {
                observe: Some(true),
                ..
            }
        )
    };
    wait_for(platform, observes);
}

/// All fourteen operations and the pushes, each confirmed; gives the upload token.
pub(crate) fn does_everything(platform: &LocalPlatform, device: &Endpoint) -> UploadToken {
    telemetry(platform, device);
    metadata(platform, device);
    commands(platform, device);
    configurations(platform, device);
    software(platform, device);
    let ping = Call::new(Service::Telemetry, "json")
        .json(&json!({"n": 5}))
        .unwrap();
    device.request(&ping).unwrap();
    assert_eq!(platform.state(&name()).unwrap().samples, 5);
    device.request(&GetToken).unwrap()
}

fn telemetry(platform: &LocalPlatform, device: &Endpoint) {
    device.request(&Sample::new(json!({"n": 1}))).unwrap();
    let batch = Batch::new([json!({"n": 2}), json!({"n": 3})]);
    device.request(&batch).unwrap();
    let plain = Plain::new(Metric::new("n").unwrap(), 4.0).confirm(Confirm::Answered);
    device.request(&plain).unwrap();
    let state = platform.state(&name()).unwrap();
    assert_eq!(
        (state.samples, state.last_sample),
        (4, Some(json!({"n-value": 4, "n-unit": "number"})))
    );
}

fn metadata(platform: &LocalPlatform, device: &Endpoint) {
    let key = |key| MetadataKey::new(key).unwrap();
    let all = json!({"name": "Sensor 1", "areaId": 7});
    device.request(&ReplaceAll::new(all)).unwrap();
    device
        .request(&Merge::new(json!({"deviceModel": "new model"})))
        .unwrap();
    assert_eq!(
        device.request(&Keys).unwrap(),
        ["areaId", "deviceModel", "name"]
    );
    let some: Value = device.request(&Get::only([key("name")]).typed()).unwrap();
    assert_eq!(some, json!({"name": "Sensor 1"}));
    device.request(&Delete::new([key("areaId")])).unwrap();
    let all: Value = device.request(&Get::all().typed()).unwrap();
    assert_eq!(all, json!({"name": "Sensor 1", "deviceModel": "new model"}));
    assert_eq!(json!(platform.state(&name()).unwrap().metadata), all);
}

fn commands(platform: &LocalPlatform, device: &Endpoint) {
    let [reboot, blink] = ["reboot", "blink"].map(|name| CommandType::new(name).unwrap());
    let mut commands = device.commands([reboot.clone()]).unwrap();
    let id = platform
        .command(&name(), &reboot, Some(json!({"delay": 5})))
        .unwrap();
    let command = commands.next_within(PATIENCE).unwrap();
    assert_eq!(
        (command.id().as_i64(), command.value().unwrap()),
        (Some(id), json!({"delay": 5}))
    );
    let result = CommandResult::ok()
        .with_payload(&json!({"engine_on": true}))
        .unwrap();
    command
        .respond(result)
        .unwrap()
        .wait(PATIENCE)
        .unwrap()
        .unwrap();

    // Without observing: asked for, and reported as a request of its own.
    let id = platform.command(&name(), &blink, None).unwrap();
    let pending = device.request(&Pending::new(blink)).unwrap();
    assert_eq!(pending.len(), 1);
    let report = Report::of(&pending[0], CommandResult::failed(500, "no light"));
    device.request(&report.confirm(Confirm::Answered)).unwrap();

    let state = platform.state(&name()).unwrap();
    let mut results: Vec<_> = state
        .results
        .iter()
        .map(|r| (&*r.command_type, r.id, r.status_code))
        .collect();
    // A broker acknowledges a result before the platform has it; if the platform repeats the
    // command in between, it gets the stored result once more.
    results.dedup();
    assert_eq!(results, [("reboot", results[0].1, 200), ("blink", id, 500)]);
    assert_eq!(state.results[0].payload, Some(json!({"engine_on": true})));
}

fn configurations(platform: &LocalPlatform, device: &Endpoint) {
    let network = ConfigName::new("network").unwrap();
    assert_eq!(
        device.request(&config::Get::new()).unwrap(),
        config::Answer::Unassigned
    );
    let mut plain = device.configurations().unwrap();
    let mut named = device.named_configurations(network.clone()).unwrap();
    let id = platform
        .set_configuration(&name(), None, json!({"key": "value"}))
        .unwrap();
    let pushed = assigned(&mut plain);
    assert_eq!(
        (pushed.config_id(), pushed.value().unwrap()),
        (&*id, json!({"key": "value"}))
    );
    device.request(&config::Applied::of(&pushed)).unwrap();
    let unless = config::Get::new().unless(&*id);
    assert_eq!(
        device.request(&unless).unwrap(),
        config::Answer::NotModified
    );

    let other = platform
        .set_configuration(&name(), Some(&network), json!({"ssid": "x"}))
        .unwrap();
    let pushed = assigned(&mut named);
    assert_eq!(
        (pushed.name(), pushed.config_id()),
        (Some(&network), &*other)
    );
    device
        .request(&config::Rejected::of(&pushed, 400, "no such net"))
        .unwrap();

    let state = platform.state(&name()).unwrap().configurations;
    let reported = |name: &str| state[name].reported.as_ref().unwrap();
    assert_eq!(
        (&*reported("").config_id, reported("").status_code),
        (&*id, 200.0)
    );
    assert_eq!(
        (
            &*reported("network").config_id,
            reported("network").status_code
        ),
        (&*other, 400.0)
    );
}

/// The next configuration; that there is none yet may come before it.
fn assigned(configurations: &mut Configurations) -> config::Configuration {
    loop {
        match configurations.next_within(PATIENCE).unwrap() {
            config::Answer::Assigned(configuration) => return configuration,
            config::Answer::Unassigned => {}
            config::Answer::NotModified => panic!("never shown"),
        }
    }
}

fn software(platform: &LocalPlatform, device: &Endpoint) {
    let link = "https://example.com/fw-0.0.2.bin";
    let mut updates = device.software_updates("0.0.1").unwrap();
    platform
        .set_software(&name(), "0.0.2", json!({"link": link}))
        .unwrap();
    let Some(software::Answer::Assigned(update)) = updates.next_within(PATIENCE) else {
        panic!("no update came");
    };
    assert_eq!(
        (update.version(), update.link().as_deref()),
        ("0.0.2", Some(link))
    );
    device
        .request(&software::ReportCurrent::new("0.0.2"))
        .unwrap();
    assert_eq!(
        device.request(&software::Get::new()).unwrap(),
        software::Answer::NotModified
    );

    platform.set_software(&name(), "0.0.3", json!({})).unwrap();
    let Some(software::Answer::Assigned(update)) = updates.next_within(PATIENCE) else {
        panic!("no update came");
    };
    device
        .request(&software::Rejected::of(&update, 500, "no room"))
        .unwrap();
    let reported = platform.state(&name()).unwrap().software.reported.unwrap();
    assert_eq!(
        (&*reported.config_id, reported.status_code),
        ("0.0.3", 500.0)
    );
}
