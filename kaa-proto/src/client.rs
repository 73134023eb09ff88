//! The handles that every binding hands out: the same names and meanings on every runtime.
//!
//! Handles are cheap to clone and may be used from any thread. A verb encodes its request, locks
//! the shared [`Connection`], calls it, unlocks and wakes the driver; there is no channel and no
//! task in between, and the lock is never held across I/O, an `await` or code of the application, with
//! the exception of its subscriber to [`tracing`](crate#tracing).
//! All changes happen in these synchronous calls, so a dropped future loses only the wait.
//!
//! A binding makes the pair with [`Client::new`], gives the [`Driver`] transports and sleep (on an
//! asynchronous runtime by a [`Task`]), and documents how its own waiting works. When the last handle is dropped, the client closes gracefully;
//! when the driver is dropped, everything that waits ends as
//! [`Failure::Closed`](crate::request::Failure::Closed).

mod addresses;
mod archive;
mod block;
mod channel;
mod command;
mod connect_error;
mod driver;
mod endpoint;
mod environment;
mod events;
mod layer;
mod options;
mod readers;
mod shared;
mod slot;
mod spare;
mod streams;
mod target;
mod task;
mod ticket;
mod trace;
mod transport;
mod waits;
mod writer;

pub use addresses::connect_any;
pub use archive::StoreStatus;
pub use command::{Command, NotResponded};
pub use connect_error::ConnectError;
pub use driver::{Driver, Turn};
pub use endpoint::Endpoint;
pub use environment::{EnvironmentProblem, InvalidEnvironment};
pub use events::{EndpointEvents, LinkEvents};
pub use options::Options;
pub use slot::NotStored;
pub use streams::{Commands, Configurations, SoftwareUpdates};
pub use target::{InvalidTarget, Target};
pub use task::{Runtime, Task};
pub use ticket::Ticket;
pub use transport::Transport;
pub use waits::{NotReady, Ready, Shutdown};
pub use writer::{StoreTurn, StoreWriter};

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::{AddError, Connection, InvalidOptions, LinkState, Removal, Statistics};
use crate::endpoint::EndpointOptions;
use crate::mqtt::Login;
use crate::names::EndpointName;

use self::archive::Archive;
use self::layer::Security;
use self::shared::{Handle, Shared};

/// A connection to the platform, for any number of endpoints.
///
/// Clones share it. When the last handle of any kind is gone, what is queued is flushed for up to
/// [`Options::linger`], then the link is closed.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

