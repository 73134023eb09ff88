//! The client: a thread, and the handles that talk to it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kaa_proto::client::{self, ConnectError, NotReady, Options, Target};
use kaa_proto::connection::{Account, AddError};
use kaa_proto::endpoint::EndpointOptions;
use kaa_proto::names::EndpointName;

use crate::driver::Loop;
use crate::{Endpoint, LinkEvents, Stream, dial, wait};

/// A connection to the platform, for any number of endpoints, on a thread of its own.
///
/// It dereferences to [`kaa_proto::client::Client`], whose other verbs do not wait: `dial_now`,
/// `link_state`, `remove_endpoint`, `set_login`, `statistics`. Clones share it. When the last handle of any kind is gone, what is queued is flushed for a
/// while, then the link is closed and the thread ends.
#[derive(Clone, Debug)]
pub struct Client(pub(crate) client::Client);

impl Client {
    /// Starts the client. Returns before any network is reached; [`ready`](Self::ready) waits
    /// for the link. Certificates that the options name are read here, and the store is opened; it is
    /// written by a second thread.
    ///
    /// # Errors
    /// [`ConnectError`] if an option cannot be kept, the store cannot be opened, or the operating
    /// system gives no thread, selector or entropy.
    pub fn connect(options: Options) -> Result<Self, ConnectError> {
        let within = options.connect_within();
        Self::connect_with(options, move |target| dial::tcp(target, within))
    }

    /// As [`connect`](Self::connect), with a connector that makes the transport of each link: for
    /// proxies, Unix sockets, tests. It runs on a thread of its own and may block; its error is
    /// the link's, and it is called again after a while. While 16 calls have not returned, dials
    /// fail instead. If the URL begins with `mqtts://`, TLS goes over what it gives.
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use std::os::unix::net::UnixStream;
    ///
    /// use kaa_blocking::{Client, Options};
    ///
    /// let options = Options::new("mqtt://localhost")?;
    /// let client = Client::connect_with(options, |_target| {
    ///     Ok(UnixStream::connect("/run/kaa-gateway.socket")?.into())
    /// })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        options: Options,
        connector: impl Fn(&Target) -> io::Result<Stream> + Send + Sync + 'static,
    ) -> Result<Self, ConnectError> {
        #[cfg(feature = "tls")]
        let roots = || rustls_native_certs::load_native_certs().certs;
        #[cfg(feature = "tls")]
        let options = options.load_tls(|path| std::fs::read(path), roots)?;
        let options = options.open_store()?;
        let target = options.target().clone();
        let draw = || getrandom::u64().map_err(io::Error::other);
        let (client, mut driver) = client::Client::new(options, draw()?, draw()?, Instant::now)?;
        driver.start_store_writer()?;
        let work = Loop::new(driver, Arc::new(move || connector(&target)))?;
        let thread = thread::Builder::new().name("kaa".into());
        thread.spawn(|| work.run())?;
        Ok(Self(client))
    }

    /// Waits until the link is usable.
    ///
    /// # Errors
    /// [`NotReady`] after `timeout`, or at once if only a person can mend the cause, such as a
    /// wrong password. The client goes on trying all the same.
    pub fn ready(&self, timeout: Duration) -> Result<(), NotReady> {
        wait::for_end(self.0.ready(timeout))
    }

    /// Adds an endpoint. Adding it again gives another handle of the same endpoint.
    ///
    /// # Errors
    /// [`AddError`] if there are too many, or the client is closed.
    pub fn endpoint(&self, name: &EndpointName) -> Result<Endpoint, AddError> {
        self.0.endpoint(name).map(Endpoint)
    }

    /// Adds an endpoint with options of its own. They have no effect on one that was added
    /// before.
    ///
    /// # Errors
    /// As [`endpoint`](Self::endpoint).
    pub fn endpoint_with(
        &self,
        name: &EndpointName,
        options: EndpointOptions,
    ) -> Result<Endpoint, AddError> {
        self.0.endpoint_with(name, options).map(Endpoint)
    }

    /// What happens to the link, from now on.
    pub fn link_events(&self) -> LinkEvents {
        LinkEvents(self.0.link_events())
    }

    /// Takes no more requests, sends what is queued and waits for the answers, for at most
    /// `timeout`; then closes the link and gives the account: how many requests ended how, and
    /// those themselves that were not confirmed. With a store it waits up to five more seconds, until
    /// everything is written and the folder is free for the next client.
    pub fn shutdown(&self, timeout: Duration) -> Account {
        wait::for_end(self.0.shutdown(timeout))
    }
}
