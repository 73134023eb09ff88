//! Standard input as lines, read apart so that the program can do other things meanwhile.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::output::say;

/// How many lines are read ahead.
const AHEAD: usize = 256;
/// The longest line: what one message may hold.
const MAX_LINE: usize = 256 * 1_024;

/// A line of standard input.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Its length in bytes, with its end.
    pub(crate) bytes: u64,
    /// What it says, or why it cannot be read.
    pub(crate) text: Result<String, &'static str>,
}

/// Begins to read. The channel ends with the input. Blank lines are left out.
pub(crate) fn read() -> Receiver<Line> {
    if io::stdin().is_terminal() {
        say("reading JSON lines from the terminal; Ctrl-D ends them");
    }
    let (sender, lines) = mpsc::sync_channel(AHEAD);
    thread::spawn(move || {
        let mut reader = io::stdin().lock();
        for number in 1_u64.. {
            let mut line = Vec::new();
            let mut bounded = reader.by_ref().take(MAX_LINE as u64);
            let mut bytes = match bounded.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => bytes as u64,
            };
            let text = if line.len() == MAX_LINE && line.last() != Some(&b'\n') {
                bytes += match reader.skip_until(b'\n') {
                    Ok(skipped) => skipped as u64,
                    Err(_) => return,
                };
                Err("is longer than 256 KiB")
            } else {
                let text = String::from_utf8(line).map_err(|_| "is not UTF-8");
                text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
            };
            if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
                continue;
            }
            let line = Line {
                number,
                bytes,
                text,
            };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
