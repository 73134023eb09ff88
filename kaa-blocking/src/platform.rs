//! The local platform in the process: a thread that serves devices over TCP or TLS, or through a broker.
//!
//! Exempt from semantic versioning, as [`kaa_proto::platform`] is. For tests and demonstrations;
//! the program `kaa platform` is the same for other processes.
//!
//! ```
//! use std::time::Duration;
//! use kaa_blocking::platform::{LocalOptions, LocalPlatform};
//!
//! let platform = LocalPlatform::start(LocalOptions::default())?;
//! println!("connect a device to {}", platform.url());
//! for event in platform.events(Duration::from_millis(10)) {
//!     println!("{event}");
//! }
//! platform.stop();
//! # Ok::<(), std::io::Error>(())
//! ```

mod broker;
mod channel;
mod door;
mod engine;
mod host;
mod http;
mod links;
mod news;
mod options;
mod shared;
mod socket;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_socket;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tls_tests;
mod tokens;
mod uploads;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use kaa_proto::client::{InvalidTarget, Target};
use kaa_proto::mqtt::{Login, SessionOptions};
use kaa_proto::names::{CommandType, ConfigName, EndpointName};
use kaa_proto::platform::{
    Event, Fault, OperatorError, Platform, PlatformOptions, PlatformServer, Snapshot,
};
use mio::{Poll, Waker};
use serde_json::Value;

pub use self::news::News;
pub use self::options::LocalOptions;
#[cfg(feature = "tls")]
pub use self::tls::{LocalTls, LocalTlsError};
use broker::Broker;
use engine::{Engine, Front};
use host::Host;
use links::Links;
use shared::Shared;
use uploads::Uploads;

/// A platform on a thread of its own. Dropping it stops it.
///
/// Verbs act at once and may be called from any thread. Events wait in a bounded queue; when
/// nobody reads them the oldest are dropped.
#[derive(Debug)]
pub struct LocalPlatform {
    shared: Arc<Shared>,
    /// Taken by the one who stops it.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Where it listens; `None`: it is attached.
    addr: Option<SocketAddr>,
    /// Where it takes uploads.
    http_addr: Option<SocketAddr>,
    url: String,
    started: Instant,
}

impl LocalPlatform {
    /// Starts a platform that listens for MQTT clients; when this returns, they can connect.
    ///
    /// # Errors
    /// An address cannot be listened on, or the system has no thread or descriptor left.
    pub fn start(options: LocalOptions) -> io::Result<Self> {
        let poll = Poll::new()?;
        let acceptor = options.acceptor();
        let registry = poll.registry();
        let links = Links::bind(
            options.listen,
            acceptor.clone(),
            registry,
            options.max_links,
        )?;
        let addr = links.addr();
        let url = acceptor.url(addr);
        let seed = options.seed.map_or_else(random, Ok)?;
        let server = PlatformServer::new(options.platform, seed);
        let host = Host::Listening(Box::new(server));
        let uploads = (options.http_listen, options.max_upload);
        Self::launch(poll, host, url, Some(addr), uploads, |_| {
            Front::Links(links)
        })
    }

    /// Starts a platform that serves devices through a broker at `mqtt://HOST:PORT`, as its client
    /// on `kp1/#`. It returns at once; [`LocalPlatform::ready`] waits for the broker. A connection
    /// that fails is tried again after one second, without end.
    ///
    /// The broker owns the links: users are its affair, a platform that wants to hang up on a
    /// device leaves it without an answer instead, and [`LocalPlatform::kick`] does nothing.
    /// [`LocalOptions::listen`] and the users in [`LocalOptions::platform`] are not used.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] if the URL or the login cannot be one or the switch `echo`
    /// is on, which would answer itself for ever; otherwise as [`LocalPlatform::start`].
    pub fn attach(url: &str, login: Option<Login>, options: LocalOptions) -> io::Result<Self> {
        let target = broker_at(url)?;
        let PlatformOptions { switches, .. } = &options.platform;
        if switches.echo {
            return Err(invalid("the switch echo is the broker's when attached"));
        }
        let mut session = SessionOptions::new(format!("kaaplatform{:08x}", random()? >> 32));
        session.login = login;
        // Topic and payload at their largest, and what a packet needs beyond them.
        let largest = switches.max_packet.saturating_add(1_024);
        session.max_packet_in = session.max_packet_in.max(largest);
        session.max_packet_out = session.max_packet_out.max(largest);
        session.check().map_err(invalid)?;
        let seed = options.seed.map_or_else(random, Ok)?;
        let host = Host::Attached(Box::new(Platform::new(options.platform, seed)));
        let uploads = (options.http_listen, options.max_upload);
        Self::launch(Poll::new()?, host, url.into(), None, uploads, |waker| {
            Front::Broker(Broker::new(Instant::now(), target, session, waker))
        })
    }

