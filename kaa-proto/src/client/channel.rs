//! The bytes of one link, between the connection and its transport.

use std::io;
use std::time::{Duration, Instant};

use super::Transport;
use super::block::{Block, READ_BLOCK};
use super::layer::Layer;
use super::shared::Shared;
use crate::connection::{Connection, Demand, LinkError, LinkId, TransportError};

/// A link that says less at a time keeps no room for it.
const SMALL_BLOCK: usize = 2 * 1_024;

/// At most about this is written before timers are looked at again.
const WRITE_BUDGET: usize = 256 * 1_024;

/// How long the layer's goodbye may take to be written, and answered by the server's close. Until
/// it is said the connection's own deadline holds.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// What a turn left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchanged {
    /// There may be more to move at once.
    Some,
    /// Both directions would block, or have nothing to move.
    All,
    /// Those who were woken have their turn before anything else is looked at.
    Yielded,
}

/// What was done of the goodbye.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    /// Nothing, or the connection's own is not written yet.
    ///
    /// Exits: `Told`.
    Untold,
    /// The layer was told to say its own.
    ///
    /// Exits: `Closed` when the transport has closed our direction.
    Told,
    /// Our direction is closed, and the server's is waited for.
    ///
    /// Exits: none.
    Closed,
}

pub(super) struct Channel {
    link: LinkId,
    /// What the bytes go through on their way.
    layer: Layer,
    /// Whether the connection was told of the link.
    is_announced: bool,
    /// What is to be written; the first `written` bytes are.
    out: Vec<u8>,
    written: usize,
    /// Set when all else is written: until when the goodbye may take.
    goodbye_until: Option<Instant>,
    /// How far that is.
    goodbye: Goodbye,
    /// Whether those who are woken have their turn before the link speaks.
    yields: bool,
    /// Whether those who were woken had their turn before this one: what they say goes out in one
    /// write with what the link itself has to say.
    has_yielded: bool,
}

impl Channel {
    pub(super) const fn new(link: LinkId, layer: Layer, yields: bool) -> Self {
        Self {
            link,
            layer,
            is_announced: false,
            out: Vec::new(),
            written: 0,
            goodbye_until: None,
            goodbye: Goodbye::Untold,
            yields,
            has_yielded: false,
        }
    }

    pub(super) const fn link(&self) -> LinkId {
        self.link
    }

    /// Whether this is the channel of what is demanded.
    pub(super) fn serves(&self, demand: Demand) -> bool {
        match demand {
            // Still dialing for the connection: the layer shakes hands.
            Demand::Dial(link) => self.link == link && !self.is_announced,
            Demand::Exchange(link) | Demand::HangUp(link) => self.link == link,
            Demand::Abandon(_) | Demand::Rest | Demand::Finished => false,
        }
    }

    /// Tells the connection of the link, once it can carry its bytes.
    pub(super) fn announce(&mut self, shared: &Shared) {
        if !self.is_announced && self.layer.is_ready() {
            self.is_announced = true;
            shared.update(|state, now| state.connection.handle_connected(now, self.link));
        }
    }

    /// Reads one block, then writes what there is to write. If what was read woke somebody on this
    /// thread, they have their turn in between.
    pub(super) fn exchange(
        &mut self,
        shared: &Shared,
        transport: &mut impl Transport,
    ) -> Result<Exchanged, LinkError> {
        let (read, has_woken) = self.read(shared, transport)?;
        self.has_yielded = self.yields && has_woken && !self.has_yielded;
        if self.has_yielded {
            return Ok(Exchanged::Yielded);
        }
        let wanted = self.wants_input(shared);
        let written = self.write(shared, transport)?;
        // Output that went out may have made room for input.
        let is_wanted_again = !wanted && self.wants_input(shared);
        match is_wanted_again || [read, written].contains(&Exchanged::Some) {
            true => Ok(Exchanged::Some),
            false => Ok(Exchanged::All),
        }
    }

    /// Writes what is left and says goodbye. What still comes in is dropped.
    ///
    /// # Errors
    /// [`LinkError::Closed`] when all is written and the server has closed too, or the time for
    /// that is over.
    pub(super) fn hang_up(
        &mut self,
        shared: &Shared,
        transport: &mut impl Transport,
    ) -> Result<Exchanged, LinkError> {
        let now = shared.now();
        if self.goodbye_until.is_some_and(|until| until <= now) {
            return Err(LinkError::Closed);
        }
        if self.goodbye == Goodbye::Closed {
            return discard(transport);
        }
        let written = self.write(shared, transport)?;
        if !self.out.is_empty() {
            return Ok(written);
        }
        if self.goodbye == Goodbye::Untold {
            self.goodbye = Goodbye::Told;
            self.goodbye_until = Some(now + GOODBYE_WITHIN);
            self.layer.close();
            // The layer's own goodbye.
            return Ok(Exchanged::Some);
        }
        // A close might overtake what the transport has in a buffer of its own.
        match transport.flush().and_then(|()| transport.close()) {
            Ok(()) => {
                self.goodbye = Goodbye::Closed;
                discard(transport)
            }
            Err(error) => would_block(&error).ok_or(LinkError::Closed),
        }
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.goodbye_until
    }

