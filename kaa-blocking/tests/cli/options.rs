//! Where options come from, and in which order.

use std::fs;

use crate::kit::{Ended, Kit, LONG, TOKEN, run};

/// Asks `kaa` about an application version that it learns from somewhere, and tells which it was.
fn version(kit: &Kit, args: &[&str], environment: Option<&str>) -> String {
    let mut command = kit.command(&["plain", "t", "1"]);
    command.env_remove("KAA_APP_VERSION").args(args);
    if let Some(version) = environment {
        command.env("KAA_APP_VERSION", version);
    }
    run(&mut command, "").one(0);
    let event = kit
        .platform
        .events(LONG)
        .find(|event| event.kind.name() == "telemetry");
    event.unwrap().endpoint.unwrap().app_version().to_string()
}

#[test]
fn the_command_line_comes_before_the_environment_and_that_before_the_profile() {
    let kit = Kit::new();
    let set = kit.run(&["profile", "set", "--app-version", "profile-v1"]);
    assert_eq!(set.code, Some(0), "{set:?}");
    assert_eq!(version(&kit, &[], None), "profile-v1");
    assert_eq!(version(&kit, &[], Some("env-v1")), "env-v1");
    // A variable that is empty counts as not set.
    assert_eq!(version(&kit, &[], Some("")), "profile-v1");
    assert_eq!(
        version(&kit, &["--app-version", "line-v1"], Some("env-v1")),
        "line-v1"
    );
}

#[test]
fn the_url_comes_from_everywhere_and_at_last_from_the_default() {
    let kit = Kit::new();
    let dialed = |environment: Option<&str>, args: &[&str]| {
        let mut command = kit.command(&["plain", "t", "1", "--timeout", "100ms"]);
        command.env_remove("KAA_URL").args(args);
        if let Some(url) = environment {
            command.env("KAA_URL", url);
        }
        run(&mut command, "").stderr
    };
    assert!(dialed(None, &[]).contains("mqtts://mqtt.cloud.kaaiot.com:8883"));
    let set = kit.run(&["profile", "set", "--url", "mqtt://127.0.0.1:1"]);
    assert_eq!(set.code, Some(0), "{set:?}");
    assert!(dialed(None, &[]).contains("mqtt://127.0.0.1:1 "));
    assert!(dialed(Some("mqtt://127.0.0.1:2"), &[]).contains("mqtt://127.0.0.1:2 "));
    let said = dialed(Some("mqtt://127.0.0.1:2"), &["--url", "mqtt://127.0.0.1:3"]);
    assert!(said.contains("mqtt://127.0.0.1:3 "), "{said}");
    assert!(dialed(Some("http://here"), &[]).contains("(from KAA_URL)"));
}

#[test]
fn the_timeout_comes_from_everywhere() {
    let kit = Kit::new().at("mqtt://127.0.0.1:1");
    let wrong = |args: &[&str], environment: &str| {
        let mut command = kit.command(&["plain", "t", "1"]);
        run(command.args(args).env("KAA_TIMEOUT", environment), "").stderr
    };
    assert!(wrong(&[], "soon").contains("\"soon\" (from KAA_TIMEOUT)"));
    assert!(wrong(&["--timeout", "never"], "soon").contains("\"never\" (from --timeout)"));
    assert!(wrong(&["--timeout", "0s"], "").contains("(from --timeout)"));
    let file = kit.path(".config/kaa");
    fs::create_dir_all(&file).unwrap();
    fs::write(file.join("default.toml"), "timeout = \"later\"\n").unwrap();
    assert!(wrong(&[], "").contains("\"later\" (from the profile "));
}

fn with_token(kit: &Kit, args: &[&str], environment: Option<&str>) -> Ended {
    let mut command = kit.command(&["plain", "t", "1"]);
    command.env_remove("KAA_TOKEN").args(args);
    if let Some(token) = environment {
        command.env("KAA_TOKEN", token);
    }
    run(&mut command, "")
}

