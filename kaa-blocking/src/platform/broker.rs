//! The platform behind a real broker: one MQTT client on `kp1/#`, dialed again when it is lost.
//!
//! The broker owns the links of the devices, so the platform cannot close them: what would hang up
//! on a device only leaves it without an answer.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task;
use std::time::{Duration, Instant};

use kaa_proto::QoS;
use kaa_proto::client::Target;
use kaa_proto::mqtt::{Incoming, PublishError, Session, SessionOptions};
use kaa_proto::platform::{Delivery, LinkId, Platform};
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Registry, Waker};

use super::channel::{Channel as _, Input};
use super::socket::Socket;
use super::tokens;
use crate::dial::{self, Connector, Dial};
use crate::driver::Bell;

/// Everything of 1/KP.
const FILTER: &str = "kp1/#";
/// How long to wait before a lost or refused connection is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an attempt may take, names and all.
const DIAL_WITHIN: Duration = Duration::from_secs(20);
/// How long the addresses of the name may take together: something is left for resolving it.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// How much is read before the clock is looked at.
const CHUNK: usize = 16 * 1_024;

/// The connection to the broker, or the wish for one.
pub(super) struct Broker {
    connector: Arc<Connector<std::net::TcpStream>>,
    session: SessionOptions,
    waker: task::Waker,
    stage: Stage,
    /// The number of the latest connection.
    last_link: u64,
    /// A message that the session had no room for.
    held: Option<Delivery>,
    buffer: Vec<u8>,
}

/// Where the connection stands.
enum Stage {
    /// Nothing is tried before that time. Exits: `Dialing`.
    Waiting(Instant),
    /// An attempt is under way, until that time at most. Exits: `Open`; `Waiting` when it fails.
    Dialing(Dial<std::net::TcpStream>, Instant),
    /// There is a connection. Exits: `Waiting` when it is lost.
    Open(Box<Open>),
}

struct Open {
    socket: Socket,
    session: Session<()>,
    link: LinkId,
    /// Whether the broker has granted the subscription: devices are heard.
    is_ready: bool,
}

/// What changed.
#[derive(Debug, PartialEq)]
pub(super) enum Change {
    /// Devices are heard from now on.
    Attached,
    /// They are not, for this reason.
    Lost(String),
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").finish_non_exhaustive()
    }
}

impl Broker {
    pub(super) fn new(
        now: Instant,
        target: Target,
        session: SessionOptions,
        waker: Arc<Waker>,
    ) -> Self {
        Self {
            connector: Arc::new(move || dial::tcp(&target, CONNECT_WITHIN)),
            session,
            waker: Arc::new(Bell(waker)).into(),
            stage: Stage::Waiting(now),
            last_link: 0,
            held: None,
            buffer: vec![0; CHUNK],
        }
    }

    pub(super) fn handle_event(&mut self, event: &Event) {
        if let Stage::Open(open) = &mut self.stage {
            open.socket.handle_event(event);
        }
    }

    /// Dials, or reads a bounded amount.
    pub(super) fn take_in(
        &mut self,
        now: Instant,
        platform: &mut Platform,
        registry: &Registry,
    ) -> Option<Change> {
        match &mut self.stage {
            Stage::Waiting(until) if *until > now => None,
            Stage::Waiting(_) => {
                let dial = Dial::start(&self.connector, &self.waker);
                self.stage = Stage::Dialing(dial, now + DIAL_WITHIN);
                None
            }
            Stage::Dialing(dial, until) => match dial.poll() {
                None if *until > now => None,
                None => Some(self.give_up(now, "nobody answered".into())),
                Some(Err(error)) => Some(self.give_up(now, error.to_string())),
                Some(Ok(stream)) => {
                    let opened = self.open(now, stream, registry);
                    opened.err().map(|problem| self.give_up(now, problem))
                }
            },
            Stage::Open(open) => match open.take_in(now, platform, &mut self.buffer) {
                Ok(change) => change,
                Err(cause) => Some(self.lose(now, platform, cause)),
            },
        }
    }

    /// Publishes what the platform has to say. What it says while there is no connection waits.
    pub(super) fn send_out(&mut self, now: Instant, platform: &mut Platform) -> Option<Change> {
        // They are for links that the broker owns.
        while platform.poll_hang_up().is_some() {}
        let Stage::Open(open) = &mut self.stage else {
            return None;
        };
        open.publish(platform, &mut self.held);
        let error = open.flush(now).err()?;
        Some(self.lose(now, platform, error.to_string()))
    }

    /// Says goodbye to the broker, as far as that goes at once.
    pub(super) fn finish(&mut self, now: Instant) {
        if let Stage::Open(open) = &mut self.stage {
            open.session.disconnect();
            let _ = open.flush(now);
            open.socket.shut();
        }
    }

