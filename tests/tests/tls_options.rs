//! What `tls::Options` makes of certificates and keys in every form, what it refuses, and that it
//! tells no secret.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kaa_proto::client;
use kaa_proto::connection::{Event, LinkState};
use kaa_proto::platform::PlatformOptions;
use kaa_proto::tls::{CertificateDer, ClientConfig, InvalidTls, Options};
use kaa_tests::certificates::{Authority, Identity, Key, Server};
use kaa_tests::rig::Rig;
use kaa_tests::tls_end::{server_config, server_config_for};
use rustls::version::{TLS12, TLS13};

const KEYS: [Key; 4] = [Key::EcPkcs8, Key::EcSec1, Key::RsaPkcs8, Key::RsaPkcs1];

/// The file system, and that of the system's roots.
fn load(options: &Options, files: &[(&str, &[u8])]) -> Result<Arc<ClientConfig>, InvalidTls> {
    let files: BTreeMap<_, _> = files
        .iter()
        .map(|(path, content)| (PathBuf::from(path), content.to_vec()))
        .collect();
    let read = |path: &Path| {
        files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    options.load(read, Vec::new)
}

fn refused(options: &Options) -> InvalidTls {
    load(options, &[]).unwrap_err()
}

/// Why a client with these options does not get in; `None`: it does.
fn shut_out(options: Options, server: Arc<rustls::ServerConfig>) -> Option<String> {
    let options = client::Options::new("mqtts://localhost")
        .unwrap()
        .tls(options);
    let no_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let options = options.load_tls(no_file, Vec::new).unwrap();
    let (client, mut rig) = Rig::with(options, PlatformOptions::default(), Some(server));
    let mut events = client.link_events();
    rig.run();
    let lost = std::iter::from_fn(|| events.try_next()).find_map(|event| {
        let Event::LinkLost { error, .. } = event else {
            return None;
        };
        Some(error.to_string())
    });
    assert_eq!(lost.is_none(), client.link_state() == LinkState::Up);
    lost
}

#[test]
fn every_form_of_certificate_and_key_lets_the_client_in() {
    let authority = Authority::new("Root");
    let below = authority.subordinate("Below");
    for key in KEYS {
        let own = authority.server(Server::Good, key);
        let root = authority.certificate_pem();
        let device = below.client("device", key);
        let direct = authority.client("device", key);
        let forms = [
            Options::new()
                .ca(root.clone())
                .identity(device.chain_pem.clone(), device.key_pem.clone()),
            Options::new()
                .ca(authority.certificate_der())
                .identity(direct.certificate_der.clone(), direct.key_der.clone()),
            // One file may hold both, as some tools write them.
            Options::new().ca(root.clone()).identity(
                format!("{}{}", direct.key_pem, direct.chain_pem),
                format!("{}{}", direct.chain_pem, direct.key_pem),
            ),
        ];
        for version in [&TLS12, &TLS13] {
            let server = server_config_for(&own, &[version], Some(&root));
            for options in &forms {
                assert_eq!(shut_out(options.clone(), server.clone()), None, "{key:?}");
            }
        }
    }
}

#[test]
fn one_of_several_authorities_is_enough() {
    let (ours, other) = (Authority::new("Root"), Authority::new("Other"));
    let server = server_config(&ours.server(Server::Good, Key::EcPkcs8), &[&TLS13]);
    let bundle = other.certificate_pem() + &ours.certificate_pem();
    assert_eq!(shut_out(Options::new().ca(bundle), server.clone()), None);
    let twice = Options::new()
        .ca(ours.certificate_der())
        .ca(other.certificate_pem());
    assert_eq!(shut_out(twice, server), None);
}

/// `openssl x509 -req -signkey` makes such authorities, without a version.
#[test]
fn an_old_authority_is_one_too() {
    assert!(load(&Options::new().ca(OLD_ROOT), &[]).is_ok());
}

#[test]
fn what_cannot_be_used_is_refused_by_its_name() {
    let authority = Authority::new("Root");
    let [one, other] = ["one", "other"].map(|name| authority.client(name, Key::EcPkcs8));
    let Identity {
        chain_pem, key_pem, ..
    } = one;
    let sealed = key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cut = &chain_pem[..chain_pem.len() / 2];
    let root = authority.certificate_pem();
    let with =
        |chain: &str, key: &str| refused(&Options::new().ca(root.as_str()).identity(chain, key));
    for bytes in ["", "none", cut, &key_pem] {
        assert_eq!(refused(&Options::new().ca(bytes)), InvalidTls::Authorities);
        assert_eq!(with(bytes, &key_pem), InvalidTls::Certificate);
    }
    for bytes in ["", "none", &sealed, &chain_pem] {
        assert_eq!(with(&chain_pem, bytes), InvalidTls::Key);
    }
    assert_eq!(with(&chain_pem, &other.key_pem), InvalidTls::KeyMismatch);
    assert_eq!(refused(&Options::new()), InvalidTls::NoSystemRoots);
}

#[test]
fn files_are_read_when_they_are_needed_and_named_when_they_cannot_be() {
    let authority = Authority::new("Root");
    let device = authority.client("device", Key::EcSec1);
    let root = authority.certificate_pem();
    let files = [
        ("ca.pem", root.as_bytes()),
        ("device.pem", device.chain_pem.as_bytes()),
        ("device.key", device.key_pem.as_bytes()),
    ];
    let options = Options::new()
        .ca_file("ca.pem")
        .identity_files("device.pem", "device.key");
    assert!(load(&options, &files).is_ok());
    for missing in 0..files.len() {
        let mut there = files.to_vec();
        let (path, _) = there.remove(missing);
        let error = load(&options, &there).unwrap_err();
        assert!(
            matches!(&error, InvalidTls::Unreadable { path: found, .. } if found == Path::new(path))
        );
        assert!(error.to_string().contains(path), "{error}");
    }
}

#[test]
fn the_system_is_asked_for_its_roots_only_if_none_are_given() {
    let authority = Authority::new("Root");
    let roots = || vec![CertificateDer::from(authority.certificate_der().to_vec())];
    let no_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
    assert!(Options::new().load(no_file, roots).is_ok());
    let given = Options::new().ca(authority.certificate_pem());
    assert!(
        given
            .load(no_file, || panic!("they are not needed"))
            .is_ok()
    );
    let ready = given.load(no_file, Vec::new).unwrap();
    let used = Options::new().with_config(Arc::clone(&ready));
    let used = used.load(no_file, || panic!("it is ready")).unwrap();
    assert!(Arc::ptr_eq(&used, &ready));
}

/// The commonest way to try TLS: a certificate of `openssl req -x509`, given to both sides.
#[test]
fn a_trusted_authority_that_is_shown_as_a_server_is_told_apart_from_a_stranger() {
    let [mine, stranger] = [(); 2].map(|()| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Identity {
            chain_pem: pem("CERTIFICATE", certificate.der()),
            certificate_der: certificate.der().to_vec(),
            key_pem: pem("PRIVATE KEY", &key.serialize_der()),
            key_der: key.serialize_der(),
        }
    });
    let server = server_config(&mine, &[&TLS13]);
    let trusting =
        |it: &Identity| shut_out(Options::new().ca(it.chain_pem.as_str()), server.clone());
    assert_eq!(
        trusting(&mine).unwrap(),
        "TLS failed: the server's certificate is that of an authority, which no server may show; \
         it needs one with CA:FALSE"
    );
    assert_eq!(
        trusting(&stranger).unwrap(),
        "TLS failed: the server's certificate is self-signed, and not trusted"
    );
}

