//! A link without the client around it, which subscribes by itself: here it is asked what comes
//! without.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kaa_blocking::mqtt::{Incoming, Login, Session, SessionOptions};
use kaa_blocking::tls::ClientConfig;
use kaa_proto::QoS;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::certificate;
use crate::connection::settings::Settings;
use crate::problem::Problem;
use crate::stop::Stop;

/// How long a read waits before the clock and the user are looked at.
pub(super) const TICK: Duration = Duration::from_millis(20);

/// Makes links.
pub(super) struct Dialer {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    login: Option<Login>,
    pub(super) timeout: Duration,
    pub(super) stop: Stop,
}

/// A message of the platform.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) at: Instant,
    pub(super) topic: String,
}

trait Transport: Read + Write {}

impl<T: Read + Write> Transport for T {}

/// A link that is up.
pub(super) struct RawLink {
    stream: Box<dyn Transport>,
    session: Session<()>,
    pub(super) heard: Vec<Heard>,
    is_subscribed: bool,
    stop: Stop,
}

impl Dialer {
    /// # Errors
    /// A file cannot be used.
    pub(super) fn new(
        settings: &Settings,
        address: SocketAddr,
        timeout: Duration,
        stop: &Stop,
    ) -> Result<Self, Problem> {
        let target = &settings.target.value;
        let tls = match (
            target.is_tls(),
            ServerName::try_from(target.host().to_owned()),
        ) {
            (true, Ok(name)) => Some((certificate::config(settings)?, name)),
            _ => None,
        };
        let login = settings.username.as_ref().map(|user| {
            let login = Login::new(&user.value);
            match &settings.password {
                Some(password) => login.with_password(password.value.expose()),
                None => login,
            }
        });
        Ok(Self {
            address,
            tls,
            login,
            timeout,
            stop: stop.clone(),
        })
    }

    /// Makes a link, and waits until it is let in.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn dial(&self) -> io::Result<RawLink> {
        let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(self.timeout))?;
        stream.set_read_timeout(Some(TICK))?;
        let stream: Box<dyn Transport> = match &self.tls {
            None => Box::new(stream),
            Some((config, name)) => {
                let tls = ClientConnection::new(Arc::clone(config), name.clone());
                Box::new(StreamOwned::new(tls.map_err(io::Error::other)?, stream))
            }
        };
        let number = getrandom::u64().map_err(io::Error::other)?;
        let mut options = SessionOptions::new(format!("kaadoctor{number:016x}"));
        options.login = self.login.clone();
        let session = Session::new(Instant::now(), &options).map_err(io::Error::other)?;
        let mut link = RawLink {
            stream,
            session,
            heard: Vec::new(),
            is_subscribed: false,
            stop: self.stop.clone(),
        };
        match link.wait(self.timeout, |link| link.session.is_connected())? {
            true => Ok(link),
            false => Err(ErrorKind::TimedOut.into()),
        }
    }
}

impl RawLink {
    /// Subscribes, and waits for the answer, at most that long.
    ///
    /// # Errors
    /// The link is lost.
    pub(super) fn subscribe(&mut self, filters: &[String], within: Duration) -> io::Result<bool> {
        let filters: Vec<_> = filters
            .iter()
            .map(|filter| (filter.as_str(), QoS::AtLeastOnce))
            .collect();
        self.is_subscribed = false;
        let subscribed = self.session.subscribe((), &filters);
        subscribed.map_err(io::Error::other)?;
        self.wait(within, |link| link.is_subscribed)
    }

    /// Publishes a request, and waits for its answer, at most that long; how long it took.
    ///
    /// # Errors
    /// The link is lost.
    pub(super) fn ask(
        &mut self,
        topic: &str,
        payload: &[u8],
        within: Duration,
    ) -> io::Result<Option<Duration>> {
        let begin = Instant::now();
        let published = self.session.publish((), topic, payload, QoS::AtLeastOnce);
        published.map_err(io::Error::other)?;
        self.wait(within, |link| link.answers(topic).next().is_some())?;
        let at = self.answers(topic).map(|heard| heard.at).next();
        Ok(at.map(|at| at.saturating_duration_since(begin)))
    }

    /// The answers to that request.
    pub(super) fn answers<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Heard> {
        self.heard.iter().filter(move |heard| {
            let rest = heard.topic.strip_prefix(topic);
            matches!(rest, Some("/status" | "/error"))
        })
    }

    /// Reads and writes until `look` says so, at most that long; whether it did.
    ///
    /// # Errors
    /// The link is lost, or the user wants to end.
    pub(super) fn wait(
        &mut self,
        time: Duration,
        look: impl Fn(&Self) -> bool,
    ) -> io::Result<bool> {
        let deadline = Instant::now() + time;
        loop {
            self.write()?;
            if look(self) {
                return Ok(true);
            }
            if self.stop.is_stopping() {
                return Err(ErrorKind::Interrupted.into());
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            self.read()?;
            self.session.handle_timeout(Instant::now());
        }
    }

    /// Says goodbye.
    pub(super) fn close(mut self) {
        self.session.disconnect();
        // It is closed in any case.
        let _ = self.write();
    }

    fn write(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        let n = self.session.poll_transmit(&mut out);
        if n > 0 {
            self.stream.write_all(&out)?;
            self.stream.flush()?;
            self.session.handle_written(Instant::now(), n);
            while self.session.poll_written().is_some() {}
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1_024];
        let n = match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => n,
            Err(error) if is_quiet(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let now = Instant::now();
        let mut input = buffer.get(..n).unwrap_or_default();
        while let Some(incoming) = self.session.handle_input(now, &mut input) {
            match incoming {
                Incoming::Message(message) => self.heard.push(Heard {
                    at: now,
                    topic: message.topic.to_owned(),
                }),
                Incoming::Subscribed { .. } => self.is_subscribed = true,
                Incoming::Refused(refusal) => return Err(io::Error::other(refusal.to_string())),
                Incoming::Failed(violation) => {
                    return Err(io::Error::other(violation.to_string()));
                }
                Incoming::Connected
                | Incoming::Acknowledged(())
                | Incoming::Unsubscribed(())
                | Incoming::Oversize(_)
                | Incoming::Unexpected { .. }
                | _ => {}
            }
        }
        Ok(())
    }
}

/// Whether nothing was to be read yet.
pub(super) fn is_quiet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
