//! `kaa commands`: with a program and with lines, and over a kill.

use kaa_proto::platform::ResultState;
use serde_json::{Value, json};

use crate::kit::{Kit, Running, eventually, run, text};

/// The results that the platform has, as (status, reason, payload).
fn results(kit: &Kit) -> Vec<(i64, Option<String>, Option<Value>)> {
    let results = kit.state().map(|state| state.results).unwrap_or_default();
    let parts = |result: ResultState| (result.status_code, result.reason_phrase, result.payload);
    results.into_iter().map(parts).collect()
}

/// Runs one `reboot` with this program, and tells the result.
fn executed(exec: &str, more: &[&str]) -> (Value, (i64, Option<String>, Option<Value>)) {
    let kit = Kit::new();
    kit.invoke("reboot", json!({"delay": 5}));
    let args = [
        &["commands", "reboot", "--count", "1", "--exec", exec],
        more,
    ]
    .concat();
    let line = kit.run(&args).one(0);
    eventually("the result arrives", || !results(&kit).is_empty());
    (line, results(&kit).remove(0))
}

#[test]
fn a_program_gets_the_payload_and_its_output_is_the_result() {
    let exec = "sh -c 'cat; echo \" $KAA_COMMAND_TYPE-$KAA_COMMAND_ID\" >&2'";
    let (line, result) = executed(exec, &[]);
    assert_eq!(
        (&line["type"], &line["statusCode"]),
        (&json!("reboot"), &json!(200))
    );
    assert_eq!(line["outcome"], json!("confirmed"));
    assert_eq!(result, (200, None, Some(json!({"delay": 5}))));
    // What is no JSON is a string; nothing is nothing.
    let (_, result) = executed("echo done 'and well'", &[]);
    assert_eq!(result, (200, None, Some(json!("done and well"))));
    let (_, result) = executed("true", &[]);
    assert_eq!(result, (200, None, None));
}

#[test]
fn a_program_that_fails_is_a_result_that_says_how() {
    let (line, result) = executed("sh -c 'echo \"{\\\"left\\\": 3}\"; exit 7'", &[]);
    assert_eq!(line["statusCode"], json!(500));
    let words = Some("sh ended with exit status 7".to_owned());
    assert_eq!(result, (500, words, Some(json!({"left": 3}))));
    let (_, (status, words, _)) = executed("/no/such/program", &[]);
    assert_eq!(status, 500);
    assert!(words.unwrap().starts_with("/no/such/program cannot be run"));
}

#[test]
fn a_program_that_takes_too_long_is_ended_and_reported() {
    let (_, result) = executed(
        "sh -c 'echo begun; sleep 1000'",
        &["--exec-timeout", "200ms"],
    );
    let words = Some("sh did not end within 200ms".to_owned());
    assert_eq!(result, (504, words, Some(json!("begun"))));
}

#[test]
fn a_program_does_not_get_our_secrets() {
    let (_, result) = executed("sh -c 'echo \"[$KAA_TOKEN$KAA_PASSWORD]\"'", &[]);
    assert_eq!(result.2, Some(json!([])));
}

#[test]
fn commands_are_lines_and_results_too() {
    let kit = Kit::new();
    kit.invoke("reboot", json!({"delay": 5}));
    let mut program = kit.start(&["commands", "reboot", "light", "--count", "2"]);
    let first = program.line();
    assert_eq!(
        (&first["type"], &first["payload"]),
        (&json!("reboot"), &json!({"delay": 5}))
    );
    program.say("{\"type\": \"reboot\"}");
    program.word("no result: missing field `id` at line 1");
    program.say("{\"type\": \"reboot\", \"id\": 77777}");
    program.word("line 2: no such command is open");
    let id = &first["id"];
    program.say(&format!(
        "{{\"type\": \"reboot\", \"id\": {id}, \"statusCode\": 409, \"reasonPhrase\": \"door open\"}}"
    ));
    assert_eq!(program.line()["statusCode"], json!(409));
    kit.invoke("light", Value::Null);
    let second = program.line();
    assert_eq!(
        (&second["type"], second.get("payload")),
        (&json!("light"), None)
    );
    let id = &second["id"];
    program.say(&format!(
        "{{\"type\": \"light\", \"id\": {id}, \"payload\": {{\"on\": true}}}}"
    ));
    assert_eq!(program.line()["outcome"], json!("confirmed"));
    let (code, said) = program.end();
    // Two lines were wrong.
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("2 commands"), "{said}");
    let expected = [
        (409, Some("door open".to_owned()), None),
        (200, None, Some(json!({"on": true}))),
    ];
    assert_eq!(results(&kit), expected);
}

#[test]
fn a_signal_ends_it_well_and_stops_the_program_that_runs() {
    let kit = Kit::new();
    let program = kit.start(&[
        "commands",
        "reboot",
        "--exec",
        "sh -c 'echo on >&2; sleep 1000'",
    ]);
    kit.invoke("reboot", Value::Null);
    program.word("on");
    program.signal("-TERM");
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 commands"), "{said}");
    let words = Some("sh was stopped before it was done".to_owned());
    assert_eq!(results(&kit), [(503, words, None)]);
}

/// A device whose program is killed while it runs a command, and started again.
struct Killed {
    kit: Kit,
    store: String,
    exec: String,
}

