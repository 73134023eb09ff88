//! Payloads that come in: every decoder, against the rules read a second time.

use std::collections::BTreeMap;
use std::fmt;

use kaa_proto::commands::{Command, CommandId, Pending};
use kaa_proto::endpoint::{EndpointOptions, Event, Observation};
use kaa_proto::names::{CommandType, ConfigName};
use kaa_proto::raw::Call;
use kaa_proto::request::{Failure, Outcome, Reply, Request, Service};
use kaa_proto::telemetry::Sample;
use kaa_proto::upload::{GetToken, UploadToken};
use kaa_proto::{config, metadata, software};
use kaa_tests::endpoint_host::EndpointHost;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// Whatever an answer or a push holds, it is read as the protocol's rules say, which stand here a second
/// time; what the suffix says is never overruled but by a status in the body; and a push never ends a request.
///
/// The first byte chooses the operation, the second the suffix; the rest is the payload.
///
/// # Panics
/// If that does not hold.
pub fn payloads(data: &[u8]) {
    let &[operation, suffix, ref payload @ ..] = data else {
        return;
    };
    let is_error = suffix & 3 == 3;
    // What is no UTF-8 is no JSON (RFC 8259); where nobody looks, it may pass.
    let is_text = std::str::from_utf8(payload).is_ok();
    if !is_text {
        return ignore_errors(operation, payload);
    }
    let with_body = |model: fn(&[u8]) -> Expected| move |payload: &[u8]| of_body(payload, model);
    match operation % 12 {
        0 => check(is_error, payload, &Sample::new(1), any, |()| Shown::Nothing),
        1 => check(is_error, payload, &metadata::Keys, keys, Shown::Keys),
        2 => check(
            is_error,
            payload,
            &metadata::Get::all(),
            object,
            Shown::Object,
        ),
        3 => {
            let wifi = ConfigName::new("wifi").expect("it is a name");
            let get = config::Get::new().named(wifi);
            check(is_error, payload, &get, with_body(assigned), configuration);
        }
        4 => check(
            is_error,
            payload,
            &config::Get::new(),
            with_body(assigned),
            configuration,
        ),
        5 => check(
            is_error,
            payload,
            &software::Get::new(),
            with_body(assigned),
            update,
        ),
        6 => check(
            is_error,
            payload,
            &Pending::new(reboot()),
            pending,
            |list| commands(&list),
        ),
        7 => check(is_error, payload, &GetToken, token, |token| {
            Shown::Token(token)
        }),
        8 => {
            let call = Call::new(Service::Software, "x").status_in_body();
            check(is_error, payload, &call, with_body(any), |_| Shown::Nothing);
        }
        9 => pushed_commands(payload),
        10 => pushed_configuration(payload),
        _ => unassigned_error(payload),
    }
}

/// Whatever it is, it does no harm.
fn ignore_errors(operation: u8, payload: &[u8]) {
    let mut host = host();
    let observation = Observation::Commands(reboot());
    host.observe(&observation).expect("there is room");
    let observation = Observation::Configuration(None);
    host.observe(&observation).expect("there is room");
    let path = match operation % 2 {
        0 => "cex/JTjdbENzHh/command/reboot/status",
        _ => "cmx/JTjdbENzHh/config/json/status",
    };
    let _ = host.receive_raw(&format!("kp1/demo-v1/{path}"), payload);
}

/// What an answer brought, in one type for all.
#[derive(Debug, PartialEq)]
enum Shown {
    Nothing,
    Keys(Vec<String>),
    Object(serde_json::Map<String, Value>),
    NotModified,
    Unassigned,
    /// Identifier and body, as text.
    Assigned(String, String),
    /// IDs and payloads, as text.
    Commands(Vec<(String, Option<String>)>),
    Token(UploadToken),
}

/// What an answer is to bring: the status with which it is rejected, or nothing if it cannot be read.
#[derive(Debug, PartialEq)]
enum Expected {
    Is(Shown),
    Rejected(Option<u16>),
    Unreadable,
}

/// Asks, answers, and compares.
fn check<R: Request>(
    is_error: bool,
    payload: &[u8],
    request: &R,
    model: impl Fn(&[u8]) -> Expected,
    show: impl Fn(R::Response) -> Shown,
) {
    let mut host = host();
    let id = host.submit(request).expect("it is a request");
    let sent = host.take_sent();
    let topic = format!(
        "{}/{}",
        sent[0].topic,
        if is_error { "error" } else { "status" }
    );
    let _ = host.receive_raw(&topic, payload);
    let outcome: &Outcome = host.outcome(id).expect("an answer ends its request");
    let status = status(payload);
    let got = match outcome {
        Err(Failure::Rejected { status, .. }) => Expected::Rejected(*status),
        Err(failure) => panic!("{failure:?}"),
        Ok(reply) => decoded::<R>(reply).map_or(Expected::Unreadable, |it| Expected::Is(show(it))),
    };
    let expected = match is_error {
        // "Not modified" may come as an error (FACTS section 4), for requests that read the body's status.
        true if status == Some(304) && reads_status::<R>(request) => model(payload),
        true => Expected::Rejected(status),
        false => model(payload),
    };
    assert_eq!(got, expected, "{:?}", String::from_utf8_lossy(payload));
}

