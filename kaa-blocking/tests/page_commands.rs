//! The command lines of PAGE, run as they stand there with the distribution's mosquitto clients,
//! against `kaa platform` as a program: on its own listener, and attached to Mosquitto. Only the
//! host differs, and `-n` stands where PAGE gives neither `-m` nor another payload.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use kaa_tests::mosquitto::{Mosquitto, program};
use kaa_tests::scratch::Scratch;
use serde_json::{Value, json};

/// The fixture of the page's examples.
const FIXTURE: &str = r#"{"appVersions": {"demo-v1": {"endpoints": {"JTjdbENzHh": {
  "metadata": {"name": "Device name", "deviceModel": "new model"},
  "readOnly": ["serial"], "hidden": ["secret"],
  "configurations": {"": {"configId": "97016dbe8bb4adff8f754ecbf24612f2", "config": {"key": "value"}}, "network": {"configId": "n1", "config": {}}},
  "software": {"configId": "0.0.2", "config": {"link": "https://example.com/fw-0.0.2.bin"}},
  "commands": {"reboot": [{"id": 1, "payload": {"delay": 5}}]},
  "uploadToken": "2222"}}}}}"#;

/// The fourteen operations: path after the token, request payload (`None`: `-n`), answer.
const OPERATIONS: [(&str, &str, Option<&str>, Answer); 15] = [
    (
        "dcx",
        "json/1",
        Some(r#"{"temperature": 21, "humidity": 73}"#),
        Answer::Empty,
    ),
    (
        "dcx",
        "json/2",
        Some(
            r#"[{"ts": "2019-04-26T15:41:07+0000", "temperature": 21}, {"ts": "2019-04-26T16:41:07+0000", "temperature": 21.5}]"#,
        ),
        Answer::Empty,
    ),
    ("dcx", "plain/temperature/1", Some("200"), Answer::Empty),
    (
        "epmx",
        "get/keys/1",
        None,
        Answer::Json(r#"["deviceModel", "name"]"#),
    ),
    (
        "epmx",
        "get/1",
        None,
        Answer::Json(r#"{"name": "Device name", "deviceModel": "new model"}"#),
    ),
    (
        "epmx",
        "update/1",
        Some(r#"{"deviceModel": "example model", "name": "Sensor 1"}"#),
        Answer::Empty,
    ),
    (
        "epmx",
        "update/keys/1",
        Some(r#"{"deviceModel": "new model"}"#),
        Answer::Empty,
    ),
    (
        "epmx",
        "delete/keys/1",
        Some(r#"["location", "areaId"]"#),
        Answer::Empty,
    ),
    (
        "cex",
        "command/reboot/1",
        Some(r#"{"observe": true}"#),
        Answer::Json(r#"[{"id": 1, "payload": {"delay": 5}}]"#),
    ),
    (
        "cex",
        "result/reboot/1",
        Some(
            r#"[{"id": 1, "statusCode": 200, "reasonPhrase": "Ok", "payload": {"engine_on": true}}]"#,
        ),
        Answer::Empty,
    ),
    (
        "cmx",
        "config/json/1",
        Some(r#"{"observe": false}"#),
        Answer::Has(
            r#"{"configId": "97016dbe8bb4adff8f754ecbf24612f2", "statusCode": 200, "config": {"key": "value"}}"#,
        ),
    ),
    (
        "cmx",
        "applied/json/1",
        Some(r#"{"configId": "97016dbe8bb4adff8f754ecbf24612f2"}"#),
        Answer::Empty,
    ),
    (
        "cmx_ota",
        "config/json/1",
        Some(r#"{"observe": true}"#),
        Answer::Has(
            r#"{"configId": "0.0.2", "statusCode": 200, "config": {"link": "https://example.com/fw-0.0.2.bin"}}"#,
        ),
    ),
    (
        "cmx_ota",
        "applied/json/1",
        Some(r#"{"configId": "0.0.2"}"#),
        Answer::Empty,
    ),
    ("bcx", "token/1", None, Answer::Json(r#"{"token": "2222"}"#)),
];

/// What comes back on `/status`.
enum Answer {
    Empty,
    /// Exactly this value.
    Json(&'static str),
    /// An object with these fields.
    Has(&'static str),
}

impl Answer {
    fn check(&self, topic: &str, answer: &str) {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        match self {
            Self::Empty => assert_eq!(answer, "", "{topic}"),
            Self::Json(expected) => assert_eq!(value(answer), value(expected), "{topic}"),
            Self::Has(expected) => {
                let answer = value(answer);
                for (key, expected) in value(expected).as_object().unwrap() {
                    assert_eq!(&answer[key], expected, "{topic} {key}");
                }
            }
        }
    }
}

/// `kaa platform`, killed when this is dropped.
struct Platform {
    process: Child,
    port: u16,
    _files: Scratch,
}

impl Platform {
    fn start(place: &[&str], port: impl FnOnce(&str) -> u16) -> Self {
        let files = Scratch::new().unwrap();
        let fixture = files.path().join("fixture.json");
        fs::write(&fixture, FIXTURE).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_kaa"))
            .arg("platform")
            .args(place)
            .arg("--fixture")
            .arg(&fixture)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        let port = port(first.trim_end());
        Self {
            process,
            port,
            _files: files,
        }
    }

    fn listening() -> Self {
        Self::start(&["--listen", "127.0.0.1:0"], |line| {
            let addr = line.strip_prefix("listening on 127.0.0.1:");
            addr.expect(line).parse().unwrap()
        })
    }

    fn attached_to(broker: &Mosquitto) -> Self {
        Self::start(&["--attach", &broker.url()], |line| {
            assert_eq!(line, format!("attached to {}", broker.url()));
            broker.port()
        })
    }

    /// A client of the distribution, told where the platform is.
    fn client(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program(name).unwrap());
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(args)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn topic(extension: &str, path: &str) -> String {
    format!("kp1/demo-v1/{extension}/JTjdbENzHh/{path}")
}

/// What a client printed, without the end of its last line.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaints}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// The payload as PAGE gives it, or `-n`.
fn payload(payload: Option<&'static str>) -> Vec<&'static str> {
    payload.map_or_else(|| vec!["-n"], |payload| vec!["-m", payload])
}

/// `mosquitto_rr … -e TOPIC/status -t TOPIC -V 311 -m PAYLOAD`.
fn requests_and_responses(platform: &Platform) {
    for (extension, path, request, answer) in &OPERATIONS {
        let topic = topic(extension, path);
        let status = format!("{topic}/status");
        let mut client = platform.client("mosquitto_rr", &["-e", &status, "-t", &topic]);
        client
            .args(["-V", "311", "-W", "20"])
            .args(payload(*request));
        answer.check(&topic, &output(&mut client));
    }
}

/// `mosquitto_sub -t TOPIC/status` in one process, `mosquitto_pub -t TOPIC -m PAYLOAD` in another.
fn separate_subscribers(platform: &Platform) {
    for (extension, path, request, answer) in &OPERATIONS {
        let topic = topic(extension, path);
        answer.check(&topic, &asked(platform, &topic, "status", *request));
    }
    // PAGE's shape of an error, on the other topic.
    let topic = topic("epmx", "update/1");
    let error: Value = serde_json::from_str(&asked(platform, &topic, "error", Some("[]"))).unwrap();
    assert_eq!(error["statusCode"], json!(400));
    assert!(error["reasonPhrase"].is_string());
}

/// What a subscriber of `TOPIC/suffix` gets when another client publishes. The subscriber does not
/// tell when it is one, so the other publishes until it was heard.
fn asked(platform: &Platform, topic: &str, suffix: &str, request: Option<&'static str>) -> String {
    let response = format!("{topic}/{suffix}");
    let mut subscriber = platform
        .client("mosquitto_sub", &["-t", &response, "-C", "1", "-W", "20"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut publish = platform.client("mosquitto_pub", &["-t", topic]);
    publish.args(payload(request));
    while subscriber.try_wait().unwrap().is_none() {
        output(&mut publish);
    }
    let answer = subscriber.wait_with_output().unwrap();
    assert!(answer.status.success(), "{response}: {}", answer.status);
    String::from_utf8(answer.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn the_requests_of_the_page_get_its_answers_on_the_platforms_own_listener() {
    requests_and_responses(&Platform::listening());
}

#[test]
fn the_requests_of_the_page_get_its_answers_through_mosquitto() {
    let broker = Mosquitto::start().unwrap();
    requests_and_responses(&Platform::attached_to(&broker));
}

#[test]
fn separate_subscribers_get_the_answers_on_the_platforms_own_listener() {
    separate_subscribers(&Platform::listening());
}

#[test]
fn separate_subscribers_get_the_answers_through_mosquitto() {
    let broker = Mosquitto::start().unwrap();
    separate_subscribers(&Platform::attached_to(&broker));
}

/// PAGE's lines without request ID are taken, and answered by nobody.
#[test]
fn requests_without_id_are_taken() {
    let platform = Platform::listening();
    let metadata = topic("epmx", "update/keys");
    output(&mut platform.client(
        "mosquitto_pub",
        &["-t", &metadata, "-m", r#"{"areaId": 7}"#],
    ));
    let get = topic("epmx", "get/1");
    let read: Value = serde_json::from_str(&asked(&platform, &get, "status", None)).unwrap();
    assert_eq!(read["areaId"], json!(7));
}

/// A bare MQTT client that never subscribes gets the answer on its own connection.
#[test]
fn a_client_that_never_subscribes_is_answered_where_it_asked() {
    let platform = Platform::listening();
    let mut socket = TcpStream::connect(("127.0.0.1", platform.port)).unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    // CONNECT with client ID "c"; PUBLISH at QoS 0 on a topic of 38 bytes, without a payload.
    socket
        .write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c")
        .unwrap();
    socket
        .write_all(b"\x30\x28\x00\x26kp1/demo-v1/epmx/JTjdbENzHh/get/keys/1")
        .unwrap();
    let expected: &[u8] = b"\x20\x02\x00\x00\x30\x45\x00\x2dkp1/demo-v1/epmx/JTjdbENzHh/get/keys/1/status[\"deviceModel\",\"name\"]";
    let mut answer = vec![0; expected.len()];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer, expected);
}
