//! How a client behaves, and where its platform is.

use std::time::Duration;
#[cfg(feature = "tls")]
use std::{io, path::Path, sync::Arc};

use super::{InvalidTarget, Target};
use crate::connection;
use crate::mqtt::Login;
#[cfg(feature = "tls")]
use crate::tls;

/// The options of a client.
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

    /// Fills in what only a binding can: `entropy` names the client where nobody did.
    pub(super) fn complete(mut self, entropy: u64) -> (connection::Options, Duration) {
        self.connection
            .client_id_or(|| format!("kaa-{entropy:016x}"));
        self.connection.for_handles(false);
        (self.connection, self.linger)
    }
}
