//! The device's own log: one line for each thing it did or was told, written before it goes on.
//!
//! SIGKILL cuts a write where it comes to another page. A line that has no end is nothing that was
//! done: the device never came to go on.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

/// What the device did or was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A run began.
    Run(u64),
    /// A request of an earlier run goes on, by the number that the library gave it.
    Resumed(u64),
    /// The outcome of a sample of an earlier run is unknown.
    Unknown(u64),
    /// All that was recovered is written above.
    Recovered,
    /// A sample is going to be submitted.
    Intended(u64),
    /// It was, and this is the library's number of it.
    Submitted(u64, u64),
    /// The sample is stored.
    Stored(u64),
    /// It is not going to be.
    NotStored(u64, String),
    /// The sample was confirmed.
    Confirmed(u64),
    /// It ended otherwise.
    Failed(u64, String),
    /// A request of an earlier run ended, by the library's number: confirmed, or so.
    Ended(u64, Result<(), String>),
    /// The command was executed.
    Executed(i64),
    /// The command is known to have been interrupted, and was not executed.
    Interrupted(i64),
    /// This configuration was given, and is about to be reported as applied.
    Given(String),
    /// The platform knows that this configuration is applied. A kill may come before it is written:
    /// then no later run is given it again.
    Applied(String),
    /// Nothing was left to do.
    Quiet,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "run {run}"),
            Self::Resumed(id) => write!(f, "resumed {id}"),
            Self::Unknown(n) => write!(f, "unknown {n}"),
            Self::Recovered => write!(f, "recovered"),
            Self::Intended(n) => write!(f, "intended {n}"),
            Self::Submitted(n, id) => write!(f, "submitted {n} {id}"),
            Self::Stored(n) => write!(f, "stored {n}"),
            Self::NotStored(n, why) => write!(f, "not-stored {n} {why}"),
            Self::Confirmed(n) => write!(f, "confirmed {n}"),
            Self::Failed(n, why) => write!(f, "failed {n} {why}"),
            Self::Ended(id, Ok(())) => write!(f, "ended {id} ok"),
            Self::Ended(id, Err(why)) => write!(f, "ended {id} {why}"),
            Self::Executed(id) => write!(f, "executed {id}"),
            Self::Interrupted(id) => write!(f, "interrupted {id}"),
            Self::Given(id) => write!(f, "given {id}"),
            Self::Applied(id) => write!(f, "applied {id}"),
            Self::Quiet => write!(f, "quiet"),
        }
    }
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        let number = || first.parse().ok();
        Some(match word {
            "run" => Self::Run(number()?),
            "resumed" => Self::Resumed(number()?),
            "unknown" => Self::Unknown(number()?),
            "recovered" => Self::Recovered,
            "intended" => Self::Intended(number()?),
            "submitted" => Self::Submitted(number()?, second.parse().ok()?),
            "stored" => Self::Stored(number()?),
            "not-stored" => Self::NotStored(number()?, second.into()),
            "confirmed" => Self::Confirmed(number()?),
            "failed" => Self::Failed(number()?, second.into()),
            "ended" if second == "ok" => Self::Ended(number()?, Ok(())),
            "ended" => Self::Ended(number()?, Err(second.into())),
            "executed" => Self::Executed(first.parse().ok()?),
            "interrupted" => Self::Interrupted(first.parse().ok()?),
            "given" => Self::Given(first.into()),
            "applied" => Self::Applied(first.into()),
            "quiet" => Self::Quiet,
            _ => return None,
        })
    }
}

/// How a line ends that was written whole.
const END: char = ';';

/// Writes lines; it survives what kills the process, as the system has them.
pub(crate) struct Journal(File);

impl Journal {
    /// Goes on with the one that earlier runs wrote.
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().append(true).create(true).open(path);
        Self(file.unwrap())
    }

    /// Writes a line; it is with the system when this returns.
    pub(crate) fn write(&self, line: &Line) {
        // The last line of the run before may have no end.
        let begin = if matches!(line, Line::Run(_)) {
            "\n"
        } else {
            ""
        };
        let line = format!("{begin}{line}{END}\n");
        (&self.0).write_all(line.as_bytes()).unwrap();
    }
}

/// All lines, less those that were cut off by a kill.
///
/// # Errors
/// The one that cannot be read and was not.
pub(crate) fn read(path: &Path) -> Result<Vec<Line>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let (mut lines, mut torn) = (Vec::new(), None);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let whole = line.strip_suffix(END).and_then(Line::parse);
        if let (Some(torn), false) = (torn, matches!(whole, Some(Line::Run(_)))) {
            return Err(format!("this is no line: {torn:?}"));
        }
        torn = whole.is_none().then_some(line);
        lines.extend(whole);
    }
    Ok(lines)
}