#[test]
fn a_token_file_ends_with_or_without_a_newline_and_comes_before_the_variable() {
    let kit = Kit::new();
    for (samples, end) in ["", "\n", "\r\n"].iter().enumerate() {
        let file = kit.file("token", &format!("{TOKEN}{end}"));
        with_token(&kit, &["--token-file", &file], Some("other")).one(0);
        assert_eq!(kit.samples(), samples as u64 + 1);
    }
    with_token(&kit, &[], Some(TOKEN)).one(0);
    assert_eq!(kit.samples(), 4);
    let empty = kit.file("token", "\n");
    with_token(&kit, &["--token-file", &empty], None).complains(2, "holds no endpoint token");
    let missing = with_token(&kit, &["--token-file", "/no/such/file"], None);
    missing.complains(2, "/no/such/file");
    let wrong = kit.file("token", &format!("{TOKEN}/x\n"));
    with_token(&kit, &["--token-file", &wrong], None).complains(2, "(from --token-file)");
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let kit = Kit::new();
    // A session of its own has no terminal, whoever runs the tests.
    let mut apart = kit.shell("setsid --wait \"$KAA\" plain t 1");
    apart.env_remove("KAA_TOKEN");
    run(&mut apart, "").complains(2, "try: --token-file FILE, KAA_TOKEN");
}

#[test]
fn the_password_comes_from_a_file_or_the_variable() {
    let kit = Kit::with_user("pump@tenant", "s3cretPassw0rd");
    let file = kit.file("password", "s3cretPassw0rd\n");
    let login = ["plain", "t", "1", "--username", "pump@tenant"];
    let mut command = kit.command(&login);
    let with_file = command.args(["--password-file", &file]);
    run(with_file.env("KAA_PASSWORD", "wrong"), "").one(0);
    run(
        kit.command(&login).env("KAA_PASSWORD", "s3cretPassw0rd"),
        "",
    )
    .one(0);
    let mut command = kit.command(&["plain", "t", "1"]);
    let from_environment = command
        .env("KAA_USERNAME", "pump@tenant")
        .env("KAA_PASSWORD", "s3cretPassw0rd");
    run(from_environment, "").one(0);
    let mut command = kit.command(&["plain", "t", "1"]);
    let alone = run(command.env("KAA_PASSWORD", "s3cretPassw0rd"), "");
    alone.complains(
        2,
        "there is a password (from KAA_PASSWORD) and no user name",
    );
}

#[test]
fn files_for_tls_are_not_ignored_where_there_is_none() {
    let kit = Kit::new();
    kit.run(&["plain", "t", "1", "--ca", "ca.pem"])
        .complains(2, "--ca is about TLS");
    // What is advised can be typed as it stands.
    let ended = kit.run(&["plain", "t", "1", "--ca", "ca.pem", "--url", "mqtt://[::1]"]);
    ended.complains(2, "try: --url mqtts://[::1]\n");
    let mut command = kit.command(&["plain", "t", "1", "--url", "mqtts://localhost"]);
    let half = run(command.env("KAA_CERT_FILE", "device.pem"), "");
    half.complains(2, "KAA_CERT_FILE is there without its pair");
    let mut command = kit.command(&["plain", "t", "1", "--url", "mqtts://localhost"]);
    let missing = run(command.env("KAA_CA_FILE", "/no/such/ca.pem"), "");
    missing.complains(2, "/no/such/ca.pem");
}

#[test]
fn no_option_takes_a_secret() {
    let kit = Kit::new();
    let help = run(kit.bare().args(["plain", "--help"]), "").stdout;
    let options: Vec<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
        .collect();
    for option in ["--token", "--password"] {
        assert!(!options.contains(&option), "{option}");
    }
    assert_eq!(kit.run(&["plain", "t", "1", "--token", "x"]).code, Some(2));
}
