//! The I/O loop of every asynchronous runtime, as a future.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::shared::apart;
use super::{Driver, Transport, Turn};
use crate::connection::LinkId;

/// What an asynchronous runtime gives: streams and sleep. Implemented by bindings.
pub trait Runtime {
    /// A connected stream.
    type Stream;

    /// Makes the stream of a link. It is dropped when it is not wanted any more, also while it
    /// is pending.
    fn dial(&mut self) -> impl Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// Ready at `until`, or soon after; wakes `context` then.
    fn poll_sleep(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()>;

    /// Lets others run before the task runs again.
    fn yield_now(context: &mut Context<'_>) {
        context.waker().wake_by_ref();
    }

    /// Reads from a stream; 0 when the peer will send no more.
    ///
    /// # Errors
    /// Any error ends the link.
    fn poll_read(
        stream: &mut Self::Stream,
        context: &mut Context<'_>,
        block: &mut [u8],
    ) -> Poll<io::Result<usize>>;

    /// Writes some of `bytes` to a stream; how many.
    ///
    /// # Errors
    /// As above.
    fn poll_write(
        stream: &mut Self::Stream,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>>;

    /// Hands on what a stream has taken.
    ///
    /// # Errors
    /// As above.
    fn poll_flush(stream: &mut Self::Stream, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Closes our direction of a stream.
    ///
    /// # Errors
    /// As above.
    fn poll_close(stream: &mut Self::Stream, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// The work of one client on a runtime. Ends when the client is closed; when it is dropped
/// before, everything that waits ends as closed.
pub struct Task<R: Runtime> {
    driver: Driver,
    runtime: R,
    stream: Option<R::Stream>,
    dial: Option<Dial<R::Stream>>,
}

/// A dial under way.
struct Dial<S> {
    link: LinkId,
    future: Pin<Box<dyn Future<Output = io::Result<S>> + Send>>,
}

impl<R: Runtime> Task<R> {
    /// The work of `driver`, not begun.
    pub const fn new(mut driver: Driver, runtime: R) -> Self {
        driver.share_thread();
        Self {
            driver,
            runtime,
            stream: None,
            dial: None,
        }
    }

    /// Goes on dialing for `link`, or begins; whether that has come to something.
    fn dial(&mut self, context: &mut Context<'_>, link: LinkId) -> bool {
        // The connector is code of the application: a panic in it costs this dial only.
        let dialing = catch_unwind(AssertUnwindSafe(|| {
            let under_way = self.dial.take().filter(|dial| dial.link == link);
            let dial = self.dial.insert(under_way.unwrap_or_else(|| Dial {
                link,
                future: Box::pin(self.runtime.dial()),
            }));
            dial.future.as_mut().poll(context)
        }));
        let result = match dialing {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(result)) => result,
            Err(_) => Err(io::Error::other("the connector panicked")),
        };
        self.give_up();
        match result {
            Ok(stream) => {
                self.stream = Some(stream);
                self.driver.handle_connected(link);
            }
            Err(error) => self.driver.handle_failed(link, &error),
        }
        true
    }

    /// Drops the dial, which is code of the application too.
    fn give_up(&mut self) {
        let dial = self.dial.take();
        apart(|| drop(dial));
    }
}

/// Nothing of it is pinned but the dial, which has a place of its own. So connectors, and what
/// they capture, may be anything.
impl<R: Runtime> Unpin for Task<R> {}

impl<R: Runtime> Future for Task<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let mut io = this.stream.take().map(|stream| Io::<R> {
                stream: Some(stream),
                waker: context.waker(),
            });
            let turn = this.driver.turn(context.waker(), &mut io);
            this.stream = io.and_then(|mut io| io.stream.take());
            let until = match turn {
                Turn::Finished => return Poll::Ready(()),
                Turn::Again => {
                    R::yield_now(context);
                    return Poll::Pending;
                }
                Turn::Wait { until } => {
                    this.give_up();
                    until
                }
                Turn::Dial { link, .. } if this.dial(context, link) => continue,
                Turn::Dial { until, .. } => until,
            };
            match until.map(|until| this.runtime.poll_sleep(context, until)) {
                Some(Poll::Ready(())) => {}
                Some(Poll::Pending) | None => return Poll::Pending,
            }
        }
    }
}

/// A stream during one turn: what is pending would block. It is code of the application, perhaps: a
/// panic in it ends the link only.
struct Io<'a, R: Runtime> {
    /// `None` when it goes back to the task.
    stream: Option<R::Stream>,
    waker: &'a Waker,
}

impl<R: Runtime> Transport for Io<'_, R> {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        self.at_once(|stream, context| R::poll_read(stream, context, block))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.at_once(|stream, context| R::poll_write(stream, context, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.at_once(R::poll_flush)
    }

    fn close(&mut self) -> io::Result<()> {
        self.at_once(R::poll_close)
    }
}

impl<R: Runtime> Io<'_, R> {
    fn at_once<T>(
        &mut self,
        poll: impl FnOnce(&mut R::Stream, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        let Some(stream) = &mut self.stream else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let context = &mut Context::from_waker(self.waker);
        match catch_unwind(AssertUnwindSafe(|| poll(stream, context))) {
            Ok(Poll::Ready(result)) => result,
            Ok(Poll::Pending) => Err(io::ErrorKind::WouldBlock.into()),
            Err(_) => Err(io::Error::other("the stream panicked")),
        }
    }
}

impl<R: Runtime> Drop for Io<'_, R> {
    fn drop(&mut self) {
        let stream = self.stream.take();
        apart(|| drop(stream));
    }
}

impl<R: Runtime> fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.driver).finish()
    }
}
