//! kaa-smol: on smol's executor, on a thread that blocks on the driver, and on async-std.

use std::future::{Future, pending};
use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use futures_io::{AsyncRead, AsyncWrite};
use kaa_proto::client::{Client, Options};
use smol::channel::{Receiver as Signal, Sender as Signaller};

use super::{Connecting, Kit, Script, Step, Stop, failed};

pub(crate) struct Smol;
pub(crate) struct AsyncStd;

/// Each driver has a thread; they end together.
pub(crate) struct SmolThread {
    stop: Signaller<()>,
    is_stopped: Signal<()>,
    threads: &'static Mutex<Vec<JoinHandle<()>>>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Kit for Smol {
    type Client = Client;

    fn new() -> Self {
        Self
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        smol::spawn(async move { sender.send(work.await) }).detach();
        receiver
    }

    fn connecting(&self, options: Options, script: Script) -> Connecting<Client> {
        Box::pin(async move {
            let client = kaa_smol::Client::connect_with(options, move |_| dial(script())).await?;
            Ok((*client).clone())
        })
    }
}

impl Kit for SmolThread {
    type Client = Client;

    fn new() -> Self {
        let (stop, is_stopped) = smol::channel::bounded(1);
        Self {
            stop,
            is_stopped,
            threads: Box::leak(Box::default()),
        }
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Receiver<T> {
        Smol.spawn(work)
    }

    fn connecting(&self, options: Options, script: Script) -> Connecting<Client> {
        let (is_stopped, threads) = (self.is_stopped.clone(), self.threads);
        Box::pin(async move {
            let connector = move |_| dial(script());
            let (client, driver) = kaa_smol::Client::with_driver_and(options, connector).await?;
            let stopped = async move { assert!(is_stopped.recv().await.is_err()) };
            let driving = thread::spawn(|| smol::block_on(smol::future::or(driver, stopped)));
            threads.lock().unwrap().push(driving);
            Ok((*client).clone())
        })
    }
}

impl Stop for SmolThread {
    fn stop(self) {
        drop(self.stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap());
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

impl Kit for AsyncStd {
    type Client = Client;

    fn new() -> Self {
        Self
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        drop(async_std::task::spawn(
            async move { sender.send(work.await) },
        ));
        receiver
    }

    fn connecting(&self, options: Options, script: Script) -> Connecting<Client> {
        let connector = move |_| {
            let step = script();
            async move {
                if let Step::Tcp(addr) = step {
                    return boxed(async_std::net::TcpStream::connect(addr).await?);
                }
                dial(step).await
            }
        };
        Box::pin(async move {
            let client = kaa_smol::async_std::Client::connect_with(options, connector).await?;
            Ok((*client).clone())
        })
    }
}

fn boxed(io: impl Io + 'static) -> io::Result<Box<dyn Io>> {
    Ok(Box::new(io))
}

async fn dial(step: Step) -> io::Result<Box<dyn Io>> {
    match step {
        Step::Tcp(addr) => boxed(smol::net::TcpStream::connect(addr).await?),
        Step::Unix(path) => boxed(smol::net::unix::UnixStream::connect(path).await?),
        Step::Fail => Err(failed()),
        Step::Hang => pending().await,
        Step::Panic => panic!("the connector's own"),
    }
}
