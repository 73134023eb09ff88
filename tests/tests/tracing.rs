//! What the core tells `tracing`: enough to see a device in the field from inside, and nothing
//! secret.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod capture;

use std::time::Duration;

use capture::told;
use kaa_proto::commands::CommandResult;
use kaa_proto::connection::{Demand, LinkState, Options, Removal};
use kaa_proto::endpoint::{CommandKey, EndpointOptions, Observation, Subscriptions};
use kaa_proto::mqtt::Login;
use kaa_proto::platform::{Fixture, PlatformOptions, Secret, User, UserState};
use kaa_proto::raw::Call;
use kaa_proto::request::{Confirm, RequestExt, Resend, Service};
use kaa_proto::store::{Log, LogOptions};
use kaa_proto::telemetry::Sample;
use kaa_tests::device::{Device, name};
use kaa_tests::disk::SimulatedDisk;
use kaa_tests::operations::{FIXTURE, platform, reboot, run};
use kaa_tests::pair::{Dials, Pair};
use kaa_tests::rig::Rig;
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A device without subscriptions on a platform without surprises.
fn quiet() -> Pair {
    let endpoint = EndpointOptions::default().subscriptions(Subscriptions::None);
    Pair::online_with(
        PlatformOptions::default(),
        Options::new("device").endpoint(endpoint),
    )
}

/// The lines under a target, without it.
fn under(target: &str, lines: &[String]) -> Vec<String> {
    let infix = format!(" kaa_proto::{target} ");
    let of_target = lines.iter().filter(|line| line.contains(&infix));
    of_target.map(|line| line.replace(&infix, " ")).collect()
}

/// The lines that hold all of `parts`.
fn with<'a>(lines: &'a [String], parts: &[&str]) -> Vec<&'a str> {
    let all = |line: &&String| parts.iter().all(|part| line.contains(part));
    lines.iter().filter(all).map(String::as_str).collect()
}

/// The server publishes something.
fn inject(pair: &mut Pair, topic: &str, payload: &str) {
    let Demand::Exchange(link) = pair.connection.demand() else {
        panic!("there is no link");
    };
    let length = u8::try_from(2 + topic.len() + payload.len()).unwrap();
    assert!(length < 128);
    let mut packet = vec![0x30, length, 0, topic.len() as u8];
    packet.extend_from_slice(topic.as_bytes());
    packet.extend_from_slice(payload.as_bytes());
    let now = pair.now();
    pair.connection.handle_input(now, link, &packet);
    pair.settle();
}

/// In every value of the life below that must not be seen; no part of it is among the first
/// three characters of a token.
const SECRET: &str = "-s3cret";

/// All operations under wrong and right logins, over losses, refusals, strays, to the end.
fn life_full_of_secrets() {
    let fixture = FIXTURE
        .replace("Device name", "name-s3cret")
        .replace("\"2222\"", "\"upload-s3cret\"")
        .replace("\"value\"", "\"value-s3cret\"")
        .replace("fw-0.0.2", "fw-s3cret")
        .replace("\"delay\"", "\"delay-s3cret\"");
    let user = User {
        name: "gateway-s3cret@tenant".into(),
        password: Secret::new("right-s3cret"),
        state: UserState::Active,
    };
    let options = PlatformOptions {
        users: vec![user],
        fixture: Some(Fixture::parse(&fixture).unwrap()),
        ..PlatformOptions::default()
    };
    let login = |password: &str| Some(Login::new("gateway-s3cret@tenant").with_password(password));
    let options_of = Options::new("client-s3cret").login(login("wrong-s3cret"));
    let mut pair = Pair::online_with(options, options_of);
    pair.submit(&Sample::new("off-line-s3cret")).unwrap();
    pair.pass(MINUTE);
    let now = pair.now();
    pair.connection
        .set_login(now, login("right-s3cret"))
        .unwrap();
    pair.pass(MINUTE);

    let uploads: Vec<_> = run(&mut pair)
        .into_iter()
        .map(|(_, result)| result)
        .collect();
    assert!(uploads.iter().any(|result| result == "upload-s3cret"));
    observe_secrets(&mut pair);
    answer_with_secrets(&mut pair);
    for service in ["dcx", "epmx", "cex", "cmx", "cmx_ota", "bcx", "rsx", "tsx"] {
        pair.fault(&format!("kick {service} times 1"));
        pair.fault(&format!("error 403 {service} times 1"));
    }
    run(&mut pair);
    let another = pair.add("ano-s3cret");
    pair.black_hole(true, true);
    pair.submit_of(another, &Sample::new("-s3cret")).unwrap();
    pair.pass(5 * MINUTE);
    pair.submit_of(another, &Sample::new("-s3cret")).unwrap();
    let now = pair.now();
    pair.connection
        .remove_endpoint(now, another, Removal::Discard);
    pair.dials = Dials::Fail;
    pair.cut();
    pair.submit(&Sample::new("left-s3cret")).unwrap();
    let now = pair.now();
    pair.connection.close(now, SECOND);
    pair.pass(MINUTE);
}

