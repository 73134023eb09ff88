//! The platform over bytes: many MQTT links and one [`Platform`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Instant;

use super::choices::AuthFailure;
use super::event::{Event, EventKind};
use super::limits::Limits;
use super::link::{Link, Stage};
use super::options::{LinkId, PlatformOptions, User, UserState};
use super::platform::{Delivery, Platform};
use super::subscriptions::Subscriptions;
use crate::mqtt::ConnectRefusal;
use crate::mqtt::server::{Connect, Received, ServerFailure, ServerOptions};
use crate::timers::Timers;
use crate::topic;

/// What a packet may need beyond topic and payload.
const PACKET_OVERHEAD: usize = 16;

/// The server side of the Kaa device protocol, level B: bytes in and out on many links.
///
/// Its host accepts connections and tells of each by [`handle_accepted`](Self::handle_accepted),
/// feeds what they send, writes what [`poll_transmit`](Self::poll_transmit) gives and reports it
/// by [`handle_written`](Self::handle_written), closes the links that
/// [`poll_hang_up`](Self::poll_hang_up) names, and reports every closed one by
/// [`handle_closed`](Self::handle_closed). How many links there are is the host's decision.
/// Sessions are clean: nothing of a link survives it but what the extensions keep.
///
/// ```
/// use kaa_proto::platform::{PlatformOptions, PlatformServer};
/// # #[allow(clippy::disallowed_methods)]
/// let now = std::time::Instant::now();
///
/// let mut server = PlatformServer::new(PlatformOptions::default(), 1);
/// let link = server.handle_accepted(now);
/// server.handle_input(now, link, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c");
/// let mut out = Vec::new();
/// let len = server.poll_transmit(link, &mut out);
/// assert_eq!(out, b"\x20\x02\x00\x00");
/// server.handle_written(now, link, len);
/// ```
#[derive(Clone)]
pub struct PlatformServer {
    platform: Platform,
    /// Who may connect; empty: everybody.
    users: Vec<User>,
    /// Links until they are reported closed.
    links: BTreeMap<LinkId, Link>,
    /// The last number given to a link.
    last_link: u64,
    subscriptions: Subscriptions,
    /// What all links hold, as far as they were counted.
    held: usize,
    limits: Limits,
    /// Connected links by client identifier.
    clients: BTreeMap<String, LinkId>,
    /// When the session of a link has something to do.
    timers: Timers<LinkId>,
    /// Links whose input waits for the end of a black hole.
    stalled: BTreeSet<LinkId>,
    /// Links that the host is to close.
    hang_ups: VecDeque<LinkId>,
}

/// Users, tokens and messages are not shown.
impl fmt::Debug for PlatformServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlatformServer")
            .field("platform", &self.platform)
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

impl PlatformServer {
    /// A platform in its initial state, without links. The seed decides IDs, tokens and chance.
    #[must_use]
    pub fn new(mut options: PlatformOptions, seed: u64) -> Self {
        Self {
            users: std::mem::take(&mut options.users),
            held: 0,
            limits: options.limits,
            platform: Platform::new(options, seed),
            links: BTreeMap::new(),
            last_link: 0,
            subscriptions: Subscriptions::default(),
            clients: BTreeMap::new(),
            timers: Timers::default(),
            stalled: BTreeSet::new(),
            hang_ups: VecDeque::new(),
        }
    }

    /// A connection was accepted.
    pub fn handle_accepted(&mut self, now: Instant) -> LinkId {
        self.last_link += 1;
        let id = LinkId::new(self.last_link);
        let mut options = ServerOptions::default();
        // What is larger than the switch allows is refused by the platform itself.
        let largest = self.platform.switches().max_packet;
        let largest = largest.saturating_add(PACKET_OVERHEAD);
        options.max_packet_in = options.max_packet_in.max(largest);
        options.max_packet_out = options.max_packet_out.max(largest);
        self.links.insert(id, Link::new(now, options));
        self.platform.handle_link_opened(now, id);
        self.schedule(id);
        id
    }

    /// Bytes arrived. Those of a link that is to be closed or is unknown are ignored.
    pub fn handle_input(&mut self, now: Instant, link: LinkId, input: &[u8]) {
        self.feed(now, link, input);
        self.pump(now);
    }

    /// `n` bytes that [`poll_transmit`](Self::poll_transmit) gave were written.
    pub fn handle_written(&mut self, now: Instant, link: LinkId, n: usize) {
        if let Some(open) = self.links.get_mut(&link) {
            open.session.handle_written(n);
            if open.is_open() {
                open.send_backlog();
            }
        }
        self.count(now, link);
        self.pump(now);
    }

