//! `kaa telemetry`: one sample and streams of them.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::json;

use crate::kit::{Kit, LONG, Running, eventually, nowhere, run, text};

#[test]
fn one_sample_is_sent_as_it_is_and_its_outcome_printed() {
    let kit = Kit::new();
    let sample = r#"{"id": 9007199254740993, "t": 21.5}"#;
    assert_eq!(
        kit.run(&["telemetry", sample]).one(0),
        json!({"outcome": "confirmed"})
    );
    let last = kit.state().unwrap().last_sample.unwrap();
    assert_eq!(last["id"].as_u64(), Some(9_007_199_254_740_993));
    // An array is several.
    kit.run(&["telemetry", "[1, 2]"]).one(0);
    assert_eq!(kit.samples(), 3);
    kit.run(&["telemetry", "{\"t\": }"])
        .complains(2, "expected value at line 1, column 7");
}

#[test]
fn what_is_waited_for_can_be_chosen() {
    let kit = Kit::new();
    let ack = kit.run(&["telemetry", "1", "--confirm", "ack"]).one(0);
    assert_eq!(ack, json!({"outcome": "acknowledged"}));
    let nothing = kit.run(&["telemetry", "1", "--confirm", "nothing"]).one(0);
    assert_eq!(nothing, json!({"outcome": "sent"}));
    eventually("both arrive", || kit.samples() == 2);
}

/// The telemetry events so far: how many samples each message had.
fn messages(kit: &Kit) -> Vec<u64> {
    let mut sizes = Vec::new();
    let total = kit.samples();
    for event in kit.platform.events(LONG) {
        let event = serde_json::to_value(event.kind).unwrap();
        if let Some(samples) = event.get("samples").and_then(serde_json::Value::as_u64) {
            sizes.push(samples);
        }
        if sizes.iter().sum::<u64>() >= total {
            break;
        }
    }
    sizes
}

#[test]
fn a_stream_goes_in_batches_and_ends_with_an_account() {
    let kit = Kit::new();
    let mut input = String::new();
    for n in 0..100 {
        writeln!(input, "{{\"n\": {n}}}").unwrap();
    }
    let ended = kit.pipe(&["telemetry", "--batch", "40", "--every", "1h"], &input);
    assert_eq!(ended.one(0), json!({"samples": 100, "confirmed": 100}));
    assert!(
        ended.stderr.ends_with("kaa: 100 samples, 100 confirmed\n"),
        "{ended:?}"
    );
    // In a pipe there is no bar.
    assert!(!ended.stderr.contains(['\r', '\u{1b}']), "{ended:?}");
    assert_eq!(messages(&kit), [40, 40, 20]);
}

