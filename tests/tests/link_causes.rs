//! What a link ended of, when all there is to go by is what a server's first bytes were and how
//! the transport ended.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use kaa_proto::client::{Client, Options, Transport, Turn};
use kaa_proto::connection::{Event, LinkError};
use kaa_proto::tls::{self, TlsError};
use kaa_tests::certificates::Authority;
use kaa_tests::clock::Clock;

/// A server that says something and then ends like this; `None`: it closes.
struct Server {
    says: &'static [u8],
    ends: Option<io::ErrorKind>,
}

impl Transport for Server {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match (self.says, self.ends) {
            ([], None) => Ok(0),
            ([], Some(kind)) => Err(kind.into()),
            _ => io::Read::read(&mut self.says, block),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the first link to such a server is said to have ended of.
fn cause(url: &str, says: &'static [u8], ends: Option<io::ErrorKind>) -> LinkError {
    let trusted = Authority::new("Root").certificate_pem();
    let mut options = Options::new(url)
        .unwrap()
        .tls(tls::Options::new().ca(trusted));
    let no_file = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
    options.load_tls(no_file, Vec::new).unwrap();
    let clock = Arc::new(Mutex::new(Clock::new()));
    let now = move || clock.lock().unwrap().now();
    let (client, mut driver) = Client::new(options, 1, 2, now).unwrap();
    let mut events = client.link_events();
    let mut transport = None;
    let Turn::Dial { link, .. } = driver.turn(Waker::noop(), &mut transport) else {
        panic!("it dials at once");
    };
    transport = Some(Server { says, ends });
    driver.handle_connected(link);
    while driver.turn(Waker::noop(), &mut transport) == Turn::Again {}
    std::iter::from_fn(|| events.try_next())
        .find_map(|event| match event {
            Event::LinkLost { error, .. } => Some(error),
            _ => None,
        })
        .unwrap()
}

const PLAIN: &str = "mqtt://localhost";
const TLS: &str = "mqtts://localhost";

#[test]
fn a_server_that_speaks_something_else_at_a_port_for_tls_is_told() {
    for says in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x20\x02\x00\x05",
    ] {
        let found = cause(TLS, says, None);
        assert_eq!(found, LinkError::Tls(TlsError::NotTls), "{says:?}");
    }
}

/// It speaks TLS, so a person who is told to look for another port would look in vain.
#[test]
fn a_server_whose_handshake_is_broken_or_too_large_speaks_tls_all_the_same() {
    // A certificate message of 65,536 bytes; a ServerHello of one byte.
    for says in [
        &b"\x16\x03\x03\x00\x05\x0b\x01\x00\x00\x00"[..],
        b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x03",
    ] {
        let found = cause(TLS, says, Some(io::ErrorKind::WouldBlock));
        let LinkError::Tls(TlsError::Other(_)) = found else {
            panic!("it is told as {found}");
        };
    }
}

#[test]
fn a_server_with_tls_at_a_port_for_plain_mqtt_is_told() {
    for says in [&b"\x15\x03\x01\x00\x02\x02\x46"[..], b"\x16\x03\x03"] {
        assert_eq!(cause(PLAIN, says, None), LinkError::TlsWanted);
    }
}

#[test]
fn a_server_that_hangs_up_at_once_is_not_the_same_as_a_network_that_fails() {
    use io::ErrorKind as Kind;
    let hang_ups = [None, Some(Kind::ConnectionReset), Some(Kind::BrokenPipe)];
    for ends in hang_ups {
        assert_eq!(cause(PLAIN, b"", ends), LinkError::Unwelcome);
        assert_eq!(cause(TLS, b"", ends), LinkError::Tls(TlsError::Cut));
    }
    for kind in [Kind::TimedOut, Kind::HostUnreachable, Kind::NetworkDown] {
        for url in [PLAIN, TLS] {
            let LinkError::Transport(found) = cause(url, b"", Some(kind)) else {
                panic!("{kind:?} is told as something else");
            };
            assert_eq!(found.kind(), kind);
        }
    }
}
