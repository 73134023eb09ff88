//! The transport: moves what it likes, when it likes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kaa_proto::client::Transport;
use kaa_tests::clock::Clock;

use super::{Sky, lock};

/// A byte stream in memory.
pub(super) type Wire = Arc<Mutex<Ends>>;

#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Taken, not flushed: lost when the transport is closed or dropped before.
    buffer: Vec<u8>,
    pub(super) to_server: Vec<u8>,
    pub(super) to_client: VecDeque<u8>,
    /// The client has closed its direction.
    pub(super) is_closed: bool,
    /// The client has dropped it.
    pub(super) is_dropped: bool,
    /// The server has closed.
    pub(super) is_over: bool,
    /// The client was told to wait for bytes.
    pub(super) is_hungry: bool,
    /// The client was told to wait, until then.
    pub(super) ready_at: Option<Instant>,
}

impl Ends {
    /// Whether a wait is over.
    pub(super) fn clear(&mut self, now: Instant) -> bool {
        let is_over = self.ready_at.is_some_and(|at| at <= now);
        if is_over {
            self.ready_at = None;
        }
        is_over
    }
}

/// What a turn did.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: usize,
    /// Bytes, and interruptions.
    pub(super) moved: usize,
}

pub(super) struct Hostile {
    wire: Wire,
    sky: Arc<Mutex<Sky>>,
    clock: Arc<Mutex<Clock>>,
    has_failed: bool,
    tally: Tally,
}

impl Hostile {
    pub(super) fn new(wire: Wire, sky: Arc<Mutex<Sky>>, clock: Arc<Mutex<Clock>>) -> Self {
        Self {
            wire,
            sky,
            clock,
            has_failed: false,
            tally: Tally::default(),
        }
    }

    pub(super) fn tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// What the weather says to a call; how much it may move.
    fn call(&mut self) -> io::Result<usize> {
        self.tally.calls += 1;
        assert!(!self.has_failed, "it has failed already");
        let mut wire = lock(&self.wire);
        if wire.ready_at.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut sky = lock(&self.sky);
        let weather = sky.weather;
        if sky.strikes(weather.block) {
            let wait = Duration::from_millis(1 + sky.dice.below(100));
            wire.ready_at = Some(lock(&self.clock).now() + wait);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if sky.strikes(weather.interrupt) {
            self.tally.moved += 1;
            return Err(io::ErrorKind::Interrupted.into());
        }
        if sky.strikes(weather.fail) {
            self.has_failed = true;
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        match weather.piece {
            0 => Ok(usize::MAX),
            piece => Ok(sky.dice.length(piece)),
        }
    }
}

impl Transport for Hostile {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        assert!(!block.is_empty());
        let most = self.call()?.min(block.len());
        let mut wire = lock(&self.wire);
        if wire.to_client.is_empty() && !wire.is_over {
            wire.is_hungry = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = io::Read::read(&mut wire.to_client, &mut block[..most])?;
        self.tally.moved += n;
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!bytes.is_empty());
        let n = self.call()?.min(bytes.len());
        let mut wire = lock(&self.wire);
        assert!(!wire.is_closed, "written after the close");
        wire.buffer.extend(&bytes[..n]);
        self.tally.moved += n;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.call()?;
        let mut wire = lock(&self.wire);
        let flushed = std::mem::take(&mut wire.buffer);
        wire.to_server.extend(flushed);
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.call()?;
        let mut wire = lock(&self.wire);
        assert!(wire.buffer.is_empty(), "closed before it was flushed");
        assert!(!wire.is_closed, "closed again");
        wire.is_closed = true;
        Ok(())
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        lock(&self.wire).is_dropped = true;
    }
}
