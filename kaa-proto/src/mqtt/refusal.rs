//! Why a server refused a CONNECT.

use std::fmt;

/// A return code other than 0 in CONNACK (section 3.2.2.3). The link is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnectRefusal {
    /// 1: the server does not speak MQTT 3.1.1.
    ProtocolVersion = 1,
    /// 2: the server does not allow this client identifier.
    ClientId = 2,
    /// 3: the MQTT service is not available now.
    ServerUnavailable = 3,
    /// 4: the user name or the password is malformed or wrong.
    BadLogin = 4,
    /// 5: the client may not connect.
    NotAuthorized = 5,
}

impl ConnectRefusal {
    /// The return code.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The cause of a return code from 1 to 5.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::ProtocolVersion,
            2 => Self::ClientId,
            3 => Self::ServerUnavailable,
            4 => Self::BadLogin,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }
}

impl fmt::Display for ConnectRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtocolVersion => "the server does not speak MQTT 3.1.1",
            Self::ClientId => "the server refuses the client identifier",
            Self::ServerUnavailable => "the server is not available",
            Self::BadLogin => "the user name or the password is wrong",
            Self::NotAuthorized => "the client may not connect",
        })
    }
}

impl std::error::Error for ConnectRefusal {}
