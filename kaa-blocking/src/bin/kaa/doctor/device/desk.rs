//! What the doctor has before him: the platform, the links to the device, and what he does to
//! them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use kaa_proto::platform::{LinkId, Platform, PlatformOptions, PlatformServer};

use super::record::{Act, By, Entry, Oddity, What, answered, is_result};
use super::wire::{Framer, Packet, Publish, acknowledgement, refusal};

/// Packet identifiers of the doctor begin here; the platform begins at 1 and never comes so far.
const OWN_IDS: u16 = 60_000;

/// How large the message is that is too large.
const OVERSIZED: usize = 1_024 * 1_024;

/// How the device is treated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    /// Links are closed as soon as they are opened.
    pub(crate) closes: bool,
    /// CONNECT is refused with this code.
    pub(crate) refuses: Option<u8>,
    /// Nothing reaches the device.
    pub(crate) silences: bool,
    /// Results do not reach the platform.
    pub(crate) holds_results: bool,
    /// Answers are held back, until they are released one by one, or for that long.
    pub(crate) holds_answers: Option<Duration>,
}

/// The doctor's desk.
pub(crate) struct Desk {
    server: PlatformServer,
    start: Instant,
    /// Which scene it is; what comes from links of an older one is ignored.
    scene: u32,
    entries: Vec<Entry>,
    lines: BTreeMap<u32, Line>,
    last_line: u32,
    last_id: u16,
    pub(crate) conduct: Conduct,
    held: Vec<Held>,
}

/// The platform's end of a link.
struct Line {
    stream: TcpStream,
    id: LinkId,
    from_device: Framer,
    to_device: Framer,
    has_subscribed: bool,
}

/// An answer that is held back.
struct Held {
    due: Option<Instant>,
    link: u32,
    publish: Publish,
    bytes: Vec<u8>,
}

impl Desk {
    pub(crate) fn new(options: PlatformOptions, seed: u64) -> Self {
        Self {
            server: PlatformServer::new(options, seed),
            start: Instant::now(),
            scene: 0,
            entries: Vec::new(),
            lines: BTreeMap::new(),
            last_line: 0,
            last_id: OWN_IDS,
            conduct: Conduct::default(),
            held: Vec::new(),
        }
    }

    /// Begins anew.
    pub(crate) fn begin(&mut self, options: PlatformOptions, seed: u64) {
        for line in self.lines.values() {
            let _ = line.stream.shutdown(Shutdown::Both);
        }
        let scene = self.scene + 1;
        *self = Self::new(options, seed);
        self.scene = scene;
    }

    /// What was seen so far.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Notes what the doctor does.
    pub(crate) fn note(&mut self, what: What) {
        let at = self.start.elapsed();
        self.entries.push(Entry { at, what });
    }

    /// A device dialed. The link, unless it is closed at once.
    pub(crate) fn open(&mut self, now: Instant, stream: TcpStream) -> Option<(u32, u32)> {
        self.last_line += 1;
        let link = self.last_line;
        self.note(What::Opened(link));
        if self.conduct.closes {
            self.note(What::Closed(link, By::Doctor));
            return None;
        }
        let id = self.server.handle_accepted(now);
        let line = Line {
            stream,
            id,
            from_device: Framer::default(),
            to_device: Framer::default(),
            has_subscribed: false,
        };
        self.lines.insert(link, line);
        Some((self.scene, link))
    }

    /// Bytes came from a device.
    pub(crate) fn take_in(&mut self, now: Instant, (scene, link): (u32, u32), bytes: &[u8]) {
        if scene != self.scene {
            return;
        }
        if let Some(line) = self.lines.get_mut(&link) {
            line.from_device.feed(bytes);
        }
        while let Some(line) = self.lines.get_mut(&link) {
            let Some((bytes, packet)) = line.from_device.next() else {
                break;
            };
            line.has_subscribed |= matches!(packet, Packet::Subscribe(_));
            let id = line.id;
            self.note(What::Heard(link, packet.clone()));
            if self.is_for_platform(link, &packet) {
                self.server.handle_input(now, id, &bytes);
            }
            self.pump(now);
        }
    }

    /// A link is gone, or is to be.
    pub(crate) fn close(&mut self, now: Instant, (scene, link): (u32, u32), by: By) {
        if scene != self.scene {
            return;
        }
        if let Some(line) = self.lines.remove(&link) {
            let _ = line.stream.shutdown(Shutdown::Both);
            self.note(What::Closed(link, by));
            self.server.handle_closed(now, line.id);
        }
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
        let is_due = |held: &Held| held.due.is_some_and(|due| due <= now);
        let held = std::mem::take(&mut self.held);
        let (due, held) = held.into_iter().partition::<Vec<_>, _>(is_due);
        self.held = held;
        for held in due {
            self.tell(held.link, &held.bytes, Packet::Publish(held.publish));
        }
        self.pump(now);
    }

    /// Lets an operator act.
    pub(crate) fn operate<T>(&mut self, verb: impl FnOnce(&mut Platform, Instant) -> T) -> T {
        let now = Instant::now();
        let result = self.server.operate(now, |platform| verb(platform, now));
        self.pump(now);
        result
    }

    /// Cuts all links.
    pub(crate) fn cut(&mut self) {
        let links: Vec<_> = self.lines.keys().copied().collect();
        for link in links {
            self.close(Instant::now(), (self.scene, link), By::Doctor);
        }
    }

