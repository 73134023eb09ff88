//! What every binding is given: where the platform is, and how to behave.

use std::fmt;
use std::time::Duration;

use crate::connection;
use crate::mqtt::Login;

/// Where the platform is: `mqtt://host[:port]`, port 1883 unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`InvalidTarget`] says what is wrong with it. Credentials in it are refused: a Kaa user
    /// name holds an `@` of its own (FACTS trap 33), so they are options.
    pub fn parse(url: &str) -> Result<Self, InvalidTarget> {
        let rest = match url.split_once("://") {
            Some(("mqtt", rest)) => rest,
            Some(("mqtts", _)) => return Err(InvalidTarget::NoTls),
            _ => return Err(InvalidTarget::Scheme),
        };
        if rest.contains('@') {
            return Err(InvalidTarget::Credentials);
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            // An IPv6 address has colons of its own.
            Some(rest) => rest.split_once(']').ok_or(InvalidTarget::Host)?,
            None => match authority.find(':') {
                Some(colon) => authority.split_at(colon),
                None => (authority, ""),
            },
        };
        let is_part = |c: char| c.is_whitespace() || c.is_control() || "/?#[]".contains(c);
        if host.is_empty() || host.contains(is_part) {
            return Err(InvalidTarget::Host);
        }
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => 1883,
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or(InvalidTarget::Port)?,
            None => return Err(InvalidTarget::Host),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The host name, or the address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl std::str::FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(url: &str) -> Result<Self, InvalidTarget> {
        Self::parse(url)
    }
}

/// As it is parsed.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "mqtt://[{}]:{}", self.host, self.port),
            false => write!(f, "mqtt://{}:{}", self.host, self.port),
        }
    }
}

/// Why a URL is no target. The URL is not repeated: people put secrets into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTarget {
    /// It does not begin with `mqtt://`.
    Scheme,
    /// `mqtts://` is not supported yet.
    NoTls,
    /// It holds credentials.
    Credentials,
    /// It has no host, or one that cannot be.
    Host,
    /// Its port is no number from 1 to 65535.
    Port,
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the URL does not begin with \"mqtt://\"",
            Self::NoTls => "\"mqtts://\" is not supported yet",
            Self::Credentials => "the URL holds credentials; set them with `login`",
            Self::Host => "the URL has no valid host",
            Self::Port => "the URL's port is not a number from 1 to 65535",
        })
    }
}

impl std::error::Error for InvalidTarget {}

/// The options of a client.
///
/// ```
/// use std::time::Duration;
/// use kaa_proto::client::Options;
///
/// let options = Options::new("mqtt://mqtt.cloud.kaaiot.com")?
///     .login("gateway@0f1f3e2c", "secret")
///     .connection(|options| options.keep_alive(Duration::from_secs(30)));
/// # let _ = options;
/// # Ok::<(), kaa_proto::client::InvalidTarget>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) target: Target,
    pub(super) connection: connection::Options,
    pub(super) linger: Duration,
}

impl Options {
    /// The defaults, for the platform at `url`.
    ///
    /// # Errors
    /// [`InvalidTarget`] says what is wrong with the URL.
    pub fn new(url: &str) -> Result<Self, InvalidTarget> {
        Ok(Self::at(Target::parse(url)?))
    }

    /// The defaults, for the platform at `target`.
    #[must_use]
    pub fn at(target: Target) -> Self {
        let linger = Duration::from_secs(10);
        Self {
            target,
            connection: connection::Options::new(""),
            linger,
        }
    }

    /// A user name, sent as it is, and a password.
    #[must_use]
    pub fn login(self, user_name: impl Into<String>, password: impl AsRef<[u8]>) -> Self {
        let login = Login::new(user_name).with_password(password.as_ref());
        Self {
            connection: self.connection.login(Some(login)),
            ..self
        }
    }

    /// Sets options of the connection; see [`connection::Options`]. A client identifier that is
    /// not set is drawn from the operating system's entropy by the binding.
    #[must_use]
    pub fn connection(self, set: impl FnOnce(connection::Options) -> connection::Options) -> Self {
        Self {
            connection: set(self.connection),
            ..self
        }
    }

    /// How long the client goes on to send what is queued when its last handle was dropped.
    /// Default 10 s: one round of answers on a slow link.
    #[must_use]
    pub const fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// Where the platform is.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Fills in what only a binding can: `entropy` names the client where nobody did.
    pub(super) fn complete(mut self, entropy: u64) -> (connection::Options, Duration) {
        self.connection
            .client_id_or(|| format!("kaa-{entropy:016x}"));
        self.connection.for_handles();
        (self.connection, self.linger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_and_port() {
        let cases = [
            (
                "mqtt://mqtt.cloud.kaaiot.com",
                "mqtt.cloud.kaaiot.com",
                1883,
            ),
            ("mqtt://localhost:2883/", "localhost", 2883),
            ("mqtt://[::1]:2883", "::1", 2883),
            ("mqtt://[fe80::1]", "fe80::1", 1883),
        ];
        for (url, host, port) in cases {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.host(), target.port()), (host, port), "{url}");
            assert_eq!(Target::parse(&target.to_string()), Ok(target));
        }
    }

    /// FACTS trap 33: a user name has an `@` of its own, so a URL cannot carry one.
    #[test]
    fn trap_33_a_user_name_is_never_read_from_a_url() {
        let error = Target::parse("mqtt://name@tenant:secret@host").unwrap_err();
        assert_eq!(error, InvalidTarget::Credentials);
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_target_is_refused_with_the_reason() {
        let cases = [
            ("mqtts://host", InvalidTarget::NoTls),
            ("http://host", InvalidTarget::Scheme),
            ("host:1883", InvalidTarget::Scheme),
            ("mqtt://", InvalidTarget::Host),
            ("mqtt://:1883", InvalidTarget::Host),
            ("mqtt://[::1", InvalidTarget::Host),
            ("mqtt://[::1]x", InvalidTarget::Host),
            ("mqtt://host/path", InvalidTarget::Host),
            ("mqtt://host:0", InvalidTarget::Port),
            ("mqtt://host:65536", InvalidTarget::Port),
        ];
        for (url, expected) in cases {
            assert_eq!(Target::parse(url), Err(expected), "{url}");
        }
    }
}
