//! Binary data: a token over MQTT, the bytes over HTTP.
//!
//! ```sh
//! cargo run --package kaa-blocking --features platform --example upload
//! ```
//!
//! It starts a local platform inside this process, which takes uploads over plain HTTP. The cloud takes
//! them by HTTPS, for which a program has an HTTP client: give it the method, path, headers and body. With
//! `KAA_URL`, `KAA_APP_VERSION` and `KAA_TOKEN` set this asks that platform for a token, and shows what
//! would be sent.

#![allow(clippy::print_stdout, reason = "it says what it does")]

#[path = "quickstart/stage.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod stage;

use std::error::Error;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use kaa_blocking::Client;
use kaa_blocking::upload::{GetToken, UploadRequest, UploadStatus};
use stage::Stage;

fn main() -> Result<(), Box<dyn Error>> {
    let stage = Stage::set()?;
    let client = Client::connect(stage.options.clone())?;
    let device = client.endpoint(&stage.name)?;
    let picture = [0xff, 0xd8, 0xff, 0xe0, 0x00, 0x10];

    // Good for an hour, unless the operator says otherwise. If it is over before, there is one more try.
    for attempt in 0..2 {
        let upload = device
            .request(&GetToken)?
            .binary_data(Some("front door.jpg"));
        println!("{} {}", upload.method(), upload.path());
        let Some(server) = stage.uploads() else {
            println!("not sent: this needs an HTTPS client");
            break;
        };
        let status = UploadStatus::of(post(&server, &upload, &picture)?);
        if status != UploadStatus::RenewToken || attempt > 0 {
            println!("{status:?}");
            break;
        }
    }
    let _ = client.shutdown(Duration::from_secs(5));
    Ok(())
}

/// The least that is an HTTP client. Gives the status.
fn post(server: &str, upload: &UploadRequest, body: &[u8]) -> io::Result<u16> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nHost: {server}\r\n",
        upload.method(),
        upload.path()
    );
    for (name, value) in upload.headers() {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.ok_or_else(|| io::Error::other("no HTTP status came"))
}
