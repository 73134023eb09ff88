//! The I/O loop: one thread, one nonblocking socket, no timer but the core's.

use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use kaa_proto::client::{Driver, Target, Turn};
use kaa_proto::connection::LinkId;
use mio::{Events, Poll, Token};

use crate::dial::{Connector, Dial};
use crate::stream::Socket;

const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);

pub(crate) struct Loop {
    driver: Driver,
    target: Target,
    connector: Arc<Connector>,
    poll: Poll,
    waker: Waker,
}

impl Loop {
    pub(crate) fn new(
        driver: Driver,
        target: Target,
        connector: Arc<Connector>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        Ok(Self {
            driver,
            target,
            connector,
            poll,
            waker: Waker::from(Arc::new(Bell(waker))),
        })
    }

    /// Runs until the client is closed. An error of the selector itself ends it too; then all
    /// that waits ends as closed.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(8);
        let mut socket = None;
        let mut dial = None;
        loop {
            let until = match self.driver.turn(&self.waker, &mut socket) {
                Turn::Finished => return,
                Turn::Again => Some(Instant::now()),
                Turn::Wait { until } => {
                    dial = None;
                    until
                }
                Turn::Dial { link, until } => {
                    if self.dial(link, &mut dial, &mut socket) {
                        continue;
                    }
                    until
                }
            };
            let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
            if let Some(socket) = &mut socket {
                let of_socket = events.iter().filter(|event| event.token() == SOCKET);
                of_socket.for_each(|event| socket.handle_event(event));
            }
            events.clear();
        }
    }

    /// Goes on dialing; whether it has come to something.
    fn dial(
        &mut self,
        link: LinkId,
        dial: &mut Option<(LinkId, Dial)>,
        socket: &mut Option<Socket>,
    ) -> bool {
        let of_link = dial.take().filter(|(of, _)| *of == link);
        let (_, under_way) = dial.insert(of_link.unwrap_or_else(|| {
            let begun = Dial::start(&self.connector, &self.target, &self.waker);
            (link, begun)
        }));
        let Some(result) = under_way.poll() else {
            return false;
        };
        *dial = None;
        match result.and_then(|stream| Socket::new(stream, self.poll.registry(), SOCKET)) {
            Ok(connected) => {
                *socket = Some(connected);
                self.driver.handle_connected(link);
            }
            Err(error) => self.driver.handle_failed(link, &error),
        }
        true
    }
}

/// Wakes the loop from another thread.
struct Bell(mio::Waker);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // A loop that has ended needs no waking.
        let _ = self.0.wake();
    }
}
