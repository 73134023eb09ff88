//! One round of everything through Mosquitto, with a login, and the platform attached to it.

use kaa_blocking::platform::{LocalOptions, LocalPlatform};
use kaa_proto::mqtt::Login;
use kaa_tests::mosquitto::Mosquitto;
use serde_json::json;

use crate::kit::{Kit, LONG, eventually};

#[test]
fn everything_works_through_mosquitto() {
    let broker = Mosquitto::with_user("pump", "s3cretPassw0rd").unwrap();
    let login = Login::new("pump").with_password("s3cretPassw0rd");
    let mut options = LocalOptions::default();
    options.http_listen = Some("127.0.0.1:0".parse().unwrap());
    let platform = LocalPlatform::attach(&broker.url(), Some(login), options).unwrap();
    platform.ready(LONG).unwrap();
    let kit = Kit::of(platform);
    let password = kit.file("password", "s3cretPassw0rd\n");
    let url = kit.url().to_owned();
    let set = [
        "profile",
        "set",
        "--username",
        "pump",
        "--password-file",
        &password,
        "--url",
        &url,
    ];
    assert_eq!(kit.run(&set).code, Some(0));

    kit.run(&["telemetry", "{\"t\": 21}"]).one(0);
    kit.pipe(&["telemetry"], "1\n2\n3\n").one(0);
    kit.run(&["plain", "t", "1"]).one(0);
    assert_eq!(kit.samples(), 5);
    kit.run(&["metadata", "replace-all", "{\"name\": \"pump\"}"])
        .one(0);
    kit.run(&["metadata", "merge", "{\"place\": \"roof\"}"])
        .one(0);
    kit.run(&["metadata", "delete", "place"]).one(0);
    assert_eq!(
        kit.run(&["metadata", "get"]).one(0),
        json!({"name": "pump"})
    );
    assert_eq!(kit.run(&["metadata", "keys"]).one(0), json!(["name"]));
    let id = kit.configure(None, json!({"rate": 5}));
    assert_eq!(kit.run(&["config", "get"]).one(0)["configId"], json!(id));
    kit.run(&["config", "watch", "--count", "1", "--exec", "true"])
        .one(0);
    kit.run(&["config", "applied", &id]).one(0);
    kit.run(&["config", "rejected", &id]).one(0);
    kit.run(&["software", "report", "1.0"]).one(0);
    kit.run(&["software", "get"]).one(0);
    kit.run(&["software", "rejected", "1.1"]).one(0);
    assert_eq!(
        kit.run(&["request", "epmx", "get"]).one(0),
        json!({"name": "pump"})
    );
    let file = kit.file("f", "x");
    kit.run(&["upload", &file]).one(0);
    kit.invoke("reboot", json!({"delay": 5}));
    kit.run(&["commands", "reboot", "--exec", "cat", "--count", "1"])
        .one(0);
    eventually("the result arrives", || {
        let results = kit.state().unwrap().results;
        results
            .iter()
            .any(|result| result.payload == Some(json!({"delay": 5})))
    });
    let wrong = kit.file("password", "wrong\n");
    let refused = kit.run(&["plain", "t", "1", "--password-file", &wrong]);
    assert_eq!(refused.code, Some(6), "{refused:?}");
}
