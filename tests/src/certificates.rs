//! An authority that issues certificates for tests: good ones, and each kind that is refused.
//!
//! Where it cannot, which no test provokes, it panics.

use std::path::PathBuf;
use std::{fmt, fs, io};

use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::scratch::Scratch;

/// *ring* cannot make RSA keys, so there is one for all; a test key, known to everybody.
const RSA_KEY: &str = include_str!("test_rsa_key.pem");

/// What a server certificate is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// For `localhost`, `127.0.0.1` and `::1`, and valid until 2100.
    Good,
    /// Valid in 2001.
    Expired,
    /// Valid from 2100 on.
    NotYetValid,
    /// For `other.example`.
    WrongHost,
    /// Signed by its own key, not by the authority, and no authority itself (`CA:FALSE`).
    SelfSigned,
    /// As [`Good`](Self::Good), and for so many more hosts that it does not fit into one record.
    Large,
}

/// What a private key is, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// P-256, as PKCS#8: `PRIVATE KEY`.
    EcPkcs8,
    /// P-256, as SEC1: `EC PRIVATE KEY`.
    EcSec1,
    /// RSA, as PKCS#8: `PRIVATE KEY`.
    RsaPkcs8,
    /// RSA, as PKCS#1: `RSA PRIVATE KEY`.
    RsaPkcs1,
}

/// Who signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// What others need between a certificate of this authority and its root, as PEM.
    path: String,
}

impl Authority {
    /// A root of that name. Two of the same name have different keys.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let issuer = must(CertifiedIssuer::self_signed(of_authority(name), ec_key()));
        let path = String::new();
        Self { issuer, path }
    }

    /// An authority below this one. What it issues comes with its own certificate.
    #[must_use]
    pub fn subordinate(&self, name: &str) -> Self {
        let signed = CertifiedIssuer::signed_by(of_authority(name), ec_key(), &self.issuer);
        let issuer = must(signed);
        let path = format!("{}{}", to_pem("CERTIFICATE", issuer.der()), self.path);
        Self { issuer, path }
    }

    /// Its own certificate, as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        to_pem("CERTIFICATE", self.issuer.der())
    }

    /// Its own certificate, as DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.issuer.der()
    }

    /// Writes its own certificate to `NAME.pem`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Scratch, name: &str) -> io::Result<PathBuf> {
        put(folder, format!("{name}.pem"), &self.certificate_pem())
    }

    /// What a server of this machine has.
    #[must_use]
    pub fn server(&self, server: Server, key: Key) -> Identity {
        let mut names = match server {
            Server::WrongHost => vec!["other.example".into()],
            Server::Good
            | Server::Expired
            | Server::NotYetValid
            | Server::SelfSigned
            | Server::Large => ["localhost", "127.0.0.1", "::1"].map(String::from).to_vec(),
        };
        if server == Server::Large {
            names.extend((0..1_000).map(|n| format!("host-{n}.example")));
        }
        let mut params = of_leaf("server", names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = match server {
            Server::Expired => (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1)),
            Server::NotYetValid => (date_time_ymd(2100, 1, 1), date_time_ymd(2101, 1, 1)),
            Server::Good | Server::WrongHost | Server::SelfSigned | Server::Large => {
                (params.not_before, params.not_after)
            }
        };
        let issuer = (server != Server::SelfSigned).then_some(self);
        Identity::issue(&params, key, issuer)
    }

    /// What a client of that name has.
    #[must_use]
    pub fn client(&self, name: &str, key: Key) -> Identity {
        let mut params = of_leaf(name, Vec::new());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Identity::issue(&params, key, Some(self))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, and then those between it and the root, as PEM.
    pub chain_pem: String,
    /// The certificate alone, as DER.
    pub certificate_der: Vec<u8>,
    /// The key, in the form that was asked for, as PEM.
    pub key_pem: String,
    /// The key, in the form that was asked for, as DER.
    pub key_der: Vec<u8>,
}

/// Where an [`Identity`] was written.
#[derive(Clone, Debug)]
pub struct IdentityFiles {
    /// The certificates.
    pub chain: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Identity {
    /// Writes it to `NAME.pem` and `NAME.key`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Scratch, name: &str) -> io::Result<IdentityFiles> {
        Ok(IdentityFiles {
            chain: put(folder, format!("{name}.pem"), &self.chain_pem)?,
            key: put(folder, format!("{name}.key"), &self.key_pem)?,
        })
    }

    /// Without an issuer it is signed by its own key.
    fn issue(params: &CertificateParams, key: Key, issuer: Option<&Authority>) -> Self {
        let pair = match key {
            Key::EcPkcs8 | Key::EcSec1 => ec_key(),
            Key::RsaPkcs8 | Key::RsaPkcs1 => rsa_key(),
        };
        let certificate = must(match issuer {
            Some(authority) => params.signed_by(&pair, &authority.issuer),
            None => params.self_signed(&pair),
        });
        let path = issuer.map_or("", |authority| &authority.path);
        let (label, key_der) = match key {
            Key::EcPkcs8 | Key::RsaPkcs8 => ("PRIVATE KEY", pair.serialize_der()),
            Key::EcSec1 => ("EC PRIVATE KEY", to_sec1(pair.serialized_der())),
            Key::RsaPkcs1 => ("RSA PRIVATE KEY", to_pkcs1(pair.serialized_der())),
        };
        Self {
            chain_pem: to_pem("CERTIFICATE", certificate.der()) + path,
            certificate_der: certificate.der().to_vec(),
            key_pem: to_pem(label, &key_der),
            key_der,
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = named(name, Vec::new());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn of_leaf(name: &str, hosts: Vec<String>) -> CertificateParams {
    let mut params = named(name, hosts);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

fn named(name: &str, hosts: Vec<String>) -> CertificateParams {
    let mut params = must(CertificateParams::new(hosts));
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn ec_key() -> KeyPair {
    must(KeyPair::generate())
}

fn rsa_key() -> KeyPair {
    let pkcs8 = must(pem::parse(RSA_KEY));
    must(KeyPair::try_from(pkcs8.contents()))
}

/// The key inside PKCS#8, with the curve, which PKCS#8 has outside (RFC 5915 section 3).
fn to_sec1(pkcs8: &[u8]) -> Vec<u8> {
    // P-256 has lengths that never change.
    let (Some(scalar), Some(point)) = (pkcs8.get(36..68), pkcs8.get(73..138)) else {
        panic!("a P-256 key has {} bytes", pkcs8.len());
    };
    let curve = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    [
        b"\x30\x77\x02\x01\x01\x04\x20",
        scalar,
        curve,
        b"\xa1\x44\x03\x42\x00",
        point,
    ]
    .concat()
}

/// The key inside PKCS#8, behind the version and the algorithm (RFC 5958 section 2).
fn to_pkcs1(pkcs8: &[u8]) -> Vec<u8> {
    // The one key there is has 2,048 bits.
    pkcs8.get(26..).unwrap_or_default().to_vec()
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(label, der), lines)
}

fn put(folder: &Scratch, name: String, text: &str) -> io::Result<PathBuf> {
    let path = folder.path().join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn must<T, E: fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a test certificate: {error}"))
}