fn observe_secrets(pair: &mut Pair) {
    pair.observe(&Observation::Commands(reboot())).unwrap();
    pair.observe(&Observation::Configuration(None)).unwrap();
    pair.observe_software("version-s3cret").unwrap();
    pair.pass(SECOND);
    pair.operate(|platform, now| {
        let (name, secret) = (name().unwrap(), || json!({"key-s3cret": "-s3cret"}));
        platform
            .command(now, &name, &reboot(), Some(secret()))
            .unwrap();
        platform
            .set_configuration(now, &name, None, secret())
            .unwrap();
        platform
            .set_software(now, &name, "new-s3cret", secret())
            .unwrap();
    });
    pair.pass(SECOND);
    let command = pair.poll_command().unwrap();
    let result = CommandResult::failed(500, "reason-s3cret")
        .with_payload("result-s3cret")
        .unwrap();
    pair.respond(&CommandKey::from(&command), result).unwrap();
    pair.pass(SECOND);
    assert!(pair.poll_configuration(None).is_some() && pair.poll_software().is_some());
}

fn answer_with_secrets(pair: &mut Pair) {
    let error = r#"{"statusCode":400,"reasonPhrase":"reason-s3cret"}"#;
    let call = Call::new(Service::Telemetry, "json").payload("call-s3cret");
    pair.submit(&call.fixed_id(77)).unwrap();
    for (topic, payload) in [
        ("kp1/demo-v1/dcx/JTjdbENzHh/json/77/error", error),
        ("kp1/demo-v1/dcx/JTjdbENzHh/json/77/error", error),
        ("kp1/demo-v1/dcx/JTjdbENzHh/json/error", error),
        ("kp1/demo-v1/cex/JTjdbENzHh/command/reboot/error", error),
        (
            "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/status",
            "-s3cret",
        ),
        ("kp1/demo-v1/cmx/JTjdbENzHh/config/json/status", error),
        ("kp1/demo-v1/cmx/JTjdbENzHh/config/json/status", "-s3cret"),
        ("kp1/demo-v1/dcx/els-s3cret/json/1/status", "-s3cret"),
        ("kp1//demo-v1/dcx/els-s3cret/json", "-s3cret"),
        ("els-s3cret", "-s3cret"),
    ] {
        inject(pair, topic, payload);
    }
    pair.pass(SECOND);
}

