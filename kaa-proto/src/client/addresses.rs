//! A name has many addresses, and not each of them answers.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long one address may take before the next one is tried. A packet that a firewall swallows
/// would otherwise use up the whole dial; 5 s are two retransmissions of a SYN.
pub const ADDRESS_WITHIN: Duration = Duration::from_secs(5);

/// Connects to the first address that answers. For bindings: `connect` gives up after
/// [`ADDRESS_WITHIN`].
///
/// # Errors
/// The failure of the last address, or that there is none.
pub async fn connect_any<T, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match connect(address).await {
            Ok(connected) => return Ok(connected),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// An address where nobody listens is no reason to give the others up.
    #[test]
    fn each_address_is_tried_until_one_connects() {
        let [live, dead, other] = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let any = |addresses: &[SocketAddr]| {
            let connect = |address| async move {
                match address == live {
                    true => Ok(address),
                    false => Err(io::ErrorKind::ConnectionRefused.into()),
                }
            };
            let found = pin!(connect_any(addresses.iter().copied(), connect));
            match found.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(found) => found.map_err(|error| error.kind()),
                Poll::Pending => Err(io::ErrorKind::WouldBlock),
            }
        };
        assert_eq!(any(&[dead, live, other]), Ok(live));
        assert_eq!(any(&[dead, other]), Err(io::ErrorKind::ConnectionRefused));
        assert_eq!(any(&[]), Err(io::ErrorKind::NotFound));
    }
}
