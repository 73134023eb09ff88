//! What happened in a simulation, line by line.

use std::time::Duration;

/// All lines as one number, so that two runs can be compared, and the lines themselves where somebody
/// wants to read them.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    hash: u64,
    /// `None`: nobody reads them.
    lines: Option<Vec<String>>,
}

impl Transcript {
    pub(super) fn new(is_read: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            lines: is_read.then(Vec::new),
        }
    }

    pub(super) fn note(&mut self, step: u64, at: Duration, line: &str) {
        let nanos = (at.as_nanos() as u64).to_le_bytes();
        for byte in nanos.iter().chain(line.as_bytes()) {
            // FNV-1a.
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{step:>6} {:>12.6} {line}", at.as_secs_f64()));
        }
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
