//! A name has many addresses, and not each of them answers.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long one address may take at the most where another one is to be tried after it: two
/// retransmissions of a SYN.
const ADDRESS_WITHIN: Duration = Duration::from_secs(5);

/// Connects to the first address that answers. For bindings: `connect` gives up after the time it
/// is given. That is an equal share of `within` for each address, at most 5 s: one whose packets a
/// firewall swallows would otherwise use up the whole dial, and the others were never tried. The last
/// one has all that is left.
///
/// # Errors
/// The failure of the last address, or that there is none.
pub async fn connect_any<T, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    within: Duration,
    mut connect: impl FnMut(SocketAddr, Duration) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let addresses: Vec<_> = addresses.into_iter().collect();
    let many = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let share = within
        .checked_div(many)
        .unwrap_or(within)
        .min(ADDRESS_WITHIN);
    let mut left = within;
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (place, address) in (1..).zip(addresses) {
        let time = if place == many { left } else { share };
        left = left.saturating_sub(share);
        match connect(address, time).await {
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
            let connect = |address, _| async move {
                match address == live {
                    true => Ok(address),
                    false => Err(io::ErrorKind::ConnectionRefused.into()),
                }
            };
            let within = Duration::from_secs(15);
            let found = pin!(connect_any(addresses.iter().copied(), within, connect));
            match found.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(found) => found.map_err(|error| error.kind()),
                Poll::Pending => Err(io::ErrorKind::WouldBlock),
            }
        };
        assert_eq!(any(&[dead, live, other]), Ok(live));
        assert_eq!(any(&[dead, other]), Err(io::ErrorKind::ConnectionRefused));
        assert_eq!(any(&[]), Err(io::ErrorKind::NotFound));
    }
    /// However many there are: all of them have their turn within the dial.
    #[test]
    fn the_addresses_share_the_time_of_a_dial() {
        let share_of = |many: u16| {
            let addresses = (1..=many).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            let mut shares = Vec::new();
            let connect = |_, share| {
                shares.push(share);
                async { Err::<(), _>(io::ErrorKind::TimedOut.into()) }
            };
            let mut found = Box::pin(connect_any(addresses, Duration::from_secs(15), connect));
            let waker = &mut Context::from_waker(Waker::noop());
            assert!(found.as_mut().poll(waker).is_ready());
            drop(found);
            shares
        };
        assert_eq!(share_of(1), [Duration::from_secs(15)]);
        assert_eq!(share_of(2), [5, 10].map(Duration::from_secs));
        assert_eq!(share_of(6), [Duration::from_millis(2_500); 6]);
    }
}