#[test]
fn nothing_secret_is_told_at_any_level() {
    let lines = told(life_full_of_secrets);
    for secret in [SECRET, "JTjd", "bENzHh", "temperature", "no such channel"] {
        assert_eq!(with(&lines, &[secret]), [""; 0], "{secret}");
    }
    // All there is to tell was told.
    for target in ["link", "packet", "request", "subscription"] {
        assert!(under(target, &lines).len() > 20, "{target}");
    }
    for target in ["observation", "command", "endpoint"] {
        assert!(under(target, &lines).len() >= 3, "{target}");
    }
    for words in [
        "ERROR kaa_proto::link link{link=1}: lost, a person has to act link=1 \
         cause=refused: the user name or the password is wrong",
        "another login for the next link",
        "cannot be read topic=kp1/demo-v1/cex/JTj…/command/reboot/status",
        "an error for nobody knows which request",
        "outcome=rejected status=400",
        "why=no 1/KP topic",
        "outcome=closed",
        "removed endpoint=demo-v1/ano… unfinished=1",
        "something new endpoint=demo-v1/JTj… observation=Software",
    ] {
        assert!(!with(&lines, &[words]).is_empty(), "{words}");
    }
}

#[test]
fn a_request_is_told_from_submit_to_its_end_with_each_packet() {
    let mut pair = quiet();
    let lines = told(|| {
        pair.ask(&Sample::new(21)).unwrap();
        pair.pass(SECOND);
    });
    let span = "request{request=1 endpoint=demo-v1/JTj…}";
    let expected = [
        format!("DEBUG kaa_proto::request begins {span}"),
        format!(
            "DEBUG kaa_proto::request {span}: submitted request=1 \
             topic=kp1/demo-v1/dcx/JTj…/json bytes=2 owner=Caller"
        ),
        "TRACE kaa_proto::packet out packet=PUBLISH bytes=41 id=1 qos=1 \
         topic=kp1/demo-v1/dcx/JTj…/json/1"
            .into(),
        format!(
            "DEBUG kaa_proto::request {span}: sent request=1 \
             topic=kp1/demo-v1/dcx/JTj…/json/1 again=false"
        ),
        "TRACE kaa_proto::packet in packet=PUBACK bytes=4 id=1".into(),
        "TRACE kaa_proto::packet in packet=PUBLISH bytes=46 id=1 qos=1 \
         topic=kp1/demo-v1/dcx/JTj…/json/1/status"
            .into(),
        "TRACE kaa_proto::packet out packet=PUBACK bytes=4 id=1".into(),
        format!(
            "DEBUG kaa_proto::request {span}: ended request=1 \
             topic=kp1/demo-v1/dcx/JTj…/json/1 outcome=answered elapsed_ms=20"
        ),
        format!("closed {span}"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_link_is_told_from_dial_to_loss_with_cause_attempt_and_next_dial() {
    let lines = told(|| {
        let mut pair = quiet();
        pair.pass(MINUTE);
        pair.dials = Dials::Fail;
        pair.cut();
        while pair.connection.link_state() == LinkState::Dialing {
            pair.pass(SECOND / 100);
        }
        let now = pair.now();
        pair.connection.dial_now(now);
        pair.settle();
        pair.dials = Dials::Succeed;
        pair.pass(SECOND);
        let now = pair.now();
        pair.connection.close(now, SECOND);
        pair.pass(SECOND);
    });
    let lines = under("link", &lines);
    assert_eq!(
        lines[..6],
        [
            "INFO begins link{link=1}",
            "INFO link{link=1}: dialing attempt=1",
            "DEBUG link{link=1}: connected, waiting for CONNACK",
            "INFO link{link=1}: up link=1",
            "DEBUG link{link=1}: stable",
            &lines[5],
        ]
    );
    let lost = "WARN link{link=1}: lost link=1 cause=the transport failed: reset was=up next_dial";
    assert!(lines[5].starts_with(lost), "{}", lines[5]);
    let wait = lines[5].rsplit('=').next().unwrap().parse::<u32>();
    assert!(wait.is_ok_and(|wait| wait > 0), "{}", lines[5]);
    assert_eq!(
        with(&lines, &["dialing attempt="]),
        [
            "INFO link{link=1}: dialing attempt=1",
            "INFO link{link=2}: dialing attempt=2",
        ]
    );
    let end = lines.len() - 4;
    assert_eq!(
        lines[end..],
        [
            "INFO closing within=1s",
            "INFO link{link=2}: flushed outcomes=Outcomes { confirmed: 0, rejected: 0, \
             unanswered: 0, outcome_unknown: 0, expired: 0, dropped: 0, cancelled: 0, closed: 0 } \
             unfinished=0",
            "INFO link{link=2}: closed link=2 cause=closed by us was=draining",
            "INFO link{link=2}: finished",
        ]
    );
}

#[test]
fn each_packet_is_told_once() {
    let mut traffic = (0, 0);
    let lines = told(|| {
        let mut pair = Pair::online_with(platform(&[]), Options::new("device"));
        run(&mut pair);
        pair.pass(10 * MINUTE);
        let seen = pair.connection.statistics().traffic;
        traffic = (seen.packets_in as usize, seen.packets_out as usize);
    });
    let packets = under("packet", &lines);
    let told = |direction| with(&packets, &["TRACE ", "link{link=1}: ", direction]).len();
    assert_eq!((told(": in packet="), told(": out packet=")), traffic);
    for packet in ["CONNACK", "SUBACK", "PUBACK", "PUBLISH", "PINGRESP"] {
        assert!(!with(&packets, &[&format!("in packet={packet} ")]).is_empty());
    }
    for packet in ["CONNECT", "SUBSCRIBE", "PUBACK", "PUBLISH", "PINGREQ"] {
        assert!(!with(&packets, &[&format!("out packet={packet} ")]).is_empty());
    }
}

#[test]
fn what_goes_wrong_with_a_request_is_a_warning() {
    let lines = told(|| {
        let mut pair = quiet();
        pair.fault("error 403 dcx");
        let _ = pair.ask(&Sample::new(1));
        pair.fault("lose dcx times 1");
        let _ = pair.ask(&Sample::new(2));
        let _ = pair.submit(&Sample::new(3));
        pair.cut();
        pair.dials = Dials::Hang;
        let _ = pair.submit(&Sample::new(4).expires_after(MINUTE));
        pair.pass(2 * MINUTE);
    });
    let ended = with(&lines, &["WARN kaa_proto::request ", " ended "]);
    let expected = [
        "request=1 topic=kp1/demo-v1/dcx/JTj…/json/1 outcome=rejected status=403 elapsed_ms=20",
        "request=2 topic=kp1/demo-v1/dcx/JTj…/json/2 outcome=unanswered elapsed_ms=30000",
        "request=3 topic=kp1/demo-v1/dcx/JTj…/json/3 outcome=outcome unknown elapsed_ms=0",
        "request=4 topic=kp1/demo-v1/dcx/JTj…/json outcome=expired elapsed_ms=60000",
    ];
    assert_eq!(ended.len(), expected.len(), "{ended:#?}");
    for (line, end) in ended.iter().zip(expected) {
        assert!(line.ends_with(end), "{line}");
    }
}

/// Nobody waits for the end of what the endpoint asks for itself.
#[test]
fn what_goes_wrong_with_an_observation_is_no_warning_about_a_request() {
    let lines = told(|| {
        let mut pair = quiet();
        pair.fault("error 403 cex times 1");
        pair.observe(&Observation::Commands(reboot())).unwrap();
        pair.pass(SECOND);
    });
    let ended = with(&lines, &[" kaa_proto::request ", " ended "]);
    assert_eq!(ended.len(), 1, "{lines:#?}");
    assert!(ended[0].starts_with("DEBUG "), "{}", ended[0]);
    assert!(ended[0].contains("outcome=rejected status=403"));
}

#[test]
fn what_is_done_with_its_acknowledgement_is_told_by_its_identifier() {
    let lines = told(|| {
        let mut pair = quiet();
        for number in 1..=2 {
            let sample = Sample::new(number).confirm(Confirm::Acknowledged);
            pair.submit(&sample).unwrap();
        }
        pair.pass(SECOND);
    });
    let ended = with(&lines, &["DEBUG kaa_proto::request ", " ended "]);
    assert_eq!(ended.len(), 2, "{lines:#?}");
    for line in ended {
        assert!(line.contains("outcome=acknowledged elapsed_ms="), "{line}");
    }
    for identifier in ["1", "2"] {
        let packet = format!("in packet=PUBACK bytes=4 id={identifier}");
        assert_eq!(with(&lines, &[&packet]).len(), 1, "{lines:#?}");
    }
}

#[test]
fn what_is_found_in_a_store_is_told() {
    let lines = told(|| {
        let disk = SimulatedDisk::new(1);
        let open = move || Ok(Log::new(disk.clone(), LogOptions::default()));
        let options = kaa_proto::client::Options::new("mqtt://here").unwrap();
        let (_client, mut rig) = Rig::new(options.store(open));
        rig.run();
    });
    let opened = with(&lines, &["INFO kaa_proto::store ", "opened"]);
    assert_eq!(opened.len(), 1, "{lines:#?}");
    assert!(
        opened[0].contains("endpoints=0 torn_bytes=0"),
        "{}",
        opened[0]
    );
}

#[test]
fn what_is_sent_again_is_told() {
    let lines = told(|| {
        let mut pair = quiet();
        let again = Sample::new(1).resend(Resend::AfterLinkLoss);
        pair.submit(&again).unwrap();
        pair.cut();
        pair.pass(MINUTE);
    });
    let span = "DEBUG kaa_proto::request request{request=1 endpoint=demo-v1/JTj…}: ";
    let requests = with(&lines, &[span]);
    let words: Vec<_> = requests.iter().map(|line| &line[span.len()..]).collect();
    let request = "request=1 topic=kp1/demo-v1/dcx/JTj…/json";
    assert_eq!(words.len(), 5, "{words:#?}");
    assert_eq!(
        words[1..4],
        [
            format!("sent {request}/1 again=false"),
            format!("queued again {request}/1 was_sent=true"),
            format!("sent {request}/1 again=true"),
        ]
    );
    assert!(words[4].starts_with(&format!("ended {request}/1 outcome=answered")));
}

#[test]
fn a_command_is_told_when_it_surfaces_is_answered_and_comes_again() {
    let lines = told(|| {
        let mut pair = Pair::online_with(platform(&[]), Options::new("device"));
        pair.observe(&Observation::Commands(reboot())).unwrap();
        pair.pass(SECOND);
        let command = pair.poll_command().unwrap();
        let key = CommandKey::from(&command);
        inject_reboot(&mut pair);
        pair.fault("lose cex times 1");
        pair.respond(&key, CommandResult::ok()).unwrap();
        pair.pass(SECOND);
        inject_reboot(&mut pair);
    });
    let key = "endpoint=demo-v1/JTj… type=reboot id=1";
    let commands = under("command", &lines);
    let words: Vec<_> = commands
        .iter()
        .map(|line| line.replace("link{link=1}: ", ""))
        .collect();
    assert_eq!(
        words,
        [
            format!("INFO surfaced {key}"),
            format!("DEBUG offered again while in progress {key}"),
            format!("INFO answered {key}"),
            format!("INFO offered again, its result is sent again {key}"),
        ]
    );
    // Of the result, which is listened for until a late error cannot come any more.
    let acknowledged = ["DEBUG kaa_proto::request ", " ended ", "/result/reboot/"];
    let acknowledged = with(&lines, &acknowledged);
    assert!(
        acknowledged
            .iter()
            .any(|line| line.contains("outcome=acknowledged")),
        "{lines:#?}"
    );
    let observed = "INFO kaa_proto::observation link{link=1}: confirmed endpoint=demo-v1/JTj…";
    assert_eq!(with(&lines, &[observed]).len(), 1);
}

fn inject_reboot(pair: &mut Pair) {
    let topic = "kp1/demo-v1/cex/JTjdbENzHh/command/reboot/status";
    inject(pair, topic, r#"[{"id":1}]"#);
}

#[test]
fn a_search_is_told_with_the_endpoint_that_it_finds() {
    let endpoints = r#""JTjdbENzHh": {}, "meter-0": {}, "meter-1": {}, "meter-2": {}"#;
    let fixture = format!(r#"{{"appVersions": {{"demo-v1": {{"endpoints": {{{endpoints}}}}}}}}}"#);
    let mut options = PlatformOptions {
        fixture: Some(Fixture::parse(&fixture).unwrap()),
        ..PlatformOptions::default()
    };
    options.switches.set("bad-token", "disconnect").unwrap();
    let lines = told(|| {
        let mut pair = Pair::online_with(options, Options::new("gateway"));
        for token in ["meter-0", "meter-1", "unknown-7", "meter-2"] {
            let key = pair.add(token);
            let sample = Sample::new(1).resend(Resend::AfterLinkLoss);
            pair.submit_of(key, &sample).unwrap();
        }
        pair.pass(15 * MINUTE);
    });
    let search = under("search", &lines);
    assert!(search[0].starts_with("WARN link{link="), "{search:#?}");
    assert!(search[0].ends_with(": links die young: search started endpoints=5"));
    let suspended = "suspended: it gets the link dropped endpoint=demo-v1/unk…";
    assert!(!with(&search, &["WARN ", suspended]).is_empty());
    assert!(!with(&search, &["INFO ", ": search ended"]).is_empty());
}

#[test]
fn spans_end_with_what_they_are_about_and_links_belong_to_the_span_of_their_connection() {
    let lines = told(|| {
        let north = tracing::info_span!(target: "app", "north", port = 1);
        let mut pair = north.in_scope(quiet);
        let ask = tracing::info_span!(target: "app", "ask");
        ask.in_scope(|| pair.submit(&Sample::new(1)).unwrap());
        pair.pass(SECOND);
        pair.cut();
        pair.pass(MINUTE);
    });
    let has = |line: &str| assert!(lines.iter().any(|l| l == line), "{line} in {lines:#?}");
    has("INFO kaa_proto::link north{port=1}: begins link{link=1}");
    has("INFO kaa_proto::link north{port=1}: begins link{link=2}");
    has("INFO kaa_proto::link north{port=1}: link{link=2}: up link=2");
    has("DEBUG kaa_proto::request ask{}: begins request{request=1 endpoint=demo-v1/JTj…}");
    let place = |line: &str| lines.iter().position(|l| l.contains(line));
    assert!(place("ended request=1") < place("closed request{request=1"));
    assert!(place(": lost link=1") < place("closed link{link=1}"));
    assert!(place("closed link{link=1}") < place(": up link=2"));
}

/// Where a topic is not one of the protocol, the token may stand at any level.
#[test]
fn what_is_ignored_is_told_without_any_token() {
    let mut pair = quiet();
    let lines = told(|| {
        inject(&mut pair, "secret-token-of/somebody/else", "x");
        inject(&mut pair, "kp1/demo-v1/dcx/secret-token/json/1/status", "x");
        inject(&mut pair, "kp1/demo-v1/dcx/JTjdbENzHh/json/9/status", "x");
        inject(&mut pair, "kp1/demo-v1/dcx/JTjdbENzHh/json/9", "x");
    });
    let ignored = under("endpoint", &lines);
    assert_eq!(
        ignored,
        [
            "DEBUG ignored topic=sec…/so…/e… why=no 1/KP topic",
            "DEBUG ignored topic=kp1/demo-v1/dcx/sec…/json/1/status why=no such endpoint",
            "DEBUG ignored topic=kp1/demo-v1/dcx/JTj…/json/9/status why=nobody waits for it",
            "DEBUG ignored topic=kp1/demo-v1/dcx/JTj…/json/9 why=an echo",
        ]
    );
    assert_eq!(with(&lines, &["secret-token"]), [""; 0]);
}
