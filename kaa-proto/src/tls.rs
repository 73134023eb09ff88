//! TLS: from certificates and keys to a configuration of rustls, and what its failures mean.
//!
//! Nothing here reads a file or the system's store of roots: the bindings lend the core the
//! means, see [`Options::load`]. The records of a link are made and read in the core, so that
//! every binding moves the same bytes and every failure has the same cause.
//!
//! TLS 1.2 and 1.3 with the ring provider. The server's certificate is always verified, against
//! its name and the local time; there is no switch for that. A certificate of one's own making
//! is made known with [`Options::ca`].

mod cause;
mod material;
mod session;
mod verifier;

pub use cause::{CertificateTime, TlsError};
pub use material::InvalidTls;
#[doc(no_inline)]
pub use rustls::ClientConfig;
#[doc(no_inline)]
pub use rustls::pki_types::CertificateDer;
pub(crate) use session::{Session, Tls};

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a client trusts, and who it is. The default trusts the system's roots and shows no
/// certificate of its own.
///
/// ```
/// use kaa_proto::tls::Options;
///
/// // A platform with an authority of one's own, that knows devices by their certificates.
/// let options = Options::new()
///     .ca_file("/etc/kaa/ca.pem")
///     .identity_files("/etc/kaa/device.pem", "/etc/kaa/device.key");
/// # let _ = options;
/// ```
#[derive(Clone, Default)]
pub struct Options {
    /// The roots; none: the system's.
    roots: Vec<Source>,
    /// Certificate chain and key of the client.
    identity: Option<(Source, Source)>,
    /// A configuration of the caller's making, which is used as it is.
    ready: Option<Arc<ClientConfig>>,
}

/// Where certificates or a key come from.
#[derive(Clone)]
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Options {
    /// The defaults: the system's roots, no client certificate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities, and not the system's. PEM with one or more certificates, or one
    /// in DER. May be called repeatedly.
    #[must_use]
    pub fn ca(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.roots.push(Source::Bytes(certificates.into()));
        self
    }

    /// As [`ca`](Self::ca), from a file that is read when the client is started.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots.push(Source::File(path.into()));
        self
    }

    /// Shows this certificate to a server that asks for one. `certificates`: PEM with the
    /// client's own first and then those between it and the authority, or one in DER. `key`: PEM
    /// or DER, as PKCS#8, SEC1 (`EC PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`), without a
    /// passphrase.
    #[must_use]
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((
            Source::Bytes(certificates.into()),
            Source::Bytes(key.into()),
        ));
        self
    }

    /// As [`identity`](Self::identity), from files that are read when the client is started.
    #[must_use]
    pub fn identity_files(
        mut self,
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.identity = Some((Source::File(certificates.into()), Source::File(key.into())));
        self
    }

    /// Uses a ready configuration as it is: for keys in hardware, revocation lists, another
    /// provider. Everything else in these options is ignored then.
    #[must_use]
    pub fn with_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.ready = Some(config);
        self
    }

    /// Makes the configuration. For bindings: `read` reads a file, `system_roots` gives the
    /// authorities of the operating system; each is called only if it is needed.
    ///
    /// # Errors
    /// [`InvalidTls`] says which part cannot be used: the caller's mistake, nothing was begun.
    pub fn load(
        &self,
        read: impl Fn(&Path) -> io::Result<Vec<u8>>,
        system_roots: impl FnOnce() -> Vec<CertificateDer<'static>>,
    ) -> Result<Arc<ClientConfig>, InvalidTls> {
        if let Some(config) = &self.ready {
            return Ok(Arc::clone(config));
        }
        let fetch = |source: &Source| match source {
            Source::Bytes(bytes) => Ok(bytes.clone()),
            Source::File(path) => read(path).map_err(|error| InvalidTls::Unreadable {
                path: path.clone(),
                reason: error.to_string(),
            }),
        };
        let roots = match self.roots.as_slice() {
            [] => system_roots(),
            given => {
                let mut roots = Vec::new();
                for source in given {
                    roots.extend(material::authorities(&fetch(source)?)?);
                }
                roots
            }
        };
        let identity = match &self.identity {
            None => None,
            Some((certificates, key)) => Some((
                material::chain(&fetch(certificates)?)?,
                material::key(&fetch(key)?)?,
            )),
        };
        material::config(roots, identity).map(Arc::new)
    }
}

/// Says what there is, and nothing of what is in it.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("given_roots", &self.roots.len())
            .field("has_identity", &self.identity.is_some())
            .field("is_ready", &self.ready.is_some())
            .finish()
    }
}
