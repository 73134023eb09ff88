//! A TCP listener that survives want of descriptors.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

/// How long no connection is accepted after that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// The listener.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    addr: SocketAddr,
    /// When to accept next; `None`: when the listener says so.
    accept_at: Option<Instant>,
}

impl Door {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(super) fn bind(addr: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut listener = TcpListener::bind(addr)?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            addr: listener.local_addr()?,
            listener,
            accept_at: None,
        })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Somebody is there.
    pub(super) const fn handle_event(&mut self, now: Instant) {
        self.accept_at = Some(now);
    }

    /// The next connection, if there is one.
    ///
    /// # Errors
    /// Says why there is none; it is tried again after a pause.
    pub(super) fn accept(&mut self, now: Instant) -> Result<Option<TcpStream>, String> {
        while self.accept_at.is_some_and(|at| at <= now) {
            match self.listener.accept() {
                Ok((stream, _)) => return Ok(Some(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.accept_at = None,
                // The client was quicker to leave than it was accepted.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.accept_at = Some(now + PAUSE);
                    return Err(format!("no connection can be accepted: {error}"));
                }
            }
        }
        Ok(None)
    }

    /// When to accept again even if the listener says nothing.
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.accept_at
    }
}