fn decoded<R: Request>(reply: &Reply) -> Option<R::Response> {
    let read = R::decode(reply);
    if let Err(error) = &read {
        assert!(error.to_string().starts_with("what came is not a valid"));
    }
    read.ok()
}

/// Whether a status in the body counts: with an answer that says 304, such a request succeeds.
fn reads_status<R: Request>(request: &R) -> bool {
    let mut host = host();
    let id = host.submit(request).expect("it is a request");
    let topic = format!("{}/status", host.take_sent()[0].topic);
    let _ = host.receive_raw(&topic, br#"{"statusCode":400}"#);
    host.outcome(id).is_some_and(Result::is_err)
}

/// The status in a body, if it is a whole number of 16 bits (FACTS traps 20 and 39).
fn status(payload: &[u8]) -> Option<u16> {
    let fields = fields(payload, &["statusCode", "reasonPhrase"])?;
    // A field that is nested too deep makes all of it unreadable.
    let read = |name: &str| match fields.get(name) {
        Some(field) => serde_json::from_str::<Value>(field.get()).ok().map(Some),
        None => Some(None),
    };
    let (status, _) = (read("statusCode")??, read("reasonPhrase")?);
    let status = status.as_f64()?;
    let is_whole = status.fract() == 0.0 && (0.0..=65_535.0).contains(&status);
    is_whole.then_some(status as u16)
}

/// The fields of an object; none of those that are known may be there twice.
fn fields(json: &[u8], known: &[&str]) -> Option<BTreeMap<String, Box<RawValue>>> {
    let Pairs(pairs) = serde_json::from_slice(json).ok()?;
    let mut fields = BTreeMap::new();
    for (name, value) in pairs {
        let is_known = known.contains(&name.as_str());
        if fields.insert(name, value).is_some() && is_known {
            return None;
        }
    }
    Some(fields)
}

/// The fields of an object as they came.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;

        impl<'de> Visitor<'de> for Visit {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = object.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Visit)
    }
}

/// A body with a status of its own.
fn of_body(payload: &[u8], model: fn(&[u8]) -> Expected) -> Expected {
    match status(payload) {
        Some(304) => model(b""),
        Some(status @ 400..) => Expected::Rejected(Some(status)),
        _ => model(payload),
    }
}

const fn any(_: &[u8]) -> Expected {
    Expected::Is(Shown::Nothing)
}

fn keys(payload: &[u8]) -> Expected {
    let read = serde_json::from_slice(payload).map(Shown::Keys);
    read.map_or(Expected::Unreadable, Expected::Is)
}

fn object(payload: &[u8]) -> Expected {
    let read = serde_json::from_slice(payload).map(Shown::Object);
    read.map_or(Expected::Unreadable, Expected::Is)
}

fn token(payload: &[u8]) -> Expected {
    match UploadToken::from_payload(payload) {
        Ok(token) => {
            let text = token.expose();
            assert!(!text.is_empty() && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte)));
            assert!(!format!("{token:?}").contains(text) || text.len() < 12);
            Expected::Is(Shown::Token(token))
        }
        Err(_) => Expected::Unreadable,
    }
}

/// 7/CMP with all that FACTS section 4 adds to it.
fn assigned(payload: &[u8]) -> Expected {
    if matches!(trimmed(payload), b"" | b"null") {
        return Expected::Is(Shown::NotModified);
    }
    let Some(fields) = fields(payload, &["configId", "config", "statusCode"]) else {
        return Expected::Unreadable;
    };
    let id: Option<Option<String>> = match fields.get("configId") {
        Some(id) => serde_json::from_str(id.get()).ok(),
        None => Some(None),
    };
    let Some(id) = id else {
        return Expected::Unreadable;
    };
    if let Some(status) = fields
        .get("statusCode")
        .and_then(|status| status.get().parse::<f64>().ok())
    {
        if status == 304.0 {
            return Expected::Is(Shown::NotModified);
        }
        if status >= 400.0 {
            return Expected::Unreadable;
        }
    }
    match (
        id.as_deref(),
        fields.get("config").map(|config| config.get()),
    ) {
        (Some(""), _) | (None, Some("null")) => Expected::Is(Shown::Unassigned),
        (_, None) => Expected::Is(Shown::NotModified),
        (None, Some(_)) => Expected::Unreadable,
        (Some(id), Some(body)) => Expected::Is(Shown::Assigned(id.into(), body.into())),
    }
}

