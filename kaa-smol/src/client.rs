//! The client, and the driver that does its work on any executor.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_io::{AsyncRead, AsyncWrite};
use kaa_proto::client::{self, ConnectError, Options, Target, Task};

use crate::runtime::{FuturesIo, tcp};

/// A connection to the platform, for any number of endpoints.
///
/// It dereferences to [`kaa_proto::client::Client`], which has all the verbs. Clones share it.
/// When the last handle of any kind is gone, what is queued is flushed for a while, then the link
/// is closed and the driver ends.
#[derive(Clone, Debug)]
pub struct Client(client::Client);

impl Client {
    /// Starts the client on smol's executor. Returns before any network is reached;
    /// [`ready`](client::Client::ready) waits for the link. Certificates that the options name
    /// are read here, and the store is opened; it is written by a thread of its own.
    ///
    /// # Errors
    /// [`ConnectError`] if an option cannot be kept, the store cannot be opened, or the operating
    /// system gives no entropy or thread.
    #[cfg(feature = "smol")]
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let within = options.connect_within();
        Self::connect_with(options, move |target| tcp(target, within)).await
    }

    /// As [`connect`](Self::connect), with a connector that makes the transport of each link: for
    /// proxies, Unix sockets, tests. Its error is the link's, and it is called again after a
    /// while; the future is dropped when the dial takes too long. If the URL begins with
    /// `mqtts://`, TLS goes over what it gives.
    ///
    /// ```no_run
    /// # #[cfg(unix)]
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use kaa_smol::{Client, Options};
    /// use smol::net::unix::UnixStream;
    ///
    /// let options = Options::new("mqtt://localhost")?;
    /// let client = Client::connect_with(options, |_target| {
    ///     UnixStream::connect("/run/kaa-gateway.socket")
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[cfg(feature = "smol")]
    pub async fn connect_with<C, F, S>(options: Options, connector: C) -> Result<Self, ConnectError>
    where
        C: FnMut(Target) -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (client, driver) = Self::with_driver_and(options, connector).await?;
        smol::spawn(driver).detach();
        Ok(client)
    }

    /// A client and its driver: for any executor, or a thread that blocks on it. Until the driver is
    /// spawned nothing happens; not even a time-out, such as that of
    /// [`ready`](client::Client::ready), ends.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// use kaa_smol::{Client, Options};
    ///
    /// let options = Options::new("mqtts://mqtt.cloud.kaaiot.com")?;
    /// let (client, driver) = Client::with_driver(options).await?;
    /// let driving = std::thread::spawn(|| smol::block_on(driver));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ConnectError`] if an option cannot be kept, the store cannot be opened, or the operating
    /// system gives no entropy or thread.
    pub async fn with_driver(options: Options) -> Result<(Self, Driver), ConnectError> {
        let within = options.connect_within();
        Self::with_driver_and(options, move |target| tcp(target, within)).await
    }

    /// As [`with_driver`](Self::with_driver), with a connector that makes the transport of each
    /// link.
    ///
    /// # Errors
    /// As [`with_driver`](Self::with_driver).
    pub async fn with_driver_and<C, F, S>(
        options: Options,
        mut connector: C,
    ) -> Result<(Self, Driver), ConnectError>
    where
        C: FnMut(Target) -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let options = with_files(options).await?;
        let target = options.target().clone();
        let dial = move || connector(target.clone());
        let draw = || getrandom::u64().map_err(io::Error::other);
        let (client, mut driver) = client::Client::new(options, draw()?, draw()?, Instant::now)?;
        driver.start_store_writer()?;
        let work = Task::new(driver, FuturesIo::new(dial));
        Ok((Self(client), Driver(Box::pin(work))))
    }
}

impl Deref for Client {
    type Target = client::Client;

    fn deref(&self) -> &client::Client {
        &self.0
    }
}

/// The work of a client: a future that ends when the client is closed. When it is dropped before,
/// everything that waits ends as [`Failure::Closed`](crate::request::Failure::Closed).
#[must_use = "a client does nothing unless its driver is spawned"]
pub struct Driver(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Driver")
    }
}

/// Reads what the options need of the system, where it may block.
async fn with_files(options: Options) -> Result<Options, ConnectError> {
    if !options.needs_files() {
        return Ok(options);
    }
    blocking::unblock(|| {
        #[cfg(feature = "tls")]
        let roots = || rustls_native_certs::load_native_certs().certs;
        #[cfg(feature = "tls")]
        let options = options.load_tls(|path| std::fs::read(path), roots)?;
        Ok(options.open_store()?)
    })
    .await
}
