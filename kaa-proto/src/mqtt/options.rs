//! What a client session is made from.

use std::fmt;
use std::time::Duration;

use super::packet::MAX_PACKET;

/// Half of the packet identifiers: messages and subscriptions share them.
const MAX_IN_FLIGHT: u16 = u16::MAX / 2;

/// Who is behind the link, and the limits of the session.
///
/// The session is always a clean one, without will. Every limit is a limit: 0 is refused, it never
/// means unlimited.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionOptions {
    /// The client identifier; at most 65,535 bytes. Empty: the server chooses one
    /// (MQTT-3.1.3-6).
    pub client_id: String,
    /// User name and password. Default: none.
    pub login: Option<Login>,
    /// The keep alive interval: whole seconds from 1 to 65,535. Default 60 s, so that address
    /// translators on the way do not forget the link. PINGREQ goes out one interval after the last
    /// byte out or in, whichever is earlier, and a dead link is found within one and a half
    /// intervals of its last byte, also by a device that only sends. While a large message is
    /// written at 8 bytes a second or more, nothing has to be heard. But by the letter a server
    /// ends a link on which no packet comes whole for one and a half intervals (MQTT-3.1.2-24): where
    /// a message takes longer, the interval has to be longer, too. `None` tells the server 0, that
    /// is never to expect a PINGREQ; then nothing finds a dead link.
    pub keep_alive: Option<Duration>,
    /// The largest packet that is taken in bytes, fixed header included; a larger PUBLISH is
    /// skipped. 64 to 268,435,460, default 262,144.
    pub max_packet_in: usize,
    /// The largest PUBLISH, SUBSCRIBE or UNSUBSCRIBE that is sent in bytes, fixed header
    /// included. 64 to 268,435,460, default 262,144.
    pub max_packet_out: usize,
    /// How many messages of QoS 1 and 2 may be unacknowledged, and apart from them how many
    /// SUBSCRIBE and UNSUBSCRIBE. 1 to 32,767, default 100: there are packet identifiers for both.
    pub max_in_flight: u16,
    /// Nothing new is begun while at least this many bytes are unwritten. 1 to 268,435,460,
    /// default 65,536: enough for the transport never to run dry.
    pub high_water: usize,
    /// How long after its making the session waits for CONNACK. 1 ms to 1 h, default 10 s.
    pub connack_within: Duration,
    /// How long the oldest message of QoS 1 or 2 may wait for its acknowledgement once it was
    /// written, or the one before it was acknowledged. When `max_in_flight` wait and this is over,
    /// the link is given up: a PUBACK that was lost never comes again, and nothing more could be
    /// sent. 1 s to 1 h, default 30 s: a large message on a slow link takes several.
    pub acknowledge_within: Duration,
}

