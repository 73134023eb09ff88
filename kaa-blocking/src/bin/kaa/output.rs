//! Results as JSON lines on standard output, words for people on standard error.

use std::io::{self, ErrorKind, Write as _};

use serde::Serialize;

use crate::problem::Problem;
use crate::progress;

/// Whether somebody still reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Reader {
    Listening,
    /// The other end of the pipe is closed. What was done stays done; who only prints may end.
    Gone,
}

/// Prints a result on a line of its own, at once.
///
/// # Errors
/// Standard output fails otherwise than by a closed pipe.
pub(crate) fn print(value: &impl Serialize) -> Result<Reader, Problem> {
    let mut line = serde_json::to_vec(value)
        .map_err(|error| Problem::local(format!("the result cannot be printed: {error}")))?;
    line.push(b'\n');
    write(&line)
}

/// Prints results of what goes on, and tells once when nobody reads them any more.
#[derive(Debug, Default)]
pub(crate) struct Printer {
    is_alone: bool,
}

impl Printer {
    /// Prints a result, while somebody reads.
    ///
    /// # Errors
    /// As [`print()`].
    pub(crate) fn print(&mut self, value: &impl Serialize) -> Result<(), Problem> {
        if !self.is_alone {
            self.note(print(value)?);
        }
        Ok(())
    }

    /// Something was printed.
    pub(crate) fn note(&mut self, reader: Reader) {
        if reader == Reader::Gone && !self.is_alone {
            self.is_alone = true;
            say("nobody reads standard output any more");
        }
    }

    /// Whether nobody reads any more.
    pub(crate) const fn is_alone(&self) -> bool {
        self.is_alone
    }
}

/// Prints text as it is.
///
/// # Errors
/// As [`print()`].
pub(crate) fn write(text: &[u8]) -> Result<Reader, Problem> {
    let written = progress::aside(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text).and_then(|()| stdout.flush())
    });
    match written {
        Ok(()) => Ok(Reader::Listening),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Problem::local(format!(
            "standard output cannot be written: {error}"
        ))),
    }
}

/// Tells people something. Nobody may be listening, and that is no reason to stop.
pub(crate) fn say(words: impl std::fmt::Display) {
    progress::aside(|| {
        let _ = writeln!(io::stderr(), "kaa: {words}");
    });
}

/// Tells people something in several lines or columns, as it is.
pub(crate) fn tell(words: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{words}");
}
