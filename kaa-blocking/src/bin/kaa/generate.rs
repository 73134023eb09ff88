//! `kaa completions` and `kaa man`: what shells and `man` want to know of the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output;
use crate::problem::Problem;

/// Print completions for a shell.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  kaa completions bash > /etc/bash_completion.d/kaa\n  kaa completions \
                        fish > ~/.config/fish/completions/kaa.fish"
)]
pub(crate) struct CompletionsArgs {
    /// Which
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page, of the program or of one command.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  kaa man > /usr/local/share/man/man1/kaa.1\n  kaa man metadata merge | \
                        man -l -"
)]
pub(crate) struct ManArgs {
    /// The command
    command: Vec<String>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kaa", &mut script);
    let _ = output::write(&script)?;
    Ok(Exit::Done)
}

pub(crate) fn man(args: &ManArgs) -> Result<Exit, Problem> {
    let mut command = Cli::command();
    // Gives each command its full name.
    command.build();
    for name in &args.command {
        let found = command.find_subcommand(name).cloned();
        command = found.ok_or_else(|| {
            Problem::misuse(format!("there is no command {name:?}")).hint("kaa --help")
        })?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Problem::local(error.to_string()))?;
    let _ = output::write(&page)?;
    Ok(Exit::Done)
}
