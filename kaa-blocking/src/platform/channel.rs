//! What a client's connection is to the platform, with TLS or without: bytes in, bytes out.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
#[cfg(feature = "tls")]
use std::net::{Ipv4Addr, Ipv6Addr};

use mio::event::Event;

use super::socket::Socket;
#[cfg(feature = "tls")]
use super::tls::LocalTls;
#[cfg(feature = "tls")]
use super::tls_socket::TlsSocket;

/// A nonblocking connection and the bytes that wait to be written on it.
pub(super) trait Channel: Debug + Send {
    fn handle_event(&mut self, event: &Event);

    /// Whether reading may give something.
    fn is_readable(&self) -> bool;

    /// Reads once.
    fn read(&mut self, buffer: &mut [u8]) -> Input;

    /// The buffer to fill, if bytes are taken and everything before was written.
    fn empty_buffer(&mut self) -> Option<&mut Vec<u8>>;

    /// Whether nothing waits to be written.
    fn is_flushed(&self) -> bool;

    /// Writes as much as the connection takes; returns how many bytes of the buffer are written
    /// now that were not before.
    ///
    /// # Errors
    /// The connection is broken.
    fn write(&mut self) -> io::Result<usize>;

    /// Says that nothing more comes; the peer may be gone already. Gives what is left to be closed,
    /// and what went wrong with TLS.
    fn finish(self: Box<Self>) -> (Socket, Option<String>);
}

/// What reading gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Input {
    /// That many bytes; none if what came was not for the platform. There may be more.
    Bytes(usize),
    /// Nothing yet.
    Later,
    /// The peer has closed its side, or the connection is broken.
    End,
}

/// How accepted connections are made channels.
#[derive(Clone, Debug)]
pub(super) enum Acceptor {
    /// As they are.
    Plain,
    /// Over TLS.
    #[cfg(feature = "tls")]
    Tls(LocalTls),
}

impl Acceptor {
    /// # Errors
    /// The connection is lost: there is no session for it.
    pub(super) fn accept(&self, socket: Socket) -> io::Result<Box<dyn Channel>> {
        match self {
            Self::Plain => Ok(Box::new(socket)),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Ok(Box::new(TlsSocket::new(socket, tls)?)),
        }
    }

    /// Where clients connect.
    pub(super) fn url(&self, addr: SocketAddr) -> String {
        match self {
            Self::Plain => format!("mqtt://{addr}"),
            #[cfg(feature = "tls")]
            Self::Tls(_) => {
                let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                match own.contains(&addr.ip()) || addr.ip().is_unspecified() {
                    true => format!("mqtts://localhost:{}", addr.port()),
                    false => format!("mqtts://{addr}"),
                }
            }
        }
    }
}
