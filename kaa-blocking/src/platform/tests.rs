//! The platform over real sockets, in real time: everything waits for what it needs, nothing for
//! a fixed time. Bytes are typed out.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use kaa_proto::platform::{EventKind, Fixture, User};

use super::*;

const LONG: Duration = Duration::from_secs(10);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn dial(addr: Option<SocketAddr>) -> TcpStream {
    let stream = TcpStream::connect(addr.unwrap()).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn expect(stream: &mut TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(text(&got), text(wanted));
}

fn wait_for(platform: &LocalPlatform, name: &str) -> Event {
    let mut events = platform.events(LONG);
    events.find(|event| event.kind.name() == name).unwrap()
}

fn name() -> EndpointName {
    EndpointName::parse("v", "t").unwrap()
}

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c";
const CONNACK: &[u8] = b"\x20\x02\x00\x00";

#[test]
fn a_packet_may_be_as_large_as_a_number_says() {
    let mut options = LocalOptions::default();
    options.platform.switches.max_packet = usize::MAX;
    let platform = LocalPlatform::start(options).unwrap();
    drop(device(&platform));
}

/// A link on which the endpoint `t` has sent one sample.
fn device(platform: &LocalPlatform) -> TcpStream {
    let mut stream = dial(platform.addr());
    stream.write_all(CONNECT).unwrap();
    expect(&mut stream, CONNACK);
    stream
        .write_all(b"\x30\x1b\x00\x10kp1/v/dcx/t/json{\"a\":1.5}")
        .unwrap();
    let event = wait_for(platform, "telemetry");
    assert_eq!(event.endpoint, Some(name()));
    stream
}

#[test]
fn a_device_is_answered_and_pushed_to_over_tcp() {
    let platform = LocalPlatform::start(LocalOptions::default()).unwrap();
    let mut stream = device(&platform);
    let of_type = CommandType::new("reboot").unwrap();
    assert_eq!(platform.command(&name(), &of_type, None), Ok(1));
    let push = b"\x30\x2d\x00\x21kp1/v/cex/t/command/reboot/status[{\"id\":1}]";
    expect(&mut stream, &push[..]);
    assert_eq!(platform.state(&name()).unwrap().samples, 1);
}

#[test]
fn a_kicked_device_sees_the_end_and_the_platform_knows_it_is_gone() {
    let platform = LocalPlatform::start(LocalOptions::default()).unwrap();
    let mut stream = device(&platform);
    platform.kick(&name()).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    wait_for(&platform, "link-closed");
    assert_eq!(platform.kick(&name()), Err(OperatorError::NotConnected));
}

#[test]
fn a_refused_login_is_told_before_the_link_is_closed() {
    let mut options = LocalOptions::default();
    options.platform.users.push(User {
        name: "u".into(),
        password: kaa_proto::platform::Secret::new("p"),
        state: kaa_proto::platform::UserState::Active,
    });
    let platform = LocalPlatform::start(options).unwrap();
    let mut stream = dial(platform.addr());
    stream.write_all(CONNECT).unwrap();
    expect(&mut stream, b"\x20\x02\x00\x05");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn links_beyond_the_bound_are_closed_at_once() {
    let options = LocalOptions {
        max_links: 1,
        ..LocalOptions::default()
    };
    let platform = LocalPlatform::start(options).unwrap();
    let first = device(&platform);
    assert_eq!(dial(platform.addr()).read(&mut [0]).unwrap_or(0), 0);
    let trouble = "a connection was refused: there are 1 already";
    while platform.news(LONG).unwrap() != News::Trouble(trouble.into()) {}
    first.shutdown(Shutdown::Both).unwrap();
    wait_for(&platform, "link-closed");
}

/// Half a greeting of 60 KB on each of 40 links, where all may hold 1 MB.
#[test]
fn links_that_hold_too_much_are_closed_and_a_device_is_served() {
    let mut options = LocalOptions::default();
    options.platform.limits.links = 1 << 20;
    let platform = LocalPlatform::start(options).unwrap();
    let mut half = b"\x10\xff\xff\x03\x00\x04MQTT\x04\x02\x00\x00\xff\xff".to_vec();
    half.resize(60_000, b'x');
    let greedy: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = dial(platform.addr());
            // It may be closed before it has said all.
            let _ = stream.write_all(&half);
            stream
        })
        .collect();
    let EventKind::Kicked { cause } = wait_for(&platform, "kicked").kind else {
        panic!("it was another event");
    };
    assert_eq!(cause, "it holds too much");
    drop(device(&platform));
    drop(greedy);
}

#[test]
fn a_stopped_platform_hangs_up_and_says_what_it_saw() {
    let platform = LocalPlatform::start(LocalOptions::default()).unwrap();
    let mut stream = dial(platform.addr());
    stream.write_all(CONNECT).unwrap();
    expect(&mut stream, CONNACK);
    platform.stop();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    let seen: Vec<_> = platform.events(LONG).map(|event| event.kind).collect();
    assert_eq!(seen, [EventKind::LinkOpened {}]);
    assert!(platform.is_over());
}

