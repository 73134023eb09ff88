//! `kaa profile`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::kit::{Kit, TOKEN, run, text};

#[test]
fn a_profile_is_set_shown_used_and_unset() {
    let kit = Kit::new();
    let url = kit.url().to_owned();
    let token = kit.file("token", TOKEN);
    let mut set = kit.bare();
    set.args(["profile", "set", "--url", &url, "--app-version", "demo-v1"]);
    set.args(["--token-file", &token, "--timeout", "10s"]);
    assert_eq!(run(&mut set, "").code, Some(0));
    let shown = run(kit.bare().args(["profile", "show"]), "").one(0);
    let expected = json!({
        "url": url, "app-version": "demo-v1", "token-file": token, "timeout": "10s"
    });
    assert_eq!(shown, expected);
    run(kit.bare().args(["plain", "t", "1"]), "").one(0);
    assert_eq!(kit.samples(), 1);

    let unset = run(kit.bare().args(["profile", "unset", "timeout"]), "");
    assert_eq!(unset.code, Some(0), "{unset:?}");
    let shown = run(kit.bare().args(["profile", "show"]), "").one(0);
    assert_eq!(shown.get("timeout"), None);
    run(kit.bare().args(["profile", "unset", "timeout"]), "").complains(2, "\"timeout\"");
}

#[test]
fn what_is_written_is_for_its_owner_only() {
    let kit = Kit::new();
    let line = "umask 000; \"$KAA\" profile set --app-version v1";
    assert_eq!(run(&mut kit.shell(line), "").code, Some(0));
    let path = kit.path(".config/kaa/default.toml");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.clone()), 0o600);
    assert_eq!(mode(path.parent().unwrap().to_owned()), 0o700);
    let told = run(kit.bare().args(["profile", "path"]), "");
    assert_eq!(told.stdout, format!("{}\n", text(&path)));
}

#[test]
fn a_named_profile_is_chosen_by_option_or_variable_and_has_to_be_there() {
    let kit = Kit::new();
    let set = run(
        kit.bare()
            .args(["profile", "set", "--profile", "a", "--app-version", "x"]),
        "",
    );
    assert_eq!(set.code, Some(0), "{set:?}");
    let shown = run(
        kit.bare().args(["profile", "show"]).env("KAA_PROFILE", "a"),
        "",
    )
    .one(0);
    assert_eq!(shown, json!({"app-version": "x"}));
    kit.run(&["plain", "t", "1", "--profile", "b"])
        .complains(2, "there is no profile \"b\"");
    kit.run(&["plain", "t", "1", "--profile", "../b"])
        .complains(2, "cannot be the name");
}

#[test]
fn a_profile_with_secrets_is_not_shown_nor_quoted_in_errors_and_others_reading_it_is_told() {
    let kit = Kit::new();
    let folder = kit.path(".config/kaa");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("default.toml");
    fs::write(
        &path,
        format!("token = \"{TOKEN}\"\npassword = \"s3cretPassw0rd\"\n"),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let shown = run(kit.bare().args(["profile", "show"]), "");
    assert!(shown.stderr.contains("chmod 600"), "{shown:?}");
    assert_eq!(shown.one(0)["token"], json!("(kept, not shown)"));
    fs::write(&path, format!("url = \"mqtt://here\"\ntoken = {TOKEN}\n")).unwrap();
    run(kit.bare().args(["profile", "show"]), "").complains(2, "default.toml, line 2: ");
    // Only digits, and without quotes.
    for key in ["token", "password"] {
        fs::write(
            &path,
            format!("url = \"mqtt://here\"\n{key} = 356938035643809\n"),
        )
        .unwrap();
        let shown = run(kit.bare().args(["profile", "show"]), "");
        let words = format!("default.toml, line 2: {key} has to be a text in quotes");
        shown.complains(2, &words);
        assert!(!shown.stderr.contains("356938035643809"), "{shown:?}");
    }
    // No command takes such a URL.
    for key in ["url", "http-url"] {
        let line = format!("{key} = \"https://u:s3cretPassw0rd@here\"\n");
        fs::write(&path, line).unwrap();
        let shown = run(kit.bare().args(["profile", "show"]), "").one(0);
        assert_eq!(shown[key], json!("(kept, not shown)"));
    }
    fs::write(&path, "tokn = 1\n").unwrap();
    run(kit.bare().args(["profile", "show"]), "").complains(2, "unknown field");
}

#[test]
fn a_mistake_is_told_when_the_profile_is_set() {
    let kit = Kit::new();
    let set = |args: &[&str]| run(kit.bare().args(["profile", "set"]).args(args), "");
    set(&["--url", "http://here"]).complains(2, "(from --url)");
    for url in ["ftp://here", "https://u:s3cretPassw0rd@here"] {
        set(&["--http-url", url]).complains(2, "(from --http-url)");
    }
    set(&["--timeout", "soon"]).complains(2, "(from --timeout)");
    set(&["--token-file", "/no/such/file"]).complains(2, "/no/such/file");
    assert!(!kit.path(".config/kaa/default.toml").exists());
}
