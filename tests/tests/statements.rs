//! What MQTT 3.1.1 and the Kaa RFCs say of a client, where no other suite is about it. Which test
//! shows which statement stands in `tests/conformance.md`.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use kaa_proto::client::{Client, Options, Transport, Turn};
use kaa_proto::commands::CommandResult;
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Observation, Subscriptions};
use kaa_proto::metadata::{Get, ReplaceAll};
use kaa_proto::names::{
    AppVersion, CommandType, ConfigName, EndpointToken, Extension, MetadataKey, Metric,
};
use kaa_proto::telemetry::{Batch, Sample};
use kaa_tests::clock::Clock;
use kaa_tests::device::Device as _;
use kaa_tests::endpoint_host::EndpointHost;
use kaa_tests::pair::Pair;
use kaa_tests::sniffer::Sniffer;
use serde_json::{Value, json};

/// A server that only listens.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<u8>>>);

impl Transport for Listener {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// MQTT-3.1.3-5: what goes beyond 23 bytes of letters and digits, a server may refuse.
#[test]
fn a_client_identifier_that_nobody_chose_is_one_that_every_server_must_allow() {
    for entropy in [0, 1, 0x1234_5678, u64::MAX] {
        let options = Options::new("mqtt://localhost").unwrap();
        let now = Clock::new().now();
        let (_client, mut driver) = Client::new(options, 1, entropy, move || now).unwrap();
        let mut transport = None;
        let Turn::Dial { link, .. } = driver.turn(Waker::noop(), &mut transport) else {
            panic!("it dials at once");
        };
        let server = Listener::default();
        transport = Some(server.clone());
        driver.handle_connected(link);
        while driver.turn(Waker::noop(), &mut transport) == Turn::Again {}
        let packets = Sniffer::default().packets(&server.0.lock().unwrap());
        let [connect] = &packets[..] else {
            panic!("{packets:?}");
        };
        // Behind the name and level of the protocol, the flags, the keep alive and the length.
        let client_id = &connect.body[12..];
        assert!((1..=23).contains(&client_id.len()), "{client_id:?}");
        assert!(
            client_id.iter().all(u8::is_ascii_alphanumeric),
            "{}",
            String::from_utf8_lossy(client_id)
        );
    }
}

/// 11/CEP: commands are told apart by type and ID, not by what they say; each has its own result.
#[test]
fn commands_with_the_same_payload_run_each_and_may_be_answered_in_any_order() {
    let options = EndpointOptions::default().subscriptions(Subscriptions::None);
    let mut host = EndpointHost::online(options, 1).unwrap();
    let reboot = CommandType::new("reboot").unwrap();
    host.observe(&Observation::Commands(reboot)).unwrap();
    let list = r#"[{"id":1,"payload":"x"},{"id":2,"payload":"x"},{"id":3,"payload":"x"}]"#;
    host.receive("cex/command/reboot/status", list);
    let commands = std::iter::from_fn(|| host.endpoint.poll_command(|_| true));
    let keys: Vec<_> = commands.map(|command| CommandKey::from(&command)).collect();
    assert_eq!(keys.len(), 3);
    host.drain();
    let _ = host.take_sent();
    for (key, status) in keys.iter().zip([201, 202, 203]).rev() {
        host.respond(key, CommandResult::new(status)).unwrap();
    }
    let sent = host.take_sent().into_iter();
    let results: Vec<_> = sent.map(|sent| sent.payload).collect();
    assert_eq!(
        results,
        [
            r#"[{"id":3,"statusCode":203}]"#,
            r#"[{"id":2,"statusCode":202}]"#,
            r#"[{"id":1,"statusCode":201}]"#,
        ]
    );
}

/// 10/EPMP, 11/CEP: keys and types are not empty; nor is any other name, or there were an empty level.
#[test]
fn no_name_is_empty() {
    let refused = [
        AppVersion::new("").is_err(),
        EndpointToken::new("").is_err(),
        Extension::new("").is_err(),
        CommandType::new("").is_err(),
        ConfigName::new("").is_err(),
        MetadataKey::new("").is_err(),
        Metric::new("").is_err(),
    ];
    assert_eq!(refused, [true; 7]);
}

/// 10/EPMP and 2/DCP: values and samples are of any JSON type, as UTF-8; keys are told apart by case.
#[test]
fn metadata_and_samples_of_every_json_type_and_script_go_out_and_come_back() {
    let values = json!({
        "null": null, "true": true, "number": -1.5e3, "text": "датчик 7 °C 🌡", "Text": "another",
        "list": [1, [], "a"], "object": {"nested": {"deep": []}}, "empty": "",
    });
    let mut pair = Pair::online();
    pair.ask(&ReplaceAll::new(values.clone())).unwrap();
    let found: Value = pair.ask(&Get::all().typed()).unwrap();
    assert_eq!(found, values);
    pair.take_seen();
    for value in values.as_object().unwrap().values() {
        pair.ask(&Batch::new([value, value])).unwrap();
        let seen = pair.take_seen().remove(0);
        let sent: Value = serde_json::from_slice(&seen.payload).unwrap();
        assert_eq!(sent, json!([value, value]));
        pair.ask(&Sample::new(value.clone())).unwrap();
        let seen = pair.take_seen().remove(0);
        let sent: Value = serde_json::from_slice(&seen.payload).unwrap();
        // An array alone would be a batch.
        let is_list = value.is_array();
        assert_eq!(
            sent,
            if is_list {
                json!([value])
            } else {
                value.clone()
            }
        );
    }
    assert!(!pair.take_log_names().contains(&"breach"));
}
