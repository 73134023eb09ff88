//! Standard input of a stream of samples: what fails, what does not wait, and what was read at the end.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use crate::kit::{Kit, Running, eventually, nowhere, run, text};

#[test]
fn an_input_that_cannot_be_read_is_a_failure_and_no_end() {
    let kit = Kit::new();
    let line = format!("\"$KAA\" telemetry < {}", text(kit.home.path()));
    let ended = run(&mut kit.shell(&line), "");
    assert_eq!(ended.one(1), json!({"samples": 0}));
    assert!(
        ended
            .stderr
            .contains("standard input cannot be read: Is a directory"),
        "{ended:?}"
    );
}

#[test]
fn an_input_in_a_mode_that_does_not_wait_is_waited_for() {
    let kit = Kit::new();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut command = kit.command(&["telemetry", "--batch", "1", "--each"]);
    let program = Running::start_with(&mut command, OwnedFd::from(theirs));
    for line in 1..=5 {
        // In two parts: neither may be taken for the whole.
        ours.write_all(b"{\"a\": ").unwrap();
        writeln!(ours, "{line}}}").unwrap();
        assert_eq!(
            program.line(),
            json!({"line": line, "outcome": "confirmed"})
        );
    }
    drop(ours);
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(kit.samples(), 5);
}

/// How a stream of numbered samples from a file ended after this, and how many lines of it were taken.
fn interrupted(kit: &Kit, more: &[&str], by: impl FnOnce(&Running)) -> (Value, u64) {
    let lines: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    let path = kit.file("samples", &lines);
    let mut file = File::open(path).unwrap();
    let args = [&["telemetry", "--batch", "1"], more].concat();
    // How far the file was read is known to all who have it.
    let program = Running::start_with(&mut kit.command(&args), file.try_clone().unwrap());
    eventually("it is read", || file.stream_position().unwrap() >= 8_192);
    by(&program);
    let account = program.line();
    drop(program.end());
    let taken = usize::try_from(file.stream_position().unwrap()).unwrap();
    assert!(taken < lines.len() && lines[..taken].ends_with('\n'));
    (account, lines[..taken].lines().count() as u64)
}

#[test]
fn lines_that_were_read_when_a_signal_came_are_all_accounted_for() {
    let kit = Kit::new();
    kit.fault("black-hole 1h dcx");
    let (account, taken) = interrupted(&kit, &[], |program| program.signal("-TERM"));
    assert_eq!(account["samples"], json!(taken), "{account}");
}

#[test]
fn lines_that_were_read_when_nothing_moves_any_more_are_all_accounted_for() {
    let kit = Kit::new();
    kit.fault("black-hole 1h dcx");
    let (account, taken) = interrupted(&kit, &["--timeout", "3s"], |_| kit.platform.stop());
    assert_eq!(account["samples"], json!(taken), "{account}");
}

#[test]
fn a_terminal_that_closes_lets_the_end_be_a_clean_one() {
    let kit = Kit::new();
    kit.fault("black-hole 1h dcx");
    // Once by the system, once by the shell, and the end of a login adds another.
    let signals = ["-HUP", "-HUP", "-TERM"];
    let (account, taken) = interrupted(&kit, &[], |program| {
        signals.iter().for_each(|name| program.signal(name));
    });
    assert_eq!(account["samples"], json!(taken), "{account}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_closes_does_not_end_what_ignores_that() {
    let kit = Kit::new();
    // As `nohup` does it.
    let line = "trap '' HUP; exec \"$KAA\" telemetry --each --batch 1";
    let mut program = Running::start(&mut kit.shell(line));
    program.say("1");
    program.line();
    program.signal("-HUP");
    program.say("2");
    assert_eq!(program.line(), json!({"line": 2, "outcome": "confirmed"}));
    program.stdin = None;
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn lines_that_were_read_when_a_signal_came_are_kept_by_a_store() {
    let kit = Kit::new();
    let store = text(&kit.path("store"));
    let (account, taken) =
        interrupted(&kit, &["--store", &store, "--url", &nowhere()], |program| {
            program.signal("-TERM");
        });
    assert_eq!(account, json!({"samples": taken, "kept": taken}));
}

#[test]
fn a_line_that_is_not_whole_when_a_signal_comes_is_not_sent() {
    let kit = Kit::new();
    let mut program = kit.start(&["telemetry", "--batch", "1", "--each"]);
    // Both are read at once; the second could be 2, or 21.
    let stdin = program.stdin.as_mut().unwrap();
    stdin.write_all(b"1\n2").unwrap();
    assert_eq!(program.line(), json!({"line": 1, "outcome": "confirmed"}));
    program.signal("-TERM");
    let cut = program.line();
    assert_eq!(
        (&cut["line"], &cut["outcome"]),
        (&json!(2), &json!("not-sent"))
    );
    let (code, said) = program.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("2 samples, 1 confirmed, 1 not-sent"),
        "{said}"
    );
    assert_eq!(kit.samples(), 1);
}

#[test]
fn a_dash_stands_for_standard_input() {
    let kit = Kit::new();
    let ended = kit.pipe(&["telemetry", "-"], "1\n[2, 3]\n");
    assert_eq!(ended.one(0), json!({"samples": 3, "confirmed": 3}));
    assert_eq!(kit.samples(), 3);
}
