//! A file server that breaks off: a part of what was asked for, and then the end.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// How much it sends at a time.
const PART: usize = 40_000;

/// Serves one file, for as long as the process lasts. Gives its link.
pub(crate) fn serve(file: Vec<u8>) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let link = format!("http://{}/image", listener.local_addr()?);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up is served no more.
            let _ = answer(stream, &file);
        }
    });
    Ok(link)
}

fn answer(mut stream: TcpStream, file: &[u8]) -> io::Result<()> {
    let mut from = 0;
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if let Some(range) = line.strip_prefix("Range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap_or(0);
        }
        if line.is_empty() {
            break;
        }
    }
    let Some(rest) = file.get(from..).filter(|rest| !rest.is_empty()) else {
        let head = b"HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(head);
    };
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\r\n",
        rest.len()
    )?;
    stream.write_all(rest.get(..PART).unwrap_or(rest))
}
