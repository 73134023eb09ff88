//! The example `gateway` as a newcomer runs it: each device once, because no seconds are given.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::platform::{Event, EventKind, Fixture};
use kaa_tests::example::{example, transcript};

const REFUSED: &str =
    "device 4 (demo-v1/me…): rejected by the platform with status 401: Unknown endpoint token";

#[test]
fn it_serves_all_devices_but_the_refused_one_and_gives_the_account() {
    let output = example("gateway").args(["5", "0"]).output().unwrap();
    let transcript = transcript(&output);
    assert_eq!(transcript.matches(REFUSED).count(), 1, "{transcript}");
    // Four samples of each, and up to three more by its number; commands for those with a lamp.
    let account = "Tally { present: 0, turned_away: 1, confirmed: 22, commands: 2 }";
    assert!(transcript.contains(account), "{transcript}");
    assert!(transcript.ends_with("0 requests were left unfinished\n"));
    assert!(!transcript.contains("meter-"), "tokens are shortened");
}

#[test]
fn the_platform_sees_one_connection_and_every_sample_once_with_its_own_time() {
    let mut local = LocalOptions::default();
    let device = r#"{"commands": {"blink": [{"id": 7}]}}"#;
    let fixture = format!(
        r#"{{"appVersions": {{"field": {{"endpoints": {{"pump-0": {device}, "pump-1": {device}, "pump-2": {device}}}}}}}}}"#
    );
    local.platform.fixture = Some(Fixture::parse(&fixture).unwrap());
    let platform = LocalPlatform::start(local).unwrap();
    let output = example("gateway")
        .args(["4", "0"])
        .env("KAA_URL", platform.url())
        .env("KAA_APP_VERSION", "field")
        .env("KAA_TOKEN", "pump")
        .output()
        .unwrap();
    let transcript = transcript(&output);
    assert!(
        transcript.contains("device 3 (field/pu…): rejected by the platform with status 401"),
        "{transcript}"
    );
    platform.stop();

    let events: Vec<_> = platform.events(Duration::ZERO).collect();
    let opened = |event: &&Event| matches!(event.kind, EventKind::LinkOpened {});
    assert_eq!(events.iter().filter(opened).count(), 1);
    let (mut samples, mut results) = (BTreeMap::new(), BTreeMap::new());
    for event in &events {
        let Some(name) = &event.endpoint else {
            continue;
        };
        let token = name.token().as_str();
        if let EventKind::Telemetry { data, .. } = &event.kind {
            assert!(data["ts"].as_u64() > Some(1_700_000_000_000), "{data}");
            *samples.entry(token).or_insert(0) += 1;
        } else if let EventKind::CommandResult { id: 7, .. } = &event.kind {
            *results.entry(token).or_insert(0) += 1;
        }
    }
    let each = [("pump-0", 4), ("pump-1", 5), ("pump-2", 6)];
    assert_eq!(samples, BTreeMap::from(each));
    assert_eq!(results, BTreeMap::from([("pump-0", 1), ("pump-2", 1)]));
}
