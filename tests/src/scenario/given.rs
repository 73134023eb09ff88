//! What differs from the usual client, platform and network.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "each function picks what is for it"
)]

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::sync::LazyLock;
use std::time::Duration;

use kaa_proto::client::Options;
use kaa_proto::endpoint::{EndpointOptions, Subscriptions, WhenFull};
use kaa_proto::platform::{Fixture, PlatformOptions, Secret, User, UserState};
use kaa_proto::request::Class;
use kaa_proto::{connection, tls};

use crate::certificates::{Authority, Identity, Key, Server};

/// A difference. Times are in seconds where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// The keep alive.
    KeepAlive(u64),
    /// Base and cap of the backoff, in milliseconds. Usual: 100 and 100.
    Backoff(u64, u64),
    /// How long a link must live to count as good.
    StableAfter(u64),
    /// How long to wait for what needs an operator.
    SlowRetry(u64),
    /// How many links die young until somebody is suspected.
    KickLimit(u32),
    /// How many messages wait for their acknowledgement.
    Window(u16),
    /// How long an acknowledgement may take.
    AcknowledgeWithin(u64),
    /// How long CONNACK may take.
    ConnAckWithin(u64),
    /// How long a dial may take, TLS included.
    DialWithin(u64),
    /// The client's user name and password.
    Login(&'static str, &'static str),
    /// A refusal ends the client.
    GivesUp,
    /// The client flushes what is queued for so long when its last handle is dropped. Usual: 0.
    Linger(u64),

    /// How long an answer may take.
    AnswerWithin(u64),
    /// How many requests of an endpoint are on their way.
    MaxInFlight(u16),
    /// How many requests a queue holds.
    Queue(Class, usize),
    /// A full queue of telemetry refuses.
    RefusesWhenFull,
    /// How many unread commands are kept.
    MaxUnreadCommands(usize),
    /// The highest request ID.
    MaxRequestId(u32),
    /// What is subscribed to.
    Subscriptions(Subscriptions),
    /// How often observations are refreshed.
    Refresh(u64),
    /// How many requests of a backlog are sent in a second.
    DrainRate(u32),
    /// The largest payload, in bytes.
    MaxMessage(usize),

    /// A switch of the platform.
    Switch(&'static str, &'static str),
    /// Somebody who may come in; with them, nobody else may.
    User(&'static str, &'static str),
    /// The initial state of the platform, as JSON.
    Fixture(&'static str),
    /// Devices break rules in it, so the platform may complain.
    Complaints,
    /// In reality the platform is attached to a broker, which is the one that restarts.
    Broker,

    /// Nobody listens yet.
    Away,
    /// Who listens speaks another protocol, which is [`IMPOSTOR`].
    Impostor,
    /// The client's dials go through a connector of the caller.
    Connector,
    /// The server speaks TLS, or does not, whatever the client does.
    ServerTls(bool),
    /// The certificate of the server. Usual: a good one.
    Shows(Shown),
    /// What the client trusts. Usual: the authority of the server.
    Trusts(Trusted),
    /// The server speaks no newer TLS than 1.2.
    Tls12,
    /// The server wants certificates of its authority from its clients.
    WantsCertificate,
    /// The client has a certificate of the server's authority, or of another.
    HasCertificate(Trusted),
}

/// What somebody says who is no MQTT server.
pub const IMPOSTOR: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";

/// The certificates of servers.
pub type Shown = Server;

/// Whom who trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// The authority of the server.
    Ours,
    /// Another authority.
    Other,
}

/// What stands at the other end in reality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The local platform.
    Platform,
    /// A broker, to which the platform is attached.
    Broker,
}

/// All that is given, ready for a world.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    given: &'static [Given],
    /// Whether the links are to be TLS.
    is_tls: bool,
}

/// What the server's end of TLS needs.
#[derive(Debug)]
pub struct ServerTls {
    /// Its certificate and key.
    pub identity: Identity,
    /// The authority of its clients, if they need certificates.
    pub client_ca: Option<&'static Authority>,
}

impl Setup {
    /// All that is given, for links with TLS or without.
    #[must_use]
    pub const fn new(given: &'static [Given], is_tls: bool) -> Self {
        Self { given, is_tls }
    }

    /// Whether this is given.
    #[must_use]
    pub fn has(&self, given: Given) -> bool {
        self.given.contains(&given)
    }

    /// What stands at the other end in reality.
    #[must_use]
    pub fn peer(&self) -> Peer {
        match self.has(Given::Broker) {
            true => Peer::Broker,
            false => Peer::Platform,
        }
    }

    /// The options of the client, for a server at `host:port`.
    #[must_use]
    pub fn options(&self, address: &str) -> Options {
        let scheme = if self.is_tls { "mqtts" } else { "mqtt" };
        let Ok(mut options) = Options::new(&format!("{scheme}://{address}")) else {
            panic!("{address} is no address");
        };
        options = options.linger(Duration::ZERO).tls(self.tls());
        options = options.connection(|options| options.backoff(millis(100), millis(100)));
        for given in self.given {
            options = match *given {
                Given::Login(user, password) => options.login(user, password),
                Given::Linger(s) => options.linger(secs(s)),
                given => options.connection(|options| of_connection(options, given)),
            };
        }
        options
    }