    /// A connection is gone, whoever closed it.
    pub fn handle_closed(&mut self, now: Instant, link: LinkId) {
        let Some(closed) = self.links.remove(&link) else {
            return;
        };
        if self.clients.get(&closed.client_id) == Some(&link) {
            self.clients.remove(&closed.client_id);
        }
        self.held -= closed.counted;
        self.subscriptions.remove(link);
        self.timers.clear(&link);
        self.stalled.remove(&link);
        self.hang_ups.retain(|id| *id != link);
        self.platform.handle_link_closed(now, link);
        self.pump(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.platform.handle_timeout(now);
        self.pump(now);
        while let Some(id) = self.timers.pop_due(now) {
            if self.platform.is_black_holed(id) {
                self.stalled.insert(id);
            } else {
                self.expire(now, id);
            }
        }
        self.pump(now);
    }

    /// Moves what is to be written on a link to the end of `out`; returns how many bytes.
    pub fn poll_transmit(&mut self, link: LinkId, out: &mut Vec<u8>) -> usize {
        let is_black_holed = self.platform.is_black_holed(link);
        match self.links.get_mut(&link) {
            Some(open) if open.stage != Stage::Cut && !is_black_holed => {
                open.session.poll_transmit(out)
            }
            _ => 0,
        }
    }

    /// Whether to read from a link. What comes nonetheless is taken, and during a black hole kept
    /// up to a bound.
    #[must_use]
    pub fn wants_input(&self, link: LinkId) -> bool {
        let open = self.links.get(&link);
        open.is_some_and(Link::wants_input) && !self.platform.is_black_holed(link)
    }

    /// A link to close, after what [`poll_transmit`](Self::poll_transmit) still gives for it was
    /// written. Each comes once.
    pub fn poll_hang_up(&mut self) -> Option<LinkId> {
        self.hang_ups.pop_front()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.platform.poll_event()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let all = [self.platform.poll_timeout(), self.timers.next()];
        all.into_iter().flatten().min()
    }

    /// Lets an operator act on the platform, and sends what comes of it.
    pub fn operate<T>(&mut self, now: Instant, verb: impl FnOnce(&mut Platform) -> T) -> T {
        let result = verb(&mut self.platform);
        self.pump(now);
        result
    }

    /// The platform, to look at.
    #[must_use]
    pub const fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Takes the packets of a link one after the other, until a black hole opens or the link ends.
    fn feed(&mut self, now: Instant, id: LinkId, mut input: &[u8]) {
        loop {
            let is_black_holed = self.platform.is_black_holed(id);
            let Some(link) = self.links.get_mut(&id).filter(|link| link.is_open()) else {
                return;
            };
            if is_black_holed {
                self.stalled.insert(id);
                if !link.hold(input) {
                    self.platform
                        .hang_up(now, id, "too much input in a black hole");
                }
                return;
            }
            let Some(received) = link.session.handle_input(now, &mut input) else {
                break;
            };
            match received {
                Received::Connect(connect) => {
                    let verdict = judge(&self.users, &connect);
                    let client_id = String::from(connect.client_id);
                    self.decide(now, id, client_id, verdict);
                }
                Received::Publish(message) => {
                    if link.stage == Stage::Doomed {
                        self.platform.hang_up(now, id, "wrong credentials");
                    } else {
                        let (topic, payload) = (message.topic, message.payload);
                        self.platform
                            .handle_message(now, id, topic, payload, message.qos);
                    }
                }
                Received::Oversize(message) => {
                    self.platform.refuse_oversize(now, id, message.topic);
                }
                Received::Subscribe {
                    id: packet,
                    filters,
                } => {
                    let (filters, max) = (filters.iter(), self.limits.link / 2);
                    let granted: Vec<_> = filters
                        .map(|(filter, qos)| self.subscriptions.subscribe(id, filter, qos, max))
                        .collect();
                    link.session.grant(packet, &granted);
                    let refused = granted.iter().filter(|granted| granted.is_none()).count();
                    if refused > 0 {
                        let event = EventKind::SubscriptionsRefused { filters: refused };
                        self.platform.note(now, Some(id), None, event);
                    }
                }
                Received::Unsubscribe(filters) => {
                    for filter in filters.iter() {
                        self.subscriptions.unsubscribe(id, filter);
                    }
                }
                Received::Acknowledged(_) => link.send_backlog(),
                Received::Failed(violation) => {
                    let reason = violation.to_string();
                    self.platform.note_breach(now, id, None, 400, &reason, "");
                }
                Received::Disconnect | Received::Unexpected { .. } => {}
            }
            self.pump_deliveries(now);
        }
        self.count(now, id);
        self.schedule(id);
    }

    /// Looks at what a link holds, and closes it if that is too much.
    fn count(&mut self, now: Instant, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_open()) else {
            return;
        };
        let held = link.held() + self.subscriptions.bytes(id);
        self.held = self.held - link.counted + held;
        link.counted = held;
        let share = self.limits.links / (2 * self.links.len().max(1));
        let is_greedy = self.held > self.limits.links && held > share;
        if held > self.limits.link || is_greedy {
            self.platform.hang_up(now, id, "it holds too much");
        }
    }

