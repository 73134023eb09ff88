//! Ports for servers that must come back on the same one.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below what systems give out by themselves, so that nobody gets one while its server is down.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port of 127.0.0.1 that nobody listens on, and that this function has not given out before.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<u16> {
    Ok(Reserved::new()?.port)
}

/// A port of 127.0.0.1 that no test gets while this lives, not even one of another process, though
/// nobody may be listening on it.
#[derive(Debug)]
pub struct Reserved {
    port: u16,
    /// UDP has ports of its own; those of our numbers say which numbers are taken.
    _held: UdpSocket,
}

impl Reserved {
    /// A free one.
    ///
    /// # Errors
    /// There is none.
    pub fn new() -> io::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes that run at the same time begin at different places.
        let start = u16::try_from(process::id() % 97).unwrap_or_default() * 103;
        for _ in 0..COUNT {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let port = FIRST + offset;
            let Ok(held) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self { port, _held: held });
            }
        }
        Err(io::Error::new(ErrorKind::AddrInUse, "no port is free"))
    }

    /// Its number.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}
