//! The platform's side of TLS over a nonblocking connection.
//!
//! It has no clock: a client that does not finish the handshake is hung up on as one that does not
//! finish CONNECT is.

use std::io::{self, ErrorKind, Read, Write as _};

use mio::event::Event;
use rustls::{Error, InvalidMessage, ServerConnection};

use super::channel::{Channel, Input};
use super::socket::Socket;
use super::tls::LocalTls;

/// A connection and its TLS session.
#[derive(Debug)]
pub(super) struct TlsSocket {
    socket: Socket,
    tls: ServerConnection,
    /// What the platform writes. It counts as written when all that was made of it is.
    plain: Vec<u8>,
    /// Whether `plain` was encrypted.
    is_sealed: bool,
    /// What went wrong with TLS.
    failure: Option<String>,
}

impl TlsSocket {
    /// # Errors
    /// There is no session for it.
    pub(super) fn new(socket: Socket, tls: &LocalTls) -> io::Result<Self> {
        let mut tls = ServerConnection::new(tls.config()).map_err(io::Error::other)?;
        // What it is given is bounded already, and given only when everything before was written.
        tls.set_buffer_limit(None);
        Ok(Self {
            socket,
            tls,
            plain: Vec::new(),
            is_sealed: false,
            failure: None,
        })
    }

    /// What waits decrypted, if anything.
    fn read_plain(&mut self, buffer: &mut [u8]) -> Option<Input> {
        match self.tls.reader().read(buffer) {
            // The client has said goodbye.
            Ok(0) => Some(Input::End),
            Ok(n) => Some(Input::Bytes(n)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(Input::End),
        }
    }

    /// Reads from the connection once, and decrypts.
    fn read_sealed(&mut self) -> Input {
        match self.tls.read_tls(&mut Sealed(&mut self.socket)) {
            Ok(0) => {
                if self.tls.is_handshaking() {
                    self.failure = Some("the client hung up in the handshake".into());
                }
                return Input::End;
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Input::Later,
            Err(_) => return Input::End,
        }
        match self.tls.process_new_packets() {
            Ok(_) => Input::Bytes(0),
            Err(error) => {
                self.failure = Some(cause(&error));
                Input::End
            }
        }
    }

    /// Writes what TLS itself has to write, too.
    fn write_sealed(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(self.socket.buffer())?;
        }
        self.socket.write()?;
        Ok(())
    }
}

impl Channel for TlsSocket {
    fn handle_event(&mut self, event: &Event) {
        self.socket.handle_event(event);
    }

    fn is_readable(&self) -> bool {
        self.socket.is_readable()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Input {
        if let Some(input) = self.read_plain(buffer) {
            return input;
        }
        match self.read_sealed() {
            Input::Bytes(_) => self.read_plain(buffer).unwrap_or(Input::Bytes(0)),
            none @ (Input::Later | Input::End) => none,
        }
    }

    fn empty_buffer(&mut self) -> Option<&mut Vec<u8>> {
        let takes = self.is_flushed() && !self.tls.is_handshaking();
        takes.then_some(&mut self.plain)
    }

    fn is_flushed(&self) -> bool {
        self.plain.is_empty() && self.socket.is_flushed() && !self.tls.wants_write()
    }

    fn write(&mut self) -> io::Result<usize> {
        if !self.is_sealed && !self.plain.is_empty() {
            self.tls.writer().write_all(&self.plain)?;
            self.is_sealed = true;
        }
        self.write_sealed()?;
        if !self.is_sealed || !self.socket.is_flushed() {
            return Ok(0);
        }
        let written = self.plain.len();
        self.plain.clear();
        self.is_sealed = false;
        Ok(written)
    }

    /// Says why, or goodbye, as far as that goes at once.
    fn finish(mut self: Box<Self>) -> (Socket, Option<String>) {
        if self.tls.is_handshaking() && self.failure.is_none() {
            self.failure = Some("the handshake was not completed".into());
        }
        self.tls.send_close_notify();
        let _ = self.write_sealed();
        self.socket.shut();
        (self.socket, self.failure)
    }
}

/// The connection, to read from.
struct Sealed<'a>(&'a mut Socket);

impl Read for Sealed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer) {
            Input::Bytes(n) => Ok(n),
            Input::Later => Err(ErrorKind::WouldBlock.into()),
            Input::End => Ok(0),
        }
    }
}

fn cause(error: &Error) -> String {
    if *error == Error::InvalidMessage(InvalidMessage::InvalidContentType) {
        return "what the client sent is not TLS".into();
    }
    error.to_string()
}
