//! The I/O loop: one thread, one nonblocking socket, no timer but the core's.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kaa_proto::client::{Driver, Target};
use kaa_proto::connection::{Demand, LinkError, LinkId, TransportError};
use mio::net::TcpStream;
use mio::{Events, Poll, Token, Waker};

use crate::dial::{Dial, Progress};

/// At most this is fed before timers are looked at again.
const READ_BLOCK: usize = 16 * 1024;

/// How long the goodbye of a link may take to be written, and answered by the server's close.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

pub(crate) const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);

pub(crate) struct Loop {
    driver: Driver,
    target: Target,
    poll: Poll,
    waker: Arc<Waker>,
    transport: Transport,
    /// The socket may have bytes.
    is_readable: bool,
    /// The socket may have room.
    is_writable: bool,
    /// What is to be written; the first `written` bytes are.
    out: Vec<u8>,
    written: usize,
    /// Set while we hang up: until when that may take.
    goodbye_until: Option<Instant>,
    input: Box<[u8]>,
}

/// What there is of a transport.
enum Transport {
    /// Exits: `Dialing` on demand.
    None,
    /// Exits: `Open` when connected; `None` on failure, or when it is not wanted any more.
    Dialing(LinkId, Dial),
    /// Exits: `None` when it fails, is closed, or is not wanted any more.
    Open(LinkId, TcpStream),
}

impl Loop {
    pub(crate) fn new(driver: Driver, target: Target, poll: Poll, waker: Arc<Waker>) -> Self {
        Self {
            driver,
            target,
            poll,
            waker,
            transport: Transport::None,
            is_readable: false,
            is_writable: false,
            out: Vec::new(),
            written: 0,
            goodbye_until: None,
            input: vec![0; READ_BLOCK].into(),
        }
    }

