//! A server that can put anything into TLS records, and one that behaves.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use kaa_proto::client::Transport;
use kaa_proto::platform::{LinkId, PlatformServer};
use kaa_tests::certificates::Identity;
use kaa_tests::tls_end::TlsEnd;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::ring::{self, cipher_suite};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConfig, ServerConnection,
    SupportedCipherSuite,
};

use crate::meter::aside;

/// How far a server goes before it plays its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Not at all.
    Nowhere,
    /// It ends the handshake and greets the client, in TLS 1.2.
    Greeted12,
    /// The same in TLS 1.3.
    Greeted13,
}

/// Seals records with the keys of a link, whatever is in them.
pub(crate) struct Sealer {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl Sealer {
    /// A record of this type.
    pub(crate) fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let sealed = self.encrypter.encrypt(message, self.sequence).unwrap();
        self.sequence += 1;
        sealed.encode()
    }
}

/// The next piece of what a server sends; `None`: that was all.
pub(crate) type Script = fn(usize, &mut Option<Sealer>) -> Option<Vec<u8>>;

enum Host {
    Hostile(Box<Hostile>),
    Good(Box<Good>),
}

struct Hostile {
    /// Until the keys are taken out of it.
    tls: Option<ServerConnection>,
    start: Start,
    sealer: Option<Sealer>,
    script: Script,
    step: usize,
    is_done: bool,
    allowance: usize,
    out: VecDeque<u8>,
}

struct Good {
    tls: TlsEnd,
    server: PlatformServer,
    link: LinkId,
    out: VecDeque<u8>,
}

/// A transport to a host. Clones are its two ends.
#[derive(Clone)]
pub(crate) struct Wire {
    host: Arc<Mutex<Host>>,
    now: Instant,
    moved: Arc<Mutex<usize>>,
}

/// A server that shows its certificate so many times over.
pub(crate) fn config(identity: &Identity, start: Start, copies: usize) -> Arc<ServerConfig> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let chain = chain.iter().cycle().take(chain.len() * copies).cloned();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let version = if start == Start::Greeted12 {
        &TLS12
    } else {
        &TLS13
    };
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ];
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.collect(), key)
        .unwrap();
    config.enable_secret_extraction = true;
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

impl Wire {
    pub(crate) fn to_hostile(
        now: Instant,
        config: &Arc<ServerConfig>,
        start: Start,
        script: Script,
    ) -> Self {
        let tls = ServerConnection::new(Arc::clone(config)).unwrap();
        let hostile = Hostile {
            tls: (start != Start::Nowhere).then_some(tls),
            start,
            sealer: None,
            script,
            step: 0,
            is_done: false,
            allowance: usize::MAX,
            out: VecDeque::new(),
        };
        Self::to(now, Host::Hostile(Box::new(hostile)))
    }

    pub(crate) fn to_platform(
        now: Instant,
        config: &Arc<ServerConfig>,
        mut server: PlatformServer,
    ) -> Self {
        let link = server.handle_accepted(now);
        let tls = TlsEnd::new(config);
        let out = VecDeque::new();
        let good = Good {
            tls,
            server,
            link,
            out,
        };
        Self::to(now, Host::Good(Box::new(good)))
    }

    fn to(now: Instant, host: Host) -> Self {
        Self {
            host: Arc::new(Mutex::new(host)),
            now,
            moved: Arc::default(),
        }
    }

    /// How many bytes were moved, either way.
    pub(crate) fn moved(&self) -> usize {
        *self.moved.lock().unwrap()
    }

    /// Whether everything that it has to say was read.
    pub(crate) fn is_done(&self) -> bool {
        match &*self.host.lock().unwrap() {
            Host::Hostile(hostile) => hostile.is_done && hostile.out.is_empty(),
            Host::Good(_) => true,
        }
    }

    /// Time has passed; a slow server sends that many bytes more.
    pub(crate) fn tick(&mut self, now: Instant, bytes: usize) {
        self.now = now;
        match &mut *self.host.lock().unwrap() {
            Host::Hostile(hostile) => hostile.allowance = bytes,
            Host::Good(good) => good.server.handle_timeout(now),
        }
    }
}

impl Hostile {
    fn take(&mut self, mut sealed: &[u8]) {
        let Some(tls) = &mut self.tls else { return };
        while !sealed.is_empty() && matches!(tls.read_tls(&mut sealed), Ok(1..)) {
            if tls.process_new_packets().is_err() {
                break;
            }
        }
        let mut plain = Vec::new();
        let _ = io::Read::read_to_end(&mut tls.reader(), &mut plain);
        let is_greeted = plain.starts_with(b"\x10");
        if is_greeted {
            io::Write::write_all(&mut tls.writer(), b"\x20\x02\x00\x00").unwrap();
        }
        let mut sealed = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut sealed).unwrap();
        }
        self.out.extend(sealed);
        if is_greeted {
            self.sealer = self.tls.take().map(sealer);
        }
    }

    fn give(&mut self, block: &mut [u8]) -> usize {
        let begins = self.start == Start::Nowhere || self.sealer.is_some();
        while begins && self.out.len() < block.len() && !self.is_done {
            match (self.script)(self.step, &mut self.sealer) {
                Some(piece) => self.out.extend(piece),
                None => self.is_done = true,
            }
            self.step += 1;
        }
        let most = block.len().min(self.allowance);
        let n = io::Read::read(&mut self.out, &mut block[..most]).unwrap();
        self.allowance = self.allowance.saturating_sub(n);
        n
    }
}

#[allow(
    deprecated,
    reason = "no tickets and no key updates are wanted of rustls here"
)]
fn sealer(tls: ServerConnection) -> Sealer {
    let suite = tls.negotiated_cipher_suite().unwrap();
    let (sequence, secrets) = tls.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } = secrets else {
        panic!("another cipher was chosen");
    };
    let encrypter = match suite {
        SupportedCipherSuite::Tls12(suite) => suite.aead_alg.encrypter(key, iv.as_ref(), &[]),
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
    };
    Sealer {
        encrypter,
        sequence,
    }
}

impl Good {
    fn take(&mut self, now: Instant, sealed: &[u8]) {
        let plain = self.tls.open(sealed).unwrap_or_default();
        self.server.handle_input(now, self.link, &plain);
    }

    fn give(&mut self, now: Instant, block: &mut [u8]) -> usize {
        let mut answers = Vec::new();
        let n = self.server.poll_transmit(self.link, &mut answers);
        self.server.handle_written(now, self.link, n);
        self.out.extend(self.tls.seal(&answers));
        io::Read::read(&mut self.out, block).unwrap()
    }
}

impl Transport for Wire {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let n = aside(|| match &mut *self.host.lock().unwrap() {
            Host::Hostile(hostile) => hostile.give(block),
            Host::Good(good) => good.give(self.now, block),
        });
        *self.moved.lock().unwrap() += n;
        match n {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        aside(|| match &mut *self.host.lock().unwrap() {
            Host::Hostile(hostile) => hostile.take(bytes),
            Host::Good(good) => good.take(self.now, bytes),
        });
        *self.moved.lock().unwrap() += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
