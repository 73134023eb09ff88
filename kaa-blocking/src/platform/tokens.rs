//! How sockets are told apart in the poll.

use kaa_proto::platform::LinkId;
use mio::Token;

/// Somebody calls from another thread.
pub(super) const WAKER: Token = Token(0);
/// The MQTT listener.
pub(super) const LISTENER: Token = Token(1);
/// The HTTP listener.
pub(super) const HTTP_LISTENER: Token = Token(2);
/// The connection to the broker.
pub(super) const BROKER: Token = Token(3);
/// Links have even tokens from here on, uploads odd ones.
const FIRST: usize = 4;

#[allow(
    clippy::cast_possible_truncation,
    reason = "no machine sees 2^31 connections in one run of a test platform"
)]
const fn token(number: u64, parity: usize) -> Token {
    Token(FIRST + 2 * number as usize + parity)
}

fn number(token: Token, parity: usize) -> Option<u64> {
    let offset = token.0.checked_sub(FIRST)?;
    (offset % 2 == parity).then_some(offset as u64 / 2)
}

pub(super) const fn of_link(id: LinkId) -> Token {
    token(id.number(), 0)
}

pub(super) fn link(of: Token) -> Option<LinkId> {
    number(of, 0).map(LinkId::new)
}

pub(super) const fn of_upload(id: u64) -> Token {
    token(id, 1)
}

pub(super) fn upload(of: Token) -> Option<u64> {
    number(of, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_socket_and_no_other() {
        for id in [1, 2, 77] {
            let link_id = LinkId::new(id);
            assert_eq!(link(of_link(link_id)), Some(link_id));
            assert_eq!(upload(of_link(link_id)), None);
            assert_eq!(upload(of_upload(id)), Some(id));
            assert_eq!(link(of_upload(id)), None);
        }
        for fixed in [WAKER, LISTENER, HTTP_LISTENER, BROKER] {
            assert_eq!((link(fixed), upload(fixed)), (None, None));
        }
    }
}
