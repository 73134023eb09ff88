//! `kaa config` and `kaa software`.

use serde_json::{Value, json};

use crate::kit::{Kit, Running, eventually};

/// What the device reported of a configuration, `""` being the default one.
fn reported(kit: &Kit, name: &str) -> Value {
    let state = kit.state().unwrap();
    let state = state.configurations.get(name).cloned();
    serde_json::to_value(state.and_then(|state| state.reported)).unwrap()
}

#[test]
fn a_configuration_is_read_applied_and_rejected() {
    let kit = Kit::new();
    assert_eq!(kit.run(&["config", "get"]).one(0), Value::Null);
    let id = kit.configure(None, json!({"rate": 5}));
    let got = kit.run(&["config", "get"]).one(0);
    assert_eq!(got, json!({"configId": id, "config": {"rate": 5}}));
    kit.run(&["config", "applied", &id]).one(0);
    assert_eq!(reported(&kit, "")["statusCode"], json!(200.0));
    kit.run(&[
        "config",
        "rejected",
        &id,
        "--status",
        "422",
        "--reason",
        "no such rate",
    ])
    .one(0);
    assert_eq!(reported(&kit, "")["statusCode"], json!(422.0));
    assert_eq!(reported(&kit, "")["reasonPhrase"], json!("no such rate"));
}

#[test]
fn a_named_one_is_another_one() {
    let kit = Kit::new();
    kit.run(&["plain", "t", "1"]).one(0);
    let id = kit.configure(Some("network"), json!({"apn": "x"}));
    assert_eq!(kit.run(&["config", "get"]).one(0), Value::Null);
    let got = kit.run(&["config", "get", "--name", "network"]).one(0);
    assert_eq!(
        got,
        json!({"name": "network", "configId": id, "config": {"apn": "x"}})
    );
    kit.run(&["config", "applied", &id, "--name", "network"])
        .one(0);
    assert_eq!(reported(&kit, "network")["statusCode"], json!(200.0));
    kit.run(&["config", "get", "--name", "a/b"])
        .complains(2, "configuration name");
}

#[test]
fn changes_are_applied_whether_the_results_are_read_or_not() {
    let kit = Kit::new();
    kit.run(&["plain", "t", "1"]).one(0);
    kit.configure(None, json!(1));
    let line = "(\"$KAA\" config watch --count 2 --exec true; echo rc=$? >&2) | true";
    let program = Running::start(&mut kit.shell(line));
    eventually("it is applied", || reported(&kit, "") != Value::Null);
    let second = kit.configure(None, json!(2));
    program.word("2 assignments");
    program.word("rc=0");
    assert_eq!(reported(&kit, "")["configId"], json!(second));
}

#[test]
fn changes_are_printed_as_they_come() {
    let kit = Kit::new();
    kit.run(&["plain", "t", "1"]).one(0);
    kit.configure(None, json!(1));
    let program = kit.start(&["config", "watch"]);
    assert_eq!(program.line()["config"], json!(1));
    kit.configure(None, json!(2));
    assert_eq!(program.line()["config"], json!(2));
    program.signal("-INT");
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 assignments"), "{said}");
}

#[test]
fn a_program_applies_configurations_or_says_why_not() {
    let kit = Kit::new();
    kit.run(&["plain", "t", "1"]).one(0);
    let first = kit.configure(None, json!({"rate": 5}));
    let exec = "sh -c 'grep -q 5 && exit 0; echo only 5 will do; exit 1'";
    let program = kit.start(&["config", "watch", "--exec", exec, "--count", "2"]);
    let applied = json!({"configId": first, "statusCode": 200, "outcome": "confirmed"});
    assert_eq!(program.line(), applied);
    assert_eq!(reported(&kit, "")["statusCode"], json!(200.0));
    kit.configure(None, json!({"rate": 7}));
    let rejected = program.line();
    assert_eq!(rejected["reasonPhrase"], json!("only 5 will do"));
    assert_eq!(reported(&kit, "")["statusCode"], json!(500.0));
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 assignments, 1 rejected"), "{said}");
}

#[test]
fn software_is_reported_read_watched_and_rejected() {
    let kit = Kit::new();
    kit.run(&["software", "report", "1.0"]).one(0);
    let current = |kit: &Kit| serde_json::to_value(kit.state().unwrap().software.reported).unwrap();
    assert_eq!(current(&kit)["configId"], json!("1.0"));
    let assign = |version| {
        let link = json!({"link": "https://example.com/fw"});
        kit.platform
            .set_software(&kit.endpoint(), version, link)
            .unwrap();
    };
    assign("1.1");
    let got = kit.run(&["software", "get"]).one(0);
    assert_eq!(
        got,
        json!({"configId": "1.1", "config": {"link": "https://example.com/fw"}})
    );
    kit.run(&["software", "rejected", "1.1", "--reason", "no room"])
        .one(0);
    assert_eq!(current(&kit)["reasonPhrase"], json!("no room"));
    let exec = "sh -c 'test \"$KAA_SOFTWARE_VERSION\" = 1.2'";
    assign("1.2");
    let watch = [
        "software",
        "watch",
        "--current",
        "1.0",
        "--exec",
        exec,
        "--count",
        "1",
    ];
    let line = kit.run(&watch).one(0);
    assert_eq!(
        line,
        json!({"configId": "1.2", "statusCode": 200, "outcome": "confirmed"})
    );
    eventually("it is the current one", || {
        current(&kit)["configId"] == json!("1.2")
    });
    kit.run(&["software", "applied", "1.3"]).one(0);
    assert_eq!(current(&kit)["configId"], json!("1.3"));
}

#[test]
fn a_signal_says_nothing_of_what_was_being_applied() {
    let kit = Kit::new();
    kit.run(&["plain", "t", "1"]).one(0);
    kit.configure(None, json!(1));
    let exec = "sh -c 'echo on >&2; sleep 1000'";
    let program = kit.start(&["config", "watch", "--exec", exec]);
    program.word("on");
    program.signal("-TERM");
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(reported(&kit, ""), Value::Null);
}
