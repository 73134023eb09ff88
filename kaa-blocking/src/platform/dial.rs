//! Reaching a broker: names are resolved and connections made on a short-lived thread, so that
//! the engine's own thread never waits for them.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use mio::Waker;

/// How long one address may take to answer.
const ADDRESS_WITHIN: Duration = Duration::from_secs(5);

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name or an address, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// Reads `mqtt://HOST[:PORT][/]`. The port is 1883 unless given.
    ///
    /// # Errors
    /// Says what is wrong; the URL is not repeated, it could hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let rest = url
            .strip_prefix("mqtt://")
            .ok_or("a broker's URL is mqtt://HOST:PORT")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err("user name and password do not belong into the URL");
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest
                    .split_once(']')
                    .ok_or("a bracket is missing in the URL")?;
                match after {
                    "" => (host, None),
                    _ => (
                        host,
                        Some(after.strip_prefix(':').ok_or("the port is no number")?),
                    ),
                }
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let is_name = !host.is_empty() && !host.contains(['/', '?', '#', ' ']);
        let port = port.map_or(Ok(1883), str::parse);
        match (is_name, port) {
            (false, _) => Err("the URL has no host, or more than one"),
            (true, Err(_) | Ok(0)) => Err("the port is no number from 1 to 65535"),
            (true, Ok(port)) => Ok(Self {
                host: host.into(),
                port,
            }),
        }
    }
}

/// An attempt to reach a broker.
#[derive(Debug)]
pub(super) struct Dial(Receiver<io::Result<TcpStream>>);

impl Dial {
    /// Begins; the waker tells when it has ended.
    ///
    /// # Errors
    /// No thread can be had.
    pub(super) fn start(target: Target, waker: Arc<Waker>) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let dial = move || {
            // Nobody may be waiting any more.
            let _ = sender.send(reach(&target));
            let _ = waker.wake();
        };
        thread::Builder::new()
            .name("kaa-platform-dial".into())
            .spawn(dial)?;
        Ok(Self(receiver))
    }

    /// How it ended, if it has.
    pub(super) fn poll(&self) -> Option<io::Result<TcpStream>> {
        match self.0.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(io::ErrorKind::Interrupted.into())),
        }
    }
}

/// Tries every address.
fn reach(target: &Target) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for addr in (target.host.as_str(), target.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, ADDRESS_WITHIN) {
            Ok(stream) => {
                stream.set_nonblocking(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_host_and_port() {
        for (url, host, port) in [
            ("mqtt://localhost", "localhost", 1883),
            ("mqtt://127.0.0.1:1884/", "127.0.0.1", 1884),
            ("mqtt://[::1]:1884", "::1", 1884),
            ("mqtt://[::1]", "::1", 1883),
        ] {
            let host = host.into();
            assert_eq!(Target::parse(url), Ok(Target { host, port }), "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for url in [
            "localhost:1883",
            "mqtts://localhost",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://a:0",
            "mqtt://a:b",
            "mqtt://a:1:2",
            "mqtt://a/b",
            "mqtt://u:secret@a",
            "mqtt://[::1",
            "mqtt://[::1]1",
        ] {
            let problem = Target::parse(url).unwrap_err();
            assert!(!problem.contains("secret"), "{url}");
        }
    }
}
