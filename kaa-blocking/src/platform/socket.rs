//! One nonblocking TCP connection and the bytes that wait to be written on it.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::channel::{Channel, Input};

/// A registered connection. Readiness is told once per change, so it is remembered here.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// Unwritten bytes begin at `written`.
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// Whether reading may give something.
    readable: bool,
    /// Whether writing may take something.
    writable: bool,
}

impl Socket {
    /// Registers a connection. It is taken for ready until it says otherwise.
    pub(super) fn register(
        mut stream: TcpStream,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        // Without it a connection still works, only slower.
        let _ = stream.set_nodelay(true);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            out: Vec::new(),
            written: 0,
            readable: true,
            writable: true,
        })
    }

    /// Where to add bytes, behind those that wait already; the caller keeps them few.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.is_flushed() {
            self.written = 0;
            self.out.clear();
        }
        &mut self.out
    }

    /// Says that nothing more comes. The peer may be gone already.
    pub(super) fn shut(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Channel for Socket {
    fn handle_event(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
    }

    fn is_readable(&self) -> bool {
        self.readable
    }

    fn read(&mut self, buffer: &mut [u8]) -> Input {
        match self.stream.read(buffer) {
            Ok(0) => Input::End,
            Ok(n) => Input::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Input::Later
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Input::Later,
            Err(_) => Input::End,
        }
    }

    fn empty_buffer(&mut self) -> Option<&mut Vec<u8>> {
        self.is_flushed().then(|| self.buffer())
    }

    fn is_flushed(&self) -> bool {
        self.written == self.out.len()
    }

    fn write(&mut self) -> io::Result<usize> {
        let before = self.written;
        while self.writable {
            let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            match self.stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.written - before)
    }

    fn finish(self: Box<Self>) -> (Socket, Option<String>) {
        self.shut();
        (*self, None)
    }
}
