//! What a binding has to give the driver for each link.

use std::io;

/// A nonblocking byte stream: what a binding makes of its runtime's sockets.
///
/// Each method does what it can at once. [`WouldBlock`](io::ErrorKind::WouldBlock) says that the
/// driver is to be turned again when that has changed; the transport sees to it that this is
/// noticed. [`Interrupted`](io::ErrorKind::Interrupted) is tried again at once. Any other error
/// ends the link.
pub trait Transport {
    /// Reads into `block`, which is not empty; 0 when the peer will send no more.
    ///
    /// # Errors
    /// As above.
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize>;

    /// Takes some of `bytes`, which is not empty; how many.
    ///
    /// # Errors
    /// As above.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Hands on what was taken, where the transport has a buffer of its own.
    ///
    /// # Errors
    /// As above.
    fn flush(&mut self) -> io::Result<()>;

    /// Says that nothing more will be written; called again until it does not block.
    ///
    /// # Errors
    /// As above.
    fn close(&mut self) -> io::Result<()>;
}