    /// Where MQTT clients connect; `None` if it is attached to a broker.
    #[must_use]
    pub const fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Where uploads are taken, if anywhere.
    #[must_use]
    pub const fn http_addr(&self) -> Option<SocketAddr> {
        self.http_addr
    }

    /// Where devices connect, as `mqtt://HOST:PORT`: here, or the broker it is attached to. With
    /// TLS it is `mqtts://HOST:PORT`, and this machine is called `localhost`, as in certificates.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// When it was started, from where the times of events are counted.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Waits until devices can reach it: at once if it listens, else until the broker has granted
    /// the subscription.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] with the latest reason why it is not attached.
    pub fn ready(&self, timeout: Duration) -> io::Result<()> {
        let deadline = after(timeout);
        let ready = self
            .shared
            .wait(deadline, |core| core.is_ready.then_some(()));
        ready.ok_or_else(|| {
            let cause = self.shared.lock().cause.clone();
            let cause = cause.unwrap_or_else(|| "the broker has not answered yet".into());
            io::Error::new(io::ErrorKind::TimedOut, cause)
        })
    }

    /// The next event, waiting for it at most that long. News that is no event is dropped: to read
    /// that too, use [`LocalPlatform::news`] alone.
    pub fn next_event(&self, timeout: Duration) -> Option<Event> {
        let deadline = after(timeout);
        self.shared.wait(deadline, |core| {
            loop {
                if let News::Event(event) = core.pop_news()? {
                    return Some(event);
                }
            }
        })
    }

