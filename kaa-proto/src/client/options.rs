//! How a client behaves, and where its platform is.

use std::fmt;
#[cfg(feature = "store")]
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
#[cfg(feature = "tls")]
use std::{io, path::Path};

use super::block::READ_BLOCK;
use super::{InvalidTarget, Target};
use crate::connection::{self, MemoryBudget};
use crate::mqtt::Login;
#[cfg(feature = "store")]
use crate::store::LogOptions;
use crate::store::{Durability, Loaded, Store, StoreError};
#[cfg(feature = "tls")]
use crate::tls;

/// What TLS holds beside the records on their way: a handshake of the largest size (64 KiB, with the
/// server's certificates in it), taken apart, and eight tickets to resume a session.
const TLS: usize = 1_024 * 1_024;

/// The options of a client. What they make it hold at most, in bytes, says
/// [`memory_budget`](Self::memory_budget): about 9 MB for one device with the defaults, most of it for
/// messages of 256 KiB; one that takes 4 KiB needs a tenth.
///
/// ```
/// use std::time::Duration;
/// use kaa_proto::client::Options;
///
/// let options = Options::new("mqtt://mqtt.cloud.kaaiot.com")?
///     .login("gateway@0f1f3e2c", "secret")
///     .connection(|options| options.keep_alive(Duration::from_secs(30)));
/// # let _ = options;
/// # Ok::<(), kaa_proto::client::InvalidTarget>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) target: Target,
    pub(super) connection: connection::Options,
    pub(super) linger: Duration,
    #[cfg(feature = "tls")]
    tls: tls::Options,
    /// What a binding has made of them.
    #[cfg(feature = "tls")]
    pub(super) loaded_tls: Option<Arc<tls::ClientConfig>>,
    opener: Option<Opener>,
    keeping: Keeping,
    /// What a binding has opened.
    opened: Opened,
}

/// Opens the store.
#[derive(Clone)]
struct Opener(Arc<dyn Fn() -> Result<Box<dyn Store>, StoreError> + Send + Sync>);

/// A store that was opened, until a client takes it. Clones of the options have not opened it.
#[derive(Default)]
struct Opened(Mutex<Option<Found>>);

/// A store, and what it kept.
type Found = (Box<dyn Store>, Loaded);

/// What a client wants of its store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    pub(super) durability: Durability,
    /// How long a record may wait for others to be committed with.
    pub(super) within: Duration,
    /// How many do not wait any more.
    pub(super) count: usize,
}

impl Clone for Opened {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Opened {
    fn lock(&self) -> MutexGuard<'_, Option<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}

impl Options {
    /// The defaults, for the platform at `url`.
    ///
    /// # Errors
    /// [`InvalidTarget`] says what is wrong with the URL.
    pub fn new(url: &str) -> Result<Self, InvalidTarget> {
        Ok(Self::at(Target::parse(url)?))
    }

    /// The defaults, for the platform at `target`.
    #[must_use]
    pub fn at(target: Target) -> Self {
        let linger = Duration::from_secs(10);
        Self {
            target,
            connection: connection::Options::new(""),
            linger,
            #[cfg(feature = "tls")]
            tls: tls::Options::new(),
            #[cfg(feature = "tls")]
            loaded_tls: None,
            opener: None,
            keeping: Keeping {
                durability: Durability::Sync,
                within: Duration::ZERO,
                count: 64,
            },
            opened: Opened::default(),
        }
    }

    /// A user name, sent as it is, and a password.
    #[must_use]
    pub fn login(self, user_name: impl Into<String>, password: impl AsRef<[u8]>) -> Self {
        let login = Login::new(user_name).with_password(password.as_ref());
        Self {
            connection: self.connection.login(Some(login)),
            ..self
        }
    }

    /// Sets options of the connection; see [`connection::Options`]. A client identifier that is
    /// not set is drawn from the operating system's entropy by the binding.
    #[must_use]
    pub fn connection(self, set: impl FnOnce(connection::Options) -> connection::Options) -> Self {
        Self {
            connection: set(self.connection),
            ..self
        }
    }

    /// The most that the client holds in memory, whatever its peer sends: that of the connection
    /// ([`connection::Options::memory_budget`]), and what TLS adds to it.
    #[must_use]
    pub fn memory_budget(&self) -> MemoryBudget {
        let mut budget = self.connection.memory_budget();
        // What is read at once.
        budget.link += READ_BLOCK;
        if self.target.is_tls() {
            budget.link += TLS + self.connection.outgoing();
        }
        budget
    }

    /// How long the client goes on to send what is queued when its last handle was dropped.
    /// Default 10 s: one round of answers on a slow link.
    #[must_use]
    pub const fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// What is trusted, and with which certificate the client shows itself. Has no effect on
    /// `mqtt://`. Default: the system's roots, no certificate.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, tls: tls::Options) -> Self {
        Self { tls, ..self }
    }

