//! kaa-blocking: each task is a thread, and each future is ready when it is first polled.

use std::any::Any;
use std::future::Future;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use kaa_blocking::{Client, Endpoint};
use kaa_proto::client::{NotReady, Options};
use kaa_proto::connection::Account;
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Failure, Request, SubmitError};

use super::{Api, Connecting, Device, Kit, PATIENCE, Script, Step, Waiting, failed};

pub(crate) struct Blocking;

impl Kit for Blocking {
    type Client = Client;

    fn new() -> Self {
        Self
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || sender.send(smol::block_on(work)));
        receiver
    }

    fn connecting(&self, options: Options, script: Script) -> Connecting<Client> {
        Box::pin(async move {
            Client::connect_with(options, move |_| match script() {
                Step::Tcp(addr) => Ok(TcpStream::connect(addr)?.into()),
                Step::Unix(path) => Ok(UnixStream::connect(path)?.into()),
                Step::Fail => Err(failed()),
                Step::Hang => loop {
                    thread::park();
                },
                Step::Panic => panic!("the connector's own"),
            })
        })
    }
}

impl Api for Client {
    type Device = Endpoint;

    fn endpoint(&self, name: &EndpointName) -> Endpoint {
        self.endpoint(name).unwrap()
    }

    fn ready(&self, timeout: Duration) -> Waiting<Result<(), NotReady>> {
        let client = self.clone();
        Box::pin(async move { client.ready(timeout) })
    }

    fn shutdown(&self, timeout: Duration) -> Waiting<Account> {
        let client = self.clone();
        Box::pin(async move { client.shutdown(timeout) })
    }
}

impl Device for Endpoint {
    fn submit<R: Request + 'static>(
        &self,
        request: &R,
    ) -> Result<Waiting<Result<R::Response, Failure>>, SubmitError> {
        let mut ticket = self.submit(request)?;
        Ok(Box::pin(
            async move { ticket.wait(PATIENCE).expect("it ends") },
        ))
    }

    fn readers(&self) -> Box<dyn Any + Send> {
        let commands = self.commands_of("reboot").unwrap();
        Box::new((commands, self.configurations().unwrap()))
    }

    fn command(&self) -> Waiting<bool> {
        let mut commands = self.commands_of("reboot").unwrap();
        Box::pin(async move { commands.next().is_some() })
    }
}
