//! The server's certificate: what secures the link, and for how much longer it is valid.

use std::io::{self, Error, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kaa_blocking::tls::ClientConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConnection, RootCertStore};

use super::finding::Finding;
use super::raw::{TICK, is_quiet};
use crate::connection::settings::Settings;
use crate::problem::Problem;
use crate::stop::Stop;

/// Certificates that end sooner should have been renewed by now.
const SOON: u64 = 14;

const DAY: u64 = 24 * 3_600;

/// The last second of the year 9999, when every certificate is over.
const END_OF_TIME: u64 = 253_402_300_799;

/// Looks at the certificate by a handshake of the doctor's own.
///
/// # Errors
/// There was no handshake, or the user wants to end.
pub(super) fn look(
    settings: &Settings,
    address: SocketAddr,
    timeout: Duration,
    stop: &Stop,
) -> io::Result<Finding> {
    let host = settings.target.value.host().to_owned();
    let name = ServerName::try_from(host).map_err(Error::other)?;
    let config = config(settings).map_err(|problem| Error::other(problem.to_string()))?;
    let mut tls = ClientConnection::new(config, name.clone()).map_err(Error::other)?;
    shake_hands(&mut tls, address, timeout, stop)?;
    Ok(describe(settings, &tls, &name).unwrap_or_else(|error| unseen(&error)))
}

/// A link that is secured, by a certificate that could not be looked at.
pub(super) fn unseen(error: &Error) -> Finding {
    Finding::pass("The link is secured.").advising(format!(
        "The certificate could not be looked at by itself: {error}."
    ))
}

/// What the client uses, too.
///
/// # Errors
/// A setting or a file cannot be used.
pub(super) fn config(settings: &Settings) -> Result<Arc<ClientConfig>, Problem> {
    let system = || rustls_native_certs::load_native_certs().certs;
    let read = |path: &std::path::Path| std::fs::read(path);
    let config = settings.tls()?.load(read, system);
    config.map_err(|error| Problem::misuse(error.to_string()))
}

fn shake_hands(
    tls: &mut ClientConnection,
    address: SocketAddr,
    timeout: Duration,
    stop: &Stop,
) -> io::Result<()> {
    let deadline = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&address, timeout)?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_read_timeout(Some(TICK))?;
    while tls.is_handshaking() {
        while tls.wants_write() {
            tls.write_tls(&mut stream)?;
        }
        if stop.is_stopping() {
            return Err(ErrorKind::Interrupted.into());
        }
        if Instant::now() >= deadline {
            return Err(ErrorKind::TimedOut.into());
        }
        match tls.read_tls(&mut stream) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                tls.process_new_packets().map_err(Error::other)?;
            }
            Err(error) if is_quiet(&error) => {}
            Err(error) => return Err(error),
        }
    }
    // A server that is left in the middle may complain to its operator.
    tls.send_close_notify();
    while tls.wants_write() && tls.write_tls(&mut stream).is_ok() {}
    Ok(())
}

fn describe(
    settings: &Settings,
    tls: &ClientConnection,
    name: &ServerName<'static>,
) -> io::Result<Finding> {
    let version = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS 1.3",
    };
    let chain = tls.peer_certificates().unwrap_or_default().to_vec();
    let end = end(&chain, name, roots(settings)?)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let days = end.saturating_sub(now.unwrap_or_default().as_secs()) / DAY;
    let finding = Finding::pass(format!(
        "{version}; the server's certificate is trusted, for its name, and valid for {days} more days."
    ))
    .figure("version", version)
    .figure("daysLeft", days)
    .figure("certificates", chain.len());
    Ok(match days < SOON {
        true => finding.advising("Renew it now: when it is over no device gets in."),
        false => finding,
    })
}

fn roots(settings: &Settings) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificates = match &settings.ca {
        None => rustls_native_certs::load_native_certs().certs,
        Some(ca) => CertificateDer::pem_file_iter(&ca.value)
            .and_then(Iterator::collect)
            .map_err(Error::other)?,
    };
    roots.add_parsable_certificates(certificates);
    Ok(roots)
}

/// The second when the first certificate of the chain is over. The verifier says so when it is asked
/// about a later time, so nothing else has to read certificates.
fn end(
    chain: &[CertificateDer<'static>],
    name: &ServerName<'static>,
    roots: RootCertStore,
) -> io::Result<u64> {
    let (leaf, between) = chain
        .split_first()
        .ok_or_else(|| Error::from(ErrorKind::InvalidData))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(Error::other)?;
    let mut time = END_OF_TIME;
    // Each round finds a certificate that ends before the one found last.
    for _ in 0..=chain.len() {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(time));
        match verifier.verify_server_cert(leaf, between, name, &[], at) {
            Ok(_) => return Ok(time),
            Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after,
                ..
            })) => time = not_after.as_secs(),
            Err(error) => return Err(Error::other(error)),
        }
    }
    Ok(time)
}
