//! The practical limit: packets written by hand into one buffer, one write for as many as half of the
//! window has, and nothing kept but when each was sent. It waits by the readiness calls that
//! kaa-blocking uses.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;

use kaa_bench::Outcome;
use kaa_bench::packets::{self, Packet};
use kaa_proto::QoS;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::work::{FILTERS, MAX_ID, Meter, SAMPLE, TOPIC, Work};

pub(crate) fn run(work: &Work) -> Outcome<()> {
    let mut raw = Raw::connect(work.port)?;
    packets::connect(&mut raw.output, "raw");
    packets::subscribe(&mut raw.output, &FILTERS);
    raw.write()?;
    let mut granted = false;
    while !granted {
        raw.read(|packet, _| granted |= matches!(packet, Packet::SubAck))?;
    }
    confirm(&mut raw, work)
}

fn confirm(raw: &mut Raw, work: &Work) -> Outcome<()> {
    let mut meter = Meter::start(work)?;
    let window = usize::from(work.in_flight);
    let mut sent = VecDeque::with_capacity(window);
    let (mut left, mut confirmed, mut last_id) = (work.count, 0, 0);
    while confirmed < work.count {
        // A lone message is not held back.
        if sent.len() <= window / 2 {
            while sent.len() < window && left > 0 {
                last_id = last_id % MAX_ID + 1;
                publish(&mut raw.output, last_id, work.qos);
                sent.push_back(meter.sent());
                left -= 1;
            }
        }
        raw.write()?;
        raw.read(|packet, output| {
            let Packet::Publish { topic, id } = packet else {
                return;
            };
            id.into_iter().for_each(|id| packets::puback(output, id));
            if topic.ends_with(b"/status") {
                // In order, as they are sent.
                sent.pop_front()
                    .into_iter()
                    .for_each(|since| meter.confirmed(since));
                confirmed += 1;
            }
        })?;
    }
    meter.finish()
}

fn publish(output: &mut Vec<u8>, id: u32, qos: QoS) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut rest = id;
    while rest > 0 {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        }
        rest /= 10;
    }
    let digits = digits.get(at..).unwrap_or_default();
    // Packet identifiers go with the request IDs: none is used twice within a window.
    let packet_id = u16::try_from(id % 65_535 + 1).unwrap_or(1);
    let packet_id = (qos != QoS::AtMostOnce).then_some(packet_id);
    packets::publish(
        output,
        [TOPIC.as_bytes(), digits],
        packet_id,
        SAMPLE.as_bytes(),
    );
}

struct Raw {
    socket: TcpStream,
    selector: Poll,
    events: Events,
    block: Vec<u8>,
    /// What is left of a block: a packet that is not whole.
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Raw {
    fn connect(port: u16) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(stream);
        let selector = Poll::new()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        selector.registry().register(&mut socket, Token(0), both)?;
        Ok(Self {
            socket,
            selector,
            events: Events::with_capacity(8),
            block: vec![0; 20 * 1_024],
            input: Vec::new(),
            output: Vec::new(),
        })
    }

    /// Writes all there is.
    fn write(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(n) => drop(self.output.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for input, and reads what is there.
    fn read(&mut self, mut handle: impl FnMut(Packet<'_>, &mut Vec<u8>)) -> io::Result<()> {
        self.wait()?;
        loop {
            let read = match self.socket.read(&mut self.block) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.input
                .extend_from_slice(self.block.get(..read).unwrap_or_default());
            let mut done = 0;
            while let Some((packet, length)) =
                packets::next(self.input.get(done..).unwrap_or_default())
            {
                handle(packet, &mut self.output);
                done += length;
            }
            self.input.drain(..done);
            if read < self.block.len() {
                // There is no more: the selector tells when more comes.
                return Ok(());
            }
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        self.selector.poll(&mut self.events, None)
    }
}
