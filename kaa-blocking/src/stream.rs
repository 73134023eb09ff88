//! What a dial comes to: a socket of the system.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;

use kaa_proto::client::Transport;
use mio::event::{Event, Source};
use mio::{Interest, Registry, Token};

/// A connected stream that a connector gives, made from a socket of the standard library; see
/// [`Client::connect_with`](crate::Client::connect_with).
#[derive(Debug)]
pub struct Stream(io::Result<Box<dyn Socket>>);

/// What the loop needs of a nonblocking socket.
trait Socket: Read + Write + Source + fmt::Debug + Send {
    fn shut(&self) -> io::Result<()>;
}

macro_rules! sockets {
    ($($(#[$cfg:meta])? $std:ty => $mio:ty;)*) => {$(
        $(#[$cfg])?
        impl From<$std> for Stream {
            fn from(stream: $std) -> Self {
                let nonblocking = stream.set_nonblocking(true);
                Self(nonblocking.map(|()| Box::new(<$mio>::from_std(stream)) as _))
            }
        }

        $(#[$cfg])?
        impl Socket for $mio {
            fn shut(&self) -> io::Result<()> {
                self.shutdown(Shutdown::Write)
            }
        }
    )*};
}

sockets! {
    std::net::TcpStream => mio::net::TcpStream;
    #[cfg(unix)]
    std::os::unix::net::UnixStream => mio::net::UnixStream;
}

/// A stream in the selector, and what the selector said of it.
pub(crate) struct Registered {
    socket: Box<dyn Socket>,
    /// It may have bytes.
    is_readable: bool,
    /// It may have room.
    is_writable: bool,
}

impl Registered {
    /// Tells the selector of it.
    pub(crate) fn new(stream: Stream, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut socket = stream.0?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        Source::register(&mut *socket, registry, token, interest)?;
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
        self.socket.shut()
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
