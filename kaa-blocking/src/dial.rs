//! One dial, on a short-lived thread: names are resolved and addresses tried without blocking
//! the loop.

use std::future::ready;
use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::task::Waker;
use std::thread;

use kaa_proto::client::{ADDRESS_WITHIN, Target, connect_any};

use crate::{Stream, wait};

/// Makes the transport of a link. Called for each dial, on a thread of its own.
pub(crate) type Connector = dyn Fn(&Target) -> io::Result<Stream> + Send + Sync;

/// A dial under way. Dropping it gives it up; what it comes to is closed.
pub(crate) struct Dial(Receiver<io::Result<Stream>>);

impl Dial {
    /// Begins. `waker` is woken when it is over.
    pub(crate) fn start(connector: &Arc<Connector>, target: &Target, waker: &Waker) -> Self {
        let (sender, receiver) = mpsc::channel();
        let (connector, target, waker) = (Arc::clone(connector), target.clone(), waker.clone());
        let work = move || {
            // Nobody listens if the dial was given up.
            let _ = sender.send(connector(&target));
            drop(sender);
            waker.wake();
        };
        // If there is no thread to be had, the sender is dropped, and the dial fails.
        let _ = thread::Builder::new().name("kaa-dial".into()).spawn(work);
        Self(receiver)
    }

    /// What it came to, once.
    pub(crate) fn poll(&self) -> Option<io::Result<Stream>> {
        match self.0.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(io::Error::other("the dial ended without a result")))
            }
        }
    }
}

/// Connects over TCP: every address of the name is tried.
pub(crate) fn tcp(target: &Target) -> io::Result<Stream> {
    let addresses = (target.host(), target.port()).to_socket_addrs()?;
    let connect = |address| ready(TcpStream::connect_timeout(&address, ADDRESS_WITHIN));
    let stream = wait::for_end(pin!(connect_any(addresses, connect)))?;
    // Without it each small message waits for the answer to the one before.
    let _ = stream.set_nodelay(true);
    Ok(stream.into())
}
