//! The harness: its certificates are accepted, or refused for the reason they are made for, and
//! its Mosquitto is set up as asked.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use kaa_tests::certificates::{Authority, Identity, Key, Server};
use kaa_tests::mosquitto::{Mosquitto, Setup, program};
use kaa_tests::scratch::Scratch;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};

const KEYS: [Key; 4] = [Key::EcPkcs8, Key::EcSec1, Key::RsaPkcs8, Key::RsaPkcs1];
const GOOD: Server = Server::Good;

/// What rustls has of an identity: from its PEM, which is the same as its DER.
fn loaded(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    assert_eq!(chain[0].as_ref(), identity.certificate_der);
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap();
    assert_eq!(key.secret_der(), identity.key_der);
    (chain, key)
}

fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let der = CertificateDer::from_slice(authority.certificate_der());
    roots.add(der).unwrap();
    Arc::new(roots)
}

fn client(trusted: &Authority, own: Option<&Identity>) -> ClientConfig {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(trusted));
    let Some(own) = own else {
        return config.with_no_client_auth();
    };
    let (chain, key) = loaded(own);
    config.with_client_auth_cert(chain, key).unwrap()
}

fn server(own: &Identity, clients_of: Option<&Authority>) -> ServerConfig {
    let (chain, key) = loaded(own);
    let provider = Arc::new(default_provider());
    let verifier = match clients_of {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(authority) => {
            WebPkiClientVerifier::builder_with_provider(roots(authority), Arc::clone(&provider))
                .build()
                .unwrap()
        }
    };
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap()
}

/// Shakes hands in memory; the error is of the side that refuses.
fn shake_hands(client: ClientConfig, server: ServerConfig) -> Result<(), Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

#[test]
fn good_certificates_are_accepted_with_every_form_of_key() {
    let authority = Authority::new("Root");
    let below = authority.subordinate("Below").subordinate("Further below");
    for (key, label) in KEYS.into_iter().zip([
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
    ]) {
        let own = authority.server(GOOD, key);
        let begin = format!("-----BEGIN {label}-----\n");
        assert!(own.key_pem.starts_with(&begin), "{key:?}");
        let of_client = below.client("device", key);
        let client = client(&authority, Some(&of_client));
        let server = server(&own, Some(&authority));
        assert_eq!(shake_hands(client, server), Ok(()), "{key:?}");
    }
}

#[test]
fn each_bad_server_certificate_is_refused_for_its_own_reason() {
    let authority = Authority::new("Root");
    let other = Authority::new("Other");
    for key in [Key::EcPkcs8, Key::RsaPkcs1] {
        let reason = |issuer: &Authority, kind| {
            let own = issuer.server(kind, key);
            let refused = shake_hands(client(&authority, None), server(&own, None));
            let Err(Error::InvalidCertificate(reason)) = refused else {
                panic!("{refused:?}");
            };
            reason
        };
        let expired = reason(&authority, Server::Expired);
        assert!(matches!(expired, CertificateError::ExpiredContext { .. }));
        let early = reason(&authority, Server::NotYetValid);
        assert!(matches!(early, CertificateError::NotValidYetContext { .. }));
        let elsewhere = reason(&authority, Server::WrongHost);
        let of_name = |it: &CertificateError| {
            matches!(it, CertificateError::NotValidForNameContext { presented, .. }
                if presented[0].contains("other.example"))
        };
        assert!(of_name(&elsewhere), "{elsewhere:?}");
        let unknown = CertificateError::UnknownIssuer;
        assert_eq!(reason(&authority, Server::SelfSigned), unknown);
        assert_eq!(reason(&other, GOOD), unknown);
    }
}

#[test]
fn a_client_certificate_is_refused_unless_the_authority_asked_for_signed_it() {
    let authority = Authority::new("Root");
    let stranger = Authority::new("Other").client("device", Key::EcPkcs8);
    let own = authority.server(GOOD, Key::EcPkcs8);
    let try_as = |identity: Option<&Identity>| {
        let client = client(&authority, identity);
        shake_hands(client, server(&own, Some(&authority)))
    };
    assert_eq!(try_as(None), Err(Error::NoCertificatesPresented));
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert_eq!(try_as(Some(&stranger)), Err(unknown));
}

/// One message to the broker, by a client that trusts the authority.
fn publish(broker: &Mosquitto, authority: &Authority, more: &[&str]) -> Output {
    let files = Scratch::new().unwrap();
    Command::new(program("mosquitto_pub").unwrap())
        .args(["-h", "localhost", "-p", &broker.port().to_string()])
        .args(["-q", "1", "-t", "topic", "-m", "payload", "--cafile"])
        .arg(authority.write(&files, "root").unwrap())
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn mosquitto_takes_each_form_of_key_and_asks_for_what_it_is_set_up_to() {
    let authority = Authority::new("Root");
    let files = Scratch::new().unwrap();
    for key in KEYS {
        let own = authority.subordinate("Below").server(GOOD, key);
        let open = Setup::new().tls(&own);
        let mut broker = Mosquitto::start_with(open.clone()).unwrap();
        assert_eq!(broker.url(), format!("mqtts://localhost:{}", broker.port()));
        assert!(publish(&broker, &authority, &[]).status.success());
        let elsewhere = publish(&broker, &Authority::new("Root"), &[]);
        assert!(!elsewhere.status.success());

        broker.restart_with(open.user("name", "secret")).unwrap();
        assert!(!publish(&broker, &authority, &[]).status.success());
        let login = ["-u", "name", "-P", "secret"];
        assert!(publish(&broker, &authority, &login).status.success());

        let mutual = Setup::new().tls(&own).clients_of(&authority);
        broker.restart_with(mutual).unwrap();
        assert!(!publish(&broker, &authority, &[]).status.success());
        for (issuer, is_taken) in [(&authority, true), (&Authority::new("Root"), false)] {
            let of_client = issuer.client("device", key).write(&files, "client");
            let of_client = of_client.unwrap();
            let (cert, key) = (of_client.chain, of_client.key);
            let more = ["--cert", cert.to_str().unwrap(), "--key"];
            let more = [&more[..], &[key.to_str().unwrap()]].concat();
            let taken = publish(&broker, &authority, &more).status.success();
            assert_eq!(taken, is_taken);
        }
    }
}

#[test]
fn mosquitto_can_be_kept_to_one_version_of_tls() {
    let authority = Authority::new("Root");
    let own = Setup::new().tls(&authority.server(GOOD, Key::EcPkcs8));
    let mut broker = Mosquitto::start_with(own.clone()).unwrap();
    let can_connect = |port, version: &'static SupportedProtocolVersion| {
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots(&authority))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let long = Some(Duration::from_secs(20));
        stream.set_read_timeout(long).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, stream);
        let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
        let mut connack = [0; 4];
        let sent = stream.write_all(connect);
        let answered = sent.and_then(|()| stream.read_exact(&mut connack));
        answered.is_ok_and(|()| connack == *b"\x20\x02\x00\x00")
    };
    assert!(can_connect(broker.port(), &TLS13));
    assert!(can_connect(broker.port(), &TLS12));
    broker.restart_with(own.tls12()).unwrap();
    assert!(!can_connect(broker.port(), &TLS13));
    assert!(can_connect(broker.port(), &TLS12));
}
