//! The bytes on their way out, and how far they have come.

/// Bytes are appended to `buffer`, taken by the driver, and reported as written. Places in the
/// stream are counted in bytes from its start.
#[derive(Clone, Default)]
pub(super) struct Output {
    /// Appended and not yet taken.
    buffer: Vec<u8>,
    /// How many bytes were taken.
    taken: u64,
    /// How many of those were handed to the transport.
    written: u64,
    /// The place behind the last packet that answers none of the peer's.
    ours: u64,
}

/// The buffer keeps at most this much room while there is nothing to send.
const KEPT: usize = 1_024;

impl Output {
    /// Where packets are appended.
    pub(super) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The place behind the last appended byte.
    pub(super) fn end(&self) -> u64 {
        self.taken + self.buffer.len() as u64
    }

    /// The place behind the last byte that was handed to the transport.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// How many bytes were appended and not yet handed to the transport.
    pub(super) fn unwritten(&self) -> usize {
        usize::try_from(self.end() - self.written).unwrap_or(usize::MAX)
    }

    /// The last packet that was appended answers none of the peer's.
    pub(super) fn note_ours(&mut self) {
        self.ours = self.end();
    }

    /// How many unwritten bytes answer packets of the peer: those behind our own last packet. What
    /// lies before it was little when that was begun.
    pub(super) fn unwritten_answers(&self) -> usize {
        let answers = self.end().saturating_sub(self.ours.max(self.written));
        usize::try_from(answers).unwrap_or(usize::MAX)
    }

    /// What it holds in memory, and what of it was taken and not written, in bytes.
    #[cfg(feature = "platform")]
    pub(super) fn held(&self) -> usize {
        self.buffer.capacity() + (self.unwritten() - self.buffer.len())
    }

    /// Moves all that was appended to the end of `out`; returns how many bytes that were.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> usize {
        let taken = self.buffer.len();
        self.taken += taken as u64;
        if out.is_empty() {
            std::mem::swap(&mut self.buffer, out);
        } else {
            out.append(&mut self.buffer);
        }
        taken
    }

    /// `n` more bytes were handed to the transport; more than were taken do not count.
    pub(super) fn handle_written(&mut self, n: usize) {
        self.written = self.taken.min(self.written.saturating_add(n as u64));
    }

    /// Forgets what was not taken: nothing more is said on this link.
    pub(super) fn clear(&mut self) {
        self.buffer = Vec::new();
    }

    /// Gives unused room back. Called when nothing is under way.
    pub(super) fn shrink(&mut self) {
        self.buffer.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_large_message_is_given_back() {
        let mut output = Output::default();
        output.buffer().extend([0; 100 * KEPT]);
        output.take(&mut vec![0]);
        assert!(output.buffer.capacity() >= 100 * KEPT);
        output.shrink();
        assert!(output.buffer.capacity() <= KEPT);
    }

    #[test]
    fn answers_are_counted_apart_until_they_are_written() {
        let mut output = Output::default();
        output.buffer().extend([0; 10]);
        output.note_ours();
        assert_eq!(output.unwritten_answers(), 0);
        output.buffer().extend([0; 8]);
        assert_eq!(output.unwritten_answers(), 8);
        output.take(&mut Vec::new());
        for (n, left) in [(10, 8), (3, 5)] {
            output.handle_written(n);
            assert_eq!(output.unwritten_answers(), left);
        }
        output.buffer().extend([0; 7]);
        output.note_ours();
        output.buffer().extend([0; 4]);
        assert_eq!(output.unwritten_answers(), 4);
        output.clear();
        assert_eq!(output.unwritten_answers(), 0);
    }
}
