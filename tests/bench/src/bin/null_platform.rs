//! The least that a platform can do: it lets everybody in, and acknowledges and confirms whatever is
//! published, all that one read gives with one write. `null_platform` prints where it listens, on
//! 127.0.0.1, and goes on until somebody stops it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use kaa_bench::Outcome;
use kaa_bench::packets::{self, Packet};

/// More than a whole window of messages.
const READ_BLOCK: usize = 64 * 1_024;
/// A thousand clients have a thread each.
const STACK: usize = 32 * 1_024;

fn main() -> Outcome<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    for stream in listener.incoming() {
        let stream = stream?;
        let serve = || drop(serve(stream));
        thread::Builder::new().stack_size(STACK).spawn(serve)?;
    }
    Ok(())
}

/// Serves a client until it leaves.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut block = vec![0; 1_024];
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut last_id = 0;
    loop {
        let read = stream.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        if read == block.len() && read < READ_BLOCK {
            // Many of a thousand clients say little.
            block.resize(4 * read, 0);
        }
        input.extend_from_slice(block.get(..read).unwrap_or_default());
        let mut done = 0;
        while let Some((packet, length)) = packets::next(input.get(done..).unwrap_or_default()) {
            answer(packet, &mut output, &mut last_id);
            done += length;
        }
        input.drain(..done);
        stream.write_all(&output)?;
        output.clear();
    }
}

fn answer(packet: Packet<'_>, output: &mut Vec<u8>, last_id: &mut u16) {
    match packet {
        Packet::Connect => packets::connack(output),
        Packet::Subscribe { id, filters } => packets::suback(output, id, filters),
        Packet::PingReq => packets::pingresp(output),
        Packet::Publish { topic, id } => {
            let own = id.map(|id| {
                packets::puback(output, id);
                *last_id = *last_id % u16::MAX + 1;
                *last_id
            });
            packets::publish(output, [topic, b"/status"], own, b"");
        }
        Packet::PubAck | Packet::ConnAck | Packet::SubAck | Packet::Other => {}
    }
}
