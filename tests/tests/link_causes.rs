//! What a link ended of, when all there is to go by is what a server's first bytes were and how
//! the transport ended.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use kaa_proto::client::{Client, Options, Transport, Turn};
use kaa_proto::connection::{Event, LinkError};
use kaa_proto::platform::PlatformOptions;
use kaa_proto::tls::{self, TlsError};
use kaa_tests::certificates::{Authority, Key, Server as Kind};
use kaa_tests::clock::Clock;
use kaa_tests::rig::Rig;
use kaa_tests::tls_end::{server_config, server_config_for};
use rustls::ServerConfig;
use rustls::version::{TLS12, TLS13};

/// A server that says something and then ends like this; `None`: it closes.
struct Server {
    says: &'static [u8],
    ends: Option<io::ErrorKind>,
}

impl Transport for Server {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        match (self.says, self.ends) {
            ([], None) => Ok(0),
            ([], Some(kind)) => Err(kind.into()),
            _ => io::Read::read(&mut self.says, block),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the first link to such a server is said to have ended of.
fn cause(url: &str, says: &'static [u8], ends: Option<io::ErrorKind>) -> LinkError {
    let trusted = Authority::new("Root").certificate_pem();
    let options = Options::new(url)
        .unwrap()
        .tls(tls::Options::new().ca(trusted));
    let no_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let options = options.load_tls(no_file, Vec::new).unwrap();
    let clock = Arc::new(Mutex::new(Clock::new()));
    let now = move || clock.lock().unwrap().now();
    let (client, mut driver) = Client::new(options, 1, 2, now).unwrap();
    let mut events = client.link_events();
    let mut transport = None;
    let Turn::Dial { link, .. } = driver.turn(Waker::noop(), &mut transport) else {
        panic!("it dials at once");
    };
    transport = Some(Server { says, ends });
    driver.handle_connected(link);
    while driver.turn(Waker::noop(), &mut transport) == Turn::Again {}
    std::iter::from_fn(|| events.try_next())
        .find_map(|event| {
            let Event::LinkLost { error, .. } = event else {
                return None;
            };
            Some(error)
        })
        .unwrap()
}

const PLAIN: &str = "mqtt://localhost";
const TLS: &str = "mqtts://localhost";

#[test]
fn a_server_that_speaks_something_else_at_a_port_for_tls_is_told() {
    for says in [
        &b"HTTP/1.1 400 Bad Request\r\n"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x20\x02\x00\x05",
    ] {
        let found = cause(TLS, says, None);
        assert_eq!(found, LinkError::Tls(TlsError::NotTls), "{says:?}");
    }
}

/// It speaks TLS, so a person who is told to look for another port would look in vain.
#[test]
fn a_server_whose_handshake_is_broken_or_too_large_speaks_tls_all_the_same() {
    // A certificate message of 65,536 bytes; a ServerHello of one byte.
    for says in [
        &b"\x16\x03\x03\x00\x05\x0b\x01\x00\x00\x00"[..],
        b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x03",
    ] {
        let found = cause(TLS, says, Some(io::ErrorKind::WouldBlock));
        let LinkError::Tls(TlsError::Other(_)) = found else {
            panic!("it is told as {found}");
        };
    }
}

#[test]
fn a_server_with_tls_at_a_port_for_plain_mqtt_is_told() {
    for says in [&b"\x15\x03\x01\x00\x02\x02\x46"[..], b"\x16\x03\x03"] {
        assert_eq!(cause(PLAIN, says, None), LinkError::TlsWanted);
    }
}

#[test]
fn a_server_that_hangs_up_at_once_is_not_the_same_as_a_network_that_fails() {
    use io::ErrorKind as Kind;
    let hang_ups = [None, Some(Kind::ConnectionReset), Some(Kind::BrokenPipe)];
    for ends in hang_ups {
        assert_eq!(cause(PLAIN, b"", ends), LinkError::Unwelcome);
        assert_eq!(cause(TLS, b"", ends), LinkError::Tls(TlsError::Cut));
    }
    for kind in [Kind::TimedOut, Kind::HostUnreachable, Kind::NetworkDown] {
        for url in [PLAIN, TLS] {
            let LinkError::Transport(found) = cause(url, b"", Some(kind)) else {
                panic!("{kind:?} is told as something else");
            };
            assert_eq!(found.kind(), kind);
        }
    }
}

/// How many dials two hours of failures cost, and what the last one is told to have been.
fn two_hours(url: &str, tls: tls::Options, server: Option<Arc<ServerConfig>>) -> (u64, LinkError) {
    let options = Options::new(url).unwrap().tls(tls);
    let no_file = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let options = options.load_tls(no_file, Vec::new).unwrap();
    let (client, mut rig) = Rig::with(options, PlatformOptions::default(), server);
    let mut events = client.link_events();
    let mut last = None;
    for _ in 0..120 {
        rig.pass(Duration::from_secs(60));
        while let Some(event) = events.try_next() {
            if let Event::LinkLost { error, .. } = event {
                last = Some(error);
            }
        }
    }
    (client.statistics().dials, last.unwrap())
}

/// What a person has to mend is tried again every quarter of an hour; what may pass by itself
/// after two minutes at the most. The first attempts are quicker.
#[test]
fn no_refusal_of_tls_makes_a_hot_loop() {
    let (authority, other) = (Authority::new("Root"), Authority::new("Other"));
    let (ours, key) = (authority.certificate_pem(), Key::EcPkcs8);
    let trusting = || tls::Options::new().ca(ours.as_str());
    let stranger = other.client("device", key);
    for version in [&TLS12, &TLS13] {
        let showing = |kind| Some(server_config(&authority.server(kind, key), &[version]));
        let asking = server_config_for(&authority.server(Kind::Good, key), &[version], Some(&ours));
        let foreign = Some(server_config(&other.server(Kind::Good, key), &[version]));
        let as_stranger =
            trusting().identity(stranger.chain_pem.as_str(), stranger.key_pem.as_str());
        let slow = 6..=14;
        let normal = 90..=200;
        let cases = [
            ("UnknownAuthority", trusting(), foreign, &slow),
            ("SelfSigned", trusting(), showing(Kind::SelfSigned), &slow),
            ("Expired(Some(", trusting(), showing(Kind::Expired), &slow),
            ("WrongName", trusting(), showing(Kind::WrongHost), &slow),
            (
                "ClientCertificateMissing",
                trusting(),
                Some(asking.clone()),
                &slow,
            ),
            (
                "ClientCertificateRefused(",
                as_stranger,
                Some(asking),
                &slow,
            ),
            (
                "NotYetValid(Some(",
                trusting(),
                showing(Kind::NotYetValid),
                &normal,
            ),
            ("Cut", trusting(), None, &normal),
        ];
        for (name, tls, server, bounds) in cases {
            let (dials, LinkError::Tls(cause)) = two_hours(TLS, tls, server) else {
                panic!("{name} is told as something else");
            };
            assert!(format!("{cause:?}").starts_with(name), "{name}: {cause:?}");
            assert!(bounds.contains(&dials), "{name}: {dials} dials");
        }
        let (dials, cause) = two_hours(PLAIN, trusting(), showing(Kind::Good));
        assert!(matches!(cause, LinkError::TlsWanted | LinkError::Unwelcome));
        assert!((6..=200).contains(&dials), "{dials} dials without TLS");
    }
}
