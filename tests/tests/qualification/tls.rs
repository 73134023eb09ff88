//! The TLS of a client, record by record: what it offers, what it takes, and what it says before it
//! hangs up on a server that it does not believe.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use kaa_proto::client::{Client, Driver, LinkEvents, Options, Transport, Turn};
use kaa_proto::connection::{Event, LinkError};
use kaa_proto::tls::{self, TlsError};
use kaa_tests::certificates::{Authority, Key, Server};
use kaa_tests::clock::Clock;
use kaa_tests::sniffer::Sniffer;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{ALL_CIPHER_SUITES, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ALL_VERSIONS, AlertDescription, CipherSuite, Error, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};

use crate::server::{PUBACK, publish};

/// A server of TLS alone, and a client that dials it once.
struct Link {
    _client: Client,
    events: LinkEvents,
    driver: Driver,
    transport: Option<Wire>,
    wire: Wire,
    server: ServerConnection,
    /// What the client said inside TLS.
    plain: Vec<u8>,
    /// What it said in its last record, if that was an alert.
    alert: Option<AlertDescription>,
    /// The sizes of the records of application data that the server sent.
    records: Vec<usize>,
}

#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    to_server: Vec<u8>,
    to_client: VecDeque<u8>,
}

impl Transport for Wire {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.0.lock().unwrap();
        if ends.to_client.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut ends.to_client, block)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().to_server.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Link {
    /// Dials, and lets both sides do what they can.
    fn new(config: ServerConfig, trusted: &Authority) -> Self {
        let options = Options::new("mqtts://localhost")
            .unwrap()
            .tls(tls::Options::new().ca(trusted.certificate_pem()));
        let no_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
        let options = options.load_tls(no_file, Vec::new).unwrap();
        let now = Clock::new().now();
        let (client, mut driver) = Client::new(options, 1, 2, move || now).unwrap();
        let mut transport = None;
        let Turn::Dial { link, .. } = driver.turn(Waker::noop(), &mut transport) else {
            panic!("it dials at once");
        };
        let wire = Wire::default();
        transport = Some(wire.clone());
        driver.handle_connected(link);
        let mut link = Self {
            events: client.link_events(),
            _client: client,
            driver,
            transport,
            wire,
            server: ServerConnection::new(Arc::new(config)).unwrap(),
            plain: Vec::new(),
            alert: None,
            records: Vec::new(),
        };
        link.run();
        link
    }

    /// The server says something inside TLS.
    fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = io::Write::write(&mut self.server.writer(), bytes).unwrap();
            bytes = &bytes[taken..];
            self.run();
        }
    }

    fn run(&mut self) {
        loop {
            let turn = self.driver.turn(Waker::noop(), &mut self.transport);
            let (heard, said) = (self.hear(), self.speak());
            if turn != Turn::Again && !heard && !said {
                return;
            }
        }
    }

    fn hear(&mut self) -> bool {
        let sent = std::mem::take(&mut self.wire.0.lock().unwrap().to_server);
        let mut rest = &sent[..];
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            match self.server.process_new_packets() {
                Ok(_) => {}
                Err(Error::AlertReceived(alert)) => self.alert = Some(alert),
                // The server's own mistake, where that is the point.
                Err(_) => {}
            }
            let _ = io::Read::read_to_end(&mut self.server.reader(), &mut self.plain);
        }
        !sent.is_empty()
    }

    fn speak(&mut self) -> bool {
        let mut bytes = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        // Type, version, length.
        while let [kind, _, _, high, low, body @ ..] = rest {
            let length = usize::from(*high) << 8 | usize::from(*low);
            if *kind == 23 {
                self.records.push(length);
            }
            rest = &body[length..];
        }
        self.wire.0.lock().unwrap().to_client.extend(&bytes);
        !bytes.is_empty()
    }

    /// Why the client ended the link, if it did.
    fn cause(&mut self) -> Option<LinkError> {
        std::iter::from_fn(|| self.events.try_next()).find_map(|event| match event {
            Event::LinkLost { error, .. } => Some(error),
            _ => None,
        })
    }

    /// What the client said inside TLS is CONNECT, and no more.
    fn assert_connects(&self) {
        let packets = Sniffer::default().packets(&self.plain);
        assert_eq!(packets.len(), 1);
        assert_eq!(packets[0].first, 0x10);
    }
}

