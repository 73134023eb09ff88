//! Standard input of a stream of samples: what fails, what does not wait, and what was read at the end.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::kit::{Kit, Running, run, text};

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
