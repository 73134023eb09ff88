//! One packet at a time, through the session of the core.

use std::hint::black_box;
use std::time::Instant;

use kaa_bench::packets;
use kaa_proto::QoS;
use kaa_proto::mqtt::{Incoming, Session, SessionOptions};

use crate::exchange::SAMPLE;
use crate::wire;
use crate::{Case, Meter};

const TOPIC: &str = "kp1/demo-v1/dcx/JTjdbENzHh/json/42";
/// How many packets a round has.
const PACKETS: u16 = 16;

/// A session that is up.
pub(crate) struct Link {
    now: Instant,
    session: Session<u16>,
    out: Vec<u8>,
}

impl Link {
    pub(crate) fn new() -> Self {
        #[allow(clippy::disallowed_methods, reason = "a beginning")]
        let now = Instant::now();
        let mut session = Session::new(now, &SessionOptions::new("bench")).unwrap();
        let mut out = Vec::new();
        session.poll_transmit(&mut out);
        session.handle_written(now, out.len());
        let connected = session.handle_input(now, &mut &b"\x20\x02\x00\x00"[..]);
        assert_eq!(connected, Some(Incoming::Connected));
        Self { now, session, out }
    }

    fn publish(&mut self) {
        for key in 0..PACKETS {
            self.session
                .publish(key, TOPIC, black_box(SAMPLE.as_bytes()), QoS::AtLeastOnce)
                .unwrap();
        }
    }

    /// What it has to say.
    fn write(&mut self) -> &[u8] {
        self.out.clear();
        let bytes = self.session.poll_transmit(&mut self.out);
        self.session.handle_written(self.now, bytes);
        while self.session.poll_written().is_some() {}
        &self.out
    }

    fn read(&mut self, mut input: &[u8]) {
        while let Some(incoming) = self.session.handle_input(self.now, &mut input) {
            black_box(incoming);
        }
    }

    /// The acknowledgements of what was published.
    fn pubacks(&mut self) -> Vec<u8> {
        wire::acknowledge(self.write())
    }
}

/// PUBLISH of QoS 1 with 64 bytes, into the output.
pub(crate) struct EncodePublish(pub(crate) Link);

/// PUBACK.
pub(crate) struct DecodePubAck(pub(crate) Link);

/// An empty `/status` of QoS 1, with its PUBACK into the output.
pub(crate) struct DecodeStatus(pub(crate) Link);

impl Case for EncodePublish {
    const TIMES: u64 = PACKETS as u64;

    fn round(&mut self, meter: &mut Meter) {
        let link = &mut self.0;
        meter.measure(|| link.publish());
        let acks = link.pubacks();
        link.read(&acks);
    }
}

impl Case for DecodePubAck {
    const TIMES: u64 = PACKETS as u64;

    fn round(&mut self, meter: &mut Meter) {
        self.0.publish();
        let acks = self.0.pubacks();
        meter.measure(|| self.0.read(&acks));
    }
}

impl Case for DecodeStatus {
    const TIMES: u64 = PACKETS as u64;

    fn round(&mut self, meter: &mut Meter) {
        let link = &mut self.0;
        let mut statuses = Vec::new();
        for _ in 0..PACKETS {
            packets::publish(&mut statuses, [TOPIC.as_bytes(), b"/status"], Some(7), b"");
        }
        meter.measure(|| link.read(&statuses));
        link.write();
    }
}
