//! The platform over TLS, with rustls as the client, in real time: everything waits for what it
//! needs, nothing for a fixed time. Bytes are typed out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use kaa_proto::platform::LinkId;
use kaa_tests::certificates::{Authority, Identity, Key, Server};
use mio::Events as PollEvents;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::channel::Acceptor;
use super::*;

const LONG: Duration = Duration::from_secs(10);
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

type Client = StreamOwned<ClientConnection, TcpStream>;

fn tls(authority: &Authority, clients_of: Option<&Authority>) -> LocalTls {
    let own = authority.server(Server::Good, Key::EcPkcs8);
    let ca = clients_of.map(Authority::certificate_pem);
    let ca = ca.as_ref().map(String::as_bytes);
    LocalTls::from_pem(own.chain_pem.as_bytes(), own.key_pem.as_bytes(), ca).unwrap()
}

fn start(tls: LocalTls) -> LocalPlatform {
    let options = LocalOptions {
        tls: Some(tls),
        ..LocalOptions::default()
    };
    LocalPlatform::start(options).unwrap()
}

fn plain(platform: &LocalPlatform) -> TcpStream {
    let stream = TcpStream::connect(platform.addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn dial(
    platform: &LocalPlatform,
    authority: &Authority,
    own: Option<&Identity>,
    version: &'static SupportedProtocolVersion,
) -> Client {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_slice(authority.certificate_der());
    roots.add(root).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(own) => {
            let chain = CertificateDer::pem_slice_iter(own.chain_pem.as_bytes());
            let chain = chain.map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(session, plain(platform))
}

fn expect(stream: &mut impl Read, wanted: &[u8]) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let mut got = vec![0; wanted.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(text(&got), text(wanted));
}

fn connect(mut client: Client) -> Client {
    client.write_all(CONNECT).unwrap();
    expect(&mut client, CONNACK);
    client
}

fn wait_for(platform: &LocalPlatform, name: &str) -> Event {
    let mut events = platform.events(LONG);
    events.find(|event| event.kind.name() == name).unwrap()
}

/// The next TLS failure.
fn failure(platform: &LocalPlatform) -> (LinkId, String) {
    loop {
        if let News::TlsFailed { link, cause } = platform.news(LONG).unwrap() {
            return (link, cause);
        }
    }
}

fn name() -> EndpointName {
    EndpointName::parse("v", "t").unwrap()
}

#[test]
fn a_device_is_served_over_both_versions_and_told_of_every_end() {
    let authority = Authority::new("Root");
    let platform = start(tls(&authority, None));
    let port = platform.addr().unwrap().port();
    assert_eq!(platform.url(), format!("mqtts://localhost:{port}"));
    for version in [&TLS12, &TLS13] {
        let mut client = connect(dial(&platform, &authority, None, version));
        client
            .write_all(b"\x30\x1d\x00\x12kp1/v/dcx/t/json/7{\"a\":1.5}")
            .unwrap();
        expect(&mut client, b"\x30\x1b\x00\x19kp1/v/dcx/t/json/7/status");
        platform.kick(&name()).unwrap();
        // An end without a goodbye would be an error.
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        wait_for(&platform, "link-closed");

        let mut client = connect(dial(&platform, &authority, None, version));
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        wait_for(&platform, "link-closed");
    }
    let mut client = connect(dial(&platform, &authority, None, &TLS13));
    platform.stop();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let mut news = std::iter::from_fn(|| platform.news(LONG));
    assert!(!news.any(|news| matches!(news, News::TlsFailed { .. })));
}

#[test]
fn what_is_larger_than_a_record_comes_whole_in_both_directions() {
    let authority = Authority::new("Root");
    let platform = start(tls(&authority, None));
    let mut client = connect(dial(&platform, &authority, None, &TLS13));
    let text = "x".repeat(200_000);
    // 200,026 bytes behind the length: topic and its length, and the text in braces and quotes.
    client
        .write_all(b"\x30\xda\x9a\x0c\x00\x10kp1/v/dcx/t/json")
        .unwrap();
    client
        .write_all(format!("{{\"a\":\"{text}\"}}").as_bytes())
        .unwrap();
    wait_for(&platform, "telemetry");
    assert_eq!(platform.state(&name()).unwrap().samples, 1);

    let reboot = CommandType::new("reboot").unwrap();
    let payload = Some(Value::String(text.clone()));
    assert_eq!(platform.command(&name(), &reboot, payload), Ok(1));
    let push = format!("kp1/v/cex/t/command/reboot/status[{{\"id\":1,\"payload\":\"{text}\"}}]");
    // 200,058 bytes behind the length.
    expect(&mut client, b"\x30\xfa\x9a\x0c\x00\x21");
    expect(&mut client, push.as_bytes());
}

#[test]
fn clients_without_the_right_certificate_are_refused_and_those_with_it_served() {
    let authority = Authority::new("Root");
    let platform = start(tls(&authority, Some(&authority)));
    let stranger = Authority::new("Root").client("device", Key::EcPkcs8);
    let own = authority.client("device", Key::RsaPkcs1);
    for version in [&TLS12, &TLS13] {
        for (own, reason) in [
            (None, "peer sent no certificates"),
            (Some(&stranger), "invalid peer certificate"),
        ] {
            let mut client = dial(&platform, &authority, own, version);
            let sent = client.write_all(CONNECT);
            let error = sent.and_then(|()| client.read_exact(&mut [0; 4]));
            let error = error.unwrap_err();
            if version.version == TLS12.version {
                // The alert says why; a reset would not. In TLS 1.3 the client has gone on already.
                assert_eq!(error.kind(), ErrorKind::InvalidData);
            }
            let (_, cause) = failure(&platform);
            assert!(cause.starts_with(reason), "{cause}");
        }
        connect(dial(&platform, &authority, Some(&own), version));
    }
}

#[test]
fn a_client_that_does_not_trust_the_platform_is_heard_to_say_so() {
    let authority = Authority::new("Root");
    let platform = start(tls(&authority, None));
    let mut client = dial(&platform, &Authority::new("Other"), None, &TLS13);
    let refused = client.write_all(CONNECT).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidData);
    let (_, cause) = failure(&platform);
    assert_eq!(cause, "received fatal alert: UnknownCA");
    connect(dial(&platform, &authority, None, &TLS13));
}

#[test]
fn what_is_not_tls_is_told_behind_its_link_and_closed() {
    let authority = Authority::new("Root");
    let platform = start(tls(&authority, None));
    let mut stream = plain(&platform);
    stream.write_all(CONNECT).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    // An alert, and no CONNACK.
    assert_eq!(said.first(), Some(&0x15));
    let news: Vec<_> = std::iter::from_fn(|| platform.news(LONG)).take(3).collect();
    let [
        News::Event(opened),
        News::Event(closed),
        News::TlsFailed { link, cause },
    ] = &news[..]
    else {
        panic!("{news:?}");
    };
    assert_eq!(
        (opened.kind.name(), opened.link),
        ("link-opened", Some(*link))
    );
    assert_eq!(
        (closed.kind.name(), closed.link),
        ("link-closed", Some(*link))
    );
    assert_eq!(cause, "what the client sent is not TLS");

    drop(plain(&platform));
    let (_, cause) = failure(&platform);
    assert_eq!(cause, "the client hung up in the handshake");
}

#[test]
fn a_client_that_stops_in_the_handshake_is_closed_when_its_connect_is_due() {
    let authority = Authority::new("Root");
    let mut poll = Poll::new().unwrap();
    let addr = LocalOptions::default().listen;
    let acceptor = Acceptor::Tls(tls(&authority, None));
    let mut links = Links::bind(addr, acceptor, poll.registry(), 10).unwrap();
    let mut server = PlatformServer::new(PlatformOptions::default(), 1);
    let start = Instant::now();

    let mut stalled = TcpStream::connect(links.addr()).unwrap();
    // The head of a record and a part of a ClientHello.
    stalled.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap();
    let mut ready = PollEvents::with_capacity(8);
    while server.poll_timeout().is_none() {
        poll.poll(&mut ready, Some(LONG)).unwrap();
        assert!(!ready.is_empty());
        for event in &ready {
            links.handle_event(start, event);
        }
        assert_eq!(links.take_in(start, &mut server, poll.registry()), None);
        links.send_out(start, &mut server);
    }
    let deadline = server.poll_timeout().unwrap();
    assert_eq!(deadline, start + Duration::from_secs(10));
    server.handle_timeout(deadline);
    links.send_out(deadline, &mut server);
    let (_, cause) = links.poll_failure().unwrap();
    assert_eq!(cause, "the handshake was not completed");
    stalled.set_read_timeout(Some(LONG)).unwrap();
    let mut said = Vec::new();
    stalled.read_to_end(&mut said).unwrap();
    assert_eq!(said, b"\x15\x03\x03\x00\x02\x01\x00");
}

#[test]
fn a_stalled_handshake_does_not_keep_others_waiting() {
    let authority = Authority::new("Root");
    let platform = start(tls(&authority, None));
    let mut stalled: Vec<_> = (0..20).map(|_| plain(&platform)).collect();
    for stream in &mut stalled {
        stream.write_all(b"\x16\x03\x01\x02\x00\x01\x00").unwrap();
    }
    connect(dial(&platform, &authority, None, &TLS13));
}
