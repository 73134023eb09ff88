//! A download over plain HTTP that goes on where it stopped. A real device has an HTTP client.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is tried, what was there already not counted.
const ATTEMPTS: usize = 10;

/// Where a version is downloaded to. Another version is another file: a part of one is no part of the
/// other. What the platform calls it is no name for a file: it may hold `../`.
pub(crate) fn part(folder: &Path, version: &str) -> PathBuf {
    folder
        .join(digest(version.as_bytes()))
        .with_extension("part")
}

/// Downloads into `path`. What is in it is the beginning of the file, or all of it: a device may stop
/// between the download and the check. Only the check tells whether it is the right one.
pub(crate) fn file(link: &str, path: &Path) -> io::Result<()> {
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        outcome = go_on(link, path);
        match &outcome {
            Ok(()) => break,
            Err(error) => println!("  {error}"),
        }
    }
    outcome
}

/// The SHA-256 of these bytes, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Asks for what is missing; an error if that does not come whole.
fn go_on(link: &str, path: &Path) -> io::Result<()> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let rest = link
        .strip_prefix("http://")
        .ok_or_else(|| bad("the link is not http://"))?;
    let (server, _) = rest
        .split_once('/')
        .ok_or_else(|| bad("the link has no path"))?;
    let target = rest.strip_prefix(server).unwrap_or_default();
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let have = file.metadata()?.len();

    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let range = format!("Range: bytes={have}-");
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: {server}\r\n{range}\r\nConnection: close\r\n\r\n"
    )?;

    let mut body = BufReader::new(stream);
    let head = head(&mut body)?;
    // 206: the part that was asked for. 416: there is nothing behind what is there. Anything else begins
    // anew, or is no file.
    let status = head.first().and_then(|line| line.split(' ').nth(1));
    match status {
        Some("206") => {}
        Some("200") => file.set_len(0)?,
        Some("416") if have > 0 => return Ok(()),
        _ => {
            return Err(bad(&format!(
                "the server answers {}",
                status.unwrap_or("nothing")
            )));
        }
    }
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let length: u64 = length.ok_or_else(|| bad("the server tells no length"))?;
    let got = io::copy(&mut body, &mut file)?;
    // What counts is on the disk, not in the system's memory.
    file.sync_all()?;
    match got == length {
        true => Ok(()),
        false => Err(bad(&format!("it broke off after {} bytes", have + got))),
    }
}

/// The lines of the head of an HTTP response.
fn head(response: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        response.read_line(&mut line)?;
        match line.trim_end() {
            "" => return Ok(lines),
            line => lines.push(line.to_owned()),
        }
    }
}
