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

    /// Of two ends of parts, the one of the whole: what says most to the one who looks into it.
    pub(crate) fn and(self, other: Self) -> Self {
        const RISING: [Exit; 9] = [
            Exit::Done,
            Exit::Interrupted,
            Exit::Misuse,
            Exit::Kept,
            Exit::Unreachable,
            Exit::Refused,
            Exit::Unknown,
            Exit::Rejected,
            Exit::Local,
        ];
        let rank = |exit| RISING.iter().position(|&known| known == exit);
        if rank(self) >= rank(other) {
            self
        } else {
            other
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
  130  interrupted by a signal
If several parts fail, the status is the first of 1, 3, 4, 6, 5, 7, 2 that applies.";

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
            .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(String::from))
            .collect();
        let expected: Vec<String> = all.iter().map(|exit| exit.code().to_string()).collect();
        assert_eq!(listed, expected);
    }

    #[test]
    fn the_end_of_the_whole_is_the_worst_of_its_parts() {
        assert_eq!(Exit::Done.and(Exit::Kept), Exit::Kept);
        assert_eq!(Exit::Rejected.and(Exit::Unknown), Exit::Rejected);
        assert_eq!(Exit::Misuse.and(Exit::Unreachable), Exit::Unreachable);
        assert_eq!(Exit::Done.and(Exit::Done), Exit::Done);
    }
}