    /// Sends a message by a link on which the device listens, at QoS 0; whether there is one.
    pub(crate) fn say(&mut self, topic: &str, payload: &[u8]) -> bool {
        let publish = Publish::plain(topic, payload);
        self.listening()
            .map(|link| self.tell(link, &publish.encode(), Packet::Publish(publish)))
            .is_some()
    }

    /// Sends what a device need not understand; whether there is a link for it.
    pub(crate) fn push_unknown(&mut self, topic: &str) -> bool {
        let Some(link) = self.listening() else {
            return false;
        };
        self.last_id += 1;
        let publish = Publish {
            qos: 1,
            packet_id: self.last_id,
            ..Publish::plain(topic, b"{\"nobody\":\"asked\"}")
        };
        self.note(What::Did(Act::Pushes(Oddity::Unknown(self.last_id))));
        self.tell(link, &publish.encode(), Packet::Publish(publish));
        true
    }

    /// Sends a message of a megabyte.
    pub(crate) fn push_oversized(&mut self, topic: &str) -> bool {
        self.listening().is_some_and(|link| {
            let publish = Publish::plain(topic, vec![b'x'; OVERSIZED]);
            self.note(What::Did(Act::Pushes(Oddity::Oversized)));
            // It need not stand in the record.
            self.write(link, &publish.encode());
            true
        })
    }

    /// Sends bytes that are no packet.
    pub(crate) fn push_malformed(&mut self) -> bool {
        self.listening().is_some_and(|link| {
            self.note(What::Did(Act::Pushes(Oddity::Malformed)));
            // A PUBLISH of QoS 3, and a packet type that there is not.
            self.write(link, b"\x36\x05\x00\x01a\x00\x01\xf0\x00");
            true
        })
    }

    /// The answers that are held back, by topic, oldest first.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Publish> {
        self.held.iter().map(|held| &held.publish)
    }

    /// Sends the held answer to that request; whether there is one.
    pub(crate) fn release(&mut self, request: &str) -> bool {
        let is_it = |held: &Held| answered(&held.publish.topic) == Some(request);
        let Some(index) = self.held.iter().position(is_it) else {
            return false;
        };
        let held = self.held.remove(index);
        self.tell(held.link, &held.bytes, Packet::Publish(held.publish));
        true
    }

    /// Whether the platform gets this packet. What it does not get is dealt with here.
    fn is_for_platform(&mut self, link: u32, packet: &Packet) -> bool {
        match packet {
            Packet::Connect(_) => {
                let Some(code) = self.conduct.refuses else {
                    return true;
                };
                self.tell(link, &refusal(code), Packet::ConnAck(code));
                self.close(Instant::now(), (self.scene, link), By::Doctor);
                false
            }
            Packet::Publish(publish) if self.conduct.holds_results && is_result(publish) => {
                if publish.qos == 1 {
                    let ack = acknowledgement(publish.packet_id);
                    self.tell(link, &ack, Packet::PubAck(publish.packet_id));
                }
                false
            }
            Packet::PubAck(id) => *id < OWN_IDS,
            Packet::Broken(_) => {
                self.close(Instant::now(), (self.scene, link), By::Platform);
                false
            }
            _ => true,
        }
    }

    /// Passes on what the platform says, and closes what it closes.
    fn pump(&mut self, now: Instant) {
        let links: Vec<_> = self
            .lines
            .iter()
            .map(|(link, line)| (*link, line.id))
            .collect();
        for (link, id) in links {
            let mut out = Vec::new();
            let n = self.server.poll_transmit(id, &mut out);
            if n == 0 {
                continue;
            }
            self.server.handle_written(now, id, n);
            if let Some(line) = self.lines.get_mut(&link) {
                line.to_device.feed(&out);
            }
            while let Some(line) = self.lines.get_mut(&link) {
                let Some((bytes, packet)) = line.to_device.next() else {
                    break;
                };
                self.pass_on(now, link, bytes, packet);
            }
        }
        // What the device did is in the record already.
        while self.server.poll_event().is_some() {}
        while let Some(id) = self.server.poll_hang_up() {
            let link = self.lines.iter().find(|(_, line)| line.id == id);
            if let Some(link) = link.map(|(link, _)| *link) {
                self.close(now, (self.scene, link), By::Platform);
            }
        }
    }

    /// Passes a packet of the platform on, now or later.
    fn pass_on(&mut self, now: Instant, link: u32, bytes: Vec<u8>, packet: Packet) {
        match (packet, self.conduct.holds_answers) {
            (Packet::Publish(publish), Some(time)) if answered(&publish.topic).is_some() => {
                self.held.push(Held {
                    due: now.checked_add(time),
                    link,
                    publish,
                    bytes,
                });
            }
            (packet, _) => self.tell(link, &bytes, packet),
        }
    }

    /// Sends a packet, unless the network is dead.
    fn tell(&mut self, link: u32, bytes: &[u8], packet: Packet) {
        if !self.conduct.silences && self.lines.contains_key(&link) {
            self.note(What::Told(link, packet));
            self.write(link, bytes);
        }
    }

    fn write(&mut self, link: u32, bytes: &[u8]) {
        if let Some(line) = self.lines.get_mut(&link) {
            // A device that is gone, or does not read, is found out by its reader.
            let _ = line.stream.write_all(bytes);
        }
    }

    /// The link on which the device listens: the one that subscribed, or the newest.
    fn listening(&self) -> Option<u32> {
        let subscribed = self.lines.iter().find(|(_, line)| line.has_subscribed);
        let found = subscribed.or_else(|| self.lines.iter().next_back());
        found.map(|(link, _)| *link)
    }
}
