//! The I/O loop: one thread, one nonblocking socket, no timer but the core's.

use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use kaa_proto::client::{Driver, Turn};
use kaa_proto::connection::LinkId;
use mio::{Events, Poll, Token};

use crate::dial::{Connector, Dial};
use crate::stream::{Registered, Stream};

const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);

pub(crate) struct Loop {
    driver: Driver,
    connector: Arc<Connector<Stream>>,
    /// The dial under way.
    dial: Option<(LinkId, Dial<Stream>)>,
    socket: Option<Registered>,
    selector: Poll,
    waker: Waker,
}

impl Loop {
    pub(crate) fn new(driver: Driver, connector: Arc<Connector<Stream>>) -> io::Result<Self> {
        let selector = Poll::new()?;
        let bell = Bell(mio::Waker::new(selector.registry(), WAKER)?);
        Ok(Self {
            driver,
            connector,
            dial: None,
            socket: None,
            selector,
            waker: Waker::from(Arc::new(bell)),
        })
    }

    /// Runs until the client is closed. An error of the selector ends it too; then all that waits
    /// ends as closed.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(8);
        loop {
            let until = match self.driver.turn(&self.waker, &mut self.socket) {
                Turn::Finished => return,
                Turn::Again => Some(Instant::now()),
                Turn::Dial { link, .. } if self.dial(link) => continue,
                Turn::Dial { until, .. } => until,
                Turn::Wait { until } => {
                    self.dial = None;
                    until
                }
            };
            let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            let waited = self.selector.poll(&mut events, timeout);
            if waited.is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                return;
            }
            if let Some(socket) = &mut self.socket {
                let of_socket = events.iter().filter(|event| event.token() == SOCKET);
                of_socket.for_each(|event| socket.handle_event(event));
            }
        }
    }

    /// Goes on dialing, or begins; whether that has come to something.
    fn dial(&mut self, link: LinkId) -> bool {
        let of_link = self.dial.take().filter(|(of, _)| *of == link);
        let begin = || (link, Dial::start(&self.connector, &self.waker));
        let (_, dial) = self.dial.insert(of_link.unwrap_or_else(begin));
        let Some(result) = dial.poll() else {
            return false;
        };
        self.dial = None;
        match result.and_then(|stream| Registered::new(stream, self.selector.registry(), SOCKET)) {
            Ok(connected) => {
                self.socket = Some(connected);
                self.driver.handle_connected(link);
            }
            Err(error) => self.driver.handle_failed(link, &error),
        }
        true
    }
}

/// Wakes a loop from another thread.
pub(crate) struct Bell<W>(pub(crate) W);

impl<W: std::borrow::Borrow<mio::Waker> + Send + Sync + 'static> Wake for Bell<W> {
    fn wake(self: Arc<Self>) {
        // A loop that has ended needs no waking.
        let _ = self.0.borrow().wake();
    }
}
