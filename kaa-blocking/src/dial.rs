//! One dial: the name is resolved on a short-lived thread, then every address is tried.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use kaa_proto::client::Target;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token, Waker};

/// How long one address may take before the next one is tried, where there are more.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_secs(5);

/// A dial under way. Dropping it gives it up.
pub(crate) struct Dial {
    state: State,
    /// Addresses not yet tried, the next one last.
    left: Vec<SocketAddr>,
    /// Why the last address failed.
    error: Option<io::Error>,
}

enum State {
    /// The resolver works; it wakes the loop when it is done.
    ///
    /// Exits: `Connecting`; failed.
    Resolving(Receiver<io::Result<Vec<SocketAddr>>>),
    /// An address is being tried, until the instant if there are others.
    ///
    /// Exits: connected; `Connecting` to the next one; failed.
    Connecting(TcpStream, Option<Instant>),
    /// No address is being tried.
    ///
    /// Exits: `Connecting`; failed.
    Idle,
}

/// Where a dial stands.
pub(crate) enum Progress {
    /// Look again when something happens, or at this instant.
    Pending(Option<Instant>),
    /// Here is the connection, registered already.
    Connected(TcpStream),
    /// Every address failed.
    Failed(io::Error),
}

impl Dial {
    /// Begins. `waker` wakes the loop when the name is resolved.
    pub(crate) fn start(target: &Target, waker: &Arc<Waker>) -> Self {
        let (host, port) = (target.host(), target.port());
        let (state, left) = match host.parse::<IpAddr>() {
            Ok(ip) => (State::Idle, vec![SocketAddr::new(ip, port)]),
            Err(_) => (
                State::Resolving(resolve(host.to_owned(), port, Arc::clone(waker))),
                vec![],
            ),
        };
        Self {
            state,
            left,
            error: None,
        }
    }

    /// Looks where it stands. `is_writable`: the socket under way said so.
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        registry: &Registry,
        token: Token,
        is_writable: bool,
    ) -> Progress {
        loop {
            match std::mem::replace(&mut self.state, State::Idle) {
                State::Resolving(receiver) => match receiver.try_recv() {
                    Ok(Ok(addresses)) => self.left = addresses.into_iter().rev().collect(),
                    Ok(Err(error)) => return Progress::Failed(error),
                    Err(TryRecvError::Empty) => {
                        self.state = State::Resolving(receiver);
                        return Progress::Pending(None);
                    }
                    Err(TryRecvError::Disconnected) => {
                        return Progress::Failed(io::Error::other("the resolver failed"));
                    }
                },
                State::Connecting(stream, until) => match outcome(&stream, is_writable) {
                    Ok(true) => return Progress::Connected(stream),
                    Ok(false) if until.is_some_and(|until| until <= now) => {
                        self.error = Some(io::ErrorKind::TimedOut.into());
                    }
                    Ok(false) => {
                        self.state = State::Connecting(stream, until);
                        return Progress::Pending(until);
                    }
                    Err(error) => self.error = Some(error),
                },
                State::Idle => {
                    let Some(address) = self.left.pop() else {
                        let none = || io::Error::new(io::ErrorKind::NotFound, "no address");
                        return Progress::Failed(self.error.take().unwrap_or_else(none));
                    };
                    match connect(address, registry, token) {
                        Ok(stream) => {
                            let more = !self.left.is_empty();
                            let until = more.then(|| now + NEXT_ADDRESS_AFTER);
                            self.state = State::Connecting(stream, until);
                            return Progress::Pending(until);
                        }
                        Err(error) => self.error = Some(error),
                    }
                }
            }
        }
    }
}

fn resolve(host: String, port: u16, waker: Arc<Waker>) -> Receiver<io::Result<Vec<SocketAddr>>> {
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let found = (host.as_str(), port)
            .to_socket_addrs()
            .map(Iterator::collect);
        // Nobody listens if the dial was given up.
        let _ = sender.send(found);
        let _ = waker.wake();
    };
    // If there is no thread to be had, the sender is dropped, and the dial fails.
    let _ = thread::Builder::new()
        .name("kaa-resolve".into())
        .spawn(work);
    receiver
}

fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}

/// Whether the connection is there.
fn outcome(stream: &TcpStream, is_writable: bool) -> io::Result<bool> {
    if !is_writable {
        return Ok(false);
    }
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use mio::{Events, Poll};

    use super::*;

    /// An address where nobody listens is no reason to give the others up.
    #[test]
    fn each_address_is_tried_until_one_connects() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (listener, gone) = (
            TcpListener::bind(here).unwrap(),
            TcpListener::bind(here).unwrap(),
        );
        let (live, dead) = (listener.local_addr().unwrap(), gone.local_addr().unwrap());
        drop(gone);
        for (left, connects) in [(vec![live, dead], true), (vec![dead, dead], false)] {
            let mut poll = Poll::new().unwrap();
            let mut events = Events::with_capacity(8);
            let mut dial = Dial {
                state: State::Idle,
                left,
                error: None,
            };
            let mut is_writable = false;
            let connected = loop {
                match dial.poll(Instant::now(), poll.registry(), Token(1), is_writable) {
                    Progress::Pending(_) => poll.poll(&mut events, None).unwrap(),
                    Progress::Connected(stream) => break stream.peer_addr().ok(),
                    Progress::Failed(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                        break None;
                    }
                }
                is_writable = !events.is_empty();
            };
            assert_eq!(connected, connects.then_some(live));
        }
    }
}