#[test]
fn binary_data_and_files_are_taken_over_http() {
    let fixture = r#"{"appVersions":{"v":{"endpoints":{"t":{"uploadToken":"2222"}}}}}"#;
    let mut options = LocalOptions::default();
    options.http_listen = Some(options.listen);
    options.max_upload = 10;
    options.platform.fixture = Some(Fixture::parse(fixture).unwrap());
    let platform = LocalPlatform::start(options).unwrap();
    let post = |path: &str, token: &str, length: usize| {
        let mut stream = dial(platform.http_addr());
        let head = format!(
            "POST /bcx/api/v1/{path} HTTP/1.1\r\nHost: h:8\r\nX-Auth-Token: {token}\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(post("binary-data?name=a", "2222", 5).starts_with("HTTP/1.1 403 Forbidden\r\n"));

    let mut stream = device(&platform);
    stream
        .write_all(b"\x30\x13\x00\x11kp1/v/bcx/t/token")
        .unwrap();
    wait_for(&platform, "upload-token");
    let taken = post("binary-data?name=a", "2222", 5);
    assert!(taken.starts_with("HTTP/1.1 201 Created\r\n"), "{taken}");
    assert!(taken.contains("Location: http://h:8/applications/v/endpoints/"));
    assert!(post("files/log.txt", "2222", 5).starts_with("HTTP/1.1 204 No Content\r\n"));
    assert!(post("files/a%2Fb", "2222", 5).starts_with("HTTP/1.1 400 Bad Request\r\n"));
    assert!(post("files/log.txt", "2222", 11).starts_with("HTTP/1.1 413 "));
    let uploads = platform.state(&name()).unwrap().uploads;
    assert_eq!(
        uploads.iter().map(|u| u.size).collect::<Vec<_>>(),
        [5_usize, 5]
    );
}

/// What an attached platform says first; its client identifier is a random one.
fn welcome(broker: &TcpListener) -> TcpStream {
    let (mut stream, _) = broker.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut connect = [0; 33];
    stream.read_exact(&mut connect).unwrap();
    assert_eq!(
        text(&connect[..25]),
        "\x10\x1f\0\x04MQTT\x04\x02\0\x3c\0\x13kaaplatform"
    );
    stream.write_all(CONNACK).unwrap();
    expect(&mut stream, b"\x82\x0a\x00\x01\x00\x05kp1/#\x01");
    stream
}

#[test]
fn an_attached_platform_serves_through_a_broker_and_comes_back_when_it_is_lost() {
    let broker = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", broker.local_addr().unwrap());
    let platform = LocalPlatform::attach(&url, None, LocalOptions::default()).unwrap();
    assert_eq!((platform.url(), platform.addr()), (url.as_str(), None));
    let late = platform.ready(Duration::ZERO).unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);

    let mut stream = welcome(&broker);
    stream.write_all(b"\x90\x03\x00\x01\x01").unwrap();
    platform.ready(LONG).unwrap();
    // A retained request is an old one; an answer that comes back is the platform's own.
    stream
        .write_all(b"\x31\x1b\x00\x10kp1/v/dcx/t/json{\"a\":1.5}")
        .unwrap();
    stream
        .write_all(b"\x30\x1b\x00\x19kp1/v/dcx/t/json/6/status")
        .unwrap();
    stream
        .write_all(b"\x32\x1f\x00\x12kp1/v/dcx/t/json/7\x00\x09{\"a\":1.5}")
        .unwrap();
    expect(&mut stream, b"\x40\x02\x00\x09");
    expect(
        &mut stream,
        b"\x32\x1d\x00\x19kp1/v/dcx/t/json/7/status\x00\x02",
    );
    assert_eq!(platform.state(&name()).unwrap().samples, 1);
    assert_eq!(platform.kick(&name()), Err(OperatorError::NotConnected));

    drop(stream);
    let mut stream = welcome(&broker);
    stream.write_all(b"\x90\x03\x00\x01\x80").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    let refused = "not attached: the broker refused the subscription to kp1/#";
    while platform.news(LONG).unwrap() != News::Trouble(refused.into()) {}
    let problem = platform.ready(Duration::ZERO).unwrap_err().to_string();
    assert_eq!(problem, "the broker refused the subscription to kp1/#");
}

#[test]
fn what_cannot_be_attached_is_refused_at_once() {
    let attach = |url, options| LocalPlatform::attach(url, None, options).unwrap_err();
    for (url, gist) in [
        ("mqtts://h", "mqtt://HOST:PORT"),
        ("h:1883", "mqtt://HOST:PORT"),
        ("mqtt://", "no valid host"),
        ("mqtt://h:0", "not a number from 1 to 65535"),
        ("mqtt://u:secret@h", "do not belong into the URL"),
    ] {
        let error = attach(url, LocalOptions::default());
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = error.to_string();
        assert!(error.contains(gist) && !error.contains("secret"), "{error}");
    }
    let mut options = LocalOptions::default();
    options.platform.switches.echo = true;
    let error = attach("mqtt://h", options);
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}
