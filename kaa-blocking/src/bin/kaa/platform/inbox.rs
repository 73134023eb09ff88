//! Everything that the program waits for, in one queue: news, lines, signals.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use kaa_blocking::platform::{LocalPlatform, News};
use signal_hook::iterator::Signals;

use super::control::Client;
use crate::input;
use crate::output::say;
use crate::stop;

/// The longest line that is read.
const MAX_LINE: usize = 1 << 20;

/// Something arrived.
#[derive(Debug)]
pub(crate) enum Input {
    /// The platform tells something.
    News(News),
    /// The platform has stopped and told everything.
    Over,
    /// Somebody wrote a line.
    Line(Line, Asker),
    /// The program is to end: a signal, or nobody reads what it prints.
    End,
    /// The program cannot go on, for this reason.
    Failed(String),
}

/// A line, or why it is none.
pub(crate) type Line = Result<String, &'static str>;

/// Who wrote a line and gets the answer.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    /// Standard input; the answer goes to standard output.
    Terminal,
    /// A client of the control socket.
    Control(Arc<Client>),
}

/// Begins to listen for the signals that ask for the end.
///
/// # Errors
/// The system refuses.
pub(crate) fn watch_signals(inbox: SyncSender<Input>) -> io::Result<()> {
    let mut signals = Signals::new(stop::asking())?;
    thread::spawn(move || {
        for _ in signals.forever() {
            if inbox.send(Input::End).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// Begins to read standard input. Its end is not told.
pub(crate) fn watch_terminal(inbox: SyncSender<Input>) {
    thread::spawn(move || match input::Input::open() {
        Ok(input) => read_lines(BufReader::new(input), |line| {
            inbox.send(Input::Line(line, Asker::Terminal)).is_ok()
        }),
        Err(error) => say(format_args!("standard input cannot be read: {error}")),
    });
}

/// Begins to pass on what the platform tells, until it has stopped.
pub(crate) fn watch_platform(platform: Arc<LocalPlatform>, inbox: SyncSender<Input>) {
    const LONG: Duration = Duration::from_secs(3_600);
    thread::spawn(move || {
        while !platform.is_over() {
            let Some(news) = platform.news(LONG) else {
                continue;
            };
            if inbox.send(Input::News(news)).is_err() {
                return;
            }
        }
        // The program may have ended already.
        let _ = inbox.send(Input::Over);
    });
}

/// Reads lines until the end or until `take` has enough. A line that is too long is skipped.
pub(crate) fn read_lines(mut reader: impl BufRead, mut take: impl FnMut(Line) -> bool) {
    let mut line = Vec::new();
    let mut is_rest = false;
    loop {
        line.clear();
        let mut bounded = reader.by_ref().take(MAX_LINE as u64);
        match bounded.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let is_whole = line.last() == Some(&b'\n');
        let was_rest = std::mem::replace(&mut is_rest, !is_whole && line.len() == MAX_LINE);
        if was_rest {
            continue;
        }
        let read = if is_rest {
            Err("the line is too long")
        } else {
            std::str::from_utf8(&line)
                .map(|text| String::from(text.trim_end_matches(['\r', '\n'])))
                .map_err(|_| "the line is not UTF-8")
        };
        if !take(read) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_what_is_none_does_not_end_the_reading() {
        let long = "x".repeat(MAX_LINE + 5);
        let exact = "y".repeat(MAX_LINE - 1);
        let input = [
            b"a b\r\n".as_slice(),
            long.as_bytes(),
            b"\n\xff\n",
            exact.as_bytes(),
            b"\nlast",
        ]
        .concat();
        let mut lines = Vec::new();
        read_lines(input.as_slice(), |line| {
            lines.push(line);
            true
        });
        assert_eq!(
            lines,
            [
                Ok("a b".into()),
                Err("the line is too long"),
                Err("the line is not UTF-8"),
                Ok(exact),
                Ok("last".into())
            ]
        );
    }
}
