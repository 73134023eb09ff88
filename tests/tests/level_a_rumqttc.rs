//! The example of level A, over rumqttc and a Mosquitto of the distribution, with the platform
//! attached to it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod device;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use device::{PATIENCE, name, wait_for};
use kaa_blocking::names::CommandType;
use kaa_blocking::platform::{LocalOptions, LocalPlatform, News};
use kaa_proto::platform::EventKind;
use kaa_tests::mosquitto::Mosquitto;
use serde_json::json;

/// The example as a process, ended when this is dropped.
struct Example(Child);

impl Example {
    fn run(port: u16) -> Self {
        let program = env!("CARGO_BIN_EXE_level_a_rumqttc");
        let child = Command::new(program)
            .args(["127.0.0.1", &port.to_string(), "demo-v1", "JTjdbENzHh"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A door to a broker. While it is shut, who comes is sent away.
struct Door {
    port: u16,
    is_open: Arc<AtomicBool>,
}

impl Door {
    fn to(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Arc::new(AtomicBool::new(true));
        let open = Arc::clone(&is_open);
        thread::spawn(move || {
            for device in listener.incoming().map_while(Result::ok) {
                if open.load(Ordering::SeqCst) {
                    if let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) {
                        let back = (broker.try_clone().unwrap(), device.try_clone().unwrap());
                        thread::spawn(move || pass(device, broker));
                        thread::spawn(move || pass(back.0, back.1));
                    }
                }
            }
        });
        Self { port, is_open }
    }

    fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::SeqCst);
    }
}

/// Copies until either side ends, then ends both.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let end = |stream: &TcpStream| -> io::Result<()> { stream.shutdown(Shutdown::Both) };
    let _ = (end(&from), end(&to));
}

fn attach(broker: &Mosquitto) -> LocalPlatform {
    let platform = LocalPlatform::attach(&broker.url(), None, LocalOptions::default()).unwrap();
    platform.ready(PATIENCE).unwrap();
    platform
}

/// What the device does on its own accord comes in the order in which it submitted it.
fn wait_for_observations(platform: &LocalPlatform) {
    let (mut commands, mut configuration) = (false, false);
    wait_for(platform, |kind| {
        match kind {
            EventKind::CommandsRequested { command_type: Some(name), observe: Some(true), .. } => {
                commands |= name == "reboot";
            }
            EventKind::ConfigRequested { observe: Some(true), .. } => configuration = true,
            _ => {}
        }
        commands && configuration
    });
}
