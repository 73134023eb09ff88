//! kaa-tokio on both flavours of the runtime, which a thread of its own drives.

use std::future::{Future, pending};
use std::io;
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use kaa_proto::client::{Client, Options};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Handle};

use super::{Connecting, Kit, Script, Step, Stop, failed};

pub(crate) struct Tokio<const THREADS: usize> {
    handle: Handle,
    driving: JoinHandle<()>,
    stop: smol::channel::Sender<()>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl<const THREADS: usize> Kit for Tokio<THREADS> {
    type Client = Client;

    fn new() -> Self {
        let mut builder = match THREADS {
            1 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        if THREADS > 1 {
            builder.worker_threads(THREADS);
        }
        let runtime = builder.enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (stop, is_stopped) = smol::channel::bounded(1);
        let driving = thread::spawn(move || assert!(runtime.block_on(is_stopped.recv()).is_err()));
        Self {
            handle,
            driving,
            stop,
        }
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        self.handle.spawn(async move { sender.send(work.await) });
        receiver
    }

    fn connecting(&self, options: Options, script: Script) -> Connecting<Client> {
        Box::pin(async move {
            let client = kaa_tokio::Client::connect_with(options, move |_| dial(script())).await?;
            Ok((*client).clone())
        })
    }
}

impl<const THREADS: usize> Stop for Tokio<THREADS> {
    fn stop(self) {
        drop(self.stop);
        self.driving.join().unwrap();
    }
}

async fn dial(step: Step) -> io::Result<Box<dyn Io>> {
    match step {
        Step::Tcp(addr) => Ok(Box::new(TcpStream::connect(addr).await?)),
        Step::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Step::Fail => Err(failed()),
        Step::Hang => pending().await,
        Step::Panic => panic!("the connector's own"),
    }
}
