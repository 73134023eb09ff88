//! Standard input as lines, read apart so that the program can do other things meanwhile.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use crate::input::Input;
use crate::output::say;
use crate::problem::Problem;
use crate::stop::LOOK;

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
    pub(crate) text: Result<String, Flaw>,
}

/// Why a line cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    TooLong,
    NotUtf8,
    /// It was still being written when it was closed.
    CutOff,
}

/// Follows the number of the line.
impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "is longer than 256 KiB",
            Self::NotUtf8 => "is not UTF-8",
            Self::CutOff => "was not whole at the end",
        })
    }
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Next {
    Line(Line),
    /// Nothing yet.
    Nothing,
    /// Reading failed: there may have been more, and nothing of it will come.
    Failed(Problem),
    End,
}

/// The lines of standard input, or of an argument. Blank ones are left out.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: Receiver<Result<Line, Problem>>,
    is_closed: Arc<AtomicBool>,
}

impl Lines {
    /// Begins to read.
    pub(crate) fn read() -> Self {
        if io::stdin().is_terminal() {
            say("reading JSON lines from the terminal; Ctrl-D ends them");
        }
        let (sender, lines) = mpsc::sync_channel(AHEAD);
        let is_closed = Arc::<AtomicBool>::default();
        let closed = Arc::clone(&is_closed);
        thread::spawn(move || {
            let read = Input::open().and_then(|input| {
                let source = Source::new(input, closed);
                pass_on(BufReader::new(source), &sender)
            });
            if let Err(error) = read {
                let problem = Problem::local(format!("standard input cannot be read: {error}"));
                // Nobody may be waiting any more.
                let _ = sender.send(Err(problem));
            }
        });
        Self { lines, is_closed }
    }

    /// This line alone.
    pub(crate) fn of(text: &str) -> Self {
        let (sender, lines) = mpsc::sync_channel(1);
        // There is room for it.
        let _ = sender.try_send(Ok(Line {
            number: 1,
            bytes: text.len() as u64,
            text: Ok(text.into()),
        }));
        let is_closed = Arc::default();
        Self { lines, is_closed }
    }

    /// Takes no further lines from the input. Those that were taken still come.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// What comes within that time.
    pub(crate) fn next_within(&self, wait: Duration) -> Next {
        match self.lines.recv_timeout(wait) {
            Ok(Ok(line)) => Next::Line(line),
            Ok(Err(problem)) => Next::Failed(problem),
            Err(RecvTimeoutError::Timeout) => Next::Nothing,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }
}

/// Standard input until it is closed, and then to the end of the line that was begun.
struct Source {
    input: Input,
    is_closed: Arc<AtomicBool>,
    /// How far it still goes when it is closed.
    left: usize,
    /// The line that was begun has no end.
    is_cut: bool,
}

impl Source {
    const fn new(input: Input, is_closed: Arc<AtomicBool>) -> Self {
        Self {
            input,
            is_closed,
            left: MAX_LINE,
            is_cut: false,
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // Nothing else wakes it.
        while !self.input.is_ready(LOOK) {
            if self.is_closed() {
                self.is_cut = true;
                return Ok(0);
            }
        }
        if !self.is_closed() {
            return self.input.read(into);
        }
        // Byte by byte, because what follows the line is for others.
        let len = into.len().min(self.left).min(1);
        self.is_cut = len == 0;
        self.left -= len;
        self.input.read(into.get_mut(..len).unwrap_or_default())
    }
}

/// Passes on every line until the end, or until nobody takes them.
fn pass_on(
    mut reader: BufReader<Source>,
    to: &SyncSender<Result<Line, Problem>>,
) -> io::Result<()> {
    for number in 1_u64.. {
        if reader.buffer().is_empty() && reader.get_ref().is_closed() {
            break;
        }
        let mut line = Vec::new();
        let mut bounded = reader.by_ref().take(MAX_LINE as u64);
        let mut bytes = bounded.read_until(b'\n', &mut line)? as u64;
        if bytes == 0 {
            break;
        }
        let text = if line.len() == MAX_LINE && line.last() != Some(&b'\n') {
            bytes += reader.skip_until(b'\n')? as u64;
            Err(Flaw::TooLong)
        } else if reader.get_ref().is_cut {
            Err(Flaw::CutOff)
        } else {
            let text = String::from_utf8(line).map_err(|_| Flaw::NotUtf8);
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
        if to.send(Ok(line)).is_err() {
            break;
        }
    }
    Ok(())
}
