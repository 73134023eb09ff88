//! CONNECT, read by hand: every flag is judged, and passwords are bytes.

use std::fmt;

use super::filters::{take, take_text};
use crate::QoS;
use crate::mqtt::event::Message;
use crate::mqtt::filter::check_received_topic;
use crate::mqtt::packet::PacketType;
use crate::mqtt::violation::Violation;

/// A valid CONNECT. `Debug` shows whether there is a login, not which.
#[derive(PartialEq, Eq)]
pub struct Connect<'a> {
    /// The client identifier. Empty: the server is to choose one.
    pub client_id: &'a str,
    /// The user name, which may be empty.
    pub user: Option<&'a str>,
    /// The password, which may be any bytes, and is there only with a user name.
    pub password: Option<&'a [u8]>,
    /// The keep alive interval in seconds; 0: the client promises nothing.
    pub keep_alive: u16,
    /// Whether the session starts anew and ends with the link.
    pub clean_session: bool,
    /// What is to be published when the link ends without DISCONNECT.
    pub will: Option<Message<'a>>,
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("client_id", &self.client_id)
            .field("has_user", &self.user.is_some())
            .field("has_password", &self.password.is_some())
            .field("keep_alive", &self.keep_alive)
            .field("clean_session", &self.clean_session)
            .field("will", &self.will)
            .finish()
    }
}

/// Reads what follows the fixed header of a CONNECT.
pub(super) fn read_connect(body: &[u8]) -> Result<Connect<'_>, Violation> {
    const PACKET: PacketType = PacketType::Connect;
    let short = Violation::Length {
        packet: PACKET,
        length: body.len(),
    };
    let mut rest = body;
    if take(&mut rest).ok_or(short)? != b"MQTT" {
        return Err(Violation::ProtocolName);
    }
    let (&[level, flags, high, low], mut rest) = rest.split_first_chunk().ok_or(short)?;
    if level != 4 {
        return Err(Violation::ProtocolLevel(level));
    }
    let is_set = |bit: u8| flags & (1 << bit) != 0;
    let (has_user, has_password, has_will) = (is_set(7), is_set(6), is_set(2));
    let reserved = is_set(0);
    let will_bits = flags & 0b0011_1000;
    let will_qos = QoS::from_number((flags >> 3) & 0b11).ok_or(Violation::ConnectFlags(flags))?;
    if reserved || (has_password && !has_user) || (will_bits != 0 && !has_will) {
        return Err(Violation::ConnectFlags(flags));
    }
    let client_id = take_text(&mut rest, PACKET, short)?;
    let will = match has_will {
        true => Some(take_will(&mut rest, will_qos, is_set(5), short)?),
        false => None,
    };
    let user = match has_user {
        true => Some(take_text(&mut rest, PACKET, short)?),
        false => None,
    };
    let password = match has_password {
        true => Some(take(&mut rest).ok_or(short)?),
        false => None,
    };
    if !rest.is_empty() {
        return Err(short);
    }
    let clean_session = is_set(1);
    if client_id.is_empty() && !clean_session {
        return Err(Violation::NoClientId);
    }
    Ok(Connect {
        client_id,
        user,
        password,
        keep_alive: u16::from_be_bytes([high, low]),
        clean_session,
        will,
    })
}

fn take_will<'a>(
    rest: &mut &'a [u8],
    qos: QoS,
    retain: bool,
    short: Violation,
) -> Result<Message<'a>, Violation> {
    let packet = PacketType::Connect;
    let topic = take_text(rest, packet, short)?;
    check_received_topic(topic).map_err(|problem| Violation::Topic { packet, problem })?;
    Ok(Message {
        topic,
        payload: take(rest).ok_or(short)?,
        qos,
        dup: false,
        retain,
    })
}
