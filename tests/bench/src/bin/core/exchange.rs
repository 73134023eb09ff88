//! The confirmed exchange: a sample of 64 bytes that is serialised already → PUBLISH; PUBACK and
//! `/status` in → PUBACK; its completion is taken. Fifteen at a time, and one is always left over: it
//! is never idle, and sixteen are in flight.

use crate::wire::{self, Platform};
use crate::{Case, Meter};

/// 64 bytes.
pub(crate) const SAMPLE: &str =
    r#"{"ts":1795341600000,"temperature":21.5,"humidity":40,"door":"n"}"#;

/// A client that is connected.
pub(crate) trait Client {
    /// Takes a sample.
    fn submit(&mut self);

    /// Appends what is to be written, and takes it as written.
    fn write(&mut self, out: &mut Vec<u8>);

    /// Takes what the platform says; how many samples are confirmed.
    fn read(&mut self, answers: &[u8]) -> usize;
}

/// Exchanges of a client.
pub(crate) struct Exchanges<C> {
    client: C,
    platform: Platform,
    /// What is answered in the next round.
    left_over: Vec<u8>,
    out: Vec<u8>,
}

impl<C: Client> Exchanges<C> {
    pub(crate) fn new(client: C) -> Self {
        Self::after(200, client)
    }

    /// Those of a client that has had so many rounds.
    pub(crate) fn after(rounds: usize, mut client: C) -> Self {
        let mut left_over = Vec::new();
        client.submit();
        client.write(&mut left_over);
        let mut exchanges = Self {
            client,
            platform: Platform::default(),
            left_over,
            out: Vec::new(),
        };
        for _ in 0..rounds {
            exchanges.round(&mut Meter::default());
        }
        exchanges
    }
}

impl<C: Client> Case for Exchanges<C> {
    const TIMES: u64 = 15;

    fn round(&mut self, meter: &mut Meter) {
        self.out.clear();
        meter.measure(|| {
            for _ in 0..Self::TIMES {
                self.client.submit();
            }
            self.client.write(&mut self.out);
        });
        let last = wire::start_of_last(&self.out);
        self.left_over.extend_from_slice(&self.out[..last]);
        let answers = self.platform.answer(&self.left_over);
        self.left_over.clear();
        self.left_over.extend_from_slice(&self.out[last..]);
        self.out.clear();
        let mut confirmed = 0;
        meter.measure(|| {
            confirmed = self.client.read(&answers);
            self.client.write(&mut self.out);
        });
        assert_eq!(confirmed, 15);
    }
}