fn config(
    authority: &Authority,
    server: Server,
    key: Key,
    versions: &[&'static SupportedProtocolVersion],
    suites: &[CipherSuite],
) -> ServerConfig {
    let identity = authority.server(server, key);
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    let mut provider: CryptoProvider = default_provider();
    provider
        .cipher_suites
        .retain(|suite| suites.is_empty() || suites.contains(&suite.suite()));
    ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap()
}

/// Of the suites that AWS IoT lists, all that keep secrets if the key of the server is lost later
/// and that authenticate what they encrypt; with a key of each kind.
#[test]
fn the_client_connects_with_each_suite_of_aws_iot_that_is_sound() {
    use CipherSuite as S;
    let authority = Authority::new("Root");
    for (version, key, suite) in [
        (&TLS13, Key::EcPkcs8, S::TLS13_AES_128_GCM_SHA256),
        (&TLS13, Key::EcPkcs8, S::TLS13_AES_256_GCM_SHA384),
        (&TLS13, Key::RsaPkcs8, S::TLS13_CHACHA20_POLY1305_SHA256),
        (
            &TLS12,
            Key::EcPkcs8,
            S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ),
        (
            &TLS12,
            Key::EcPkcs8,
            S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        ),
        (
            &TLS12,
            Key::RsaPkcs8,
            S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ),
        (
            &TLS12,
            Key::RsaPkcs8,
            S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        ),
    ] {
        let config = config(&authority, Server::Good, key, &[version], &[suite]);
        let link = Link::new(config, &authority);
        let found = link.server.negotiated_cipher_suite().unwrap();
        assert_eq!(found.suite(), suite);
        link.assert_connects();
    }
}

/// Notes what a client offers.
#[derive(Debug, Default)]
struct Offered(Mutex<Vec<CipherSuite>>);

impl ResolvesServerCert for Offered {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.lock().unwrap().extend(hello.cipher_suites());
        None
    }
}

#[test]
fn the_client_offers_no_suite_without_forward_secrecy_and_authenticated_encryption() {
    let offered = Arc::new(Offered::default());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&offered) as Arc<dyn ResolvesServerCert>);
    let authority = Authority::new("Root");
    Link::new(config, &authority);
    let offered = offered.0.lock().unwrap();
    let sound: Vec<_> = ALL_CIPHER_SUITES
        .iter()
        .map(|suite| suite.suite())
        .collect();
    let is_sound = |suite: &&CipherSuite| {
        sound.contains(suite) || **suite == CipherSuite::TLS_EMPTY_RENEGOTIATION_INFO_SCSV
    };
    assert_eq!(
        offered.iter().filter(|suite| !is_sound(suite)).count(),
        0,
        "{offered:?}"
    );
    assert!(sound.iter().all(|suite| offered.contains(suite)));
}

#[test]
fn records_of_every_size_up_to_the_largest_are_taken() {
    let authority = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        for fragment in [Some(64), Some(512), Some(4_096), None] {
            let mut config = config(&authority, Server::Good, Key::EcPkcs8, &[version], &[]);
            config.max_fragment_size = fragment;
            let mut link = Link::new(config, &authority);
            link.assert_connects();
            link.say(b"\x20\x02\x00\x00");
            link.records.clear();
            link.plain.clear();
            link.say(&publish(7, "anything", &[b'x'; 131_072]));
            let largest = link.records.iter().max().unwrap();
            let most = fragment.unwrap_or(16_384);
            // With what encryption adds.
            assert!((most - 5..most + 64).contains(largest), "{largest}");
            let answers = Sniffer::default().packets(&link.plain);
            assert_eq!(answers.last().unwrap().first, PUBACK);
            assert_eq!(answers.last().unwrap().body, [0, 7]);
        }
    }
}

#[test]
fn a_certificate_larger_than_a_record_is_taken() {
    let authority = Authority::new("Root");
    for version in [&TLS12, &TLS13] {
        let size = authority
            .server(Server::Large, Key::EcPkcs8)
            .certificate_der
            .len();
        assert!(size > 16_384, "{size}");
        let config = config(&authority, Server::Large, Key::EcPkcs8, &[version], &[]);
        Link::new(config, &authority).assert_connects();
    }
}

/// Else the server's operator sees only that somebody hung up.
#[test]
fn a_server_that_is_not_believed_is_told_why_before_the_client_closes() {
    use AlertDescription as A;
    let (ours, other) = (Authority::new("Root"), Authority::new("Other"));
    for version in [&TLS12, &TLS13] {
        for (trusted, server, alert) in [
            (&other, Server::Good, A::UnknownCA),
            (&ours, Server::SelfSigned, A::CertificateUnknown),
            (&ours, Server::WrongHost, A::BadCertificate),
            (&ours, Server::Expired, A::CertificateExpired),
            (&ours, Server::NotYetValid, A::CertificateExpired),
        ] {
            let config = config(&ours, server, Key::EcPkcs8, &[version], &[]);
            let mut link = Link::new(config, trusted);
            assert_eq!(link.alert, Some(alert), "{server:?}");
            assert!(link.transport.is_none(), "{server:?}: it hangs up");
            assert!(link.plain.is_empty(), "not even CONNECT");
            let cause = link.cause();
            assert!(matches!(cause, Some(LinkError::Tls(_))), "{cause:?}");
            assert_ne!(cause, Some(LinkError::Tls(TlsError::Cut)));
        }
    }
}
