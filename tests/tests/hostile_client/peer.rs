//! The other end of a link: a platform, or somebody who pretends to be one.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use kaa_proto::QoS;
use kaa_proto::client::Transport;
use kaa_proto::mqtt::server::{Received, ServerOptions, ServerSession};
use kaa_proto::platform::{LinkId, PlatformServer};

use crate::attacks::{Attack, Greeting, Manners};
use crate::meter::aside;

/// What an impostor knows when it is about to send the next piece.
#[derive(Debug)]
pub(crate) struct Scene {
    /// How many pieces it has sent.
    pub(crate) step: usize,
    /// The largest message that the client takes.
    pub(crate) packet: usize,
    /// The topics of the client's requests.
    pub(crate) topics: Vec<String>,
    /// How many filters the client has asked for.
    pub(crate) filters: usize,
}

/// Pretends to be a platform: does what MQTT asks for as far as its manners go, then plays its script.
struct Impostor {
    attack: Attack,
    session: ServerSession,
    scene: Scene,
    is_done: bool,
    /// What may still be sent in this period, and since when it lasts; any number before the script
    /// begins.
    allowance: usize,
    since: Instant,
    /// How many bytes were sent.
    given: usize,
    out: VecDeque<u8>,
}

enum Host {
    Impostor(Box<Impostor>),
    Platform(Box<PlatformServer>, LinkId, VecDeque<u8>),
}

/// A transport to a host. Clones are its two ends.
#[derive(Clone)]
pub(crate) struct Line {
    host: Arc<Mutex<Host>>,
    moved: Arc<AtomicUsize>,
    /// The time it is at the host.
    now: Instant,
}

impl Line {
    pub(crate) fn to_impostor(now: Instant, attack: Attack, packet: usize) -> Self {
        let impostor = Impostor {
            attack,
            session: ServerSession::new(now, ServerOptions::default()),
            scene: Scene {
                step: 0,
                packet,
                topics: Vec::new(),
                filters: 0,
            },
            is_done: false,
            allowance: usize::MAX,
            since: now,
            given: 0,
            out: VecDeque::new(),
        };
        Self::to(now, Host::Impostor(Box::new(impostor)))
    }

    pub(crate) fn to_platform(now: Instant, mut server: PlatformServer) -> Self {
        let link = server.handle_accepted(now);
        Self::to(now, Host::Platform(Box::new(server), link, VecDeque::new()))
    }

    fn to(now: Instant, host: Host) -> Self {
        let host = Arc::new(Mutex::new(host));
        let moved = Arc::default();
        Self { host, moved, now }
    }

    /// How many bytes were moved, either way.
    pub(crate) fn moved(&self) -> usize {
        self.moved.load(Ordering::Relaxed)
    }

    /// Whether an impostor has played its script.
    pub(crate) fn is_done(&self) -> bool {
        match &*self.host.lock().unwrap() {
            Host::Impostor(impostor) => impostor.is_done && impostor.out.is_empty(),
            Host::Platform(..) => true,
        }
    }

    /// How many pieces of its script an impostor has played.
    pub(crate) fn pieces(&self) -> usize {
        match &*self.host.lock().unwrap() {
            Host::Impostor(impostor) => impostor.scene.step,
            Host::Platform(..) => 0,
        }
    }

    /// How many filters an impostor was asked for.
    pub(crate) fn filters(&self) -> usize {
        match &*self.host.lock().unwrap() {
            Host::Impostor(impostor) => impostor.scene.filters,
            Host::Platform(..) => 0,
        }
    }

    /// How many bytes an impostor has sent.
    pub(crate) fn given(&self) -> usize {
        match &*self.host.lock().unwrap() {
            Host::Impostor(impostor) => impostor.given,
            Host::Platform(..) => 0,
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = now;
        match &mut *self.host.lock().unwrap() {
            Host::Impostor(impostor) => impostor.tick(now),
            Host::Platform(server, ..) => server.handle_timeout(now),
        }
    }
}

impl Impostor {
    fn take(&mut self, now: Instant, mut bytes: &[u8]) {
        while let Some(received) = self.session.handle_input(now, &mut bytes) {
            match received {
                Received::Connect(_) => self.session.accept(now),
                Received::Publish(message) => self.scene.topics.push(message.topic.to_owned()),
                Received::Subscribe { id, filters } => {
                    let granted = self.attack.manners != Manners::Refuses;
                    let all: Vec<_> = filters
                        .iter()
                        .map(|(_, qos)| granted.then_some(qos.min(QoS::AtLeastOnce)))
                        .collect();
                    self.scene.filters += all.len();
                    self.session.grant(id, &all);
                }
                _ => {}
            }
        }
        let mut answers = Vec::new();
        let n = self.session.poll_transmit(&mut answers);
        self.session.handle_written(n);
        if self.attack.greeting == Greeting::None
            || self.attack.manners == Manners::Mute && self.scene.step > 0
        {
            return;
        }
        self.out.extend(answers);
    }

    /// A slow one may send more in the next period.
    fn tick(&mut self, now: Instant) {
        if self.scene.step > 0 && now >= self.since + self.attack.period {
            (self.since, self.allowance) = (now, self.attack.pace);
        }
    }

    fn give(&mut self, now: Instant, block: &mut [u8]) -> usize {
        let begins = self.attack.greeting == Greeting::None
            || self.session.is_connected() && self.scene.topics.len() >= self.attack.after;
        if begins && self.scene.step == 0 && !self.is_done {
            (self.since, self.allowance) = (now, self.attack.pace);
        }
        let most = block.len().min(self.allowance);
        // No more than can go now: what MQTT asks for is not to wait behind all of the script.
        while begins && self.out.len() < most && !self.is_done {
            let is_over = self.scene.step >= self.attack.pieces;
            match (self.attack.script)(&self.scene).filter(|_| !is_over) {
                Some(piece) => {
                    self.scene.step += 1;
                    self.out.extend(piece);
                }
                None => self.is_done = true,
            }
        }
        let n = io::Read::read(&mut self.out, &mut block[..most]).unwrap();
        self.allowance = self.allowance.saturating_sub(n);
        self.given += n;
        n
    }
}

impl Transport for Line {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let n = aside(|| match &mut *self.host.lock().unwrap() {
            Host::Impostor(impostor) => impostor.give(self.now, block),
            Host::Platform(server, link, out) => {
                let mut answers = Vec::new();
                let n = server.poll_transmit(*link, &mut answers);
                server.handle_written(self.now, *link, n);
                while server.poll_event().is_some() {}
                out.extend(answers);
                io::Read::read(out, block).unwrap()
            }
        });
        self.moved.fetch_add(n, Ordering::Relaxed);
        match n {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = aside(|| match &mut *self.host.lock().unwrap() {
            Host::Impostor(impostor)
                if impostor.attack.manners == Manners::Deaf && impostor.scene.step > 0 =>
            {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Host::Impostor(impostor) => {
                impostor.take(self.now, bytes);
                Ok(bytes.len())
            }
            Host::Platform(server, link, _) => {
                server.handle_input(self.now, *link, bytes);
                Ok(bytes.len())
            }
        });
        let moved = *written.as_ref().unwrap_or(&0);
        self.moved.fetch_add(moved, Ordering::Relaxed);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}