fn pem(tag: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(tag, der))
}

#[test]
fn nothing_of_a_key_or_a_password_is_shown() {
    let authority = Authority::new("Root");
    for key in KEYS {
        let device = authority.client("device", key);
        let tls = Options::new()
            .ca(authority.certificate_pem())
            .identity(device.chain_pem.clone(), device.key_pem.clone());
        let options = client::Options::new("mqtts://localhost")
            .unwrap()
            .tls(tls)
            .login("name@tenant", "p4ssw0rd");
        let no_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
        let options = options.load_tls(no_file, Vec::new).unwrap();
        let shown = format!("{options:?} {options:#?}");
        let bytes = format!("{:?}", &device.key_der[device.key_der.len() - 40..]);
        let of_pem = device.key_pem.lines().nth(1).unwrap();
        for secret in ["p4ssw0rd", of_pem, bytes.trim_matches(['[', ']'])] {
            assert!(!shown.contains(secret), "{key:?}: {secret} is in {shown}");
        }
    }
}

const OLD_ROOT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBIjCByQIUY2mHrjQ9cvPZ551ealJR1QI5ZJowCgYIKoZIzj0EAwIwEzERMA8G
A1UEAwwIT2xkIHJvb3QwIBcNMjYxMTIyMjIzOTQ0WhgPMjEyNjEwMjkyMjM5NDRa
MBMxETAPBgNVBAMMCE9sZCByb290MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
h3o8V3jVvE2uulx8xiO2pPnmPTOIwtTH/VrfZSkm3hxFZoBzruW/0yiDTS2s9Nyq
KmfA3UAMufX00RXqsM9G1TAKBggqhkjOPQQDAgNIADBFAiATd0HK0NDsHunFYk6t
iRQ8WJqw173GRlXOliGGy/rXAwIhAKo/CaahrsKY5U+v57FXMeYrIq4qFgxaArm/
e2SBm0yB
-----END CERTIFICATE-----
";
