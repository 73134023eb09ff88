//! What MQTT 3.1.1 and the Kaa RFCs say of a client, where no other suite is about it. Which test
//! shows which statement stands in `tests/conformance.md`.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;

use kaa_proto::client::{Client, Options, Transport, Turn};
use kaa_tests::clock::Clock;
use kaa_tests::sniffer::Sniffer;

/// A server that only listens.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<u8>>>);

impl Transport for Listener {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// MQTT-3.1.3-5: what goes beyond 23 bytes of letters and digits, a server may refuse.
#[test]
fn a_client_identifier_that_nobody_chose_is_one_that_every_server_must_allow() {
    for entropy in [0, 1, 0x1234_5678, u64::MAX] {
        let options = Options::new("mqtt://localhost").unwrap();
        let now = Clock::new().now();
        let (_client, mut driver) = Client::new(options, 1, entropy, move || now).unwrap();
        let mut transport = None;
        let Turn::Dial { link, .. } = driver.turn(Waker::noop(), &mut transport) else {
            panic!("it dials at once");
        };
        let server = Listener::default();
        transport = Some(server.clone());
        driver.handle_connected(link);
        while driver.turn(Waker::noop(), &mut transport) == Turn::Again {}
        let packets = Sniffer::default().packets(&server.0.lock().unwrap());
        let [connect] = &packets[..] else {
            panic!("{packets:?}");
        };
        // Behind the name and level of the protocol, the flags, the keep alive and the length.
        let client_id = &connect.body[12..];
        assert!((1..=23).contains(&client_id.len()), "{client_id:?}");
        assert!(
            client_id.iter().all(u8::is_ascii_alphanumeric),
            "{}",
            String::from_utf8_lossy(client_id)
        );
    }
}
