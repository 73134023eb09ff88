//! The platform's own listener: connections on one side, [`PlatformServer`] on the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kaa_proto::platform::{LinkId, PlatformServer};
use mio::Registry;
use mio::event::Event;

use super::channel::{Acceptor, Channel, Input};
use super::door::Door;
use super::socket::Socket;
use super::tokens;

/// How long a connection that ends may take to write what is left, and then to be closed by its
/// client.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much is read from a connection before the others get their turn.
const CHUNK: usize = 16 * 1_024;

/// The listener and its connections.
#[derive(Debug)]
pub(super) struct Links {
    door: Door,
    acceptor: Acceptor,
    /// How many connections there can be.
    max_links: usize,
    /// Connections that the platform knows.
    open: BTreeMap<LinkId, Open>,
    /// Those of `open` and `leaving` from which reading may give something.
    readable: BTreeSet<LinkId>,
    /// Connections that are over for the platform, and when they are closed at the latest.
    leaving: BTreeMap<LinkId, (Socket, Instant)>,
    /// Connections whose TLS failed, and why, until somebody asks.
    failures: VecDeque<(LinkId, String)>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Open {
    channel: Box<dyn Channel>,
    /// Set when the platform has hung up: until when what is left can be written.
    flush_by: Option<Instant>,
}

impl Links {
    /// Listens.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(super) fn bind(
        addr: SocketAddr,
        acceptor: Acceptor,
        registry: &Registry,
        max_links: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            door: Door::bind(addr, registry, tokens::LISTENER)?,
            acceptor,
            max_links,
            open: BTreeMap::new(),
            readable: BTreeSet::new(),
            leaving: BTreeMap::new(),
            failures: VecDeque::new(),
            buffer: vec![0; CHUNK],
        })
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.door.addr()
    }

    /// Something became ready.
    pub(super) fn handle_event(&mut self, now: Instant, event: &Event) {
        if event.token() == tokens::LISTENER {
            self.door.handle_event(now);
            return;
        }
        let Some(id) = tokens::link(event.token()) else {
            return;
        };
        let channel: &mut dyn Channel = if let Some(open) = self.open.get_mut(&id) {
            &mut *open.channel
        } else if let Some((socket, _)) = self.leaving.get_mut(&id) {
            socket
        } else {
            return;
        };
        channel.handle_event(event);
        if channel.is_readable() {
            self.readable.insert(id);
        }
    }

    /// Accepts and reads, a bounded amount. Says what goes wrong with the listener.
    pub(super) fn take_in(
        &mut self,
        now: Instant,
        server: &mut PlatformServer,
        registry: &Registry,
    ) -> Option<String> {
        let trouble = self.accept(now, server, registry).err();
        for id in self.readable.clone() {
            if let Some(open) = self.open.get_mut(&id) {
                if !server.wants_input(id) && open.flush_by.is_none() {
                    continue;
                }
                match open.channel.read(&mut self.buffer) {
                    Input::Bytes(n) => {
                        let input = self.buffer.get(..n).unwrap_or_default();
                        server.handle_input(now, id, input);
                    }
                    Input::Later => _ = self.readable.remove(&id),
                    Input::End => self.close(now, server, id),
                }
            } else if let Some((socket, _)) = self.leaving.get_mut(&id) {
                match socket.read(&mut self.buffer) {
                    Input::Bytes(_) => {}
                    Input::Later => _ = self.readable.remove(&id),
                    Input::End => self.forget(id),
                }
            } else {
                self.readable.remove(&id);
            }
        }
        trouble
    }

    /// Writes what the platform has to say, and closes what it wants closed.
    pub(super) fn send_out(&mut self, now: Instant, server: &mut PlatformServer) {
        while let Some(id) = server.poll_hang_up() {
            if let Some(open) = self.open.get_mut(&id) {
                open.flush_by = Some(now + FAREWELL);
            }
        }
        let mut ended = Vec::new();
        for (&id, open) in &mut self.open {
            let is_broken = flush(now, server, id, &mut *open.channel).is_err();
            let is_done = open
                .flush_by
                .is_some_and(|by| open.channel.is_flushed() || by <= now);
            if is_broken || is_done {
                ended.push(id);
            }
        }
        for id in ended {
            self.close(now, server, id);
        }
        self.leaving.retain(|_, (_, until)| *until > now);
    }

    /// Says goodbye to everybody, as far as that goes at once.
    pub(super) fn finish(&mut self) {
        for (_, open) in mem::take(&mut self.open) {
            open.channel.finish();
        }
    }

    /// A connection whose TLS failed, and why. Each comes once.
    pub(super) fn poll_failure(&mut self) -> Option<(LinkId, String)> {
        self.failures.pop_front()
    }

    /// Whether there is something to read at once.
    pub(super) fn is_busy(&self, server: &PlatformServer) -> bool {
        let wanted = |id: &LinkId| {
            let open = self.open.get(id);
            open.is_none_or(|open| open.flush_by.is_some() || server.wants_input(*id))
        };
        self.readable.iter().any(wanted)
    }

    /// When there is something to do even if nothing becomes ready.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let flushing = self.open.values().filter_map(|open| open.flush_by);
        let leaving = self.leaving.values().map(|&(_, until)| until);
        flushing
            .chain(leaving)
            .chain(self.door.poll_timeout())
            .min()
    }

    /// Takes in everybody who is at the door.
    fn accept(
        &mut self,
        now: Instant,
        server: &mut PlatformServer,
        registry: &Registry,
    ) -> Result<(), String> {
        while let Some(stream) = self.door.accept(now)? {
            if self.open.len() + self.leaving.len() >= self.max_links {
                let max = self.max_links;
                return Err(format!("a connection was refused: there are {max} already"));
            }
            let id = server.handle_accepted(now);
            let socket = Socket::register(stream, registry, tokens::of_link(id));
            match socket.and_then(|socket| self.acceptor.accept(socket)) {
                Ok(channel) => {
                    let flush_by = None;
                    self.open.insert(id, Open { channel, flush_by });
                    self.readable.insert(id);
                }
                Err(error) => {
                    server.handle_closed(now, id);
                    return Err(format!("a connection was lost: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Ends a connection for the platform. What the client still sends is taken for a while: a
    /// reset could destroy what was written last.
    fn close(&mut self, now: Instant, server: &mut PlatformServer, id: LinkId) {
        let Some(Open { channel, .. }) = self.open.remove(&id) else {
            return;
        };
        let (socket, failure) = channel.finish();
        self.failures.extend(failure.map(|cause| (id, cause)));
        server.handle_closed(now, id);
        self.readable.insert(id);
        self.leaving.insert(id, (socket, now + FAREWELL));
    }

    fn forget(&mut self, id: LinkId) {
        self.leaving.remove(&id);
        self.readable.remove(&id);
    }
}

fn flush(
    now: Instant,
    server: &mut PlatformServer,
    id: LinkId,
    channel: &mut dyn Channel,
) -> io::Result<()> {
    loop {
        let buffer = channel.empty_buffer();
        let is_taken = buffer.is_some();
        if let Some(buffer) = buffer {
            server.poll_transmit(id, buffer);
        }
        match channel.write()? {
            // What TLS had to say stood in the way: the last words of the platform come now.
            0 if !is_taken && channel.empty_buffer().is_some() => {}
            0 => return Ok(()),
            written => server.handle_written(now, id, written),
        }
        if !channel.is_flushed() {
            return Ok(());
        }
    }
}
