//! How the program ends.

use std::process::ExitCode;

/// The exit status. Scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was confirmed, or done.
    Done,
    /// Something on this machine failed: a file, a folder, standard output.
    Local,
    /// The command line, a setting or the input is wrong. Also clap's.
    Misuse,
    /// The platform refused it.
    Rejected,
    /// It was sent, and nobody knows what became of it.
    Unknown,
    /// The platform was not reached; nothing was sent.
    Unreachable,
    /// TLS or the login was refused.
    Refused,
    /// It was not sent, and waits in the store for the next run.
    #[allow(dead_code, reason = "the commands with a store follow")]
    Kept,
    /// A signal ended it before it was done; 128 and the number of SIGINT, as in shells.
    Interrupted,
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Local => 1,
            Self::Misuse => 2,
            Self::Rejected => 3,
            Self::Unknown => 4,
            Self::Unreachable => 5,
            Self::Refused => 6,
            Self::Kept => 7,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Shown after `kaa --help`.
pub(crate) const TABLE: &str = "\
Exit status:
  0    confirmed, or done
  1    something on this machine failed: a file, a folder, standard output
  2    the command line, a setting or the input is wrong
  3    the platform rejected it
  4    sent, but unanswered, or the outcome is unknown
  5    the platform was not reached
  6    TLS or the login was refused
  7    not sent yet: kept in the store for the next run
  130  interrupted by a signal";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_number_once() {
        let all = [
            Exit::Done,
            Exit::Local,
            Exit::Misuse,
            Exit::Rejected,
            Exit::Unknown,
            Exit::Unreachable,
            Exit::Refused,
            Exit::Kept,
            Exit::Interrupted,
        ];
        let listed: Vec<String> = TABLE
            .lines()
            .skip(1)
            .filter_map(|line| line.split_whitespace().next().map(String::from))
            .collect();
        let expected: Vec<String> = all.iter().map(|exit| exit.code().to_string()).collect();
        assert_eq!(listed, expected);
    }
}
