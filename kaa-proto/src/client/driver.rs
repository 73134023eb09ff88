//! The side of the client that a binding's I/O loop holds.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::channel::{Channel, Exchanged};
use super::layer::Security;
use super::shared::Shared;
use super::{StoreWriter, Transport};
use crate::connection::{Connection, Demand, LinkError, LinkId, TransportError};

/// Does the work of one client: all of it but opening transports and sleeping, which is the
/// binding's. A binding owns it, has room for one transport, and runs this loop:
///
/// ```text
/// loop {
///   match driver.turn(waker, &mut transport) {
///     Dial { link, until } → go on dialing for `link`, or begin; when there is a transport, store
///                            it and say handle_connected, else say handle_failed;
///                            wait for that, for the waker, and until `until`
///     Wait { until }       → give up any dial; wait for what the transport said would block, for
///                            the waker, and until `until`
///     Again                → let others run, and go on
///     Finished             → return
///   }
/// }
/// ```
///
/// It looks at the clock itself: a wait that ends early or late does no harm. Dropping it ends
/// everything that waits as closed.
pub struct Driver {
    shared: Arc<Shared>,
    security: Security,
    /// What stands between the connection and the transport, while there is one.
    channel: Option<Channel>,
    /// Whether those who wait run on the thread that turns it.
    is_on_shared_thread: bool,
    /// Until a binding takes it.
    writer: Option<StoreWriter>,
}

/// What a binding does next; see [`Driver`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A transport is wanted.
    Dial {
        /// For this link. A dial or a transport of any other is given up.
        link: LinkId,
        /// Turn again at this instant at the latest.
        until: Option<Instant>,
    },
    /// Nothing can be done now. No dial is wanted.
    Wait {
        /// Turn again at this instant at the latest.
        until: Option<Instant>,
    },
    /// There is more to do, after others had their turn.
    Again,
    /// The client is closed. There is no transport, and there will be none.
    Finished,
}

impl Driver {
    pub(super) const fn new(
        shared: Arc<Shared>,
        security: Security,
        writer: Option<StoreWriter>,
    ) -> Self {
        Self {
            shared,
            security,
            channel: None,
            is_on_shared_thread: false,
            writer,
        }
    }

    /// Those who are woken get their turn by [`Turn::Again`]: they run on the same thread. On another
    /// one they would hardly have begun by then.
    pub(super) const fn share_thread(&mut self) {
        self.is_on_shared_thread = true;
    }

    /// Starts the thread that writes the store, if the client has one: [`StoreWriter::start`].
    ///
    /// # Errors
    /// The operating system's, if it has no thread.
    pub fn start_store_writer(&mut self) -> io::Result<()> {
        self.writer.take().map_or(Ok(()), StoreWriter::start)
    }

    /// The work of the store, once, if the client has one: to be run on a thread of its own. It ends
    /// by itself when the client closes and everything is written; the driver waits for that, for at
    /// most five seconds.
    #[must_use = "until it runs, everything waits that has to be stored first"]
    pub const fn take_store_writer(&mut self) -> Option<StoreWriter> {
        self.writer.take()
    }

    /// Moves what can be moved: at most 20 KiB from the transport, and to it what it takes, up to
    /// 256 KiB. Then looks at the clock. Drops the transport when it is not wanted any more.
    ///
    /// `waker` is woken once when one of the handles made work, or time is shorter than it was.
    pub fn turn<T: Transport>(&mut self, waker: &Waker, transport: &mut Option<T>) -> Turn {
        self.shared.register(waker);
        loop {
            let demand = self.shared.look(Connection::demand);
            if !self.channel.as_ref().is_some_and(|c| c.serves(demand)) {
                self.channel = None;
                *transport = None;
            }
            let exchanged = self.work(demand, transport);
            if exchanged == Exchanged::Yielded {
                return Turn::Again;
            }
            if demand == Demand::Finished {
                // A writer that nobody has taken.
                self.writer = None;
            }
            let until = self.deadline();
            if until.is_some_and(|until| until <= self.shared.now()) {
                self.shared
                    .update(|state, now| state.connection.handle_timeout(now));
                continue;
            }
            if self.shared.look(Connection::demand) != demand {
                // What was done asks for something else at once.
                continue;
            }
            return match (demand, exchanged) {
                // Its records may still be on their way to the store, which is closed then.
                (Demand::Finished, _) if !self.shared.is_over() => Turn::Wait { until },
                (Demand::Finished, _) => Turn::Finished,
                (Demand::Dial(link), _) if self.channel.is_none() => Turn::Dial { link, until },
                (_, Exchanged::Some | Exchanged::Yielded) => Turn::Again,
                (_, Exchanged::All) => Turn::Wait { until },
            };
        }
    }

    /// The transport of `link` is there; the next [`turn`](Self::turn) finds it in its place.
    pub fn handle_connected(&mut self, link: LinkId) {
        if self.shared.look(Connection::demand) != Demand::Dial(link) {
            // It came too late. The next turn drops it.
            return;
        }
        match self.security.layer() {
            Ok(layer) => {
                let channel =
                    self.channel
                        .insert(Channel::new(link, layer, self.is_on_shared_thread));
                channel.announce(&self.shared);
            }
            Err(error) => self.lose(link, error),
        }
    }

    /// No transport could be made for `link`. What is said of an earlier one is ignored.
    pub fn handle_failed(&mut self, link: LinkId, error: &io::Error) {
        self.lose(link, LinkError::Dial(TransportError::from(error)));
    }

    /// Does what is demanded, with the transport there is.
    fn work<T: Transport>(&mut self, demand: Demand, transport: &mut Option<T>) -> Exchanged {
        let (link, done) = match (demand, &mut self.channel, transport.as_mut()) {
            (Demand::Dial(link) | Demand::Exchange(link), Some(channel), Some(transport)) => {
                (link, channel.exchange(&self.shared, transport))
            }
            (Demand::HangUp(link), Some(channel), Some(transport)) => {
                (link, channel.hang_up(&self.shared, transport))
            }
            // The binding has lost it.
            (Demand::Dial(link), Some(_), None) | (Demand::Exchange(link), ..) => {
                (link, Err(LinkError::Eof))
            }
            (Demand::HangUp(link) | Demand::Abandon(link), ..) => (link, Err(LinkError::Closed)),
            (Demand::Dial(_) | Demand::Rest | Demand::Finished, ..) => return Exchanged::All,
        };
        done.unwrap_or_else(|cause| {
            *transport = None;
            self.lose(link, cause);
            Exchanged::All
        })
    }

    fn lose(&mut self, link: LinkId, cause: LinkError) {
        if self.channel.as_ref().is_some_and(|c| c.link() == link) {
            self.channel = None;
        }
        self.shared
            .update(|state, now| state.connection.handle_disconnected(now, link, cause));
    }

    /// When to look at the clock again.
    fn deadline(&self) -> Option<Instant> {
        let of_channel = self.channel.as_ref().and_then(Channel::poll_timeout);
        let of_core = self.shared.poll_timeout();
        of_core.into_iter().chain(of_channel).min()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("demand", &self.shared.look(Connection::demand))
            .finish_non_exhaustive()
    }
}
