//! The client: a task, and the handles that talk to it.

use std::future::Future;
use std::io;
use std::ops::Deref;

use kaa_proto::client::{self, ConnectError, Options, Target, Task};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::runtime::{Tokio, tcp};

/// A connection to the platform, for any number of endpoints, in a task of its own.
///
/// It dereferences to [`kaa_proto::client::Client`], which has all the verbs. Clones share it.
/// When the last handle of any kind is gone, what is queued is flushed for a while, then the link
/// is closed and the task ends.
#[derive(Clone, Debug)]
pub struct Client(client::Client);

impl Client {
    /// Starts the client on the current runtime. Returns before any network is reached;
    /// [`ready`](client::Client::ready) waits for the link. Certificates that the options name
    /// are read here, and the store is opened; it is written by a thread of its own.
    ///
    /// # Errors
    /// [`ConnectError`] if an option cannot be kept, the store cannot be opened, the operating system
    /// gives no entropy or thread, or there is no runtime.
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
    /// use kaa_tokio::{Client, Options};
    /// use tokio::net::UnixStream;
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
    pub async fn connect_with<C, F, S>(
        options: Options,
        mut connector: C,
    ) -> Result<Self, ConnectError>
    where
        C: FnMut(Target) -> F + Send + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let runtime = Handle::try_current().map_err(io::Error::other)?;
        let options = with_files(options).await?;
        let target = options.target().clone();
        let dial = move || connector(target.clone());
        let draw = || getrandom::u64().map_err(io::Error::other);
        // The clock of the runtime, which a test may have stopped.
        let clock = || Instant::now().into_std();
        let (client, mut driver) = client::Client::new(options, draw()?, draw()?, clock)?;
        driver.start_store_writer()?;
        runtime.spawn(Task::new(driver, Tokio::new(dial)));
        Ok(Self(client))
    }
}

impl Deref for Client {
    type Target = client::Client;

    fn deref(&self) -> &client::Client {
        &self.0
    }
}

/// Reads what the options need of the system, where it may block.
async fn with_files(options: Options) -> Result<Options, ConnectError> {
    if !options.needs_files() {
        return Ok(options);
    }
    let load = || {
        #[cfg(feature = "tls")]
        let roots = || rustls_native_certs::load_native_certs().certs;
        #[cfg(feature = "tls")]
        let options = options.load_tls(|path| std::fs::read(path), roots)?;
        Ok(options.open_store()?)
    };
    let loaded = tokio::task::spawn_blocking(load).await;
    loaded.map_err(io::Error::other)?
}
