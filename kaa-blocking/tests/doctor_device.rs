//! `kaa doctor --device`, on a good device and on bad ones. No verdict depends on how fast this
//! machine is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod doctor_device_clients;

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use doctor_device_clients::{BAD, Device, GOOD, Habits};
use kaa_tests::example::example;
use kaa_tests::mosquitto::program;
use kaa_tests::ports::free_port;
use kaa_tests::scratch::Scratch;
use serde_json::Value;

fn doctor(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kaa"));
    command.args(["doctor", "--device"]).args(args);
    for name in ["KAA_TIMEOUT", "KAA_APP_VERSION"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// The verdicts by case, with the words for people.
fn verdicts(output: &Output) -> BTreeMap<String, (String, String)> {
    let lines = String::from_utf8_lossy(&output.stdout);
    let lines = lines.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))
    });
    let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let found = lines.filter(|line| line["check"].is_string());
    found
        .map(|line| {
            (
                text(&line, "check"),
                (text(&line, "verdict"), text(&line, "why")),
            )
        })
        .collect()
}

/// The example passes all of these; the groups are judged at the same time.
fn passes(groups: &[&[&str]]) {
    thread::scope(|scope| {
        for cases in groups {
            scope.spawn(|| passes_in_turn(cases));
        }
    });
}

fn passes_in_turn(cases: &[&str]) {
    let device = example("device").get_program().to_owned();
    let mut command = doctor(&["--timeout", "60s"]);
    for case in cases {
        command.args(["--only", case]);
    }
    let output = command.arg("--").arg(device).arg("2").output().unwrap();
    let found = verdicts(&output);
    let words = String::from_utf8_lossy(&output.stderr);
    for case in cases {
        assert_eq!(found[*case].0, "pass", "{case}: {words}");
    }
    assert!(words.contains("KAA_URL=mqtt://127.0.0.1:"), "{words}");
    assert_eq!(output.status.code(), Some(0), "{words}");
}

#[test]
fn the_example_numbers_its_requests_and_takes_only_its_answers() {
    passes(&[
        &["connects", "subscribes", "request-ids"],
        &["prefix-answer", "late-answer"],
    ]);
}

#[test]
fn the_example_lives_on_after_cuts_dead_links_and_nonsense() {
    passes(&[
        &["acknowledges", "unknown-push", "odd-packets"],
        &["reconnects", "keep-alive", "dead-link"],
    ]);
}

#[test]
fn the_example_waits_between_dials_and_keeps_its_queue() {
    passes(&[&["backoff", "keeps-queue"], &["refused"]]);
}

#[test]
fn the_example_runs_commands_once_and_says_goodbye() {
    passes(&[&["command-once", "result-again"], &["goodbye"]]);
}

/// What the doctor says of a client with these habits, in one case.
fn judged(habits: Habits, case: &str) -> (String, String, Option<i32>) {
    let port = free_port().unwrap();
    let device = Device::start(port, habits);
    let listen = format!("127.0.0.1:{port}");
    let args = ["--listen", &listen, "--timeout", "30s", "--only", case];
    let output = doctor(&args).output().unwrap();
    drop(device);
    let (verdict, why) = verdicts(&output).remove(case).unwrap_or_else(|| {
        panic!("{}", String::from_utf8_lossy(&output.stderr));
    });
    (verdict, why, output.status.code())
}

/// One with these habits fails, and one with good habits passes.
fn fails(habits: Habits, case: &str, gist: &str) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let (verdict, why, code) = judged(habits, case);
            assert_eq!((verdict.as_str(), code), ("fail", Some(3)), "{why}");
            assert!(why.contains(gist), "{why}");
        });
        let (verdict, why, code) = judged(GOOD, case);
        assert_eq!((verdict.as_str(), code), ("pass", Some(0)), "{why}");
    });
}

#[test]
fn a_device_that_dials_without_a_pause_fails() {
    let tight = Habits {
        pause: Duration::ZERO,
        ..GOOD
    };
    fails(tight, "backoff", "tight loop");
}

#[test]
fn a_device_that_runs_a_repeated_command_again_fails() {
    let forgetful = Habits {
        remembers_results: false,
        ..GOOD
    };
    fails(forgetful, "command-once", "results differ");
}

#[test]
fn a_device_that_matches_answers_by_prefix_fails() {
    let prefix = Habits {
        compares_whole: false,
        ..GOOD
    };
    fails(prefix, "prefix-answer", "took an answer");
}

#[test]
fn a_device_that_takes_a_late_answer_for_that_to_a_newer_request_fails() {
    let same = Habits {
        numbers_requests: false,
        ..GOOD
    };
    fails(same, "late-answer", "took an answer");
}

#[test]
fn a_device_that_says_nothing_for_longer_than_its_keep_alive_fails() {
    let mute = Habits {
        asks_whether_it_is_there: false,
        measures: false,
        // Or it would dial again before its silence is long enough.
        notices_dead_links: false,
        ..GOOD
    };
    fails(mute, "keep-alive", "said nothing");
}

#[test]
fn a_device_that_waits_for_the_dead_fails() {
    let patient = Habits {
        notices_dead_links: false,
        ..GOOD
    };
    fails(patient, "dead-link", "did not notice");
}

