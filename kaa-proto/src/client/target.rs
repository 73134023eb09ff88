//! Where the platform is.

use std::fmt;

/// Where the platform is: `mqtt://host[:port]` with port 1883, or `mqtts://host[:port]` with TLS
/// and port 8883, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    is_tls: bool,
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
        let (is_tls, default_port, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, 1883, rest),
            Some(("mqtts", rest)) if cfg!(feature = "tls") => (true, 8883, rest),
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
            None if port.is_empty() => default_port,
            // A number may have a sign for Rust, not for a URL.
            Some(port) => port
                .parse()
                .ok()
                .filter(|&number| number != 0 && !port.starts_with('+'))
                .ok_or(InvalidTarget::Port)?,
            None => return Err(InvalidTarget::Host),
        };
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port,
        })
    }

    /// Whether links to it go over TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.is_tls
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
        let scheme = if self.is_tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// Why a URL is no target. The URL is not repeated: people put secrets into them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTarget {
    /// It begins neither with `mqtt://` nor with `mqtts://`.
    Scheme,
    /// It begins with `mqtts://`, and the feature `tls` is switched off.
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
            Self::Scheme => "the URL begins neither with \"mqtt://\" nor with \"mqtts://\"",
            Self::NoTls => "\"mqtts://\" needs the feature \"tls\"",
            Self::Credentials => "the URL holds credentials; set them with `login`",
            Self::Host => "the URL has no valid host",
            Self::Port => "the URL's port is not a number from 1 to 65535",
        })
    }
}

impl std::error::Error for InvalidTarget {}

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
            #[cfg(feature = "tls")]
            (
                "mqtts://mqtt.cloud.kaaiot.com",
                "mqtt.cloud.kaaiot.com",
                8883,
            ),
            #[cfg(feature = "tls")]
            ("mqtts://[::1]:2883", "::1", 2883),
        ];
        for (url, host, port) in cases {
            let target = Target::parse(url).unwrap();
            assert_eq!((target.host(), target.port()), (host, port), "{url}");
            assert_eq!(target.is_tls(), url.starts_with("mqtts"));
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
            #[cfg(not(feature = "tls"))]
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
            ("mqtt://host:+1883", InvalidTarget::Port),
        ];
        for (url, expected) in cases {
            assert_eq!(Target::parse(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_no_target_is_told_why() {
        let cases = [
            (
                InvalidTarget::Scheme,
                "the URL begins neither with \"mqtt://\" nor with \"mqtts://\"",
            ),
            (
                InvalidTarget::NoTls,
                "\"mqtts://\" needs the feature \"tls\"",
            ),
            (
                InvalidTarget::Credentials,
                "the URL holds credentials; set them with `login`",
            ),
            (InvalidTarget::Host, "the URL has no valid host"),
            (
                InvalidTarget::Port,
                "the URL's port is not a number from 1 to 65535",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
        assert_eq!("mqtt://host".parse(), Target::parse("mqtt://host"));
    }
}
