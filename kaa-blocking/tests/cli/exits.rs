//! Every exit status, and the words that come with it.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::process::Stdio;

use kaa_blocking::platform::LocalTls;
use kaa_tests::certificates::{Authority, Key, Server};
use kaa_tests::scratch::Scratch;
use serde_json::json;

use crate::kit::{Kit, Running, nowhere, run, text};

#[test]
fn what_was_confirmed_is_0() {
    let kit = Kit::new();
    assert_eq!(
        kit.run(&["plain", "t", "1"]).one(0),
        json!({"outcome": "confirmed"})
    );
    assert_eq!(kit.samples(), 1);
}

#[test]
fn a_standard_output_that_fails_is_1() {
    let kit = Kit::new();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = kit.command(&["plain", "t", "1"]);
    let output = command
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("standard output"));
}

#[test]
fn misuse_is_2_and_dials_nobody() {
    let kit = Kit::new();
    kit.run(&["plain", "t"]).complains(2, "VALUE");
    kit.run(&["plain", "a/b", "1"])
        .complains(2, "metric holds the character '/'");
    kit.run(&["config", "rejected", "1", "--status", "200"])
        .complains(2, "400 or above");
    kit.run(&["metadata", "merge", "[1,"])
        .complains(2, "at line 1, column 3");
    kit.run(&["plain", "t", "1", "--timeout", "20"])
        .complains(2, "(from --timeout)");
    let mut no_version = kit.command(&["plain", "t", "1"]);
    run(no_version.env_remove("KAA_APP_VERSION"), "").complains(2, "--app-version");
    assert_eq!(kit.state(), None);
}

#[test]
fn what_the_platform_rejects_is_3_with_its_words() {
    let kit = Kit::new();
    kit.fault("error 403 dcx always");
    kit.run(&["plain", "t", "1"])
        .complains(3, "rejected by the platform with status 403");
    let line = kit.pipe(&["telemetry"], "1\n").one(3);
    assert_eq!(line, json!({"samples": 1, "rejected": 1}));
}

#[test]
fn what_nobody_answers_is_4() {
    let kit = Kit::new();
    kit.fault("lose dcx always");
    let ended = kit.run(&["plain", "t", "1", "--timeout", "1s"]);
    ended.complains(4, "not answered in time");
    assert!(
        ended.stderr.contains("try: a longer --timeout"),
        "{ended:?}"
    );
}

#[test]
fn what_the_link_took_with_it_is_4() {
    let kit = Kit::new();
    kit.fault("kick dcx times 1");
    kit.run(&["telemetry", "1"]).one(4);
}

#[test]
fn a_platform_that_is_not_there_is_5_and_is_not_waited_for_for_ever() {
    let kit = Kit::new().at(nowhere());
    let ended = kit.run(&["plain", "t", "1", "--timeout", "500ms"]);
    ended.complains(5, "Connection refused");
    assert!(ended.stderr.contains("try: check --url"), "{ended:?}");
}

#[test]
fn one_that_takes_the_link_and_says_nothing_is_5() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let kit = Kit::new().at(format!("mqtt://{}", silent.local_addr().unwrap()));
    let ended = kit.run(&["plain", "t", "1", "--timeout", "1s"]);
    assert_eq!(ended.code, Some(5), "{ended:?}");
}

#[test]
fn a_wrong_password_is_6() {
    let kit = Kit::with_user("pump@tenant", "right");
    let mut command = kit.command(&["plain", "t", "1", "--username", "pump@tenant"]);
    let ended = run(command.env("KAA_PASSWORD", "s3cretPassw0rd"), "");
    ended.complains(6, "the user name or the password is wrong");
}

#[test]
fn a_server_that_is_not_trusted_is_6_and_one_of_the_own_authority_is_used() {
    let files = Scratch::new().unwrap();
    let authority = Authority::new("Root");
    let ca = text(&authority.write(&files, "ca").unwrap());
    let server = authority.server(Server::Good, Key::EcPkcs8);
    let server = server.write(&files, "server").unwrap();
    let read = |path| std::fs::read(path).unwrap();
    let kit = Kit::with(|options| {
        let tls = LocalTls::from_pem(&read(&server.chain), &read(&server.key), None);
        options.tls = Some(tls.unwrap());
    });
    let ended = kit.run(&["plain", "t", "1"]);
    ended.complains(6, "TLS failed");
    assert!(ended.stderr.contains("try: --ca FILE"), "{ended:?}");
    kit.run(&["plain", "t", "1", "--ca", &ca]).one(0);
    // TLS is wanted, and the URL goes without.
    let plain = kit.url().replace("mqtts://localhost", "mqtt://127.0.0.1");
    kit.run(&["plain", "t", "1", "--url", &plain, "--timeout", "1s"])
        .complains(6, "mqtts://");
}

#[test]
fn what_is_kept_is_7_and_the_next_run_sends_it() {
    let kit = Kit::new();
    let store = text(&kit.path("store"));
    let url = nowhere();
    let away = [
        "telemetry",
        "{\"a\": 1}",
        "--store",
        &store,
        "--url",
        &url,
        "--timeout",
        "1s",
    ];
    assert_eq!(kit.run(&away).one(7), json!({"outcome": "kept"}));
    let ended = kit.pipe(&["telemetry", "--store", &store], "{\"a\": 2}\n");
    let expected = json!({"samples": 1, "confirmed": 1, "earlier": {"confirmed": 1}});
    assert_eq!(ended.one(0), expected);
    assert_eq!(kit.samples(), 2);
    // It is sent once.
    let ended = kit.pipe(&["telemetry", "--store", &store], "");
    assert_eq!(ended.one(0), json!({"samples": 0}));
}

#[test]
fn a_signal_is_130() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let kit = Kit::new().at(format!("mqtt://{}", silent.local_addr().unwrap()));
    for signal in ["-INT", "-TERM"] {
        let program = Running::start(&mut kit.command(&["plain", "t", "1", "--timeout", "1h"]));
        // Signals are its affair when it dials.
        drop(silent.accept().unwrap());
        program.signal(signal);
        let (code, said) = program.end();
        assert_eq!(code, Some(130), "{said}");
        assert!(said.contains("interrupted; nothing was sent"), "{said}");
    }
}
