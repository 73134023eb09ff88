//! What the core needs of tokio: streams and sleep.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use kaa_proto::client::{Runtime, Target, connect_any};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until, timeout};

pub(crate) struct Tokio<C, S> {
    connector: C,
    /// Made at the first wait.
    sleep: Option<Pin<Box<Sleep>>>,
    stream: PhantomData<fn() -> S>,
}

impl<C, S> Tokio<C, S> {
    pub(crate) const fn new(connector: C) -> Self {
        Self {
            connector,
            sleep: None,
            stream: PhantomData,
        }
    }
}

impl<C, F, S> Runtime for Tokio<C, S>
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
        let until = until.into();
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        sleep.as_mut().poll(context)
    }

    /// After all others, and the future that the runtime blocks on.
    fn yield_now(context: &mut Context<'_>) {
        let _ = pin!(yield_now()).poll(context);
    }

    fn poll_read(
        stream: &mut S,
        context: &mut Context<'_>,
        block: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut block = ReadBuf::new(block);
        ready!(Pin::new(stream).poll_read(context, &mut block))?;
        Poll::Ready(Ok(block.filled().len()))
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
        Pin::new(stream).poll_shutdown(context)
    }
}

/// Connects over TCP: every address of the name is tried.
pub(crate) async fn tcp(target: Target, within: Duration) -> io::Result<TcpStream> {
    let addresses = lookup_host((target.host(), target.port())).await?;
    let connect =
        |address, share| async move { timeout(share, TcpStream::connect(address)).await? };
    let stream = connect_any(addresses, within, connect).await?;
    // Without it each small message waits for the answer to the one before.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}