fn configuration(answer: config::Answer) -> Shown {
    match answer {
        config::Answer::NotModified => Shown::NotModified,
        config::Answer::Unassigned => Shown::Unassigned,
        config::Answer::Assigned(one) => Shown::Assigned(one.config_id().into(), one.json().into()),
    }
}

fn update(answer: software::Answer) -> Shown {
    match answer {
        software::Answer::NotModified => Shown::NotModified,
        software::Answer::Unassigned => Shown::Unassigned,
        software::Answer::Assigned(one) => {
            let _ = one.link();
            Shown::Assigned(one.version().into(), one.json().into())
        }
    }
}

/// 11/CEP: each command once, with its ID and payload as they came.
fn pending(payload: &[u8]) -> Expected {
    match listed(payload) {
        Some(list) => Expected::Is(Shown::Commands(list)),
        None => Expected::Unreadable,
    }
}

fn listed(payload: &[u8]) -> Option<Vec<(String, Option<String>)>> {
    let elements: Vec<Box<RawValue>> = match trimmed(payload) {
        b"" | b"null" => Vec::new(),
        one if one[0] == b'{' => vec![serde_json::from_slice(payload).ok()?],
        _ => serde_json::from_slice(payload).ok()?,
    };
    let mut list: Vec<(String, Option<String>)> = Vec::new();
    for element in elements {
        let Some((id, payload)) = command(element.get()) else {
            continue;
        };
        if list.iter().all(|(other, _)| *other != id) {
            list.push((id, payload));
        }
    }
    Some(list)
}

fn command(element: &str) -> Option<(String, Option<String>)> {
    let fields = fields(
        element.as_bytes(),
        &["id", "type", "payload", "interrupted"],
    )?;
    let id = fields.get("id")?.get();
    let is_id = id.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
    let payload = fields
        .get("payload")
        .map(|payload| String::from(payload.get()));
    (is_id && id.len() <= 128).then(|| (id.into(), payload))
}

fn commands(commands: &[Command]) -> Shown {
    Shown::Commands(commands.iter().map(texts).collect())
}

fn texts(command: &Command) -> (String, Option<String>) {
    let id = command.id().as_json();
    assert_eq!(CommandId::from_json(id).as_ref(), Ok(command.id()));
    (id.into(), command.payload_json().map(String::from))
}

fn pushed_commands(payload: &[u8]) {
    let mut host = host();
    host.observe(&Observation::Commands(reboot()))
        .expect("there is room");
    let topic = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/status";
    let _ = host.receive_raw(topic, payload);
    let _ = host.receive_raw(topic, payload);
    let read = std::iter::from_fn(|| host.endpoint.poll_command(|_| true));
    let read: Vec<_> = read.map(|command| texts(&command)).collect();
    // As many as may wait to be read.
    let mut expected = listed(payload).unwrap_or_default();
    expected.truncate(64);
    assert_eq!(read, expected, "{:?}", String::from_utf8_lossy(payload));
}

fn pushed_configuration(payload: &[u8]) {
    let mut host = host();
    host.observe(&Observation::Configuration(None))
        .expect("there is room");
    let topic = "kp1/demo-v1/cmx/JTjdbENzHh/config/json/status";
    let _ = host.receive_raw(topic, payload);
    let _ = host.receive_raw(topic, payload);
    let read = host.endpoint.poll_configuration(None).map(configuration);
    let expected = match of_body(payload, assigned) {
        Expected::Is(Shown::NotModified) | Expected::Rejected(_) | Expected::Unreadable => None,
        Expected::Is(shown) => Some(shown),
    };
    assert_eq!(read, expected, "{:?}", String::from_utf8_lossy(payload));
    assert_eq!(
        host.endpoint.poll_configuration(None),
        None,
        "it is surfaced once"
    );
}

fn unassigned_error(payload: &[u8]) {
    let mut host = host();
    let id = host.submit(&Sample::new(1)).expect("it is a request");
    let _ = host.receive_raw("kp1/demo-v1/dcx/JTjdbENzHh/json/error", payload);
    assert_eq!(host.outcome(id), None, "nobody knows whose it is");
    let told = host.take_events();
    let [
        Event::UnassignedError {
            resource,
            failure: Failure::Rejected { status: told, .. },
        },
    ] = &told[..]
    else {
        panic!("{told:?}");
    };
    assert_eq!((resource.as_str(), *told), ("json", status(payload)));
}

/// Without the white space around it, which in JSON is less than in ASCII (RFC 8259).
fn trimmed(json: &[u8]) -> &[u8] {
    let is_other = |byte: &u8| !b" \t\n\r".contains(byte);
    let first = json.iter().position(is_other).unwrap_or(json.len());
    let last = json
        .iter()
        .rposition(is_other)
        .map_or(first, |last| last + 1);
    &json[first..last]
}

fn host() -> EndpointHost {
    let host = EndpointHost::online(EndpointOptions::default(), 1);
    host.expect("the name is valid")
}

fn reboot() -> CommandType {
    CommandType::new("reboot").expect("it is a name")
}
