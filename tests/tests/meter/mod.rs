//! Counts the memory that the code under test takes, and not that of the test around it.

use allocation_counter::{measure, opt_out};

/// What was taken from the heap inside [`Meter::run`], in bytes.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    live: i64,
    peak: i64,
}

impl Meter {
    /// Runs code under test. What it returns was taken inside: drop it inside, too.
    pub(crate) fn run<T>(&mut self, code: impl FnOnce() -> T) -> T {
        let mut result = None;
        let info = measure(|| result = Some(code()));
        self.peak = self.peak.max(self.live + info.bytes_max as i64);
        self.live += info.bytes_current;
        result.unwrap()
    }

    /// What is held now.
    pub(crate) fn live(&self) -> usize {
        usize::try_from(self.live).unwrap_or_default()
    }

    #[allow(dead_code, reason = "not every suite asks")]
    /// The most that was held since the meter was made or reset.
    pub(crate) fn peak(&self) -> usize {
        usize::try_from(self.peak).unwrap_or_default()
    }
}

/// Runs code of the test that is called by code under test, such as a transport.
#[allow(dead_code, reason = "not every suite has some")]
pub(crate) fn aside<T>(code: impl FnOnce() -> T) -> T {
    let mut result = None;
    opt_out(|| result = Some(code()));
    result.unwrap()
}
