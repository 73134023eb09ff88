//! Help, completions and manual pages.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::kit::{Kit, run};

/// Every command, and every command of a command.
const COMMANDS: &[&[&str]] = &[
    &["telemetry"],
    &["plain"],
    &["metadata", "keys"],
    &["metadata", "get"],
    &["metadata", "merge"],
    &["metadata", "replace-all"],
    &["metadata", "delete"],
    &["commands"],
    &["config", "get"],
    &["config", "watch"],
    &["config", "applied"],
    &["config", "rejected"],
    &["software", "report"],
    &["software", "get"],
    &["software", "watch"],
    &["software", "rejected"],
    &["upload"],
    &["request"],
    &["topics"],
    &["profile", "set"],
    &["profile", "show"],
    &["profile", "unset"],
    &["profile", "path"],
    &["completions"],
    &["man"],
];

#[test]
fn every_command_has_an_example_in_its_help() {
    let kit = Kit::new();
    for command in COMMANDS {
        let ended = run(kit.bare().args(*command).arg("--help"), "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let example = format!("kaa {}", command.join(" "));
        let (_, examples) = ended.stdout.split_once("Example:").expect(&ended.stdout);
        assert!(examples.contains(&example), "{examples}");
    }
}

#[test]
fn the_programs_help_lists_the_exit_statuses_and_every_command() {
    let kit = Kit::new();
    let help = run(kit.bare().arg("--help"), "").stdout;
    assert!(
        help.contains("  7    not sent yet: kept in the store for the next run"),
        "{help}"
    );
    for command in COMMANDS {
        assert!(
            help.contains(&format!("\n  {} ", command[0])),
            "{}",
            command[0]
        );
    }
}

#[test]
fn completions_are_what_the_shell_understands() {
    let kit = Kit::new();
    let script = run(kit.bare().args(["completions", "bash"]), "");
    assert_eq!(script.code, Some(0));
    let mut bash = Command::new("bash");
    bash.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut bash = bash.spawn().unwrap();
    let line = format!(
        "{}\nCOMP_WORDS=(kaa metadata m); COMP_CWORD=2; _kaa kaa m metadata; echo \"[${{COMPREPLY[*]}}]\"\n",
        script.stdout
    );
    bash.stdin
        .take()
        .unwrap()
        .write_all(line.as_bytes())
        .unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[merge]\n");
    for shell in ["zsh", "fish"] {
        let script = run(kit.bare().args(["completions", shell]), "");
        assert!(script.stdout.contains("replace-all"), "{shell}");
    }
}

#[test]
fn manual_pages_are_made_of_the_same_words() {
    let kit = Kit::new();
    let page = run(kit.bare().arg("man"), "").stdout;
    assert!(page.contains(".TH kaa 1"), "{page}");
    let page = run(kit.bare().args(["man", "config", "watch"]), "").stdout;
    assert!(page.contains("KAA_CONFIG_ID"), "{page}");
    run(kit.bare().args(["man", "nonsense"]), "").complains(2, "no command \"nonsense\"");
}
