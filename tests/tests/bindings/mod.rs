//! What every binding is to the suite: a runtime, a way to connect, and the same handles.

mod blocking;
mod futures_io;
mod handles;
mod tokio;

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use kaa_proto::client::{ConnectError, NotReady, Options};
use kaa_proto::connection::Account;
use kaa_proto::names::EndpointName;
use kaa_proto::request::{Failure, Request, SubmitError};

pub(crate) use blocking::Blocking;
pub(crate) use futures_io::{AsyncStd, Smol, SmolThread};
pub(crate) use tokio::Tokio;

/// How long anything may take before the test has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What the connector does, at each call.
pub(crate) type Script = Arc<dyn Fn() -> Step + Send + Sync>;

/// What a dial comes to.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Tcp(SocketAddr),
    Unix(PathBuf),
    Fail,
    Hang,
    Panic,
}

/// What somebody waits for.
pub(crate) type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) type Connecting<C> = Waiting<Result<C, ConnectError>>;

/// A runtime and its binding.
pub(crate) trait Kit {
    type Client: Api;

    fn new() -> Self;

    /// Begins a task; its result comes here, or nothing if it panics or the runtime ends.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Receiver<T>;

    /// To be polled on the runtime.
    fn connecting(&self, options: Options, script: Script) -> Connecting<Self::Client>;

    fn connect(&self, options: Options, script: Script) -> Self::Client {
        self.end_of(self.connecting(options, script)).unwrap()
    }

    /// What a task ends with.
    fn end_of<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.spawn(work).recv_timeout(PATIENCE).expect("it ends")
    }
}

/// A binding whose driver can be dropped while handles are there.
pub(crate) trait Stop: Kit {
    /// Ends the runtime, with all that is on it.
    fn stop(self);
}

/// The client's verbs.
pub(crate) trait Api: Clone + Send + Sync + 'static {
    type Device: Device;

    fn endpoint(&self, name: &EndpointName) -> Self::Device;
    fn ready(&self, timeout: Duration) -> Waiting<Result<(), NotReady>>;
    fn shutdown(&self, timeout: Duration) -> Waiting<Account>;
}

/// The endpoint's verbs.
pub(crate) trait Device: Clone + Send + Sync + 'static {
    fn submit<R: Request + 'static>(
        &self,
        request: &R,
    ) -> Result<Waiting<Result<R::Response, Failure>>, SubmitError>;

    /// Observes commands and configurations; whoever holds this does not read them.
    fn readers(&self) -> Box<dyn Any + Send>;

    /// Observes commands and waits for one; whether it came.
    fn command(&self) -> Waiting<bool>;
}

fn failed() -> io::Error {
    io::ErrorKind::ConnectionRefused.into()
}
