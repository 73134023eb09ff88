//! What a dial comes to: a socket of the system.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::{fd::OwnedFd, unix::net::UnixStream};

use kaa_proto::client::Transport;
use mio::event::Event;
use mio::{Interest, Registry, Token};

/// A connected stream that a connector gives, made from a socket of the standard library; see
/// [`Client::connect_with`](crate::Client::connect_with).
#[derive(Debug)]
pub struct Stream(TcpStream);

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self(stream)
    }
}

/// A connected Unix socket is read, written and shut down by the same calls of the system.
#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self(OwnedFd::from(stream).into())
    }
}

/// A stream in the selector, and what the selector said of it.
pub(crate) struct Registered {
    socket: mio::net::TcpStream,
    /// It may have bytes.
    is_readable: bool,
    /// It may have room.
    is_writable: bool,
}

impl Registered {
    /// Tells the selector of it.
    pub(crate) fn new(stream: Stream, registry: &Registry, token: Token) -> io::Result<Self> {
        stream.0.set_nonblocking(true)?;
        let mut socket = mio::net::TcpStream::from_std(stream.0);
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            is_readable: true,
            is_writable: true,
        })
    }

    /// The selector says that something has changed.
    pub(crate) fn handle_event(&mut self, event: &Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }
}

impl Transport for Registered {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        note(&mut self.is_readable, || self.socket.read(block))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        note(&mut self.is_writable, || self.socket.write(bytes))
    }

    /// The system has it already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

/// Does what can be done without asking the system in vain, and notes when it would block: the
/// selector tells of changes only.
fn note(can: &mut bool, work: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    if !*can {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let done = work();
    *can = !matches!(&done, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    done
}
