//! One client of the handles, its driver and its platform, on a simulated clock.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use kaa_proto::client::{
    Client, Driver, Endpoint, Options, StoreTurn, StoreWriter, Transport, Turn,
};
use kaa_proto::connection;
use kaa_proto::names::EndpointName;
use kaa_proto::platform::{EventKind, LinkId, PlatformOptions, PlatformServer};

use rustls::ServerConfig;

use crate::clock::Clock;
use crate::tls_end::TlsEnd;

/// What a binding is to a client, and a platform at the other end of its link.
#[derive(Debug)]
pub struct Rig {
    /// The client's driver; `None` when it was dropped.
    pub driver: Option<Driver>,
    /// The platform.
    pub server: PlatformServer,
    /// Who writes to the client's store, if it has one.
    pub writer: Option<StoreWriter>,
    /// While set, the medium of the store hangs.
    pub is_disk_stuck: bool,
    /// While set, dials come to nothing.
    pub is_away: bool,
    /// While set, dials are refused.
    pub refuses: bool,
    /// What the driver wanted last.
    pub turn: Turn,
    /// Links to come carry so many bytes from the platform, then nothing, either way.
    pub mute_after: Option<usize>,
    /// While set, somebody else answers dials, with these words.
    pub impostor: Option<&'static [u8]>,
    /// How TLS is spoken at the platform's end; `None`: not at all.
    tls: Option<Arc<ServerConfig>>,
    clock: Arc<Mutex<Clock>>,
    transport: Option<Wire>,
    /// The platform's side of the transport.
    far: Option<Far>,
    /// When the writer is to be turned again.
    writer_until: Option<Instant>,
}

/// The platform's side of a transport.
#[derive(Debug)]
struct Far {
    link: LinkId,
    wire: Wire,
    tls: Option<TlsEnd>,
    /// How many bytes may still go to the client; `None`: any number.
    left: Option<usize>,
    /// Nothing goes through any more.
    is_mute: bool,
}

impl Rig {
    /// A client with these options, not connected yet.
    #[must_use]
    pub fn new(options: Options) -> (Client, Self) {
        Self::with(options, PlatformOptions::default(), None)
    }

    /// A client with these options and this endpoint, after its first moments.
    ///
    /// # Panics
    /// The options cannot be kept.
    #[must_use]
    pub fn with_endpoint(options: Options, name: &EndpointName) -> (Client, Endpoint, Self) {
        let (client, mut rig) = Self::new(options);
        let endpoint = match client.endpoint(name) {
            Ok(endpoint) => endpoint,
            Err(error) => panic!("{error}"),
        };
        rig.run();
        (client, endpoint, rig)
    }

    /// As [`new`](Self::new), with a platform of one's choice, over TLS if its end has a
    /// configuration.
    ///
    /// # Panics
    /// The options cannot be kept.
    #[must_use]
    pub fn with(
        options: Options,
        platform: PlatformOptions,
        tls: Option<Arc<ServerConfig>>,
    ) -> (Client, Self) {
        let server = PlatformServer::new(platform, 3);
        Self::at(Clock::new(), options, 1, server, tls)
    }

    /// The power went, and came again: another client with these options and this seed, and the
    /// platform as it is, which finds the link gone. This one is as it was.
    ///
    /// # Panics
    /// As [`with`](Self::with).
    #[must_use]
    pub fn after_crash(&self, options: Options, seed: u64) -> (Client, Self) {
        let mut server = self.server.clone();
        if let Some(far) = &self.far {
            server.handle_closed(self.now(), far.link);
        }
        let clock = *lock(&self.clock);
        Self::at(clock, options, seed, server, self.tls.clone())
    }