    /// Whether there is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => open.socket.is_readable() && open.session.wants_input(),
            Stage::Waiting(_) | Stage::Dialing(..) => false,
        }
    }

    /// When there is something to do even if nothing becomes ready.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Waiting(until) | Stage::Dialing(_, until) => Some(*until),
            Stage::Open(open) => open.session.poll_timeout(),
        }
    }

    fn open(
        &mut self,
        now: Instant,
        stream: std::net::TcpStream,
        registry: &Registry,
    ) -> Result<(), String> {
        let session = Session::new(now, &self.session).map_err(|error| error.to_string())?;
        let socket = stream
            .set_nonblocking(true)
            .and_then(|()| Socket::register(TcpStream::from_std(stream), registry, tokens::BROKER));
        self.last_link += 1;
        self.stage = Stage::Open(Box::new(Open {
            socket: socket.map_err(|error| error.to_string())?,
            session,
            link: LinkId::new(self.last_link),
            is_ready: false,
        }));
        Ok(())
    }

    fn lose(&mut self, now: Instant, platform: &mut Platform, cause: String) -> Change {
        if let Stage::Open(open) = &self.stage {
            if open.is_ready {
                platform.handle_link_closed(now, open.link);
            }
        }
        self.give_up(now, cause)
    }

    fn give_up(&mut self, now: Instant, cause: String) -> Change {
        self.stage = Stage::Waiting(now + PAUSE);
        Change::Lost(cause)
    }
}

impl Open {
    /// Reads once. The error is why the connection is lost.
    fn take_in(
        &mut self,
        now: Instant,
        platform: &mut Platform,
        buffer: &mut [u8],
    ) -> Result<Option<Change>, String> {
        self.session.handle_timeout(now);
        let mut change = None;
        if self.socket.is_readable() && self.session.wants_input() {
            match self.socket.read(buffer) {
                Input::Bytes(n) => {
                    let input = buffer.get(..n).unwrap_or_default();
                    change = self.handle_input(now, platform, input)?;
                }
                Input::Later => {}
                Input::End => return Err("the broker closed the connection".into()),
            }
        }
        match self.session.failure() {
            Some(failure) => Err(failure.to_string()),
            None => Ok(change),
        }
    }

    fn handle_input(
        &mut self,
        now: Instant,
        platform: &mut Platform,
        mut input: &[u8],
    ) -> Result<Option<Change>, String> {
        let mut change = None;
        while let Some(incoming) = self.session.handle_input(now, &mut input) {
            match incoming {
                Incoming::Connected => {
                    let filters = [(FILTER, QoS::AtLeastOnce)];
                    let subscribed = self.session.subscribe((), &filters);
                    subscribed.map_err(|error| error.to_string())?;
                }
                Incoming::Subscribed { granted, .. } => {
                    if granted.iter().any(|one| one.is_err()) {
                        return Err(format!("the broker refused the subscription to {FILTER}"));
                    }
                    self.is_ready = true;
                    platform.handle_link_opened(now, self.link);
                    change = Some(Change::Attached);
                }
                // What the broker kept from before is no device that speaks now.
                Incoming::Message(message) if !message.retain => {
                    let (topic, payload) = (message.topic, message.payload);
                    platform.handle_message(now, self.link, topic, payload, message.qos);
                }
                // `Session::failure` tells what went wrong; a message larger than the platform
                // takes was skipped; the rest concerns nobody.
                Incoming::Message(_)
                | Incoming::Refused(_)
                | Incoming::Acknowledged(_)
                | Incoming::Unsubscribed(_)
                | Incoming::Oversize(_)
                | Incoming::Unexpected { .. }
                | Incoming::Failed(_)
                | _ => {}
            }
        }
        Ok(change)
    }

    /// Hands over what the platform publishes, as far as there is room.
    fn publish(&mut self, platform: &mut Platform, held: &mut Option<Delivery>) {
        if !self.is_ready {
            return;
        }
        while let Some(delivery) = held.take().or_else(|| platform.poll_delivery()) {
            let (topic, payload) = (&delivery.topic, &delivery.payload);
            let published = self.session.publish((), topic, payload, delivery.qos);
            // Anything else is larger than the session takes, and dropped as brokers do it.
            if let Err(PublishError::OutputFull | PublishError::WindowFull) = published {
                *held = Some(delivery);
                return;
            }
        }
    }

    fn flush(&mut self, now: Instant) -> io::Result<()> {
        loop {
            if let Some(buffer) = self.socket.empty_buffer() {
                if self.session.poll_transmit(buffer) == 0 {
                    return Ok(());
                }
            }
            match self.socket.write()? {
                0 => return Ok(()),
                written => self.session.handle_written(now, written),
            }
            while self.session.poll_written().is_some() {}
        }
    }
}