impl Client {
    /// A client and the driver that does its work. For bindings, which have loaded the options
    /// for TLS (`Options::load_tls`) and opened the store ([`Options::open_store`]), and run its
    /// writer ([`Driver::start_store_writer`]).
    ///
    /// `entropy` names the client where the options do not, and `seed` spreads its retries in
    /// time; both are from the operating system. `clock` gives the time.
    ///
    /// # Errors
    /// [`ConnectError`] says which option cannot be kept.
    pub fn new(
        options: Options,
        entropy: u64,
        seed: u64,
        clock: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Result<(Self, Driver), ConnectError> {
        let security = Security::new(&options)?;
        let store = options.take_store();
        let (connection, linger) = options.complete(entropy, store.is_some());
        let connection = Connection::new(connection, clock(), seed)?;
        let mut archive = None;
        let store = store.map(|(store, loaded, keeping)| {
            archive = Some(Archive::new(loaded, store.size(), keeping, clock()));
            (store, keeping.durability)
        });
        let shared = Arc::new(Shared::new(connection, archive, Box::new(clock)));
        let writer = store
            .map(|(store, durability)| StoreWriter::new(Arc::clone(&shared), store, durability));
        let handle = Handle::new(Arc::clone(&shared), linger);
        Ok((
            Self {
                handle: Arc::new(handle),
            },
            Driver::new(shared, security, writer),
        ))
    }

    /// Adds an endpoint with the options that the client gives its endpoints. Adding it again
    /// gives another handle of the same endpoint.
    ///
    /// One that is still leaving ([`Removal::Flush`]) stays: the device came back. What is queued
    /// goes on, request IDs and counters too, and handles and tickets of before serve again. Only
    /// streams of before ([`Commands`], [`EndpointEvents`] and the like) end as if it were gone, so
    /// that they take nothing from new ones.
    ///
    /// # Errors
    /// [`AddError`] if there are too many, or the client is closed.
    pub fn endpoint(&self, name: &EndpointName) -> Result<Endpoint, AddError> {
        self.add(name, None)
    }

    /// As [`endpoint`](Self::endpoint), with options of its own. They have no effect on one that
    /// is there, leaving or not; whether it is [`durable`](EndpointOptions::durable) depends on the
    /// client's having a store.
    ///
    /// # Errors
    /// As [`endpoint`](Self::endpoint).
    pub fn endpoint_with(
        &self,
        name: &EndpointName,
        options: EndpointOptions,
    ) -> Result<Endpoint, AddError> {
        self.add(name, Some(options))
    }

    /// Removes an endpoint. With [`Removal::Flush`] what it has queued is sent first. Its handles
    /// refuse new requests either way; those of an endpoint that is still leaving take them again when
    /// it is added meanwhile, otherwise [`endpoint`](Self::endpoint) gives new ones. `false` if it was
    /// not there, or is leaving already.
    pub fn remove_endpoint(&self, name: &EndpointName, removal: Removal) -> bool {
        self.shared()
            .act(|connection, now| match connection.find(name) {
                Some(key) => connection.remove_endpoint(now, key, removal),
                None => false,
            })
    }

    /// Waits until the link is usable, for at most `timeout`.
    ///
    /// Ends early with the cause if that is one that only a person can mend, such as a wrong
    /// password; the client goes on trying all the same.
    pub fn ready(&self, timeout: Duration) -> Ready {
        Ready::new(Arc::clone(&self.handle), timeout)
    }

    /// Where the link stands.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        self.shared().look(Connection::link_state)
    }

    /// What happens to the link, from now on.
    #[must_use]
    pub fn link_events(&self) -> LinkEvents {
        LinkEvents::new(Arc::clone(&self.handle))
    }

    /// Cuts the wait before the next attempt: the network is back.
    pub fn dial_now(&self) {
        self.shared().act_on_state(|state, now| {
            state.waits.forget_cause();
            state.connection.dial_now(now);
        });
    }

    /// Uses another login from the next attempt on, and cuts the wait before it.
    ///
    /// # Errors
    /// [`InvalidOptions`] if user name or password is too long; nothing is changed then.
    pub fn set_login(&self, login: Option<Login>) -> Result<(), InvalidOptions> {
        self.shared().act_on_state(|state, now| {
            state.connection.set_login(now, login)?;
            state.waits.forget_cause();
            Ok(())
        })
    }

    /// How its store fares, and what was found there at the start; `None` if it has none.
    /// [`Event::StoreLost`](crate::connection::Event::StoreLost) tells when it fails.
    #[must_use]
    pub fn store_status(&self) -> Option<StoreStatus> {
        self.shared().store_status()
    }

    /// What the client has seen.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.shared().look(Connection::statistics)
    }

    /// Takes no more requests, sends what is queued and waits for the answers, for at most
    /// `timeout`; then closes the link and gives the account.
    ///
    /// With a store it waits up to five more seconds, until everything is written and the folder is
    /// free for the next client.
    pub fn shutdown(&self, timeout: Duration) -> Shutdown {
        self.shared().close(timeout);
        Shutdown::new(Arc::clone(&self.handle))
    }

    fn add(
        &self,
        name: &EndpointName,
        options: Option<EndpointOptions>,
    ) -> Result<Endpoint, AddError> {
        let has_store = self.store_status().is_some();
        let key = self.shared().add(name, |connection, now| match options {
            Some(options) => {
                let options = options.for_handles(has_store);
                connection.add_endpoint_with(now, name.clone(), options)
            }
            None => connection.add_endpoint(now, name.clone()),
        })?;
        Ok(Endpoint::new(Arc::clone(&self.handle), name.clone(), key))
    }

    fn shared(&self) -> &Shared {
        self.handle.shared()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("link", &self.link_state())
            .finish_non_exhaustive()
    }
}
