//! What is said while checks go on, and how the program ends by it.

use super::finding::{Finding, Verdict};
use crate::exit::Exit;
use crate::output::{self, Reader};
use crate::problem::Problem;

/// Prints findings, and remembers the first that failed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    first: Option<Exit>,
    is_partial: bool,
    is_unread: bool,
}

impl Report {
    /// A check that went well, or could not be made.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn add(&mut self, name: &str, finding: &Finding) -> Result<(), Problem> {
        self.is_partial |= finding.verdict == Verdict::NotJudged;
        self.mention(name, finding)
    }

    /// A check of something that need not happen, so that it may show nothing.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) fn mention(&mut self, name: &str, finding: &Finding) -> Result<(), Problem> {
        output::tell(finding.to_text(name));
        self.is_unread |= output::print(&finding.to_json(name))? == Reader::Gone;
        Ok(())
    }

    /// A check that decides by this status how the program ends, if it failed.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub(crate) fn decide(
        &mut self,
        name: &str,
        finding: &Finding,
        exit: Exit,
    ) -> Result<(), Problem> {
        if finding.verdict == Verdict::Fail {
            self.first.get_or_insert(exit);
        }
        self.add(name, finding)
    }

    /// Whether a check could not be made.
    pub(crate) const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// How the program ends.
    pub(crate) fn exit(&self) -> Exit {
        match self.is_unread {
            true => Exit::Interrupted,
            false => self.first.unwrap_or(Exit::Done),
        }
    }
}
