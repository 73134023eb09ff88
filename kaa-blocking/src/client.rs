//! The client: a thread, and the handles that talk to it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kaa_proto::client::{self, NotReady, Options};
use kaa_proto::connection::{Account, AddError, InvalidOptions, LinkState, Removal, Statistics};
use kaa_proto::endpoint::EndpointOptions;
use kaa_proto::mqtt::Login;
use kaa_proto::names::EndpointName;
use mio::{Poll, Waker};

use crate::driver::{Loop, WAKER};
use crate::{Endpoint, LinkEvents, wait};

/// A connection to the platform, for any number of endpoints, on a thread of its own.
///
/// Clones share it. When the last handle of any kind is gone, what is queued is flushed for a
/// while, then the link is closed and the thread ends.
#[derive(Clone, Debug)]
pub struct Client(client::Client);

impl Client {
    /// Starts the client. Returns before any network is reached; [`ready`](Self::ready) waits
    /// for the link.
    ///
    /// # Errors
    /// [`ConnectError`] if an option cannot be kept, or the operating system gives no thread,
    /// selector or entropy.
    pub fn connect(options: Options) -> Result<Self, ConnectError> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let target = options.target().clone();
        let entropy = || getrandom::u64().map_err(io::Error::other);
        let wake = {
            let waker = Arc::clone(&waker);
            // A loop that has ended needs no waking.
            move || drop(waker.wake())
        };
        let (client, driver) =
            client::Client::new(options, entropy()?, entropy()?, Instant::now, wake)?;
        let run = move || Loop::new(driver, target, poll, waker).run();
        thread::Builder::new().name("kaa".into()).spawn(run)?;
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

    /// Removes an endpoint; `false` if it was not there. See
    /// [`client::Client::remove_endpoint`].
    pub fn remove_endpoint(&self, name: &EndpointName, removal: Removal) -> bool {
        self.0.remove_endpoint(name, removal)
    }

    /// Where the link stands.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        self.0.link_state()
    }

    /// What happens to the link, from now on.
    #[must_use]
    pub fn link_events(&self) -> LinkEvents {
        LinkEvents(self.0.link_events())
    }

    /// Cuts the wait before the next attempt: the network is back.
    pub fn dial_now(&self) {
        self.0.dial_now();
    }

    /// Uses another login from the next attempt on, and cuts the wait before it.
    ///
    /// # Errors
    /// [`InvalidOptions`] if user name or password is too long; nothing is changed then.
    pub fn set_login(&self, login: Option<Login>) -> Result<(), InvalidOptions> {
        self.0.set_login(login)
    }

    /// What the client has seen.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.statistics()
    }

    /// Takes no more requests, sends what is queued and waits for the answers, for at most
    /// `timeout`; then closes the link and gives the account: how many requests ended how, and
    /// those themselves that were not confirmed.
    #[must_use]
    pub fn shutdown(&self, timeout: Duration) -> Account {
        wait::for_end(self.0.shutdown(timeout))
    }
}

/// Why a client could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// An option cannot be kept.
    Options(InvalidOptions),
    /// The operating system gave no thread, selector or entropy.
    System(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::System(error) => write!(f, "the client could not be started: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Options(error) => Some(error),
            Self::System(error) => Some(error),
        }
    }
}

impl From<InvalidOptions> for ConnectError {
    fn from(error: InvalidOptions) -> Self {
        Self::Options(error)
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}