    /// Reads what TLS needs, if the target does. For bindings: each calls it once, and is what
    /// knows how to read a file and where the system keeps its roots.
    ///
    /// # Errors
    /// As [`tls::Options::load`].
    #[cfg(feature = "tls")]
    pub fn load_tls(
        mut self,
        read: impl Fn(&Path) -> io::Result<Vec<u8>>,
        system_roots: impl FnOnce() -> Vec<tls::CertificateDer<'static>>,
    ) -> Result<Self, tls::InvalidTls> {
        if self.target.is_tls() {
            self.loaded_tls = Some(self.tls.load(read, system_roots)?);
        }
        Ok(self)
    }

    /// Keeps what must survive a crash in the store that `open` opens: commands and their results,
    /// what is applied, and durable requests
    /// ([`RequestExt::durable`](crate::request::RequestExt::durable)). See
    /// [`store`](crate::store) for what a store promises. Default: none, and everything is in memory.
    ///
    /// It is opened when the client is started, where that may block, and written by a thread of its
    /// own.
    #[must_use]
    pub fn store<S: Store + 'static>(
        self,
        open: impl Fn() -> Result<S, StoreError> + Send + Sync + 'static,
    ) -> Self {
        let open = move || Ok(Box::new(open()?) as Box<dyn Store>);
        Self {
            opener: Some(Opener(Arc::new(open))),
            ..self
        }
    }

    /// As [`store`](Self::store), with a log of this library's in `folder`, which belongs to the client
    /// alone. Also [`store_in_with`](Self::store_in_with).
    #[cfg(feature = "store")]
    #[must_use]
    pub fn store_in(self, folder: impl Into<PathBuf>) -> Self {
        self.store_in_with(folder, LogOptions::default())
    }

    /// As [`store_in`](Self::store_in), with bounds of your own.
    #[cfg(feature = "store")]
    #[must_use]
    pub fn store_in_with(self, folder: impl Into<PathBuf>, options: LogOptions) -> Self {
        let folder = folder.into();
        self.store(move || crate::store::open(&folder, options))
    }

    /// What stored records survive. Default [`Durability::Sync`], a power cut: that is what a device
    /// has to expect. With [`Durability::Flush`] they survive the end of the process only, and cost
    /// no wait for the medium; with [`Durability::None`] nothing is called stored.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.keeping.durability = durability;
        self
    }

    /// How long a record may wait for others to be committed with, and how many do not wait any
    /// more. Default 0 and 64: one commit takes what has gathered during the one before, so that a
    /// lone record never waits, and many share. A longer time spares a medium that wears out, and
    /// delays what has to be stored first by as much. More than a minute counts as one, 0 records as
    /// 1.
    #[must_use]
    pub fn group_commit(mut self, within: Duration, count: usize) -> Self {
        self.keeping.within = within.min(Duration::from_secs(60));
        self.keeping.count = count.max(1);
        self
    }

    /// Opens the store, if there is one to be opened, and reads what it kept. For bindings: each
    /// calls it once, where it may block.
    ///
    /// # Errors
    /// The store's.
    pub fn open_store(self) -> Result<Self, StoreError> {
        if let Some(Opener(open)) = &self.opener {
            let mut store = open()?;
            let loaded = store.load()?;
            *self.opened.lock() = Some((store, loaded));
        }
        Ok(self)
    }

    /// Whether [`open_store`](Self::open_store), or the files of TLS, may block.
    #[must_use]
    pub const fn needs_files(&self) -> bool {
        self.opener.is_some() || self.target.is_tls()
    }

    /// The store that was opened, with what it kept; once.
    pub(super) fn take_store(&self) -> Option<(Box<dyn Store>, Loaded, Keeping)> {
        let (store, loaded) = self.opened.lock().take()?;
        Some((store, loaded, self.keeping))
    }

    /// How long the addresses of a name may take together: three quarters of `dial_within`, so that
    /// something is left for resolving it, and for TLS. For bindings, see
    /// [`connect_any`](super::connect_any).
    #[must_use]
    pub fn connect_within(&self) -> Duration {
        self.connection.time_to_dial() * 3 / 4
    }

    /// Where the platform is.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Fills in what only a binding can: `entropy` names the client where nobody did, in letters and
    /// digits, up to 23, which every server has to allow (MQTT-3.1.3-5).
    pub(super) fn complete(
        mut self,
        entropy: u64,
        has_store: bool,
    ) -> (connection::Options, Duration) {
        self.connection
            .client_id_or(|| format!("kaa{entropy:016x}"));
        self.connection.for_handles(has_store);
        (self.connection, self.linger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link_over(url: &str) -> usize {
        let options = Options::new(url).unwrap();
        let link = options.connection.memory_budget().link;
        options.memory_budget().link - link
    }

    #[test]
    fn a_link_holds_what_is_read_at_once_and_its_tls_too() {
        assert_eq!(link_over("mqtt://here"), 20_480);
        // Its own mebibyte, and once more what waits to be written: 4 (16 + 256 + 20) KiB.
        #[cfg(feature = "tls")]
        assert_eq!(link_over("mqtts://here"), 20_480 + 1_048_576 + 1_196_032);
    }
}