impl Killed {
    /// Until the command has begun, and was interrupted by SIGKILL.
    fn new() -> Self {
        let kit = Kit::new();
        let (runs, free) = (text(&kit.path("runs")), text(&kit.path("free")));
        // An orphan goes on until the test is over.
        let exec = format!(
            "sh -c 'echo run >> {runs}; while [ -e {runs} ] && [ ! -e {free} ]; do sleep 0.1; done'"
        );
        let store = text(&kit.path("store"));
        let killed = Self { kit, store, exec };
        killed.kit.invoke("reboot", Value::Null);
        let program = killed.start("fail");
        eventually("it has begun", || killed.runs() == 1);
        // Without waiting for the orphan, which holds on to standard error.
        program.kill();
        killed
    }

    fn start(&self, interrupted: &str) -> Running {
        self.kit.start(&[
            "commands",
            "reboot",
            "--exec",
            &self.exec,
            "--store",
            &self.store,
            "--interrupted",
            interrupted,
        ])
    }

    fn runs(&self) -> usize {
        let runs = std::fs::read_to_string(self.kit.path("runs")).unwrap_or_default();
        runs.lines().count()
    }

    fn ends(&self, program: Running) {
        program.signal("-INT");
        let (code, said) = program.end();
        assert_eq!(code, Some(0), "{said}");
    }
}

#[test]
fn a_command_that_was_interrupted_is_not_run_twice() {
    let killed = Killed::new();
    let program = killed.start("fail");
    eventually("it is reported", || !results(&killed.kit).is_empty());
    assert_eq!(results(&killed.kit)[0].0, 500);
    killed.ends(program);
    assert_eq!(killed.runs(), 1);
    // Nor by the run after that.
    let program = killed.start("again");
    killed.kit.invoke("reboot", Value::Null);
    eventually("a new one is run", || killed.runs() == 2);
    std::fs::write(killed.kit.path("free"), "").unwrap();
    eventually("it is reported", || results(&killed.kit).len() == 2);
    killed.ends(program);
    assert_eq!(killed.runs(), 2);
}

#[test]
fn one_that_ends_the_program_by_itself_can_count_as_done() {
    let killed = Killed::new();
    let program = killed.start("done");
    assert_eq!(program.line()["statusCode"], json!(200));
    killed.ends(program);
    assert_eq!((killed.runs(), results(&killed.kit)[0].0), (1, 200));
}

#[test]
fn one_that_does_no_harm_twice_can_be_run_again() {
    let killed = Killed::new();
    std::fs::write(killed.kit.path("free"), "").unwrap();
    let program = killed.start("again");
    assert_eq!(program.line()["statusCode"], json!(200));
    killed.ends(program);
    assert_eq!(killed.runs(), 2);
}

#[test]
fn results_that_cannot_be_read_are_a_failure_in_the_end() {
    let kit = Kit::new();
    let folder = text(kit.home.path());
    let line = format!("exec \"$KAA\" commands reboot < {folder}");
    let program = Running::start(&mut kit.shell(&line));
    program.word("standard input cannot be read");
    kit.invoke("reboot", Value::Null);
    assert_eq!(program.line()["type"], json!("reboot"));
    program.signal("-INT");
    let (code, said) = program.end();
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn commands_are_run_whether_their_results_are_read_or_not() {
    let kit = Kit::new();
    // `true` reads nothing, so that each result meets a closed pipe.
    let line = "(\"$KAA\" commands reboot --count 3 --exec true; echo rc=$? >&2) | true";
    for _ in 0..3 {
        kit.invoke("reboot", Value::Null);
    }
    let ended = run(&mut kit.shell(line), "");
    assert!(ended.stderr.contains("kaa: 3 commands\nrc=0"), "{ended:?}");
    assert_eq!(results(&kit).len(), 3);
}

#[test]
fn one_that_a_signal_ended_is_interrupted_for_the_next_run_and_no_result() {
    let kit = Kit::new();
    let store = text(&kit.path("store"));
    let args = |exec| {
        let store = ["--store", &*store, "--interrupted", "done"];
        [&["commands", "reboot", "--exec", exec], &store[..]].concat()
    };
    let program = kit.start(&args("sh -c 'echo on >&2; sleep 1000'"));
    kit.invoke("reboot", Value::Null);
    program.word("on");
    program.signal("-TERM");
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 commands, 1 not answered"), "{said}");
    assert_eq!(results(&kit), []);
    let program = kit.start(&args("false"));
    assert_eq!(program.line()["statusCode"], json!(200));
    assert_eq!(results(&kit), [(200, None, None)]);
}

#[test]
fn a_line_that_was_printed_is_interrupted_for_the_next_run() {
    let kit = Kit::new();
    kit.invoke("reboot", Value::Null);
    let store = text(&kit.path("store"));
    let args = [
        "commands",
        "reboot",
        "--store",
        &store,
        "--interrupted",
        "done",
    ];
    let program = kit.start(&args);
    let first = program.line();
    assert_eq!(first.get("interrupted"), None);
    program.signal("-INT");
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 not answered"), "{said}");
    let program = kit.start(&args);
    let again = program.line();
    assert_eq!(
        (&again["id"], &again["interrupted"]),
        (&first["id"], &json!(true))
    );
}

#[test]
fn what_cannot_be_a_type_or_a_program_is_misuse() {
    let kit = Kit::new();
    kit.run(&["commands", "1"])
        .complains(2, "\"1\": command type is purely numeric");
    kit.run(&["commands", "a", "--exec", "'"])
        .complains(2, "a closing quote is missing");
    kit.run(&["commands", "a", "--exec", ""])
        .complains(2, "--exec names no program");
    let timeout = ["commands", "a", "--exec", "x", "--exec-timeout", "long"];
    kit.run(&timeout).complains(2, "--exec-timeout");
    kit.run(&["commands", "a", "--interrupted", "done"])
        .complains(2, "--store");
}