    fn at(
        clock: Clock,
        options: Options,
        seed: u64,
        server: PlatformServer,
        tls: Option<Arc<ServerConfig>>,
    ) -> (Client, Self) {
        let clock = Arc::new(Mutex::new(clock));
        let time = Arc::clone(&clock);
        let now = move || lock(&time).now();
        let options = match options.open_store() {
            Ok(options) => options,
            Err(error) => panic!("{error}"),
        };
        let Ok((client, mut driver)) = Client::new(options, seed, seed + 1, now) else {
            panic!("the options are wrong");
        };
        let rig = Self {
            writer: driver.take_store_writer(),
            is_disk_stuck: false,
            driver: Some(driver),
            server,
            is_away: false,
            refuses: false,
            turn: Turn::Again,
            mute_after: None,
            impostor: None,
            tls,
            clock,
            transport: None,
            far: None,
            writer_until: None,
        };
        (client, rig)
    }

    /// The time it is.
    #[must_use]
    pub fn now(&self) -> Instant {
        lock(&self.clock).now()
    }

    /// Lets both sides do what they can do now.
    pub fn run(&mut self) {
        while self.step() {}
    }

    /// Ends the link from the platform's side.
    pub fn cut(&mut self) {
        self.sever();
        self.run();
    }

    /// As [`cut`](Self::cut); what follows is left to [`step`](Self::step).
    pub fn sever(&mut self) {
        self.end();
    }

    /// So many more bytes go to the client through the link there is, then nothing goes either
    /// way, and nobody is told.
    pub fn mute_in(&mut self, bytes: usize) {
        if let Some(far) = &mut self.far {
            far.left = Some(bytes);
            far.is_mute = bytes == 0;
        }
    }

    /// Another platform takes the place of this one, which ends all links.
    pub fn restart(&mut self, platform: PlatformOptions) {
        self.end();
        self.server = PlatformServer::new(platform, 4);
        self.run();
    }

