//! What the core needs of a runtime: streams of futures-io, and the timer of async-io, which has
//! a thread of its own and works on every executor.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_io::Timer;
use async_net::{TcpStream, resolve};
use futures_io::{AsyncRead, AsyncWrite};
use kaa_proto::client::{Runtime, Target, connect_any};

pub(crate) struct FuturesIo<C, S> {
    connector: C,
    timer: Timer,
    /// What the timer is set to.
    until: Option<Instant>,
    stream: PhantomData<fn() -> S>,
}

impl<C, S> FuturesIo<C, S> {
    pub(crate) fn new(connector: C) -> Self {
        Self {
            connector,
            timer: Timer::never(),
            until: None,
            stream: PhantomData,
        }
    }
}

impl<C, F, S> Runtime for FuturesIo<C, S>
where
    C: FnMut() -> F,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Stream = S;

    fn dial(&mut self) -> impl Future<Output = io::Result<S>> + Send + 'static {
        (self.connector)()
    }

    fn poll_sleep(&mut self, context: &mut Context<'_>, until: Instant) -> Poll<()> {
        if self.until != Some(until) {
            self.timer.set_at(until);
            self.until = Some(until);
        }
        ready!(Pin::new(&mut self.timer).poll(context));
        // It rings once.
        self.until = None;
        Poll::Ready(())
    }

    fn poll_read(
        stream: &mut S,
        context: &mut Context<'_>,
        block: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_read(context, block)
    }

    fn poll_write(
        stream: &mut S,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(stream).poll_write(context, bytes)
    }

    fn poll_flush(stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(stream).poll_flush(context)
    }

    fn poll_close(stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(stream).poll_close(context)
    }
}

/// Connects over TCP: every address of the name is tried.
pub(crate) async fn tcp(target: Target, within: Duration) -> io::Result<TcpStream> {
    let stream = connect_each(target, within, TcpStream::connect).await?;
    // Without it each small message waits for the answer to the one before.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Connects to the first address of a name that answers.
pub(crate) async fn connect_each<F, S>(
    target: Target,
    within: Duration,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<S>
where
    F: Future<Output = io::Result<S>>,
{
    let addresses = resolve((target.host(), target.port())).await?;
    let connect = |address, share| in_time(connect(address), share);
    connect_any(addresses, within, connect).await
}

async fn in_time<T>(work: impl Future<Output = io::Result<T>>, time: Duration) -> io::Result<T> {
    let mut work = pin!(work);
    let mut timer = Timer::after(time);
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Pending => Pin::new(&mut timer)
            .poll(context)
            .map(|_| Err(io::ErrorKind::TimedOut.into())),
        done => done,
    })
    .await
}
