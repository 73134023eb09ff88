//! The I/O loop: one thread, one nonblocking socket, no timer but the core's.

use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Instant;

use kaa_proto::client::{Driver, Target, Turn};
use kaa_proto::connection::LinkId;
use mio::{Events, Poll, Token};

use crate::dial::{Connector, Dial};
use crate::stream::Registered;

const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);

pub(crate) struct Loop {
    pub(crate) driver: Driver,
    pub(crate) target: Target,
    pub(crate) connector: Arc<Connector>,
    /// The dial under way.
    pub(crate) dial: Option<(LinkId, Dial)>,
    pub(crate) socket: Option<Registered>,
    pub(crate) selector: Poll,
}

impl Loop {
    /// Runs until the client is closed.
    ///
    /// # Errors
    /// That of the selector, which ends it too; then all that waits ends as closed.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let waker = mio::Waker::new(self.selector.registry(), WAKER)?;
        let waker = Waker::from(Arc::new(Bell(waker)));
        let mut events = Events::with_capacity(8);
        loop {
            let until = match self.driver.turn(&waker, &mut self.socket) {
                Turn::Finished => return Ok(()),
                Turn::Again => Some(Instant::now()),
                Turn::Dial { link, .. } if self.dial(link, &waker) => continue,
                Turn::Dial { until, .. } => until,
                Turn::Wait { until } => {
                    self.dial = None;
                    until
                }
            };
            let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
            match self.selector.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in events.iter().filter(|event| event.token() == SOCKET) {
                if let Some(socket) = &mut self.socket {
                    socket.handle_event(event);
                }
            }
            events.clear();
        }
    }

    /// Goes on dialing, or begins; whether that has come to something.
    fn dial(&mut self, link: LinkId, waker: &Waker) -> bool {
        let of_link = self.dial.take().filter(|(of, _)| *of == link);
        let begin = || (link, Dial::start(&self.connector, &self.target, waker));
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

/// Wakes the loop from another thread.
struct Bell(mio::Waker);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // A loop that has ended needs no waking.
        let _ = self.0.wake();
    }
}