    /// Events until none comes for that long. Each event comes out once, whoever reads it.
    pub fn events(&self, timeout: Duration) -> Events<'_> {
        Events {
            platform: self,
            timeout,
        }
    }

    /// The next news, waiting for it at most that long; `None` sooner if the platform has stopped.
    pub fn news(&self, timeout: Duration) -> Option<News> {
        let deadline = after(timeout);
        self.shared.wait(deadline, shared::Core::pop_news)
    }

    /// How much news was dropped because nobody read it.
    #[must_use]
    pub fn dropped_news(&self) -> u64 {
        self.shared.lock().dropped
    }

    /// Whether it has stopped and all its news was read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let core = self.shared.lock();
        core.is_over && core.is_read()
    }

    /// Lets an operator act on the platform: the verbs below and whatever else it knows. The
    /// platform stands still meanwhile; no other method of the handle may be called from inside.
    pub fn operate<T>(&self, verb: impl FnOnce(&mut Platform, Instant) -> T) -> T {
        let now = Instant::now();
        let result = self
            .shared
            .lock()
            .host
            .operate(now, |platform| verb(platform, now));
        self.shared.wake();
        result
    }

    /// Invokes a command, with a payload or none. Gives its ID.
    ///
    /// # Errors
    /// As [`Platform::command`].
    pub fn command(
        &self,
        endpoint: &EndpointName,
        of_type: &CommandType,
        payload: Option<Value>,
    ) -> Result<i64, OperatorError> {
        self.operate(|platform, now| platform.command(now, endpoint, of_type, payload))
    }

    /// Assigns a configuration; `None` is the default one. Gives its ID.
    ///
    /// # Errors
    /// As [`Platform::set_configuration`].
    pub fn set_configuration(
        &self,
        endpoint: &EndpointName,
        name: Option<&ConfigName>,
        config: Value,
    ) -> Result<String, OperatorError> {
        self.operate(|platform, now| platform.set_configuration(now, endpoint, name, config))
    }

    /// Assigns a software version.
    ///
    /// # Errors
    /// As [`Platform::set_software`].
    pub fn set_software(
        &self,
        endpoint: &EndpointName,
        version: &str,
        specification: Value,
    ) -> Result<(), OperatorError> {
        self.operate(|platform, now| platform.set_software(now, endpoint, version, specification))
    }

    /// Closes the link where the endpoint speaks.
    ///
    /// # Errors
    /// As [`Platform::kick`]; always [`OperatorError::NotConnected`] if it is attached, since the
    /// link is the broker's.
    pub fn kick(&self, endpoint: &EndpointName) -> Result<(), OperatorError> {
        if self.addr.is_none() {
            return Err(OperatorError::NotConnected);
        }
        self.operate(|platform, now| platform.kick(now, endpoint).map(|_| ()))
    }

    /// Sets a fault, or takes faults back.
    pub fn fault(&self, fault: Fault) {
        self.operate(|platform, now| platform.fault(now, fault));
    }

    /// The state of an endpoint, if it is known.
    #[must_use]
    pub fn state(&self, endpoint: &EndpointName) -> Option<Snapshot> {
        self.operate(|platform, _| platform.state(endpoint))
    }

    /// Stops it: listeners and connections are closed, and its thread has ended when this returns.
    /// Events that were not read can still be.
    pub fn stop(&self) {
        self.shared.lock().is_stopping = true;
        self.shared.wake();
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // If it panicked, it is over all the same.
            let _ = thread.join();
        }
    }

    fn launch(
        poll: Poll,
        mut host: Host,
        url: String,
        addr: Option<SocketAddr>,
        (http_listen, max_upload): (Option<SocketAddr>, usize),
        front: impl FnOnce(Arc<Waker>) -> Front,
    ) -> io::Result<Self> {
        let started = Instant::now();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let millis = since_epoch.unwrap_or_default().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        host.operate(started, |platform| {
            platform.handle_wall_clock(started, millis);
        });

        let bind = |addr| Uploads::bind(addr, poll.registry(), max_upload);
        let uploads = http_listen.map(bind).transpose()?;
        let http_addr = uploads.as_ref().map(Uploads::addr);
        let waker = Arc::new(Waker::new(poll.registry(), tokens::WAKER)?);
        let shared = Arc::new(Shared::new(host, addr.is_some(), Arc::clone(&waker)));
        let engine = Engine {
            poll,
            front: front(waker),
            uploads,
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new()
            .name("kaa-platform".into())
            .spawn(|| engine.run())?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
            addr,
            http_addr,
            url,
            started,
        })
    }
}

impl Drop for LocalPlatform {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Events of a platform until none comes for a while.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    platform: &'a LocalPlatform,
    /// How long each is waited for.
    timeout: Duration,
}

impl Iterator for Events<'_> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.platform.next_event(self.timeout)
    }
}

/// Where a broker is. It is spoken to without TLS.
fn broker_at(url: &str) -> io::Result<Target> {
    match Target::parse(url) {
        Ok(target) if !target.is_tls() => Ok(target),
        Ok(_) | Err(InvalidTarget::Scheme | InvalidTarget::NoTls) => {
            Err(invalid("a broker's URL is mqtt://HOST:PORT"))
        }
        Err(InvalidTarget::Credentials) => {
            Err(invalid("user name and password do not belong into the URL"))
        }
        Err(error) => Err(invalid(error)),
    }
}

fn invalid(problem: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, problem)
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|error| io::Error::other(error.to_string()))
}

/// When `timeout` is over; more than a century counts as one, because clocks end.
fn after(timeout: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
    Instant::now() + timeout.min(CENTURY)
}
