//! One dial, on a short-lived thread: names are resolved and addresses tried without blocking
//! the loop.

use std::future::ready;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use kaa_proto::client::{Target, connect_any};

/// How many dials may be under way, those that were given up among them: a connector that hangs
/// cannot be stopped, only not called again. More than a name server that answers late takes.
const MAX_DIALS: usize = 16;

/// Makes the transport of a link. Called for each dial, on a thread of its own.
pub(crate) type Connector<S> = dyn Fn() -> io::Result<S> + Send + Sync;

/// A dial under way. Dropping it gives it up; what it comes to is closed.
pub(crate) struct Dial<S>(Receiver<io::Result<S>>);

impl<S: Send + 'static> Dial<S> {
    /// Begins. `waker` is woken when it is over.
    pub(crate) fn start(connector: &Arc<Connector<S>>, waker: &Waker) -> Self {
        let (sender, receiver) = mpsc::channel();
        // Each thread holds the connector, as the loop does.
        if Arc::strong_count(connector) > MAX_DIALS {
            let _ = sender.send(Err(io::Error::other("too many dials before this one hang")));
            return Self(receiver);
        }
        let (connector, waker) = (Arc::clone(connector), waker.clone());
        let work = move || {
            let dialing = catch_unwind(AssertUnwindSafe(|| connector()));
            let panicked = |_| Err(io::Error::other("the connector panicked"));
            // Nobody listens if the dial was given up.
            let _ = sender.send(dialing.unwrap_or_else(panicked));
            waker.wake();
        };
        // If there is no thread to be had, nothing is sent, and the dial fails.
        let _ = thread::Builder::new().name("kaa-dial".into()).spawn(work);
        Self(receiver)
    }

    /// What it came to, once.
    pub(crate) fn poll(&self) -> Option<io::Result<S>> {
        match self.0.try_recv() {
            Err(TryRecvError::Empty) => None,
            result => Some(result.unwrap_or_else(|error| Err(io::Error::other(error)))),
        }
    }
}

/// Connects over TCP: every address of the name is tried.
pub(crate) fn tcp<S: From<TcpStream>>(target: &Target, within: Duration) -> io::Result<S> {
    let addresses = (target.host(), target.port()).to_socket_addrs()?;
    let connect = |address, share| ready(TcpStream::connect_timeout(&address, share));
    let stream = crate::wait::for_end(pin!(connect_any(addresses, within, connect)))?;
    // Without it each small message waits for the answer to the one before.
    let _ = stream.set_nodelay(true);
    Ok(stream.into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;
    use std::task::Wake;

    use super::*;

    struct Bell(Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }

    fn bell() -> (Waker, Receiver<()>) {
        let (sender, rung) = mpsc::channel();
        (Waker::from(Arc::new(Bell(sender))), rung)
    }

    #[test]
    fn a_connector_that_panics_fails_its_dial_at_once() {
        let connector: Arc<Connector<TcpStream>> = Arc::new(|| panic!("the connector's own"));
        let (waker, rung) = bell();
        let dial = Dial::start(&connector, &waker);
        assert_eq!(rung.recv_timeout(Duration::from_secs(30)), Ok(()));
        assert!(matches!(dial.poll(), Some(Err(_))));
    }

    #[test]
    fn a_connector_that_hangs_is_not_called_without_end() {
        let (begun, calls) = mpsc::channel();
        let connector: Arc<Connector<TcpStream>> = Arc::new(move || {
            begun.send(()).unwrap();
            loop {
                thread::park();
            }
        });
        let (waker, _rung) = bell();
        let dials: Vec<_> = (0..=MAX_DIALS)
            .map(|_| Dial::start(&connector, &waker))
            .collect();
        for _ in 0..MAX_DIALS {
            assert_eq!(calls.recv_timeout(Duration::from_secs(30)), Ok(()));
        }
        assert!(matches!(dials.last().unwrap().poll(), Some(Err(_))));
        assert!(calls.try_recv().is_err());
    }
}