impl SessionOptions {
    /// The defaults for this client identifier.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            login: None,
            keep_alive: Some(Duration::from_secs(60)),
            max_packet_in: 256 * 1_024,
            max_packet_out: 256 * 1_024,
            max_in_flight: 100,
            high_water: 64 * 1_024,
            connack_within: Duration::from_secs(10),
            acknowledge_within: Duration::from_secs(30),
        }
    }

    /// Whether a session can be made from them.
    ///
    /// # Errors
    /// [`SessionError`] names the option that is out of its range.
    pub fn check(&self) -> Result<(), SessionError> {
        let text = |text: &str| text.len() <= 65_535 && !text.contains('\0');
        let packet = 64..=MAX_PACKET;
        let wait = Duration::from_millis(1)..=Duration::from_secs(3_600);
        let login = self.login.as_ref();
        let checks = [
            (text(&self.client_id), SessionError::ClientId),
            (
                login.is_none_or(|login| text(&login.user)),
                SessionError::User,
            ),
            (
                login
                    .and_then(|login| login.password.as_ref())
                    .is_none_or(|password| password.len() <= 65_535),
                SessionError::Password,
            ),
            (
                self.keep_alive.is_none() || self.keep_alive_seconds() != 0,
                SessionError::KeepAlive,
            ),
            (
                packet.contains(&self.max_packet_in),
                SessionError::MaxPacketIn,
            ),
            (
                packet.contains(&self.max_packet_out),
                SessionError::MaxPacketOut,
            ),
            (
                (1..=MAX_IN_FLIGHT).contains(&self.max_in_flight),
                SessionError::MaxInFlight,
            ),
            (
                (1..=MAX_PACKET).contains(&self.high_water),
                SessionError::HighWater,
            ),
            (
                wait.contains(&self.connack_within),
                SessionError::ConnAckWithin,
            ),
            (
                (Duration::from_secs(1)..=*wait.end()).contains(&self.acknowledge_within),
                SessionError::AcknowledgeWithin,
            ),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some(&(_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// The interval as CONNECT tells it; 0 if there is none, or none that can be told.
    pub(super) fn keep_alive_seconds(&self) -> u16 {
        match self.keep_alive {
            Some(interval) if interval.subsec_nanos() == 0 => {
                interval.as_secs().try_into().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// A user name and, if there is one, a password. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    password: Option<Vec<u8>>,
}

impl Login {
    /// The user name, at most 65,535 bytes, which may be empty and is never taken apart.
    pub fn new(user: impl Into<String>) -> Self {
        Self {
            user: user.into(),
            password: None,
        }
    }

    /// With a password: any bytes, at most 65,535, also none at all.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.password = Some(password.into());
        self
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    pub(super) fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// Which of the [`SessionOptions`] is out of its range: the caller's mistake, nothing was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The client identifier is longer than 65,535 bytes or holds U+0000.
    ClientId,
    /// The user name is longer than 65,535 bytes or holds U+0000.
    User,
    /// The password is longer than 65,535 bytes.
    Password,
    /// The keep alive interval is not a whole number of seconds from 1 to 65,535.
    KeepAlive,
    /// `max_packet_in` is not from 64 to 268,435,460.
    MaxPacketIn,
    /// `max_packet_out` is not from 64 to 268,435,460.
    MaxPacketOut,
    /// `max_in_flight` is not from 1 to 32,767.
    MaxInFlight,
    /// `high_water` is not from 1 to 268,435,460.
    HighWater,
    /// `connack_within` is not from 1 ms to 1 h.
    ConnAckWithin,
    /// `acknowledge_within` is not from 1 s to 1 h.
    AcknowledgeWithin,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientId => "the client identifier is too long or holds U+0000",
            Self::User => "the user name is too long or holds U+0000",
            Self::Password => "the password is longer than 65535 bytes",
            Self::KeepAlive => "the keep alive is not a whole number of seconds from 1 to 65535",
            Self::MaxPacketIn => "max_packet_in is not from 64 to 268435460 bytes",
            Self::MaxPacketOut => "max_packet_out is not from 64 to 268435460 bytes",
            Self::MaxInFlight => "max_in_flight is not from 1 to 32767",
            Self::HighWater => "high_water is not from 1 to 268435460 bytes",
            Self::ConnAckWithin => "connack_within is not from 1 ms to 1 h",
            Self::AcknowledgeWithin => "acknowledge_within is not from 1 s to 1 h",
        })
    }
}

impl std::error::Error for SessionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        type Change = fn(&mut SessionOptions);
        let cases: [(Change, SessionError); 14] = [
            (|o| o.client_id = "a\0".into(), SessionError::ClientId),
            (|o| o.client_id = "a".repeat(65_536), SessionError::ClientId),
            (|o| o.login = Some(Login::new("a\0")), SessionError::User),
            (
                |o| o.login = Some(Login::new("a").with_password([0; 65_536])),
                SessionError::Password,
            ),
            (
                |o| o.keep_alive = Some(Duration::ZERO),
                SessionError::KeepAlive,
            ),
            (
                |o| o.keep_alive = Some(Duration::from_millis(1_500)),
                SessionError::KeepAlive,
            ),
            (
                |o| o.keep_alive = Some(Duration::from_secs(65_536)),
                SessionError::KeepAlive,
            ),
            (|o| o.max_packet_in = 0, SessionError::MaxPacketIn),
            (
                |o| o.max_packet_out = 268_435_461,
                SessionError::MaxPacketOut,
            ),
            (|o| o.max_in_flight = 0, SessionError::MaxInFlight),
            (|o| o.max_in_flight = 32_768, SessionError::MaxInFlight),
            (|o| o.high_water = 0, SessionError::HighWater),
            (
                |o| o.connack_within = Duration::ZERO,
                SessionError::ConnAckWithin,
            ),
            (
                |o| o.acknowledge_within = Duration::MAX,
                SessionError::AcknowledgeWithin,
            ),
        ];
        for (change, error) in cases {
            let mut options = SessionOptions::new("a");
            assert_eq!(options.check(), Ok(()));
            change(&mut options);
            assert_eq!(options.check(), Err(error));
        }
    }

    #[test]
    fn bounds_are_taken_whole() {
        let mut options = SessionOptions::new("a".repeat(65_535));
        options.login = Some(Login::new("a".repeat(65_535)).with_password([0; 65_535]));
        for packet in [64, 268_435_460] {
            (options.max_packet_in, options.max_packet_out) = (packet, packet);
            assert_eq!(options.check(), Ok(()));
        }
        for high_water in [1, 268_435_460] {
            options.high_water = high_water;
            assert_eq!(options.check(), Ok(()));
        }
        for keep_alive in [1, 65_535] {
            options.keep_alive = Some(Duration::from_secs(keep_alive));
            assert_eq!(options.check(), Ok(()));
        }
    }

    #[test]
    fn a_login_is_never_shown() {
        let mut options = SessionOptions::new("a");
        options.login = Some(Login::new("kaa-user").with_password("hunter2"));
        let shown = format!("{options:?}");
        assert!(!shown.contains("user") && !shown.contains("hunter2") && !shown.contains("104"));
    }
}
