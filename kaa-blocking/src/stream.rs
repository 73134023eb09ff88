//! What a dial comes to: a socket of the system.

use std::io::{self, Read, Write};
use std::net::Shutdown;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use kaa_proto::client::Transport;
use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};

/// A connected stream that a connector gives; see [`Client::connect_with`](crate::Client::connect_with).
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(UnixStream),
}

impl From<std::net::TcpStream> for Stream {
    fn from(stream: std::net::TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

/// A stream in the selector, and what the selector said of it.
pub(crate) struct Socket {
    socket: Nonblocking,
    /// It may have bytes.
    is_readable: bool,
    /// It may have room.
    is_writable: bool,
    /// Our direction is closed.
    is_closed: bool,
}

enum Nonblocking {
    Tcp(mio::net::TcpStream),
    #[cfg(unix)]
    Unix(mio::net::UnixStream),
}

impl Socket {
    /// Makes it nonblocking, and tells the selector.
    pub(crate) fn new(stream: Stream, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = match stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                Nonblocking::Tcp(mio::net::TcpStream::from_std(stream))
            }
            #[cfg(unix)]
            Stream::Unix(stream) => {
                stream.set_nonblocking(true)?;
                Nonblocking::Unix(mio::net::UnixStream::from_std(stream))
            }
        };
        socket
            .source()
            .register(registry, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            socket,
            is_readable: true,
            is_writable: true,
            is_closed: false,
        })
    }

    /// The selector says that something has changed.
    pub(crate) fn handle_event(&mut self, event: &Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.is_writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }
}

impl Transport for Socket {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        note(&mut self.is_readable, || match &mut self.socket {
            Nonblocking::Tcp(stream) => stream.read(block),
            #[cfg(unix)]
            Nonblocking::Unix(stream) => stream.read(block),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        note(&mut self.is_writable, || match &mut self.socket {
            Nonblocking::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Nonblocking::Unix(stream) => stream.write(bytes),
        })
    }

    /// The system has it already.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.is_closed, true) {
            return Ok(());
        }
        match &self.socket {
            Nonblocking::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Nonblocking::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }
}

impl Nonblocking {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            #[cfg(unix)]
            Self::Unix(stream) => stream,
        }
    }
}

/// Does what can be done without asking the system in vain, and notes when it would block: the
/// selector tells of changes only.
fn note<T>(can: &mut bool, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if !*can {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let done = work();
    *can = !matches!(&done, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    done
}