    /// Runs until the client is closed. An error of the selector itself ends it too; then all
    /// that waits ends as closed.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(8);
        loop {
            let demand = self.driver.demand();
            let look_again_at = match demand {
                Demand::Finished => return,
                Demand::Dial(link) => self.dial(link),
                Demand::Exchange(link) => {
                    self.exchange(link);
                    None
                }
                Demand::HangUp(link) => self.hang_up(link),
                Demand::Abandon(link) => {
                    self.lose(link, LinkError::Closed);
                    None
                }
                Demand::Rest => {
                    self.drop_transport();
                    None
                }
            };
            if self.driver.demand() != demand {
                // What was done asks for something else at once, which nothing would wake us for.
                continue;
            }
            let now = Instant::now();
            let deadline = self
                .driver
                .poll_timeout()
                .into_iter()
                .chain(look_again_at)
                .min();
            let timeout = match self.has_work() {
                true => Some(Duration::ZERO),
                false => deadline.map(|deadline| deadline.saturating_duration_since(now)),
            };
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
            for event in events.iter().filter(|event| event.token() == SOCKET) {
                self.is_readable |=
                    event.is_readable() || event.is_read_closed() || event.is_error();
                self.is_writable |=
                    event.is_writable() || event.is_write_closed() || event.is_error();
            }
            events.clear();
            // The clock decides what is over, not the wait that ended.
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                // After a stall of the whole process, what came in time is in the socket.
                if let (true, Demand::Exchange(link)) = (self.is_readable, self.driver.demand()) {
                    self.exchange(link);
                }
                self.driver.handle_timeout();
            }
        }
    }

    /// Whether there is something to do without waiting.
    fn has_work(&self) -> bool {
        let Transport::Open(..) = self.transport else {
            return false;
        };
        self.is_readable && (self.goodbye_until.is_some() || self.driver.wants_input())
            || self.is_writable && self.written < self.out.len()
    }

    /// Works on a dial; when to look again if nothing happens.
    fn dial(&mut self, link: LinkId) -> Option<Instant> {
        if !matches!(self.transport, Transport::Dialing(of, _) if of == link) {
            self.drop_transport();
            self.transport = Transport::Dialing(link, Dial::start(&self.target, &self.waker));
        }
        let Transport::Dialing(_, dial) = &mut self.transport else {
            return None;
        };
        let is_writable = std::mem::take(&mut self.is_writable);
        match dial.poll(Instant::now(), self.poll.registry(), SOCKET, is_writable) {
            Progress::Pending(again_at) => return again_at,
            Progress::Connected(stream) => {
                // Without it each small message waits for the answer to the one before.
                let _ = stream.set_nodelay(true);
                self.transport = Transport::Open(link, stream);
                (self.is_readable, self.is_writable) = (true, true);
                self.driver.handle_connected(link);
                self.exchange(link);
            }
            Progress::Failed(error) => {
                self.transport = Transport::None;
                let cause = LinkError::Dial(TransportError::from(&error));
                self.driver.handle_disconnected(link, cause);
            }
        }
        None
    }

    /// Writes what there is to write, then reads one block.
    fn exchange(&mut self, link: LinkId) {
        let Transport::Open(of, stream) = &mut self.transport else {
            // The transport was lost, and the core does not know it yet.
            self.driver.handle_disconnected(link, LinkError::Eof);
            return;
        };
        debug_assert_eq!(*of, link);
        if self.is_readable && self.driver.wants_input() {
            match stream.read(&mut self.input) {
                Ok(0) => return self.lose(link, LinkError::Eof),
                Ok(n) => {
                    let read = self.input.get(..n).unwrap_or_default();
                    self.driver.handle_input(link, read);
                }
                Err(error) if is_transient(&error) => {
                    self.is_readable = error.kind() == io::ErrorKind::Interrupted;
                }
                Err(error) => return self.lose(link, LinkError::Transport((&error).into())),
            }
        }
        if let Err(error) = self.write(link) {
            self.lose(link, LinkError::Transport((&error).into()));
        }
    }

    fn write(&mut self, link: LinkId) -> io::Result<()> {
        let Transport::Open(_, stream) = &mut self.transport else {
            return Ok(());
        };
        loop {
            if self.written == self.out.len() {
                self.out.clear();
                self.written = 0;
                if self.driver.poll_transmit(&mut self.out) == 0 {
                    // An idle link holds no buffer.
                    self.out = Vec::new();
                    return Ok(());
                }
            }
            if !self.is_writable {
                return Ok(());
            }
            match stream.write(self.out.get(self.written..).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n;
                    self.driver.handle_written(link, n);
                }
                Err(error) if is_transient(&error) => {
                    self.is_writable = error.kind() == io::ErrorKind::Interrupted;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Says goodbye and closes; when to look again at the latest.
    fn hang_up(&mut self, link: LinkId) -> Option<Instant> {
        let now = Instant::now();
        let until = *self.goodbye_until.get_or_insert(now + GOODBYE_WITHIN);
        match self.say_goodbye(link) {
            Ok(false) if now < until => Some(until),
            _ => {
                self.lose(link, LinkError::Closed);
                None
            }
        }
    }

    /// Writes what is left, closes our side, and reads until the server has closed its own: bytes
    /// that nobody reads make the system reset the connection, and the server may then never see
    /// what we wrote last. Whether it is done.
    fn say_goodbye(&mut self, link: LinkId) -> io::Result<bool> {
        self.write(link)?;
        let Transport::Open(_, stream) = &mut self.transport else {
            return Ok(true);
        };
        if self.written < self.out.len() {
            return Ok(false);
        }
        stream.shutdown(Shutdown::Write)?;
        if self.is_readable {
            match stream.read(&mut self.input) {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if is_transient(&error) => {
                    self.is_readable = error.kind() == io::ErrorKind::Interrupted;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn lose(&mut self, link: LinkId, cause: LinkError) {
        self.drop_transport();
        self.driver.handle_disconnected(link, cause);
    }

    /// Closing the socket deregisters it.
    fn drop_transport(&mut self) {
        self.transport = Transport::None;
        (self.is_readable, self.is_writable) = (false, false);
        self.out = Vec::new();
        self.written = 0;
        self.goodbye_until = None;
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
