//! CONNECT, written by hand: passwords are bytes, and an empty password is one.

use super::options::SessionOptions;
use super::packet::PacketType;
use super::publish::write_length;

/// `MQTT`, level 4 (sections 3.1.2.1 and 3.1.2.2).
const PROTOCOL: [u8; 7] = *b"\x00\x04MQTT\x04";

/// The bits of the connect flags (section 3.1.2.3).
mod flag {
    pub(super) const CLEAN_SESSION: u8 = 0x02;
    pub(super) const PASSWORD: u8 = 0x40;
    pub(super) const USER: u8 = 0x80;
}

/// Appends a CONNECT with options that were checked.
pub(super) fn write_connect(out: &mut Vec<u8>, options: &SessionOptions) {
    let user = options.login.as_ref().map(|login| login.user().as_bytes());
    let password = options.login.as_ref().and_then(|login| login.password());
    let mut flags = flag::CLEAN_SESSION;
    let mut length = PROTOCOL.len() + 3 + 2 + options.client_id.len();
    if let Some(user) = user {
        flags |= flag::USER;
        length += 2 + user.len();
    }
    if let Some(password) = password {
        flags |= flag::PASSWORD;
        length += 2 + password.len();
    }
    out.push(PacketType::Connect.first_byte());
    write_length(out, length);
    out.extend_from_slice(&PROTOCOL);
    out.push(flags);
    out.extend_from_slice(&options.keep_alive_seconds().to_be_bytes());
    let client_id = Some(options.client_id.as_bytes());
    for field in [client_id, user, password].into_iter().flatten() {
        out.extend_from_slice(&(field.len() as u16).to_be_bytes());
        out.extend_from_slice(field);
    }
}