    /// The options of each endpoint.
    #[must_use]
    pub fn endpoint(&self) -> EndpointOptions {
        let all = self.given.iter();
        all.fold(EndpointOptions::default(), |options, given| {
            of_endpoint(options, *given)
        })
    }

    /// How the platform is set up.
    #[must_use]
    pub fn platform(&self) -> PlatformOptions {
        let mut options = PlatformOptions::default();
        for given in self.given {
            match *given {
                Given::Switch(name, value) => must(options.switches.set(name, value)),
                Given::Fixture(json) => options.fixture = Some(must(Fixture::parse(json))),
                Given::User(name, password) => options.users.push(User {
                    name: name.into(),
                    password: Secret::new(password),
                    state: UserState::Active,
                }),
                _ => {}
            }
        }
        options
    }

    /// Somebody who may come in, by name and password, if not everybody may.
    #[must_use]
    pub fn user(&self) -> Option<(&'static str, &'static str)> {
        self.given.iter().find_map(|given| match given {
            Given::User(name, password) => Some((*name, *password)),
            _ => None,
        })
    }

    /// What the server's end of TLS needs, if it speaks TLS.
    #[must_use]
    pub fn server_tls(&self) -> Option<ServerTls> {
        let is_tls = match () {
            () if self.has(Given::ServerTls(true)) => true,
            () if self.has(Given::ServerTls(false)) => false,
            () => self.is_tls,
        };
        let shown = self.given.iter().find_map(|given| match given {
            Given::Shows(shown) => Some(*shown),
            _ => None,
        });
        is_tls.then(|| ServerTls {
            identity: AUTHORITIES
                .ours
                .server(shown.unwrap_or(Shown::Good), Key::EcPkcs8),
            client_ca: self
                .has(Given::WantsCertificate)
                .then_some(&AUTHORITIES.ours),
        })
    }

    fn tls(&self) -> tls::Options {
        let trusted = match self.has(Given::Trusts(Trusted::Other)) {
            true => &AUTHORITIES.other,
            false => &AUTHORITIES.ours,
        };
        let options = tls::Options::new().ca(trusted.certificate_pem());
        let own = match () {
            () if self.has(Given::HasCertificate(Trusted::Ours)) => &AUTHORITIES.ours,
            () if self.has(Given::HasCertificate(Trusted::Other)) => &AUTHORITIES.other,
            () => return options,
        };
        let identity = own.client("device", Key::EcPkcs8);
        options.identity(identity.chain_pem, identity.key_pem)
    }
}

struct Authorities {
    ours: Authority,
    other: Authority,
}

static AUTHORITIES: LazyLock<Authorities> = LazyLock::new(|| Authorities {
    ours: Authority::new("Ours"),
    other: Authority::new("Other"),
});

fn of_connection(options: connection::Options, given: Given) -> connection::Options {
    match given {
        Given::KeepAlive(s) => options.keep_alive(secs(s)),
        Given::Backoff(base, cap) => options.backoff(millis(base), millis(cap)),
        Given::StableAfter(s) => options.stable_after(secs(s)),
        Given::SlowRetry(s) => options.slow_retry(secs(s)),
        Given::KickLimit(links) => options.kick_limit(links),
        Given::Window(messages) => options.window(messages),
        Given::AcknowledgeWithin(s) => options.acknowledge_within(secs(s)),
        Given::ConnAckWithin(s) => options.connack_within(secs(s)),
        Given::DialWithin(s) => options.dial_within(secs(s)),
        Given::GivesUp => options.give_up_on_refusal(true),
        _ => options,
    }
}

fn of_endpoint(options: EndpointOptions, given: Given) -> EndpointOptions {
    match given {
        Given::AnswerWithin(s) => must(options.answer_within(secs(s))),
        Given::MaxInFlight(n) => options.max_in_flight(must(NonZeroU16::try_from(n))),
        Given::Queue(class, n) => options.queue(class, count(n), count(1 << 24)),
        Given::RefusesWhenFull => options.bulk_when_full(WhenFull::Refuse),
        Given::MaxUnreadCommands(n) => options.max_unread_commands(count(n)),
        Given::MaxRequestId(n) => must(options.max_request_id(n)),
        Given::Subscriptions(subscriptions) => options.subscriptions(subscriptions),
        Given::Refresh(s) => must(options.refresh_observations(secs(s))),
        Given::DrainRate(n) => options.drain_rate(NonZeroU32::new(n)),
        Given::MaxMessage(bytes) => options.max_message(count(bytes)),
        _ => options,
    }
}

const fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn count(n: usize) -> NonZeroUsize {
    must(NonZeroUsize::try_from(n))
}

fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("a scenario cannot be given this: {error}"))
}