    /// Lets a client in or not.
    fn decide(&mut self, now: Instant, id: LinkId, client_id: String, verdict: Verdict) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if let Err(refusal) = verdict {
            let code = refusal.code();
            let event = EventKind::LoginRefused { code };
            self.platform.note(now, Some(id), None, event);
            if self.platform.switches().auth_failure == AuthFailure::Connack {
                link.session.refuse(refusal);
                return;
            }
            link.stage = Stage::Doomed;
        }
        link.session.accept(now);
        link.client_id.clone_from(&client_id);
        if client_id.is_empty() {
            return;
        }
        let older = self.clients.insert(client_id, id);
        if let Some(older) = older.filter(|_| self.platform.switches().evict) {
            self.platform
                .hang_up(now, older, "another link has its client ID");
        }
    }

    /// Sends what the platform publishes, closes what it closes and what is over by itself, and
    /// goes on with links whose black hole has ended.
    fn pump(&mut self, now: Instant) {
        loop {
            self.pump_deliveries(now);
            let ended = |id: &&LinkId| !self.platform.is_black_holed(**id);
            let Some(id) = self.stalled.iter().find(ended).copied() else {
                return;
            };
            self.stalled.remove(&id);
            let held = self.links.get_mut(&id).map(Link::take_held);
            self.feed(now, id, &held.unwrap_or_default());
            self.expire(now, id);
        }
    }

    fn pump_deliveries(&mut self, now: Instant) {
        while let Some(delivery) = self.platform.poll_delivery() {
            self.route(now, &delivery);
        }
        while let Some(id) = self.platform.poll_hang_up() {
            let open = self.links.get_mut(&id).filter(|link| link.is_open());
            if let Some(link) = open {
                self.held -= link.counted;
                link.cut(now);
                self.subscriptions.remove(id);
                self.timers.clear(&id);
                self.hang_ups.push_back(id);
            }
        }
    }

    /// To the endpoint's last speaker and to subscribers, once per link.
    fn route(&mut self, now: Instant, delivery: &Delivery) {
        let mut links = match delivery.recipients.subscribers {
            true => self.subscriptions.candidates(&delivery.topic),
            false => BTreeSet::new(),
        };
        links.extend(delivery.recipients.link);
        for id in links {
            let granted = match delivery.recipients.subscribers {
                true => self.subscriptions.granted(id, &delivery.topic),
                false => None,
            };
            let is_speaker = delivery.recipients.link == Some(id);
            let qos = match granted {
                Some(granted) => granted.min(delivery.qos),
                None if is_speaker => delivery.qos,
                None => continue,
            };
            let link = self.links.get_mut(&id).filter(|link| link.is_open());
            if link.is_some_and(|link| !link.send(delivery, qos)) {
                let topic = topic::cut(&topic::shortened(&delivery.topic));
                self.platform
                    .note(now, Some(id), None, EventKind::Overflow { topic });
            }
            self.count(now, id);
        }
    }

    /// The session of a link looks at the clock.
    fn expire(&mut self, now: Instant, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id) {
            link.session.handle_timeout(now);
        }
        self.schedule(id);
    }

    /// Sets the deadline of a link, or has it closed if its session is over.
    fn schedule(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id).filter(|link| link.is_open()) else {
            return;
        };
        if !link.session.is_over() {
            self.timers.set(id, link.session.poll_timeout());
            return;
        }
        // Nobody listens any more: what is left would only hold up the closing.
        let silent = Some(ServerFailure::KeepAliveTimeout);
        link.stage = if link.session.failure() == silent {
            Stage::Cut
        } else {
            Stage::Ending
        };
        self.timers.clear(&id);
        self.hang_ups.push_back(id);
    }
}

