//! The examples, as a newcomer runs them.

use std::env;
use std::process::{Command, Output};

/// The example, of the package whose test this is; nothing in its environment concerns it.
/// `cargo test` builds both; `cargo test --test NAME` does not.
#[must_use]
pub fn example(name: &str) -> Command {
    let Some(examples) = env::current_exe().ok().and_then(|test| {
        let profile = test.ancestors().nth(2)?;
        Some(profile.join("examples"))
    }) else {
        panic!("the test does not know where it is");
    };
    let program = examples.join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{name} is not built");
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("KAA_") {
            command.env_remove(name);
        }
    }
    command
}

/// What it printed, if it succeeded.
#[must_use]
pub fn transcript(output: &Output) -> String {
    let transcript = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{transcript}\n{complaints}",
        output.status
    );
    transcript.into_owned()
}
