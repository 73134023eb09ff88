//! Where links read: one block for all links of a thread, because what is read is used up at once.
//! So an idle link holds none, and a busy one does not make a new one with each read.

use std::cell::Cell;

/// At most this is fed before timers are looked at again. No TLS record is larger (18,437 bytes in
/// TLS 1.2): whatever waits there after a stall, some of the server's bytes are seen before its
/// silence is judged.
pub(super) const READ_BLOCK: usize = 20 * 1_024;

thread_local! {
    static BLOCK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The block of this thread, until it is dropped.
pub(super) struct Block(Vec<u8>);

impl Block {
    /// A new one if the thread's is in use: a transport may turn another client.
    pub(super) fn borrow() -> Self {
        let mut block = BLOCK.try_with(Cell::take).unwrap_or_default();
        block.resize(READ_BLOCK, 0);
        Self(block)
    }

    /// Its first bytes.
    pub(super) fn first(&mut self, length: usize) -> &mut [u8] {
        self.0.get_mut(..length).unwrap_or_default()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let block = std::mem::take(&mut self.0);
        // At the end of a thread there is nobody to give it back to.
        let _ = BLOCK.try_with(|place| place.set(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_reads_into_the_same_block_again_and_into_another_one_meanwhile() {
        let mut first = Block::borrow();
        first.first(1)[0] = 7;
        let mut second = Block::borrow();
        assert_eq!(second.first(READ_BLOCK), [0; READ_BLOCK]);
        drop(second);
        drop(first);
        assert_eq!(Block::borrow().first(1), [7]);
        assert!(Block::borrow().first(READ_BLOCK + 1).is_empty());
    }
}
