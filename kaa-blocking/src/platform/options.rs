//! What a local platform in the process is set up with.

use std::net::{Ipv4Addr, SocketAddr};

use kaa_proto::platform::PlatformOptions;

use super::channel::Acceptor;
#[cfg(feature = "tls")]
use super::tls::LocalTls;

/// How [`LocalPlatform`](super::LocalPlatform) listens. The default takes everybody on a free port
/// of this machine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LocalOptions {
    /// Where MQTT clients connect; port 0 picks a free one. Not used when attached to a broker.
    /// Default: `127.0.0.1:0`.
    pub listen: SocketAddr,
    /// TLS for the MQTT clients; `None`: plain TCP. Uploads are plain HTTP in any case. Not used when
    /// attached to a broker. Default: `None`.
    #[cfg(feature = "tls")]
    pub tls: Option<LocalTls>,
    /// Where binary data and files are uploaded over HTTP; `None`: nowhere. Default: `None`.
    pub http_listen: Option<SocketAddr>,
    /// How the platform behaves.
    pub platform: PlatformOptions,
    /// Decides IDs, tokens and chance, so that a run can be repeated. Default: `None`, a random
    /// one.
    pub seed: Option<u64>,
    /// How many connections there can be; further ones are closed at once. Default: 10,000, as
    /// many as the usual limits of descriptors allow.
    pub max_links: usize,
    /// The largest upload in bytes; a larger one is answered by 413. Default: 64 MiB. Uploads are
    /// counted, not kept.
    pub max_upload: usize,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            #[cfg(feature = "tls")]
            tls: None,
            http_listen: None,
            platform: PlatformOptions::default(),
            seed: None,
            max_links: 10_000,
            max_upload: 64 << 20,
        }
    }
}

impl LocalOptions {
    pub(super) fn acceptor(&self) -> Acceptor {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return Acceptor::Tls(tls.clone());
        }
        Acceptor::Plain
    }
}