#[test]
fn a_batch_that_is_not_full_goes_when_its_time_is_over() {
    let kit = Kit::new();
    let mut program = kit.start(&["telemetry", "--every", "50ms", "--each"]);
    program.say("{\"a\": 1}");
    assert_eq!(program.line(), json!({"line": 1, "outcome": "confirmed"}));
    program.say("{\"a\": 2}");
    assert_eq!(program.line(), json!({"line": 2, "outcome": "confirmed"}));
    program.stdin = None;
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn each_line_gets_its_outcome_and_a_wrong_one_says_where() {
    let kit = Kit::new();
    kit.fault("error 400 dcx times 1");
    let ended = kit.pipe(
        &["telemetry", "--each", "--batch", "1"],
        "1\n\n{\"a\" 1}\n3\n",
    );
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let mut lines = ended.json();
    lines.sort_by_key(|line| line["line"].as_u64());
    assert_eq!(lines.len(), 3);
    assert_eq!(
        (&lines[0]["outcome"], &lines[0]["status"]),
        (&json!("rejected"), &json!(400))
    );
    assert_eq!(lines[1]["outcome"], json!("invalid"));
    assert_eq!(
        lines[1]["reason"],
        json!("not JSON: expected `:` at line 3, column 6")
    );
    assert_eq!(lines[2], json!({"line": 4, "outcome": "confirmed"}));
}

#[test]
fn a_stream_with_a_wrong_line_only_is_misuse_and_the_rest_is_sent() {
    let kit = Kit::new();
    let ended = kit.pipe(&["telemetry"], "{\"a\": 1}\nnonsense\n[]\n");
    assert_eq!(
        ended.one(2),
        json!({"samples": 3, "confirmed": 1, "invalid": 2})
    );
    assert!(ended.stderr.contains("at line 2, column 2"), "{ended:?}");
    assert_eq!(kit.samples(), 1);
}

#[test]
fn a_signal_ends_a_stream_with_what_it_had_and_an_account() {
    let kit = Kit::new();
    let mut program = kit.start(&["telemetry", "--batch", "1", "--each", "--every", "1h"]);
    program.say("1");
    assert_eq!(program.line(), json!({"line": 1, "outcome": "confirmed"}));
    program.signal("-INT");
    let (code, said) = program.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("1 samples, 1 confirmed"), "{said}");
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_sending() {
    let kit = Kit::new();
    // More lines than a pipe takes in.
    let line = "seq 5000 | (\"$KAA\" telemetry --each; echo rc=$? >&2) | head -n 3";
    let ended = run(&mut kit.shell(line), "");
    assert_eq!(ended.json().len(), 3, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("kaa: 5000 samples, 5000 confirmed\nrc=0"),
        "{ended:?}"
    );
    let told = ended
        .stderr
        .matches("nobody reads standard output any more");
    assert_eq!(told.count(), 1, "{ended:?}");
    assert_eq!(kit.samples(), 5_000);
}

#[test]
fn a_stream_into_a_store_goes_on_without_a_platform_and_is_sent_by_the_next_run() {
    let kit = Kit::new();
    let store = text(&kit.path("store"));
    let url = nowhere();
    let away = [
        "telemetry",
        "--store",
        &store,
        "--url",
        &url,
        "--timeout",
        "1s",
        "--batch",
        "2",
    ];
    let ended = kit.pipe(&away, "1\n2\n3\n4\n5\n");
    assert_eq!(ended.one(7), json!({"samples": 5, "kept": 5}));
    assert!(ended.stderr.contains("Connection refused"), "{ended:?}");
    let ended = kit.pipe(&["telemetry", "--store", &store], "");
    assert_eq!(
        ended.one(0),
        json!({"samples": 0, "earlier": {"confirmed": 3}})
    );
    assert_eq!(kit.samples(), 5);
}

#[test]
fn a_message_of_an_earlier_run_that_was_sent_is_kept_only_if_it_may_be_sent_again() {
    for (resend, outcome, code) in [(None, "unknown", 4), (Some("--resend"), "kept", 7)] {
        let kit = Kit::new();
        let store = text(&kit.path("store"));
        let url = nowhere();
        let args = ["telemetry", "--store", &store, "--timeout", "1h"];
        let mut away = [&args[..], &["--url", &url]].concat();
        away.extend(resend);
        let mut program = kit.start(&away);
        program.say("1");
        program.word("Connection refused");
        program.signal("-INT");
        assert_eq!(program.line(), json!({"samples": 1, "kept": 1}));
        assert_eq!(program.end().0, Some(7));
        // It arrives, and nobody says so.
        kit.fault("lose dcx always");
        let program = kit.start(&args);
        eventually("it arrives", || kit.samples() == 1);
        program.signal("-INT");
        assert_eq!(
            program.line(),
            json!({"samples": 0, "earlier": {outcome: 1}})
        );
        assert_eq!(program.end().0, Some(code));
    }
}

#[test]
fn a_store_that_earlier_runs_have_filled_holds_the_input_back_and_loses_nothing() {
    let kit = Kit::new();
    let store = text(&kit.path("store"));
    let args = [
        "telemetry",
        "--store",
        &store,
        "--resend",
        "--timeout",
        "3s",
        "--batch",
        "1",
    ];
    // So many fill it.
    let line = format!("\"{}\"\n", "x".repeat(100_000));
    let ended = kit.pipe(
        &[&args[..], &["--url", &nowhere()]].concat(),
        &line.repeat(21),
    );
    assert_eq!(ended.one(7), json!({"samples": 21, "kept": 21}));
    kit.fault("black-hole 1h");
    let mut program = kit.start(&args);
    let mut stdin = program.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(line.repeat(24).as_bytes()));
    program.word("the input is held back");
    kit.fault("clear");
    assert_eq!(
        program.line(),
        json!({"samples": 24, "confirmed": 24, "earlier": {"confirmed": 21}})
    );
    writer.join().unwrap().unwrap();
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(kit.samples(), 45);
}

#[test]
fn samples_in_a_store_survive_a_kill() {
    let kit = Kit::new();
    let store = text(&kit.path("store"));
    kit.fault("black-hole 1h");
    let args = ["telemetry", "--store", &store, "--batch", "1", "--resend"];
    let mut program = Running::start(&mut kit.command(&args));
    program.say("{\"a\": 1}");
    eventually("it is in the store", || {
        let log = std::fs::read_dir(kit.path("store"));
        log.is_ok_and(|files| {
            files.flatten().any(|file| {
                let bytes = std::fs::read(file.path()).unwrap_or_default();
                String::from_utf8_lossy(&bytes).contains("accepted")
            })
        })
    });
    program.kill();
    kit.fault("clear");
    let ended = kit.pipe(&["telemetry", "--store", &store], "");
    assert_eq!(
        ended.one(0),
        json!({"samples": 0, "earlier": {"confirmed": 1}})
    );
    assert_eq!(kit.samples(), 1);
}

#[test]
fn a_folder_that_is_in_use_is_told() {
    let kit = Kit::new();
    let store = text(&kit.path("store"));
    let mut first = kit.start(&["telemetry", "--store", &store, "--each", "--batch", "1"]);
    first.say("1");
    first.line();
    kit.pipe(&["telemetry", "--store", &store], "1\n")
        .complains(1, "a --store of its own");
}

#[test]
fn a_folder_that_cannot_be_one_is_told() {
    let kit = Kit::new();
    let file = kit.file("f", "x");
    let store = format!("{file}/store");
    kit.pipe(&["telemetry", "--store", &store], "1\n")
        .complains(1, "--store: ");
}