    fn wants_input(&self, shared: &Shared) -> bool {
        !self.is_announced || shared.look(Connection::wants_input)
    }

    /// Reads at most [`READ_BLOCK`]; also whether that woke somebody.
    fn read(
        &mut self,
        shared: &Shared,
        transport: &mut impl Transport,
    ) -> Result<(Exchanged, bool), LinkError> {
        let (mut read, mut has_woken) = (0, false);
        let mut block = Block::borrow();
        while self.wants_input(shared) {
            if read == READ_BLOCK {
                return Ok((Exchanged::Some, has_woken));
            }
            let left = READ_BLOCK - read;
            match transport.read(block.first(left)) {
                Ok(0) => return Err(self.layer.cut(LinkError::Eof)),
                Ok(n) => {
                    read += n.min(left);
                    let link = self.link;
                    let feed = |plain: &[u8]| has_woken |= shared.feed(link, plain);
                    if let Err(error) = self.layer.receive(block.first(n), feed) {
                        self.say_why(transport);
                        return Err(error);
                    }
                    self.announce(shared);
                }
                Err(error) => match would_block(&error) {
                    Some(Exchanged::Some) => {}
                    Some(Exchanged::All | Exchanged::Yielded) => break,
                    None => return Err(self.failed(&error)),
                },
            }
        }
        Ok((Exchanged::All, has_woken))
    }

    fn write(
        &mut self,
        shared: &Shared,
        transport: &mut impl Transport,
    ) -> Result<Exchanged, LinkError> {
        let mut left = WRITE_BUDGET;
        loop {
            if !self.serves(shared.look(Connection::demand)) {
                // What was read ended the link: what was not written of it goes out on the next.
                return Ok(Exchanged::All);
            }
            if self.written == self.out.len() {
                self.refill(shared)?;
                if self.out.is_empty() {
                    if WRITE_BUDGET - left < SMALL_BLOCK {
                        self.out = Vec::new();
                    }
                    return self.flush(transport);
                }
            }
            if left == 0 {
                return Ok(Exchanged::Some);
            }
            let rest = self.out.get(self.written..).unwrap_or_default();
            match transport.write(rest) {
                Ok(0) => return Err(self.failed(&io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.written += n;
                    left = left.saturating_sub(n);
                    let plain = self.layer.written(n);
                    if plain > 0 {
                        let link = self.link;
                        shared.update(|state, now| {
                            state.connection.handle_written(now, link, plain);
                        });
                    }
                }
                Err(error) => match would_block(&error) {
                    Some(Exchanged::Some) => {}
                    Some(Exchanged::All | Exchanged::Yielded) => return Ok(Exchanged::All),
                    None => return Err(self.failed(&error)),
                },
            }
        }
    }

    /// Asks the connection for more to write.
    fn refill(&mut self, shared: &Shared) -> Result<(), LinkError> {
        self.out.clear();
        self.written = 0;
        let is_announced = self.is_announced;
        let pull = |out: &mut Vec<u8>| match is_announced {
            true => shared.update(|state, now| state.connection.poll_transmit(now, out)),
            false => 0,
        };
        self.layer.send(&mut self.out, pull)
    }

    fn flush(&self, transport: &mut impl Transport) -> Result<Exchanged, LinkError> {
        match transport.flush() {
            Ok(()) => Ok(Exchanged::All),
            Err(error) => would_block(&error).ok_or_else(|| self.failed(&error)),
        }
    }

    /// Tells the server why we hang up, where the layer has words for it and the transport room.
    fn say_why(&mut self, transport: &mut impl Transport) {
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            self.layer.last_words(&mut self.out);
            if self.out.is_empty() {
                return;
            }
            // The link is lost anyway.
            let _ = transport.write(&self.out);
            let _ = transport.flush();
        }
    }

    fn failed(&self, error: &io::Error) -> LinkError {
        self.layer
            .cut(LinkError::Transport(TransportError::from(error)))
    }
}

/// Reads and forgets, until the server closes.
fn discard(transport: &mut impl Transport) -> Result<Exchanged, LinkError> {
    match transport.read(&mut [0; 1_024]) {
        Ok(0) => Err(LinkError::Closed),
        Ok(_) => Ok(Exchanged::Some),
        Err(error) => would_block(&error).ok_or(LinkError::Closed),
    }
}

/// What an error leaves to be done, if it is none.
fn would_block(error: &io::Error) -> Option<Exchanged> {
    if error.kind() == io::ErrorKind::WouldBlock {
        Some(Exchanged::All)
    } else {
        (error.kind() == io::ErrorKind::Interrupted).then_some(Exchanged::Some)
    }
}