    /// Lets time pass, from one deadline to the next.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        self.run();
        while self.now() < end {
            let next = self.next().unwrap_or(end).min(end);
            self.advance(next);
        }
    }

    /// When the next thing happens by itself.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        let ours = match self.turn {
            _ if self.driver.is_none() => None,
            Turn::Dial { until, .. } | Turn::Wait { until } => until,
            Turn::Again | Turn::Finished => None,
        };
        [ours, self.server.poll_timeout(), self.writer_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Lets time pass until that instant, and happen what happens then.
    pub fn advance(&mut self, instant: Instant) {
        self.tick(instant);
        self.run();
    }

    /// Lets time pass until that instant; what happens then is left to [`step`](Self::step).
    pub fn tick(&mut self, instant: Instant) {
        lock(&self.clock).advance_to(instant);
        self.server.handle_timeout(instant);
    }

    /// Whether something of this kind has happened on the platform since it was asked last.
    pub fn saw(&mut self, is_it: impl Fn(&EventKind) -> bool) -> bool {
        let events: Vec<_> = std::iter::from_fn(|| self.server.poll_event()).collect();
        events.iter().any(|event| is_it(&event.kind))
    }

    /// The samples that the platform has processed since it was asked last, where they are numbers.
    pub fn processed(&mut self) -> Vec<u64> {
        let mut samples = Vec::new();
        while let Some(event) = self.server.poll_event() {
            if let EventKind::Telemetry { data, .. } = event.kind {
                samples.extend(data.as_u64());
            }
        }
        samples
    }

    /// One turn of the driver, what follows from it on the platform, and last one turn of the writer;
    /// whether there is more.
    pub fn step(&mut self) -> bool {
        let is_more = self.exchange_once();
        self.write() || is_more
    }

    /// One turn of the writer; whether there is more.
    fn write(&mut self) -> bool {
        self.writer_until = None;
        let Some(writer) = self.writer.as_mut().filter(|_| !self.is_disk_stuck) else {
            return false;
        };
        match writer.turn() {
            StoreTurn::Again => true,
            StoreTurn::Wait { until } => {
                self.writer_until = until;
                false
            }
            StoreTurn::Finished => {
                self.writer = None;
                // The driver may have waited for that.
                true
            }
        }
    }

    fn exchange_once(&mut self) -> bool {
        if let Some(driver) = &mut self.driver {
            self.turn = driver.turn(Waker::noop(), &mut self.transport);
        } else {
            self.transport = None;
        }
        let is_driven = self.driver.is_some();
        if let Turn::Dial { link, .. } = self.turn {
            if is_driven {
                return self.dial(link);
            }
        }
        let is_more = is_driven && self.turn == Turn::Again;
        let is_moved = self.exchange();
        self.hang_up() || is_moved || is_more
    }

    fn dial(&mut self, link: connection::LinkId) -> bool {
        let Some(driver) = self.driver.as_mut().filter(|_| !self.is_away) else {
            return false;
        };
        if self.refuses {
            driver.handle_failed(link, &io::ErrorKind::ConnectionRefused.into());
            return true;
        }
        let wire = Wire::default();
        self.transport = Some(wire.clone());
        let words = self.impostor.unwrap_or_default();
        lock(&wire.0).to_client.extend(words);
        driver.handle_connected(link);
        self.end();
        self.far = Some(Far {
            link: self.server.handle_accepted(self.now()),
            wire,
            tls: self.tls.as_ref().map(TlsEnd::new),
            left: self.mute_after,
            is_mute: self.impostor.is_some(),
        });
        true
    }

    /// Moves bytes between the transport and the platform; whether there were any.
    fn exchange(&mut self) -> bool {
        let now = self.now();
        let Some(far) = self.far.as_mut().filter(|far| !far.is_mute) else {
            return false;
        };
        let sent = std::mem::take(&mut lock(&far.wire.0).to_server);
        let (plain, is_broken) = match &mut far.tls {
            Some(tls) => match tls.open(&sent) {
                Some(plain) => (plain, false),
                None => (Vec::new(), true),
            },
            None => (sent.clone(), false),
        };
        if !plain.is_empty() {
            self.server.handle_input(now, far.link, &plain);
        }
        let mut answers = Vec::new();
        let answered = self.server.poll_transmit(far.link, &mut answers);
        self.server.handle_written(now, far.link, answered);
        let mut answers = match &mut far.tls {
            Some(tls) => tls.seal(&answers),
            None => answers,
        };
        if let Some(left) = &mut far.left {
            answers.truncate(*left);
            *left -= answers.len();
            far.is_mute = *left == 0;
        }
        let is_moved = !sent.is_empty() || !answers.is_empty();
        lock(&far.wire.0).to_client.extend(answers);
        let is_over = self.transport.is_none() || lock(&far.wire.0).is_closed;
        if is_broken || is_over && !is_moved {
            self.end();
            return true;
        }
        is_moved
    }

    /// Closes the links that the platform wants closed; whether there were any.
    fn hang_up(&mut self) -> bool {
        let now = self.now();
        let Some(link) = self.server.poll_hang_up() else {
            return false;
        };
        match &self.far {
            Some(far) if far.link == link && !far.is_mute => self.end(),
            _ => self.server.handle_closed(now, link),
        }
        true
    }

    fn end(&mut self) {
        let now = self.now();
        if let Some(far) = self.far.take() {
            self.server.handle_closed(now, far.link);
            lock(&far.wire.0).is_over = !far.is_mute;
        }
    }
}

/// A byte stream in memory; clones are its two ends.
#[derive(Clone, Debug, Default)]
pub struct Wire(Arc<Mutex<Ends>>);

#[derive(Debug, Default)]
struct Ends {
    to_server: Vec<u8>,
    to_client: VecDeque<u8>,
    /// The client has closed its direction.
    is_closed: bool,
    /// The server has closed.
    is_over: bool,
}

impl Transport for Wire {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let mut ends = lock(&self.0);
        if ends.to_client.is_empty() && !ends.is_over {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut ends.to_client, block)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).to_server.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        lock(&self.0).is_closed = true;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
