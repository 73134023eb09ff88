//! The TLS records of one link.

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, IoState, SignatureScheme};

use super::{InvalidTls, TlsError};
use crate::connection::LinkError;

/// The largest piece of plain text in one record (RFC 8446, section 5.1).
const MAX_RECORD: usize = 16 * 1_024;

/// The header of a record, which rustls counts into `max_fragment_size`.
const RECORD_HEADER: usize = 5;

/// How the links of one client are secured.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
    /// Whether the server of the current link asked for a certificate, and there is none.
    lacked: Arc<AtomicBool>,
}

impl Tls {
    pub(crate) fn new(config: &ClientConfig, host: &str) -> Result<Self, InvalidTls> {
        let server = ServerName::try_from(host.to_owned()).map_err(|_| InvalidTls::ServerName)?;
        let lacked = Arc::new(AtomicBool::new(false));
        let mut config = config.clone();
        config.client_auth_cert_resolver = Arc::new(Noting {
            resolver: config.client_auth_cert_resolver,
            lacked: Arc::clone(&lacked),
        });
        Ok(Self {
            config: Arc::new(config),
            server,
            lacked,
        })
    }

    /// Begins the handshake of a link.
    pub(crate) fn begin(&self) -> Result<Session, TlsError> {
        self.lacked.store(false, Ordering::Relaxed);
        let tls = ClientConnection::new(Arc::clone(&self.config), self.server.clone())
            .map_err(|error| TlsError::new(&error, false))?;
        let fragment = self.config.max_fragment_size;
        let max_plain = fragment.map_or(MAX_RECORD, |size| size.saturating_sub(RECORD_HEADER));
        Ok(Session {
            tls,
            lacked: Arc::clone(&self.lacked),
            max_plain: max_plain.clamp(1, MAX_RECORD),
            plain: Vec::new(),
            unwritten: VecDeque::new(),
        })
    }
}

/// The records of one link, both ways.
pub(crate) struct Session {
    tls: ClientConnection,
    /// Whether the server asked for a certificate, and there is none.
    lacked: Arc<AtomicBool>,
    /// How much plain text goes into one record.
    max_plain: usize,
    /// The connection's bytes, before they are encrypted.
    plain: Vec<u8>,
    /// Records that are not with the transport: how many bytes are left of each, and how many of
    /// the connection's are in it. The peer can read those only when it has the whole record.
    unwritten: VecDeque<(usize, usize)>,
}

impl Session {
    /// Whether the handshake is over.
    pub(crate) fn is_ready(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Takes what came from the transport, and passes on what was in it.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        mut to: impl FnMut(&[u8]),
    ) -> Result<(), LinkError> {
        while !input.is_empty() {
            match self.tls.read_tls(&mut input) {
                // After its goodbye nothing is taken any more.
                Ok(0) => return Err(LinkError::Eof),
                Ok(_) => {}
                Err(error) => return Err(LinkError::Tls(TlsError::Other(error.to_string()))),
            }
            // What came in whole records before a bad one counts.
            let state = self.process();
            let mut reader = self.tls.reader();
            while let Ok(plain @ [_, ..]) = reader.fill_buf() {
                let n = plain.len();
                to(plain);
                reader.consume(n);
            }
            if state?.peer_has_closed() {
                return Err(LinkError::Eof);
            }
        }
        Ok(())
    }

    /// Verifiers and keys may be code of the application: a panic in one ends the link only.
    fn process(&mut self) -> Result<IoState, LinkError> {
        let tls = &mut self.tls;
        match catch_unwind(AssertUnwindSafe(|| tls.process_new_packets())) {
            Ok(state) => state.map_err(|error| LinkError::Tls(self.cause(&error))),
            Err(_) => {
                let error = TlsError::Other("what was given for TLS panicked".into());
                Err(LinkError::Tls(error))
            }
        }
    }

    /// Appends to `out`, which is empty, what is to be written. `pull` appends the connection's
    /// bytes and says how many.
    pub(crate) fn send(
        &mut self,
        out: &mut Vec<u8>,
        mut pull: impl FnMut(&mut Vec<u8>) -> usize,
    ) -> Result<(), TlsError> {
        self.unwritten.clear();
        self.drain(out, 0);
        if !self.is_ready() {
            return Ok(());
        }
        let mut plain = std::mem::take(&mut self.plain);
        pull(&mut plain);
        for piece in plain.chunks(self.max_plain) {
            // It is taken whole: nothing waits in there, and a record is under the limit.
            self.tls
                .writer()
                .write_all(piece)
                .map_err(|error| TlsError::Other(error.to_string()))?;
            let before = out.len();
            self.drain(out, piece.len());
            if out.len() - before <= piece.len() {
                // With TLS 1.2 a key may not encrypt for ever; rustls says goodbye in place of the rest.
                return Err(TlsError::Other("the keys of the link are used up".into()));
            }
        }
        // An idle link holds no buffer.
        if !plain.is_empty() {
            plain.clear();
            self.plain = plain;
        }
        Ok(())
    }

    /// `n` more bytes are with the transport; how many of the connection's that makes.
    pub(crate) fn written(&mut self, mut n: usize) -> usize {
        let mut plain = 0;
        while let Some((left, of_connection)) = self.unwritten.front_mut() {
            if *left > n {
                *left -= n;
                break;
            }
            n -= *left;
            plain += *of_connection;
            self.unwritten.pop_front();
        }
        plain
    }

    /// Says goodbye, at the next [`send`](Self::send).
    pub(crate) fn close(&mut self) {
        self.tls.send_close_notify();
    }

    /// Appends the alert that tells the server what was wrong.
    pub(crate) fn last_words(&mut self, out: &mut Vec<u8>) {
        self.drain(out, 0);
    }

    /// Appends the records that are ready, with `plain` bytes of the connection in them.
    fn drain(&mut self, out: &mut Vec<u8>, plain: usize) {
        let before = out.len();
        while self.tls.wants_write() {
            // A `Vec` takes everything.
            if !matches!(self.tls.write_tls(out), Ok(1..)) {
                break;
            }
        }
        if out.len() > before {
            self.unwritten.push_back((out.len() - before, plain));
        }
    }

    fn cause(&self, error: &rustls::Error) -> TlsError {
        let cause = TlsError::new(error, self.lacked.load(Ordering::Relaxed));
        match cause == TlsError::NotTls && self.is_ready() {
            // It did, until now.
            true => TlsError::Other(error.to_string()),
            false => cause,
        }
    }
}

/// Notes that a server asked for a certificate where there is none.
struct Noting {
    resolver: Arc<dyn ResolvesClientCert>,
    lacked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Noting {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let key = self.resolver.resolve(hints, schemes);
        self.lacked.store(key.is_none(), Ordering::Relaxed);
        key
    }

    fn only_raw_public_keys(&self) -> bool {
        self.resolver.only_raw_public_keys()
    }

    fn has_certs(&self) -> bool {
        self.resolver.has_certs()
    }
}

impl fmt::Debug for Noting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noting")
    }
}