#[test]
fn a_device_that_uses_an_id_again_too_early_fails() {
    let same = Habits {
        numbers_requests: false,
        waits_for_answers: false,
        ..GOOD
    };
    fails(same, "request-ids", "used the request ID");
}

#[test]
fn a_device_without_any_of_it_is_told_what_to_do_in_each_case() {
    let port = free_port().unwrap();
    let device = Device::start(port, BAD);
    let listen = format!("127.0.0.1:{port}");
    let args = ["--listen", &listen, "--timeout", "15s"];
    let output = doctor(&args).output().unwrap();
    drop(device);
    let found = verdicts(&output);
    assert_eq!(found.len(), 17);
    let failed: Vec<_> = found
        .iter()
        .filter(|(_, (verdict, _))| verdict == "fail")
        .collect();
    assert!(failed.len() >= 4, "{found:?}");
    // There is no program to end.
    assert_eq!(found["goodbye"].0, "not-judged");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn scripts_around_the_clients_of_mosquitto_are_judged_as_any_device() {
    let (listener, publisher) = (
        program("mosquitto_sub").unwrap(),
        program("mosquitto_pub").unwrap(),
    );
    let script = format!(
        "topic=kp1/$KAA_APP_VERSION
         {} -h $KAA_HOST -p $KAA_PORT -V 311 -q 1 -k 5 -t $topic/cex/$KAA_TOKEN/command/# &
         n=0
         while sleep 1; do
             n=$((n + 1))
             {} -h $KAA_HOST -p $KAA_PORT -V 311 -q 1 -t $topic/dcx/$KAA_TOKEN/json -m \"{{\\\"n\\\":$n}}\"
         done",
        listener.display(),
        publisher.display(),
    );
    let cases = [
        "connects",
        "acknowledges",
        "unknown-push",
        "reconnects",
        "keep-alive",
        "request-ids",
    ];
    let mut command = doctor(&["--timeout", "30s"]);
    for case in cases {
        command.args(["--only", case]);
    }
    let output = command.args(["--", "sh", "-c", &script]).output().unwrap();
    let found = verdicts(&output);
    for case in [
        "connects",
        "acknowledges",
        "unknown-push",
        "reconnects",
        "keep-alive",
    ] {
        assert_eq!(found[case].0, "pass", "{case}: {found:?}");
    }
    assert_eq!(found["request-ids"].0, "not-judged");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_program_inherits_nothing_that_is_about_another_platform() {
    let folder = Scratch::new().unwrap();
    let log = folder.path().join("log");
    let mut command = doctor(&["--timeout", "1s", "--only", "connects", "--log"]);
    command.arg(&log).args(["--", "env"]);
    for name in ["KAA_CA_FILE", "KAA_USERNAME", "KAA_PASSWORD", "KAA_URL"] {
        command.env(name, "of another");
    }
    let output = command.env("ANOTHER", "is its own").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let seen = std::fs::read_to_string(log).unwrap();
    let names = seen.lines().filter_map(|line| line.split_once('='));
    let mut names: Vec<_> = names
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("KAA_"))
        .collect();
    names.sort_unstable();
    let told = [
        "KAA_APP_VERSION",
        "KAA_HOST",
        "KAA_PORT",
        "KAA_TOKEN",
        "KAA_URL",
    ];
    assert_eq!(names, told);
    assert!(!seen.contains("of another"), "{seen}");
    assert!(seen.contains("ANOTHER=is its own"), "{seen}");
}

#[test]
fn the_time_and_the_version_are_read_from_the_variables_too() {
    let mut command = doctor(&["--only", "connects", "--", "true"]);
    command.env("KAA_TIMEOUT", "1s");
    let output = command.env("KAA_APP_VERSION", "env-v1").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("after 1 s at the latest"), "{words}");
    assert!(words.contains("KAA_APP_VERSION=env-v1\n"), "{words}");
    let mut command = doctor(&["--", "true"]);
    let output = command.env("KAA_TIMEOUT", "soon").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("(from KAA_TIMEOUT)"), "{words}");
}

#[test]
fn without_a_device_nothing_is_judged() {
    let output = doctor(&["--timeout", "1s", "--", "true"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(verdicts(&output)["connects"].0, "fail");
    for (args, gist) in [
        (&["--only", "everything"][..], "no case"),
        (&["--listen", "here"], "no address"),
        (&["--command", "a/b"], "--command"),
        (&["--timeout", "soon"], "no time"),
        (&["--app-version", "a/b"], "(from --app-version)"),
        (&["--url", "mqtt://here"], "--url means nothing"),
        (&["--token-file", "f"], "--token-file means nothing"),
        (&["--username", "u"], "--username means nothing"),
        (&["--password-file", "f"], "--password-file means nothing"),
        (&["--ca", "f"], "--ca means nothing"),
        (&["--cert", "f"], "--cert means nothing"),
        (&["--key", "f"], "--key means nothing"),
        (&["--profile", "p"], "--profile means nothing"),
    ] {
        let output = doctor(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(words.contains(gist), "{words}");
    }
    let output = doctor(&["--", "/does/not/exist"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}
