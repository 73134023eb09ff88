//! Asking the one at the terminal for a secret, who does not see what is typed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process;
use std::thread;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::iterator::Signals;

use crate::exit::Exit;
use crate::stop;

/// No secret is longer.
const MAX_LINE: u64 = 16 * 1_024;

/// Asks, whatever standard input and output are. A signal ends the program, with the terminal as it
/// was.
///
/// # Errors
/// There is no terminal.
pub(super) fn ask(what: &str) -> io::Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    // Not more of them: who looks later could not tell any more what was ignored.
    let mut signals = Signals::new(stop::asking())?;
    let handle = signals.handle();
    let (own, modes) = (terminal.try_clone()?, before.clone());
    let watcher = thread::spawn(move || {
        if signals.forever().next().is_some() {
            restore(own, &modes);
            process::exit(Exit::Interrupted.code().into());
        }
    });
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
    let read = write!(terminal, "{what}: ").and_then(|()| read_line(&terminal));
    restore(terminal, &before);
    handle.close();
    // It has nothing to tell.
    let _ = watcher.join();
    read
}

fn read_line(terminal: &File) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(terminal.take(MAX_LINE)).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The end of the line was not shown either.
fn restore(mut terminal: File, modes: &Termios) {
    let _ = tcsetattr(&terminal, OptionalActions::Now, modes);
    let _ = terminal.write_all(b"\n");
}