type Verdict = Result<(), ConnectRefusal>;

/// 4 for a bad user name or password, 5 for none or suspended ones (FACTS section 7).
fn judge(users: &[User], connect: &Connect<'_>) -> Verdict {
    if users.is_empty() {
        return Ok(());
    }
    let Some(name) = connect.user else {
        return Err(ConnectRefusal::NotAuthorized);
    };
    let password = connect.password.unwrap_or_default();
    let is_it = |user: &&User| user.name == name && user.password.expose().as_bytes() == password;
    match users.iter().find(is_it).map(|user| user.state) {
        Some(UserState::Active) => Ok(()),
        Some(UserState::Suspended) => Err(ConnectRefusal::NotAuthorized),
        None => Err(ConnectRefusal::BadLogin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods, reason = "any instant will do")]
        Instant::now()
    }

    /// Two links; the first has sent a part of a packet, and so have both of another size.
    fn server(now: Instant, parts: [usize; 2]) -> (PlatformServer, [LinkId; 2]) {
        let mut server = PlatformServer::new(PlatformOptions::default(), 1);
        let links = parts.map(|part| {
            let link = server.handle_accepted(now);
            let connect = b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0";
            server.handle_input(now, link, connect);
            let begun = [&b"\x30\xff\xff\x03"[..], &vec![0; part]].concat();
            server.handle_input(now, link, &begun);
            let sent = server.poll_transmit(link, &mut Vec::new());
            server.handle_written(now, link, sent);
            assert!(server.links[&link].is_open());
            link
        });
        (server, links)
    }

    /// Whether a link is closed when it is looked at under these limits.
    fn is_closed(
        server: &PlatformServer,
        now: Instant,
        id: LinkId,
        link: usize,
        links: usize,
    ) -> bool {
        let mut server = server.clone();
        (server.limits.link, server.limits.links) = (link, links);
        server.handle_written(now, id, 0);
        let is_closed = !server.links[&id].is_open();
        assert_eq!(server.poll_hang_up(), is_closed.then_some(id));
        let counted: usize = server.links.values().map(|link| link.counted).sum();
        assert_eq!(server.held, counted, "the sum is wrong");
        is_closed
    }

    #[test]
    fn a_link_is_closed_when_it_holds_more_than_one_may() {
        let now = start();
        let (server, [id, _]) = server(now, [5_000, 0]);
        let held = server.links[&id].held();
        assert!(held > 5_000);
        assert!(!is_closed(&server, now, id, held, usize::MAX));
        assert!(is_closed(&server, now, id, held - 1, usize::MAX));
    }

    #[test]
    fn of_the_links_that_hold_too_much_together_those_over_half_of_their_share_are_closed() {
        let now = start();
        let (server, [large, small]) = server(now, [20_000, 0]);
        let (of_large, of_small) = (server.links[&large].held(), server.links[&small].held());
        let total = of_large + of_small;
        assert_eq!(server.held, total);
        // Half of a share is a quarter of all.
        assert!(of_large > total / 4 && of_small < total / 4);
        assert!(!is_closed(&server, now, large, usize::MAX, total));
        assert!(is_closed(&server, now, large, usize::MAX, total - 1));
        assert!(!is_closed(&server, now, small, usize::MAX, total - 1));
        // Exactly half of a share is no more than that.
        assert!(!is_closed(&server, now, small, usize::MAX, 4 * of_small));
        assert!(is_closed(&server, now, small, usize::MAX, 4 * of_small - 1));
    }

    #[test]
    fn half_of_what_a_link_may_hold_is_for_its_subscriptions() {
        let now = start();
        let (mut server, [id, _]) = server(now, [0, 0]);
        // The part of a packet ends with this.
        server.handle_closed(now, id);
        let id = server.handle_accepted(now);
        server.handle_input(now, id, b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0");
        server.limits.link = 20_000;
        let mut refused = 0;
        for number in 0..100 {
            let mut packet = vec![0x82, 106, 0, 1, 0, 101];
            packet.extend(format!("{number:0101}").into_bytes());
            packet.push(0);
            server.handle_input(now, id, &packet);
            let mut out = Vec::new();
            let sent = server.poll_transmit(id, &mut out);
            server.handle_written(now, id, sent);
            refused += u32::from(out.ends_with(&[0x80]));
        }
        let bytes = server.subscriptions.bytes(id);
        assert!((8_000..=10_000).contains(&bytes), "{bytes}");
        assert!(refused > 0 && server.links[&id].is_open());
    }
}
